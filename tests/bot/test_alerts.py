"""People who have no desk open hear of it by e-mail, whatever the mail server does; and nothing else waits for it."""

from __future__ import annotations

import logging
import smtplib
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.alerts import Alert, Alerts, Letter, Mail, Postbox
from bot.errors import BadSettings
from bot.settings import Settings
from tests.bot.mailserver import MailServer, a_certificate
from tests.factories import NOW
from tests.parts import eventually

WAITS = Alert("waiting", "3 contacts wait for a person, the longest of them since 12:00 UTC.", NOW)
LETTER = Letter("baton@fernhill.example", ("ann@fernhill.example", "sue@fernhill.example"), "https://desk.example")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_certificate(tmp_path_factory.mktemp("mail"))


@pytest.fixture
def server() -> Iterator[MailServer]:
    found = MailServer()
    yield found
    found.close()


def mail(server: MailServer, **also: object) -> Mail:
    return Mail(Postbox(f"smtp://127.0.0.1:{server.port}", within_s=1.0), LETTER, retries_s=(0.05,), **also)  # type: ignore[arg-type]


def test_an_alert_is_one_letter_to_everybody_with_a_way_to_the_desk(server: MailServer) -> None:
    road = mail(server)
    assert not road.take(WAITS), "it is on its way"
    assert eventually(lambda: road.take(WAITS)), "and then it has arrived"
    (letter,) = server.letters
    assert letter["Subject"] == "Baton: 3 contacts wait for a person"
    assert (letter["From"], letter["To"]) == (LETTER.sender, ", ".join(LETTER.to))
    assert letter["Auto-Submitted"] == "auto-generated"
    words = letter.get_content()
    assert "3 contacts wait" in words and "https://desk.example" in words
    assert len(server.to) == 2


def test_the_same_alert_may_be_told_again_later_but_not_twice_at_once(server: MailServer) -> None:
    road = mail(server)
    for _ in range(5):
        road.take(WAITS)
    assert eventually(lambda: road.take(WAITS)) and len(server.letters) == 1
    assert not road.take(WAITS), "an alarm that nobody came for is told of again"
    assert eventually(lambda: len(server.letters) == 2)


def test_a_server_that_refuses_is_asked_again_and_complained_of_once(
    server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuses = "451 not now"
    road = mail(server)
    road.take(WAITS)
    assert eventually(lambda: sum(line.startswith("mail FROM") for line in server.said) >= 3)
    failed = [record for record in caplog.records if getattr(record, "action", "") == "mail_failed"]
    assert [record.levelno for record in failed] == [logging.WARNING]
    server.refuses = ""
    assert eventually(lambda: road.take(WAITS)) and len(server.letters) == 1
    assert "fernhill" not in caplog.text


def test_a_server_that_hangs_holds_nobody_up(server: MailServer) -> None:
    server.hangs = True
    road = mail(server)
    began = time.monotonic()
    assert not road.take(WAITS) and not road.take(WAITS)
    assert time.monotonic() - began < 0.5
    server.hangs = False
    assert eventually(lambda: road.take(WAITS))


def test_a_letter_that_was_taken_is_not_sent_again_for_a_bad_parting(server: MailServer) -> None:
    server.parting = "500 what?"
    road = mail(server)
    assert eventually(lambda: road.take(WAITS)) and len(server.letters) == 1


def test_no_server_at_all_is_no_reason_to_fall_over(server: MailServer) -> None:
    road = mail(server)
    server.close()
    assert not road.take(WAITS)


def test_what_is_old_news_is_not_sent(server: MailServer) -> None:
    passed = [0.0]
    server.refuses = "451 not now"
    road = mail(server, clock=lambda: passed[0])
    road.take(WAITS)
    assert eventually(lambda: server.said)
    passed[0] = 4000.0
    assert eventually(lambda: not road._owed)
    server.refuses = ""
    road.take(Alert("signed_out", "WhatsApp refuses our token.", NOW + timedelta(hours=2)))
    assert eventually(lambda: server.letters)
    assert [letter["Subject"] for letter in server.letters] == ["Baton: WhatsApp refuses our token"]


def test_a_password_goes_over_tls_only(certificate: Path, server: MailServer) -> None:
    trust = ssl.create_default_context(cafile=str(certificate))
    for at_once in (False, True):
        safe = MailServer(certificate, at_once=at_once)
        scheme = "smtps" if at_once else "smtp"
        Postbox(f"{scheme}://baton:s%40crow@127.0.0.1:{safe.port}", trust=trust).post(LETTER.about(WAITS))
        assert len(safe.letters) == 1 and safe.in_secret
        assert any(line.startswith("AUTH") for line in safe.said)
        safe.close()
    with pytest.raises(smtplib.SMTPException, match="STARTTLS"):
        Postbox(f"smtp://baton:secret@127.0.0.1:{server.port}").post(LETTER.about(WAITS))
    assert not any(line.startswith("AUTH") for line in server.said) and not server.letters


def test_a_server_nobody_vouches_for_is_told_nothing(certificate: Path) -> None:
    stranger = MailServer(certificate)
    with pytest.raises(ssl.SSLError):
        Postbox(f"smtp://127.0.0.1:{stranger.port}").post(LETTER.about(WAITS))
    assert not stranger.letters
    stranger.close()


class Deaf:
    def take(self, alert: Alert) -> bool:
        return False


class Hears:
    def __init__(self) -> None:
        self.heard: list[Alert] = []

    def take(self, alert: Alert) -> bool:
        self.heard.append(alert)
        return True


def test_whoever_is_reached_by_one_road_has_been_told() -> None:
    hears = Hears()
    assert Alerts(Deaf(), hears).tell(WAITS) and Alerts(hears, Deaf()).tell(WAITS)
    assert not Alerts(Deaf()).tell(WAITS) and not Alerts().tell(WAITS) and not Alerts()
    assert len(hears.heard) == 2


def test_settings_name_a_mail_server_whole_or_not_at_all(tmp_path: Path) -> None:
    nowhere = tmp_path / ".env"
    whole = {
        "BATON_SMTP_URL": "smtp://baton:secret@mail.example:2525",
        "BATON_ALERT_FROM": "baton@fernhill.example",
        "BATON_ALERT_EMAILS": "ann@fernhill.example, sue@fernhill.example",
    }
    found = Settings.from_env(whole, nowhere)
    assert found.alert_emails == ("ann@fernhill.example", "sue@fernhill.example") and Alerts.of(found)
    assert not Alerts.of(Settings.from_env({}, nowhere))
    for wrong in (
        whole | {"BATON_SMTP_URL": "mail.example:secret"},
        whole | {"BATON_SMTP_URL": "smtp://baton:secret@:x"},
        whole | {"BATON_ALERT_FROM": ""},
        whole | {"BATON_ALERT_EMAILS": "ann"},
    ):
        with pytest.raises(BadSettings) as refused:
            Settings.from_env(wrong, nowhere)
        assert "secret" not in str(refused.value)
