"""The door's clerk: many deliveries in one transaction, none lost to another, none told 200 before it is kept."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from bot import clock
from bot.ledger import inbox
from bot.ledger.tables import deliveries, messages, updates
from bot.ledger.transaction import Ledger
from bot.vocabulary import UpdateState
from connectors.whatsapp.recorder import Recorder
from tests.bench.webhook import a_message, a_status
from tests.factories import NUMBER


def recorder(ledger: Ledger) -> Recorder:
    return Recorder(ledger, clock.now, (NUMBER,), timedelta(minutes=30))


def record(ledger: Ledger, *bodies: bytes) -> list[object]:
    """Bring them all at once; return what each was told."""

    async def bring() -> list[object]:
        door = recorder(ledger)
        return list(await asyncio.gather(*map(door.record, bodies), return_exceptions=True))

    return asyncio.run(bring())


def count(ledger: Ledger, table: sa.Table) -> int:
    with ledger.reading() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_what_comes_at_once_is_kept_in_few_transactions_and_each_is_told_its_own(ledger: Ledger) -> None:
    commits = 0

    @sa.event.listens_for(ledger.engine, "commit")
    def counted(_connection: object) -> None:
        nonlocal commits
        commits += 1

    told = record(ledger, *[a_message(n) for n in range(50)], *[a_status(f"wamid.X{n}", "sent") for n in range(50)])
    assert sorted(len(one) for one in told) == [0] * 50 + [1] * 50  # type: ignore[arg-type]
    assert (count(ledger, deliveries), count(ledger, updates), count(ledger, messages)) == (100, 100, 50)
    assert commits <= 10


def test_the_same_message_three_times_at_once_is_one_message(ledger: Ledger) -> None:
    told = record(ledger, *[a_message(1)] * 3)
    assert sorted(len(one) for one in told) == [0, 0, 1]  # type: ignore[arg-type]
    assert count(ledger, messages) == 1


def test_one_that_no_database_takes_costs_its_neighbours_nothing(ledger: Ledger) -> None:
    long = a_message(1).replace(b"wamid.BENCHIN1", b"wamid." + b"w" * 500)  # fits Meta's bounds, not with the phone's
    odd = long.replace(b'"type": "text"', b'"type": "' + b"t" * 400 + b'"')
    told = record(ledger, a_message(2), odd, a_message(3), b"\x00garbage")
    assert not [one for one in told if isinstance(one, Exception)]
    assert count(ledger, deliveries) == 4
    with ledger.reading() as tx:
        kept = set(tx.execute(sa.select(messages.c.wamid)).scalars())
    assert {"wamid.BENCHIN2", "wamid.BENCHIN3"} <= kept


def test_when_the_database_is_away_everybody_is_told_and_nothing_is_half_kept(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("", {}, Exception("away"))

    with monkeypatch.context() as cut:
        cut.setattr(inbox.outbox, "hear_all", away)
        told = record(ledger, a_message(1), a_status("wamid.X", "sent"))
    assert all(isinstance(one, OperationalError) for one in told)
    assert count(ledger, deliveries) == 0
    assert not [one for one in record(ledger, a_message(1)) if isinstance(one, Exception)], "and it goes on after"


def test_what_failed_is_read_again_once_somebody_asks(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a fault of ours, mended in the next release")

    with monkeypatch.context() as fault:
        fault.setattr(inbox.contacts, "find_or_make", broken)
        assert record(ledger, a_message(1)) == [set()]
    with ledger.writing() as tx:
        assert inbox.tally(tx).by_state[UpdateState.FAILED] == 1
        assert inbox.ask_to_read_again(tx) == 1
    assert len(asyncio.run(recorder(ledger).read_again())) == 1
    with ledger.reading() as tx:
        assert inbox.tally(tx).by_state[UpdateState.FAILED] == 0
        assert inbox.tally(tx).waiting == 1
        assert inbox.to_be_read_again(tx) == []
