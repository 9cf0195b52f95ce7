"""Putting a conversation aside for a while: the agent keeps it, and is kept from looking at it until it matters again.

It wakes at its time or when the contact writes, whichever is sooner, and then rings. While it sleeps nobody is kept
waiting by it; it never sleeps for ever.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.conversation import window_is_open
from bot.errors import BadSnooze, NotAllowed
from bot.ledger import changes, outbox, ratings
from bot.ledger import handoffs as holding
from bot.ledger.tables import contacts, conversations, handoffs, messages
from bot.ledger.transaction import Transaction
from bot.messages import Outbound
from bot.vocabulary import Author, Change

LONGEST = timedelta(days=30)
UNTIL_THEY_WRITE = timedelta(days=7)  # who is waited for without a time is looked after once a week all the same
AT_ONCE = 50


def snooze(tx: Transaction, key: str, *, agent_id: int, until: datetime, words: Outbound | None, now: datetime) -> None:
    """Put it aside until then, or until the contact writes; `words` tell them so, while they may be sent."""
    row = holding.require_held_by(tx, key, agent_id)
    require_soon(until, now)
    put = {"snoozed_at": now, "snoozed_until": until, "woke_at": None}
    tx.execute(sa.update(handoffs).where(_open(row.id)).values(put))
    blocked = tx.execute(sa.select(contacts.c.blocked_at).where(contacts.c.id == row.contact_id)).scalar()
    may_say = window_is_open(row.window_ends, now) and blocked is None
    if words is not None and may_say and not _was_just_said(tx, row.id, words):
        outbox.queue(tx, row.id, words, author=Author.DESK, now=now)
    changes.note(tx, row.id, Change.MOVE, now)


def require_soon(until: datetime, now: datetime) -> None:
    """Refuse a time that is over, or too far away."""
    if not now < until <= now + LONGEST:
        raise BadSnooze(f"(a time in the next {LONGEST.days} days)")


def _was_just_said(tx: Transaction, conversation_id: int, words: Outbound) -> bool:
    """Say whether these are the last words said there: whoever asks twice tells the contact once."""
    newest = sa.select(messages.c.author, messages.c.text).where(messages.c.conversation_id == conversation_id)
    last = tx.execute(newest.order_by(messages.c.id.desc()).limit(1)).first()
    return last is not None and last.author is Author.DESK and last.text == words.text


def wake(tx: Transaction, key: str, *, agent_id: int, now: datetime) -> None:
    """Take it up again before its time."""
    row = holding.require_held_by(tx, key, agent_id)
    woken = {"snoozed_at": None, "snoozed_until": None}
    if not tx.execute(sa.update(handoffs).where(_open(row.id), _SLEEPS).values(woken)).rowcount:
        raise NotAllowed("(it is not snoozed)")
    changes.note(tx, row.id, Change.MOVE, now)


def rouse(tx: Transaction, conversation_id: int, now: datetime) -> None:
    """Wake it, if it sleeps, for its agent has more to see to than they knew; it is locked."""
    woken = {"snoozed_at": None, "snoozed_until": None, "woke_at": now}
    tx.execute(sa.update(handoffs).where(_open(conversation_id), _SLEEPS).values(woken))


def is_due(tx: Transaction, now: datetime) -> bool:
    """Say whether something has to wake: only a look."""
    return bool(_due(tx, now))


def wake_due(tx: Transaction, now: datetime) -> int:
    """Wake what has its time, or whose contact has written; return how many."""
    count = 0
    for found in _due(tx, now):
        if outbox.lock_conversation(tx, found.conversation_id, skip_locked=True) is None:
            continue
        same = (handoffs.c.id == found.id) & (handoffs.c.snoozed_at == found.snoozed_at)
        woken = {"snoozed_at": None, "snoozed_until": None, "woke_at": now}
        if tx.execute(sa.update(handoffs).where(same, _SLEEPS).values(woken)).rowcount:
            changes.note(tx, found.conversation_id, Change.MOVE, now)
            count += 1
    return count


def _due(tx: Transaction, now: datetime) -> Any:
    came = sa.func.coalesce(messages.c.arrived_at, messages.c.at)
    wrote = (
        sa.select(messages.c.id)
        .where(messages.c.conversation_id == handoffs.c.conversation_id, messages.c.author == Author.CONTACT)
        .where(came > handoffs.c.snoozed_at, messages.c.type != "reaction", ratings.IS_NONE)
        .exists()
    )
    heard = (conversations.c.last_message_at > handoffs.c.snoozed_at) & wrote
    return tx.execute(
        sa.select(handoffs.c.id, handoffs.c.conversation_id, handoffs.c.snoozed_at)
        .join(conversations, conversations.c.id == handoffs.c.conversation_id)
        .where(_SLEEPS, handoffs.c.closed_at.is_(None), (handoffs.c.snoozed_until <= now) | heard)
        .order_by(handoffs.c.id)
        .limit(AT_ONCE)
    ).all()


def _open(conversation_id: int) -> Any:
    return (handoffs.c.conversation_id == conversation_id) & handoffs.c.closed_at.is_(None)


_SLEEPS = sa.text("handoffs.snoozed_until IS NOT NULL")
