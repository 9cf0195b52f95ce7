"""The watch: people away from the desk hear of who waits, whatever becomes of the desk, the database or the webhook."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from bot.alerts import Alerts, Letter, Mail, Postbox, Webhook
from bot.content.catalogue import Catalogue
from bot.ledger import alarms, promises, transcript
from bot.ledger.transaction import Ledger
from bot.settings import ROOT
from bot.vocabulary import Author
from handoff.watch import Watch, Watching
from tests.bot.mailserver import MailServer
from tests.factories import NOW, SAM, a_turn, ended, handed_off, later, says_only, taken
from tests.parts import eventually

CATALOGUE = Catalogue.load(ROOT / "data" / "responses")


class Pager:
    """Whoever listens at ALERT_WEBHOOK_URL."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.answers = 200
        pager = self

        class Ear(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                pager.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(pager.answers)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Ear)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def pager() -> Iterator[Pager]:
    found = Pager()
    yield found
    found.close()


def looks(ledger: Ledger, pager: Pager, seconds: float) -> None:
    watching = Watching(Alerts(Webhook(pager.url)), timedelta(minutes=5))
    Watch(ledger, CATALOGUE, lambda: later(seconds), watching).look()


def waits(ledger: Ledger) -> str:
    turn = a_turn(ledger, "a person please")
    handed_off(ledger, turn)
    ended(ledger, turn, silent=True)
    return turn.key


def test_who_waits_and_nobody_comes_is_told_of_once(ledger: Ledger, pager: Pager) -> None:
    waits(ledger)
    looks(ledger, pager, 4 * 60)
    assert not pager.heard
    looks(ledger, pager, 6 * 60)
    looks(ledger, pager, 7 * 60)
    (call,) = pager.heard
    assert (call["alarm"], call["since"]) == ("waiting", NOW.isoformat())
    assert "A contact waits" in call["text"] and "Mia" not in json.dumps(call) and "447700" not in json.dumps(call)


def test_a_call_that_was_not_taken_is_made_again(ledger: Ledger, pager: Pager) -> None:
    waits(ledger)
    pager.answers = 500
    looks(ledger, pager, 6 * 60)
    pager.answers = 200
    looks(ledger, pager, 6 * 60 + 2)
    looks(ledger, pager, 6 * 60 + 4)
    assert len(pager.heard) == 2


def test_who_waits_is_told_of_by_e_mail_where_nothing_else_is(ledger: Ledger) -> None:
    waits(ledger)
    server = MailServer()
    letter = Letter("baton@fernhill.example", ("sue@fernhill.example",))
    roads = Alerts(Mail(Postbox(f"smtp://127.0.0.1:{server.port}"), letter))
    watch = Watch(ledger, CATALOGUE, lambda: later(6 * 60), Watching(roads, timedelta(minutes=5)))

    def everybody_is_told() -> bool:
        watch.look()
        with ledger.reading() as tx:
            return promises.unseen(tx, later(6 * 60), timedelta(minutes=5)) is None

    assert eventually(everybody_is_told)
    watch.look()
    (found,) = server.letters
    words = found.as_string()
    assert "A contact waits for a person" in words and "Mia" not in words and "447700" not in words
    server.close()


def test_who_was_taken_in_time_troubles_nobody(ledger: Ledger, pager: Pager) -> None:
    key = waits(ledger)
    taken(ledger, key, now=later(60))
    looks(ledger, pager, 20 * 60)
    assert not pager.heard
    with ledger.reading() as tx:
        assert not alarms.raised(tx)


def test_two_watches_tell_the_contact_once(ledger: Ledger, pager: Pager) -> None:
    key = waits(ledger)
    watches = [threading.Thread(target=looks, args=(ledger, pager, 16 * 60)) for _ in range(2)]
    for one in watches:
        one.start()
    for one in watches:
        one.join()
    with ledger.reading() as tx:
        said = transcript.messages_of(tx, transcript.conversation(tx, key).id)
        assert sum(one.author is Author.DESK for one in said) == 1
        assert [one.name for one in alarms.raised(tx)] == [promises.ALARM]


def test_the_alarm_is_there_while_somebody_waits_in_vain_whatever_became_of_it(ledger: Ledger, pager: Pager) -> None:
    waits(ledger)
    looks(ledger, pager, 16 * 60)
    with ledger.writing() as tx:
        assert alarms.clear(tx, promises.ALARM)
    looks(ledger, pager, 16 * 60 + 5)
    with ledger.writing() as tx:
        promises.admit_broken(tx, later(16 * 60 + 6), says_only("Sorry"))  # as a second watch that found nobody to tell
        assert [one.name for one in alarms.raised(tx)] == [promises.ALARM]


def test_a_second_contact_is_a_second_call(ledger: Ledger, pager: Pager) -> None:
    waits(ledger)
    looks(ledger, pager, 6 * 60)
    turn = a_turn(ledger, "a person please", contact=SAM)
    handed_off(ledger, turn, now=later(7 * 60))
    looks(ledger, pager, 13 * 60)
    assert [call["text"][:20] for call in pager.heard] == ["A contact waits for ", "2 contacts wait for "]


def test_it_ends_when_told_to_and_says_why_it_can_not_begin(database_url: str) -> None:
    def command(url: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "handoff", "watch"], cwd=ROOT, env={"DATABASE_URL": url, "PATH": ""}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    running = command(database_url)
    assert not eventually(lambda: running.poll() is not None, within_s=4), "it runs until it is told to stop"
    running.send_signal(signal.SIGTERM)
    assert running.communicate(timeout=15)[0] == "Stopped\n" and running.returncode == 0
    lost = command("sqlite:////nowhere/at/all.db")
    _, why = lost.communicate(timeout=30)
    assert lost.returncode == 1 and "Traceback" not in why
