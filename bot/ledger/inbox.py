"""What comes in: record it once, then give it its turn. The only writer of deliveries, updates, contacts and turns."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError

from bot import messages as says
from bot.conversation import does_bot_hear, may_bot_speak, window_ends
from bot.errors import LeaseLost
from bot.ledger import alarms, changes, handoffs, outbox
from bot.ledger.outbox import DOOR_SEEN_WITHIN, WEBHOOK
from bot.ledger.tables import WAITING, contacts, conversations, deliveries, doors, messages, turns, updates
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.updates import ContactRef, Received, Reported, Unsupported, Update
from bot.vocabulary import Author, Change, Holder, Reason, TurnState, UpdateState

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=20)  # renewed while the bot thinks; a dead process is noticed this late
BATCH_LOCK = 0x6261746F6E  # any number nobody else uses on this database
TRIES = 2  # a turn that dies twice is a person's matter


@dataclass(frozen=True)
class Heard:
    """One message of a contact that waits for its turn."""

    id: int
    content: says.Inbound
    at: datetime


@dataclass(frozen=True)
class Turn:
    """The bot's handling of one message: what was said, and under which epoch the answer is composed."""

    id: int
    conversation_id: int
    key: str
    epoch: int
    attempt: int
    holder: Holder
    new_contact: bool  # the bot never spoke with them before
    returned: bool  # a person held the conversation since the bot's last turn
    heard: Heard


@dataclass(frozen=True)
class Understood:
    """What the bot made of a message."""

    intent: str
    confidence: float


def record(tx: Transaction, body: bytes, heard: list[Update], now: datetime) -> set[int]:
    """Write a delivery and every update in it down; return the conversations that now have something waiting."""
    _one_batch_at_a_time(tx, heard)
    delivery_id = tx.execute(sa.insert(deliveries).values(received_at=now, body=body)).inserted_primary_key[0]
    waiting: set[int] = set()
    # What was said comes before what was reported: conversations are locked before their messages, everywhere.
    for n, update in sorted(enumerate(heard), key=lambda item: not isinstance(item[1], Received)):
        try:
            with tx.begin_nested():
                written = _write(tx, update, delivery_id, now)
        except (DataError, IntegrityError, ValueError, OverflowError) as problem:
            # Whatever this one was, its neighbours are kept; Meta would send the same body again for days otherwise.
            log.error(
                "an update could not be written down: %s", type(problem).__name__, extra={"action": "update_failed"}
            )
            refused = Unsupported("unwritable", type(problem).__name__, unreadable=True)
            written = _write(tx, refused, delivery_id, now)
        if written.waits is not None:
            waiting.add(written.waits)
        tx.execute(sa.insert(updates).values(delivery_id=delivery_id, n=n, **written.columns))
    return waiting


@dataclass(frozen=True)
class _Written:
    columns: dict[str, Any]  # of the update's row
    waits: int | None = None  # the conversation in which something waits now


def _write(tx: Transaction, update: Update, delivery_id: int, now: datetime) -> _Written:
    """Write one update down; every one leaves a row that says what became of it."""

    def row(kind: str, state: UpdateState, wamid: str | None = None, remark: str = "") -> dict[str, Any]:
        return {"kind": kind[:64], "state": state, "wamid": wamid, "remark": remark[:300]}

    match update:
        case Received():
            received = _receive(tx, update, now)
            state = UpdateState.REPEATED if received is None else UpdateState.HANDLED
            waits = received.conversation_id if received is not None and received.waits else None
            return _Written(row(says.type_of(update.content), state, update.wamid), waits)
        case Reported():
            state = UpdateState.HANDLED if outbox.hear(tx, update, now) else UpdateState.REPEATED
            return _Written(row(f"status {update.status.value}", state, update.wamid))
        case Unsupported(unreadable=True):
            words = (
                f"Meta sent something we can't read (delivery {delivery_id}); it is kept. "
                "Once looked at: python -m handoff alarm clear unreadable_delivery"
            )
            alarms.raise_alarm(tx, "unreadable_delivery", words, now)
            return _Written(row(update.kind, UpdateState.FAILED, remark=update.remark))
        case Unsupported():
            return _Written(row(update.kind, UpdateState.KEPT, remark=update.remark))


def _one_batch_at_a_time(tx: Transaction, heard: list[Update]) -> None:
    """Let no two deliveries of several updates be written at once: naming conversations in other orders, each could
    hold what the other waits for. SQLite has one writer in any case.
    """
    if len(heard) > 1 and tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(BATCH_LOCK)))


@dataclass(frozen=True)
class _Kept:
    conversation_id: int
    waits: bool


def _receive(tx: Transaction, update: Received, now: datetime) -> _Kept | None:
    """Find or make contact and conversation and keep the message; None if we had it already."""
    known = tx.execute(sa.select(messages.c.id).where(messages.c.wamid == update.wamid)).first()
    if known is not None:
        return None
    contact_id = _contact(tx, update.contact, now)
    row = _conversation(tx, update.phone_number_id, contact_id, now)
    # Under the conversation's lock: what comes in while an agent holds it is the agent's, whenever a turn looks at it.
    waits = update.wants_answer and row.holder is not Holder.AGENT
    sent_at = update.sent_at or now
    message_id = insert_new(
        tx,
        messages,
        conversation_id=row.id,
        author=Author.CONTACT,
        type=says.type_of(update.content),
        text=update.content.text,
        content=says.to_json(update.content),
        wamid=update.wamid,
        reply_to=update.reply_to,
        at=sent_at,
        waiting=waits,
    )
    if message_id is None:
        return None  # the same delivery, at the same moment, in another process
    ends = window_ends(sent_at)
    later = ends if row.window_ends is None else max(ends, row.window_ends)
    tx.execute(
        sa.update(conversations).where(conversations.c.id == row.id).values(window_ends=later, last_message_at=now)
    )
    changes.note(tx, row.id, Change.MESSAGE, now)
    return _Kept(row.id, waits)


def _contact(tx: Transaction, ref: ContactRef, now: datetime) -> int:
    """Find the contact by either id, and learn the one we did not know."""
    row = _find_contact(tx, ref)
    if row is None:
        insert_new(tx, contacts, phone=ref.phone, bsuid=ref.bsuid, name=ref.name[:200], created_at=now)
        row = _find_contact(tx, ref)
    news = {}
    if ref.name and row.name != ref.name[:200]:
        news["name"] = ref.name[:200]
    for column, value in (("phone", ref.phone), ("bsuid", ref.bsuid)):
        if value and getattr(row, column) is None:
            taken = tx.execute(sa.select(contacts.c.id).where(contacts.c[column] == value)).first()
            if taken is None:
                news[column] = value
    if news:
        tx.execute(sa.update(contacts).where(contacts.c.id == row.id).values(news))
    return int(row.id)


def _find_contact(tx: Transaction, ref: ContactRef) -> Any:
    for column, value in ((contacts.c.bsuid, ref.bsuid), (contacts.c.phone, ref.phone)):
        if value:
            row = tx.execute(sa.select(contacts).where(column == value)).first()
            if row is not None:
                return row
    return None


def _conversation(tx: Transaction, phone_number_id: str, contact_id: int, now: datetime) -> Any:
    """Find the conversation of one of our numbers and one contact, or begin it; locked."""
    mine = (conversations.c.phone_number_id == phone_number_id) & (conversations.c.contact_id == contact_id)
    find = sa.select(conversations.c.id).where(mine)
    conversation_id = tx.execute(find).scalar()
    if conversation_id is None:
        insert_new(
            tx,
            conversations,
            key=secrets.token_hex(12),
            phone_number_id=phone_number_id,
            contact_id=contact_id,
            holder=Holder.BOT,
            epoch=1,
            muted_at=0,
            last_message_at=now,
            created_at=now,
        )
        conversation_id = tx.execute(find).scalar_one()
    return outbox.lock_conversation(tx, conversation_id)


def keep_door_open(tx: Transaction, now: datetime) -> None:
    """Write down that the webhook is open, and since when: Meta's reports can reach us."""
    mine = doors.c.name == WEBHOOK
    row = tx.execute(sa.select(doors).where(mine)).first()
    if row is None:
        insert_new(tx, doors, name=WEBHOOK, opened_at=now, seen_at=now)
    else:
        was_shut = row.seen_at < now - DOOR_SEEN_WITHIN
        opened_at = now if was_shut else row.opened_at
        tx.execute(sa.update(doors).where(mine).values(opened_at=opened_at, seen_at=now))


def waiting_conversations(tx: Transaction, now: datetime) -> list[int]:
    """Return the conversations in which something waits and nobody is at work, the longest waiting first."""
    idle = sa.or_(conversations.c.lease_until.is_(None), conversations.c.lease_until < now)
    rows = tx.execute(
        sa.select(messages.c.conversation_id)
        .join(conversations, conversations.c.id == messages.c.conversation_id)
        .where(WAITING, idle)
        .group_by(messages.c.conversation_id)
        .order_by(sa.func.min(messages.c.id))
    )
    return [int(row.conversation_id) for row in rows]


def begin_turn(
    tx: Transaction,
    conversation_id: int,
    *,
    owner: str,
    invited: bool,
    passing_on: says.Outbound,
    now: datetime,
) -> Turn | None:
    """Lease the conversation and return its next turn, or None when nothing waits for the bot.

    The holder is read here, at the turn, not at the door: what waits while a person holds the conversation is left
    to the desk. A turn that died is done again; one that died twice is handed off, with `passing_on` as its words.
    """
    row = _lease(tx, conversation_id, owner, now)
    if row is None:
        return None
    running = tx.execute(
        sa.select(turns).where(turns.c.conversation_id == row.id, turns.c.state == TurnState.RUNNING)
    ).first()
    if running is not None and (
        not may_bot_speak(row.holder, running.epoch, row.muted_at) or not does_bot_hear(row.holder, invited)
    ):
        close_turn(tx, running.id, TurnState.MUTED, now)
        running = None
    if running is not None and running.attempts >= TRIES:
        heard = _heard_in(tx, running.id)
        close_turn(tx, running.id, TurnState.LOST, now)
        handoffs.hand_off(
            tx,
            row.key,
            reason=Reason.LOST,
            wish=heard.content.text,
            slots={},
            words=passing_on,
            turn_id=running.id,
            now=now,
        )
        log.error("a turn died twice and was handed off", extra={"action": "turn_lost", "conversation": row.key})
        return begin_turn(tx, conversation_id, owner=owner, invited=invited, passing_on=passing_on, now=now)
    if running is not None:
        tx.execute(sa.update(turns).where(turns.c.id == running.id).values(attempts=running.attempts + 1))
        return _turn(tx, row, running.id, running.epoch, running.attempts + 1)
    waits = (messages.c.conversation_id == row.id) & WAITING
    if not does_bot_hear(row.holder, invited):
        tx.execute(sa.update(messages).where(waits).values(waiting=False))
        release(tx, conversation_id, owner)
        return None
    message = tx.execute(sa.select(messages.c.id).where(waits).order_by(messages.c.id).limit(1)).first()
    if message is None:
        release(tx, conversation_id, owner)
        return None
    turn_id = tx.execute(
        sa.insert(turns).values(
            conversation_id=row.id, epoch=row.epoch, state=TurnState.RUNNING, attempts=1, began_at=now
        )
    ).inserted_primary_key[0]
    tx.execute(sa.update(messages).where(messages.c.id == message.id).values(turn_id=turn_id))
    return _turn(tx, row, turn_id, row.epoch, 1)


def _lease(tx: Transaction, conversation_id: int, owner: str, now: datetime) -> Any:
    """Make the conversation ours for a while, or return None if another process is at work on it."""
    free = sa.or_(
        conversations.c.lease_until.is_(None),
        conversations.c.lease_until < now,
        conversations.c.lease_owner == owner,
    )
    mine = tx.execute(
        sa.update(conversations)
        .where(conversations.c.id == conversation_id, free)
        .values(lease_owner=owner, lease_until=now + LEASE)
    )
    if not mine.rowcount:
        return None
    return tx.execute(sa.select(conversations).where(conversations.c.id == conversation_id)).one()


def _turn(tx: Transaction, row: Any, turn_id: int, epoch: int, attempt: int) -> Turn:
    before = tx.execute(
        sa.select(turns.c.epoch)
        .where(turns.c.conversation_id == row.id, turns.c.id < turn_id)
        .order_by(turns.c.id.desc())
        .limit(1)
    ).first()
    return Turn(
        id=turn_id,
        conversation_id=row.id,
        key=row.key,
        epoch=epoch,
        attempt=attempt,
        holder=row.holder,
        new_contact=before is None,
        returned=row.muted_at > (before.epoch if before is not None else 0),
        heard=_heard_in(tx, turn_id),
    )


def _heard_in(tx: Transaction, turn_id: int) -> Heard:
    row = tx.execute(
        sa.select(messages).where(messages.c.turn_id == turn_id, messages.c.author == Author.CONTACT)
    ).one()
    content: says.Inbound = says.from_row(row.type, row.text, row.content)  # type: ignore[assignment]  # a contact's
    return Heard(row.id, content, row.at)


def renew(tx: Transaction, conversation_id: int, owner: str, now: datetime) -> bool:
    """Keep the lease while the bot still thinks; say whether it is still ours."""
    mine = (conversations.c.id == conversation_id) & (conversations.c.lease_owner == owner)
    return bool(tx.execute(sa.update(conversations).where(mine).values(lease_until=now + LEASE)).rowcount)


def release(tx: Transaction, conversation_id: int, owner: str) -> None:
    """Let others at this conversation."""
    mine = (conversations.c.id == conversation_id) & (conversations.c.lease_owner == owner)
    tx.execute(sa.update(conversations).where(mine).values(lease_owner=None, lease_until=None))


def end_turn(
    tx: Transaction,
    turn: Turn,
    *,
    owner: str,
    said: list[says.Outbound],
    understood: Understood | None,
    may_be_silent: bool,
    excuse: says.Outbound,
    passing_on: says.Outbound,
    now: datetime,
) -> TurnState:
    """Close a turn and queue what it said, all or nothing; return what became of it.

    Raises LeaseLost when another process has taken the turn over: then nothing of this one counts. A turn without a
    word is a failure, not a choice (silence is how Rasa fails): the contact gets `excuse`; the second time in a row
    `passing_on` and a person.
    """
    row = outbox.lock_conversation(tx, turn.conversation_id)
    running = tx.execute(sa.select(turns.c.id).where(turns.c.id == turn.id, turns.c.state == TurnState.RUNNING)).first()
    if row.lease_owner != owner or running is None:
        raise LeaseLost(f"(turn {turn.id})")
    if understood is not None:
        tx.execute(
            sa.update(messages)
            .where(messages.c.id == turn.heard.id)
            .values(intent=understood.intent[:100], confidence=understood.confidence)
        )
    state = TurnState.ANSWERED
    if not may_bot_speak(row.holder, turn.epoch, row.muted_at):
        state = TurnState.MUTED
        log.info(
            "a person took over while the bot was thinking; it says nothing",
            extra={"action": "turn_muted", "conversation": row.key},
        )
    elif not said and not may_be_silent and not _spoke(tx, turn.id):
        state = TurnState.SILENT
        if _was_silent_before(tx, turn):
            handoffs.hand_off(
                tx,
                row.key,
                reason=Reason.SILENT,
                wish=turn.heard.content.text,
                slots={},
                words=passing_on,
                turn_id=turn.id,
                now=now,
            )
        else:
            said = [excuse]
    if state is not TurnState.MUTED:
        for content in said:
            outbox.queue(tx, row.id, content, author=Author.BOT, epoch=turn.epoch, turn_id=turn.id, now=now)
    close_turn(tx, turn.id, state, now)
    changes.note(tx, row.id, Change.MESSAGE, now)  # what was understood stands beside the message now
    return state


def close_turn(tx: Transaction, turn_id: int, state: TurnState, now: datetime) -> None:
    """Write down what became of a turn; its message waits no more."""
    tx.execute(sa.update(turns).where(turns.c.id == turn_id).values(state=state, ended_at=now))
    tx.execute(
        sa.update(messages)
        .where(messages.c.turn_id == turn_id, messages.c.author == Author.CONTACT)
        .values(waiting=False)
    )


def _spoke(tx: Transaction, turn_id: int) -> bool:
    """Say whether words of this turn are queued already (a hand off queues its own)."""
    mine = sa.select(messages.c.id).where(messages.c.turn_id == turn_id, messages.c.author == Author.BOT)
    return tx.execute(mine.limit(1)).first() is not None


def _was_silent_before(tx: Transaction, turn: Turn) -> bool:
    state = tx.execute(
        sa.select(turns.c.state)
        .where(turns.c.conversation_id == turn.conversation_id, turns.c.id < turn.id)
        .order_by(turns.c.id.desc())
        .limit(1)
    ).scalar()
    return state is TurnState.SILENT
