"""The outbox loop: claim, send, settle; and what else Meta is asked for. No transaction is open while Meta answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from bot.alerts import Alert, Alerts
from bot.clock import Clock
from bot.ledger import alarms, changes, errands, handoffs, inbox, outbox, transcript
from bot.ledger.errands import Asked
from bot.ledger.outbox import Kind, Outcome, Outgoing
from bot.ledger.transaction import Ledger, Transaction
from bot.messages import MessageTemplate
from bot.vocabulary import Errand
from connectors.whatsapp import payloads
from connectors.whatsapp.client import CALL_WITHIN_S, CloudApi
from connectors.whatsapp.errors import (
    PAIR_LIMIT,
    NotConnected,
    Refused,
    Scope,
    SignedOut,
    Throttled,
    TooSlow,
    WhatsAppError,
    WindowShut,
)
from connectors.whatsapp.media import FETCH_EVERY_S, SWEEP_EVERY_S, Fetcher

log = logging.getLogger(__name__)

IDLE_S = 0.1  # how often an empty outbox is looked at
HOUSEKEEPING_S = 2.0
AT_ONCE = 8  # messages in flight, each to another contact
SIGNED_OUT = "signed_out"  # and the number
SETTLE_PAUSES_S = (0.1, 0.2, 0.5, 1, 2, 3, 3, 5)  # less than a lease in all
STUCK_AFTER = timedelta(minutes=2)
SIGNED_OUT_WAIT = timedelta(seconds=30)
NOT_CONNECTED_WAIT = timedelta(seconds=2)
LONGEST_WAIT_S = 64.0  # when Meta names none; its own advice is 4^n seconds: 1, 4, 16, 64
UPLOADS_MAX = 5  # that could not leave in time; without a connection it waits like any other
BEGINS_WITHIN = outbox.LEASE - timedelta(seconds=CALL_WITHIN_S)  # of its claim; later, the call would outlast the lease
PRUNE_EVERY_S = 600.0
PRUNED_AT_ONCE = 500  # rows in one transaction: the limit of inbox.prune and changes.prune
PRUNES_MAX = 50  # in a row; all in all far more than Meta brings in the time
PRUNE_PAUSE_S = 0.05  # others may write meanwhile
KEEP_CHANGES = timedelta(days=1)


@dataclass(frozen=True)
class Duties:
    """What a sender needs to know beside the ledger and the Cloud API."""

    media: Path | None = None  # where files to be sent lie
    account_id: str = ""  # whose templates are read
    alerts: Alerts = field(default_factory=Alerts)
    per_second: float = 80.0  # of each of our numbers
    keep_deliveries: timedelta = timedelta(days=30)


def outcome_of(problem: WhatsAppError, tries: int, slowed: int = 0) -> Outcome:
    """Decide what follows a failed send; a value, carried out by the outbox.

    `tries` counts what was wrong with this message, `slowed` how often in a row Meta found its number too fast.
    """
    words, code = str(problem), problem.code
    match problem:
        case WindowShut() | Refused():
            return Outcome(Kind.REFUSED, words=words, code=code)
        case SignedOut():
            wait = max(SIGNED_OUT_WAIT, timedelta(seconds=problem.retry_after_s or 0))
            return Outcome(Kind.STOPPED, words=words, wait=wait, code=code)
        case Throttled():
            if problem.attempts_max is not None and tries >= problem.attempts_max:
                return Outcome(Kind.REFUSED, words=words, code=code)
            slower = problem.scope in {Scope.NUMBER, Scope.ACCOUNT}
            base = 4 if problem.code == PAIR_LIMIT else 2
            wait_s = problem.retry_after_s or min(base ** (slowed if slower else max(tries - 1, 0)), LONGEST_WAIT_S)
            return Outcome(
                Kind.SLOWER if slower else Kind.LATER,
                words=words,
                wait=timedelta(seconds=wait_s),
                code=code,
                everywhere=problem.scope is Scope.ACCOUNT,
            )
        case NotConnected():
            return Outcome(Kind.STOPPED, words=words, wait=NOT_CONNECTED_WAIT)
        case _:
            return Outcome(Kind.UNHEARD, words=words, code=code)


def claim_one(ledger: Ledger, now: Clock) -> Outgoing | None:
    """Claim the next message."""
    found = claim_some(ledger, now, 1)
    return found[0] if found else None


def claim_some(ledger: Ledger, now: Clock, most: int, per_second: float = 80.0) -> list[Outgoing]:
    """Claim what may go now; only a look when there is nothing, so that an idle sender blocks no writer."""
    with ledger.reading() as tx:
        if not outbox.is_due(tx, now()):
            return []
    with ledger.writing() as tx:
        return outbox.claim_some(tx, now(), most, per_second=per_second)


def send(ledger: Ledger, api: CloudApi, outgoing: Outgoing, now: Clock, media: Path | None = None) -> None:
    """Send a claimed message and write down what became of it. No transaction is open while Meta answers."""
    outcome = _uploaded(ledger, api, outgoing, now, media)
    if isinstance(outcome, Outgoing):
        outcome = _sent(api, outcome, now)
    signed_out = outcome.kind is Kind.STOPPED and outcome.wait >= SIGNED_OUT_WAIT
    alarm = f"{SIGNED_OUT} {outgoing.phone_number_id}"[:64]
    for pause in SETTLE_PAUSES_S:
        try:
            with ledger.writing() as tx:
                outbox.settle(tx, outgoing.id, outcome, now(), attempt=outgoing.attempts)
                if signed_out:
                    words = (
                        f"WhatsApp refuses to send: {outcome.words}. Nothing is lost; it goes out once this is mended."
                    )
                    alarms.raise_alarm(tx, alarm, words, now())
                elif outcome.kind is Kind.ACCEPTED:
                    alarms.clear(tx, alarm)
                    if outgoing.slowed:
                        outbox.is_fast_enough(tx, outgoing.phone_number_id)
            return
        except SQLAlchemyError as problem:
            # Meta has said yes and only we know it: forgetting that now would send the message twice.
            log.warning("an outcome could not be written down yet: %s", type(problem).__name__,
                        extra={"action": "settle_failed", "message_id": outgoing.id})  # fmt: skip
            time.sleep(pause)
    log.error("an outcome was never written down", extra={"action": "settle_lost", "message_id": outgoing.id})


def _uploaded(ledger: Ledger, api: CloudApi, outgoing: Outgoing, now: Clock, media: Path | None) -> Outgoing | Outcome:
    """Give Meta the file a message carries, if it carries one; a failure here has sent nothing."""
    file = outbox.file_of(outgoing.content)
    if file is None:
        return outgoing
    if media is None:
        return Outcome(Kind.REFUSED, words="there is no folder for files here")
    try:
        media_id = api.upload(outgoing.phone_number_id, media / Path(file.file).name, file.mime_type)
    except TooSlow as problem:
        if outgoing.tries >= UPLOADS_MAX:
            return Outcome(Kind.REFUSED, words=f"the file could not be brought to WhatsApp: {problem}")
        return Outcome(Kind.LATER, words=str(problem), wait=timedelta(seconds=2**outgoing.tries))
    except WhatsAppError as problem:
        return outcome_of(problem, outgoing.tries, outgoing.slowed)
    claimed_at, claimed_s = now(), time.monotonic()
    with ledger.writing() as tx:
        if not outbox.renew(tx, outgoing.id, claimed_at, attempt=outgoing.attempts):
            return Outcome(Kind.LATER, words="it may not be sent any more, or another sender has it")
    return replace(outgoing, media_id=media_id, claimed_at=claimed_at, claimed_s=claimed_s)


def _sent(api: CloudApi, outgoing: Outgoing, now: Clock) -> Outcome:
    if outgoing.held_for(now()) > BEGINS_WITHIN:
        # This process, or the whole machine, slept: another sender may have it by now, or a person the conversation.
        log.warning("a message was claimed too long ago", extra={"action": "send_late", "message_id": outgoing.id})
        return Outcome(Kind.LATER, words="it was not sent in time")
    try:
        body = payloads.render(outgoing)
    except outbox.UNREADABLE as problem:  # else it would be claimed for ever, and everything behind it would wait
        log.error("a message can't be rendered: %s", type(problem).__name__,
                  extra={"action": "unrenderable", "message_id": outgoing.id})  # fmt: skip
        return Outcome(
            Kind.REFUSED, words="it can't be written as WhatsApp wants it; please tell whoever looks after Baton"
        )
    try:
        return Outcome(Kind.ACCEPTED, wamid=api.send(outgoing.phone_number_id, body))
    except WhatsAppError as problem:
        log.warning(
            "a message was not accepted: %s",
            type(problem).__name__,
            extra={"action": "send_failed", "message_id": outgoing.id, "code": problem.code},
        )
        return outcome_of(problem, outgoing.tries, outgoing.slowed)


def run_errand(ledger: Ledger, api: CloudApi, asked: Asked, now: Clock, account_id: str) -> None:
    """Ask Meta for one thing, and write down what came of it."""
    try:
        found = _asked(api, asked, account_id)
    except WhatsAppError as problem:
        for_good = isinstance(problem, (Refused, WindowShut))
        with ledger.writing(lightly=True) as tx:
            given_up = errands.failed(tx, asked, str(problem), now(), for_good=for_good)
            if given_up and asked.kind is not Errand.SEEN:
                name = _alarm_of(asked)
                words = (
                    f"WhatsApp would not do this ({asked.kind.value}): {str(problem)[:300]}. "
                    f'It ends once WhatsApp does it; or with: python -m handoff alarm clear "{name}"'
                )
                alarms.raise_alarm(tx, name, words, now())
        log.info(
            "an errand failed: %s", type(problem).__name__, extra={"action": "errand_failed", "kind": asked.kind.value}
        )
        return
    with ledger.writing(lightly=True) as tx:
        if found is not None:
            errands.keep_templates(tx, found, now())
        errands.done(tx, asked, now())
        if asked.kind is not Errand.SEEN:
            alarms.clear(tx, _alarm_of(asked))


def _alarm_of(asked: Asked) -> str:
    """Name what WhatsApp would not do: of every contact whom it would not block or unblock by itself."""
    return "errand templates" if asked.kind is Errand.TEMPLATES else f"errand block {asked.contact_id}"


def _asked(api: CloudApi, asked: Asked, account_id: str) -> list[MessageTemplate] | None:
    match asked.kind:
        case Errand.SEEN:
            api.see(asked.phone_number_id, asked.wamid, typing=asked.typing)
        case Errand.BLOCK:
            api.block(asked.phone_number_id, phone=asked.phone, bsuid=asked.bsuid)
        case Errand.UNBLOCK:
            api.unblock(asked.phone_number_id, phone=asked.phone, bsuid=asked.bsuid)
        case Errand.TEMPLATES:
            return api.templates(account_id) if account_id else None
    return None


def _alarm_if_stuck(tx: Transaction, now: datetime) -> None:
    """Raise an alarm while something has waited too long to go out, whatever the reason; clear it when it has."""
    oldest = transcript.oldest_unsent_message(tx)
    if oldest is not None and oldest < now - STUCK_AFTER:
        alarms.raise_alarm(tx, "not_sending", "Messages wait to be sent for minutes; is the Cloud API reachable?", now)
    else:
        alarms.clear(tx, "not_sending")


class Sender:
    """Keeps the outbox empty until it is told to stop. Several may run at once, on PostgreSQL on several machines."""

    def __init__(self, ledger: Ledger, api: CloudApi, now: Clock, duties: Duties | None = None) -> None:
        self._ledger = ledger
        self._api = api
        self._now = now
        self._duties = duties or Duties()
        self._stop = threading.Event()
        self._in_flight = threading.Semaphore(AT_ONCE)
        self._prune_at = 0.0

    def stop(self) -> None:
        """Finish what is in flight and end."""
        self._stop.set()

    def run(self) -> None:
        """Send until stopped, several at a time, each to another contact: the outbox keeps every contact's order."""
        with ThreadPoolExecutor(max_workers=AT_ONCE + 5) as pool:
            pool.submit(self._again_and_again, HOUSEKEEPING_S, self._keep_house)
            pool.submit(self._again_and_again, IDLE_S, self._run_errands)
            if self._duties.media is not None:
                fetcher = Fetcher(self._ledger, self._api, self._now, self._duties.media, self._stop)
                pool.submit(self._again_and_again, FETCH_EVERY_S, fetcher.fetch_any)
                pool.submit(self._again_and_again, FETCH_EVERY_S, fetcher.fetch_small)
                pool.submit(self._again_and_again, SWEEP_EVERY_S, fetcher.sweep)
            try:
                while not self._stop.is_set():
                    free = self._take_free()
                    claimed = self._claim(free)
                    for _ in range(free - len(claimed)):
                        self._in_flight.release()
                    for outgoing in claimed:
                        pool.submit(self._send, outgoing)
                    if not claimed:
                        self._stop.wait(IDLE_S)
            finally:
                self._stop.set()  # a sender that ends must end whole, so that the runner starts a new one

    def _take_free(self) -> int:
        """Wait for room for one message, and take all the room there is."""
        self._in_flight.acquire()
        free = 1
        while self._in_flight.acquire(blocking=False):
            free += 1
        return free

    def _claim(self, most: int) -> list[Outgoing]:
        try:
            return claim_some(self._ledger, self._now, most, self._duties.per_second)
        except Exception:  # the ledger may be away for a while; the sender must not be
            log.exception("nothing could be claimed", extra={"action": "claim_failed"})
            self._stop.wait(1.0)
            return []

    def _send(self, outgoing: Outgoing) -> None:
        try:
            send(self._ledger, self._api, outgoing, self._now, self._duties.media)
        except Exception:  # whatever it was, the next message must still go; this one's lease brings it back
            log.exception("the sender stumbled", extra={"action": "sender_stumbled", "message_id": outgoing.id})
        finally:
            self._in_flight.release()

    def _again_and_again(self, every_s: float, work: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                work()
            except Exception:  # whatever it was, the next time may go well
                log.exception("work beside the sending failed", extra={"action": "beside_failed"})
            self._stop.wait(every_s)

    def _run_errands(self) -> None:
        with self._ledger.reading() as tx:
            if not errands.is_due(tx, self._now()):
                return
        with self._ledger.writing(lightly=True) as tx:
            claimed = errands.claim(tx, self._now())
        for asked in claimed:
            run_errand(self._ledger, self._api, asked, self._now, self._duties.account_id)

    def _keep_house(self) -> None:
        """Bring back what fell silent, pass on what failed, forget what is old, tell what was raised."""
        self._each(outbox.expire, handoffs.hand_off_undelivered, handoffs.give_back_from_phone, _alarm_if_stuck)
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + PRUNE_EVERY_S
            if self._duties.account_id:
                self._each(errands.keep_reading_templates)
            self._prune(inbox.prune, self._duties.keep_deliveries)
            self._prune(changes.prune, KEEP_CHANGES)
        self._tell_alarms()

    def _each(self, *duties: Callable[[Transaction, datetime], object]) -> None:
        """Do each in a transaction of its own: what fails again and again in one must not stop the others."""
        for duty in duties:
            try:
                with self._ledger.writing() as tx:
                    duty(tx, self._now())
            except Exception:  # it is done again in a moment
                log.exception("a duty failed", extra={"action": "duty_failed", "duty": duty.__name__})

    def _prune(self, prune: Callable[[Transaction, datetime], int], keep: timedelta) -> None:
        """Forget what is older, a little at a time, so that nobody waits; the rest another time."""
        for _ in range(PRUNES_MAX):
            if self._stop.is_set():
                return
            try:
                with self._ledger.writing(lightly=True) as tx:
                    if prune(tx, self._now() - keep) < PRUNED_AT_ONCE:
                        return
            except Exception:  # what is old can wait
                log.exception("nothing could be pruned", extra={"action": "prune_failed"})
                return
            self._stop.wait(PRUNE_PAUSE_S)

    def _tell_alarms(self) -> None:
        if not self._duties.alerts:
            return
        with self._ledger.reading() as tx:
            untold = alarms.untold(tx, self._now())
        for alarm in untold:
            if self._duties.alerts.tell(Alert(alarm.name, alarm.words, alarm.raised_at)):
                with self._ledger.writing() as tx:
                    alarms.told(tx, alarm.name, self._now())
