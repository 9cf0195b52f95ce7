"""199 desks without a screen: they speak the page's protocol, fetch what the page fetches, and note when they saw what.

Run as a process of its own: `python -m tests.bench.clients BASE PLAN SECONDS`. PLAN is a JSON list of
{"cookie", "show", "key", "cursor"}; what they saw is printed at the end as JSON: {"seen": [[desk, n, at]], "fetched":
{...}, "took": {what: [seconds]}}. `at` is the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

TOKEN = re.compile(rb"bench (\d+)\.")
LIST_DELAY_S, LIVE_DELAY_S = 0.12, 0.06  # as the page's hx-trigger has them
EVERY_S = 20.0  # both are fetched again unasked


@dataclass
class Element:
    """One element of the page that fetches itself: waits a moment after each signal, never twice at once."""

    url: str
    delay_s: float
    fetch: object
    _timer: asyncio.TimerHandle | None = None
    _busy: bool = False
    _again: bool = False
    _task: object = None

    def signal(self) -> None:
        """As htmx's `delay`: the last signal counts."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self.delay_s, self.go)

    def go(self) -> None:
        """As htmx's sync: what comes while a request is on its way is asked for once more afterwards."""
        self._timer = None
        if self._busy:
            self._again = True
            return
        self._busy = True
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        await self.fetch(self.url)  # type: ignore[operator]
        self._busy = False
        if self._again:
            self._again = False
            self.go()


@dataclass
class Desk:
    """One open tab."""

    n: int
    base: str
    plan: dict[str, str]
    session: aiohttp.ClientSession
    fetched: Counter[str]
    took: dict[str, list[float]]
    seen: dict[int, float] = field(default_factory=dict)
    is_open: bool = False

    async def run(self, until: float) -> None:
        """Load the page, then listen."""
        show, key = self.plan["show"], self.plan["key"]
        await self._fetch(f"/conversations/{key}?show={show}")
        self.rows = Element(f"/list?show={show}&find=", LIST_DELAY_S, self._fetch)
        self.live = Element(f"/conversations/{key}/live", LIVE_DELAY_S, self._fetch)
        loop = asyncio.get_running_loop()
        for element in (self.rows, self.live):
            for n in range(1, int((until - time.monotonic()) / EVERY_S) + 1):
                loop.call_later(n * EVERY_S + self.n / 20, element.go)
        since = self.plan["cursor"]
        while time.monotonic() < until:
            try:
                await self._listen(f"/live?since={since}&show={show}&key={key}", key, until)
            except (aiohttp.ClientError, asyncio.TimeoutError):
                self.fetched["broken streams"] += 1
                await asyncio.sleep(1)

    async def _listen(self, url: str, key: str, until: float) -> None:
        timeout = aiohttp.ClientTimeout(total=max(0.1, until - time.monotonic()), sock_read=None)
        try:
            async with self.session.get(self.base + url, headers=self._headers(), timeout=timeout) as stream:
                self.is_open = True
                async for line in stream.content:
                    if not line.startswith(b"event: "):
                        continue
                    name = line[7:].strip().decode()
                    self.fetched["signals"] += 1
                    if name in {f"conversation-{key}", "everything"}:
                        self.live.signal()
                    if name in {"changed", "everything"}:
                        self.rows.signal()
        except asyncio.TimeoutError:
            if time.monotonic() < until:
                raise

    async def _fetch(self, path: str) -> None:
        asked = time.monotonic()
        try:
            async with self.session.get(self.base + path, headers=self._headers() | {"HX-Request": "true"}) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, asyncio.TimeoutError):
            self.fetched["failed"] += 1
            return
        now = time.monotonic()
        what = path.split("?", maxsplit=1)[0].rsplit("/", maxsplit=1)[-1]
        what = what if what in {"list", "live"} else "page"
        self.fetched[what] += 1
        self.took[what].append(now - asked)
        self.fetched["bytes"] += len(body)
        if answer.status != 200:
            self.fetched[f"status {answer.status}"] += 1
        for found in TOKEN.findall(body):
            self.seen.setdefault(int(found), now)

    def _headers(self) -> dict[str, str]:
        return {"Cookie": f"baton_session={self.plan['cookie']}", "Sec-Fetch-Site": "same-origin"}


async def look(base: str, plans: list[dict[str, str]], seconds: float) -> dict[str, object]:
    """Keep all desks open for so long; return what they saw."""
    fetched: Counter[str] = Counter()
    took: dict[str, list[float]] = {"page": [], "list": [], "live": []}
    until = time.monotonic() + seconds
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30)) as session:
        desks = [Desk(n, base, plan, session, fetched, took) for n, plan in enumerate(plans)]
        tasks = []
        for desk in desks:  # they come one after the other, as people do
            tasks.append(asyncio.create_task(desk.run(until)))
            await asyncio.sleep(0.02)
        while not all(desk.is_open for desk in desks) and time.monotonic() < until:
            await asyncio.sleep(0.1)
        print("open", flush=True)
        await asyncio.gather(*tasks, return_exceptions=True)
    seen = [[desk.n, n, at] for desk in desks for n, at in desk.seen.items()]
    return {"seen": seen, "fetched": dict(fetched), "took": took}


def main() -> int:
    """Look, and say what was seen."""
    base, plan, seconds = sys.argv[1:4]
    seen = asyncio.run(look(base, json.loads(Path(plan).read_text()), float(seconds)))
    print(json.dumps(seen), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
