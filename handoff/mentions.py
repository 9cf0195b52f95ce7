"""Who is meant by `@name` in a note, and whether they have seen it. The only writer of mentions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa

from bot.ledger import transcript
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from handoff.tables import accounts
from handoff.tables_desk import mentions

KEPT = timedelta(days=14)  # in the list, once seen
Newest = TypeVar("Newest", int, datetime)
AT = re.compile(r"(?<![\w@.])@([\w.+-]*[\w])")


@dataclass(frozen=True)
class Colleague:
    """Somebody who can be mentioned, and by which word."""

    id: int
    handle: str
    name: str


def colleagues(tx: Transaction) -> list[Colleague]:
    """Return everybody at the desk, by name. Their handle is what stands before the @ of their e-mail address."""
    rows = tx.execute(sa.select(accounts).where(accounts.c.disabled_at.is_(None)).order_by(accounts.c.name))
    return [Colleague(row.id, row.email.split("@")[0], row.name) for row in rows]


def meant(text: str, everybody: list[Colleague]) -> set[int]:
    """Return whom a text mentions: by handle, by full name without its blanks, by a first name only one has."""
    by_word: dict[str, set[int]] = {}
    for one in everybody:
        for word in {one.handle.lower(), "".join(one.name.lower().split())}:
            by_word.setdefault(word, set()).add(one.id)
    firsts: dict[str, set[int]] = {}
    for one in everybody:
        firsts.setdefault((one.name.lower().split() or [""])[0], set()).add(one.id)
    found: set[int] = set()
    for word in (word.lower() for word in AT.findall(text)):
        first = firsts.get(word, set())
        found |= by_word.get(word) or (first if len(first) == 1 else set())
    return found


def note(tx: Transaction, note_id: int, conversation_id: int, text: str, *, by: int, now: datetime) -> None:
    """Remember whom a new note mentions; nobody is told of their own."""
    if "@" not in text:
        return
    for account_id in sorted(meant(text, colleagues(tx)) - {by}):
        insert_new(tx, mentions, note_id=note_id, conversation_id=conversation_id, account_id=account_id, at=now)


def seen(tx: Transaction, account_id: int, conversation_id: int, at: datetime) -> None:
    """Remember that somebody has seen what was said to them in a conversation up to then."""
    theirs = (mentions.c.account_id == account_id) & mentions.c.seen_at.is_(None) & (mentions.c.at <= at)
    here = mentions.c.conversation_id.in_(transcript.merged_into(tx, conversation_id))
    tx.execute(sa.update(mentions).where(theirs, here).values(seen_at=at))


def unseen(tx: Transaction, account_id: int) -> dict[int, int]:
    """Return the conversations where somebody was mentioned and has not looked since, each with its newest mention."""
    theirs = sa.and_(mentions.c.account_id == account_id, mentions.c.seen_at.is_(None))
    newest = sa.select(mentions.c.conversation_id, sa.func.max(mentions.c.id)).where(theirs)
    return _as_kept(tx, {row[0]: row[1] for row in tx.execute(newest.group_by(mentions.c.conversation_id))})


def lately(tx: Transaction, account_id: int, now: datetime) -> dict[int, datetime]:
    """Return where somebody was mentioned lately, or has not looked yet, each with when that was last."""
    recent = sa.or_(mentions.c.at > now - KEPT, mentions.c.seen_at.is_(None))
    newest = sa.select(mentions.c.conversation_id, sa.func.max(mentions.c.at).label("at")).where(
        mentions.c.account_id == account_id, recent
    )
    rows = tx.execute(newest.group_by(mentions.c.conversation_id))
    return _as_kept(tx, {row.conversation_id: row.at for row in rows})


def _as_kept(tx: Transaction, newest: dict[int, Newest]) -> dict[int, Newest]:
    """Name the conversations that are there by now; of several that became one, the newest counts."""
    kept = transcript.kept_as(tx, set(newest))
    found: dict[int, Newest] = {}
    for one in sorted(newest, key=lambda one: newest[one]):
        found[kept[one]] = newest[one]
    return found
