"""How people who have no desk open are told that somebody waits, or that something is wrong: a webhook, and e-mail.

Nobody's name, number or words are in what is told. No transaction may be open meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import re
import smtplib
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Protocol
from urllib.parse import unquote, urlsplit

import requests

from bot.settings import Settings

log = logging.getLogger(__name__)

TELLS_WITHIN_S = 10.0  # a webhook, or each step of a mail server, has so long to answer
RETRIES_S = (15.0, 30.0, 60.0, 120.0, 300.0)  # e-mail that was not taken; then every five minutes
STALE_AFTER_S = 3600.0  # what was not taken for so long is news no more; who still waits is told of anew
REMEMBERED_S = 120.0  # that an e-mail went out, for whoever asks whether it has


class NoSecrecy(smtplib.SMTPException):
    """The mail server offers no TLS, so it is told no password."""


@dataclass(frozen=True)
class Alert:
    """What people are told."""

    name: str  # "waiting", or the alarm's
    text: str  # a sentence or two
    since: datetime
    level: str = ""  # told again, or further up: another alert, though it is about the same

    @property
    def key(self) -> str:
        """Return what the same alert has in common with itself."""
        return f"{self.name} {self.since.isoformat()} {self.level}"  # how many wait may change while it is being sent


class Road(Protocol):
    """One way to reach people."""

    def take(self, alert: Alert) -> bool:
        """Say whether it has reached them; False: not, or not yet. Whoever hears False asks again."""


class Alerts:
    """Every road there is. What one of them took counts as told; e-mail tries again by itself."""

    def __init__(self, *roads: Road) -> None:
        self._roads = roads

    @classmethod
    def of(cls, settings: Settings) -> Alerts:
        """Return the roads the environment names; there may be none."""
        roads: list[Road] = []
        if settings.alert_webhook_url:
            roads.append(Webhook(settings.alert_webhook_url))
        if settings.smtp_url:
            letter = Letter(settings.alert_from, settings.alert_emails, settings.desk_url)
            roads.append(Mail(Postbox(settings.smtp_url), letter))
        return cls(*roads)

    def __bool__(self) -> bool:
        return bool(self._roads)

    def tell(self, alert: Alert) -> bool:
        """Send it down every road; say whether anybody has been reached."""
        taken = [road.take(alert) for road in self._roads]  # each of them, whatever the others do
        return any(taken)


class Webhook:
    """ALERT_WEBHOOK_URL: a JSON body is posted there."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._fails = False

    def take(self, alert: Alert) -> bool:
        """Post it at once."""
        body = {"alarm": alert.name, "text": alert.text, "since": alert.since.isoformat()}
        try:
            requests.post(self._url, json=body, timeout=TELLS_WITHIN_S).raise_for_status()
        except requests.RequestException:
            if not self._fails:
                log.warning("the alert webhook did not take a call", extra={"action": "alert_failed"})
            self._fails = True
            return False
        self._fails = False
        return True


@dataclass(frozen=True)
class Letter:
    """From whom and to whom e-mail goes, and where the desk is."""

    sender: str
    to: Sequence[str]
    desk_url: str = ""

    def about(self, alert: Alert) -> EmailMessage:
        """Write it."""
        subject = re.split(r"[.,:;] ", alert.text, maxsplit=1)[0]
        lines = [alert.text, f"Since {alert.since:%d %b %H:%M} UTC."]
        if self.desk_url:
            lines.append(f"The desk: {self.desk_url}")
        lines.append("Baton writes this to BATON_ALERT_EMAILS. Nobody reads answers to it.")
        letter = EmailMessage()
        letter["Subject"] = f"Baton: {' '.join(subject.rstrip('.').split())[:150]}"
        letter["From"], letter["To"] = self.sender, ", ".join(self.to)
        letter["Date"] = format_datetime(datetime.now(timezone.utc))
        letter["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2].rstrip(">") or "baton")
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content("\n\n".join(lines) + "\n")
        return letter


class Postbox:
    """A mail server, as BATON_SMTP_URL names it: smtp://name:password@host:587 (STARTTLS), smtps:// (TLS at once)."""

    def __init__(self, url: str, *, within_s: float = TELLS_WITHIN_S, trust: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "smtps"
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (465 if self._is_tls else 587)
        self._name, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._within_s = within_s
        self._trust = trust or ssl.create_default_context()

    def post(self, letter: EmailMessage) -> None:
        """Hand it to the server; raise what went wrong. A password is never sent in the clear."""
        if self._is_tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=self._within_s, context=self._trust
            )  # fmt: skip
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._within_s)
        try:
            server.ehlo()
            if not self._is_tls and server.has_extn("starttls"):
                server.starttls(context=self._trust)
                server.ehlo()
            elif not self._is_tls and self._name:
                raise NoSecrecy("it offers no STARTTLS")
            if self._name:
                server.login(self._name, self._password)
            refused = server.send_message(letter)
            with contextlib.suppress(smtplib.SMTPException, OSError):  # it has the letter, whatever it says at parting
                server.quit()
        finally:
            server.close()
        if refused:
            log.warning(
                "the mail server refused %d of those who are to be told", len(refused), extra={"action": "mail_refused"}
            )


class Mail:
    """E-mail, sent by a thread of its own: a mail server that hangs holds nobody up."""

    def __init__(
        self, postbox: Postbox, letter: Letter, *, retries_s: Sequence[float] = RETRIES_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._postbox = postbox
        self._letter = letter
        self._retries_s = retries_s
        self._clock = clock
        self._changed = threading.Condition()
        self._owed: dict[str, tuple[Alert, float]] = {}  # by its name: the newest says it all; and since when
        self._sent: dict[str, float] = {}
        self._failed = 0  # in a row
        self._thread: threading.Thread | None = None

    def take(self, alert: Alert) -> bool:
        """Have it sent soon; say whether that has been done."""
        now = self._clock()
        with self._changed:
            self._sent = {key: at for key, at in self._sent.items() if now - at < REMEMBERED_S}
            if self._sent.pop(alert.key, None) is not None:
                return True
            owed = self._owed.get(alert.name)
            if owed is None or owed[0].key != alert.key:
                self._owed[alert.name] = (alert, now)
                self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mail", daemon=True)
                self._thread.start()
        return False

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._owed:
                    self._changed.wait()
                alert, _ = next(iter(self._owed.values()))
            if not self._post(alert):
                with self._changed:
                    self._changed.wait(self._retries_s[min(self._failed, len(self._retries_s)) - 1])
            self._forget_stale()

    def _post(self, alert: Alert) -> bool:
        try:
            self._postbox.post(self._letter.about(alert))
        except (smtplib.SMTPException, OSError) as problem:
            self._failed += 1
            if self._failed == 1:  # once; it is tried again all the same
                log.warning(
                    "e-mail could not be sent (%s); it is tried again", type(problem).__name__,
                    extra={"action": "mail_failed", "code": getattr(problem, "smtp_code", 0)},
                )  # fmt: skip
            return False
        if self._failed:
            log.info("e-mail can be sent again", extra={"action": "mail_again"})
        self._failed = 0
        with self._changed:
            self._sent[alert.key] = self._clock()
            owed = self._owed.get(alert.name)
            if owed is not None and owed[0].key == alert.key:
                del self._owed[alert.name]
        return True

    def _forget_stale(self) -> None:
        now = self._clock()
        with self._changed:
            self._owed = {name: one for name, one in self._owed.items() if now - one[1] < STALE_AFTER_S}
