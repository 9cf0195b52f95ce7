"""A request for a person, at every hour: told the truth, taken back, asked for again. Over HTTP only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from bot.hours import DAYS
from tests.journeys.later import LaterHouse

TeamIs = Callable[[str], None]


@pytest.fixture
def team_is(house: LaterHouse) -> Iterator[TeamIs]:
    """Sets the opening hours; afterwards everybody is always there again."""
    yield house.team_is_there
    house.team_is_there()


def test_who_asks_at_night_is_told_when_people_are_back_and_is_answered_then(
    house: LaterHouse, phone: str, team_is: TeamIs
) -> None:
    now = house.now()
    back = (now + timedelta(days=2)).replace(hour=9, minute=0, second=0, microsecond=0)
    team_is(f"{DAYS[back.weekday()]} 9:00-17:00")
    house.writes(phone, "can I talk to a human please")
    told = house.hears(phone, "Nobody is here right now")
    assert f"back on {back:%A} at 9:00" in told
    waiting = house.conversation_with(phone, "queue")
    assert datetime.fromisoformat(waiting["due_at"]) == back + timedelta(minutes=15) and waiting["late"] is False

    # Meanwhile the bot helps with what it is sure of, and in the morning a person answers.
    house.writes(phone, "what are your opening hours in Leeds?")
    house.hears(phone, "Leeds", after=1)
    team_is("always")
    house.api("POST", f"/conversations/{waiting['key']}/take")
    house.api("POST", f"/conversations/{waiting['key']}/reply", json={"text": "Good morning, Ann here."})
    house.hears(phone, "^Good morning, Ann here.$")


def test_who_asks_three_times_stands_in_line_once_and_can_take_it_back(house: LaterHouse, phone: str) -> None:
    house.writes(phone, "a person please")
    house.hears(phone, "in line")
    first = house.conversation_with(phone, "queue")
    for n, words in enumerate(("agent please", "real person please"), start=1):
        house.writes(phone, words)
        house.hears(phone, "kept your place", after=n)
    again = house.conversation_with(phone, "queue")
    assert (again["waiting_since"], again["due_at"]) == (first["waiting_since"], first["due_at"])
    house.taps(phone, "Never mind")
    house.hears(phone, "out of the line", after=3)
    assert house.conversation_with(phone, "bot")["due_at"] is None
    house.writes(phone, "can I return shoes?")
    house.hears(phone, "return", after=4)
    house.taps(phone, "Never mind")
    house.hears(phone, "All right", after=5)
    assert len(house.heard(phone)) == 6, "an answer to each, and nothing twice"
