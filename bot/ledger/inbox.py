"""What comes in: write it down once, with everything it changes. The only writer of deliveries, updates and edits."""

from __future__ import annotations

import hashlib
import itertools
import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from bot import messages as says
from bot.conversation import window_ends
from bot.ledger import alarms, changes, contacts, errands, files, handoffs, hooks, outbox, ratings, transcript
from bot.ledger.outbox import DOOR_SEEN_WITHIN, WEBHOOK
from bot.ledger.tables import (
    MOVED,
    TO_READ_AGAIN,
    UNREAD,
    conversations,
    deliveries,
    doors,
    edits,
    messages,
    turns,
    updates,
)
from bot.ledger.tables import handoffs as handoffs_table
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new, take_ids
from bot.updates import (
    ContactRef,
    Deleted,
    Echoed,
    Edited,
    IdentityChanged,
    Misdirected,
    Preferred,
    Received,
    Renumbered,
    Reported,
    TemplatesChanged,
    Unsupported,
    Update,
    Warned,
)
from bot.vocabulary import Author, Change, Errand, Holder, Status, TurnState, UpdateState

log = logging.getLogger(__name__)

RECORDING_LOCK = 0x6261746F6E  # any number nobody else uses on this database
OPEN_FOR_S = 3.0  # after the webhook was seen open, it is taken for open
PHONE_QUIET = timedelta(minutes=30)  # after which a conversation somebody answers from the phone is the bot's again
META_AGENT = "Meta's Business Agent"
ALARM_NAME_MAX = 64
STILL_WRITES = timedelta(minutes=1)  # a turn that was ended from outside may save what it heard, though no later
GONE_WRONG = {"REJECTED", "PAUSED", "DISABLED", "QUALITY RED"}  # of a template
GOOD_AGAIN = {"APPROVED", "REINSTATED", "UNPAUSED", "QUALITY YELLOW", "QUALITY GREEN"}
# Made once, since building a statement costs more than running it, and these run for every delivery.
KEEP_DELIVERY = sa.insert(deliveries)
KEEP_UPDATE = sa.insert(updates)
KEEP_MESSAGE = sa.insert(messages)
HEARD_OF = (
    sa.update(conversations)
    .where(conversations.c.id == sa.bindparam("id_"))
    .values(last_message_at=sa.bindparam("at_"), window_ends=sa.bindparam("ends_"))
)
KNOWN_WAMIDS = sa.select(messages.c.wamid).where(messages.c.wamid.in_(sa.bindparam("wamids", expanding=True)))
KNOWN_EDITS = sa.select(edits.c.original).where(edits.c.original.in_(sa.bindparam("wamids", expanding=True)))
CARRIED_OUT = sa.select(updates.c.wamid).where(
    MOVED, updates.c.state == UpdateState.HANDLED, updates.c.wamid.in_(sa.bindparam("wamids", expanding=True))
)
DONE_WITH = (
    sa.select(deliveries.c.id)
    .where(
        deliveries.c.received_at < sa.bindparam("before"),
        ~sa.select(updates.c.id).where(updates.c.delivery_id == deliveries.c.id, UNREAD).exists(),
    )
    .order_by(deliveries.c.received_at)
    .limit(sa.bindparam("most"))
)
EVER_FAILED = (UpdateState.FAILED, UpdateState.SET_ASIDE)
# The database is away, busy or full, or this machine is: whatever it was that we wanted to write.
AWAY = (OperationalError, DisconnectionError, NoConnection, MemoryError, OSError)


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
            "kind": _fit(self.kind, 64),
            "state": self.state,
            "wamid": None if self.wamid is None else _fit(self.wamid, 512),
            "remark": _fit(self.remark, 300),
        }


def _fit(text: str, most: int) -> str:
    """Make a text one that every database takes."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")[:most]


def is_the_updates_fault(problem: Exception) -> bool:
    """Say whether what was to be written is to blame, so that its neighbours can be written without it.

    False: the database or this machine is; nothing is kept then, and Meta has to bring it again.
    """
    if isinstance(problem, AWAY) or getattr(problem, "connection_invalidated", False):
        return False
    # With SQLite it is a value it does not know; with PostgreSQL a connection that is closed.
    on_sqlite = isinstance(problem, DBAPIError) and isinstance(problem.orig, sqlite3.Error)
    return on_sqlite or not isinstance(problem, InterfaceError)


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

    Careful, an update that can't be written harms no other; it costs a savepoint for each. Careless, it raises what
    `is_the_updates_fault`, and the caller begins again with care.
    """
    _one_recorder_at_a_time(tx)
    around = _Around(now, phone_quiet)
    if not careful:
        around.look_up(tx, [update for _, heard in came for update in heard])
    ids = take_ids(tx, deliveries, len(came))
    kept = [
        {"id": id_, "received_at": now, "body": body, "again": False} for id_, (body, _) in zip(ids, came, strict=True)
    ]
    tx.execute(KEEP_DELIVERY, kept)
    read = [_Read(id_, n, one) for id_, (_, heard) in zip(ids, came, strict=True) for n, one in enumerate(heard)]
    # What was said comes before what was reported: conversations are locked before their messages, everywhere.
    said = [one for one in read if not isinstance(one.update, Reported)]
    reported = [one for one in read if isinstance(one.update, Reported)]
    write = _write_carefully if careful else _write_all
    pairs = [*zip(said, write(tx, said, around), strict=True), *zip(reported, write(tx, reported, around), strict=True)]
    if pairs:
        tx.execute(KEEP_UPDATE, [{"delivery_id": one.delivery_id, "n": one.n, **w.columns()} for one, w in pairs])
    waiting: dict[int, set[int]] = {id_: set() for id_ in ids}
    for one, written in pairs:
        if written.waits is not None:
            waiting[one.delivery_id].add(written.waits)
    return list(waiting.values())


@dataclass(frozen=True)
class _Read:
    """One update: the n-th of a delivery."""

    delivery_id: int
    n: int
    update: Update


@dataclass
class _Around:
    """What all updates written together share: the time, and what is known of them already."""

    now: datetime
    phone_quiet: timedelta
    known: set[str] = field(default_factory=set)  # wamids of messages we have
    edited: set[str] = field(default_factory=set)  # wamids of which an edit or a deletion came before themselves
    carried_out: set[str] = field(default_factory=set)  # wamids of changes of a number or a security code

    def look_up(self, tx: Transaction, heard: Sequence[Update]) -> None:
        """Learn what is known of these, of all at once or of one after the other."""
        wamids = [update.wamid for update in heard if isinstance(update, (Received, Echoed))]
        if wamids:
            self.known |= set(tx.execute(KNOWN_WAMIDS, {"wamids": wamids}).scalars())
            self.edited |= set(tx.execute(KNOWN_EDITS, {"wamids": wamids}).scalars())
        wamids = [update.wamid for update in heard if isinstance(update, (Renumbered, IdentityChanged))]
        if wamids:
            self.carried_out |= set(tx.execute(CARRIED_OUT, {"wamids": wamids}).scalars())


def read_again(
    tx: Transaction, delivery_id: int, heard: list[Update], now: datetime, *, phone_quiet: timedelta = PHONE_QUIET
) -> set[int]:
    """Try once more what could not be written down of a delivery; return the conversations that have something waiting.

    What was dealt with before stays as it is; every update is written once.
    """
    _one_recorder_at_a_time(tx)
    mine = deliveries.c.id == delivery_id
    if not tx.execute(sa.select(deliveries.c.again).where(mine)).scalar():
        return set()  # somebody has set it aside meanwhile
    tx.execute(sa.update(deliveries).where(mine).values(again=False, tried_at=now))
    failed = (updates.c.delivery_id == delivery_id) & updates.c.state.in_(EVER_FAILED)
    waiting: set[int] = set()
    around = _Around(now, phone_quiet)
    for row in tx.execute(sa.select(updates.c.id, updates.c.n).where(failed).order_by(updates.c.n)).all():
        if row.n >= len(heard):
            continue
        (written,) = _write_carefully(tx, [_Read(delivery_id, row.n, heard[row.n])], around)
        tx.execute(sa.update(updates).where(updates.c.id == row.id).values(written.columns()))
        if written.waits is not None:
            waiting.add(written.waits)
    return waiting


def to_be_read_again(tx: Transaction, limit: int = 20) -> list[tuple[int, bytes]]:
    """Return the deliveries somebody asked to read again, with their bodies."""
    asked = sa.select(deliveries.c.id, deliveries.c.body).where(TO_READ_AGAIN).order_by(deliveries.c.id).limit(limit)
    return [(row.id, row.body) for row in tx.execute(asked)]


def ask_to_read_again(tx: Transaction, delivery_id: int | None = None) -> int:
    """Have a delivery, or all that failed, read again by whoever reads deliveries; return how many.

    One that was set aside is read again when it is named.
    """
    failed = UNREAD if delivery_id is None else updates.c.state.in_(EVER_FAILED)
    which = deliveries.c.id.in_(sa.select(updates.c.delivery_id).where(failed))
    if delivery_id is not None:
        which &= deliveries.c.id == delivery_id
    return int(tx.execute(sa.update(deliveries).where(which).values(again=True)).rowcount)


def set_aside(tx: Transaction, delivery_id: int | None = None) -> int:
    """Let what failed in a delivery, or all that failed, rest: it need not be read; return how many deliveries.

    It is still found under its state until it is forgotten like whatever else was dealt with.
    """
    _one_recorder_at_a_time(tx)
    which = updates.c.state == UpdateState.FAILED
    if delivery_id is not None:
        which &= updates.c.delivery_id == delivery_id
    found = tx.execute(sa.select(updates.c.delivery_id).where(which).distinct()).scalars().all()
    rested = deliveries.c.id.in_(sa.select(updates.c.delivery_id).where(which))
    tx.execute(sa.update(deliveries).where(rested).values(again=False))
    tx.execute(sa.update(updates).where(which).values(state=UpdateState.SET_ASIDE))
    return len(found)


def _one_recorder_at_a_time(tx: Transaction) -> None:
    """Let no two processes record at once: naming conversations in other orders, each could hold what the other waits
    for, and both could make the same contact. SQLite has one writer in any case.
    """
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(RECORDING_LOCK)))


def _write_carefully(tx: Transaction, read: Sequence[_Read], around: _Around) -> list[_Written]:
    """Write updates down one by one; one that can't be written harms no other."""
    written = []
    for one in read:
        try:
            with tx.begin_nested():
                around.look_up(tx, [one.update])
                written += _write_all(tx, [one], around)
        except Exception as problem:
            if not is_the_updates_fault(problem):
                raise
            # Whatever this one was, its neighbours are kept; Meta would send the same body again for days otherwise.
            log.error(
                "an update could not be written down: %s", type(problem).__name__, extra={"action": "update_failed"}
            )
            refused = Unsupported("unwritable", type(problem).__name__, unreadable=True)
            written.append(_write(tx, refused, one.delivery_id, around))
    return written


def _write_all(tx: Transaction, read: Sequence[_Read], around: _Around) -> list[_Written]:
    """Write updates down in their order; messages and reports, of which there are many, together with their like."""
    written = []
    for kind, some in itertools.groupby(read, key=lambda one: type(one.update)):
        alike: list[Any] = [one.update for one in some] if kind in {Received, Reported} else []
        if kind is Received:
            written += _receive(tx, alike, around)
        elif kind is Reported:
            news = outbox.hear_all(tx, alike, around.now)
            written += [_reported(update, new) for update, new in zip(alike, news, strict=True)]
        else:
            written += [_write(tx, one.update, one.delivery_id, around) for one in some]
    return written


def _reported(update: Reported, new: bool) -> _Written:
    state = UpdateState.HANDLED if new else UpdateState.REPEATED
    return _Written(f"status {update.status.value}", state, update.wamid)


def _write(tx: Transaction, update: Update, delivery_id: int, around: _Around) -> _Written:  # noqa: C901  # one case for each
    """Write one update down; every one leaves a row that says what became of it."""
    now = around.now
    match update:
        case Received() | Reported():
            raise AssertionError("these are written together with their like")
        case Echoed():
            return _echo(tx, update, around)
        case Edited():
            return _change_words(tx, update, "edit", says.to_json(update.content), around)
        case Deleted():
            return _change_words(tx, update, "deletion", None, around)
        case Renumbered() | IdentityChanged():
            return _moved(tx, update, around)
        case Preferred():
            at = update.at or now
            contact_id = contacts.find_or_make(tx, update.contact, now, min(at, now))
            new = contacts.prefer(tx, contact_id, marketing=update.marketing, at=at)
            return _Written("preference", UpdateState.HANDLED if new else UpdateState.REPEATED)
        case TemplatesChanged():
            return _template(tx, update, now)
        case Warned():
            alarms.raise_alarm(tx, f"meta {update.kind}"[:64], update.words, now)
            return _Written(update.kind, UpdateState.HANDLED, remark=update.words)
        case Misdirected():
            words = (
                f"Contacts write to the number {update.phone_number_id}, of which Baton knows nothing. Put it into "
                "WHATSAPP_PHONE_NUMBER_ID and read again what failed; or, if another system answers it, into "
                f'WHATSAPP_OTHER_NUMBER_IDS. Then: python -m handoff alarm clear "number {update.phone_number_id}"'
            )
            alarms.raise_alarm(tx, f"number {update.phone_number_id}"[:64], words, now)
            remark = f"for the number {update.phone_number_id}, which Baton was not told of"
            return _Written(update.kind, UpdateState.FAILED, remark=remark)
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


def _template(tx: Transaction, update: TemplatesChanged, now: datetime) -> _Written:
    """Have the list read anew; what went wrong rings until it is good again."""
    errands.ask(tx, Errand.TEMPLATES, "all", now=now)
    name = _template_alarm(update)
    if update.what in GOOD_AGAIN:
        alarms.clear(tx, name)
    if update.what in GONE_WRONG:
        words = f"Meta says of the template {update.name} ({update.language}): {update.what}. See Meta's console."
        alarms.raise_alarm(tx, name, words, now)
    return _Written("templates", UpdateState.HANDLED, remark=f"{update.name} {update.language}: {update.what}")


def _template_alarm(update: TemplatesChanged) -> str:
    """Name what is wrong with a template in one language. Its quality is a matter of its own: a paused one stays so."""
    name = f"template {update.name} {update.language}"
    name += " quality" if update.what.startswith("QUALITY") else ""
    if len(name) <= ALARM_NAME_MAX:
        return name
    return f"{name[:51]} {hashlib.sha256(name.encode()).hexdigest()[:12]}"  # long names differ at the end


def _moved(tx: Transaction, update: Renumbered | IdentityChanged, around: _Around) -> _Written:
    """Carry a contact over to what they are now, once: brought again it would undo what came after it."""
    kind = "renumbered" if isinstance(update, Renumbered) else "identity"
    if update.wamid in around.carried_out:
        return _Written(kind, UpdateState.REPEATED, update.wamid)
    if isinstance(update, Renumbered):
        known = contacts.renumber(tx, update, around.now)
    else:
        known = contacts.find(tx, update.contact)
        if known is not None:
            contacts.start_clean(tx, known, around.now)
    if known is None:
        return _Written(kind, UpdateState.KEPT, update.wamid)
    around.carried_out.add(update.wamid)
    return _Written(kind, UpdateState.HANDLED, update.wamid)


def _receive(tx: Transaction, updates: Sequence[Received], around: _Around) -> list[_Written]:
    """Find or make contacts and conversations and keep the messages, unless we had them already; a dozen statements,
    however many there are.
    """
    fresh: dict[str, Received] = {}
    for update in updates:
        if update.wamid not in around.known:
            fresh.setdefault(update.wamid, update)
    kept = dict(zip(fresh, _keep_messages(tx, list(fresh.values()), around), strict=True))
    around.known |= fresh.keys()
    # The first of several alike is news, the others have been seen.
    return [
        kept.pop(update.wamid, _Written(says.type_of(update.content), UpdateState.REPEATED, update.wamid))
        for update in updates
    ]


def _keep_messages(tx: Transaction, fresh: Sequence[Received], around: _Around) -> list[_Written]:
    """Keep messages nobody has seen before."""
    now = around.now
    if len(fresh) < 2:
        contact_ids = [contacts.find_or_make(tx, _who(one), now, _said_at(one, now)) for one in fresh]
    else:
        moments = [_said_at(update, now) for update in fresh]
        found = contacts.find_or_make_all(tx, [_who(update) for update in fresh], moments, now)
        if found is None:  # the ids of one of them tell something new, which may concern the others
            return [written for update in fresh for written in _keep_messages(tx, [update], around)]
        contact_ids = found
    if not fresh:
        return []
    pairs = [(update.phone_number_id, contact_id) for update, contact_id in zip(fresh, contact_ids, strict=True)]
    theirs = contacts.conversations_with(tx, pairs, now)
    rows = [theirs[pair] for pair in pairs]
    rated = [ratings.find(tx, row.id, update.content) for update, row in zip(fresh, rows, strict=True)]
    owed = [_wants_answer(update) and rates is None for update, rates in zip(fresh, rated, strict=True)]
    kept = [
        {
            "id": message_id,
            "conversation_id": row.id,
            "author": Author.CONTACT,
            "type": says.type_of(update.content),
            "text": update.content.text,
            "content": says.to_json(update.content),
            "wamid": update.wamid,
            "reply_to": update.reply_to,
            "at": update.sent_at or now,
            "arrived_at": now,
            "origin": _origin(update),
            # Under the conversation's lock: what comes while an agent holds it is the agent's, whenever a turn looks.
            "waiting": wants and row.holder is not Holder.AGENT,
            "not_before": row.phone_until if wants and handoffs.is_the_phones(row) else None,
            "intent": None if rates is None else ratings.INTENT,
        }
        for message_id, update, row, wants, rates in zip(
            take_ids(tx, messages, len(fresh)), fresh, rows, owed, rated, strict=True
        )
    ]
    tx.execute(KEEP_MESSAGE, kept)
    for rates in filter(None, rated):
        ratings.keep(tx, *rates, now)
    _move_windows(tx, fresh, rows, now)
    changes.note_all(tx, [row.id for row in rows], Change.MESSAGE, now)
    hooks.heard_all(tx, [(message["conversation_id"], message["id"]) for message in kept], now)
    return [_kept(tx, update, message, around) for update, message in zip(fresh, kept, strict=True)]


def _kept(tx: Transaction, update: Received, message: dict[str, Any], around: _Around) -> _Written:
    """Do what few messages need, and say what became of this one."""
    waits, now = message["waiting"], around.now
    files.expect(tx, message["id"], update, now)
    if update.wamid in around.edited:
        _apply_edits(tx, update.wamid)
        waits = waits and _waits(tx, message["id"])  # it may have been taken back before it came
    if update.standby:
        words = (
            f"Meta's own Business Agent answers the contacts of number {update.phone_number_id}; Baton only listens. "
            "Switch it off in Meta's console, then: python -m handoff alarm clear standby"
        )
        alarms.raise_alarm(tx, "standby", words, now)
    waits_in = message["conversation_id"] if waits else None
    return _Written(message["type"], UpdateState.HANDLED, update.wamid, waits=waits_in)


def _move_windows(tx: Transaction, fresh: Sequence[Received], rows: Sequence[Any], now: datetime) -> None:
    """Write down when each conversation was last heard of, and until when Meta lets us answer in it."""
    ends = {row.id: row.window_ends for row in rows}
    for update, row in zip(fresh, rows, strict=True):
        if not isinstance(update.content, says.Reaction):  # whether those open the window Meta does not say
            opened = window_ends(_said_at(update, now))
            ends[row.id] = max(ends[row.id] or opened, opened)
    tx.execute(HEARD_OF, [{"id_": id_, "at_": now, "ends_": until} for id_, until in sorted(ends.items())])


def _said_at(update: Received | Echoed, now: datetime) -> datetime:
    """Return when it was said, by Meta's clock, which may be ahead of ours."""
    return min(update.sent_at or now, now)


def _wants_answer(update: Received) -> bool:
    """Say whether somebody owes this an answer: what Meta's own agent answers, we only overhear."""
    return update.wants_answer and not update.standby


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
    said_at = _said_at(update, now)
    if update.wamid in around.known:
        return _Written(kind, UpdateState.REPEATED, update.wamid)
    around.known.add(update.wamid)
    contact_id = contacts.find_or_make(tx, update.contact, now, said_at)
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
        at=said_at,
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
    hooks.said(tx, row.id, message_id, now)
    if not update.standby and not isinstance(update.content, says.Reaction):
        handoffs.take_by_phone(tx, row, said_at=said_at, quiet=around.phone_quiet, now=now)
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
    gone = any(edit.content is None for edit in found)
    if gone:  # only that it was changed and taken back is remembered, whether or not the message ever comes
        tx.execute(sa.update(edits).where(edits.c.original == wamid).values(content=None))
    # What we sent through the API nobody can edit: only contacts' words, and those typed on the phone.
    theirs = sa.or_(messages.c.author == Author.CONTACT, messages.c.agent_name == handoffs.THE_PHONE)
    columns = (messages.c.id, messages.c.conversation_id, messages.c.author, messages.c.text, messages.c.turn_id)
    find = sa.select(*columns).where(messages.c.wamid == wamid, theirs)
    row = tx.execute(find).first()
    if row is None:
        return None
    outbox.lock_conversation(tx, row.conversation_id)
    mine = messages.c.id == row.id
    last = found[-1]
    if gone:
        taken_back = {"text": "", "content": says.to_json(says.Other("deleted")), "deleted_at": last.at}
        tx.execute(sa.update(messages).where(mine).values(taken_back))
        tx.execute(sa.update(messages).where(mine, messages.c.turn_id.is_(None)).values(waiting=False))
        tx.execute(sa.update(edits).where(edits.c.original == wamid).values(heard_in=_may_have_heard(tx, row)))
        files.forget(tx, row.id)
        _change_wishes(tx, row, "")
    else:
        content = says.from_row("text", "", last.content)
        said = {"text": content.text, "content": last.content, "type": says.type_of(content), "edited_at": last.at}
        tx.execute(sa.update(messages).where(mine).values(said))
        _change_wishes(tx, row, content.text)
    return int(row.conversation_id)


def _may_have_heard(tx: Transaction, row: Any) -> int | None:
    """Return the last turn that may have heard this message; several may, and it may wait for one more."""
    if row.turn_id is not None or row.author is not Author.CONTACT:
        return None if row.turn_id is None else int(row.turn_id)
    theirs = turns.c.conversation_id == row.conversation_id
    last = (turns.c.ended_at.is_(None).desc(), turns.c.ended_at.desc())
    found = tx.execute(sa.select(turns.c.id).where(theirs).order_by(*last).limit(1)).scalar()
    return None if found is None else int(found)


def _change_wishes(tx: Transaction, row: Any, words: str) -> None:
    """Bring what agents read of a contact's wish to the last wording of the message it came from; `row` is as it was.

    A wish is what was said, line by line. The wish of the very turn that heard the message is made anew when it is
    taken back, so that no other form of the words stays.
    """
    old = set(_lines(row.text))
    theirs = sa.select(handoffs_table).where(handoffs_table.c.conversation_id == row.conversation_id)
    for one in tx.execute(theirs).all():
        wish = one.wish
        if old & set(_lines(wish)):
            kept = [line for line in wish.splitlines() if not old & set(_lines(line))]
            wish = "\n".join([*kept, words] if words else kept) or handoffs.TAKEN_BACK
        if not words and one.wish and row.turn_id is not None and one.turn_id == row.turn_id:
            wish = handoffs.words_of(tx, [row.turn_id]) or handoffs.TAKEN_BACK
        if wish != one.wish:
            tx.execute(sa.update(handoffs_table).where(handoffs_table.c.id == one.id).values(wish=wish))


def _lines(text: str) -> list[str]:
    """Return the lines of a text as the bot hears them."""
    return [line for line in (line.strip("/ \t\r\f\v") for line in text.splitlines()) if line]


@dataclass(frozen=True)
class TakenBack:
    """A message that turns may have heard before it was taken back."""

    wamid: str
    keys: tuple[str, ...]  # of its conversation, and of those that became one with it
    for_good: bool  # no turn can save it once more


def taken_back(tx: Transaction, now: datetime) -> list[TakenBack]:
    """Return what was taken back after a turn may have heard it and is not yet `forgotten`, once that turn is over."""
    over = (turns.c.id == edits.c.heard_in) & (turns.c.state != TurnState.RUNNING)
    rows = tx.execute(
        sa.select(edits.c.original, turns.c.ended_at, messages.c.conversation_id)
        .join(turns, over)
        .join(messages, messages.c.wamid == edits.c.original)
        .where(edits.c.heard_in.is_not(None))
        .distinct()
        .order_by(edits.c.original)
    ).all()
    return [
        TakenBack(row.original, _keys(tx, row.conversation_id), for_good=row.ended_at < now - STILL_WRITES)
        for row in rows
    ]


def _keys(tx: Transaction, conversation_id: int) -> tuple[str, ...]:
    """Return under which keys Rasa may remember what was said in this conversation."""
    ids = transcript.merged_into(tx, conversation_id)
    found = transcript.keys_of(tx, set(ids))
    return tuple(found[one] for one in ids)


def forgotten(tx: Transaction, wamids: Sequence[str]) -> None:
    """Keep that nothing of these is left in Rasa's tracker."""
    tx.execute(sa.update(edits).where(edits.c.original.in_(wamids)).values(heard_in=None))


def keep_door_open(tx: Transaction, now: datetime) -> None:
    """Write down that the webhook is open, and since when: Meta's reports can reach us.

    To be said every two seconds; a longer silence counts as if the door had been shut for the rest of it.
    """
    mine = doors.c.name == WEBHOOK
    row = tx.execute(sa.select(doors).where(mine)).first()
    if row is None:
        insert_new(tx, doors, name=WEBHOOK, opened_at=now, seen_at=now)
    else:
        was_shut = row.seen_at < now - DOOR_SEEN_WITHIN
        opened_at = now if was_shut else row.opened_at
        passed_s = min(max((now - row.seen_at).total_seconds(), 0.0), OPEN_FOR_S)
        set_back = row.seen_at > now + DOOR_SEEN_WITHIN  # the clock was; otherwise two doors only differ a little
        seen_at = now if set_back else max(now, row.seen_at)
        seen = {"opened_at": opened_at, "seen_at": seen_at, "open_s": row.open_s + passed_s}
        tx.execute(sa.update(doors).where(mine).values(seen))


def prune(tx: Transaction, before: datetime, limit: int = 500) -> int:
    """Forget deliveries older than that, whose every update was dealt with; return how many.

    What is needed to know a repeated one stays: the messages and reports themselves.
    """
    ids = tx.execute(DONE_WITH, {"before": before, "most": limit}).scalars().all()
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
    again: bool  # somebody asked to read it again
    tried_at: datetime | None = None  # when that was last done


def body_of(tx: Transaction, delivery_id: int) -> bytes | None:
    """Return a delivery as it came, for a person who has to see it; None if we don't have it (any more)."""
    found: bytes | None = tx.execute(sa.select(deliveries.c.body).where(deliveries.c.id == delivery_id)).scalar()
    return found


def lines(
    tx: Transaction, state: UpdateState | None = None, limit: int = 100, *, delivery_id: int | None = None
) -> list[Line]:
    """Return the newest updates, of one state or of all, of one delivery or of all."""
    query = (
        sa.select(updates, deliveries.c.received_at, deliveries.c.again, deliveries.c.tried_at)
        .join(deliveries, deliveries.c.id == updates.c.delivery_id)
        .order_by(updates.c.id.desc())
        .limit(limit)
    )
    if state is not None:
        query = query.where(updates.c.state == state)
    if delivery_id is not None:
        query = query.where(updates.c.delivery_id == delivery_id)
    rows = tx.execute(query)
    return [
        Line(row.delivery_id, row.n, row.received_at, row.kind, row.state, row.remark, row.again, row.tried_at)
        for row in rows
    ]
