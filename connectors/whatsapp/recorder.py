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

from bot.clock import Clock
from bot.ledger import inbox
from bot.ledger.transaction import Ledger
from bot.updates import Update
from connectors.whatsapp import webhook

log = logging.getLogger(__name__)

TOGETHER = 64  # deliveries of one transaction
TOGETHER_BYTES = 4 * 2**20


@dataclass(frozen=True)
class _Delivery:
    body: bytes
    kept: asyncio.Future[set[int]]


class Recorder:
    """The door's clerk: one transaction at a time, as many deliveries in it as are there."""

    def __init__(self, ledger: Ledger, now: Clock, our_numbers: tuple[str, ...], phone_quiet: timedelta) -> None:
        self._ledger = ledger
        self._now = now
        self._our_numbers = our_numbers
        self._phone_quiet = phone_quiet
        self._arrived: list[_Delivery] = []
        self._at_work: asyncio.Task[None] | None = None
        # A thread of its own: in the common pool it would stand in line behind the turns.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recorder")

    async def record(self, body: bytes) -> set[int]:
        """Keep a delivery; return the conversations that now have something waiting. Raises what the database does."""
        kept: asyncio.Future[set[int]] = asyncio.get_running_loop().create_future()
        self._arrived.append(_Delivery(body, kept))
        if self._at_work is None:
            self._at_work = asyncio.create_task(self._write_all())
        return await kept

    @property
    def backlog(self) -> int:
        """How many deliveries wait for their transaction."""
        return len(self._arrived)

    async def read_again(self) -> set[int]:
        """Read what somebody asked to read again; return the conversations that now have something waiting."""
        return await asyncio.to_thread(self._read_again)

    async def _write_all(self) -> None:
        try:
            while self._arrived:
                batch = self._next()
                try:
                    bodies = [delivery.body for delivery in batch]
                    waiting = await asyncio.get_running_loop().run_in_executor(self._thread, self._write, bodies)
                except Exception as problem:  # whoever brought these is told, and brings them again
                    for delivery in batch:
                        if not delivery.kept.done():
                            delivery.kept.set_exception(problem)
                else:
                    for delivery, found in zip(batch, waiting, strict=True):
                        if not delivery.kept.done():
                            delivery.kept.set_result(found)
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

    def _write(self, bodies: list[bytes]) -> list[set[int]]:
        read = [(body, webhook.read(body, self._our_numbers)) for body in bodies]
        try:
            return self._write_together(read, careful=False)
        except inbox.UNWRITABLE as problem:
            log.warning("writing again, one by one: %s", type(problem).__name__, extra={"action": "record_carefully"})
            return self._write_together(read, careful=True)

    def _write_together(self, read: list[tuple[bytes, list[Update]]], *, careful: bool) -> list[set[int]]:
        now = self._now()
        with self._ledger.writing() as tx:
            return inbox.record_all(tx, read, now, phone_quiet=self._phone_quiet, careful=careful)

    def _read_again(self) -> set[int]:
        with self._ledger.reading() as tx:
            asked = inbox.to_be_read_again(tx)
        waiting: set[int] = set()
        for delivery_id, body in asked:
            updates = webhook.read(body, self._our_numbers)
            with self._ledger.writing() as tx:
                waiting |= inbox.read_again(tx, delivery_id, updates, self._now(), phone_quiet=self._phone_quiet)
        return waiting
