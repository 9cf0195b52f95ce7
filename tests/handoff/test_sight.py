"""Who looks at what is known to everybody within a second or two, for few writes, and forgotten by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from bot.ledger.transaction import Ledger
from handoff import live, looks
from handoff.feed import Feed
from handoff.looks import LASTS, Look
from handoff.sight import Sight
from handoff.tables_desk import looks as rows_of_looks
from handoff.unread import Read
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.conftest import Clock


def test_two_processes_know_of_each_other_who_looks_and_who_types(ledger: Ledger, clock: Clock) -> None:
    ann, ben = (
        seeding.an_account(ledger, name="Ann Lee"),
        seeding.an_account(ledger, "ben@fernhill.example", name="Ben"),
    )
    story = seeding.a_handoff(ledger, NOW)
    tails = [Feed(ledger), Feed(ledger)]
    here, there = (Sight(ledger, tail, clock) for tail in tails)
    box = tails[1].subscribe()
    here.looks(Look(ann.id, story.id))
    here.tick()
    there.tick()
    assert [one.name for one in there.at(story.key, besides=ben.id)] == ["Ann Lee"]
    assert not there.at(story.key, besides=ann.id), "nobody is told of themselves"
    signals = box.take(0)
    assert signals is not None and signals.looking == (story.key,)
    assert live.render(signals) == f"event: looking-{story.key}\ndata: {story.key}\n\n"
    here.looks(Look(ann.id, story.id), types=True)
    here.tick()
    there.tick()
    assert [one.types for one in there.at(story.key, besides=ben.id)] == [True]
    clock.forward(seconds=10)
    there.tick()
    assert [one.types for one in there.at(story.key, besides=ben.id)] == [False]
    here.leaves(Look(ann.id, story.id))
    here.tick()
    there.tick()
    assert not there.at(story.key, besides=ben.id)


def test_a_browser_that_says_nothing_more_is_forgotten(ledger: Ledger, clock: Clock) -> None:
    ann = seeding.an_account(ledger)
    story = seeding.a_handoff(ledger, NOW)
    tail = Feed(ledger)
    tail.subscribe()
    sight = Sight(ledger, tail, clock)
    sight.looks(Look(ann.id, story.id))
    sight.tick()
    clock.forward(seconds=LASTS.total_seconds() + 1)
    sight.tick()
    assert not sight.at(story.key, besides=0)
    with ledger.writing() as tx:
        looks.forget_old(tx, clock() + timedelta(minutes=5))
        assert tx.execute(sa.select(sa.func.count()).select_from(rows_of_looks)).scalar() == 0


def test_199_desks_that_look_and_read_are_a_few_small_transactions(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [seeding.an_account(ledger, f"a{n}@fernhill.example").id for n in range(20)]
    story = seeding.a_handoff(ledger, NOW)
    sight = Sight(ledger, Feed(ledger), clock)
    written: list[int] = []
    writing = ledger.writing

    def counted(**also: bool):  # type: ignore[no-untyped-def]
        written.append(1)
        return writing(**also)

    monkeypatch.setattr(ledger, "writing", counted)
    for account_id in accounts:
        sight.opens(account_id)
    for _ in range(60):  # a minute; every browser speaks up every 20 seconds
        if not _ % 20:
            for account_id in accounts:
                sight.looks(Look(account_id, story.id))
                sight.reads(Read(account_id, story.id, 1, clock()))
        sight.tick()
        clock.forward(seconds=1)
    assert len(written) <= 8


def test_who_else_looks_is_said_in_words(browser: FlaskClient, quick_ledger: Ledger) -> None:
    story = seeding.a_handoff(quick_ledger, NOW)
    for words in ({"read": "3", "types": "yes"}, {"read": "x"}, {"left": "1"}):
        assert browser.post(f"/conversations/{story.key}/sight", data=words).status_code == 204
    assert browser.get(f"/conversations/{story.key}/lookers").text == ""
    assert browser.post("/conversations/nobody/sight").status_code == 404
