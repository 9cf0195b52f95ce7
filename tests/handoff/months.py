# ruff: noqa: E501  # rows are easier to read as rows
"""Weeks of a busy service, written straight into the tables: for reports, which only read.

`python -m tests.handoff.months sqlite:////tmp/x.db 1000000 50000 20000 182` fills a database and times its reports.
"""

from __future__ import annotations

import math
import random
import secrets
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa

from bot.ledger.history import Which
from bot.ledger.tables import contacts, conversations, handoffs, messages, reports, turns
from bot.ledger.transaction import Ledger
from handoff import migrate, reporting
from handoff.reporting import Chosen
from tests.factories import NUMBER

HOURS = (1, 0, 0, 0, 0, 1, 2, 4, 8, 14, 17, 16, 13, 13, 15, 16, 14, 12, 9, 8, 7, 6, 4, 2)
WEEKDAYS = (14, 12, 11, 12, 13, 8, 4)
REASONS = (
    ("asked", 46), ("not_understood", 20), ("unreadable", 9), ("backoffice_down", 6), ("stepped_in", 7), ("silent", 2),
    ("undelivered", 2), ("phone", 5), ("flood", 1),
)  # fmt: skip
INTENTS = (
    ("order_status", 34), ("opening_hours", 14), ("nearest_store", 9), ("return_policy", 12), ("promotions", 4),
    ("greet", 12), ("thanks", 8), ("nlu_fallback", 6), ("talk_to_person", 4), ("find_order_number", 3),
)  # fmt: skip
AT_ONCE = 5_000


class Months:
    """So much of everything, over so many days that end now; the same every time."""

    def __init__(self, now: datetime, days: int, agents: list[int], seed: int = 8) -> None:
        self.now, self.days, self.agents = now, days, agents
        self.dice = random.Random(seed)
        self._open: set[int] = set()
        self._weights = [self._weight(n) for n in range(days)]

    def _weight(self, ago: int) -> float:
        return WEEKDAYS[(self.now - timedelta(days=ago)).weekday()] * self.dice.uniform(0.8, 1.25)

    def moment(self) -> datetime:
        while True:
            (ago,) = self.dice.choices(range(self.days), self._weights)
            (hour,) = self.dice.choices(range(24), HOURS)
            day = (self.now - timedelta(days=ago)).replace(hour=0, minute=0, second=0, microsecond=0)
            at = day + timedelta(hours=hour, seconds=self.dice.randrange(3600))
            if at < self.now:
                return at

    def one_of(self, weighted: tuple[tuple[str, int], ...]) -> str:
        return self.dice.choices([word for word, _ in weighted], [weight for _, weight in weighted])[0]

    def fill(self, ledger: Ledger, *, messages_: int, conversations_: int, handoffs_: int) -> None:
        began = self.now - timedelta(days=self.days)
        with ledger.writing() as tx:
            self._insert(tx, contacts, (
                {"id": n, "phone": f"4477{n:08}", "name": f"Contact {n}", "created_at": began} for n in range(1, conversations_ + 1)
            ))  # fmt: skip
            self._insert(tx, conversations, (
                {"id": n, "key": secrets.token_hex(8), "phone_number_id": NUMBER, "contact_id": n, "holder": "bot",
                 "epoch": 0, "muted_at": 0, "last_message_at": self.now, "created_at": began}
                for n in range(1, conversations_ + 1)
            ))  # fmt: skip
        exchanges = sorted((self.moment(), self.dice.randint(1, conversations_)) for _ in range(messages_ * 9 // 20))
        with ledger.writing() as tx:
            self._insert(tx, turns, (
                {"id": n, "conversation_id": whose, "epoch": 0, "state": "answered", "attempts": 1,
                 "bubbles": 1 + (n % 5 == 0), "began_at": at, "ended_at": at} for n, (at, whose) in enumerate(exchanges, 1)
            ))  # fmt: skip
            self._insert(tx, messages, self._messages(exchanges))
            self._insert(tx, reports, self._reports(exchanges))
            self._insert(tx, handoffs, self._handoffs(exchanges, handoffs_))
            self._insert(tx, messages, self._answers(tx))
        if not ledger.is_sqlite:
            with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as tx:
                for table in ("messages", "turns", "handoffs", "reports", "conversations"):
                    tx.execute(sa.text(f"VACUUM ANALYZE {table}"))

    @staticmethod
    def _insert(tx: Any, table: sa.Table, rows: Iterator[dict[str, Any]]) -> None:
        some = []
        for row in rows:
            some.append(row)
            if len(some) == AT_ONCE:
                tx.execute(sa.insert(table), some)
                some = []
        if some:
            tx.execute(sa.insert(table), some)

    def _messages(self, exchanges: list[tuple[datetime, int]]) -> Iterator[dict[str, Any]]:
        for n, (at, whose) in enumerate(exchanges, 1):
            each = {"conversation_id": whose, "type": "text", "waiting": False, "turn_id": n}
            said = {"text": "where is my order please, it said Tuesday", "content": {"type": "text", "text": "x" * 60}}
            yield {**each, **said, "author": "contact", "at": at, "arrived_at": at, "wamid": f"in{n}", "n": None,
                   "intent": self.one_of(INTENTS), "confidence": 0.9, "status": None}  # fmt: skip
            for bubble in range(1 + (n % 5 == 0)):
                status = "failed" if n % 900 == 0 else "delivered"
                yield {**each, **said, "author": "bot", "at": at, "arrived_at": None, "wamid": f"out{n}-{bubble}",
                       "n": bubble, "intent": None, "confidence": None, "status": status}  # fmt: skip

    def _reports(self, exchanges: list[tuple[datetime, int]]) -> Iterator[dict[str, Any]]:
        priced = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "service"}
        free = {**priced, "billable": False, "type": "free_customer_service"}
        for n, (at, _) in enumerate(exchanges, 1):
            for bubble in range(1 + (n % 5 == 0)):
                price = free if n % 4 == 0 else priced
                for status in ("sent", "delivered", "read"):
                    yield {
                        "wamid": f"out{n}-{bubble}",
                        "status": status,
                        "at": at,
                        "pricing": price if status != "read" else None,
                    }

    def _handoffs(self, exchanges: list[tuple[datetime, int]], many: int) -> Iterator[dict[str, Any]]:
        for at, whose in sorted(self.dice.sample(exchanges, many)):
            reason, asked = self.one_of(REASONS), at + timedelta(seconds=5)
            unasked = reason in {"stepped_in", "phone"}
            night = 9 * 60 - asked.hour * 60 if asked.hour < 8 else 0
            wait = timedelta(0) if unasked else timedelta(minutes=night + math.exp(self.dice.gauss(1.5, 1.1)))
            is_open = asked > self.now - timedelta(hours=2) and self.dice.random() < 0.4
            cancelled = not unasked and not is_open and self.dice.random() < 0.07
            came = None if cancelled or (is_open and self.dice.random() < 0.5) else asked + wait
            closed = None if is_open else (came or asked) + timedelta(minutes=math.exp(self.dice.gauss(2.4, 0.8)))
            due = None if unasked else asked + timedelta(minutes=15 + night)
            row = {
                "conversation_id": whose, "reason": reason, "wish": "I want a person", "slots": {}, "asked_at": asked,
                "promised_at": None if unasked else asked, "due_at": due, "first_due_at": due, "place": 0 if unasked else 1,
                "first_taken_at": came, "taken_at": came, "taken_by": self.dice.choice(self.agents) if came else None,
                "closed_at": closed, "outcome": None if is_open else "cancelled" if cancelled else "given_back",
            }  # fmt: skip
            if "csat" in handoffs.c:
                says = self.dice.choices(["good", "so_so", "bad", None], [34, 8, 5, 53])[0] if came and closed else None
                row |= {"csat": says, "csat_at": closed if says else None}
            if closed is None and whose in self._open:
                continue
            if closed is None:
                self._open.add(whose)
            yield row

    def _answers(self, tx: Any) -> Iterator[dict[str, Any]]:
        taken = tx.execute(sa.select(handoffs).where(handoffs.c.first_taken_at.is_not(None))).all()
        for n, one in enumerate(taken):
            at = one.first_taken_at + timedelta(seconds=self.dice.randrange(15, 240))
            yield {"conversation_id": one.conversation_id, "author": "agent", "type": "text", "text": "Hello", "content": {},
                   "at": at, "wamid": f"agent{n}", "waiting": False, "status": "read", "agent_id": one.taken_by}  # fmt: skip


def main(url: str, *many: str) -> None:
    """Fill a database and time what it is asked."""
    messages_, conversations_, handoffs_, days = map(int, many)
    migrate.to_head(url)
    ledger, now = Ledger(url), datetime.now(tz=timezone.utc)
    began = time.monotonic()
    with ledger.reading() as tx:
        is_new = tx.execute(sa.select(messages.c.id).limit(1)).first() is None
    if is_new:
        Months(now, days, list(range(1, 21))).fill(
            ledger, messages_=messages_, conversations_=conversations_, handoffs_=handoffs_
        )
        print(f"filled in {time.monotonic() - began:.0f} s")
    for back in (1, 7, 28):
        chosen = Chosen(*reporting.days_back(now.date(), back), Which())
        for _ in range(3):
            began, busy = time.monotonic(), time.process_time()
            with ledger.reading() as tx:
                found = reporting.report(tx, chosen, now)
            took, cpu = time.monotonic() - began, time.process_time() - busy
        print(
            f"{back:3} days: {took:.2f} s (processor {cpu:.2f} s), {found.cards[0].value} handoffs, {found.bot_cards[3].note}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
