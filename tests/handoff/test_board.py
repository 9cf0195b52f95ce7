"""Many desks that look at once cost little more than one, and none is shown anything old."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from flask import Flask

from bot.ledger.transaction import Ledger
from bot.vocabulary import Change, Holder, Role
from handoff import guard
from handoff.board import Boards, Shared
from handoff.feed import LISTS_PER_S, LISTS_SHARE, Feed
from handoff.gate import Gate
from handoff.interest import Interest, News
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.conftest import signed_in
from tests.parts import eventually


def at_once(*calls: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    return threads


def test_who_asks_while_a_reading_is_on_its_way_gets_the_next_one_and_shares_it() -> None:
    may_end, begun, found = threading.Event(), [], []

    def find_out() -> int:
        begun.append(len(begun) + 1)
        mine = begun[-1]
        may_end.wait(10)
        return mine

    shared = Shared(find_out)
    first = at_once(lambda: found.append(("first", shared.get())))
    assert eventually(lambda: begun == [1], 5, 0.01)
    others = at_once(*[lambda: found.append(("later", shared.get()))] * 20)
    assert eventually(lambda: len(shared._news._waiters) == 20, 5, 0.01)  # type: ignore[attr-defined]
    assert begun == [1], "one reading at a time"
    may_end.set()
    for thread in first + others:
        thread.join(10)
    assert sorted(set(found)) == [("first", 1), ("later", 2)], "nobody is shown what was read before they asked"
    assert (len(found), begun) == (21, [1, 2])


def test_when_a_reading_fails_only_who_did_it_hears_of_that() -> None:
    tries, may_end = [], threading.Event()

    def find_out() -> str:
        tries.append(1)
        may_end.wait(10)
        if len(tries) < 3:
            raise OSError("the database is gone")
        return "all is well"

    shared, found, failed = Shared(find_out), [], []

    def ask() -> None:
        try:
            found.append(shared.get())
        except OSError as problem:
            failed.append(problem)

    threads = at_once(*[ask] * 8)
    assert eventually(lambda: len(tries) == 1, 5, 0.01)
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert (len(failed), found) == (2, ["all is well"] * 6)


def test_a_lone_desk_sees_at_once_what_was_just_changed(ledger: Ledger) -> None:
    boards = Boards(ledger, lambda: NOW, lambda: 0)
    assert boards.get().waiting == ()
    for n in range(1, 4):
        seeding.a_conversation(ledger, NOW, phone=str(n))
        assert sum(boards.get().count.values()) == n


def test_of_many_tabs_the_staff_is_read_once_a_second() -> None:
    readings: list[int] = []
    shared = Shared(lambda: readings.append(1) or len(readings))
    assert [shared.get(patience_s=1.0) for _ in range(5)] == [1] * 5
    assert shared.get() == 2, "who has no patience never sees it old"


def test_more_may_open_a_conversation_at_once_than_there_are_connections(app: Flask, ledger: Ledger) -> None:
    _, password = seeding.an_account_with_password(ledger, "ann@fernhill.example", Role.AGENT, "Ann Lee")
    cookie = signed_in(app, "ann@fernhill.example", password).get_cookie(guard.COOKIE)
    assert cookie is not None
    key, answers = seeding.a_handoff(ledger, NOW).key, []

    def open_() -> None:
        client = app.test_client()
        client.set_cookie(guard.COOKIE, cookie.value)
        answers.append(client.get(f"/conversations/{key}", headers={"HX-Request": "true"}).status_code)

    for thread in at_once(*[open_] * 60):
        thread.join(30)
    assert answers == [200] * 60


def test_who_is_urgent_goes_first_and_nobody_waits_for_ever() -> None:
    gate, order, release = Gate(width=1), [], threading.Event()

    def pass_(name: str, *, urgent: bool) -> None:
        with gate.passed(urgent=urgent):
            order.append(name)
            release.wait(10)

    threads = at_once(lambda: pass_("in", urgent=True))
    assert eventually(lambda: order == ["in"], 5, 0.01)
    for n in range(2):
        threads += at_once(lambda n=n: pass_(f"list {n}", urgent=False))
        assert eventually(lambda n=n: len(gate._others) == n + 1, 5, 0.01)
    for n in range(9):
        threads += at_once(lambda n=n: pass_(f"said {n}", urgent=True))
        assert eventually(lambda n=n: len(gate._urgent) == n + 1, 5, 0.01)
    release.set()
    for thread in threads:
        thread.join(10)
    said = [f"said {n}" for n in range(9)]
    assert order == ["in", *said[:3], "list 0", *said[3:7], "list 1", *said[7:]]


def test_a_gate_is_open_again_after_an_error() -> None:
    gate = Gate(width=1, others=1)
    for urgent in (True, False, False, True):
        with pytest.raises(ZeroDivisionError), gate.passed(urgent=urgent):
            raise ZeroDivisionError
    with gate.passed(urgent=False):
        pass


def test_many_tabs_are_told_of_their_lists_one_after_the_other(ledger: Ledger) -> None:
    """Or all of them would ask at once, and what is said would wait behind that."""
    tail = Feed(ledger)
    boxes = [tail.subscribe(Interest(n, "queue", frozenset({"mine"}))) for n in range(50)]
    for box in boxes:
        box.hear(1, [News("somebody", Change.MOVE, Holder.QUEUE, None), News("mine", Change.MESSAGE, Holder.BOT, None)])
    told = [signals for box in boxes if (signals := box.take(0)) is not None]
    assert len(told) == 50, "of what is said everybody hears at once"
    assert 1 <= sum(bool(signals.lists) for signals in told) < 25
    signals = boxes[-1].take(10)
    assert signals is not None and signals.lists, "and of the lists in the end"


def test_where_a_list_takes_long_fewer_tabs_are_told_at_once(ledger: Ledger) -> None:
    feed = Feed(ledger)
    fast = [feed._turn() for _ in range(5)]
    assert fast[4] - fast[0] == pytest.approx(4 / LISTS_PER_S, abs=0.01)
    for _ in range(100):
        feed.list_took(0.1)
    slow = [feed._turn() for _ in range(5)]
    assert slow[4] - slow[0] == pytest.approx(4 * 0.1 / LISTS_SHARE, rel=0.05), "a fifth of a processor, whatever it is"
