"""One conversation, one turn at a time; bot or desk. Knows nothing of Rasa: the bot is a function it is given."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from bot import messages as says
from bot.clock import Clock
from bot.errors import LeaseLost
from bot.ledger import inbox, turns
from bot.ledger.transaction import Ledger
from bot.ledger.turns import Manners, NotYet, Turn, Understood

log = logging.getLogger(__name__)

AT_ONCE = 2  # turns inside Rasa's one event loop; more would only make the webhook wait
RENEW_S = 5.0
RETRY_S = 1.0
GIVE_WAY_S, GIVE_WAY_MAX_S = 0.02, 2.0  # to the door: Meta wants its 200 within a quarter of a second
SWEEP_S = 2.0  # how often what was left behind by a dead process is looked for


@dataclass(frozen=True)
class Answer:
    """What the bot made of a turn."""

    said: list[says.Outbound] = field(default_factory=list)
    understood: Understood | None = None
    may_be_silent: bool = False
    quotes: bool = False  # the first message quotes what the contact said


RunBot = Callable[[Turn], Awaitable[Answer]]


class Turns:
    """Gives every waiting message its turn, in order, surviving the death of any process."""

    def __init__(
        self, ledger: Ledger, manners: Manners, now: Clock, door_is_busy: Callable[[], bool] = lambda: False
    ) -> None:
        self._ledger = ledger
        self._door_is_busy = door_is_busy
        self._manners = manners
        self._now = now
        self._owner = secrets.token_hex(8)
        self._at_work: dict[int, asyncio.Task[None]] = {}
        self._woken: set[int] = set()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._stopping = False

    def wake(self, conversation_id: int, run_bot: RunBot) -> None:
        """See to a conversation soon, in the background; the caller does not wait."""
        if self._stopping:
            return  # it is written down; the next process finds it
        if conversation_id in self._at_work:
            self._woken.add(conversation_id)
            return
        task = asyncio.create_task(self._see_to(conversation_id, run_bot))
        self._at_work[conversation_id] = task

    async def sweep(self, run_bot: RunBot) -> None:
        """Find what waits though nobody is at work on it, again and again: after a crash, a cut, a lost wake-up."""
        while not self._stopping:
            try:
                for conversation_id in await asyncio.to_thread(self._waiting):
                    if conversation_id not in self._at_work:
                        self.wake(conversation_id, run_bot)
            except Exception:  # the database may be away for a while; the sweep must not be
                log.exception("looking for waiting turns failed", extra={"action": "sweep_failed"})
            await asyncio.sleep(SWEEP_S)

    async def stop(self, timeout_s: float) -> None:
        """Let the turns at work finish; what is left is found by the next process."""
        self._stopping = True
        if self._at_work:
            await asyncio.wait(list(self._at_work.values()), timeout=timeout_s)

    async def _see_to(self, conversation_id: int, run_bot: RunBot) -> None:
        try:
            while True:
                self._woken.discard(conversation_id)
                if not await self._until_they_pause(conversation_id):
                    if conversation_id in self._woken:
                        continue
                    return
                failed = False
                async with self._room:
                    await self._give_way()
                    turn = await asyncio.to_thread(self._begin, conversation_id)
                    if isinstance(turn, Turn):
                        failed = not await self._run(turn, run_bot)
                if turn is None and conversation_id not in self._woken:
                    return
                if self._stopping:
                    await asyncio.to_thread(self._release, conversation_id)
                    return
                if failed:
                    await asyncio.sleep(RETRY_S)
        except Exception:  # the row keeps; the sweep comes back to it
            log.exception("a conversation could not be seen to", extra={"action": "turns_failed"})
        finally:
            del self._at_work[conversation_id]

    async def _until_they_pause(self, conversation_id: int) -> bool:
        """Wait while the contact is writing on: people send one thought in three messages. False: nothing waits."""
        while True:
            due = await asyncio.to_thread(self._due, conversation_id)
            if due is None:
                return False
            wait_s = (due - self._now()).total_seconds()
            if wait_s <= 0 or self._stopping:
                return True
            await asyncio.sleep(wait_s)

    async def _give_way(self) -> None:
        """Let deliveries be written down first while they come faster than that: an answer may be a little later."""
        deadline = asyncio.get_running_loop().time() + GIVE_WAY_MAX_S
        while self._door_is_busy() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(GIVE_WAY_S)

    async def _run(self, turn: Turn, run_bot: RunBot) -> bool:
        """Run one turn; say whether it is over, one way or the other."""
        keeper = asyncio.create_task(self._keep(turn))
        try:
            answer = await run_bot(turn)
            await asyncio.to_thread(self._end, turn, answer)
        except LeaseLost:
            log.warning(
                "another process took a turn over; this one's words are dropped",
                extra={"action": "lease_lost", "conversation": turn.key},
            )
        except Exception:  # Rasa raises what it likes; the contact must not pay: once more, then a person
            log.exception("a turn failed", extra={"action": "turn_failed", "conversation": turn.key})
            return False
        finally:
            keeper.cancel()
        return True

    async def _keep(self, turn: Turn) -> None:
        """Renew the lease while the bot thinks."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await asyncio.to_thread(self._renew, turn)
            except Exception:  # a missed renewal is not the end; a lost lease is noticed when the turn ends
                log.warning("a lease could not be renewed", extra={"action": "renew_failed"})

    def _waiting(self) -> list[int]:
        with self._ledger.writing(lightly=True) as tx:
            inbox.keep_door_open(tx, self._now())
        with self._ledger.reading() as tx:
            return turns.waiting_conversations(tx, self._now())

    def _due(self, conversation_id: int) -> datetime | None:
        with self._ledger.reading() as tx:
            return turns.answer_due(tx, conversation_id, self._manners.quiet, self._now())

    def _begin(self, conversation_id: int) -> Turn | NotYet | None:
        with self._ledger.writing(lightly=True) as tx:
            return turns.begin_turn(
                tx, conversation_id, owner=self._owner, manners=self._manners, now=self._now()
            )  # fmt: skip

    def _end(self, turn: Turn, answer: Answer) -> None:
        with self._ledger.writing() as tx:
            turns.end_turn(
                tx,
                turn,
                owner=self._owner,
                said=answer.said,
                understood=answer.understood,
                may_be_silent=answer.may_be_silent,
                quotes=answer.quotes,
                manners=self._manners,
                now=self._now(),
            )

    def _renew(self, turn: Turn) -> None:
        with self._ledger.writing(lightly=True) as tx:
            turns.renew(tx, turn.conversation_id, self._owner, self._now())

    def _release(self, conversation_id: int) -> None:
        with self._ledger.writing(lightly=True) as tx:
            turns.release(tx, conversation_id, self._owner)
