"""Insert a row unless it is there already, in one statement, on both databases."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from bot.ledger.transaction import Transaction


def insert_new(tx: Transaction, table: sa.Table, **values: Any) -> Any:
    """Insert the row and return its primary key, or None if a row with the same unique value is there."""
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**values).on_conflict_do_nothing()
    result = tx.execute(statement)
    return result.inserted_primary_key[0] if result.rowcount == 1 else None
