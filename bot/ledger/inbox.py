"""What comes in: write it down once, with everything it changes. The only writer of deliveries, updates and edits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError

from bot import messages as says
from bot.conversation import window_ends
from bot.ledger import alarms, changes, contacts, errands, files, handoffs, outbox
from bot.ledger.outbox import DOOR_SEEN_WITHIN, WEBHOOK
from bot.ledger.tables import conversations, deliveries, doors, edits, messages, updates
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.updates import (
    ContactRef,
    Deleted,
    Echoed,
    Edited,
    IdentityChanged,
    Preferred,
    Received,
    Renumbered,
    Reported,
    TemplatesChanged,
    Unsupported,
    Update,
    Warned,
)
from bot.vocabulary import Author, Change, Errand, Holder, Status, UpdateState

log = logging.getLogger(__name__)

RECORDING_LOCK = 0x6261746F6E  # any number nobody else uses on this database
PHONE_QUIET = timedelta(minutes=30)  # after which a conversation somebody answers from the phone is the bot's again
META_AGENT = "Meta's Business Agent"
GONE_WRONG = {"REJECTED", "PAUSED", "DISABLED", "QUALITY RED"}  # of a template
# Made once, since building a statement costs more than running it, and these run for every delivery.
KEEP_DELIVERY = sa.insert(deliveries)
KEEP_UPDATE = sa.insert(updates)
KNOWN_WAMIDS = sa.select(messages.c.wamid).where(messages.c.wamid.in_(sa.bindparam("wamids", expanding=True)))
KNOWN_EDITS = sa.select(edits.c.original).where(edits.c.original.in_(sa.bindparam("wamids", expanding=True)))
UNWRITABLE = (DataError, IntegrityError, ValueError, OverflowError, TypeError)


@dataclass(frozen=True)
class _Written:
    """What became of one update."""

    kind: str
    state: UpdateState
    wamid: str | None = None
    remark: str = ""
    waits: int | None = None  # the conversation in which something waits now

    def columns(self) -> dict[str, Any]:
        return {
            "kind": self.kind[:64],
            "state": self.state,
            "wamid": self.wamid,
            "remark": self.remark[:300],
        }


def record(
    tx: Transaction, body: bytes, heard: list[Update], now: datetime, *, phone_quiet: timedelta = PHONE_QUIET
) -> set[int]:
    """Write a delivery and every update in it down; return the conversations that now have something waiting.

    One update that can't be written harms no other.
    """
    return record_all(tx, [(body, heard)], now, phone_quiet=phone_quiet)[0]


def record_all(
    tx: Transaction,
    came: Sequence[tuple[bytes, list[Update]]],
    now: datetime,
    *,
    phone_quiet: timedelta = PHONE_QUIET,
    careful: bool = True,
) -> list[set[int]]:
    """Write several deliveries down at once; return for each the conversations that now have something waiting.

    Careful, an update that can't be written harms no other; it costs a savepoint for each. Careless, it raises one of
    UNWRITABLE, and the caller begins again with care.
    """
    _one_recorder_at_a_time(tx)
    around = _Around.of(tx, [update for _, heard in came for update in heard], now, phone_quiet)
    write = _write_carefully if careful else _write
    rows: list[dict[str, Any]] = []
    waiting: list[set[int]] = []
    reported: list[tuple[int, int, Reported]] = []
    for body, heard in came:
        kept = {"received_at": now, "body": body, "again": False}
        delivery_id = tx.execute(KEEP_DELIVERY, kept).inserted_primary_key[0]
        waits: set[int] = set()
        for n, update in enumerate(heard):
            if isinstance(update, Reported):
                reported.append((delivery_id, n, update))
                continue
            written = write(tx, update, delivery_id, around)
            if written.waits is not None:
                waits.add(written.waits)
            rows.append({"delivery_id": delivery_id, "n": n, **written.columns()})
        waiting.append(waits)
    # What was said comes before what was reported: conversations are locked before their messages, everywhere.
    if careful:
        hears = [write(tx, update, delivery_id, around) for delivery_id, _, update in reported]
    else:
        news = outbox.hear_all(tx, [update for *_, update in reported], now) if reported else []
        hears = [_reported(update, new) for (*_, update), new in zip(reported, news, strict=True)]
    for (delivery_id, n, _), written in zip(reported, hears, strict=True):
        rows.append({"delivery_id": delivery_id, "n": n, **written.columns()})
    if rows:
        tx.execute(KEEP_UPDATE, rows)
    return waiting


@dataclass
class _Around:
    """What all updates written together share: the time, and what is known of them already."""

    now: datetime
    phone_quiet: timedelta
    known: set[str]  # wamids of messages we have
    edited: set[str]  # wamids of which an edit or a deletion came before themselves

    @classmethod
    def of(cls, tx: Transaction, heard: list[Update], now: datetime, phone_quiet: timedelta) -> _Around:
        """Look it up once for all of them."""
        wamids = [update.wamid for update in heard if isinstance(update, (Received, Echoed))]
        known = set(tx.execute(KNOWN_WAMIDS, {"wamids": wamids}).scalars()) if wamids else set()
        edited = set(tx.execute(KNOWN_EDITS, {"wamids": wamids}).scalars()) if wamids else set()
        return cls(now, phone_quiet, known, edited)


def read_again(
    tx: Transaction, delivery_id: int, heard: list[Update], now: datetime, *, phone_quiet: timedelta = PHONE_QUIET
) -> set[int]:
    """Try once more what could not be written down of a delivery; return the conversations that have something waiting.

    What was dealt with before stays as it is; every update is written once.
    """
    _one_recorder_at_a_time(tx)
    tx.execute(sa.update(deliveries).where(deliveries.c.id == delivery_id).values(again=False))
    failed = (updates.c.delivery_id == delivery_id) & (updates.c.state == UpdateState.FAILED)
    waiting: set[int] = set()
    around = _Around.of(tx, heard, now, phone_quiet)
    for row in tx.execute(sa.select(updates.c.id, updates.c.n).where(failed).order_by(updates.c.n)).all():
        if row.n >= len(heard):
            continue
        written = _write_carefully(tx, heard[row.n], delivery_id, around)
        tx.execute(sa.update(updates).where(updates.c.id == row.id).values(written.columns()))
        if written.waits is not None:
            waiting.add(written.waits)
    return waiting


def to_be_read_again(tx: Transaction, limit: int = 20) -> list[tuple[int, bytes]]:
    """Return the deliveries somebody asked to read again, with their bodies."""
    asked = sa.select(deliveries.c.id, deliveries.c.body).where(deliveries.c.again).limit(limit)
    return [(row.id, row.body) for row in tx.execute(asked)]


def ask_to_read_again(tx: Transaction, delivery_id: int | None = None) -> int:
    """Have a delivery, or all that failed, read again by whoever reads deliveries; return how many."""
    failed = sa.select(updates.c.delivery_id).where(updates.c.state == UpdateState.FAILED)
    which = deliveries.c.id.in_(failed)
    if delivery_id is not None:
        which &= deliveries.c.id == delivery_id
    return int(tx.execute(sa.update(deliveries).where(which).values(again=True)).rowcount)


def _one_recorder_at_a_time(tx: Transaction) -> None:
    """Let no two processes record at once: naming conversations in other orders, each could hold what the other waits
    for, and both could make the same contact. SQLite has one writer in any case.
    """
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(RECORDING_LOCK)))


def _write_carefully(tx: Transaction, update: Update, delivery_id: int, around: _Around) -> _Written:
    try:
        with tx.begin_nested():
            return _write(tx, update, delivery_id, around)
    except UNWRITABLE as problem:
        # Whatever this one was, its neighbours are kept; Meta would send the same body again for days otherwise.
        log.error("an update could not be written down: %s", type(problem).__name__, extra={"action": "update_failed"})
        refused = Unsupported("unwritable", type(problem).__name__, unreadable=True)
        return _write(tx, refused, delivery_id, around)


def _reported(update: Reported, new: bool) -> _Written:
    state = UpdateState.HANDLED if new else UpdateState.REPEATED
    return _Written(f"status {update.status.value}", state, update.wamid)


def _write(tx: Transaction, update: Update, delivery_id: int, around: _Around) -> _Written:  # noqa: C901, PLR0912  # one case for each
    """Write one update down; every one leaves a row that says what became of it."""
    now = around.now
    match update:
        case Received():
            return _receive(tx, update, around)
        case Reported():
            return _reported(update, outbox.hear(tx, update, now))
        case Echoed():
            return _echo(tx, update, around)
        case Edited():
            return _change_words(tx, update, "edit", says.to_json(update.content), around)
        case Deleted():
            return _change_words(tx, update, "deletion", None, around)
        case Renumbered():
            known = contacts.renumber(tx, update, now)
            return _Written("renumbered", UpdateState.KEPT if known is None else UpdateState.HANDLED, update.wamid)
        case IdentityChanged():
            known = contacts.find(tx, update.contact)
            if known is not None:
                contacts.start_clean(tx, known, now)
            return _Written("identity", UpdateState.KEPT if known is None else UpdateState.HANDLED, update.wamid)
        case Preferred():
            contact_id = contacts.find_or_make(tx, update.contact, now)
            contacts.prefer(tx, contact_id, marketing=update.marketing, now=now)
            return _Written("preference", UpdateState.HANDLED)
        case TemplatesChanged():
            errands.ask(tx, Errand.TEMPLATES, "all", now=now)
            if update.what in GONE_WRONG:
                words = (
                    f"Meta says of the template {update.name} ({update.language}): {update.what}. See Meta's console."
                )
                alarms.raise_alarm(tx, f"template {update.name}"[:64], words, now)
            return _Written("templates", UpdateState.HANDLED, remark=f"{update.name} {update.language}: {update.what}")
        case Warned():
            alarms.raise_alarm(tx, f"meta {update.kind}"[:64], update.words, now)
            return _Written(update.kind, UpdateState.HANDLED, remark=update.words)
        case Unsupported(unreadable=True):
            words = (
                f"Meta sent something we can't read (delivery {delivery_id}); it is kept. "
                "Once looked at: python -m handoff alarm clear unreadable_delivery"
            )
            alarms.raise_alarm(tx, "unreadable_delivery", words, now)
            return _Written(update.kind, UpdateState.FAILED, remark=update.remark)
        case Unsupported():
            log.info("an update we have no use for was kept", extra={"action": "update_kept", "kind": update.kind[:64]})
            return _Written(update.kind, UpdateState.KEPT, remark=update.remark)


def _receive(tx: Transaction, update: Received, around: _Around) -> _Written:
    """Find or make contact and conversation and keep the message, unless we had it already."""
    kind, now = says.type_of(update.content), around.now
    repeated = _Written(kind, UpdateState.REPEATED, update.wamid)
    if update.wamid in around.known:
        return repeated
    contact_id = contacts.find_or_make(tx, _who(update), now)
    row = contacts.conversation_with(tx, update.phone_number_id, contact_id, now)
    # Under the conversation's lock: what comes in while an agent holds it is the agent's, whenever a turn looks at it.
    waits = update.wants_answer and not update.standby and row.holder is not Holder.AGENT
    sent_at = update.sent_at or now
    message_id = insert_new(
        tx,
        messages,
        conversation_id=row.id,
        author=Author.CONTACT,
        type=kind,
        text=update.content.text,
        content=says.to_json(update.content),
        wamid=update.wamid,
        reply_to=update.reply_to,
        at=sent_at,
        arrived_at=now,
        origin=_origin(update),
        waiting=waits,
    )
    around.known.add(update.wamid)
    if message_id is None:
        return repeated  # twice in one delivery, under another update's savepoint
    files.expect(tx, message_id, update, now)
    if update.wamid in around.edited:
        _apply_edits(tx, update.wamid)
    news: dict[str, Any] = {"last_message_at": now}
    if not isinstance(update.content, says.Reaction):  # whether those open the window Meta does not say
        ends = window_ends(min(sent_at, now))
        news["window_ends"] = ends if row.window_ends is None else max(ends, row.window_ends)
    tx.execute(_news(frozenset(news)), {"id_": row.id, **{f"{name}_": value for name, value in news.items()}})
    changes.note(tx, row.id, Change.MESSAGE, now)
    if update.standby:
        words = (
            f"Meta's own Business Agent answers the contacts of number {update.phone_number_id}; Baton only listens. "
            "Switch it off in Meta's console, then: python -m handoff alarm clear standby"
        )
        alarms.raise_alarm(tx, "standby", words, now)
    # It may have been taken back before it came.
    still_waits = waits and (update.wamid not in around.edited or _waits(tx, message_id))
    return _Written(kind, UpdateState.HANDLED, update.wamid, waits=row.id if still_waits else None)


@lru_cache(maxsize=4)
def _news(names: frozenset[str]) -> Any:
    """Make the statement once: building one costs more than running it."""
    mine = conversations.c.id == sa.bindparam("id_")
    return sa.update(conversations).where(mine).values({name: sa.bindparam(f"{name}_") for name in names})


def _who(update: Received) -> ContactRef:
    """Return who wrote; with the number they shared because we asked for it. A card sent by hand may be anybody's."""
    content = update.content
    if update.contact.phone is None and isinstance(content, says.Cards) and content.asked and content.cards:
        shared = content.cards[0].wa_id
        return replace(update.contact, phone=shared if shared.isascii() and shared.isdigit() else None)
    return update.contact


def _origin(update: Received) -> dict[str, Any] | None:
    """Return what is worth keeping of how a message came about; None for nearly all of them."""
    origin = {
        "forwarded": update.origin.forwarded,
        "forwarded_often": update.origin.forwarded_often,
        "referral": update.origin.referral,
        "product": update.origin.product,
        "standby": update.standby,
    }
    found = {name: value for name, value in origin.items() if value}
    return found or None


def _waits(tx: Transaction, message_id: int) -> bool:
    return bool(tx.execute(sa.select(messages.c.waiting).where(messages.c.id == message_id)).scalar())


def _echo(tx: Transaction, update: Echoed, around: _Around) -> _Written:
    """Keep what somebody answered from the phone: a person has taken over, and the bot is silent until they rest."""
    kind, now = f"echo {says.type_of(update.content)}", around.now
    if update.wamid in around.known:
        return _Written(kind, UpdateState.REPEATED, update.wamid)
    around.known.add(update.wamid)
    contact_id = contacts.find_or_make(tx, update.contact, now)
    row = contacts.conversation_with(tx, update.phone_number_id, contact_id, now)
    message_id = insert_new(
        tx,
        messages,
        conversation_id=row.id,
        author=Author.AGENT,
        agent_name=META_AGENT if update.standby else handoffs.THE_PHONE,
        type=says.type_of(update.content),
        text=update.content.text,
        content=says.to_json(update.content),
        wamid=update.wamid,
        reply_to=update.reply_to,
        at=update.sent_at or now,
        arrived_at=now,
        waiting=False,
        status=Status.SENT,
    )
    if message_id is None:
        return _Written(kind, UpdateState.REPEATED, update.wamid)
    files.expect(tx, message_id, update, now)
    _apply_edits(tx, update.wamid)
    tx.execute(sa.update(conversations).where(conversations.c.id == row.id).values(last_message_at=now))
    changes.note(tx, row.id, Change.MESSAGE, now)
    if not update.standby and not isinstance(update.content, says.Reaction):
        handoffs.take_by_phone(tx, row, until=min(update.sent_at or now, now) + around.phone_quiet, now=now)
    return _Written(kind, UpdateState.HANDLED, update.wamid)


def _change_words(
    tx: Transaction, update: Edited | Deleted, kind: str, content: dict[str, Any] | None, around: _Around
) -> _Written:
    """Keep an edit or a deletion, and carry it out on its message; at once, or when that comes."""
    now = around.now
    new = insert_new(
        tx, edits, wamid=update.wamid, original=update.original, content=content, at=update.at or now
    )  # fmt: skip
    if new is None:
        return _Written(kind, UpdateState.REPEATED, update.wamid)
    around.edited.add(update.original)
    conversation_id = _apply_edits(tx, update.original)
    if conversation_id is not None:
        changes.note(tx, conversation_id, Change.MESSAGE, now)
    return _Written(kind, UpdateState.HANDLED, update.wamid)


def _apply_edits(tx: Transaction, wamid: str) -> int | None:
    """Bring a message to its last wording; return its conversation if there was anything to do.

    The bot answers the new words only if it had not begun to answer the old ones. What was taken back nobody reads
    any more, nor must anybody answer it.
    """
    found = tx.execute(sa.select(edits).where(edits.c.original == wamid).order_by(edits.c.at, edits.c.wamid)).all()
    if not found:
        return None
    # What we sent through the API nobody can edit: only contacts' words, and those typed on the phone.
    theirs = sa.or_(messages.c.author == Author.CONTACT, messages.c.agent_name == handoffs.THE_PHONE)
    find = sa.select(messages.c.id, messages.c.conversation_id).where(messages.c.wamid == wamid, theirs)
    row = tx.execute(find).first()
    if row is None:
        return None
    outbox.lock_conversation(tx, row.conversation_id)
    mine = messages.c.id == row.id
    last = found[-1]
    if any(edit.content is None for edit in found):
        gone = says.to_json(says.Other("deleted"))
        taken_back = {"text": "", "content": gone, "deleted_at": last.at}
        tx.execute(sa.update(messages).where(mine).values(taken_back))
        tx.execute(sa.update(messages).where(mine, messages.c.turn_id.is_(None)).values(waiting=False))
        files.forget(tx, row.id)
    else:
        content = says.from_row("text", "", last.content)
        said = {"text": content.text, "content": last.content, "type": says.type_of(content), "edited_at": last.at}
        tx.execute(sa.update(messages).where(mine).values(said))
    return int(row.conversation_id)


def keep_door_open(tx: Transaction, now: datetime) -> None:
    """Write down that the webhook is open, and since when: Meta's reports can reach us."""
    mine = doors.c.name == WEBHOOK
    row = tx.execute(sa.select(doors).where(mine)).first()
    if row is None:
        insert_new(tx, doors, name=WEBHOOK, opened_at=now, seen_at=now)
    else:
        was_shut = row.seen_at < now - DOOR_SEEN_WITHIN
        opened_at = now if was_shut else row.opened_at
        passed_s = 0.0 if was_shut else max((now - row.seen_at).total_seconds(), 0.0)
        seen = {"opened_at": opened_at, "seen_at": max(now, row.seen_at), "open_s": row.open_s + passed_s}
        tx.execute(sa.update(doors).where(mine).values(seen))


def prune(tx: Transaction, before: datetime, limit: int = 500) -> int:
    """Forget deliveries older than that, whose every update was dealt with; return how many.

    What is needed to know a repeated one stays: the messages and reports themselves.
    """
    failed = sa.select(updates.c.delivery_id).where(updates.c.state == UpdateState.FAILED)
    old = (deliveries.c.received_at < before) & deliveries.c.id.not_in(failed)
    ids = tx.execute(sa.select(deliveries.c.id).where(old).order_by(deliveries.c.id).limit(limit)).scalars().all()
    if ids:
        tx.execute(sa.delete(updates).where(updates.c.delivery_id.in_(ids)))
        tx.execute(sa.delete(deliveries).where(deliveries.c.id.in_(ids)))
    return len(ids)


@dataclass(frozen=True)
class Tally:
    """How many updates are in each state, and how many messages wait for their turn."""

    by_state: dict[UpdateState, int]
    waiting: int

    @property
    def received(self) -> int:
        """Every update that ever came and is still kept."""
        return sum(self.by_state.values())

    @property
    def open(self) -> int:
        """What somebody or something has still to deal with."""
        return self.waiting + self.by_state[UpdateState.FAILED]


def tally(tx: Transaction) -> Tally:
    """Count the updates by what became of them."""
    rows = tx.execute(sa.select(updates.c.state, sa.func.count()).group_by(updates.c.state))
    waiting = tx.execute(sa.select(sa.func.count()).where(messages.c.waiting)).scalar_one()
    return Tally(dict.fromkeys(UpdateState, 0) | {row[0]: row[1] for row in rows}, int(waiting))


@dataclass(frozen=True)
class Line:
    """One update, for people who look after the deliveries. Never its words."""

    delivery_id: int
    n: int
    received_at: datetime
    kind: str
    state: UpdateState
    remark: str
    again: bool


def body_of(tx: Transaction, delivery_id: int) -> bytes | None:
    """Return a delivery as it came, for a person who has to see it; None if we don't have it (any more)."""
    found: bytes | None = tx.execute(sa.select(deliveries.c.body).where(deliveries.c.id == delivery_id)).scalar()
    return found


def lines(
    tx: Transaction, state: UpdateState | None = None, limit: int = 100, *, delivery_id: int | None = None
) -> list[Line]:
    """Return the newest updates, of one state or of all, of one delivery or of all."""
    query = (
        sa.select(updates, deliveries.c.received_at, deliveries.c.again)
        .join(deliveries, deliveries.c.id == updates.c.delivery_id)
        .order_by(updates.c.id.desc())
        .limit(limit)
    )
    if state is not None:
        query = query.where(updates.c.state == state)
    if delivery_id is not None:
        query = query.where(updates.c.delivery_id == delivery_id)
    rows = tx.execute(query)
    return [Line(row.delivery_id, row.n, row.received_at, row.kind, row.state, row.remark, row.again) for row in rows]
