"""One conversation, one turn at a time; bot or desk. Knows nothing of Rasa: the bot is a function it is given."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bot import messages as says
from bot.clock import Clock
from bot.errors import LeaseLost
from bot.ledger import turns
from bot.ledger.transaction import Ledger
from bot.ledger.turns import Manners, Turn, Understood

log = logging.getLogger(__name__)

AT_ONCE = 3  # turns inside Rasa's one event loop: one thinks at a time, the others wait for their actions
LONGEST_S = 45.0  # a turn; what hangs for longer has failed, and the others want their place
RENEW_S = 5.0
RETRY_S, RETRY_MAX_S = 1.0, 60.0
LOOK_S = 0.1  # how often what waits is looked for, while there is room for a turn


@dataclass(frozen=True)
class Answer:
    """What the bot made of a turn."""

    said: list[says.Outbound] = field(default_factory=list)
    understood: Understood | None = None
    may_be_silent: bool = False
    quotes: bool = False  # the first message quotes what the contact said


RunBot = Callable[[Turn], Awaitable[Answer]]


@dataclass(frozen=True)
class _Rest:
    until: float  # by the loop's clock
    pause_s: float


class Turns:
    """Gives every waiting message its turn, in order, surviving the death of any process.

    What waits is found in the ledger, whoever wrote it down and whoever left it behind; nobody has to call.
    """

    def __init__(self, ledger: Ledger, manners: Manners, now: Clock, run_bot: RunBot) -> None:
        self._ledger = ledger
        self._manners = manners
        self._now = now
        self._run_bot = run_bot
        self._owner = secrets.token_hex(8)
        self._line: deque[int] = deque()  # conversations that want an answer, as of the last look
        self._at_work: dict[int, asyncio.Task[None]] = {}
        self._resting: dict[int, _Rest] = {}  # something failed in them
        self._something_ended = asyncio.Event()
        self._stopping = False

    async def work(self) -> None:
        """See to whatever waits, the longest waiting first, until told to stop."""
        while not self._stopping:
            self._something_ended.clear()
            try:
                await self._fill()
            except Exception:  # the database may be away for a while
                log.exception("looking for waiting turns failed", extra={"action": "look_failed"})
            try:
                await asyncio.wait_for(self._something_ended.wait(), LOOK_S)
            except asyncio.TimeoutError:
                continue

    async def settle(self) -> None:
        """See to whatever wants an answer by now, and to nothing after that."""
        while await self._fill() or self._at_work:
            await asyncio.wait(list(self._at_work.values()))

    async def stop(self, timeout_s: float) -> None:
        """Let the turns at work finish; what is left is found by the next process."""
        self._stopping = True
        self._something_ended.set()
        if self._at_work:
            await asyncio.wait(list(self._at_work.values()), timeout=timeout_s)

    async def _fill(self) -> bool:
        """Begin as many turns as there is room for; say whether any was begun."""
        if len(self._at_work) < AT_ONCE and not self._line:
            self._line.extend(await asyncio.to_thread(self._look, self._left_alone()))
        began = False
        while self._line and len(self._at_work) < AT_ONCE and not self._stopping:
            conversation_id = self._line.popleft()
            if conversation_id not in self._at_work:
                self._at_work[conversation_id] = asyncio.create_task(self._see_to(conversation_id))
                began = True
        return began

    async def _see_to(self, conversation_id: int) -> None:
        try:
            turn = await asyncio.to_thread(self._begin, conversation_id)
            self._resting.pop(conversation_id, None)
            if isinstance(turn, Turn) and not await self._run(turn):
                self._rest(conversation_id)
                await asyncio.to_thread(self._release, conversation_id)
        except Exception:  # the row keeps; a later look finds it
            self._rest(conversation_id)
            log.exception("a conversation could not be seen to", extra={"action": "turns_failed"})
        finally:
            del self._at_work[conversation_id]
            self._something_ended.set()

    def _rest(self, conversation_id: int) -> None:
        """Leave a conversation alone for a while, each time for longer: the others must not wait for it."""
        before = self._resting.get(conversation_id)
        pause_s = RETRY_S if before is None else min(before.pause_s * 2, RETRY_MAX_S)
        self._resting[conversation_id] = _Rest(asyncio.get_running_loop().time() + pause_s, pause_s)

    def _left_alone(self) -> list[int]:
        now = asyncio.get_running_loop().time()
        return [*self._at_work, *(one for one, rest in self._resting.items() if rest.until > now)]

    async def _run(self, turn: Turn) -> bool:
        """Run one turn; say whether it is over, one way or the other."""
        keeper = asyncio.create_task(self._keep(turn))
        try:
            answer = await asyncio.wait_for(self._run_bot(turn), LONGEST_S)
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

    def _look(self, but: list[int]) -> list[int]:
        with self._ledger.reading() as tx:
            return turns.due(tx, self._manners.quiet, self._now(), but=but)

    def _begin(self, conversation_id: int) -> Turn | turns.NotYet | None:
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
