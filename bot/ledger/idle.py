"""Conversations an agent still has although nothing more is to be said: they are given back to the bot by themselves.

Only those nobody waits in. Who is in the queue is never closed: a promise stands until somebody keeps it or the contact
takes it back.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.conversation import channel_of, window_is_open
from bot.ledger import handoffs as holding
from bot.ledger import outbox, waits
from bot.ledger.tables import contacts, conversations, handoffs
from bot.ledger.transaction import Transaction
from bot.messages import Outbound
from bot.vocabulary import Holder, Outcome

AT_ONCE = 20


def is_due(tx: Transaction, now: datetime, after: timedelta) -> bool:
    """Say whether there may be one: only a look."""
    return bool(_quiet(tx, now - after, limit=1))


def close(tx: Transaction, now: datetime, after: timedelta, words: Outbound) -> int:
    """Give back what has been quiet for so long, with a word to the contact if a person spoke; return how many."""
    count, last = 0, 0
    while found := _quiet(tx, now - after, limit=AT_ONCE, behind=last):
        for conversation_id in found:
            last = conversation_id
            row = outbox.lock_conversation(tx, conversation_id, skip_locked=True)
            if row is not None and _quiet(tx, now - after, limit=1, only=conversation_id):
                count += _close(tx, row, now, words)
    return count


def _close(tx: Transaction, row: Any, now: datetime, words: Outbound) -> bool:
    one = waits.of(tx, row.id, now)
    if one is None or one.waits.since is not None:
        return False  # the contact waits for an answer
    answered = one.waits.first_answer_at is not None
    if not answered and one.row.promised_at is not None:
        return False  # nor did they ever get one
    blocked = tx.execute(sa.select(contacts.c.blocked_at).where(contacts.c.id == row.contact_id)).scalar()
    may_say = (
        answered and window_is_open(row.window_ends, now) and blocked is None and not channel_of(row.phone_number_id)
    )
    holding.end(tx, row, Outcome.IDLE, words=words if may_say else None, now=now)
    return True


def _quiet(tx: Transaction, before: datetime, *, limit: int, behind: int = 0, only: int | None = None) -> list[int]:
    held = (conversations.c.holder == Holder.AGENT) & conversations.c.agent_id.is_not(None)
    awake = handoffs.c.snoozed_until.is_(None) & (handoffs.c.woke_at.is_(None) | (handoffs.c.woke_at <= before))
    mine = [conversations.c.id == only] if only is not None else [conversations.c.id > behind]
    find = (
        sa.select(conversations.c.id)
        .join(handoffs, (handoffs.c.conversation_id == conversations.c.id) & handoffs.c.closed_at.is_(None))
        .where(held, conversations.c.last_message_at <= before, handoffs.c.taken_at <= before, awake, *mine)
        .order_by(conversations.c.id)
        .limit(limit)
    )
    return list(tx.execute(find).scalars())
