"""A sender between its claim and Meta: whatever holds it up, nothing goes out twice, and nothing over a person."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from bot.alerts import Alert, Alerts
from bot.ledger import alarms, changes, errands, handoffs, inbox, outbox
from bot.ledger.errands import Asked
from bot.ledger.outbox import Outgoing
from bot.ledger.tables import conversations, messages
from bot.ledger.transaction import Ledger, Transaction
from bot.messages import Media, Outbound, Tap, Text
from bot.updates import Unsupported
from bot.vocabulary import Author, Errand, Status
from connectors.whatsapp.client import CloudApi
from connectors.whatsapp.errors import NotConnected, SignedOut, Throttled, TooSlow, WhatsAppError
from connectors.whatsapp.sender import Duties, Sender, run_errand, send
from tests.factories import NOW, NUMBER, a_text, heard, later, taken


@dataclass
class Sleeper:
    """Meta, which takes everything, and a sender's clock, which the test moves."""

    ledger: Ledger
    seconds: float = 0.0
    sent: list[str] = field(default_factory=list)
    while_it_uploads: Callable[[], None] = lambda: None
    refuses: WhatsAppError | None = None

    @property
    def api(self) -> CloudApi:
        return cast(CloudApi, self)

    def now(self) -> datetime:
        return later(self.seconds)

    def send(self, phone_number_id: str, body: dict[str, Any]) -> str:
        if self.refuses is not None:
            raise self.refuses
        self.sent.append(body["biz_opaque_callback_data"])
        return f"wamid.OUT{len(self.sent)}"

    def upload(self, phone_number_id: str, file: Path, mime_type: str = "") -> str:
        self.while_it_uploads()
        return "900"

    def queued(self, content: Outbound, epoch: int | None = None) -> int:
        (conversation_id,) = heard(self.ledger, a_text())
        with self.ledger.writing() as tx:
            found = outbox.queue(tx, conversation_id, content, author=Author.BOT, epoch=epoch, now=NOW)
        assert found is not None
        return found

    def claimed(self) -> Outgoing | None:
        with self.ledger.writing() as tx:
            inbox.keep_door_open(tx, self.now())
            return outbox.claim(tx, self.now())

    def passes(self, seconds: float) -> None:
        """Time passes while the webhook is open, and somebody else keeps the house."""
        for _ in range(int(seconds / 2)):
            self.seconds += 2
            with self.ledger.writing(lightly=True) as tx:
                inbox.keep_door_open(tx, self.now())
                inbox.record(tx, b"{}", [Unsupported("calls")], self.now())
                outbox.expire(tx, self.now())

    def takes(self) -> None:
        with self.ledger.reading() as tx:
            key = tx.execute(sa.select(conversations.c.key)).scalar_one()
        taken(self.ledger, key, now=self.now())

    def sends(self, outgoing: Outgoing | None, media: Path | None = None) -> None:
        assert outgoing is not None
        send(self.ledger, self.api, outgoing, self.now, media)

    def status_of(self, message_id: int) -> Status:
        with self.ledger.reading() as tx:
            found: Status = tx.execute(sa.select(messages.c.status).where(messages.c.id == message_id)).scalar_one()
        return found


@pytest.fixture
def meta(ledger: Ledger) -> Sleeper:
    return Sleeper(ledger)


PHOTO = Media("image", file="garden.png", mime_type="image/png")


def test_a_sender_that_slept_after_its_claim_leaves_the_message_to_who_has_it_now(meta: Sleeper) -> None:
    message_id = meta.queued(Text("once"))
    slept = meta.claimed()
    meta.passes(100)
    meta.sends(meta.claimed())
    meta.sends(slept)
    assert len(meta.sent) == 1 and meta.status_of(message_id) is Status.SENT


def test_a_sender_that_slept_gives_back_what_nobody_else_has_and_it_goes_at_once(meta: Sleeper) -> None:
    message_id = meta.queued(Text("once"))
    slept = meta.claimed()
    assert slept is not None
    meta.sends(replace(slept, claimed_s=time.monotonic() - 10))  # the clock on the wall was set back by as much
    assert meta.sent == [] and meta.status_of(message_id) is Status.QUEUED
    meta.sends(meta.claimed())
    assert len(meta.sent) == 1 and meta.status_of(message_id) is Status.SENT


def test_a_sender_that_slept_while_a_person_took_over_says_nothing(meta: Sleeper) -> None:
    message_id = meta.queued(Text("the bot's"), epoch=1)
    slept = meta.claimed()
    meta.takes()
    meta.seconds += 3600
    meta.sends(slept)
    assert meta.claimed() is None
    assert meta.sent == [] and meta.status_of(message_id) is Status.WITHDRAWN


@pytest.mark.parametrize("refused", [NotConnected("no route"), SignedOut("the token expired", 190)])
def test_a_file_waits_for_the_line_as_long_as_words_do(meta: Sleeper, tmp_path: Path, refused: WhatsAppError) -> None:
    def cut() -> None:
        raise refused

    (tmp_path / PHOTO.file).write_bytes(b"...")
    message_id = meta.queued(PHOTO)
    meta.while_it_uploads = cut
    for _ in range(12):
        meta.sends(meta.claimed(), tmp_path)
        meta.passes(60)
    meta.while_it_uploads = lambda: None
    meta.sends(meta.claimed(), tmp_path)
    assert len(meta.sent) == 1 and meta.status_of(message_id) is Status.SENT


def test_a_file_too_large_for_the_line_is_given_up(meta: Sleeper, tmp_path: Path) -> None:
    def crawls() -> None:
        raise TooSlow("it could not leave in time")

    (tmp_path / PHOTO.file).write_bytes(b"...")
    message_id = meta.queued(PHOTO)
    meta.while_it_uploads = crawls
    while (claimed := meta.claimed()) is not None:
        meta.sends(claimed, tmp_path)
        meta.passes(60)
    assert meta.status_of(message_id) is Status.FAILED


def test_what_was_uploaded_while_a_person_took_over_is_not_sent(meta: Sleeper, tmp_path: Path) -> None:
    message_id = meta.queued(PHOTO, epoch=1)
    outgoing = meta.claimed()
    meta.while_it_uploads = meta.takes
    meta.sends(outgoing, tmp_path)
    assert meta.claimed() is None
    assert meta.sent == [] and meta.status_of(message_id) is Status.WITHDRAWN


def test_what_was_uploaded_for_longer_than_its_lease_is_not_sent_by_two(meta: Sleeper, tmp_path: Path) -> None:
    message_id = meta.queued(PHOTO)
    slow = meta.claimed()

    def another_one_is_quicker() -> None:
        meta.while_it_uploads = lambda: None
        meta.passes(200)
        meta.sends(meta.claimed(), tmp_path)

    meta.while_it_uploads = another_one_is_quicker
    meta.sends(slow, tmp_path)
    assert len(meta.sent) == 1 and meta.status_of(message_id) is Status.SENT


def test_a_long_upload_leaves_the_send_its_whole_time_and_is_listened_for_from_then_on(
    meta: Sleeper, tmp_path: Path
) -> None:
    meta.queued(PHOTO)
    outgoing = meta.claimed()
    meta.while_it_uploads = lambda: meta.passes(80)
    meta.sends(outgoing, tmp_path)
    assert len(meta.sent) == 1
    second = meta.queued(PHOTO)
    meta.passes(10)
    outgoing = meta.claimed()
    assert outgoing is not None and outgoing.id == second
    meta.passes(80)
    with meta.ledger.writing() as tx:
        assert outbox.renew(tx, second, meta.now(), attempt=1)
    meta.passes(30)  # its sender died: the 80 s before it was sent tell nothing
    assert meta.status_of(second) is Status.SENDING
    meta.passes(60)
    assert meta.status_of(second) is Status.QUEUED


def test_what_can_not_be_rendered_fails_at_once_and_holds_nobody_up(meta: Sleeper) -> None:
    broken, whole = meta.queued(Text("one")), meta.queued(Text("two"))
    outgoing = meta.claimed()
    assert outgoing is not None
    meta.sends(replace(outgoing, content=cast(Outbound, Tap("yes", "Yes"))))
    meta.sends(meta.claimed())
    assert (meta.status_of(broken), meta.status_of(whole)) == (Status.FAILED, Status.SENT)


def test_a_sender_that_stumbles_over_the_same_message_again_and_again_gives_it_up_in_an_hour(meta: Sleeper) -> None:
    message_id = meta.queued(Text("one"))
    with meta.ledger.writing() as tx:
        (conversation_id,) = tx.execute(sa.select(conversations.c.id)).scalars()
        behind = outbox.queue(tx, conversation_id, Text("two"), author=Author.BOT, now=NOW)
    while meta.status_of(message_id) is not Status.FAILED and meta.seconds < 5400:
        meta.claimed()  # and it raises something that nobody has thought of, before it could settle anything
        meta.passes(100)
    assert 3600 < meta.seconds < 4000
    outgoing = meta.claimed()
    assert outgoing is not None and outgoing.id == behind


@pytest.mark.parametrize("code", [130429, 4, 80007])
def test_a_number_meta_finds_too_fast_is_asked_less_and_less_often_until_meta_takes_something(
    meta: Sleeper, code: int
) -> None:
    def waits() -> list[float]:
        found = []
        while len(found) < 8:
            outgoing = meta.claimed()
            if outgoing is None:
                meta.seconds += 1
                continue
            began = meta.seconds
            meta.sends(outgoing)
            while not _is_due(meta):
                meta.seconds += 1
            found.append(meta.seconds - began)
        return found

    meta.refuses = Throttled("too fast", code)
    meta.queued(Text("once"))
    meta.queued(Text("twice"))
    assert waits() == [1, 2, 4, 8, 16, 32, 64, 64]
    meta.refuses = None
    meta.sends(meta.claimed())
    meta.passes(10)
    meta.refuses = Throttled("too fast", code)
    assert waits()[:3] == [1, 2, 4]


def _is_due(meta: Sleeper) -> bool:
    with meta.ledger.reading() as tx:
        return outbox.is_due(tx, meta.now())


class Clerk:
    """Meta, asked for other things than messages."""

    knows_us = False

    def templates(self, _account: str) -> list[object]:
        if not self.knows_us:
            raise SignedOut("WhatsApp does not accept our access token any more", 190)
        return []

    def block(self, _number: str, **_contact: object) -> None:
        self.templates("")

    unblock = block


@pytest.mark.parametrize("kind", [Errand.TEMPLATES, Errand.BLOCK, Errand.UNBLOCK])
def test_the_alarm_of_an_errand_ends_once_whatsapp_does_it(ledger: Ledger, kind: Errand) -> None:
    asked = Asked(1, kind, NUMBER, 7, "1", None, "", typing=False, attempts=errands.TRIES, asked_at=NOW)
    other = replace(asked, id=2, kind=Errand.BLOCK, contact_id=8)
    meta = Clerk()
    run_errand(ledger, cast(CloudApi, meta), asked, lambda: NOW, "1")
    run_errand(ledger, cast(CloudApi, meta), other, lambda: later(1), "1")
    with ledger.reading() as tx:
        mine, theirs = alarms.raised(tx)
    assert mine.words.endswith(f'python -m handoff alarm clear "{mine.name}"')
    meta.knows_us = True
    run_errand(ledger, cast(CloudApi, meta), asked, lambda: later(900), "1")
    with ledger.reading() as tx:
        assert alarms.raised(tx) == [theirs]


def test_alarms_are_told_until_somebody_has_heard_of_them(meta: Sleeper) -> None:
    class Road:
        hears, heard = False, 0

        def take(self, alert: Alert) -> bool:
            with meta.ledger.writing() as tx:  # nobody holds the database while people are told
                alarms.raise_alarm(tx, "another", "It is still written to.", NOW)
            assert alert.name in {"signed_out", "another"}
            Road.heard += self.hears
            return self.hears

    sender = Sender(meta.ledger, meta.api, meta.now, Duties(alerts=Alerts(Road())))
    with meta.ledger.writing() as tx:
        alarms.raise_alarm(tx, "signed_out", "WhatsApp refuses our token.", NOW)
    sender._keep_house()
    assert Road.heard == 0
    Road.hears = True
    sender._keep_house()
    sender._keep_house()
    assert Road.heard == 2, "each once"


def test_what_is_old_goes_little_by_little_and_what_fails_stops_no_other_duty(
    meta: Sleeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = meta.queued(Text("once"))
    meta.claimed()
    meta.seconds = 400
    asked = iter([500, 500, 7])
    pruned: list[int] = []

    def prune(tx: Transaction, before: datetime) -> int:
        pruned.append(next(asked))
        return pruned[-1]

    def fails(*_: object) -> int:
        raise ValueError("always")

    fails.__name__ = "fails"
    monkeypatch.setattr(inbox, "prune", prune)
    monkeypatch.setattr(handoffs, "hand_off_undelivered", fails)
    monkeypatch.setattr(changes, "prune", fails)
    sender = Sender(meta.ledger, meta.api, meta.now)
    sender._keep_house()
    assert pruned == [500, 500, 7]
    assert meta.status_of(message_id) is Status.FAILED, "what nobody could know of was given up all the same"
