"""The outbox loop: claim, send, settle. No transaction is open while Meta answers."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import requests
from sqlalchemy.exc import SQLAlchemyError

from bot.clock import Clock
from bot.ledger import alarms, outbox, transcript
from bot.ledger.outbox import Kind, Outcome, Outgoing
from bot.ledger.transaction import Ledger, Transaction
from connectors.whatsapp import payloads
from connectors.whatsapp.client import CloudApi
from connectors.whatsapp.errors import (
    PAIR_LIMIT,
    NotConnected,
    Refused,
    SignedOut,
    Throttled,
    WhatsAppError,
    WindowShut,
)

log = logging.getLogger(__name__)

IDLE_S = 0.2  # how often an empty outbox is looked at
HOUSEKEEPING_S = 2.0
AT_ONCE = 8  # messages in flight, each to another contact
SIGNED_OUT = "signed_out"  # and the number
SETTLE_PAUSES_S = (0.1, 0.2, 0.5, 1, 2, 3, 3, 5)  # less than a lease in all
STUCK_AFTER = timedelta(minutes=2)
SIGNED_OUT_WAIT = timedelta(seconds=30)


def outcome_of(problem: WhatsAppError, attempts: int) -> Outcome:
    """Decide what follows a failed send; a value, carried out by the outbox."""
    match problem:
        case WindowShut() | Refused():
            return Outcome(Kind.REFUSED, words=str(problem))
        case SignedOut():
            return Outcome(Kind.STOPPED, words=str(problem), wait=SIGNED_OUT_WAIT)
        case Throttled():
            base = 4 if problem.code == PAIR_LIMIT else 2
            return Outcome(
                Kind.LATER, words=str(problem), wait=timedelta(seconds=min(base ** max(attempts - 1, 0), 64))
            )
        case NotConnected():
            return Outcome(Kind.STOPPED, words=str(problem), wait=timedelta(seconds=2))
        case _:
            return Outcome(Kind.UNHEARD, words=str(problem))


def claim_one(ledger: Ledger, now: Clock) -> Outgoing | None:
    """Claim the next message; only a look when there is none, so that an idle sender blocks no writer."""
    with ledger.reading() as tx:
        if not outbox.is_due(tx, now()):
            return None
    with ledger.writing() as tx:
        return outbox.claim(tx, now())


def send(ledger: Ledger, api: CloudApi, outgoing: Outgoing, now: Clock) -> None:
    """Send a claimed message and write down what became of it. No transaction is open while Meta answers."""
    try:
        outcome = Outcome(Kind.ACCEPTED, wamid=api.send(outgoing.phone_number_id, payloads.render(outgoing)))
    except WhatsAppError as problem:
        outcome = outcome_of(problem, outgoing.attempts)
        log.warning(
            "a message was not accepted: %s",
            type(problem).__name__,
            extra={"action": "send_failed", "message_id": outgoing.id, "code": problem.code},
        )
        alarming = isinstance(problem, SignedOut)
    else:
        alarming = False
    alarm = f"{SIGNED_OUT} {outgoing.phone_number_id}"[:64]
    for pause in SETTLE_PAUSES_S:
        try:
            with ledger.writing() as tx:
                outbox.settle(tx, outgoing.id, outcome, now())
                if alarming:
                    words = (
                        f"WhatsApp refuses to send: {outcome.words}. Nothing is lost; it goes out once this is mended."
                    )
                    alarms.raise_alarm(tx, alarm, words, now())
                elif outcome.kind is Kind.ACCEPTED:
                    alarms.clear(tx, alarm)
            return
        except SQLAlchemyError as problem:
            # Meta has said yes and only we know it: forgetting that now would send the message twice.
            log.warning("an outcome could not be written down yet: %s", type(problem).__name__,
                        extra={"action": "settle_failed", "message_id": outgoing.id})  # fmt: skip
            time.sleep(pause)
    log.error("an outcome was never written down", extra={"action": "settle_lost", "message_id": outgoing.id})


def _alarm_if_stuck(tx: Transaction, now: datetime) -> None:
    """Raise an alarm while something has waited too long to go out, whatever the reason; clear it when it has."""
    oldest = transcript.oldest_unsent_message(tx)
    if oldest is not None and oldest < now - STUCK_AFTER:
        alarms.raise_alarm(tx, "not_sending", "Messages wait to be sent for minutes; is the Cloud API reachable?", now)
    else:
        alarms.clear(tx, "not_sending")


class Sender:
    """Keeps the outbox empty until it is told to stop."""

    def __init__(self, ledger: Ledger, api: CloudApi, now: Clock, alert_webhook_url: str = "") -> None:
        self._ledger = ledger
        self._api = api
        self._now = now
        self._alert_webhook_url = alert_webhook_url
        self._stop = threading.Event()
        self._free = threading.Semaphore(AT_ONCE)

    def stop(self) -> None:
        """Finish what is in flight and end."""
        self._stop.set()

    def run(self) -> None:
        """Send until stopped, several at a time, each to another contact: the outbox keeps every contact's order."""
        with ThreadPoolExecutor(max_workers=AT_ONCE + 1) as pool:
            pool.submit(self._keep_house)
            try:
                while not self._stop.is_set():
                    self._free.acquire()
                    outgoing = self._claim()
                    if outgoing is None:
                        self._free.release()
                        self._stop.wait(IDLE_S)
                    else:
                        pool.submit(self._send, outgoing)
            finally:
                self._stop.set()  # a sender that ends must end whole, so that the runner starts a new one

    def _claim(self) -> Outgoing | None:
        try:
            return claim_one(self._ledger, self._now)
        except Exception:  # the ledger may be away for a while; the sender must not be
            log.exception("nothing could be claimed", extra={"action": "claim_failed"})
            self._stop.wait(1.0)
            return None

    def _send(self, outgoing: Outgoing) -> None:
        try:
            send(self._ledger, self._api, outgoing, self._now)
        except Exception:  # whatever it was, the next message must still go; this one's lease brings it back
            log.exception("the sender stumbled", extra={"action": "sender_stumbled", "message_id": outgoing.id})
        finally:
            self._free.release()

    def _keep_house(self) -> None:
        """Bring back what fell silent; tell the alert webhook what was raised."""
        next_at = 0.0
        while not self._stop.is_set():
            if time.monotonic() >= next_at:
                next_at = time.monotonic() + HOUSEKEEPING_S
                try:
                    with self._ledger.writing() as tx:
                        outbox.expire(tx, self._now())
                        _alarm_if_stuck(tx, self._now())
                    self._tell_alarms()
                except Exception:  # whatever it was, what falls silent must be brought back next time
                    log.exception("keeping house failed", extra={"action": "house_unkept"})
            self._stop.wait(IDLE_S)

    def _tell_alarms(self) -> None:
        if not self._alert_webhook_url:
            return
        with self._ledger.reading() as tx:
            untold = alarms.untold(tx)
        for alarm in untold:
            body = {"alarm": alarm.name, "text": alarm.words, "since": alarm.raised_at.isoformat()}
            try:
                requests.post(self._alert_webhook_url, json=body, timeout=10).raise_for_status()
            except requests.RequestException:
                log.warning("the alert webhook did not take an alarm", extra={"action": "alert_failed"})
                return
            with self._ledger.writing() as tx:
                alarms.told(tx, alarm.name, self._now())
