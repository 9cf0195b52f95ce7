"""What a contact may be told of when a person comes, and who comes first."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import hours, promises
from bot.hours import Hours
from bot.promises import AT_LEAST, Telling, Waited, Waiting, promise
from bot.vocabulary import Reason

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)  # a Monday
WITHIN = timedelta(minutes=15)
SHOP = hours.read("UTC", "Mon-Fri 9:00-17:00")
TEN_MINUTES_EACH = [Waited(place, timedelta(minutes=10) * place) for place in (1, 2, 3, 1, 2, 3)]


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def test_with_nothing_to_go_by_the_place_is_told_and_the_standard_promised() -> None:
    first, third = promise(NOON, SHOP, 1, [], WITHIN), promise(NOON, SHOP, 3, [], WITHIN)
    assert (first.telling, first.due_at) == (Telling.NEXT, NOON + WITHIN)
    assert (third.telling, third.place, third.wait) == (Telling.PLACE, 3, None)


def test_how_long_it_takes_is_learned_from_those_before_and_grows_with_the_place() -> None:
    first, third = (promise(NOON, SHOP, place, TEN_MINUTES_EACH, WITHIN) for place in (1, 3))
    assert (first.telling, first.wait) == (Telling.NEXT_WAIT, minutes(10))
    assert (third.telling, third.wait) == (Telling.WAIT, minutes(30))
    assert third.due_at == NOON + minutes(30), "more than the standard is promised if it takes longer"
    assert third.words(NOON, SHOP)["wait"] == "about 30 minutes"


def test_four_waits_tell_nothing_yet() -> None:
    assert promise(NOON, SHOP, 1, TEN_MINUTES_EACH[:4], WITHIN).telling is Telling.NEXT


def test_at_midnight_the_morning_is_named_and_due_in_opening_time() -> None:
    midnight = NOON + timedelta(hours=12)
    made = promise(midnight, SHOP, 2, TEN_MINUTES_EACH, WITHIN)
    assert (made.telling, made.opens_at) == (Telling.CLOSED, datetime(2026, 11, 24, 9, tzinfo=timezone.utc))
    assert made.due_at == datetime(2026, 11, 24, 9, 20, tzinfo=timezone.utc)
    assert made.words(midnight, SHOP)["opens"] == "today at 9:00"
    assert made.words(NOON, SHOP)["opens"] == "tomorrow at 9:00"


def test_shortly_before_closing_both_is_said() -> None:
    late = datetime(2026, 11, 27, 16, 50, tzinfo=timezone.utc)  # a Friday
    made = promise(late, SHOP, 1, [], WITHIN)
    assert made.telling is Telling.CLOSING
    assert made.due_at == datetime(2026, 11, 30, 9, 5, tzinfo=timezone.utc), "ten minutes on Friday, five on Monday"
    words = made.words(late, SHOP)
    assert (words["closes"], words["opens"]) == ("17:00", "on Monday at 9:00")


def test_even_where_nobody_ever_comes_there_is_a_due_time() -> None:
    made = promise(NOON, Hours(week=((),) * 7), 1, [], WITHIN)
    assert (made.telling, made.due_at) == (Telling.AWAY, NOON + WITHIN)


@pytest.mark.parametrize(
    ("wait", "said"),
    [(0, "a minute or two"), (2, "a minute or two"), (3, "about 5 minutes"), (31, "about 35 minutes"),
     (55, "about 55 minutes"), (56, "about an hour"), (61, "about 2 hours"), (600, "about 10 hours")],
)  # fmt: skip
def test_a_wait_is_never_called_shorter_than_it_is(wait: float, said: str) -> None:
    assert promises.span(minutes(wait)) == said


def test_days_are_named_as_people_name_them() -> None:
    def said(days: int) -> str:
        return promises.moment(NOON + timedelta(days=days), NOON, SHOP)

    assert [said(days) for days in (0, 1, 2, 6, 7)] == [
        "today at 12:00", "tomorrow at 12:00", "on Wednesday at 12:00", "on Sunday at 12:00",
        "on Monday 30 November at 12:00",
    ]  # fmt: skip


def waits(number: int, *, due: float = 15, window: float | None = 24 * 60, reason: Reason = Reason.ASKED) -> Waiting:
    ends = None if window is None else NOON + minutes(window)
    return Waiting(number, reason, NOON + minutes(due), ends)


def test_first_comes_what_is_lost_first() -> None:
    queue = [
        waits(1, due=60),
        waits(2, due=200, window=50),  # 30 minutes before the window closes is in 20
        waits(3, due=25),
        waits(4, due=30, reason=Reason.LOST),  # we have failed them: ten minutes ahead
        waits(5, due=10, reason=Reason.MACHINE),
        waits(6, due=40, window=-60),  # closed: nothing to save there but the promise
    ]
    assert [one.handoff_id for one in promises.in_order(queue, NOON)] == [2, 4, 3, 6, 1, 5]
    assert promises.urgency(queue[1], NOON).because == "window"
    assert promises.urgency(queue[5], NOON).because == "promise"


anybody = st.builds(
    waits, st.integers(1, 50), due=st.integers(1, 3000), window=st.none() | st.integers(10, 3000),
    reason=st.sampled_from(list(Reason)),
)  # fmt: skip


@given(st.lists(anybody, unique_by=lambda one: one.handoff_id), st.integers(0, 4))
def test_nobody_loses_their_place_by_waiting(queue: list[Waiting], passed: int) -> None:
    now, later = (promises.in_order(queue, NOON + minutes(at)) for at in (0, passed))
    assert now == later, "as long as no window closes"


@given(st.integers(1, 40), st.lists(st.integers(0, 100_000), max_size=60), st.integers(0, 7 * 24))
def test_a_promise_is_never_in_the_past_and_never_out_of_hours(place: int, seconds: list[int], hour: int) -> None:
    now = NOON + timedelta(hours=hour)
    history = [Waited(1 + n % 5, timedelta(seconds=one)) for n, one in enumerate(seconds)]
    made = promise(now, SHOP, place, history, WITHIN)
    assert made.due_at >= now + AT_LEAST
    assert SHOP.is_open(made.due_at - timedelta(seconds=1))
    assert made.wait is None or timedelta(0) <= made.wait <= promises.MOST_EXPECTED
