"""The door's clerk: many deliveries in one transaction, none lost to another, none told 200 before it is kept."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from bot import clock
from bot.ledger import alarms, inbox
from bot.ledger.tables import deliveries, doors, messages, updates
from bot.ledger.transaction import Ledger
from bot.vocabulary import UpdateState
from connectors.whatsapp.recorder import Overloaded, Recorder
from connectors.whatsapp.webhook import Numbers
from tests.bench.webhook import a_message, a_status
from tests.factories import NUMBER


def recorder(ledger: Ledger, *ours: str) -> Recorder:
    return Recorder(ledger, clock.now, Numbers(ours or (NUMBER,)), timedelta(minutes=30))


def record(ledger: Ledger, *bodies: bytes, ours: tuple[str, ...] = ()) -> list[object]:
    """Bring them all at once; return what each was told."""

    async def bring() -> list[object]:
        door = recorder(ledger, *ours)
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
    assert told == [None] * 100
    assert (count(ledger, deliveries), count(ledger, updates), count(ledger, messages)) == (100, 100, 50)
    assert commits <= 10


def test_the_same_message_three_times_at_once_is_one_message(ledger: Ledger) -> None:
    told = record(ledger, *[a_message(1)] * 3)
    assert told == [None] * 3
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
        assert record(ledger, a_message(1)) == [None]
    with ledger.writing() as tx:
        assert inbox.tally(tx).by_state[UpdateState.FAILED] == 1
        assert inbox.ask_to_read_again(tx) == 1
    asyncio.run(recorder(ledger).read_again())
    with ledger.reading() as tx:
        assert inbox.tally(tx).by_state[UpdateState.FAILED] == 0
        assert inbox.tally(tx).waiting == 1
        assert inbox.to_be_read_again(tx) == []


def test_who_writes_to_a_number_baton_was_not_told_of_is_not_lost(ledger: Ledger) -> None:
    assert record(ledger, a_message(1), a_status("wamid.X", "sent"), ours=("another",)) == [None, None]
    with ledger.writing() as tx:
        (alarm,) = alarms.raised(tx)
        assert NUMBER in alarm.words and "WHATSAPP_PHONE_NUMBER_ID" in alarm.words
        assert inbox.tally(tx).by_state[UpdateState.FAILED] == 1, "the message; nobody waits for the report"
        assert inbox.ask_to_read_again(tx) == 1
    asyncio.run(recorder(ledger, "another", NUMBER).read_again())
    with ledger.reading() as tx:
        assert inbox.tally(tx).by_state[UpdateState.FAILED] == 0
        assert inbox.tally(tx).waiting == 1


def open_seconds(ledger: Ledger) -> float:
    with ledger.reading() as tx:
        return float(tx.execute(sa.select(doors.c.open_s)).scalar() or 0.0)


def test_while_deliveries_are_refused_the_door_does_not_count_as_open(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message Meta accepted would be sent again, if its report was refused and silence counted."""
    moment = clock.now()
    door = Recorder(ledger, lambda: moment, Numbers((NUMBER,)), timedelta(minutes=30))

    async def pass_time(*bodies: bytes) -> None:
        nonlocal moment
        moment += timedelta(seconds=2)
        await asyncio.gather(*map(door.record, bodies), return_exceptions=True)
        await door.say_open()

    async def watch() -> list[float]:
        seen = []
        for away in (False, False, True, True, False, False):
            with monkeypatch.context() as cut:
                if away:
                    cut.setattr(inbox, "record_all", _away)
                await pass_time(a_message(len(seen)))
            seen.append(open_seconds(ledger))
        return seen

    assert asyncio.run(watch()) == [0.0, 2.0, 2.0, 2.0, 2.0 + inbox.OPEN_FOR_S, 4.0 + inbox.OPEN_FOR_S]


def _away(*_: object, **__: object) -> None:
    raise OperationalError("", {}, Exception("away"))


def test_nobody_waits_behind_a_database_that_is_away(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    def away(*_: object, **__: object) -> None:
        nonlocal tries
        tries += 1
        _away()

    monkeypatch.setattr(inbox, "record_all", away)
    told = record(ledger, *[a_message(n) for n in range(300)])
    assert all(isinstance(one, OperationalError) for one in told)
    assert tries == 1, "the first to fail speaks for all who came meanwhile"


def test_more_than_we_can_hold_is_refused_at_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.whatsapp.recorder.MOST_WAITING", 5)
    told = record(ledger, *[a_message(n) for n in range(20)])
    assert [isinstance(one, Overloaded) for one in told] == [False] * 5 + [True] * 15
    assert count(ledger, messages) == 5


def test_a_process_that_stopped_in_the_middle_does_not_stop_what_comes(database_url: str, ledger: Ledger) -> None:
    if ledger.is_sqlite:
        pytest.skip("on SQLite a stopped writer stops every writer: one machine, one file")
    stopped = Ledger(database_url)
    connection = stopped.engine.connect()
    transaction = connection.begin()
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(inbox.RECORDING_LOCK)))
    assert record(ledger, a_message(1)) == [None], "its transaction is ended before ours gives up"
    with contextlib.suppress(SQLAlchemyError):
        transaction.rollback()
    connection.invalidate()
    stopped.close()
