"""How far each account has read each conversation. The only writer of read marks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot.ledger import ratings, transcript
from bot.ledger.tables import conversations, handoffs, messages
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.vocabulary import Author, Holder
from handoff.roles import Account, Deed
from handoff.tables_desk import read_marks

# What a contact wrote; a reaction asks nobody to read anything, nor does the tap that says how they found us.
HEARD = (messages.c.author == Author.CONTACT) & (messages.c.type != "reaction") & ratings.IS_NONE


@dataclass(frozen=True)
class Read:
    """Somebody had a conversation in sight, down to this message."""

    account_id: int
    conversation_id: int
    message_id: int
    at: datetime


def read(tx: Transaction, seen: Read) -> None:
    """Remember how far somebody has read; it only goes forward, and never beyond a *mark unread* that came later."""
    mine = _mark(seen.account_id, seen.conversation_id)
    further = (read_marks.c.message_id < seen.message_id) & (read_marks.c.at < seen.at)
    values = {"message_id": seen.message_id, "at": seen.at}
    if tx.execute(sa.update(read_marks).where(mine, further).values(values)).rowcount == 0:
        insert_new(
            tx, read_marks, account_id=seen.account_id, conversation_id=seen.conversation_id, **values
        )  # unless it is there


def mark_unread(tx: Transaction, key: str, account: Account, now: datetime) -> None:
    """Have the contact's last message unread again, for this account alone."""
    account.require(Deed.READ)
    conversation_id = transcript.conversation(tx, key).id
    newest = sa.select(sa.func.max(messages.c.id)).where(messages.c.conversation_id == conversation_id, HEARD)
    values = {"message_id": (tx.execute(newest).scalar() or 1) - 1, "at": now}
    mine = _mark(account.id, conversation_id)
    if tx.execute(sa.update(read_marks).where(mine).values(values)).rowcount == 0:
        insert_new(tx, read_marks, account_id=account.id, conversation_id=conversation_id, **values)


def read_to(tx: Transaction, account_id: int, conversation_id: int) -> int | None:
    """Return the last message this account saw there; None if it has never looked."""
    found: int | None = tx.execute(
        sa.select(read_marks.c.message_id).where(_mark(account_id, conversation_id))
    ).scalar()
    return found


def counts(tx: Transaction, account_id: int, ids: Collection[int]) -> dict[int, int]:
    """Return how many messages of the contact this account has not read, for those of these that have any.

    Where it has never looked, only what waits for a person or is its own counts, from the request on.
    """
    if not ids:
        return {}
    mark = sa.and_(read_marks.c.conversation_id == conversations.c.id, read_marks.c.account_id == account_id)
    open_ = sa.and_(handoffs.c.conversation_id == conversations.c.id, handoffs.c.closed_at.is_(None))
    newer = sa.or_(
        messages.c.id > read_marks.c.message_id,
        sa.and_(read_marks.c.message_id.is_(None), messages.c.at >= handoffs.c.asked_at),
    )
    # Counted for each on its own: joined, PostgreSQL would rather read every message there is.
    count = sa.select(sa.func.count()).where(messages.c.conversation_id == conversations.c.id, HEARD, newer)
    rows = tx.execute(
        sa.select(conversations.c.id, count.correlate(conversations, read_marks, handoffs).scalar_subquery())
        .outerjoin(read_marks, mark)
        .outerjoin(handoffs, open_)
        .where(conversations.c.id.in_(ids), sa.or_(read_marks.c.message_id.is_not(None), _concerns(account_id)))
    )
    return {row[0]: row[1] for row in rows if row[1]}


def is_unread(account_id: int) -> Any:
    """Return the condition that a conversation has something this account should read."""
    mark = (
        sa.select(read_marks.c.message_id)
        .where(read_marks.c.account_id == account_id, read_marks.c.conversation_id == conversations.c.id)
        .correlate(conversations)
        .scalar_subquery()
    )
    newer = sa.exists().where(messages.c.conversation_id == conversations.c.id, HEARD, messages.c.id > mark)
    return sa.or_(newer.correlate(conversations), sa.and_(mark.is_(None), _concerns(account_id)))


def _concerns(account_id: int) -> Any:
    mine = sa.and_(conversations.c.holder == Holder.AGENT, conversations.c.agent_id == account_id)
    return sa.or_(conversations.c.holder == Holder.QUEUE, mine)


def _mark(account_id: int, conversation_id: int) -> Any:
    return (read_marks.c.account_id == account_id) & (read_marks.c.conversation_id == conversation_id)
