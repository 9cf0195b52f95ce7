"""Timers: what has to be done in time, when somebody is warned, and how long a contact really waited."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from bot import ladder, timers
from bot.hours import Hours, read
from bot.ladder import Rung
from bot.timers import Light, Running, Spoken, Standards, Timer
from tests.factories import NOW

ALWAYS = Hours()
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return NOW + minutes * MINUTE


def runs(since: float | None, *, answered: bool = True, close: float = 0, hours: Hours = ALWAYS) -> Running | None:
    return timers.running(
        asked_at=NOW,
        promised_at=NOW,
        due_at=at(15),
        answered=answered,
        since=None if since is None else at(since),
        standards=Standards(30 * MINUTE, close * MINUTE),
        hours=hours,
    )


def test_until_the_first_answer_the_promise_runs_then_each_next_answer() -> None:
    assert runs(None, answered=False) == Running(Timer.FIRST, at(15), 15 * MINUTE)
    assert runs(20) == Running(Timer.NEXT, at(50), 30 * MINUTE)
    assert runs(None) is None, "who was answered and has not written waits for nothing"


def test_what_runs_out_first_is_what_is_shown() -> None:
    assert runs(None, close=60) == Running(Timer.CLOSE, at(60), 60 * MINUTE)
    running = runs(20, close=45)
    assert running is not None and running.timer is Timer.CLOSE


def test_nights_do_not_count() -> None:
    office = read("UTC", "Mon-Fri 9:00-17:00")  # NOW is a Sunday
    running = runs(0, hours=office)
    assert running is not None and running.due_at == NOW.replace(day=23, hour=9, minute=30)


@pytest.mark.parametrize(
    ("minutes", "light"), [(0, Light.CALM), (11, Light.CALM), (12, Light.SOON), (15, Light.LATE), (99, Light.LATE)]
)
def test_a_timer_warns_before_it_runs_out(minutes: float, light: Light) -> None:
    assert Running(Timer.FIRST, at(15), 15 * MINUTE).light(at(minutes)) is light


def test_the_longest_wait_is_remembered_and_what_closes_a_conversation_asks_nothing() -> None:
    said = [
        Spoken(at(1), ours=False),
        Spoken(at(4), ours=True),
        Spoken(at(10), ours=False),
        Spoken(at(12), ours=False),
        Spoken(at(18), ours=True),
        Spoken(at(20), ours=False, asks=False),
    ]
    waits = timers.waits(said, NOW, ALWAYS, at(90))
    assert (waits.first_answer_at, waits.next_worst, waits.since) == (at(4), 8 * MINUTE, None)
    waits = timers.waits([*said, Spoken(at(30), ours=False)], NOW, ALWAYS, at(90))
    assert (waits.next_worst, waits.since) == (60 * MINUTE, at(30)), "what they wait at this moment counts"


def test_the_longer_nobody_comes_the_further_up_it_is_told() -> None:
    five = 5 * MINUTE
    found = [ladder.rung(minutes * MINUTE, five) for minutes in (4, 5, 14, 15, 29, 30, 900)]
    assert found == [
        Rung.NOBODY, Rung.TEAM, Rung.TEAM, Rung.TEAM_AGAIN, Rung.TEAM_AGAIN, Rung.SUPERVISORS, Rung.SUPERVISORS,
    ]  # fmt: skip
    said = {ladder.words(one, 1, 2, "09:00") for one in Rung if one}
    assert len(said) == 3 and "assign them" in ladder.words(Rung.SUPERVISORS, 1, 2, "09:00")
