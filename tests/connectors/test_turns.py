"""Whose turn it is: nobody waits for somebody else's trouble."""

from __future__ import annotations

import asyncio

import pytest

from bot import clock
from bot.ledger import turns as ledger_turns
from bot.ledger.transaction import Ledger
from bot.ledger.turns import Turn
from bot.messages import Text
from bot.updates import ContactRef
from connectors.whatsapp import turns
from connectors.whatsapp.turns import Answer, Turns
from tests.factories import MANNERS, a_text, heard, later


def a_contact(n: int) -> ContactRef:
    return ContactRef(phone=f"4477009{n:05d}", bsuid=None)


def wrote(ledger: Ledger, *who: int) -> list[int]:
    """These contacts write, in this order; return their conversations."""
    return [min(heard(ledger, a_text(f"hello {n}", contact=a_contact(n)), now=clock.now())) for n in who]


async def until(what: asyncio.Event, running: Turns, within_s: float = 10) -> bool:
    """Let the turns work until this happens; say whether it did."""
    working = asyncio.create_task(running.work())
    try:
        await asyncio.wait_for(what.wait(), within_s)
        return True
    except asyncio.TimeoutError:
        return False
    finally:
        await running.stop(1)
        await working


def test_turns_that_hang_cost_the_others_nothing_and_end_with_a_person(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LONGEST_S", 0.3)
    monkeypatch.setattr(turns, "AT_ONCE", 2)
    monkeypatch.setattr(turns, "RETRY_S", 0.1)
    wrote(ledger, 1, 2, 3)
    answered = asyncio.Event()

    async def bot(turn: Turn) -> Answer:
        if turn.words != "hello 3":
            await asyncio.sleep(60)
        answered.set()
        return Answer([Text("hello")])

    assert asyncio.run(until(answered, Turns(ledger, MANNERS, clock.now, bot)))
    passed_on = asyncio.run(until(asyncio.Event(), Turns(ledger, MANNERS, clock.now, bot), within_s=3))
    assert not passed_on
    with ledger.reading() as tx:
        held = [row.holder.value for row in tx.execute(ledger_turns.conversations.select()).all()]
    assert sorted(held) == ["bot", "queue", "queue"], "twice too long, and a person has it"


def test_conversations_that_cant_be_seen_to_dont_hold_up_those_behind_them(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = set(wrote(ledger, *range(1, 41)))  # more than one look finds
    (sound,) = wrote(ledger, 99)
    begin, tries, answered = ledger_turns.begin_turn, list[int](), asyncio.Event()

    def begin_turn(tx: object, conversation_id: int, **more: object) -> object:
        tries.append(conversation_id)
        if conversation_id in broken:
            raise ValueError("a row nobody can read")
        return begin(tx, conversation_id, **more)  # type: ignore[arg-type]

    async def bot(turn: Turn) -> Answer:
        assert turn.conversation_id == sound
        answered.set()
        return Answer([Text("hello")])

    monkeypatch.setattr(ledger_turns, "begin_turn", begin_turn)
    assert asyncio.run(until(answered, Turns(ledger, MANNERS, clock.now, bot)))
    assert len(tries) < 3 * len(broken), "and they are not tried without a pause"


def test_a_clock_that_was_set_back_stops_nobodys_answer(ledger: Ledger) -> None:
    (before,) = heard(ledger, a_text("hello"), now=later(3600))
    with ledger.reading() as tx:
        assert ledger_turns.due(tx, MANNERS.quiet, later(0)) == [before]
    with ledger.writing() as tx:  # and whoever was at work on it, by the old clock, is not for ever
        tx.execute(ledger_turns.conversations.update().values(lease_owner="gone", lease_until=later(3600)))
        assert ledger_turns.due(tx, MANNERS.quiet, later(0)) == [before]
        assert isinstance(ledger_turns.begin_turn(tx, before, owner="b", manners=MANNERS, now=later(0)), Turn)
