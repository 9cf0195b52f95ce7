"""What happened in a period is found whole, on both databases."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from bot.ledger import handoffs, history, outbox, teams
from bot.ledger.history import BotWork, Event, Span, Which
from bot.ledger.tables import handoffs as rows
from bot.ledger.transaction import Ledger
from bot.updates import ContactRef, Reported
from bot.vocabulary import Outcome, Reason, Status
from handoff import assignments
from tests.factories import NOW, NUMBER
from tests.handoff import seeding

DAY = Span(NOW - timedelta(hours=12), NOW + timedelta(hours=12))
MIA, SAM = ("Mia Turner", "447700900101"), ("Sam Okafor", "447700900102")


def a_story(ledger: Ledger, who: tuple[str, str] = MIA) -> seeding.Story:
    story = seeding.Story(ledger, ContactRef(phone=who[1], bsuid=None, name=who[0]), NOW)
    story.says("hello", "Hello!", intent=("greet", 0.9))
    story.says("where is my order", "On its way.", "Anything else?", intent=("order_status", 0.9))
    return story


def test_a_handoff_is_told_from_the_asking_to_its_end(ledger: Ledger) -> None:
    ann, ben = (seeding.an_account(ledger, f"{name}@fernhill.example") for name in ("ann", "ben"))
    story = a_story(ledger)
    story.hands_off(Reason.ASKED, "a person")
    asked_at = story.at
    story.taken_by(ann)
    came_at = story.at
    story.replies(ann, "Hello")
    answered_at = story.at
    with ledger.writing() as tx:
        assignments.transfer(tx, story.key, ann, ben.email, "", client_key=None, now=story.wait(minutes=5).at)
    taken_at = story.at
    story.gives_back(ben)
    with ledger.reading() as tx:
        (one,) = history.episodes(tx, DAY)
    assert (one.asked_at, one.came_at, one.answered_at, one.taken_at, one.closed_at) == (
        asked_at, came_at, answered_at, taken_at, story.at,
    )  # fmt: skip
    assert (one.agent_id, one.outcome, one.number, one.team_id) == (ben.id, Outcome.GIVEN_BACK, NUMBER, 1)
    assert one.key == story.key and one.due_at is not None


def test_who_came_first_and_the_first_promise_stay_when_it_goes_back_to_the_queue(ledger: Ledger) -> None:
    ann = seeding.an_account(ledger)
    story = a_story(ledger)
    story.hands_off(Reason.ASKED, "a person")
    with ledger.reading() as tx:
        (before,) = history.episodes(tx, DAY)
    story.taken_by(ann)
    came_at = story.at
    with ledger.writing() as tx:
        handoffs.requeue(tx, story.key, agent_id=ann.id, now=story.wait(minutes=30).at)
    story.taken_by(ann)
    with ledger.reading() as tx:
        (one,) = history.episodes(tx, DAY)
        due = tx.execute(sa.select(rows.c.due_at)).scalar_one()
    assert (one.came_at, one.due_at) == (came_at, before.due_at) and due > one.due_at and one.taken_at == story.at


def test_a_choice_narrows_what_is_counted(ledger: Ledger) -> None:
    ann, ben = (seeding.an_account(ledger, f"{name}@fernhill.example") for name in ("ann", "ben"))
    for who, reason, agent in ((MIA, Reason.ASKED, ann), (SAM, Reason.UNREADABLE, ben)):
        story = a_story(ledger, who)
        story.hands_off(reason, "a person")
        story.taken_by(agent)
    with ledger.reading() as tx:

        def reasons(which: Which) -> list[Reason]:
            return [one.reason for one in history.episodes(tx, DAY, which)]

        assert len(reasons(Which())) == len(reasons(Which(team_id=1))) == len(reasons(Which(number=NUMBER))) == 2
        assert reasons(Which(agent_id=ann.id)) == [Reason.ASKED]
        assert reasons(Which(reason=Reason.UNREADABLE)) == [Reason.UNREADABLE]
        assert not reasons(Which(team_id=2)) and not reasons(Which(number="another"))
        assert not history.episodes(tx, Span(NOW - timedelta(days=2), NOW - timedelta(days=1)))
        assert history.our_numbers(tx) == [NUMBER] and teams.names(tx) == {1: "Service"}


def test_what_was_spoken_of_and_asked_for_comes_conversation_by_conversation(ledger: Ledger) -> None:
    mia = a_story(ledger)
    a_story(ledger, SAM)
    mia.says("and when do you open", "At nine.", intent=("opening_hours", 0.9))
    mia.hands_off(Reason.ASKED, "a person")
    with ledger.reading() as tx:
        for number in (None, NUMBER):
            found = list(history.events(tx, DAY, beside={"greet"}, number=number))
            assert [(one.conversation_id, one.topic) for one in found] == [
                (mia.id, "order_status"), (mia.id, "opening_hours"), (mia.id, None), (mia.id + 1, "order_status"),
            ]  # fmt: skip
            assert found[2] == Event(mia.id, mia.at, None)
        assert not list(history.events(tx, DAY, beside={"greet"}, number="another"))


def test_the_bots_work_and_what_it_costs_is_counted(ledger: Ledger) -> None:
    mia, sam = a_story(ledger), a_story(ledger, SAM)
    mia.hands_off(Reason.ASKED, "a person")
    for story in (mia, sam):
        story.sent(Status.DELIVERED)
    prices = ({"type": "regular"}, {"type": "free_customer_service"}, {"type": "regular"}, None)
    with ledger.writing() as tx:
        for n, price in enumerate(prices):
            for status in (Status.SENT, Status.DELIVERED):
                outbox.hear_all(tx, [Reported(f"wamid.priced{n}", status, NOW, pricing=price)], NOW)
    with ledger.reading() as tx:
        for number in (None, NUMBER):
            work = history.bot_work(tx, DAY, number)
            assert work == BotWork(conversations=2, with_a_person=1, turns=4, bubbles=6)
        assert history.bot_work(tx, DAY, "another") == BotWork(0, 0, 0, 0)
        assert (history.billed(tx, DAY), history.billed(tx, DAY, "another"), history.failed(tx, DAY)) == (2, 0, 0)


def test_what_failed_is_counted(ledger: Ledger) -> None:
    a_story(ledger).sent(refuse="This number is not on WhatsApp")
    with ledger.reading() as tx:
        assert history.failed(tx, DAY) == history.failed(tx, DAY, NUMBER) == 3
        assert history.failed(tx, DAY, "another") == 0
