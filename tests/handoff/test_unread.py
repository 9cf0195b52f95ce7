"""What an agent has not read yet, and what they were told by name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from bot.ledger import transcript
from bot.ledger.transaction import Ledger
from bot.vocabulary import Role
from handoff import assignments, mentions, pages, unread
from handoff.filters import Filters
from handoff.pages import Chosen, Row, Show
from handoff.roles import Account
from handoff.unread import Read
from handoff.viewing import Viewer
from handoff.words import zone
from tests.factories import NOW, later
from tests.handoff import seeding
from tests.handoff.seeding import Story


def rows(ledger: Ledger, who: Account, show: Show = Show.MINE, filters: Filters | None = None) -> list[Row]:
    with ledger.reading() as tx:
        return pages.rows(tx, Viewer(who, NOW, zone(None)), Chosen(show, filters or Filters())).rows


def reads(ledger: Ledger, who: Account, story: Story, message_id: int, at: datetime = NOW) -> None:
    with ledger.writing() as tx:
        unread.read(tx, Read(who.id, story.id, message_id, at))


def newest(ledger: Ledger, story: Story) -> int:
    with ledger.reading() as tx:
        return max(message.id for message in transcript.messages_of(tx, story.id))


def test_each_agent_has_unread_what_they_have_not_seen_and_reading_never_goes_back(ledger: Ledger) -> None:
    ann, ben = seeding.an_account(ledger), seeding.an_account(ledger, "ben@fernhill.example")
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(ann)
    reads(ledger, ann, story, newest(ledger, story))
    assert [row.unread for row in rows(ledger, ann)] == [0]
    story.says("one", intent=None)
    story.says("two", intent=None)
    seen = newest(ledger, story)
    assert [row.unread for row in rows(ledger, ann)] == [2]
    assert [row.unread for row in rows(ledger, ben, Show.OTHERS)] == [0], "nothing a colleague has is news to Ben"
    with ThreadPoolExecutor(8) as pool:  # eight tabs, and one of them is behind
        list(pool.map(lambda n: reads(ledger, ann, story, seen - n % 2, later(60 + n)), range(8)))
    assert [row.unread for row in rows(ledger, ann)] == [0]
    reads(ledger, ann, story, 1, later(90))
    assert [row.unread for row in rows(ledger, ann)] == [0]


def test_what_was_marked_unread_stays_so_whatever_was_seen_before(ledger: Ledger) -> None:
    ann = seeding.an_account(ledger)
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(ann)
    story.says("are you there?", intent=None)
    last = newest(ledger, story)
    reads(ledger, ann, story, last)
    with ledger.writing() as tx:
        unread.mark_unread(tx, story.key, ann, later(10))
    reads(ledger, ann, story, last, later(9))  # was seen before, and is written down after
    assert [row.unread for row in rows(ledger, ann)] == [1]
    assert len(rows(ledger, ann, filters=Filters(unread=True))) == 1
    reads(ledger, ann, story, last, later(11))
    assert not rows(ledger, ann, filters=Filters(unread=True))


def test_who_waits_is_unread_for_everybody_who_has_not_looked(ledger: Ledger) -> None:
    ann, ben = seeding.an_account(ledger), seeding.an_account(ledger, "ben@fernhill.example")
    story = seeding.a_handoff(ledger, NOW)
    story.says("hello?", intent=None)
    reads(ledger, ann, story, newest(ledger, story))
    assert [row.unread for row in rows(ledger, ann, Show.QUEUE)] == [0]
    assert [row.unread for row in rows(ledger, ben, Show.QUEUE)] == [1]


def test_a_colleague_named_in_a_note_is_told_once_until_they_have_seen_it(ledger: Ledger) -> None:
    ann = seeding.an_account(ledger, name="Ann Lee")
    ben = seeding.an_account(ledger, "ben.okoro@fernhill.example", Role.CONTENT, "Ben Okoro")
    story = seeding.a_handoff(ledger, NOW)
    with ledger.writing() as tx:
        for _ in range(2):
            assignments.note(tx, story.key, ann, "@ben.okoro, mail me: x@ann.example; @ann", client_key="k", now=NOW)
    with ledger.reading() as tx:
        assert list(mentions.unseen(tx, ben.id)) == [story.id]
        assert not mentions.unseen(tx, ann.id), "nobody is told of their own note"
    assert [row.key for row in rows(ledger, ben, Show.MENTIONS)] == [story.key]
    with ledger.writing() as tx:
        mentions.seen(tx, ben.id, story.id, NOW)
    with ledger.reading() as tx:
        assert not mentions.unseen(tx, ben.id)
    assert [row.key for row in rows(ledger, ben, Show.MENTIONS)] == [story.key], "it stays in the list for a while"


def test_a_name_is_a_handle_a_whole_name_or_a_first_name_only_one_has() -> None:
    people = [
        mentions.Colleague(1, "ann", "Ann Lee"),
        mentions.Colleague(2, "b.okoro", "Ben Okoro"),
        mentions.Colleague(3, "sue", "Ann Smith"),
    ]
    said = {"@ann": {1}, "@Ben!": {2}, "@benokoro": {2}, "(@sue.)": {3}, "me@ann": set(), "@nobody": set()}
    assert {text: mentions.meant(text, people) for text in said} == said
