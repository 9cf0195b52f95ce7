"""A ledger of years: a million messages in fifty thousand conversations, written as fast as the database takes them.

Most conversations are short and the bot's; a few contacts have written for years. Some hundred wait, some hundred are
with agents. The words are a shop's: some in every other message, most in a few.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.ledger import search
from bot.ledger.tables import unindexed
from bot.ledger.transaction import Ledger

MONTHS = timedelta(days=500)
SAYINGS = (
    "where is my order {order}?", "can I return the {thing} I bought in {town}?", "hello", "thanks!", "yes please",
    "is the {thing} still in stock in {town}", "my {thing} arrived broken, what now",
    "what are your opening hours in {town}?",
    "I was charged twice for order {order}", "no", "ok", "do you deliver to {town}?",
    "{rare}", "talk to a person please",
    "I ordered a {thing} and a {thing} last week and only one came, order number {order}, can you look into it?",
)  # fmt: skip
ANSWERS = (
    "Your order {order} left our warehouse and is with the courier.", "You can return unworn items within 30 days.",
    "Our store in {town} is open from 9 to 18 today.", "I'm passing you to a person. They'll see everything you wrote.",
    "Hello! I'm Fern, the bot of Fernhill. How can I help?", "Is there anything else I can do for you?",
    "The {thing} is in stock in {town}. Shall I put one aside for you?",
)  # fmt: skip
THINGS = [
    "boots", "tent", "stove", "kettle", "lamp", "fern", "pot", "spade", "rake",
    "hose", "chair", "table", "bench", "rug", "lantern", "jacket", "parasol", "mower",
]  # fmt: skip
TOWNS = [
    "Leeds", "Bristol", "York", "Bath", "Hull", "Derby", "Dover",
    "Truro", "Perth", "Elgin", "Cardiff", "Belfast", "Swansea", "Norwich", "Exeter",
]  # fmt: skip
NAMES = [
    "Mia", "Tom", "Ola", "Inês", "Joe", "Priya", "Luca", "Hanna", "Søren", "Zoë",
    "Ann", "Ben", "Sue", "Ida", "Max", "Eva", "Noah", "Lea", "Paul", "Rosa",
]  # fmt: skip
FAMILIES = [
    "Turner", "Okafor", "Weiß", "Carvalho", "Mbeki", "Raman", "Ferri",
    "Lindqvist", "Achterberg", "Łukasz", "Smith", "Jones", "Brown", "Muñoz",
]  # fmt: skip
COLUMNS = (
    "id conversation_id author type text content wamid at waiting status agent_id agent_name said_under arrived_at"
)


@dataclass(frozen=True)
class Size:
    """How much there is."""

    messages: int = 1_000_000
    conversations: int = 50_000
    queue_in: int = 333  # one of so many waits …
    held_in: int = 55  # … and one of so many is with an agent


@dataclass(frozen=True)
class Seeded:
    """What was written."""

    keys: list[str]
    longest: str  # the key of the conversation with the most messages


def seed(ledger: Ledger, size: Size, now: datetime, agent_ids: list[int]) -> Seeded:
    """Write it all; search has read it when this returns."""
    luck = random.Random(7)
    holders = _holders(size, luck)
    shares = _shares(size, luck)
    contacts = [
        (n, f"447{n:09d}", f"{luck.choice(NAMES)} {luck.choice(FAMILIES)}", "", now - MONTHS)
        for n in range(1, size.conversations + 1)
    ]
    spoken = list(_spoken(size, shares, holders, agent_ids, now, luck))
    last = {}
    for row in spoken:
        last[row[1]] = row[7]
    conversations = [
        (
            n, f"seed{n:012d}", "100000000000001", n, holders[n - 1],
            agent_ids[n % len(agent_ids)] if holders[n - 1] == "agent" else None,
            f"Agent {n % len(agent_ids)}" if holders[n - 1] == "agent" else "",
            1, 0, last.get(n, now) + timedelta(hours=24), last.get(n, now), now - MONTHS,
        )
        for n in range(1, size.conversations + 1)
    ]  # fmt: skip
    with ledger.writing() as tx:
        if not ledger.is_sqlite:  # as after an upgrade: what was there is read by `catch_up`
            tx.execute(sa.text("SET LOCAL session_replication_role = replica"))
            tx.execute(sa.text("SET LOCAL statement_timeout = 0"))
            tx.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        _bulk(tx, "contacts", "id phone name username created_at", contacts)
        _bulk(
            tx,
            "conversations",
            "id key phone_number_id contact_id holder agent_id agent_name epoch muted_at window_ends last_message_at "
            "created_at",
            conversations,
        )
        _bulk(tx, "messages", COLUMNS, spoken)
        _bulk(
            tx,
            "handoffs",
            "id conversation_id reason wish slots asked_at taken_at taken_by closed_at outcome place promised_at "
            "due_at",
            _handoffs(holders, agent_ids, now, luck),
        )
        if not ledger.is_sqlite:
            rows = [{"kind": "messages", "up_to": len(spoken)}, {"kind": "contacts", "up_to": len(contacts)}]
            tx.execute(sa.insert(unindexed), rows)
            for table in ("contacts", "conversations", "messages", "handoffs"):
                most = f"(SELECT max(id) FROM {table})"
                tx.execute(sa.text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {most})"))
    while search.catch_up(ledger, for_s=60):
        pass
    _look_over(ledger)
    longest = max(range(size.conversations), key=shares.__getitem__) + 1
    return Seeded([row[1] for row in conversations], f"seed{longest:012d}")


def _look_over(ledger: Ledger) -> None:
    """Let the database learn what it has, as autovacuum would within the minute."""
    if ledger.is_sqlite:
        with ledger.writing() as tx:
            tx.execute(sa.text("ANALYZE"))
        return
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("SET statement_timeout = 0"))
        connection.execute(sa.text("VACUUM ANALYZE"))


def _holders(size: Size, luck: random.Random) -> list[str]:
    found = ["queue"] * (size.conversations // size.queue_in) + ["agent"] * (size.conversations // size.held_in)
    found += ["bot"] * (size.conversations - len(found))
    luck.shuffle(found)
    return found


def _shares(size: Size, luck: random.Random) -> list[int]:
    """How many messages each conversation has: most a handful, a few thousands."""
    weights = [luck.paretovariate(1.15) for _ in range(size.conversations)]
    scale = size.messages / sum(min(weight, 400) for weight in weights)
    return [max(2, int(min(weight, 400) * scale)) for weight in weights]


def _spoken(
    size: Size, shares: list[int], holders: list[str], agent_ids: list[int], now: datetime, luck: random.Random
) -> Iterator[tuple[Any, ...]]:
    """All messages as they were said: what is written last is the newest, whoever's it is."""
    order = [n for n, share in enumerate(shares, 1) for _ in range(share)]
    luck.shuffle(order)
    order = order[: size.messages]
    order += luck.choices(range(1, size.conversations + 1), k=size.messages - len(order))
    began, step = now - MONTHS, MONTHS / (size.messages + 1)
    plain = json.dumps({})
    for id_, conversation in enumerate(order, 1):
        kind = luck.random()
        at = began + step * id_
        if kind < 0.5:
            text = _say(SAYINGS, luck)
            yield (
                id_,
                conversation,
                "contact",
                "text",
                text,
                plain,
                f"wamid.S{id_}",
                at,
                False,
                None,
                None,
                "",
                None,
                at,
            )
        elif kind < 0.85 or holders[conversation - 1] == "bot":
            text = _say(ANSWERS, luck)
            yield (id_, conversation, "bot", "text", text, plain, f"wamid.S{id_}", at, False, "read", None, "", 1, None)
        else:
            text, agent = _say(ANSWERS, luck), luck.randrange(len(agent_ids))
            yield (
                id_, conversation, "agent", "text", text, plain, f"wamid.S{id_}", at, False, "read",
                agent_ids[agent], f"Agent {agent}", 1, None,
            )  # fmt: skip


def _say(sayings: tuple[str, ...], luck: random.Random) -> str:
    rare = f"{luck.choice(THINGS)}{luck.randrange(3000):x} " * 3
    return luck.choice(sayings).format(
        order=f"FH{luck.randrange(10_000, 99_999)}",
        thing=luck.choice(THINGS),
        town=luck.choice(TOWNS),
        rare=rare.strip(),
    )


def _handoffs(holders: list[str], agent_ids: list[int], now: datetime, luck: random.Random) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for n, holder in enumerate(holders, 1):
        asked = now - timedelta(minutes=luck.randrange(2, 600))
        who = agent_ids[n % len(agent_ids)]
        if holder == "bot" and n % 4:
            continue
        if holder == "bot":  # one of long ago
            asked -= timedelta(days=luck.randrange(1, 400))
            taken, closed, outcome = asked + timedelta(minutes=7), asked + timedelta(minutes=30), "given_back"
        else:
            taken, closed, outcome = (asked + timedelta(minutes=5) if holder == "agent" else None), None, None
        due = asked + timedelta(minutes=15)
        row = (
            len(found) + 1,
            n,
            "asked",
            "I want a person",
            "{}",
            asked,
            taken,
            who if taken else None,
            closed,
            outcome,
        )
        found.append((*row, 1, asked, due))
    return found


def _bulk(tx: Any, table: str, named: str, rows: Iterable[tuple[Any, ...]]) -> None:
    columns = named.split()
    if tx.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        plain = ([str(v)[:26].replace("+00:00", "") if isinstance(v, datetime) else v for v in row] for row in rows)
        tx.connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", map(tuple, plain))
        return
    text = io.StringIO()
    for row in rows:
        text.write("\t".join("\\N" if value is None else str(value) for value in row) + "\n")
    text.seek(0)
    with tx.connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", text)
