"""Short words agents put on conversations, to find them by. The only writer of tags."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot.errors import BotError
from bot.ledger import changes, transcript
from bot.ledger.tables import conversations
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.vocabulary import Change
from handoff.roles import Account, Deed
from handoff.tables_desk import tags

LONGEST = 24
MOST = 12  # on one conversation
OFFERED = 50  # of those in use, to choose from
WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")


class BadTag(BotError):
    """This can't be a tag."""


def clean(words: str) -> str:
    """Return a tag as it is kept: one short lower-case word; blanks become hyphens."""
    word = "-".join(words.strip().lstrip("#").lower().split())
    if not WORD.fullmatch(word) or len(word) > LONGEST:
        raise BadTag(f"(a tag is one word of letters, digits and hyphens, at most {LONGEST} of them)")
    return word


def add(tx: Transaction, key: str, account: Account, words: str, now: datetime) -> None:
    """Put a tag on a conversation. Twice is as good as once."""
    account.require(Deed.NOTE)
    one, word = transcript.conversation(tx, key), clean(words)
    here = of(tx, one.id)
    if word in here:
        return
    if len(here) >= MOST:
        raise BadTag(f"(there are {MOST} already; take one off first)")
    if insert_new(tx, tags, conversation_id=one.id, word=word, account_id=account.id, at=now) is not None:
        changes.note(tx, one.id, Change.NOTE, now)


def remove(tx: Transaction, key: str, account: Account, words: str, now: datetime) -> None:
    """Take a tag off. Twice is as good as once."""
    account.require(Deed.NOTE)
    one = transcript.conversation(tx, key)
    here = tags.c.conversation_id.in_(transcript.merged_into(tx, one.id))
    if tx.execute(sa.delete(tags).where(here, tags.c.word == words.strip().lower())).rowcount:
        changes.note(tx, one.id, Change.NOTE, now)


def put(tx: Transaction, key: str, account: Account, words: Collection[str], now: datetime) -> list[str]:
    """Have exactly these tags on a conversation; return them."""
    account.require(Deed.NOTE)
    wanted = sorted({clean(word) for word in words})
    if len(wanted) > MOST:
        raise BadTag(f"(a conversation has at most {MOST})")
    for word in set(of(tx, transcript.conversation(tx, key).id)) - set(wanted):
        remove(tx, key, account, word, now)
    for word in wanted:
        add(tx, key, account, word, now)
    return wanted


def of(tx: Transaction, conversation_id: int) -> list[str]:
    """Return the tags of a conversation and of what was merged into it, by the alphabet."""
    return among(tx, transcript.merged_into(tx, conversation_id))


def among(tx: Transaction, ids: Collection[int]) -> list[str]:
    """Return the tags any of these conversations has, by the alphabet."""
    here = tags.c.conversation_id.in_(ids)
    return list(tx.execute(sa.select(tags.c.word).distinct().where(here).order_by(tags.c.word)).scalars())


def of_all(tx: Transaction, ids: Collection[int]) -> dict[int, tuple[str, ...]]:
    """Return the tags of each of these conversations that has any, with those of what was merged into it."""
    kept = transcript.all_merged_into(tx, ids)
    find = sa.select(tags.c.conversation_id, tags.c.word).where(tags.c.conversation_id.in_(kept))
    found: dict[int, list[str]] = {}
    for row in tx.execute(find.order_by(tags.c.word)) if kept else []:
        words = found.setdefault(kept[row.conversation_id], [])
        if row.word not in words:
            words.append(row.word)
    return {one: tuple(words) for one, words in found.items()}


def on(word: str) -> Any:
    """Return the conversations that have a tag, or that something with it was merged into, as a query of their ids."""
    here = sa.select(tags.c.conversation_id.label("id")).where(tags.c.word == word).cte(recursive=True)
    into = sa.select(conversations.c.merged_into).join(here, conversations.c.id == here.c.id)
    here = here.union(into.where(conversations.c.merged_into.is_not(None)))
    return sa.select(here.c.id)


def in_use(tx: Transaction) -> list[str]:
    """Return the tags that are used most, by the alphabet."""
    often = sa.select(tags.c.word).group_by(tags.c.word).order_by(sa.func.count().desc(), tags.c.word).limit(OFFERED)
    return sorted(tx.execute(often).scalars())
