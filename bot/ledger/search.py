"""Full text over what was said and who said it: FTS5 on SQLite, tsvector on PostgreSQL.

The words of each message, note and contact stand in a table of their own that triggers keep, in the transaction of
whoever writes. What is found comes the newest first. A search looks back in steps, each four times as long as the one
before, until it has enough or has looked for long enough; then it says from where to look on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import sqlalchemy as sa

from bot.ledger.folding import Term, has
from bot.ledger.tables import conversations, messages, unindexed
from bot.ledger.transaction import Ledger, Transaction
from bot.vocabulary import Author, Holder

FIRST_STEP = 20_000  # rows; so many are read through in some 20 ms where a word is in most of them
WIDER = 2  # times, with each step
LOOKS_FOR_S = 0.06  # then what was found is shown, and whoever asked may have it look on
RARE = 200  # rows of the first step; of a word that is in fewer, the index tells all places at once
READ_AT_ONCE = 400  # messages of one contact
AT_ONCE = 2_000  # rows of the past in one transaction: others write meanwhile


class Kind(str, Enum):
    """What has words."""

    MESSAGES = "messages"
    NOTES = "notes"
    CONTACTS = "contacts"


# On SQLite and on PostgreSQL: the id of a row of words, whether it has what is wanted, and how its words are made.
_WORDS = {Kind.MESSAGES: "message_words", Kind.NOTES: "note_words", Kind.CONTACTS: "contact_words"}


@dataclass(frozen=True)
class Among:
    """Which messages are looked through; what is None does not matter."""

    conversation_ids: tuple[int, ...] | None = None
    author: Author | None = None
    agent_id: int | None = None
    after: datetime | None = None
    before: datetime | None = None
    holder: Holder | None = None  # of the conversation, now
    held_by: int | None = None  # the agent
    not_held_by: int | None = None


@dataclass(frozen=True)
class Hit:
    """One message that was found."""

    id: int
    conversation_id: int
    author: Author
    agent_name: str
    type: str
    text: str
    at: datetime


@dataclass(frozen=True)
class Hits:
    """What was found, the newest first, and below which id to look on; None if that was all."""

    hits: list[Hit]
    below: int | None


def messages_with(
    tx: Transaction,
    wanted: tuple[Term, ...],
    among: Among,
    *,
    below: int | None = None,
    limit: int = 50,
    looks_for_s: float = LOOKS_FOR_S,
) -> Hits:
    """Return messages that have all of these words; not those that were taken back."""
    if among.conversation_ids is not None:
        return _in_few(tx, wanted, among, below, limit=limit, until=time.monotonic() + looks_for_s)
    found: list[Hit] = []
    select = _select(tx, wanted, among)
    low = 0

    def look(low: int, top: int) -> bool:
        rows = tx.execute(select, {"low": low, "top": top, "most": limit - len(found)})
        found.extend(map(_hit, rows))
        return len(found) >= limit

    for low, top in _steps(tx, Kind.MESSAGES, below, looks_for_s):
        if look(low, top):
            return Hits(found, found[-1].id)
        if low and top - low == FIRST_STEP and _is_rare(tx, wanted, low, top):
            with _by_index(tx):
                enough = look(0, low)
            return Hits(found, found[-1].id if enough else None)
    return Hits(found, low or None)


def _hit(row: Any) -> Hit:
    return Hit(row.id, row.conversation_id, row.author, row.agent_name, row.type, row.text, row.at)


def _in_few(
    tx: Transaction, wanted: tuple[Term, ...], among: Among, below: int | None, *, limit: int, until: float
) -> Hits:
    """Go through what was said in a few conversations: no index of words is quicker than reading that."""
    theirs = sa.select(*SAID).where(messages.c.conversation_id.in_(among.conversation_ids or ()), *_which(among))
    if among.holder is not None:
        theirs = theirs.join(conversations, conversations.c.id == messages.c.conversation_id)
    found: list[Hit] = []
    while True:
        older = theirs if below is None else theirs.where(messages.c.id < below)
        rows = tx.execute(older.order_by(messages.c.id.desc()).limit(READ_AT_ONCE)).all()
        for row in rows:
            if has(row.text, wanted):
                found.append(_hit(row))
            if len(found) >= limit:
                return Hits(found, row.id)
        if len(rows) < READ_AT_ONCE:
            return Hits(found, None)
        below = rows[-1].id
        if time.monotonic() >= until:
            return Hits(found, below)


def _is_rare(tx: Transaction, wanted: tuple[Term, ...], low: int, top: int) -> bool:
    """Say whether few rows of this step have the words, on PostgreSQL: SQLite's index is in the order of the rows."""
    if tx.dialect.name == "sqlite":
        return False
    words, id_, has = _words(tx, Kind.MESSAGES, wanted)
    some = sa.select(id_).select_from(words).where(has, _between(id_)).limit(RARE).subquery()
    count = tx.execute(sa.select(sa.func.count()).select_from(some), {"low": low, "top": top}).scalar_one()
    return bool(count < RARE)


@contextmanager
def _by_index(tx: Transaction) -> Iterator[None]:
    """Have PostgreSQL ask the index of words: of a word it has never counted it guesses that it is in many rows, and
    would read them all.
    """
    for name in ("seqscan", "indexscan"):
        tx.execute(sa.text(f"SET LOCAL enable_{name} = off"))
    yield
    for name in ("seqscan", "indexscan"):
        tx.execute(sa.text(f"SET LOCAL enable_{name} = on"))


def ids_with(
    tx: Transaction, kind: Kind, wanted: tuple[Term, ...], *, below: int | None = None, limit: int = 50
) -> list[int]:
    """Return the ids of notes or contacts that have all of these words, the newest first."""
    words, id_, has = _words(tx, kind, wanted)
    found: list[int] = []
    select = sa.select(id_).select_from(words).where(has, _between(id_)).order_by(id_.desc())
    for low, top in _steps(tx, kind, below, LOOKS_FOR_S):
        found += tx.execute(select.limit(limit - len(found)), {"low": low, "top": top}).scalars().all()
        if len(found) >= limit:
            break
    return found


def _steps(tx: Transaction, kind: Kind, below: int | None, looks_for_s: float) -> Iterator[tuple[int, int]]:
    """Yield from which id and below which id to look, until everything was looked through or the time is over."""
    newest = tx.execute(sa.select(sa.func.max(sa.column("id"))).select_from(sa.table(kind.value))).scalar() or 0
    top = newest + 1 if below is None else min(below, newest + 1)
    until, step = time.monotonic() + looks_for_s, FIRST_STEP
    while top > 0:
        low = max(0, top - step)
        yield low, top
        if time.monotonic() >= until:
            return
        top, step = low, step * WIDER


def _between(id_: Any) -> Any:
    return (id_ >= sa.bindparam("low")) & (id_ < sa.bindparam("top"))


def _words(tx: Transaction, kind: Kind, wanted: tuple[Term, ...]) -> tuple[Any, Any, Any]:
    """Return the table of a kind's words, its id, and the condition that a row has what is wanted."""
    name = _WORDS[kind]
    if tx.dialect.name == "postgresql":
        words = sa.table(name, sa.column("id"), sa.column("words"))
        return words, words.c.id, words.c.words.op("@@")(sa.cast(_for_postgresql(wanted), _Query))
    words = sa.table(name, sa.column("rowid"))
    # The name of a full-text table stands for its text; SQLAlchemy would quote and prefix a column.
    return words, words.c.rowid, sa.literal_column(name).op("MATCH")(_for_sqlite(wanted))


class _Query(sa.types.UserDefinedType):  # type: ignore[misc]  # SQLAlchemy 1.4 has no types
    """PostgreSQL's tsquery, which it does not know."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "tsquery"


def _for_postgresql(wanted: tuple[Term, ...]) -> str:
    """Say it as a tsquery: it has only letters and digits, and needs no more than quotes."""
    return " & ".join(
        "(" + " <-> ".join(f"'{word}'" for word in term.words) + (":*" if term.goes_on else "") + ")" for term in wanted
    )


def _for_sqlite(wanted: tuple[Term, ...]) -> str:
    """Say it in the language of FTS5."""
    return " AND ".join(f'"{" ".join(term.words)}"' + ("*" if term.goes_on else "") for term in wanted)


SAID = (
    messages.c.id,
    messages.c.conversation_id,
    messages.c.author,
    messages.c.agent_name,
    messages.c.type,
    messages.c.text,
    messages.c.at,
)


def _select(tx: Transaction, wanted: tuple[Term, ...], among: Among) -> Any:
    """Look the words up, then the messages that have them."""
    words, id_, has = _words(tx, Kind.MESSAGES, wanted)
    source: Any = words.join(messages, messages.c.id == id_)
    if among.holder is not None:
        source = source.join(conversations, conversations.c.id == messages.c.conversation_id)
    which = sa.select(*SAID).select_from(source).where(has, _between(id_), *_which(among))
    return which.order_by(id_.desc()).limit(sa.bindparam("most"))


def _which(among: Among) -> Iterator[Any]:
    yield messages.c.deleted_at.is_(None)
    if among.author is not None:
        yield messages.c.author == among.author
    if among.agent_id is not None:
        yield messages.c.agent_id == among.agent_id
    if among.after is not None:
        yield messages.c.at >= among.after
    if among.before is not None:
        yield messages.c.at < among.before
    if among.holder is not None:
        yield conversations.c.holder == among.holder
    if among.held_by is not None:
        yield conversations.c.agent_id == among.held_by
    if among.not_held_by is not None:
        yield conversations.c.agent_id.is_distinct_from(among.not_held_by)


def is_behind(tx: Transaction) -> bool:
    """Say whether there is something search has not read yet; it is, after an upgrade, for a while."""
    return tx.execute(sa.select(unindexed.c.kind).limit(1)).first() is not None


def catch_up(ledger: Ledger, *, for_s: float = 1.0) -> bool:
    """Read what was there before search was, the newest first, for so long; say whether there is more.

    Each step is a transaction of its own, of some ten milliseconds, so that nobody waits for it.
    """
    until = time.monotonic() + for_s
    with ledger.reading() as tx:
        behind = is_behind(tx)
    while behind and time.monotonic() < until:
        with ledger.writing(lightly=True) as tx:
            behind = _read_some(tx)
    return behind


def _read_some(tx: Transaction) -> bool:
    row = tx.execute(sa.select(unindexed).order_by(unindexed.c.kind.desc()).with_for_update().limit(1)).first()
    if row is None:
        return False
    low = max(0, row.up_to - AT_ONCE)
    tx.execute(sa.text(_reading(tx, Kind(row.kind))), {"low": low, "top": row.up_to})
    mine = unindexed.c.kind == row.kind
    tx.execute(sa.update(unindexed).where(mine).values(up_to=low) if low else sa.delete(unindexed).where(mine))
    return True


def _reading(tx: Transaction, kind: Kind) -> str:
    """Return what reads rows of a kind; what somebody has written meanwhile was read by the triggers."""
    digits = " || ' ' || ".join(f"substr(coalesce(phone, ''), {n})" for n in range(1, 10))
    text = f"name || ' ' || username || ' ' || {digits}" if kind is Kind.CONTACTS else "text"
    name, rows = _WORDS[kind], f"FROM {kind.value} WHERE id > :low AND id <= :top"
    if tx.dialect.name == "postgresql":
        return f"INSERT INTO {name} SELECT id, words_of({text}) {rows} ON CONFLICT (id) DO NOTHING"
    return f"INSERT OR REPLACE INTO {name} (rowid, words) SELECT id, folded({text}) {rows}"
