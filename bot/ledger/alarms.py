"""Somebody must look: raised and cleared here, shown on every desk page and in /health until cleared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from bot.ledger.tables import alarms
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new


@dataclass(frozen=True)
class Alarm:
    """One thing somebody must look at."""

    name: str
    words: str
    raised_at: datetime


def raise_alarm(tx: Transaction, name: str, words: str, now: datetime) -> bool:
    """Raise it; say whether it is new. Raising it again changes nothing, so that it is told once."""
    return insert_new(tx, alarms, name=name, words=words[:500], raised_at=now) is not None


def clear(tx: Transaction, name: str) -> bool:
    """Clear it; say whether it was raised."""
    return bool(tx.execute(sa.delete(alarms).where(alarms.c.name == name)).rowcount)


def raised(tx: Transaction) -> list[Alarm]:
    """Return what is raised, oldest first."""
    rows = tx.execute(sa.select(alarms).order_by(alarms.c.raised_at))
    return [Alarm(row.name, row.words, row.raised_at) for row in rows]


def untold(tx: Transaction) -> list[Alarm]:
    """Return what was raised but not yet told to the alert webhook."""
    rows = tx.execute(sa.select(alarms).where(alarms.c.told_at.is_(None)).order_by(alarms.c.raised_at))
    return [Alarm(row.name, row.words, row.raised_at) for row in rows]


def told(tx: Transaction, name: str, now: datetime) -> None:
    """Remember that the alert webhook heard of it."""
    tx.execute(sa.update(alarms).where(alarms.c.name == name).values(told_at=now))
