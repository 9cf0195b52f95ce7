"""How long contacts wait for answers, kept on their handoff for reports: the first answer, the longest later wait, and
whether a team's standards were missed. The rules are bot.timers'.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot import timers
from bot.conversation import wants_an_answer
from bot.ledger import ratings, teams
from bot.ledger.tables import conversations, handoffs, messages
from bot.ledger.transaction import Transaction
from bot.timers import Spoken, Waits
from bot.vocabulary import Author, Holder, Status

IDS = 500  # in one query
KEPT = ("first_answer_at", "next_wait_s", "first_late", "next_late", "close_late")


@dataclass(frozen=True)
class Episode:
    """An open handoff and how it has gone so far."""

    row: Any
    waits: Waits


def of(tx: Transaction, conversation_id: int, now: datetime) -> Episode | None:
    """Return how the open handoff of a conversation has gone; None if there is none."""
    return next(iter(_episodes(tx, [conversation_id], now)), None)


def settle(tx: Transaction, conversation_id: int, now: datetime) -> Waits | None:
    """Write down how the open handoff of a conversation, locked, has gone up to now."""
    one = of(tx, conversation_id, now)
    if one is None:
        return None
    _keep(tx, one, now)
    return one.waits


def stale(tx: Transaction, now: datetime) -> list[int]:
    """Return the conversations of which something is to be written down: a breach, or an answer. Only a look."""
    held = (conversations.c.holder == Holder.AGENT) & conversations.c.agent_id.is_not(None)
    open_ = (handoffs.c.conversation_id == conversations.c.id) & handoffs.c.closed_at.is_(None)
    late = (conversations.c.holder == Holder.QUEUE) & (handoffs.c.due_at <= now) & ~handoffs.c.first_late
    find = sa.select(conversations.c.id).join(handoffs, open_).where(held | late).order_by(conversations.c.id)
    ids = tx.execute(find).scalars().all()
    return [one.row.conversation_id for one in _episodes(tx, ids, now) if _news(tx, one, now)]


def _episodes(tx: Transaction, conversation_ids: Collection[int], now: datetime) -> list[Episode]:
    found, ids = [], list(conversation_ids)
    for begin in range(0, len(ids), IDS):
        some = handoffs.c.conversation_id.in_(ids[begin : begin + IDS]) & handoffs.c.closed_at.is_(None)
        rows = tx.execute(sa.select(handoffs).where(some).order_by(handoffs.c.conversation_id)).all()
        spoken = _spoken(tx, rows)
        found += [Episode(row, _waits(tx, row, spoken.get(row.conversation_id, []), now)) for row in rows]
    return found


def _waits(tx: Transaction, row: Any, spoken: list[Spoken], now: datetime) -> Waits:
    return timers.waits(spoken, row.asked_at, teams.team(tx, row.team_id).hours, now)


def _spoken(tx: Transaction, rows: Collection[Any]) -> dict[int, list[Spoken]]:
    """Return what contacts and agents said since each handoff began; a message that failed was not said."""
    if not rows:
        return {}
    came = sa.func.coalesce(messages.c.arrived_at, messages.c.at)
    open_ = (handoffs.c.conversation_id == messages.c.conversation_id) & handoffs.c.closed_at.is_(None)
    ours = (messages.c.author == Author.AGENT) & messages.c.status.not_in((Status.FAILED, Status.WITHDRAWN))
    theirs = (messages.c.author == Author.CONTACT) & messages.c.deleted_at.is_(None) & ratings.IS_NONE
    said = tx.execute(
        sa.select(messages.c.conversation_id, messages.c.author, messages.c.type, messages.c.text, came.label("came"))
        .join(handoffs, open_)
        .where(messages.c.conversation_id.in_([row.conversation_id for row in rows]), came >= handoffs.c.asked_at)
        .where(ours | theirs, messages.c.type != "reaction")
        .order_by(messages.c.conversation_id, messages.c.id)
    )
    return {
        conversation_id: [
            Spoken(one.came, one.author is Author.AGENT, wants_an_answer(one.type, one.text)) for one in some
        ]
        for conversation_id, some in itertools.groupby(said.all(), key=lambda one: int(one.conversation_id))
    }


def _news(tx: Transaction, one: Episode, now: datetime) -> dict[str, Any]:
    """Return what is not written down yet; what was missed once stays missed."""
    row, team = one.row, teams.team(tx, one.row.team_id)
    standards = teams.standards(tx, row.team_id)
    first = row.first_answer_at or one.waits.first_answer_at
    worst = max(row.next_wait_s, int(one.waits.next_worst.total_seconds()))
    close = team.hours.after(row.asked_at, standards.close) if standards.close else None
    fresh = {
        "first_answer_at": first,
        "next_wait_s": worst,
        "first_late": row.first_late or (row.due_at is not None and (first or now) > row.due_at),
        "next_late": row.next_late or (bool(standards.next) and worst > standards.next.total_seconds()),
        "close_late": row.close_late or (close is not None and now > close),
    }
    return {name: value for name, value in fresh.items() if value != getattr(row, name)}


def _keep(tx: Transaction, one: Episode, now: datetime) -> None:
    news = _news(tx, one, now)
    if news:
        tx.execute(sa.update(handoffs).where(handoffs.c.id == one.row.id).values(news))
