"""What goes out: queue it, claim it, settle it, give it up. The only writer of a message's status."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa

from bot import messages as says
from bot.conversation import may_bot_speak
from bot.errors import UnknownConversation
from bot.ledger import changes
from bot.ledger.tables import contacts, conversations, messages, reports
from bot.ledger.transaction import Transaction
from bot.updates import Reported
from bot.vocabulary import Author, Change, Status, advance

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=20)  # how long one send may take, time-outs included
LISTENING = timedelta(seconds=15)  # after no answer: how long a status may still tell us that it was accepted
ATTEMPTS_MAX = 5
CALLBACK = "baton:"  # our message id travels as biz_opaque_callback_data under this prefix


@dataclass(frozen=True)
class Outgoing:
    """A message claimed for sending, with all the sender needs to know."""

    id: int
    conversation_id: int
    phone_number_id: str
    phone: str | None
    bsuid: str | None
    content: says.Outbound
    attempts: int

    @property
    def callback(self) -> str:
        """What travels with it, and comes back in every status."""
        return f"{CALLBACK}{self.id}"


class Kind(str, Enum):
    """The five things that can follow a send."""

    ACCEPTED = "accepted"
    LATER = "later"  # Meta asks us to wait
    UNHEARD = "unheard"  # no answer: it may have been accepted
    REFUSED = "refused"  # never as it is
    STOPPED = "stopped"  # we may not send at all; nothing is wrong with this message


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt to send."""

    kind: Kind
    wamid: str = ""
    words: str = ""
    wait: timedelta = timedelta(0)


def lock_conversation(tx: Transaction, conversation_id: int, *, skip_locked: bool = False) -> Any:
    """Return the conversation's row, held until this transaction ends, so that moves and words can't cross."""
    query = sa.select(conversations).where(conversations.c.id == conversation_id)
    return tx.execute(query.with_for_update(skip_locked=skip_locked)).first()


def queue(
    tx: Transaction,
    conversation_id: int,
    content: says.Outbound,
    *,
    author: Author,
    now: datetime,
    epoch: int | None = None,
    turn_id: int | None = None,
    agent_id: int | None = None,
    agent_name: str = "",
    client_key: str | None = None,
) -> int | None:
    """Write a message down to be sent; return its id, or None if it may not be said (any more).

    `epoch` is the one the bot's turn began under: such words are refused, here and again when they are claimed,
    once a person has taken over. Words queued inside a move's own transaction (the hand off's sentence, the desk's
    goodbye) and an agent's reply carry none: they can't be stale, so they always arrive.
    The same `client_key` twice is one message.
    """
    row = lock_conversation(tx, conversation_id)
    if row is None:
        raise UnknownConversation(f"(id {conversation_id})")
    if epoch is not None and not may_bot_speak(row.holder, epoch, row.muted_at):
        log.info(
            "words composed before a person took over were not queued",
            extra={"action": "muted", "conversation": row.key},
        )
        return None
    if client_key is not None:
        known = tx.execute(
            sa.select(messages.c.id).where(
                messages.c.conversation_id == conversation_id, messages.c.client_key == client_key
            )
        ).scalar()
        if known is not None:
            return int(known)
    n = None
    if turn_id is not None:
        said = sa.select(sa.func.count()).where(messages.c.turn_id == turn_id, messages.c.n.is_not(None))
        n = tx.execute(said).scalar()
    result = tx.execute(
        sa.insert(messages).values(
            conversation_id=conversation_id,
            author=author,
            type=says.type_of(content),
            text=content.text,
            content=says.to_json(content),
            at=now,
            waiting=False,
            status=Status.QUEUED,
            turn_id=turn_id,
            n=n,
            epoch=epoch,
            agent_id=agent_id,
            agent_name=agent_name,
            client_key=client_key,
        )
    )
    tx.execute(sa.update(conversations).where(conversations.c.id == conversation_id).values(last_message_at=now))
    changes.note(tx, conversation_id, Change.MESSAGE, now)
    return int(result.inserted_primary_key[0])


def is_due(tx: Transaction, now: datetime) -> bool:
    """Say whether anything could be claimed; a cheap look before a transaction that writes."""
    due = sa.or_(messages.c.not_before.is_(None), messages.c.not_before <= now)
    return (
        tx.execute(sa.select(messages.c.id).where(messages.c.status == Status.QUEUED, due).limit(1)).first() is not None
    )


def claim(tx: Transaction, now: datetime, lease: timedelta = LEASE) -> Outgoing | None:
    """Take the oldest message whose conversation has nothing else in flight.

    What a person has overtaken is withdrawn on the way. None means that nothing can be sent just now.
    """
    while True:
        outgoing, withdrew = _claim_first(tx, now, lease)
        if outgoing is not None or not withdrew:
            return outgoing


def _claim_first(tx: Transaction, now: datetime, lease: timedelta) -> tuple[Outgoing | None, bool]:
    """Return what was claimed, and whether something was withdrawn, which lets the next of its conversation go."""
    earlier = messages.alias("earlier")
    blocked = (
        sa.select(earlier.c.id)
        .where(
            earlier.c.conversation_id == messages.c.conversation_id,
            earlier.c.id < messages.c.id,
            earlier.c.status.in_((Status.QUEUED, Status.SENDING)),
        )
        .exists()
    )
    candidates = tx.execute(
        sa.select(messages.c.id, messages.c.conversation_id)
        .where(
            messages.c.status == Status.QUEUED,
            sa.or_(messages.c.not_before.is_(None), messages.c.not_before <= now),
            ~blocked,
        )
        .order_by(messages.c.id)
        .limit(20)
    ).all()
    withdrew = False
    for candidate in candidates:
        # The conversation is locked before the message everywhere, or two processes could wait for each other.
        conversation = lock_conversation(tx, candidate.conversation_id, skip_locked=True)
        if conversation is None:
            continue  # another process is busy with this conversation; its message keeps
        mine = (messages.c.id == candidate.id) & (messages.c.status == Status.QUEUED)
        row = tx.execute(sa.select(messages).where(mine)).first()
        if row is None:
            continue
        if row.epoch is not None and not may_bot_speak(conversation.holder, row.epoch, conversation.muted_at):
            withdrew = True
            _move(tx, row, Status.WITHDRAWN, now, error="a person took over before it was sent")
            log.info(
                "words composed before a person took over were withdrawn",
                extra={"action": "withdrawn", "conversation": conversation.key},
            )
            continue
        step = {"status": Status.SENDING, "lease_until": now + lease, "attempts": row.attempts + 1}
        if not tx.execute(sa.update(messages).where(mine).values(step)).rowcount:
            continue
        contact = tx.execute(sa.select(contacts).where(contacts.c.id == conversation.contact_id)).one()
        claimed = Outgoing(
            id=row.id,
            conversation_id=row.conversation_id,
            phone_number_id=conversation.phone_number_id,
            phone=contact.phone,
            bsuid=contact.bsuid,
            content=says.from_json(row.content),  # type: ignore[arg-type]  # only outbound values are queued
            attempts=row.attempts + 1,
        )
        return claimed, withdrew
    return None, withdrew


def settle(tx: Transaction, message_id: int, outcome: Outcome, now: datetime) -> None:
    """Write down what became of a claimed message."""
    row = tx.execute(sa.select(messages).where(messages.c.id == message_id)).one()
    if row.status is not Status.SENDING and outcome.kind is not Kind.ACCEPTED:
        return  # a status told us more than the answer could
    match outcome.kind:
        case Kind.ACCEPTED:
            _move(tx, row, advance(row.status, Status.SENT), now, wamid=row.wamid or outcome.wamid, error="")
            _apply_early_reports(tx, message_id, outcome.wamid, now)
        case Kind.LATER:
            if row.attempts >= ATTEMPTS_MAX * 2:
                _move(tx, row, Status.FAILED, now, error=outcome.words)
            else:
                _move(tx, row, Status.QUEUED, now, not_before=now + outcome.wait, error=outcome.words)
        case Kind.UNHEARD:
            # It stays `sending` until its lease ends: a status bearing our callback may still settle it.
            tx.execute(
                sa.update(messages)
                .where(messages.c.id == message_id)
                .values(error=outcome.words[:500], lease_until=now + LISTENING)
            )
        case Kind.REFUSED:
            _move(tx, row, Status.FAILED, now, error=outcome.words)
        case Kind.STOPPED:
            _move(
                tx,
                row,
                Status.QUEUED,
                now,
                attempts=row.attempts - 1,
                not_before=now + outcome.wait,
                error=outcome.words,
            )


def expire(tx: Transaction, now: datetime) -> int:
    """Queue again what was being sent when its sender fell silent; return how many."""
    silent = (messages.c.status == Status.SENDING) & (messages.c.lease_until < now)
    rows = tx.execute(sa.select(messages).where(silent).with_for_update(skip_locked=True)).all()
    for row in rows:
        if row.attempts >= ATTEMPTS_MAX:
            _move(tx, row, Status.FAILED, now, error=row.error or "WhatsApp gave no answer")
        else:
            _move(tx, row, Status.QUEUED, now)
    return len(rows)


def hear(tx: Transaction, reported: Reported, now: datetime) -> bool:
    """Keep a report and move its message on; say whether it was news."""
    message = _reported_message(tx, reported)
    known = tx.execute(
        sa.select(reports.c.id).where(reports.c.wamid == reported.wamid, reports.c.status == reported.status.value)
    ).first()
    if known is not None:
        return False
    tx.execute(
        sa.insert(reports).values(
            wamid=reported.wamid,
            status=reported.status.value,
            at=reported.at,
            message_id=message.id if message is not None else None,
            callback=reported.callback,
            error=reported.error[:500],
            pricing=reported.pricing,
        )
    )
    if message is not None:
        _move(
            tx,
            message,
            advance(message.status, reported.status),
            now,
            wamid=reported.wamid,
            error=reported.error or ("" if reported.status is not Status.FAILED else "WhatsApp could not deliver it"),
        )
    return True


def _reported_message(tx: Transaction, reported: Reported) -> Any:
    """Find the message a report speaks of: by Meta's id, or by ours if we never heard Meta's."""
    row = tx.execute(sa.select(messages).where(messages.c.wamid == reported.wamid)).first()
    if row is None and reported.callback.startswith(CALLBACK):
        ours = reported.callback.removeprefix(CALLBACK)
        if ours.isdigit() and len(ours) < 19:
            row = tx.execute(
                sa.select(messages).where(
                    messages.c.id == int(ours), messages.c.wamid.is_(None), messages.c.status.is_not(None)
                )
            ).first()
    return row if row is not None and row.status is not None else None


def _apply_early_reports(tx: Transaction, message_id: int, wamid: str, now: datetime) -> None:
    """Catch up with reports that came before the answer to the send itself."""
    early = (reports.c.wamid == wamid) & reports.c.message_id.is_(None)
    for report in tx.execute(sa.select(reports).where(early)).all():
        row = tx.execute(sa.select(messages).where(messages.c.id == message_id)).one()
        _move(tx, row, advance(row.status, Status(report.status)), now, error=report.error)
    tx.execute(sa.update(reports).where(early).values(message_id=message_id))


def _move(tx: Transaction, row: Any, status: Status, now: datetime, **columns: Any) -> None:
    """Write a status and tell whoever shows the conversation."""
    if "error" in columns:
        columns["error"] = columns["error"][:500]
    tx.execute(sa.update(messages).where(messages.c.id == row.id).values(status=status, lease_until=None, **columns))
    changes.note(tx, row.conversation_id, Change.STATUS, now)
