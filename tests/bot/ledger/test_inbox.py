"""What comes in is written down once and gets its turn, whoever dies in between."""

from __future__ import annotations

import sqlite3
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as NoConnection

from bot.errors import LeaseLost
from bot.ledger import inbox, transcript, turns
from bot.ledger.transaction import Ledger, Transaction
from bot.messages import Other
from bot.updates import ContactRef, Received, Unsupported
from bot.vocabulary import Holder, Reason, Status, TurnState, UpdateState
from tests.factories import (
    EXCUSE,
    MANNERS,
    MIA,
    NOW,
    PASSING_ON,
    SAM,
    a_report,
    a_text,
    a_turn,
    begun,
    ended,
    heard,
    later,
)

AFTER_THE_LEASE = later(turns.LEASE.total_seconds() + 1)


def words_of(ledger: Ledger, conversation_id: int) -> list[str]:
    with ledger.reading() as tx:
        return [message.text for message in transcript.messages_of(tx, conversation_id)]


def test_one_delivery_with_messages_of_two_contacts_and_a_status_is_handled_whole(ledger: Ledger) -> None:
    waiting = heard(ledger, a_report("wamid.unknown", Status.READ), a_text("hi"), a_text("hello", contact=SAM))
    assert len(waiting) == 2


def test_the_same_message_sent_again_is_one_message(ledger: Ledger) -> None:
    text = a_text("hi", wamid="wamid.same")
    (conversation_id,) = heard(ledger, text)
    assert heard(ledger, text) == set()
    assert heard(ledger, text, text) == set()
    assert words_of(ledger, conversation_id) == ["hi"]


def test_the_same_delivery_ten_times_at_once_is_one_message(ledger: Ledger) -> None:
    text = a_text("hi", wamid="wamid.same")
    with ThreadPoolExecutor(10) as pool:
        waiting = list(pool.map(lambda _: heard(ledger, text), range(10)))
    assert sorted(len(found) for found in waiting) == [0] * 9 + [1]


def test_deliveries_naming_the_same_contacts_in_other_orders_do_not_block_each_other(ledger: Ledger) -> None:
    refs = [ContactRef(f"44770090{n:04d}", None, f"Contact {n}") for n in range(6)]

    def deliver(shift: int) -> None:
        heard(ledger, *[a_text("hi", contact=ref) for ref in refs[shift:] + refs[:shift]])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(deliver, range(6)))
    with ledger.reading() as tx:
        assert len(transcript.list_of(tx)) == 6


def test_a_contact_who_hides_their_number_later_stays_the_same_contact(ledger: Ledger) -> None:
    first = heard(ledger, a_text("hi", contact=MIA))
    second = heard(ledger, a_text("me again", contact=ContactRef(None, MIA.bsuid, "Mia")))
    assert first == second


def test_what_can_not_be_read_is_kept_and_raises_an_alarm(ledger: Ledger) -> None:
    with ledger.writing() as tx:
        inbox.record(tx, b"garbage", [Unsupported("unreadable", "not JSON", unreadable=True)], NOW)
    with ledger.reading() as tx:
        assert inbox.alarms.raised(tx)[0].name == "unreadable_delivery"


def test_turns_of_a_conversation_come_one_after_the_other(ledger: Ledger) -> None:
    (conversation_id,) = heard(ledger, a_text("one"))
    first = begun(ledger, conversation_id, owner="a")
    assert first is not None and first.words == "one"
    heard(ledger, a_text("two"))
    assert begun(ledger, conversation_id, owner="b") is None, "another process must wait"
    ended(ledger, first, "answer to one")
    second = begun(ledger, conversation_id, owner="a")
    assert second is not None and second.words == "two"


def test_a_turn_whose_process_died_is_done_again_by_another(ledger: Ledger) -> None:
    turn = a_turn(ledger, "where is my order?")
    again = begun(ledger, turn.conversation_id, owner="b", now=AFTER_THE_LEASE)
    assert again is not None
    assert (again.id, again.attempt) == (turn.id, 2)
    with pytest.raises(LeaseLost):
        ended(ledger, turn, "the first process came back from the dead", owner="a")
    ended(ledger, again, "here it is", owner="b")
    assert words_of(ledger, turn.conversation_id) == ["where is my order?", "here it is"]


def test_a_turn_that_died_twice_goes_to_a_person_and_the_contact_is_told(ledger: Ledger) -> None:
    turn = a_turn(ledger, "where is my order?")
    begun(ledger, turn.conversation_id, owner="b", now=AFTER_THE_LEASE)
    assert begun(ledger, turn.conversation_id, owner="c", now=AFTER_THE_LEASE + turns.LEASE + timedelta(1)) is None
    with ledger.reading() as tx:
        conversation = transcript.conversation(tx, turn.key)
    assert (conversation.holder, conversation.reason) == (Holder.QUEUE, Reason.LOST)
    assert conversation.wish == "where is my order?"
    assert words_of(ledger, turn.conversation_id)[-1] == PASSING_ON.text


def test_what_waits_is_found_after_a_crash_and_not_while_somebody_is_at_work(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    with ledger.reading() as tx:
        assert turns.due(tx, MANNERS.quiet, NOW) == []
        assert turns.due(tx, MANNERS.quiet, AFTER_THE_LEASE) == [turn.conversation_id]


def test_a_silent_turn_is_excused_once_and_then_a_persons_matter(ledger: Ledger) -> None:
    turn = a_turn(ledger, "first")
    assert ended(ledger, turn) is TurnState.SILENT
    heard(ledger, a_text("second"))
    again = begun(ledger, turn.conversation_id)
    assert again is not None
    assert ended(ledger, again) is TurnState.SILENT
    assert words_of(ledger, turn.conversation_id) == ["first", EXCUSE.text, "second", PASSING_ON.text]
    with ledger.reading() as tx:
        assert transcript.conversation(tx, turn.key).reason is Reason.SILENT


def test_a_wanted_silence_is_no_failure(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    assert ended(ledger, turn, silent=True) is TurnState.ANSWERED
    assert words_of(ledger, turn.conversation_id) == ["hello"]


def test_one_update_no_database_takes_costs_its_neighbours_nothing(ledger: Ledger) -> None:
    odd = a_text("x", contact=ContactRef("4" * 32, "B" * 500, "odd"), wamid="wamid." + "w" * 600)
    odd = replace(odd, content=Other("x" * 400, "nul\x00"))
    conversation_id = max(heard(ledger, odd, a_text("hello")))
    if not ledger.is_sqlite:  # SQLite takes anything
        with ledger.reading() as tx:
            assert [alarm.name for alarm in inbox.alarms.raised(tx)] == ["unreadable_delivery"]
    assert words_of(ledger, conversation_id)[-1] == "hello"


@pytest.mark.parametrize("problem", [KeyError("x"), AssertionError("x"), StatementError("x", None, None, None)])
def test_whatever_one_update_raises_its_neighbours_are_kept(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    expect = inbox.files.expect

    def raises(tx: Transaction, message_id: int, update: Received, now: datetime) -> None:
        if update.content.text == "odd":
            raise problem
        expect(tx, message_id, update, now)

    monkeypatch.setattr(inbox.files, "expect", raises)
    assert inbox.is_the_updates_fault(problem)
    (conversation_id,) = heard(ledger, a_text("odd"), a_text("hello"))
    assert words_of(ledger, conversation_id) == ["hello"]
    with ledger.reading() as tx:
        assert [line.state for line in inbox.lines(tx)] == [UpdateState.HANDLED, UpdateState.FAILED]


@pytest.mark.parametrize(
    "problem",
    [
        OperationalError("x", None, Exception()),
        InterfaceError("x", None, Exception()),
        DatabaseError("x", None, Exception(), connection_invalidated=True),
        NoConnection(),
        ConnectionResetError(),
    ],
)
def test_when_the_database_is_away_nothing_is_said_to_be_kept(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def is_away(*_: object) -> None:
        raise problem

    monkeypatch.setattr(inbox.files, "expect", is_away)
    assert not inbox.is_the_updates_fault(problem)
    with pytest.raises(type(problem)):
        heard(ledger, a_text("hello"))
    with ledger.reading() as tx:
        assert inbox.lines(tx) == []


def test_what_can_not_even_be_looked_up_costs_its_neighbours_nothing(ledger: Ledger) -> None:
    conversation_id = max(heard(ledger, a_text("odd", wamid="wamid.nul\x00"), a_text("hello")))
    assert words_of(ledger, conversation_id)[-1] == "hello"


def test_a_value_sqlite_does_not_know_is_the_updates_fault() -> None:
    assert inbox.is_the_updates_fault(InterfaceError("x", None, sqlite3.InterfaceError("unsupported type")))


def test_old_deliveries_are_forgotten_and_those_that_failed_are_kept(ledger: Ledger) -> None:
    for day in range(6):
        updates = [Unsupported("odd", unreadable=True)] if day == 1 else [a_text(f"day {day}")]
        heard(ledger, *updates, now=later(day * 86400))
    with ledger.writing() as tx:
        assert [inbox.prune(tx, later(3.5 * 86400), limit=2) for _ in range(3)] == [2, 1, 0]
    with ledger.reading() as tx:
        kept = [line.received_at for line in reversed(inbox.lines(tx))]
    assert kept == [later(day * 86400) for day in (1, 4, 5)]


def test_what_somebody_asked_to_read_again_is_read_again_in_its_order(ledger: Ledger) -> None:
    for _ in range(3):
        heard(ledger, Unsupported("odd", unreadable=True))
    with ledger.writing() as tx:
        assert inbox.to_be_read_again(tx) == []
        assert inbox.ask_to_read_again(tx) == 3
        asked = [delivery_id for delivery_id, _ in inbox.to_be_read_again(tx)]
        assert asked == sorted(asked) and len(asked) == 3
        (conversation_id,) = inbox.read_again(tx, asked[0], [a_text("now it can be read")], NOW)
        assert [delivery_id for delivery_id, _ in inbox.to_be_read_again(tx)] == asked[1:]
    assert words_of(ledger, conversation_id) == ["now it can be read"]


def test_an_error_of_the_database_does_not_quote_what_was_said(ledger: Ledger) -> None:
    secret = "blauregen"
    with pytest.raises(SQLAlchemyError) as caught, ledger.writing() as tx:
        tx.execute(
            sa.text("INSERT INTO messages (text, wamid) VALUES (:text, :wamid)"), {"text": secret, "wamid": secret}
        )
    whole = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert secret not in whole.replace(f'secret = "{secret}"', "")
