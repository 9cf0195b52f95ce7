"""Who is given what waits: whoever may have it, for a reason they can read, whatever the team looks like."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.vocabulary import Routing
from handoff.routing import Asks, Seat, choose
from tests.factories import NOW, later

SKILLS = st.frozensets(st.sampled_from(["german", "polish", "returns"]))
SEATS = st.lists(
    st.builds(
        Seat,
        agent_id=st.integers(1, 9),
        name=st.just("Ann"),
        holds=st.integers(0, 6),
        most=st.none() | st.integers(0, 6),
        skills=SKILLS,
        given_at=st.none() | st.integers(-3600, 0).map(later),
    ),
    max_size=6,
    unique_by=lambda seat: seat.agent_id,
)
ASKS = st.builds(
    Asks,
    skills=SKILLS,
    owner_id=st.none() | st.integers(1, 9),
    promised_at=st.just(NOW),
    due_at=st.integers(0, 3600).map(later),
)
GIVING = st.sampled_from([Routing.ROUND_ROBIN, Routing.LEAST_LOADED])
MOMENTS = st.integers(0, 7200).map(later)


def a_seat(agent_id: int, holds: int = 0, most: int | None = 5, *skills: str, given_s: float | None = None) -> Seat:
    given_at = None if given_s is None else later(given_s)
    return Seat(agent_id, f"Agent {agent_id}", holds, most, frozenset(skills), given_at)


def asks(*skills: str, owner_id: int | None = None, minutes: int = 20) -> Asks:
    return Asks(frozenset(skills), owner_id, NOW, NOW + timedelta(minutes=minutes))


@given(SEATS, ASKS, MOMENTS)
def test_where_agents_take_nobody_is_given_anything(seats: list[Seat], one: Asks, now: object) -> None:
    assert choose(Routing.PULL, one, seats, now) is None  # type: ignore[arg-type]


@given(GIVING, SEATS, ASKS, MOMENTS)
def test_only_who_has_room_is_chosen_and_always_told_why(
    way: Routing, seats: list[Seat], one: Asks, now: object
) -> None:
    choice = choose(way, one, seats, now)  # type: ignore[arg-type]
    if choice is not None:
        (chosen,) = (seat for seat in seats if seat.agent_id == choice.agent_id)
        assert chosen.has_room and choice.because


@given(GIVING, SEATS, ASKS, MOMENTS)
def test_nobody_waits_while_somebody_who_may_have_them_is_free(
    way: Routing, seats: list[Seat], one: Asks, now: object
) -> None:
    free = [seat for seat in seats if seat.has_room]
    able = [seat for seat in free if one.skills <= seat.skills]
    choice = choose(way, one, seats, now)  # type: ignore[arg-type]
    is_owned = any(seat.agent_id == one.owner_id for seat in free)
    must = bool(able) or is_owned or (bool(free) and not one.can_wait(now))  # type: ignore[arg-type]
    assert (choice is not None) is must
    if choice is not None and able and not is_owned:
        assert choice.agent_id in {seat.agent_id for seat in able}, "who knows what it needs comes first"


@given(GIVING, SEATS, ASKS, MOMENTS, st.randoms())
def test_the_order_in_which_agents_are_listed_decides_nothing(
    way: Routing, seats: list[Seat], one: Asks, now: object, random: object
) -> None:
    shuffled = list(seats)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose(way, one, seats, now) == choose(way, one, shuffled, now)  # type: ignore[arg-type]


def test_in_turn_means_whose_last_one_was_longest_ago_however_full_their_hands() -> None:
    seats = [a_seat(1, 0, given_s=-60), a_seat(2, 4, given_s=-3600), a_seat(3, 5)]
    choice = choose(Routing.ROUND_ROBIN, asks(), seats, NOW)
    assert choice is not None and (choice.agent_id, choice.because) == (2, "It was your turn.")


def test_the_most_room_is_reckoned_by_how_full_hands_are_and_ties_go_in_turn() -> None:
    seats = [a_seat(1, 2, 4), a_seat(2, 3, 10), a_seat(3, 3, 10, given_s=-5)]
    choice = choose(Routing.LEAST_LOADED, asks(), seats, NOW)
    assert choice is not None
    assert (choice.agent_id, choice.because) == (2, "You had the most room: you held 3 of 10.")


def test_skills_are_waited_for_until_half_of_the_time_is_over() -> None:
    seats = [a_seat(1), a_seat(2, 5, 5, "german")]
    assert choose(Routing.ROUND_ROBIN, asks("german"), seats, later(9 * 60)) is None
    choice = choose(Routing.ROUND_ROBIN, asks("german"), seats, later(10 * 60))
    assert choice is not None and choice.agent_id == 1
    assert choice.because == "Nobody else was free. It needs german; nobody who knows that was free."
    known = choose(Routing.ROUND_ROBIN, asks("german"), [*seats, a_seat(3, 4, 5, "german")], later(11 * 60))
    assert known is not None and known.agent_id == 3


def test_who_had_it_before_has_it_again_if_there_is_room() -> None:
    seats = [a_seat(1), a_seat(2, 4)]
    choice = choose(Routing.LEAST_LOADED, asks("german", owner_id=2), seats, NOW)
    assert choice is not None and (choice.agent_id, choice.because) == (2, "You had it before.")
