"""Write deliveries down, many in one transaction when many come at once; nobody is told 200 before it is kept.

A database can commit some hundreds of times a second, Meta may bring more. So while one transaction is on its way to
the disk the next deliveries gather, and share the following one.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from bot.clock import Clock
from bot.ledger import inbox
from bot.ledger.transaction import Ledger
from bot.updates import Update
from connectors.whatsapp import webhook

log = logging.getLogger(__name__)

TOGETHER = 64  # deliveries of one transaction
TOGETHER_BYTES = 4 * 2**20
MOST_WAITING, MOST_WAITING_BYTES = 2_000, 64 * 2**20  # more than that Meta may bring again later


class Overloaded(Exception):
    """More deliveries wait than we can hold."""


@dataclass(frozen=True)
class _Delivery:
    body: bytes
    kept: asyncio.Future[None]


class Recorder:
    """The door's clerk: one transaction at a time, as many deliveries in it as are there."""

    def __init__(self, ledger: Ledger, now: Clock, numbers: webhook.Numbers, phone_quiet: timedelta) -> None:
        self._ledger = ledger
        self._now = now
        self._numbers = numbers
        self._phone_quiet = phone_quiet
        self._arrived: list[_Delivery] = []
        self._refused = False  # something, since we last said that we are open
        self._at_work: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recorder")

    async def record(self, body: bytes) -> None:
        """Keep a delivery; what it says is in the ledger when this returns.

        Raises what the database does, and Overloaded.
        """
        if len(self._arrived) >= MOST_WAITING or sum(len(one.body) for one in self._arrived) > MOST_WAITING_BYTES:
            self._refused = True
            raise Overloaded
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrived.append(_Delivery(body, kept))
        if self._at_work is None:
            self._at_work = asyncio.create_task(self._write_all())
        await kept

    async def say_open(self) -> None:
        """Write down that the door is open, unless something was refused since the last time.

        In line with the deliveries: while they can't be written down, reports don't reach us, whoever knocks.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._say_open)

    async def read_again(self) -> None:
        """Read what somebody asked to read again."""
        await asyncio.to_thread(self._read_again)

    async def _write_all(self) -> None:
        try:
            while self._arrived:
                batch = self._next()
                try:
                    bodies = [delivery.body for delivery in batch]
                    await asyncio.get_running_loop().run_in_executor(self._thread, self._write, bodies)
                except Exception as problem:  # whoever brought these is told, and brings them again
                    self._refused = True
                    if isinstance(problem, SQLAlchemyError):  # it will be no better for those who wait behind them
                        batch, self._arrived = [*batch, *self._arrived], []
                    for delivery in batch:
                        if not delivery.kept.done():
                            delivery.kept.set_exception(problem)
                else:
                    for delivery in batch:
                        if not delivery.kept.done():
                            delivery.kept.set_result(None)
        finally:
            self._at_work = None

    def _next(self) -> list[_Delivery]:
        size = count = 0
        for delivery in self._arrived[:TOGETHER]:
            size += len(delivery.body)
            if count and size > TOGETHER_BYTES:
                break
            count += 1
        batch, self._arrived = self._arrived[:count], self._arrived[count:]
        return batch

    def _say_open(self) -> None:
        refused, self._refused = self._refused, False
        if not refused:
            with self._ledger.writing(lightly=True) as tx:
                inbox.keep_door_open(tx, self._now())

    def _write(self, bodies: list[bytes]) -> None:
        read = [(body, webhook.read(body, self._numbers)) for body in bodies]
        try:
            self._write_together(read, careful=False)
        except Exception as problem:
            if not inbox.is_the_updates_fault(problem):
                raise
            log.warning("writing again, one by one: %s", type(problem).__name__, extra={"action": "record_carefully"})
            self._write_together(read, careful=True)

    def _write_together(self, read: list[tuple[bytes, list[Update]]], *, careful: bool) -> None:
        now = self._now()
        with self._ledger.writing() as tx:
            inbox.record_all(tx, read, now, phone_quiet=self._phone_quiet, careful=careful)

    def _read_again(self) -> None:
        with self._ledger.reading() as tx:
            asked = inbox.to_be_read_again(tx)
        for delivery_id, body in asked:
            try:
                updates = webhook.read(body, self._numbers)
                with self._ledger.writing() as tx:
                    inbox.read_again(tx, delivery_id, updates, self._now(), phone_quiet=self._phone_quiet)
            except Exception:  # the next one must still be reached; this one is still asked for
                log.exception("a delivery could not be read again", extra={"action": "read_again_failed"})
