"""Reading only: what happened in a period, as reports count it. What has no index here is counted in the database."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from bot.ledger.tables import BY_AGENT, conversations, handoffs, messages, reports, turns
from bot.ledger.transaction import Transaction
from bot.vocabulary import Outcome, Reason, Status

BY = sa.func.coalesce(handoffs.c.taken_by, handoffs.c.owner_id)  # who has or had it last
FAILED = sa.text("messages.status = 'failed'")  # as words: SQLite has a partial index by it
TOPICAL = sa.text("messages.intent IS NOT NULL")


@dataclass(frozen=True)
class Span:
    """From a moment up to another, which is not in it."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Which:
    """Whose handoffs; None: everybody's."""

    team_id: int | None = None
    agent_id: int | None = None
    reason: Reason | None = None
    number: str | None = None  # of ours, by Meta's id


@dataclass(frozen=True)
class Episode:
    """One handoff, from the asking to its end."""

    id: int
    conversation_id: int
    key: str  # of the conversation
    number: str
    team_id: int
    agent_id: int | None  # who has or had it last
    reason: Reason
    asked_at: datetime
    due_at: datetime | None  # as promised first; None: nobody had to wait
    came_at: datetime | None  # a person, first
    taken_at: datetime | None  # by who has or had it last
    answered_at: datetime | None  # the first word of a person in it
    closed_at: datetime | None
    outcome: Outcome | None
    csat: str | None


class Event(NamedTuple):
    """What tells of a matter: a contact spoke of a topic, or a person was asked for (`topic` is None).

    There are tens of thousands in a report, and a tuple costs the least.
    """

    conversation_id: int
    at: datetime
    topic: str | None


@dataclass(frozen=True)
class BotWork:
    """What the bot did in a period."""

    conversations: int  # in which it had a turn
    with_a_person: int  # of these, those that had a handoff meanwhile
    turns: int
    bubbles: int


def episodes(tx: Transaction, span: Span, which: Which = Which()) -> list[Episode]:
    """Return the handoffs that were asked for in a period, in that order."""
    csat = handoffs.c.csat if "csat" in handoffs.c else sa.null().label("csat")
    answered = (
        sa.select(sa.func.min(messages.c.at))
        .where(messages.c.conversation_id == handoffs.c.conversation_id, BY_AGENT)
        .where(messages.c.at >= handoffs.c.asked_at)
        .where(handoffs.c.closed_at.is_(None) | (messages.c.at <= handoffs.c.closed_at))
        .correlate(handoffs)
        .scalar_subquery()
    )
    columns = (
        handoffs.c.id, handoffs.c.conversation_id, conversations.c.key, conversations.c.phone_number_id,
        handoffs.c.team_id, BY, handoffs.c.reason, handoffs.c.asked_at, handoffs.c.first_due_at,
        handoffs.c.first_taken_at, handoffs.c.taken_at, answered, handoffs.c.closed_at, handoffs.c.outcome, csat,
    )  # fmt: skip
    found = tx.execute(
        sa.select(*columns)
        .join(conversations, conversations.c.id == handoffs.c.conversation_id)
        .where(*_asked_in(span), *_are(which))
        .order_by(handoffs.c.asked_at, handoffs.c.id)
    )
    return [Episode(*row) for row in found]


def _asked_in(span: Span) -> tuple[Any, ...]:
    return handoffs.c.asked_at >= span.start, handoffs.c.asked_at < span.end


def _are(which: Which) -> list[Any]:
    wanted = (
        (handoffs.c.team_id, which.team_id),
        (BY, which.agent_id),
        (handoffs.c.reason, which.reason),
        (conversations.c.phone_number_id, which.number),
    )
    return [column == value for column, value in wanted if value is not None]


def events(tx: Transaction, span: Span, *, beside: Collection[str], number: str | None = None) -> Iterator[Event]:
    """Yield what was spoken of, and when people were asked for, conversation by conversation.

    `beside` are the intents that tell of no matter: greetings, thanks and the like.
    """
    spoken = (
        sa.select(messages.c.conversation_id, messages.c.at, messages.c.intent)
        .where(TOPICAL, messages.c.intent.not_in(beside))
        .where(messages.c.at >= span.start, messages.c.at < span.end)
    )
    asked = sa.select(handoffs.c.conversation_id, handoffs.c.asked_at, sa.null()).where(*_asked_in(span))
    if number is not None:
        ours = sa.select(conversations.c.id).where(conversations.c.phone_number_id == number)
        spoken = spoken.where(messages.c.conversation_id.in_(ours))
        asked = asked.where(handoffs.c.conversation_id.in_(ours))
    both = sa.union_all(spoken, asked).subquery()
    rows = tx.execute(sa.select(both).order_by(both.c.conversation_id, both.c.at, both.c.intent.is_(None)))
    return map(Event._make, rows)


def bot_work(tx: Transaction, span: Span, number: str | None = None) -> BotWork:
    """Count what the bot did."""
    had_turns = [turns.c.began_at >= span.start, turns.c.began_at < span.end]
    if number is not None:
        ours = sa.select(conversations.c.id).where(conversations.c.phone_number_id == number)
        had_turns.append(turns.c.conversation_id.in_(ours))
    count, conversations_, bubbles = tx.execute(
        sa.select(
            sa.func.count(), sa.func.count(turns.c.conversation_id.distinct()), sa.func.sum(turns.c.bubbles)
        ).where(*had_turns)
    ).one()
    meanwhile = (handoffs.c.asked_at < span.end) & (
        handoffs.c.closed_at.is_(None) | (handoffs.c.closed_at >= span.start)
    )
    there = sa.select(turns.c.id).where(turns.c.conversation_id == handoffs.c.conversation_id, *had_turns).exists()
    with_a_person = tx.execute(
        sa.select(sa.func.count(handoffs.c.conversation_id.distinct())).where(meanwhile, there)
    ).scalar_one()
    return BotWork(conversations_, with_a_person, count, int(bubbles or 0))


def billed(tx: Transaction, span: Span, number: str | None = None) -> int:
    """Count the messages Meta delivered and names a price for that is not free."""
    price = reports.c.pricing["type"].as_string()
    told = reports.c.status.in_([Status.DELIVERED.value, Status.READ.value])  # Meta prices one of the two
    which = sa.select(sa.func.count(reports.c.wamid.distinct())).where(
        told, reports.c.at >= span.start, reports.c.at < span.end, price.is_not(None), price.not_like("free%")
    )
    if number is not None:
        which = (
            which.select_from(reports)
            .join(messages, messages.c.id == reports.c.message_id)
            .join(conversations, conversations.c.id == messages.c.conversation_id)
            .where(conversations.c.phone_number_id == number)
        )
    return int(tx.execute(which).scalar_one())


def failed(tx: Transaction, span: Span, number: str | None = None) -> int:
    """Count the messages of ours that were said in the period and could not be delivered."""
    which = sa.select(sa.func.count()).select_from(messages).where(FAILED)
    which = which.where(messages.c.at >= span.start, messages.c.at < span.end)
    if number is not None:
        which = which.join(conversations, conversations.c.id == messages.c.conversation_id)
        which = which.where(conversations.c.phone_number_id == number)
    return int(tx.execute(which).scalar_one())


def our_numbers(tx: Transaction) -> list[str]:
    """Return the numbers of ours that anybody has written to."""
    found = sa.select(conversations.c.phone_number_id).distinct().order_by(conversations.c.phone_number_id)
    return list(tx.execute(found).scalars())
