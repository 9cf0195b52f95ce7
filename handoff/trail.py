"""The audit log: who did what, when, from where. The only writer of `audit`; no row is ever changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot.ledger.transaction import Ledger, Transaction
from handoff.acts import Act
from handoff.roles import Account
from handoff.tables import accounts, audit

SUBJECT_MAX = 300
ADDRESS_MAX = 64
PRUNED_AT_ONCE = 5000
EXPORTED_AT_ONCE = 1000


@dataclass(frozen=True)
class Entry:
    """One row, as it is read."""

    id: int
    at: datetime
    act: Act
    who: str  # a name; "" for the command line or a stranger
    email: str
    subject: str
    details: tuple[tuple[str, str], ...]
    address: str


@dataclass(frozen=True)
class Wanted:
    """Which rows are asked for; what is None or "" is not asked."""

    account_id: int | None = None
    act: Act | None = None
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None


def write(
    tx: Transaction,
    act: Act,
    by: Account | None,
    *,
    subject: str,
    now: datetime,
    address: str = "",
    **details: str | int | bool,
) -> None:
    """Write down what `by` does, in the transaction it is done in; None is the command line or a stranger."""
    tx.execute(
        sa.insert(audit).values(
            at=now,
            account_id=None if by is None else by.id,
            act=act,
            subject=subject[:SUBJECT_MAX],
            details=details,
            address=(address or ("" if by is None else by.address))[:ADDRESS_MAX],
        )
    )


def of_account(email: str) -> str:
    """Return how an account is named as a subject."""
    return f"account {email}"


def of_conversation(key: str) -> str:
    """Return how a conversation is named as a subject."""
    return f"conversation {key}"


def entries(tx: Transaction, wanted: Wanted, *, before: int | None = None, limit: int) -> list[Entry]:
    """Return rows, the newest first; those before the id `before`, for the next page."""
    named = sa.select(audit, accounts.c.name, accounts.c.email).select_from(
        audit.outerjoin(accounts, accounts.c.id == audit.c.account_id)
    )
    if before is not None:
        named = named.where(audit.c.id < before)
    rows = tx.execute(named.where(*_asked(wanted)).order_by(audit.c.id.desc()).limit(limit))
    return [_entry(row) for row in rows]


def everything(ledger: Ledger, wanted: Wanted) -> Iterator[Entry]:
    """Return all rows there are, a piece and a transaction at a time: who fetches them may be slow."""
    before = None
    while True:
        with ledger.reading() as tx:
            piece = entries(tx, wanted, before=before, limit=EXPORTED_AT_ONCE)
        yield from piece
        if len(piece) < EXPORTED_AT_ONCE:
            return
        before = piece[-1].id


def prune(tx: Transaction, before: datetime) -> int:
    """Forget the oldest rows from before a moment, so many at once; return how many."""
    oldest = sa.select(audit.c.id).where(audit.c.at < before).order_by(audit.c.at).limit(PRUNED_AT_ONCE)
    return int(tx.execute(sa.delete(audit).where(audit.c.id.in_(oldest))).rowcount)


def _asked(wanted: Wanted) -> list[Any]:
    found: list[Any] = []
    if wanted.account_id is not None:
        found.append(audit.c.account_id == wanted.account_id)
    if wanted.act is not None:
        found.append(audit.c.act == wanted.act)
    if wanted.subject:
        found.append(sa.func.lower(audit.c.subject).contains(wanted.subject.lower(), autoescape=True))
    if wanted.since is not None:
        found.append(audit.c.at >= wanted.since)
    if wanted.until is not None:
        found.append(audit.c.at < wanted.until)
    return found


def _entry(row: Any) -> Entry:
    details = tuple((str(name), str(value)) for name, value in sorted(row.details.items()))
    return Entry(row.id, row.at, row.act, row.name or "", row.email or "", row.subject, details, row.address)
