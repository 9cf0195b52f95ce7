"""`make bench-desk`: how fast an agent sees what was said, and how fast the pages are after a million messages.

First, on each database: 199 desks and one real Chromium have their pages open while 80 messages a second are written
with the ledger's own verbs; from commit to screen. A quarter of the messages are in conversations that somebody has
open (each desk's own gets one every eight seconds or so), a tenth in others that agents hold, a twentieth in the queue,
the rest with the bot; every second somebody is taken or given back. Then, over HTTP: the queue, a conversation and
search with 1,000,000 messages in 50,000 conversations. Prints `name value bar`; exits 1 if a bar was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import requests
import sqlalchemy as sa
from playwright.sync_api import Page, sync_playwright

from bot import clock, launch
from bot.ledger import changes, handoffs, inbox, outbox
from bot.ledger.tables import conversations
from bot.ledger.transaction import Ledger, Transaction
from bot.messages import Text
from bot.updates import ContactRef, Received
from bot.vocabulary import Author, Reason, Role
from handoff import agents, migrate
from handoff.passwords import fingerprint
from handoff.tables import accounts, sessions
from tests.bench import million
from tests.bench.seeds import Size, seed
from tests.bench.webhook import Report, at_most, equal, percentile
from tests.factories import NUMBER, says_only
from tests.parts import Postgres, chromium, eventually, free_port

DESKS, PER_S, SECONDS, P95_BAR_MS = 199, 80, 60, 500.0
SHOWS = ("mine",) * 7 + ("queue",) * 2 + ("others",)  # what desks look at; supervisors read along
SAID_BEFORE = 24  # messages in each conversation
HEARD_EVERYTHING_S = 5


@dataclass
class World:
    """Agents with a conversation each, others they hold, some who wait, many with the bot."""

    cookies: list[str] = field(default_factory=list)
    shown: list[tuple[int, str]] = field(default_factory=list)  # of each desk; the last is Chromium's
    held: list[tuple[int, str]] = field(default_factory=list)
    waiting: list[tuple[int, str]] = field(default_factory=list)
    bots: list[tuple[int, str]] = field(default_factory=list)
    moving: list[tuple[int, str]] = field(default_factory=list)
    accounts: list[int] = field(default_factory=list)


def build(ledger: Ledger, desks: int) -> World:
    """Make it, with the ledger's own verbs; passwords are not hashed 200 times: sessions are written down."""
    world, now = World(), clock.now()
    with ledger.writing() as tx:
        for n in range(desks + 1):
            account = {
                "email": f"agent{n}@fernhill.example", "name": f"Agent {n}", "password_hash": "-", "created_at": now,
                "role": Role.AGENT if n % 10 else Role.SUPERVISOR, "must_change_password": False,
            }  # fmt: skip
            world.accounts.append(tx.execute(sa.insert(accounts).values(account)).inserted_primary_key[0])
            world.cookies.append(f"bench-cookie-{n}")
            ends = now.replace(year=now.year + 1)
            row = {"hash": fingerprint(world.cookies[-1]), "account_id": world.accounts[-1], "created_at": now}
            tx.execute(sa.insert(sessions).values(row | {"seen_at": now, "ends_at": ends}))
    rooms = [world.shown] * (desks + 1) + [world.held] * (2 * desks) + [world.waiting] * 60
    rooms += [world.bots] * 600 + [world.moving] * 40
    for first in range(0, len(rooms), 100):
        with ledger.writing() as tx:
            for n, room in enumerate(rooms[first : first + 100], first):
                _furnish(tx, world, room, n, who=len(room) % (desks + 1), now=now)
    return world


def _furnish(tx: Transaction, world: World, room: list[tuple[int, str]], n: int, *, who: int, now: datetime) -> None:
    """A contact who has written before; with an agent, in the queue or with the bot."""
    contact = ContactRef(f"4479{n:08d}", None, f"Contact {n}")
    said = [Received(f"wamid.OLD{n}.{m}", NUMBER, contact, Text(f"old words {m}"), now) for m in range(SAID_BEFORE)]
    (waiting,) = inbox.record_all(tx, [(b"{}", list(said))], now, careful=False)
    (id_,) = waiting
    key = tx.execute(sa.select(conversations.c.key).where(conversations.c.id == id_)).scalar_one()
    room.append((id_, key))
    if room is not world.bots:
        tell = says_only("Wait.")
        handoffs.hand_off(tx, key, reason=Reason.ASKED, wish="a person", slots={}, tell=tell, now=now)
    if room is world.shown or room is world.held:
        handoffs.take(tx, key, agent_id=world.accounts[who], agent_name=f"Agent {who}", now=now)


@contextmanager
def a_desk(database_url: str) -> Iterator[str]:
    """The desk as bot/launch.py starts it."""
    base = f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-m", *launch.DESK.split(), "-b", base.removeprefix("http://"), "--log-level", "warning",
         "handoff.app:create_app()"],
        env=os.environ | {"DATABASE_URL": database_url},
    )  # fmt: skip
    try:
        assert eventually(lambda: _answers(base), 60, 0.2), "the desk does not start"
        yield base
    finally:
        process.terminate()
        process.wait()


def _answers(base: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"{base}/signin", timeout=5).status_code == 200
    return False


class Writer(threading.Thread):
    """Writes messages at a steady rate, and notes when each was committed."""

    def __init__(self, ledger: Ledger, world: World, per_s: float, seconds: float) -> None:
        super().__init__(name="writer")
        self.ledger, self.world, self.per_s, self.seconds = ledger, world, per_s, seconds
        self.committed: dict[int, float] = {}
        self.said_in: dict[int, str] = {}
        self.by_chromium: list[int] = []
        self.late_s = 0.0

    def run(self) -> None:
        """Write; a message that is late is written as soon as it can be."""
        luck, began = random.Random(5), time.monotonic()
        for n in range(1, int(self.per_s * self.seconds) + 1):
            due = began + n / self.per_s
            time.sleep(max(0.0, due - time.monotonic()))
            self.late_s = max(self.late_s, time.monotonic() - due)
            self._say(n, luck)
            if n % int(self.per_s) == 0:
                self._move(n)

    def _say(self, n: int, luck: random.Random) -> None:
        kind = luck.random()
        rooms = self.world
        if n % 80 == 7:  # Chromium's own, once a second
            id_, key = rooms.shown[-1]
        elif kind < 0.25:
            id_, key = luck.choice(rooms.shown[:-1])
        else:
            id_, key = luck.choice(rooms.held if kind < 0.35 else rooms.waiting if kind < 0.4 else rooms.bots)
        now, text = clock.now(), Text(f"bench {n}.")
        with self.ledger.writing() as tx:
            if n % 2 or key == rooms.shown[-1][1]:
                phone = f"4479{id_ - 1:08d}"
                said = Received(f"wamid.NEW{n}", NUMBER, ContactRef(phone, None), text, now)
                inbox.record(tx, b"{}", [said], now)
            else:
                outbox.queue(tx, id_, text, author=Author.AGENT, now=now)
        self.committed[n], self.said_in[n] = time.monotonic(), key
        if key == rooms.shown[-1][1]:
            self.by_chromium.append(n)

    def _move(self, n: int) -> None:
        """Somebody is taken, or put back."""
        _, key = self.world.moving[n % len(self.world.moving)]
        who = self.world.accounts[n % len(self.world.accounts)]
        with self.ledger.writing() as tx, suppress(Exception):
            if n // int(self.per_s) % 2:
                handoffs.take(tx, key, agent_id=who, agent_name="Agent", now=clock.now())
            else:
                handoffs.requeue(tx, key, agent_id=who, now=clock.now())


WATCHING = """() => {
  window.seen = {};
  const look = () => {
    const said = document.getElementById('thread').textContent;
    for (const [, n] of said.matchAll(/bench (\\d+)\\./g)) seen[n] ??= Date.now();
  };
  const all = { childList: true, subtree: true, characterData: true };
  new MutationObserver(look).observe(document.getElementById('live'), all);
}"""


def watch(page: Page, base: str, world: World) -> None:
    """Open Chromium's own conversation, and note when each message came onto the screen."""
    page.context.add_cookies([{"name": "baton_session", "value": world.cookies[-1], "url": base}])
    page.goto(f"{base}/conversations/{world.shown[-1][1]}?show=mine")
    page.wait_for_selector("#thread")
    page.evaluate(WATCHING)


def measure(name: str, database_url: str, *, desks: int, per_s: float, seconds: float) -> bool:
    """From commit to screen, on one database."""
    migrate.to_head(database_url)
    ledger, report = Ledger(database_url), Report(name)
    world = build(ledger, desks)
    with ledger.reading() as tx:
        cursor = changes.latest(tx)
    with a_desk(database_url) as base, sync_playwright() as playwright, tempfile.TemporaryDirectory() as home:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        watch(page, base, world)
        plan = Path(home) / "plan.json"
        plans = [
            {"cookie": world.cookies[n], "show": SHOWS[n % len(SHOWS)], "key": world.shown[n][1], "cursor": str(cursor)}
            for n in range(desks)
        ]
        plan.write_text(json.dumps(plans))
        lasts = seconds + desks * 0.2 + 15 + HEARD_EVERYTHING_S  # they open one after the other
        clients = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.clients", base, str(plan), str(lasts)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert clients.stdout is not None
        assert clients.stdout.readline().strip() == "open"
        page.wait_for_timeout(3000)  # all have drawn their pages
        offset = time.time() - time.monotonic()
        writer = Writer(ledger, world, per_s, seconds)
        writer.start()
        while writer.is_alive():
            page.wait_for_timeout(200)  # Playwright must turn while the browser works
        page.wait_for_timeout(HEARD_EVERYTHING_S * 1000)
        on_screen = {int(n): at / 1000 - offset for n, at in page.evaluate("window.seen").items()}
        told = json.loads(clients.communicate()[0])
        browser.close()
    _report(report, writer, world, told, on_screen, desks=desks, per_s=per_s, seconds=seconds)
    ledger.close()
    return not report.failed


def _report(
    report: Report, writer: Writer, world: World, told: dict[str, object], on_screen: dict[int, float], *,
    desks: int, per_s: float, seconds: float,
) -> None:  # fmt: skip
    of = {key: n for n, (_, key) in enumerate(world.shown[:-1])}
    expected = {(of[key], n) for n, key in writer.said_in.items() if key in of}
    first = {(desk, n): at for desk, n, at in told["seen"]}  # type: ignore[attr-defined]
    took = [(first[one] - writer.committed[one[1]]) * 1000 for one in expected if one in first]
    screen = [(on_screen[n] - writer.committed[n]) * 1000 for n in writer.by_chromium if n in on_screen]
    fetched: dict[str, int] = told["fetched"]  # type: ignore[assignment]
    report.line("desks", desks + 1)
    report.line("messages_per_s", len(writer.committed) / (seconds + writer.late_s), per_s * 0.97, lambda v, b: v >= b)
    report.line("writer_late_max_ms", writer.late_s * 1000)
    report.line("seen_by_desks", len(took), len(expected), equal)
    report.line("commit_to_desk_p50_ms", statistics.median(took) if took else float("inf"))
    report.line("commit_to_desk_p95_ms", percentile(took, 0.95), P95_BAR_MS, at_most)
    report.line("commit_to_desk_max_ms", max(took, default=float("inf")))
    report.line("seen_by_chromium", len(screen), len(writer.by_chromium), equal)
    report.line("commit_to_screen_p50_ms", statistics.median(screen) if screen else float("inf"))
    report.line("commit_to_screen_p95_ms", percentile(screen, 0.95), P95_BAR_MS, at_most)
    report.line("commit_to_screen_max_ms", max(screen, default=float("inf")))
    for what, seconds_each in told["took"].items():  # type: ignore[attr-defined]
        report.line(f"desks_{what}_answered_p50_ms", statistics.median(seconds_each) * 1000)
        report.line(f"desks_{what}_answered_p95_ms", percentile(seconds_each, 0.95) * 1000)
    for what, count in sorted(fetched.items()):
        report.line(f"desks_{what.replace(' ', '_')}_per_s", count / seconds)
    report.line("failed_requests", fetched.get("failed", 0) + fetched.get("broken streams", 0), 0, equal)


def main() -> int:
    """Measure on both databases; 1 if a bar was missed, or if there is no PostgreSQL or Chromium to measure with."""
    parser = argparse.ArgumentParser(prog="make bench-desk")
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--part", choices=["live", "million"], help="only the one")
    parser.add_argument("--desks", type=int, default=DESKS)
    parser.add_argument("--per-second", type=float, default=PER_S)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--conversations", type=int, default=50_000)
    parser.add_argument("--plans", type=Path, help="write the query plans that explain the pages to this folder")
    asked = parser.parse_args()
    if chromium() is None:
        print("chromium_there 0 1", flush=True)
        return 1
    fine = True
    for name in ("sqlite", "postgresql"):
        if asked.only not in (None, name):
            continue
        for part in ("live", "million"):
            if asked.part not in (None, part):
                continue
            with _a_database(name) as url:
                if url is None:
                    return 1
                if part == "live":
                    fine &= measure(name, url, desks=asked.desks, per_s=asked.per_second, seconds=asked.seconds)
                else:
                    size = Size(asked.messages, asked.conversations)
                    fine &= _measure_million(name, url, size, asked.plans)
    return 0 if fine else 1


def _measure_million(name: str, database_url: str, size: Size, plans: Path | None) -> bool:
    """The pages, after years."""
    migrate.to_head(database_url)
    ledger, now = Ledger(database_url), clock.now()
    with ledger.writing() as tx:
        agents.add(tx, "ann@fernhill.example", Role.AGENT, "Ann", keep_password=True, now=now)
        account = agents.bearer(tx, agents.add_token(tx, "ann@fernhill.example", now))
        assert account is not None
        row = {"hash": fingerprint("bench"), "account_id": account.id, "created_at": now, "seen_at": now}
        tx.execute(sa.insert(sessions).values(row | {"ends_at": now.replace(year=now.year + 1)}))
    began = time.monotonic()
    seeded = seed(ledger, size, now, list(range(account.id, account.id + 200)))
    report = Report(name)
    report.line("seeded_in_s", time.monotonic() - began)
    with a_desk(database_url) as base:
        million.measure(report, base, ledger, seeded, cookie="bench", plans=plans)
    ledger.close()
    return not report.failed


@contextmanager
def _a_database(name: str) -> Iterator[str | None]:
    """A fresh database; None where there is no PostgreSQL."""
    if name == "sqlite":
        with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
            yield f"sqlite:///{folder}/bench.db"
        return
    postgres = Postgres()
    if postgres.url is None:
        print(f"postgresql_measured 0 1  # {postgres.why_not}", flush=True)
        yield None
        return
    database = f"baton_bench_{int(time.time())}"
    try:
        yield postgres.make(database)
    finally:
        postgres.drop(database)
        postgres.stop()


if __name__ == "__main__":
    sys.exit(main())
