"""Teams, skills and capacity: who may hold how many, where a handoff goes, and who is given what, on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bot.content.catalogue import Catalogue
from bot.errors import AlreadyTaken, AtCapacity, BadTeam, TeamBusy, UnknownTeam
from bot.ledger import capacity, handoffs, needs, teams, transcript
from bot.ledger.tables import changes
from bot.ledger.transaction import Ledger
from bot.settings import ROOT
from bot.vocabulary import Change, NeedOf, Reason, Role, Routing
from handoff import agents, assignments, giving, members
from handoff.roles import Account
from handoff.watch import Watch, Watching
from tests.factories import NOW, later
from tests.handoff import seeding
from tests.handoff.conftest import Api, Clock
from tests.handoff.seeding import Story

CATALOGUE = Catalogue.load(ROOT / "data" / "responses")


def waiting(ledger: Ledger, n: int, reason: Reason = Reason.ASKED, wish: str = "help", **slots: Any) -> Story:
    story = seeding.a_conversation(ledger, NOW, f"Contact {n}", f"4477009{n:05d}")
    story.hands_off(reason, wish, **slots)
    return story


def a_team(ledger: Ledger, name: str, routing: Routing = Routing.PULL, most: int | None = None) -> int:
    with ledger.writing() as tx:
        team_id = teams.make(tx, name).id
        teams.route(tx, team_id, routing=routing, capacity=most)
    return team_id


def sits(ledger: Ledger, account: Account, team_id: int, *skills: str, own: int | None = None) -> None:
    """They work in this team, too, and their desk is open."""
    with ledger.writing() as tx:
        members.join(tx, account.id, team_id)
        members.equip(tx, account.id, skills=skills, own=own)
        members.see(tx, account.id, NOW)


def team_of(ledger: Ledger, story: Story) -> str:
    with ledger.reading() as tx:
        return transcript.conversation(tx, story.key).team


def holder_of(ledger: Ledger, story: Story) -> int | None:
    with ledger.reading() as tx:
        return transcript.conversation(tx, story.key).agent_id


def at_most(ledger: Ledger, who: Api, own: int) -> None:
    with ledger.writing() as tx:
        members.equip(tx, who.account.id, skills=(), own=own)


def test_a_take_beyond_capacity_is_refused_with_what_to_do(ledger: Ledger, ann: Api) -> None:
    at_most(ledger, ann, 1)
    first, second = waiting(ledger, 1), waiting(ledger, 2)
    assert ann.post(f"/conversations/{first.key}/take").status_code == 200
    assert ann.post(f"/conversations/{first.key}/take").status_code == 200, "what one has is no second one"
    refused = ann.post(f"/conversations/{second.key}/take")
    assert (refused.status_code, refused.json["error"]) == (409, "at_capacity")
    assert "Ann holds 1, and 1 at once is the most" in refused.json["message"]
    assert "given back" in refused.json["message"]
    ann.post(f"/conversations/{first.key}/give_back")
    assert ann.post(f"/conversations/{second.key}/take").status_code == 200


def test_stepping_in_unasked_counts_and_what_the_phone_answers_does_not(ledger: Ledger, ann: Api) -> None:
    at_most(ledger, ann, 1)
    asked, unasked = waiting(ledger, 1), seeding.a_conversation(ledger, NOW)
    phone = waiting(ledger, 3)
    with ledger.writing() as tx:
        row = handoffs.locked(tx, phone.key)
        handoffs.take_by_phone(tx, row, said_at=later(900), quiet=timedelta(minutes=30), now=later(900))
    assert ann.post(f"/conversations/{unasked.key}/take").status_code == 200
    assert ann.post(f"/conversations/{asked.key}/take").json["error"] == "at_capacity"


def test_who_may_hold_none_takes_none(ledger: Ledger, ann: Api) -> None:
    at_most(ledger, ann, 0)
    assert ann.post(f"/conversations/{waiting(ledger, 1).key}/take").json["error"] == "at_capacity"


def test_who_leads_assigns_beyond_capacity_only_when_they_say_so(ledger: Ledger, ann: Api, ben: Api, sue: Api) -> None:
    at_most(ledger, ben, 1)
    full, more = waiting(ledger, 1), waiting(ledger, 2)
    assert ben.post(f"/conversations/{full.key}/take").status_code == 200
    refused = sue.post(f"/conversations/{more.key}/transfer", {"to": ben.account.email})
    assert (refused.status_code, refused.json["error"]) == (409, "at_capacity")
    assert "Ben holds 1" in refused.json["message"]
    done = sue.post(f"/conversations/{more.key}/transfer", {"to": ben.account.email, "beyond": True})
    assert done.json["agent"] == "Ben"
    hers = waiting(ledger, 3)
    assert ann.post(f"/conversations/{hers.key}/take").status_code == 200
    asked = {"to": ben.account.email, "beyond": True}
    assert ann.post(f"/conversations/{hers.key}/transfer", asked).json["error"] == "role_forbids"
    assert ann.get(f"/conversations/{hers.key}").json["agent"] == "Ann"


def test_parallel_takes_never_go_beyond_capacity(ledger: Ledger, ann: Api) -> None:
    at_most(ledger, ann, 3)
    stories = [waiting(ledger, n) for n in range(12)]
    together = threading.Barrier(12)

    def take(story: Story) -> str:
        together.wait()
        try:
            with ledger.writing() as tx:
                assignments.take(tx, story.key, ann.account, NOW)
        except AtCapacity:
            return "refused"
        return "taken"

    with ThreadPoolExecutor(12) as pool:
        said = list(pool.map(take, stories))
    assert (said.count("taken"), said.count("refused")) == (3, 9)
    with ledger.reading() as tx:
        assert capacity.held(tx) == {ann.account.id: 3}


def test_fifty_parallel_takes_have_one_winner_and_the_others_are_told_who(ledger: Ledger) -> None:
    story = waiting(ledger, 1)
    people = [seeding.an_account(ledger, f"agent{n}@fernhill.example", Role.AGENT, f"Agent {n}") for n in range(50)]
    together = threading.Barrier(50)

    def take(account: Account) -> str:
        together.wait()
        try:
            with ledger.writing() as tx:
                assignments.take(tx, story.key, account, NOW)
        except AlreadyTaken as lost:
            return lost.holder_name
        return "mine"

    with ThreadPoolExecutor(50) as pool:
        said = list(pool.map(take, people))
    with ledger.reading() as tx:
        winner = transcript.conversation(tx, story.key).agent_name
    assert sorted(said) == sorted(["mine"] + [winner] * 49)


def test_what_a_team_says_counts_where_an_agent_has_no_number_of_their_own(ledger: Ledger, ann: Api) -> None:
    small, large = a_team(ledger, "Small", most=2), a_team(ledger, "Large", most=4)
    with ledger.writing() as tx:
        assert members.most(tx, ann.account.id) is None, "the first team names no number"
        members.join(tx, ann.account.id, small)
        assert members.most(tx, ann.account.id) == 2
        members.join(tx, ann.account.id, large)
        assert members.most(tx, ann.account.id) == 4
        members.equip(tx, ann.account.id, skills=(), own=1)
        assert members.most(tx, ann.account.id) == 1


@pytest.mark.parametrize(
    ("of", "value", "slots", "wish"),
    [
        (NeedOf.REASON, "asked", {}, "help"),
        (NeedOf.INTENT, "greet", {}, "help"),
        (NeedOf.SLOT, "order_number", {"order_number": "F-1"}, "help"),
        (NeedOf.SLOT, "language=german", {"language": "German"}, "help"),
        (NeedOf.WORD, "send back", {}, "can I SEND  BACK my boots?"),
    ],
)
def test_a_handoff_goes_where_a_rule_sends_it_with_what_it_needs(
    ledger: Ledger, ann: Api, of: NeedOf, value: str, slots: dict[str, str], wish: str
) -> None:
    returns = a_team(ledger, "Returns")
    with ledger.writing() as tx:
        assert needs.add(tx, of=of, value=value, skill="Returns", team_id=returns) == needs.add(
            tx, of=of, value=value, skill="returns", team_id=returns
        ), "the same rule again is the one there is"
    shown = ann.get(f"/conversations/{waiting(ledger, 1, wish=wish, **slots).key}").json
    assert (shown["team"], shown["needs"]) == ("Returns", ["returns"])
    with ledger.writing() as tx:
        needs.remove(tx, needs.rules(tx)[0].id)
    shown = ann.get(f"/conversations/{waiting(ledger, 2, wish=wish, **slots).key}").json
    assert (shown["team"], shown["needs"]) == ("Service", [])


def test_what_a_rule_does_not_speak_of_goes_to_the_first_team(ledger: Ledger) -> None:
    returns = a_team(ledger, "Returns")
    with ledger.writing() as tx:
        needs.add(tx, of=NeedOf.SLOT, value="language=german", skill="", team_id=returns)
        needs.add(tx, of=NeedOf.WORD, value="boot", skill="", team_id=returns)
    assert team_of(ledger, waiting(ledger, 1, wish="my boots", language="polish")) == "Service"


def test_a_promise_is_made_by_the_hours_of_the_team_it_goes_to_also_when_it_comes_back(ledger: Ledger) -> None:
    night = a_team(ledger, "Night")
    ann = seeding.an_account(ledger)
    with ledger.writing() as tx:
        teams.change(tx, night, zone="UTC", week="Mon-Sun 20:00-24:00", exceptions="", within_min=30)
        needs.add(tx, of=NeedOf.REASON, value="asked", skill="", team_id=night)
    story = waiting(ledger, 1)
    with ledger.writing() as tx:
        (one,) = transcript.queue(tx, NOW)
        assert one.due_at is not None and one.due_at.hour == 20
        handoffs.take(tx, story.key, agent_id=ann.id, agent_name="Ann", now=later(60))
        handoffs.requeue(tx, story.key, agent_id=ann.id, now=later(120))
        (one,) = transcript.queue(tx, NOW)
        assert (one.team, one.due_at is not None and one.due_at.hour) == ("Night", 20)


def test_passing_on_to_a_team_puts_it_into_their_queue_with_a_note_and_twice_is_once(
    ledger: Ledger, ann: Api, ben: Api
) -> None:
    a_team(ledger, "Returns")
    story = waiting(ledger, 1)
    ann.post(f"/conversations/{story.key}/take")
    for _ in range(2):
        passed = ann.post(f"/conversations/{story.key}/transfer", {"to_team": "returns", "note": "Boots"}, key="k")
        assert (passed.status_code, passed.json["holder"], passed.json["team"]) == (200, "queue", "Returns")
        assert passed.json["due_at"]
    notes = [one for one in ann.get(f"/conversations/{story.key}/messages").json if one["type"] == "note"]
    assert [one["text"] for one in notes] == ["Boots"]
    refused = ben.post(f"/conversations/{story.key}/transfer", {"to_team": "Service"})
    assert refused.json["error"] == "not_yours"


def test_who_leads_moves_somebody_who_waits_to_another_team_and_what_was_promised_stays(
    ledger: Ledger, sue: Api
) -> None:
    a_team(ledger, "Returns")
    story = waiting(ledger, 1)
    before = sue.get(f"/conversations/{story.key}").json["due_at"]
    moved = sue.post(f"/conversations/{story.key}/transfer", {"to_team": "Returns"})
    assert (moved.json["team"], moved.json["due_at"]) == ("Returns", before)
    bots = seeding.a_conversation(ledger, NOW)
    assert sue.post(f"/conversations/{bots.key}/transfer", {"to_team": "Returns"}).json["error"] == "not_allowed"


def test_a_transfer_to_nobody_known_or_to_two_at_once_says_what_it_needs(ledger: Ledger, sue: Api) -> None:
    story = waiting(ledger, 1)
    unknown = sue.post(f"/conversations/{story.key}/transfer", {"to_team": "Nowhere"})
    assert (unknown.status_code, unknown.json["error"]) == (404, "unknown_team")
    assert "Service" in unknown.json["message"]
    for body in ({}, {"to": "x@y", "to_team": "Service"}, {"to_team": 7}, {"to": "x@y", "beyond": "yes"}):
        assert sue.post(f"/conversations/{story.key}/transfer", body).json["error"] == "bad_body"


def test_a_team_is_retired_only_when_nobody_waits_in_it_and_no_rule_names_it(ledger: Ledger, sue: Api) -> None:
    returns = a_team(ledger, "Returns")
    with ledger.writing() as tx:
        rule = needs.add(tx, of=NeedOf.REASON, value="asked", skill="", team_id=returns)
    story = waiting(ledger, 1)

    def retire(team_id: int) -> None:
        with ledger.writing() as tx:
            teams.retire(tx, team_id, NOW)

    with pytest.raises(TeamBusy, match="A contact waits in Returns: take them, or pass them on"):
        retire(returns)
    sue.post(f"/conversations/{story.key}/take")
    with pytest.raises(TeamBusy, match="A rule sends contacts to Returns: remove"):
        retire(returns)
    with ledger.writing() as tx:
        needs.remove(tx, rule)
    retire(returns)
    retire(returns)
    with pytest.raises(TeamBusy, match="rename it instead"):
        retire(teams.FIRST)
    sue.post(f"/conversations/{story.key}/requeue")
    assert team_of(ledger, story) == "Service", "nobody waits where nobody looks"
    with ledger.writing() as tx, pytest.raises(UnknownTeam, match="retired"):
        handoffs.pass_to_team(tx, story.key, returns, NOW)
    with ledger.writing() as tx, pytest.raises(BadTeam, match="was a team named Returns"):
        teams.make(tx, "returns")


def test_a_team_that_gives_must_say_how_many_each_may_hold(ledger: Ledger) -> None:
    with ledger.writing() as tx:
        with pytest.raises(BadTeam, match="say how many"):
            teams.route(tx, teams.FIRST, routing=Routing.ROUND_ROBIN, capacity=None)
        with pytest.raises(BadTeam, match="0 to 100"):
            teams.route(tx, teams.FIRST, routing=Routing.PULL, capacity=101)


def watch(ledger: Ledger, clock: Clock) -> Watch:
    return Watch(ledger, CATALOGUE, clock, Watching())


def test_the_watch_gives_in_turn_to_who_is_there_has_room_and_is_not_away(ledger: Ledger, clock: Clock) -> None:
    team = a_team(ledger, "Turns", Routing.ROUND_ROBIN, most=2)
    ann, ben, eve, joe = (
        seeding.an_account(ledger, f"{name}@fernhill.example") for name in ("ann", "ben", "eve", "joe")
    )
    for account in (ann, ben, eve):
        sits(ledger, account, team)
    with ledger.writing() as tx:
        members.join(tx, joe.id, team)  # works there, and has no desk open
        members.be(tx, eve.id, available=False, now=NOW)
        needs.add(tx, of=NeedOf.REASON, value="asked", skill="", team_id=team)
    stories = [waiting(ledger, n) for n in range(5)]
    watch(ledger, clock).look()
    assert [holder_of(ledger, one) for one in stories] == [ann.id, ben.id, ann.id, ben.id, None]
    with ledger.writing() as tx:
        members.be(tx, eve.id, available=True, now=NOW)
    watch(ledger, clock).look()
    with ledger.reading() as tx:
        given = transcript.conversation(tx, stories[-1].key)
    assert (given.agent_id, given.given_because) == (eve.id, "Nobody else was free.")


def test_nobody_is_given_anything_when_the_team_is_closed_or_agents_take(ledger: Ledger, clock: Clock) -> None:
    ann = seeding.an_account(ledger)
    sits(ledger, ann, teams.FIRST, own=5)
    story = waiting(ledger, 1)
    watch(ledger, clock).look()
    assert holder_of(ledger, story) is None
    with ledger.writing() as tx:
        teams.route(tx, teams.FIRST, routing=Routing.LEAST_LOADED, capacity=5)
        teams.change(tx, teams.FIRST, zone="UTC", week="Mon 9:00-17:00", exceptions="", within_min=15)
    watch(ledger, clock).look()
    assert holder_of(ledger, story) is None, "it is Sunday"
    with ledger.writing() as tx:
        teams.change(tx, teams.FIRST, zone="UTC", week="always", exceptions="", within_min=15)
    watch(ledger, clock).look()
    assert holder_of(ledger, story) == ann.id


def test_several_watches_give_each_contact_once_and_nobody_too_many(ledger: Ledger) -> None:
    with ledger.writing() as tx:
        teams.route(tx, teams.FIRST, routing=Routing.LEAST_LOADED, capacity=4)
    people = [seeding.an_account(ledger, f"agent{n}@fernhill.example") for n in range(3)]
    for account in people:
        sits(ledger, account, teams.FIRST)
    stories = [waiting(ledger, n) for n in range(15)]
    together = threading.Barrier(6)

    def look(n: int) -> None:
        together.wait()
        if n < 3:
            with ledger.writing() as tx:
                giving.give(tx, NOW)
            return
        for story in stories[n::3]:  # an agent takes by hand meanwhile
            try:
                with ledger.writing() as tx:
                    assignments.take(tx, story.key, people[n - 3], NOW)
            except (AtCapacity, AlreadyTaken):
                pass

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(look, range(6)))
    with ledger.writing() as tx:
        giving.give(tx, NOW)
        assert capacity.held(tx) == {one.id: 4 for one in people}
        moves = sa.select(changes.c.conversation_id).where(changes.c.kind == Change.MOVE)
        moved = tx.execute(moves).scalars().all()
    assert sorted(moved.count(story.id) for story in stories) == [1] * 3 + [2] * 12, "asked; and given or taken, once"


def test_who_leaves_what_they_were_given_is_given_nothing_until_they_are_back(ledger: Ledger, clock: Clock) -> None:
    with ledger.writing() as tx:
        teams.route(tx, teams.FIRST, routing=Routing.ROUND_ROBIN, capacity=4)
    ann, ben = (seeding.an_account(ledger, f"{name}@fernhill.example") for name in ("ann", "ben"))
    sits(ledger, ann, teams.FIRST)
    story = waiting(ledger, 1)
    looks = watch(ledger, clock)
    looks.look()
    assert holder_of(ledger, story) == ann.id
    clock.forward(minutes=11)
    with ledger.writing() as tx:
        members.see(tx, ann.id, clock.now)  # her desk stands open, and she is not at it
    looks.look()
    assert holder_of(ledger, story) is None
    with ledger.writing() as tx:
        assert members.is_away(tx, ann.id)
        members.see(tx, ben.id, clock.now)
    looks.look()
    assert holder_of(ledger, story) == ben.id


def test_availability_is_switched_by_token_too(ledger: Ledger, ann: Api, cleo: Api) -> None:
    assert ann.post("/availability", {"available": False}).json == {"available": False}
    with ledger.reading() as tx:
        assert members.is_away(tx, ann.account.id)
    assert ann.post("/availability", {"available": True}).status_code == 200
    with ledger.reading() as tx:
        assert not members.is_away(tx, ann.account.id)
    assert ann.post("/availability", {"available": 1}).json["error"] == "bad_body"
    assert cleo.post("/availability", {"available": True}).json["error"] == "role_forbids"


def test_teams_are_listed_with_when_they_are_there(ledger: Ledger, ann: Api) -> None:
    (service,) = ann.get("/teams").json
    assert (service["name"], service["open"], service["routing"], service["capacity"]) == (
        "Service",
        True,
        "pull",
        None,
    )


def test_who_is_disabled_works_nowhere_and_a_team_nobody_works_in_is_everybodys(ledger: Ledger) -> None:
    returns = a_team(ledger, "Returns")
    ann, ben = (seeding.an_account(ledger, f"{name}@fernhill.example") for name in ("ann", "ben"))
    with ledger.writing() as tx:
        assert members.nobodys(tx) == {returns}
        members.join(tx, ann.id, returns)
        assert members.nobodys(tx) == frozenset()
        agents.disable(tx, ann.email, NOW)
        assert members.nobodys(tx) == {returns}
        assert members.teams_of(tx, ben.id) == {teams.FIRST}
