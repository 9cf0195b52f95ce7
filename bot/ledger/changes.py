"""Note that something about a conversation is new; read what is new after a cursor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from bot.ledger.tables import changes
from bot.ledger.transaction import Transaction
from bot.vocabulary import Change


@dataclass(frozen=True)
class Noted:
    """One change row."""

    id: int
    conversation_id: int
    kind: Change


NOTE = sa.insert(changes)


def note(tx: Transaction, conversation_id: int, kind: Change, now: datetime) -> None:
    """Say that something is new; whoever shows this conversation will hear of it once this commits."""
    tx.execute(NOTE, {"conversation_id": conversation_id, "kind": kind, "at": now})


def note_all(tx: Transaction, conversation_ids: Iterable[int], kind: Change, now: datetime) -> None:
    """Say it of several conversations at once."""
    rows = [{"conversation_id": one, "kind": kind, "at": now} for one in sorted(set(conversation_ids))]
    if rows:
        tx.execute(NOTE, rows)


def latest(tx: Transaction) -> int:
    """Return the number of the newest change, 0 when there is none."""
    return tx.execute(sa.select(sa.func.max(changes.c.id))).scalar() or 0


def after(tx: Transaction, cursor: int, limit: int = 1000) -> list[Noted]:
    """Return the changes behind the cursor, oldest first."""
    rows = tx.execute(sa.select(changes).where(changes.c.id > cursor).order_by(changes.c.id).limit(limit))
    return [Noted(row.id, row.conversation_id, row.kind) for row in rows]


def were_forgotten(tx: Transaction, cursor: int) -> bool:
    """Say whether some of the changes behind the cursor may have been pruned since."""
    oldest = tx.execute(sa.select(sa.func.min(changes.c.id))).scalar()
    return oldest is not None and oldest > cursor + 1


def prune(tx: Transaction, before: datetime, limit: int = 500) -> int:
    """Forget changes older than that, the oldest first; return how many. Never the newest: it is the feed's cursor.

    Only the oldest are looked at, by their numbers, so that nobody waits for it.
    """
    oldest = sa.select(changes.c.id, changes.c.at).order_by(changes.c.id).limit(limit)
    newest = latest(tx)
    ids = [row.id for row in tx.execute(oldest) if row.at < before and row.id < newest]
    if ids:
        tx.execute(sa.delete(changes).where(changes.c.id.in_(ids)))
    return len(ids)
