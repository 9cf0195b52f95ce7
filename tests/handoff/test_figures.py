"""What reports count, and how: figures that would say more than is known are not said."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.ledger.history import Episode, Event
from bot.vocabulary import Outcome, Reason
from handoff import figures
from handoff.figures import A_PERSON, UNKNOWN, Fate, Part, Spread
from handoff.sheets import as_csv, middle, of, share, took
from tests.factories import NOW

LONDON = ZoneInfo("Europe/London")
LATER = NOW + timedelta(days=10)


def an_episode(**also: Any) -> Episode:
    usual: dict[str, Any] = {
        "id": 1, "conversation_id": 1, "key": "k", "number": "n", "team_id": 1, "agent_id": 7, "reason": Reason.ASKED,
        "asked_at": NOW, "due_at": NOW + timedelta(minutes=15), "came_at": None, "taken_at": None, "answered_at": None,
        "closed_at": None, "outcome": None, "csat": None,
    }  # fmt: skip
    return Episode(**{**usual, **also})


def came(minutes: float, **also: Any) -> Episode:
    at = NOW + timedelta(minutes=minutes)
    return an_episode(came_at=at, taken_at=at, **also)


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def fates(*told: tuple[float, str | None], now: datetime = LATER) -> list[tuple[str, Fate]]:
    """What becomes of what one contact says at these hours; None: they ask for a person."""
    events = [Event(1, at(hour), topic) for hour, topic in told]
    return [(one.topic, one.fate) for one in figures.matters(events, now)]


def test_a_matter_is_resolved_when_they_leave_it_at_that() -> None:
    assert fates((0, "order_status")) == [("order_status", Fate.RESOLVED)]


def test_what_is_asked_again_within_the_hour_is_one_matter() -> None:
    assert fates((0, "order_status"), (0.9, "order_status"), (1.8, "order_status")) == [("order_status", Fate.RESOLVED)]


def test_who_comes_back_with_the_same_was_not_helped_the_first_time() -> None:
    assert fates((0, "order_status"), (71, "order_status")) == [
        ("order_status", Fate.CAME_BACK),
        ("order_status", Fate.RESOLVED),
    ]
    assert fates((0, "order_status"), (73, "order_status")) == [("order_status", Fate.RESOLVED)] * 2
    assert fates((0, "order_status"), (71, "opening_hours")) == [
        ("order_status", Fate.RESOLVED),
        ("opening_hours", Fate.RESOLVED),
    ]


def test_who_asks_for_a_person_asks_about_what_they_spoke_of_last() -> None:
    assert fates((0, "order_status"), (0.2, "opening_hours"), (0.3, None)) == [
        ("order_status", Fate.RESOLVED),
        ("opening_hours", Fate.PASSED_ON),
    ]
    assert fates((0, "order_status"), (60, None)) == [("order_status", Fate.PASSED_ON)]
    assert fates((0, "order_status"), (73, None)) == [("order_status", Fate.RESOLVED), (A_PERSON, Fate.PASSED_ON)]
    assert fates((0, None)) == [(A_PERSON, Fate.PASSED_ON)]
    assert fates((0, None), (0.1, None)) == [(A_PERSON, Fate.PASSED_ON)], "asking twice at once is asking once"
    assert fates((0, None), (5, None)) == [(A_PERSON, Fate.PASSED_ON)] * 2


def test_what_was_not_understood_counts_against_the_bot_unless_it_was_said_again_and_understood() -> None:
    assert fates((0, "nlu_fallback")) == [(UNKNOWN, Fate.NOT_UNDERSTOOD)]
    assert fates((0, "nlu_fallback"), (0.1, "out_of_scope"), (0.2, "return_policy")) == [
        ("return_policy", Fate.RESOLVED)
    ]
    assert fates((0, "return_policy"), (0.1, "nlu_fallback")) == [("return_policy", Fate.RESOLVED)]
    assert fates((0, "nlu_fallback"), (0.1, None), (0.2, "return_policy")) == [(UNKNOWN, Fate.PASSED_ON)]
    assert fates((0, "nlu_fallback"), (0.1, "return_policy"), (0.2, "nlu_fallback"), (2, "nlu_fallback")) == [
        ("return_policy", Fate.RESOLVED),
        (UNKNOWN, Fate.NOT_UNDERSTOOD),
    ]


def test_nothing_is_called_resolved_before_three_days_have_passed() -> None:
    assert fates((0, "order_status"), now=at(71)) == [("order_status", Fate.TOO_EARLY)]
    assert fates((0, "order_status"), (1.5, None), now=at(2)) == [("order_status", Fate.PASSED_ON)]
    counted = Counter({Fate.RESOLVED: 3, Fate.CAME_BACK: 1, Fate.TOO_EARLY: 9})
    assert figures.verified(counted) == Part(3, 4)


def test_conversations_are_apart() -> None:
    events = [Event(1, at(0), "order_status"), Event(2, at(0.1), None), Event(3, at(0.2), "order_status")]
    assert [one.fate for one in figures.matters(events, LATER)] == [Fate.RESOLVED, Fate.PASSED_ON, Fate.RESOLVED]


def test_no_story_breaks_the_counting() -> None:
    dice = random.Random(5)
    topics = ["order_status", "opening_hours", "nlu_fallback", "out_of_scope", None]
    for _ in range(500):
        hour, told = 0.0, []
        for _ in range(dice.randrange(1, 12)):
            hour += dice.choice([0.1, 0.9, 1.1, 20, 71, 73])
            told.append((hour, dice.choice(topics)))
        found = fates(*told)
        assert 1 <= len(found) <= len(told)
        assert (Fate.PASSED_ON in {fate for _, fate in found}) == any(topic is None for _, topic in told)


def test_a_promise_is_judged_only_when_it_can_be() -> None:
    assert figures.is_kept(came(15), LATER) is True
    assert figures.is_kept(came(16), LATER) is False
    assert figures.is_kept(an_episode(), at(0.1)) is None, "not due yet"
    assert figures.is_kept(an_episode(), at(1)) is False, "and still nobody came"
    assert figures.is_kept(an_episode(closed_at=at(0.1), outcome=Outcome.CANCELLED), LATER) is None
    assert figures.is_kept(an_episode(closed_at=at(1), outcome=Outcome.CANCELLED), LATER) is False
    assert figures.is_kept(came(0, reason=Reason.STEPPED_IN, due_at=None), LATER) is None


def test_waits_are_of_those_who_waited() -> None:
    found = [came(2), came(4), came(30), came(0, reason=Reason.PHONE), an_episode()]
    counted = figures.numbers(found, LATER)
    assert (counted.asked, counted.came, counted.waiting, counted.held) == (5, 4, 1, 4)
    assert counted.wait == Spread(3, timedelta(minutes=4), None), "of three nobody says what nine of ten are"
    assert dict(figures.waited(found)) == {
        "under 1 min": 0, "1–5 min": 2, "5–15 min": 0, "15–60 min": 1, "1–4 h": 0, "over 4 h": 0,
    }  # fmt: skip


def test_people_are_measured_by_the_same_rule() -> None:
    closed = came(5, closed_at=at(1), outcome=Outcome.GIVEN_BACK)
    assert figures.came_again([closed], {1: [NOW]}, LATER) == Part(1, 1)
    assert figures.came_again([closed], {1: [NOW, at(50)]}, LATER) == Part(0, 1)
    assert figures.came_again([closed], {1: [NOW, at(74)]}, LATER) == Part(1, 1)
    assert figures.came_again([closed], {1: [NOW]}, at(50)) == Part(0, 0), "too early to tell"


@pytest.mark.parametrize("outcome", [Outcome.GIVEN_BACK, Outcome.SOLVED, Outcome.NOT_SOLVED, Outcome.ELSEWHERE])
def test_what_agents_give_back_counts_however_they_say_it_went(outcome: Outcome) -> None:
    closed = came(5, closed_at=at(1), outcome=outcome)
    counted = figures.numbers([closed], LATER)
    assert (counted.closed, counted.cancelled, counted.handling.n) == (1, 0, 1)
    assert figures.came_again([closed], {1: [NOW]}, LATER) == Part(1, 1)


def test_a_conversation_nobody_wrote_in_any_more_is_closed_but_was_not_handled_so_long() -> None:
    idle = came(5, closed_at=at(20), outcome=Outcome.IDLE)
    counted = figures.numbers([idle], LATER)
    assert (counted.closed, counted.handling.n) == (1, 0)


def test_days_are_the_teams_and_may_have_25_hours() -> None:
    span = figures.days_of(date(2026, 10, 25), date(2026, 10, 25), LONDON)  # clocks go back
    assert span.end - span.start == timedelta(hours=25)
    assert span.start == datetime(2026, 10, 24, 23, 0, tzinfo=timezone.utc)
    late = an_episode(asked_at=datetime(2026, 7, 1, 23, 30, tzinfo=timezone.utc))  # half past midnight in London
    first, second = figures.slots([late], date(2026, 7, 1), date(2026, 7, 2), LONDON)
    assert (first.asked, second.asked, second.starts.date()) == (0, 1, date(2026, 7, 2))
    assert figures.week([late], LONDON)[3][0] == 1, "a Thursday"
    hours = figures.slots([late], date(2026, 7, 2), date(2026, 7, 2), LONDON)
    assert [slot.asked for slot in hours] == [1] + [0] * 23
    twice = [an_episode(asked_at=span.start + timedelta(hours=hour, minutes=30)) for hour in range(25)]
    assert sum(slot.asked for slot in figures.slots(twice, date(2026, 10, 25), date(2026, 10, 25), LONDON)) == 25


@pytest.mark.parametrize(
    ("part", "said", "beside"),
    [(Part(0, 0), "–", "none yet"), (Part(3, 4), "3 of 4", ""), (Part(15, 20), "75 %", "15 of 20")],
)
def test_a_percentage_of_a_few_is_not_told(part: Part, said: str, beside: str) -> None:
    assert (share(part), of(part)) == (said, beside)


def test_times_are_told_as_people_tell_them() -> None:
    told = {40: "40 s", 90: "1 min 30 s", 600: "10 min", 3600: "1 h", 7500: "2 h 5 min", 300_000: "3.5 days"}
    assert {took(timedelta(seconds=seconds)): said for seconds, said in told.items()} == {
        said: said for said in told.values()
    }
    assert took(None) == "–" and middle(Spread(3, timedelta(minutes=4), None)) == "4 min (of 3)"


@pytest.mark.parametrize("word", ["=1+1", "+44", "-2", "@SUM(A1)", "\tx", "\rx"])
def test_no_spreadsheet_takes_a_word_for_a_formula(word: str) -> None:
    text = as_csv(("Agent", "Handoffs"), [(word, -1)])
    assert text.startswith("\ufeff") and f"'{word}" in text and text.rstrip().endswith("-1"), "numbers stay numbers"
