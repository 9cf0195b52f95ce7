"""Somebody must look: raised and cleared here, shown on every desk page and in /health until cleared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.ledger.tables import alarms
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new

TOLD_EVERY = timedelta(hours=6)  # what is still raised by then was overlooked: it is told once more


@dataclass(frozen=True)
class Alarm:
    """One thing somebody must look at."""

    name: str
    words: str
    raised_at: datetime


def raise_alarm(tx: Transaction, name: str, words: str, now: datetime) -> bool:
    """Raise it; say whether it is new. Raised again it keeps its time and takes the newest words; it is told once."""
    words = words[:500]
    if insert_new(tx, alarms, name=name, words=words, raised_at=now) is not None:
        return True
    tx.execute(sa.update(alarms).where(alarms.c.name == name, alarms.c.words != words).values(words=words))
    return False


def clear(tx: Transaction, name: str, *, unless: Any = None) -> bool:
    """Clear it, unless there is a row of this query (asked in the same breath); say whether it was cleared."""
    which = alarms.c.name == name if unless is None else (alarms.c.name == name) & ~unless.exists()
    return bool(tx.execute(sa.delete(alarms).where(which)).rowcount)


def is_raised(tx: Transaction, name: str) -> bool:
    """Say whether this one is."""
    return tx.execute(sa.select(alarms.c.name).where(alarms.c.name == name)).first() is not None


def raised(tx: Transaction) -> list[Alarm]:
    """Return what is raised, oldest first."""
    return _alarms(tx, sa.true())


def untold(tx: Transaction, now: datetime) -> list[Alarm]:
    """Return what the alert webhook has to hear of: what it never heard, or hours ago."""
    return _alarms(tx, alarms.c.told_at.is_(None) | (alarms.c.told_at <= now - TOLD_EVERY))


def told(tx: Transaction, name: str, now: datetime) -> None:
    """Remember that the alert webhook heard of it."""
    tx.execute(sa.update(alarms).where(alarms.c.name == name).values(told_at=now))


def _alarms(tx: Transaction, which: Any) -> list[Alarm]:
    rows = tx.execute(sa.select(alarms).where(which).order_by(alarms.c.raised_at, alarms.c.name))
    return [Alarm(row.name, row.words, row.raised_at) for row in rows]
