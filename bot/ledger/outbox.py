"""What goes out: queue it, claim it, settle it, give it up. The only writer of a message's status."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa

from bot import messages as says
from bot.conversation import may_bot_speak, window_is_open
from bot.errors import TooLong, UnknownConversation
from bot.ledger import changes
from bot.ledger.tables import UNSENT, contacts, conversations, doors, messages, reports
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.updates import Reported
from bot.vocabulary import Author, Change, Status, advance

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=20)  # how long one send may take, time-outs included
LISTENING = timedelta(seconds=15)  # after no answer: how long a status may still tell us that it was accepted
WEBHOOK = "webhook"  # the door Meta's reports come in by
DOOR_SEEN_WITHIN = timedelta(seconds=10)
LISTENED_ENOUGH = timedelta(minutes=5)  # then it is sent again even if the door never opened
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
    """Return the conversation's row, held until this transaction ends, so that moves and words can't cross.

    Every writer locks the conversation before its messages. Not against the foreign keys of rows that point to it,
    which inserts take; so nobody waits for an insert.
    """
    query = sa.select(conversations).where(conversations.c.id == conversation_id)
    return tx.execute(query.with_for_update(skip_locked=skip_locked, key_share=True)).first()


def _locked_message(tx: Transaction, message_id: int, *, skip_locked: bool = False) -> Any:
    """Return a message of ours as it is once its conversation is locked; None if that is busy and we skip."""
    found = sa.select(messages.c.conversation_id).where(messages.c.id == message_id)
    if lock_conversation(tx, tx.execute(found).scalar_one(), skip_locked=skip_locked) is None:
        return None
    return tx.execute(sa.select(messages).where(messages.c.id == message_id)).one()


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
    found = sa.select(messages.c.id).where(UNSENT, messages.c.status == Status.QUEUED, due).limit(1)
    return tx.execute(found).first() is not None


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
            UNSENT,
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
        try:
            content: says.Outbound = says.from_json(row.content)  # type: ignore[assignment]  # only these are queued
        except (TooLong, KeyError, TypeError) as problem:  # a limit was lowered since; the next one must still go
            withdrew = True
            _move(tx, row, Status.FAILED, now, error=f"it can't be sent as it is: {problem}")
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
            content=content,
            attempts=row.attempts + 1,
        )
        return claimed, withdrew
    return None, withdrew


def settle(tx: Transaction, message_id: int, outcome: Outcome, now: datetime) -> None:
    """Write down what became of a claimed message."""
    row = _locked_message(tx, message_id)
    if row.status is not Status.SENDING and outcome.kind is not Kind.ACCEPTED:
        return  # a status told us more than the answer could
    match outcome.kind:
        case Kind.ACCEPTED:
            _move(tx, row, advance(row.status, Status.SENT), now, wamid=row.wamid or outcome.wamid, error="")
            _apply_early_reports(tx, message_id, outcome.wamid, now)
        case Kind.LATER:
            if not _window_is_open(tx, row.conversation_id, now):
                _move(tx, row, Status.FAILED, now, error=outcome.words)
            else:  # however often: giving up is for when it could not be sent any more
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
    """Queue again what was being sent when its sender fell silent; return how many.

    It may have been accepted, which only a report can tell. So we must have been able to hear one for a while: after
    a crash of everything the sender is back long before the webhook is.
    """
    since = tx.execute(
        sa.select(doors.c.opened_at).where(doors.c.name == WEBHOOK, doors.c.seen_at > now - DOOR_SEEN_WITHIN)
    ).scalar()
    heard_nothing = since is not None and since <= now - LISTENING
    before = now if heard_nothing else now - LISTENED_ENOUGH
    silent = (messages.c.status == Status.SENDING) & (messages.c.lease_until < before)
    expired = 0
    for message_id in tx.execute(sa.select(messages.c.id).where(UNSENT, silent).limit(100)).scalars().all():
        row = _locked_message(tx, message_id, skip_locked=True)
        if row is None or row.status is not Status.SENDING or row.lease_until >= before:
            continue
        expired += 1
        if row.attempts >= ATTEMPTS_MAX:
            _move(tx, row, Status.FAILED, now, error=row.error or "WhatsApp gave no answer")
        else:
            _move(tx, row, Status.QUEUED, now)
    return expired


def hear(tx: Transaction, reported: Reported, now: datetime) -> bool:
    """Keep a report and move its message on; say whether it was news."""
    message_id = _reported_message(tx, reported)
    message = None if message_id is None else _locked_message(tx, message_id)
    new = insert_new(
        tx,
        reports,
        wamid=reported.wamid,
        status=reported.status.value,
        at=reported.at,
        message_id=message_id,
        callback=reported.callback,
        error=reported.error[:500],
        pricing=reported.pricing,
    )
    if new is None:
        return False
    if message is not None:
        otherwise = "WhatsApp could not deliver it" if reported.status is Status.FAILED else ""
        status = advance(message.status, reported.status)
        _move(tx, message, status, now, wamid=reported.wamid, error=reported.error or otherwise)
    return True


def _reported_message(tx: Transaction, reported: Reported) -> int | None:
    """Find the message a report speaks of: by Meta's id, or by ours if we never heard Meta's."""
    ours = messages.c.status.is_not(None)
    found = tx.execute(sa.select(messages.c.id).where(messages.c.wamid == reported.wamid, ours)).scalar()
    number = reported.callback.removeprefix(CALLBACK)
    if found is None and reported.callback.startswith(CALLBACK) and number.isascii() and number.isdigit():
        unheard = messages.c.wamid.is_(None) & ours
        found = tx.execute(sa.select(messages.c.id).where(messages.c.id == int(number[:18]), unheard)).scalar()
    return None if found is None else int(found)


def _window_is_open(tx: Transaction, conversation_id: int, now: datetime) -> bool:
    ends = tx.execute(sa.select(conversations.c.window_ends).where(conversations.c.id == conversation_id)).scalar()
    return window_is_open(ends, now)


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
