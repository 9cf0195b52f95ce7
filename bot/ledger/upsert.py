"""What is said differently to the two databases: insert unless it is there; take ids beforehand."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from bot.ledger.transaction import Transaction


def insert_new(tx: Transaction, table: sa.Table, **values: Any) -> Any:
    """Insert the row and return its primary key, or None if a row with the same unique value is there."""
    result = tx.execute(_unless_there(tx.dialect.name, table), values)
    return result.inserted_primary_key[0] if result.rowcount == 1 else None


def take_ids(tx: Transaction, table: sa.Table, count: int) -> list[int]:
    """Return ids for so many rows to be inserted at once, rising; no database tells the ids of many afterwards.

    On SQLite they are ours because only one transaction writes; on PostgreSQL they come from the key's own sequence.
    """
    if not count:
        return []
    if tx.dialect.name == "postgresql":
        taken = tx.execute(NEXT_IDS, {"sequence": f"{table.name}_id_seq", "count": count}).scalars()
        return sorted(int(one) for one in taken)
    last = tx.execute(_last_id(table)).scalar() or 0
    return list(range(last + 1, last + 1 + count))


NEXT_IDS = sa.text("SELECT nextval(CAST(:sequence AS regclass)) FROM generate_series(1, :count)")


@lru_cache(maxsize=64)
def _last_id(table: sa.Table) -> Any:
    """Make the statement once: building one costs more than running it."""
    return sa.select(sa.func.max(table.c.id))


class _OnPostgresql(postgresql.Insert):  # type: ignore[misc]  # SQLAlchemy 1.4 has no types
    """SQLAlchemy compiles these anew each time, since it can't tell their clauses apart; here it is always the same."""

    inherit_cache = True


class _OnSqlite(sqlite.Insert):  # type: ignore[misc]
    """The same for SQLite."""

    inherit_cache = True


for clause in (postgresql.dml.OnConflictDoNothing, sqlite.dml.OnConflictDoNothing):
    clause.inherit_cache = True  # without a target, as here, one is like the other


@lru_cache(maxsize=64)
def _unless_there(dialect_name: str, table: sa.Table) -> Any:
    """Make the statement once: building one costs more than running it."""
    insert = _OnPostgresql if dialect_name == "postgresql" else _OnSqlite
    return insert(table).on_conflict_do_nothing()
