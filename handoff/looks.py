"""Who looks at which conversation just now, and whose desk stands open. The only writer of both tables.

Rows live for less than a minute and are written for many at once (see handoff.sight).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from bot.ledger.tables import conversations
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from handoff.tables import accounts
from handoff.tables_desk import looks, open_desks

LASTS = timedelta(seconds=45)  # without a sign; browsers give one every 20 seconds
TYPES = timedelta(seconds=8)  # … and one every 4 while somebody types
DESK_LASTS = timedelta(seconds=60)


@dataclass(frozen=True)
class Look:
    """One account at one conversation."""

    account_id: int
    conversation_id: int


@dataclass(frozen=True)
class Looker:
    """Somebody who looks at a conversation now."""

    account_id: int
    name: str
    types: bool


def keep(tx: Transaction, here: Mapping[Look, tuple[datetime, datetime | None]], gone: Collection[Look]) -> None:
    """Write down who looks until when (and types until when), and who has left."""
    for look, (until, types_until) in sorted(here.items(), key=lambda item: _order(item[0])):
        values = {"until": until, "types_until": types_until}
        if tx.execute(sa.update(looks).where(_is(look)).values(values)).rowcount == 0:
            ids = {"account_id": look.account_id, "conversation_id": look.conversation_id}
            insert_new(tx, looks, **ids, **values)
    for look in sorted(gone, key=_order):
        tx.execute(sa.delete(looks).where(_is(look)))


def keep_open(tx: Transaction, account_ids: Collection[int], until: datetime) -> None:
    """Write down whose desk stands open until when."""
    for account_id in sorted(account_ids):
        mine = open_desks.c.account_id == account_id
        if tx.execute(sa.update(open_desks).where(mine).values(until=until)).rowcount == 0:
            insert_new(tx, open_desks, account_id=account_id, until=until)


def forget_old(tx: Transaction, now: datetime) -> None:
    """Forget who has not looked for a while."""
    tx.execute(sa.delete(looks).where(looks.c.until <= now - LASTS))


def now_at(tx: Transaction, now: datetime) -> dict[str, tuple[Looker, ...]]:
    """Return who looks at what now, by conversation key."""
    rows = tx.execute(
        sa.select(looks.c.account_id, looks.c.types_until, accounts.c.name, conversations.c.key)
        .join(accounts, accounts.c.id == looks.c.account_id)
        .join(conversations, conversations.c.id == looks.c.conversation_id)
        .where(looks.c.until > now)
        .order_by(accounts.c.name, accounts.c.id)
    )
    found: dict[str, tuple[Looker, ...]] = {}
    for row in rows:
        types = row.types_until is not None and row.types_until > now
        found[row.key] = (*found.get(row.key, ()), Looker(row.account_id, row.name, types))
    return found


def desks_open_until(tx: Transaction) -> dict[int, datetime]:
    """Return until when each account's desk stood (or stands) open."""
    return {row.account_id: row.until for row in tx.execute(sa.select(open_desks))}


def _order(look: Look) -> tuple[int, int]:
    """Return one order for all: two processes that write the same rows must not wait for each other in a ring."""
    return look.account_id, look.conversation_id


def _is(look: Look) -> sa.sql.ColumnElement:
    return (looks.c.account_id == look.account_id) & (looks.c.conversation_id == look.conversation_id)
