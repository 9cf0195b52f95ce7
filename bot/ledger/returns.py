"""What comes back within minutes of being given back: the loop guard, and what the bot hears of a person's part.

A contact who is given back and needs a person again is never left unanswered, and never begins anew either: they are
the same agent's first, half an hour ahead of the others, and the two handoffs are joined. When the bot keeps sending
one back by itself, an alarm says so until somebody has seen to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.ledger import alarms
from bot.ledger.tables import handoffs
from bot.ledger.transaction import Transaction
from bot.vocabulary import Outcome, Reason

COOL_DOWN = timedelta(minutes=30)  # after a person has given it back
PING_PONG = 2  # how often the bot may send one back by itself before whoever leads hears of it
WANTED = {Reason.ASKED, Reason.STEPPED_IN, Reason.PHONE}  # a person wanted that, so it is nobody's loop
ALARM = "ping_pong"


def columns(tx: Transaction, conversation_id: int, reason: Reason, now: datetime) -> dict[str, Any]:
    """Return what a new handoff goes on with, as its columns; nothing where it begins something new."""
    newest = sa.select(handoffs).where(handoffs.c.conversation_id == conversation_id)
    before = tx.execute(newest.order_by(handoffs.c.id.desc()).limit(1)).first()
    if before is None or before.closed_at is None or before.taken_by is None or before.closed_at <= now - COOL_DOWN:
        return {}
    returns = before.returns if reason in WANTED else before.returns + 1
    return {"joined_to": before.joined_to or before.id, "returns": returns, "owner_id": before.taken_by}


def is_due(tx: Transaction) -> bool:
    """Say whether the alarm has to be looked at."""
    return _going_round(tx)[0] > 0 or alarms.is_raised(tx, ALARM)


def keep_alarm(tx: Transaction, now: datetime) -> None:
    """Raise the alarm while a conversation goes back and forth; clear it when none does."""
    count, most = _going_round(tx)
    if not count:
        alarms.clear(tx, ALARM)
        return
    who = "A conversation goes" if count == 1 else f"{count} conversations go"
    words = (
        f"{who} back and forth between the bot and people, up to {most} times within minutes. Whoever has it should "
        "solve it before giving it back; if the bot keeps failing at one thing, tell those who write its answers."
    )
    alarms.raise_alarm(tx, ALARM, words, now)


def _going_round(tx: Transaction) -> tuple[int, int]:
    open_ = handoffs.c.closed_at.is_(None) & (handoffs.c.returns >= PING_PONG)
    count, most = tx.execute(sa.select(sa.func.count(), sa.func.max(handoffs.c.returns)).where(open_)).one()
    return int(count), int(most or 0)


@dataclass(frozen=True)
class Handback:
    """What the bot gets when it has a conversation again: who had it, how it went, for how long."""

    agent: str
    outcome: Outcome
    summary: str
    minutes: int

    def to_json(self) -> dict[str, Any]:
        """Return it as a slot keeps it."""
        return {
            "agent": self.agent,
            "outcome": self.outcome.value,
            "summary": self.summary,
            "minutes": self.minutes,
        }


def handback(tx: Transaction, conversation_id: int) -> Handback | None:
    """Return how the last person's part went; None if no person at the desk ever had it."""
    ended = handoffs.c.closed_at.is_not(None) & handoffs.c.taken_by.is_not(None)
    newest = sa.select(handoffs).where(handoffs.c.conversation_id == conversation_id, ended)
    row = tx.execute(newest.order_by(handoffs.c.id.desc()).limit(1)).first()
    if row is None:
        return None
    minutes = int((row.closed_at - row.taken_at).total_seconds() // 60)
    return Handback(row.agent_name, row.outcome or Outcome.GIVEN_BACK, row.summary, max(minutes, 0))
