"""The feed tells everybody what changed, whatever order the database shows it in."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from bot.ledger import alarms, changes
from bot.ledger.transaction import Ledger
from bot.vocabulary import Change
from handoff import feed as feeds
from handoff.feed import Feed
from handoff.live import render
from tests.factories import NOW
from tests.handoff import seeding


def a_feed(ledger: Ledger) -> Feed:
    tail = Feed(ledger)
    tail.look()
    return tail


def test_a_change_reaches_every_mailbox_once(ledger: Ledger) -> None:
    story = seeding.a_conversation(ledger, NOW)
    tail = a_feed(ledger)
    boxes = [tail.subscribe(), tail.subscribe()]
    with ledger.writing() as tx:
        changes.note(tx, story.id, Change.NOTE, NOW)
        changes.note(tx, story.id, Change.NOTE, NOW)
        changes.note(tx, story.id, Change.MOVE, NOW)
    for _ in range(3):
        tail.look()
    for box in boxes:
        signals = box.take(0)
        assert signals is not None
        assert signals.kinds == {story.key: (Change.NOTE, Change.MOVE)}
        assert box.take(0) is None


def test_what_commits_late_under_a_lower_number_is_told_too(ledger: Ledger) -> None:
    if ledger.is_sqlite:
        return  # it has one writer: numbers commit in order
    slow, fast = (seeding.a_conversation(ledger, NOW, phone=phone) for phone in ("1", "2"))
    tail = a_feed(ledger)
    box = tail.subscribe()
    with ledger.writing() as held_open:
        changes.note(held_open, slow.id, Change.MESSAGE, NOW)  # numbered first …
        with ledger.writing() as tx:
            changes.note(tx, fast.id, Change.MESSAGE, NOW)  # … committed second
        tail.look()
        first = box.take(0)
        assert first is not None and set(first.kinds) == {fast.key}
        tail.look()
        assert box.take(0) is None
    tail.look()
    second = box.take(0)
    assert second is not None and set(second.kinds) == {slow.key}
    tail.look()
    assert box.take(0) is None


def test_a_number_that_never_comes_is_forgotten(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    story = seeding.a_conversation(ledger, NOW)
    tail = a_feed(ledger)
    with ledger.engine.connect() as connection:
        kept = connection.execution_options(baton_writes=True).begin()
        for _ in range(5):
            changes.note(connection, story.id, Change.NOTE, NOW)
        kept.rollback()
    with ledger.writing() as tx:
        changes.note(tx, story.id, Change.NOTE, NOW)
    tail.look()
    assert len(tail._skipped) == (0 if ledger.is_sqlite else 5)
    monkeypatch.setattr(feeds, "SKIPPED_KEPT_S", 0.0)
    tail.look()
    assert tail._skipped == {}


def test_thousands_of_changes_do_not_fill_a_mailbox(ledger: Ledger) -> None:
    story = seeding.a_conversation(ledger, NOW)
    tail = a_feed(ledger)
    box = tail.subscribe()
    with ledger.writing() as tx:
        tx.execute(sa.insert(changes.changes), [{"conversation_id": story.id, "kind": Change.STATUS, "at": NOW}] * 2500)
    tail.look()
    signals = box.take(0)
    assert signals is not None and signals.kinds == {story.key: (Change.STATUS,)}
    box.put(1, [(f"key{n}", Change.STATUS) for n in range(feeds.MAILBOX_MAX + 1)])
    full = box.take(0)
    assert full is not None and full.everything and full.kinds == {}


def test_an_alarm_is_told_when_it_is_raised_and_when_it_is_cleared(ledger: Ledger) -> None:
    tail = a_feed(ledger)
    box = tail.subscribe()
    for verb in (lambda tx: alarms.raise_alarm(tx, "a", "b", NOW), lambda tx: alarms.clear(tx, "a")):
        with ledger.writing() as tx:
            verb(tx)
        tail.look()
        signals = box.take(0)
        assert signals is not None and signals.alarms


def test_the_feed_survives_a_broken_database(quick_ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    tail = Feed(quick_ledger)
    with quick_ledger.writing() as tx:
        tx.execute(sa.text("ALTER TABLE changes RENAME TO gone"))
    with caplog.at_level(logging.WARNING, logger="handoff.feed"):
        tail.start()
        _wait_for(lambda: any("can't read" in record.message for record in caplog.records))
        with quick_ledger.writing() as tx:
            tx.execute(sa.text("ALTER TABLE gone RENAME TO changes"))
        _wait_for(lambda: any("again" in record.message for record in caplog.records[1:]))
    assert tail.age() < 5
    tail.stop()


def test_a_signal_says_which_conversation_and_never_what_was_said() -> None:
    told = render(feeds.Signals(7, {"abc": (Change.MESSAGE, Change.MOVE)}))
    assert told == "id: 7\nevent: conversation-abc\ndata: abc message,move\n\nevent: changed\ndata: 1\n\n"


def _wait_for(true: object) -> None:
    ends = time.monotonic() + 8
    while not true():  # type: ignore[operator]
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_old_changes_are_forgotten_and_the_feed_goes_on(ledger: Ledger) -> None:
    story = seeding.a_conversation(ledger, NOW)
    with ledger.writing() as tx:
        for day in range(6):
            changes.note(tx, story.id, Change.NOTE, NOW + timedelta(days=day))
    tail = a_feed(ledger)
    box = tail.subscribe()
    with ledger.writing() as tx:
        newest = changes.latest(tx)
        while changes.prune(tx, NOW + timedelta(days=3), limit=2):
            pass
        assert [change.id for change in changes.after(tx, 0)] == [newest - 2, newest - 1, newest]
        while changes.prune(tx, NOW + timedelta(days=30), limit=2):
            pass
        assert [change.id for change in changes.after(tx, 0)] == [newest], "it is where the feed is"
        changes.note(tx, story.id, Change.MOVE, NOW + timedelta(days=31))
    for later in (tail, a_feed(ledger)):  # one that was there before, and one that begins now
        later.look()
    signals = box.take(0)
    assert signals is not None and signals.kinds == {story.key: (Change.MOVE,)} and signals.cursor == newest + 1
