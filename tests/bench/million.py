"""The pages with a million messages in the ledger, over HTTP: part of `make bench-desk` (tests/bench/desk.py)."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timezone
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa

from bot import clock
from bot.ledger.transaction import Ledger
from bot.vocabulary import Role
from handoff import found, opened, pages
from handoff.found import Asked
from handoff.pages import Chosen, Show
from handoff.roles import Account
from handoff.viewing import Viewer
from tests.bench.seeds import NAMES, THINGS, TOWNS, Seeded
from tests.bench.webhook import Report, at_most, percentile

P95_BAR_MS = 150.0
TIMES = 120  # requests for each page
AUTHORS = ("contact", "bot", "agent")

PAGES: dict[str, Callable[[random.Random, Seeded], str]] = {
    "queue_page": lambda luck, seeded: "/",
    "queue_list": lambda luck, seeded: "/list?show=queue&find=",
    "mine_list": lambda luck, seeded: "/list?show=mine&find=",
    "others_list": lambda luck, seeded: "/list?show=others&find=",
    "bot_list": lambda luck, seeded: "/list?show=bot&find=",
    "conversation": lambda luck, seeded: f"/conversations/{luck.choice(seeded.keys)}",
    "conversation_live": lambda luck, seeded: f"/conversations/{luck.choice(seeded.keys)}/live",
    "longest_conversation": lambda luck, seeded: f"/conversations/{seeded.longest}",
    "search": lambda luck, seeded: f"/search?q={asked_for(luck)}",
    "search_in_one": lambda luck, seeded: f"/search?q={luck.choice(THINGS)}&in={luck.choice(seeded.keys)}",
    "search_narrowed": lambda luck, seeded: (
        f"/search?q={asked_for(luck)}&author={luck.choice(('contact', 'bot', 'agent'))}"
    ),
}


def asked_for(luck: random.Random) -> str:
    """What people look for: half a word in every other message, an order number, a phrase, a name, nothing there is."""
    order = luck.randrange(10_000, 99_999)
    choices = (
        luck.choice(THINGS), luck.choice(THINGS)[:3], luck.choice(TOWNS), f"FH{order}", str(order), '"charged twice"',
        f"{luck.choice(THINGS)} {luck.choice(TOWNS)}", luck.choice(NAMES), "order", "or", "th", "zebra", "hello",
        f"447{luck.randrange(50_000):09d}", f"{luck.choice(THINGS)}{luck.randrange(3000):x}", "where is my order",
    )  # fmt: skip
    return luck.choice(choices).replace(" ", "+").replace('"', "%22")


def measure(
    report: Report, base: str, ledger: Ledger, seeded: Seeded, *, cookie: str, plans: Path | None, times: int = TIMES
) -> None:
    """Ask for each page again and again, one after the other, as one agent does."""
    session = requests.Session()
    session.headers.update({"Cookie": f"baton_session={cookie}", "Sec-Fetch-Site": "same-origin"})
    for name, path in PAGES.items():
        luck = random.Random(11)
        took = []
        for n in range(times + 5):
            url, began = base + path(luck, seeded), time.perf_counter()
            answer = session.get(url, timeout=30, headers={} if name == "queue_page" else {"HX-Request": "true"})
            assert answer.status_code == 200, url
            if n >= 5:  # the first ones read from disk
                took.append((time.perf_counter() - began) * 1000)
        report.line(f"{name}_p50_ms", statistics.median(took))
        report.line(f"{name}_p95_ms", percentile(took, 0.95), P95_BAR_MS, at_most)
    if plans is not None:
        plans.mkdir(parents=True, exist_ok=True)
        (plans / f"{report.prefix}.txt").write_text("\n".join(explained(ledger, seeded)))


def explained(ledger: Ledger, seeded: Seeded) -> Iterator[str]:
    """Yield what each page asks the database, and how the database goes about it."""
    viewer = Viewer(Account(1, "ann@fernhill.example", "Ann", Role.AGENT), clock.now(), timezone.utc)
    looks: dict[str, Callable[[Any], object]] = {
        **{f"list {show.value}": lambda tx, show=show: pages.rows(tx, viewer, Chosen(show)) for show in Show},
        "conversation": lambda tx: opened.read(tx, viewer, seeded.longest),
        "search of a common word": lambda tx: found.read(tx, viewer, Asked("order")),
        "search of a rare one": lambda tx: found.read(tx, viewer, Asked("FH31337")),
        "search of none": lambda tx: found.read(tx, viewer, Asked("zebra")),
        "search of two": lambda tx: found.read(tx, viewer, Asked("kettle Leeds")),
        "search in one conversation": lambda tx: found.read(tx, viewer, Asked("kettle", within=seeded.longest)),
        "search of an agent's words": lambda tx: found.read(tx, viewer, Asked("order", author="agent")),
    }
    for name, look in looks.items():
        yield f"\n===== {name}"
        with ledger.reading() as tx, _explaining(ledger) as told:
            look(tx)
        yield from told


@contextmanager
def _explaining(ledger: Ledger) -> Iterator[list[str]]:
    told: list[str] = []
    how = "EXPLAIN QUERY PLAN " if ledger.is_sqlite else "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) "

    def before(connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:
        if not statement.lstrip().upper().startswith("SELECT"):
            return
        cursor = connection.connection.cursor()
        cursor.execute(how + statement, values)
        told.extend(["", " ".join(statement.split())])
        told.extend("    " + str(row[-1]) for row in cursor.fetchall())

    sa.event.listen(ledger.engine, "before_cursor_execute", before)
    try:
        yield told
    finally:
        sa.event.remove(ledger.engine, "before_cursor_execute", before)
