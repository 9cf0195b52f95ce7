"""`make bench-webhook`: what one number at Meta's default limit produces, with the real bot answering behind it.

80 messages a second, each of another contact, and 240 statuses a second, each in a POST of its own, for a minute; once
on SQLite and once on PostgreSQL. Then: were all acknowledged, and how fast; is everything in the ledger; was every
contact answered in the end. Last, the rate is raised until it breaks.

The Cloud API here is one function that says yes: what is measured is our door, not the simulator's.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import sqlalchemy as sa
from aiohttp import web

from bot import clock
from bot.ledger import inbox, outbox
from bot.ledger.tables import conversations, deliveries, messages, reports, turns
from bot.ledger.transaction import Ledger
from bot.messages import Text
from bot.updates import ContactRef, Received
from bot.vocabulary import Author, Status, TurnState
from handoff import migrate
from tests.journeys.house import House
from tests.parts import Postgres, eventually, free_port

INBOUND_PER_S, STATUSES_PER_S = 80, 240
SECONDS = 60
P99_BAR_MS = 250.0
SECRET, NUMBER = "bench-secret", "100000000000001"
WORDS = ("hello", "what are your opening hours in Leeds?", "can I return shoes I have worn?", "any offers this week?")
ANSWERED_WITHIN_S = 1500
AT_ONCE = 64  # open POSTs; Meta delivers in parallel
SEEDED = 20  # messages of ours already sent, in each seeded conversation


@dataclass
class Meta:
    """What Meta knows: what we sent, what it has still to report, what it wrote to us and how long we took."""

    sent: list[str] = field(default_factory=list)
    to_report: deque[tuple[str, str]] = field(default_factory=deque)
    taken_ms: list[float] = field(default_factory=list)
    refused: int = 0
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def accept(self, request: web.Request) -> web.Response:
        """Say yes to a message, and have three statuses to tell of it."""
        body = await request.json()
        if "status" in body:
            return web.json_response({"success": True})
        wamid = f"wamid.BENCHOUT{next(self._numbers)}"
        self.sent.append(body.get("to", ""))
        self.to_report.extend((wamid, status) for status in ("sent", "delivered", "read"))
        return web.json_response({"messaging_product": "whatsapp", "messages": [{"id": wamid}]})


def a_body(value: dict[str, object]) -> bytes:
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, **value}
    entry = [{"id": "1", "changes": [{"field": "messages", "value": value}]}]
    return json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()


def a_message(n: int) -> bytes:
    """One message of a contact nobody has heard of."""
    phone = f"4477{n:08d}"
    card = {"wa_id": phone, "user_id": f"GB.{phone}", "profile": {"name": f"Contact {n}"}}
    message = {
        "from": phone, "from_user_id": f"GB.{phone}", "id": f"wamid.BENCHIN{n}", "timestamp": str(int(time.time())),
        "type": "text", "text": {"body": WORDS[n % len(WORDS)]},
    }  # fmt: skip
    return a_body({"contacts": [card], "messages": [message]})


def a_status(wamid: str, status: str) -> bytes:
    pricing = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "service"}
    row = {"id": wamid, "status": status, "timestamp": str(int(time.time())), "recipient_id": "44", "pricing": pricing}
    return a_body({"statuses": [row]})


def seed(ledger: Ledger, count: int) -> list[str]:
    """Put messages of ours into the ledger that were sent and not yet reported on; return their wamids."""
    now = clock.now()
    wamids = []
    for start in range(0, count, SEEDED):
        phone = f"4478{start:08d}"
        with ledger.writing() as tx:
            written = Received(
                f"wamid.SEEDIN{start}", NUMBER, ContactRef(phone, None), Text("hi"), now, wants_answer=False
            )
            inbox.record(tx, b"{}", [written], now)
            conversation_id = tx.execute(sa.select(sa.func.max(conversations.c.id))).scalar_one()
            for n in range(start, min(start + SEEDED, count)):
                wamid = f"wamid.SEED{n}"
                outbox.queue(tx, conversation_id, Text("seeded"), author=Author.AGENT, now=now)
                wamids.append(wamid)
            mine = (messages.c.conversation_id == conversation_id) & (messages.c.author == Author.AGENT)
            for wamid, row in zip(wamids[start:], tx.execute(sa.select(messages.c.id).where(mine)).all(), strict=True):
                sent = {"status": Status.SENT, "wamid": wamid}
                tx.execute(sa.update(messages).where(messages.c.id == row.id).values(sent))
    return wamids


async def bring(
    url: str,
    meta: Meta,
    rates: tuple[float, float],
    seconds: float,
    numbers: Iterator[int],
    seeded: deque[tuple[str, str]],
) -> int:
    """Bring messages and statuses at these rates; return how many messages that were. Never waits for an answer
    before the next: a door that slows down gets no mercy, only more at once.
    """
    inbound_per_s, statuses_per_s = rates
    written = 0
    room = asyncio.Semaphore(AT_ONCE)
    tasks: set[asyncio.Task[None]] = set()

    async def post(session: aiohttp.ClientSession, body: bytes, due: float) -> None:
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": signature, "Content-Type": "application/json"}
        async with room:
            try:
                async with session.post(url, data=body, headers=headers) as answer:
                    await answer.read()
                    ok = answer.status == 200
            except (aiohttp.ClientError, asyncio.TimeoutError):
                ok = False
        meta.refused += not ok
        meta.taken_ms.append((time.perf_counter() - due) * 1000)  # from when it was due: waiting in line counts

    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        began = time.perf_counter()
        per_s = inbound_per_s + statuses_per_s
        owed = 0.0
        for n in range(int(per_s * seconds)):
            due = began + n / per_s
            pause = due - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            owed += inbound_per_s / per_s
            if owed >= 1:
                owed -= 1
                written += 1
                body = a_message(next(numbers))
            else:
                wamid, status = meta.to_report.popleft() if meta.to_report else seeded.popleft()
                body = a_status(wamid, status)
            task = asyncio.create_task(post(session, body, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks)
    return written


@contextmanager
def a_cloud_api(meta: Meta, port: int) -> Iterator[asyncio.AbstractEventLoop]:
    """Serve the yes-saying Cloud API in a thread, whose loop also brings the load."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/{version}/{number}/messages", meta.accept)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    yield loop
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("inf")


class Report:
    """Prints `name value bar` and remembers whether a bar was missed."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.failed = False

    def line(
        self, name: str, value: float, bar: float | None = None, fits: Callable[[float, float], bool] | None = None
    ) -> None:
        """Print one figure; `-` where there is no bar."""
        print(f"{self.prefix}_{name} {value:g} {'-' if bar is None else f'{bar:g}'}", flush=True)
        if bar is not None and fits is not None and not fits(value, bar):
            self.failed = True


def at_most(value: float, bar: float) -> bool:
    return value <= bar


def equal(value: float, bar: float) -> bool:
    return value == bar


def run(name: str, database_url: str, seconds: int, *, breaks: bool) -> bool:
    """Measure on one database; say whether every bar was reached."""
    migrate.to_head(database_url)
    ledger = Ledger(database_url)
    statuses = int(STATUSES_PER_S * seconds * (3 if breaks else 1.2)) + 1000
    wamids = seed(ledger, statuses // 3 + 1)
    seeded = deque((wamid, status) for wamid in wamids for status in ("sent", "delivered", "read"))
    meta, api_port, report = Meta(), free_port(), Report(name)
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as home, a_cloud_api(meta, api_port) as loop:
        house = House(
            Path(home), database_url, command="serve",
            WHATSAPP_API_URL=f"http://127.0.0.1:{api_port}", WHATSAPP_PHONE_NUMBER_ID=NUMBER,
            WHATSAPP_APP_SECRET=SECRET, WHATSAPP_ACCESS_TOKEN="bench-token", WHATSAPP_VERIFY_TOKEN="bench",
            BATON_DEMO_SHOP="yes",
        ).start("Baton is serving")  # fmt: skip
        try:
            numbers = itertools.count(1)
            before = _count(ledger, deliveries)

            def bring_for(rates: tuple[float, float], how_long: float) -> int:
                meta.taken_ms.clear()
                load = bring(house.webhook_url, meta, rates, how_long, numbers, seeded)
                return asyncio.run_coroutine_threadsafe(load, loop).result()

            bring_for((5, 15), 3)  # connections open, caches warm
            meta.refused = 0
            written = bring_for((INBOUND_PER_S, STATUSES_PER_S), seconds)
            taken = list(meta.taken_ms)
            report.line(
                "updates_per_s", len(taken) / seconds, INBOUND_PER_S + STATUSES_PER_S, lambda v, b: v >= b * 0.99
            )
            report.line("ack_p50_ms", statistics.median(taken))
            report.line("ack_p99_ms", percentile(taken, 0.99), P99_BAR_MS, at_most)
            report.line("ack_max_ms", max(taken))
            report.line("not_acknowledged", meta.refused, 0, equal)
            all_written = written + 15
            in_ledger = _count(ledger, messages, messages.c.wamid.like("wamid.BENCHIN%"))
            report.line("inbound_lost", all_written - in_ledger, 0, equal)
            report.line("deliveries_lost", len(taken) + 60 - (_count(ledger, deliveries) - before), 0, equal)
            behind = all_written - _answered(ledger)
            report.line("unanswered_when_the_load_ends", behind)
            if breaks:
                report.line("breaks_at_updates_per_s", _breaking_point(bring_for, meta))
                all_written = next(numbers) - 1
            started = time.monotonic()
            eventually(lambda: _answered(ledger) >= all_written, ANSWERED_WITHIN_S, 1.0)
            report.line("unanswered_in_the_end", all_written - _answered(ledger), 0, equal)
            report.line("answers_per_s_afterwards", behind / max(time.monotonic() - started, 0.1))
            eventually(lambda: len(set(meta.sent)) >= all_written, 300, 1.0)
            report.line("contacts_not_reached", all_written - len(set(meta.sent)), 0, equal)
            report.line("sent_twice", len(meta.sent) - len(set(meta.sent)), 0, equal)
            report.line("reports_kept", _count(ledger, reports))
        finally:
            house.stop()
            ledger.close()
    return not report.failed


def _breaking_point(bring_for: Callable[[tuple[float, float], float], int], meta: Meta) -> float:
    """Raise the rate in steps of half until p99 is above the bar, something is refused, or it can't be brought."""
    rate = float(INBOUND_PER_S + STATUSES_PER_S)
    while rate < 4000:
        rate *= 1.25
        began = time.monotonic()
        bring_for((rate / 4, rate * 3 / 4), 6)
        late = time.monotonic() - began > 6 * 1.2
        if percentile(meta.taken_ms, 0.99) > P99_BAR_MS or meta.refused or late:
            return rate
    return rate


def _count(ledger: Ledger, table: sa.Table, *which: object) -> int:
    with ledger.reading() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(table).where(*which)).scalar_one())


def _answered(ledger: Ledger) -> int:
    over = turns.c.state.in_((TurnState.ANSWERED, TurnState.SILENT))
    heard = sa.select(sa.func.count()).select_from(messages.join(turns, turns.c.id == messages.c.turn_id))
    with ledger.reading() as tx:
        return int(tx.execute(heard.where(over, messages.c.wamid.like("wamid.BENCHIN%"))).scalar_one())


def main() -> int:
    """Measure on both databases; 1 if a bar was missed, or if there is no PostgreSQL to measure on."""
    parser = argparse.ArgumentParser(prog="make bench-webhook")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument(
        "--no-breaking", action="store_true", help="leave out the search for the rate at which it breaks"
    )
    asked = parser.parse_args()
    fine = True
    if asked.only != "postgresql":
        with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
            fine = run("sqlite", f"sqlite:///{folder}/bench.db", asked.seconds, breaks=not asked.no_breaking)
    if asked.only != "sqlite":
        postgres = Postgres()
        if postgres.url is None:
            print(f"postgresql_measured 0 1  # {postgres.why_not}", flush=True)
            return 1
        name = f"baton_bench_{int(time.time())}"
        try:
            fine = run("postgresql", postgres.make(name), asked.seconds, breaks=not asked.no_breaking) and fine
        finally:
            postgres.drop(name)
            postgres.stop()
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
