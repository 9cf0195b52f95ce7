"""Whatever contacts, agents and the clock do in whatever order: one holder, nobody in the queue without a due time,
nobody forgotten, nobody told twice; the rows are compared with a model after every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.content.catalogue import Catalogue
from bot.content.telling import telling
from bot.conversation import window_is_open
from bot.errors import AlreadyTaken, NotYours
from bot.ledger import alarms, handoffs, promises, teams, transcript
from bot.ledger.tables import conversations, messages, metadata
from bot.ledger.tables import handoffs as handoffs_table
from bot.ledger.transaction import Ledger
from bot.messages import Text
from bot.settings import ROOT
from bot.updates import ContactRef
from bot.vocabulary import Author, Holder, Reason
from tests.factories import NOW, a_text, begun, ended, heard

CATALOGUE = Catalogue.load(ROOT / "data" / "responses")
WAITING = telling(CATALOGUE, "utter_handoff_waiting")
LATE, STILL = telling(CATALOGUE, "utter_promise_late"), telling(CATALOGUE, "utter_promise_still")
PEOPLE = 3
WEEKS = ("always", "Mon-Fri 9:00-17:00", "Tue 10:00-11:00")
contacts, agents = st.integers(0, PEOPLE - 1), st.sampled_from([1, 2])
REASONS = st.sampled_from([Reason.ASKED, Reason.NOT_UNDERSTOOD, Reason.LOST])
STEPS = st.one_of(
    st.tuples(st.just("asks"), contacts, REASONS),
    st.tuples(st.just("asks"), contacts, REASONS),
    st.tuples(
        st.just("time_passes"),
        st.sampled_from([1, 20, 20, 20, 9 * 60, 22 * 60 + 10, 25 * 60]),
        st.integers(0, 4).map(bool),
    ),
    st.tuples(
        st.just("time_passes"),
        st.sampled_from([1, 20, 20, 20, 9 * 60, 22 * 60 + 10, 25 * 60]),
        st.integers(0, 4).map(bool),
    ),
    st.tuples(st.just("writes"), contacts),
    st.tuples(st.just("cancels"), contacts),
    st.tuples(st.just("takes"), contacts, agents),
    st.tuples(st.just("lets_go"), contacts, agents, st.booleans()),
    st.tuples(st.just("the_hours_change"), st.sampled_from(WEEKS)),
)


@dataclass
class Waits:
    """What the model knows of one contact."""

    key: str
    id: int
    holder: Holder = Holder.BOT
    agent: int | None = None
    due: datetime | None = None  # the time first named since they joined the queue
    asked: datetime | None = None  # to open this window again
    late: int = 0  # how often they were told that it takes longer, since they joined the queue


class Queue:
    """Contacts, agents, the watch and the clock."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.now = NOW
        _empty(ledger)
        self.them: dict[int, Waits] = {}

    def _one(self, who: int) -> Waits:
        if who not in self.them:
            self._says(who, "hello")
        return self.them[who]

    def _says(self, who: int, words: str) -> None:
        """A contact writes; whatever the bot makes of it, it is silent."""
        ref = ContactRef(f"44770090010{who}", f"GB.{who}")
        waiting = heard(self.ledger, a_text(words, contact=ref, at=self.now), now=self.now)
        with self.ledger.reading() as tx:
            keys = transcript.keys_of(tx, waiting)
        for conversation_id, key in keys.items():
            self.them.setdefault(who, Waits(key, conversation_id))
            turn = begun(self.ledger, conversation_id, now=self.now)
            if turn is not None:
                ended(self.ledger, turn, silent=True, now=self.now)

    def writes(self, who: int) -> None:
        self._one(who)
        self._says(who, "are you there?")

    def asks(self, who: int, reason: Reason) -> None:
        one = self._one(who)
        with self.ledger.writing() as tx:
            if one.holder is Holder.AGENT:
                with pytest.raises(AlreadyTaken):
                    handoffs.hand_off(tx, one.key, reason=reason, wish="", slots={}, tell=WAITING, now=self.now)
                return
            result = handoffs.hand_off(tx, one.key, reason=reason, wish="", slots={}, tell=WAITING, now=self.now)
            due = tx.execute(
                sa.select(handoffs_table.c.due_at).where(handoffs_table.c.id == result.handoff_id)
            ).scalar()
        assert result.merged is (one.holder is Holder.QUEUE)
        if not result.merged:
            one.holder, one.due, one.late = Holder.QUEUE, due, 0
            self._is_kept_to_hours(due)

    def _is_kept_to_hours(self, due: datetime) -> None:
        with self.ledger.reading() as tx:
            hours = teams.team(tx).hours
        assert due > self.now and hours.is_open(due - timedelta(seconds=1)), "nobody is promised a night"

    def cancels(self, who: int) -> None:
        one = self._one(who)
        with self.ledger.writing() as tx:
            if one.holder is Holder.AGENT:
                with pytest.raises(AlreadyTaken):
                    handoffs.cancel(tx, one.key, words=Text("All right."), now=self.now)
                return
            assert handoffs.cancel(tx, one.key, words=Text("All right."), now=self.now) is (one.holder is Holder.QUEUE)
        one.holder = Holder.BOT

    def takes(self, who: int, agent: int) -> None:
        one = self._one(who)
        with self.ledger.writing() as tx:
            if one.holder is Holder.AGENT and one.agent != agent:
                with pytest.raises(AlreadyTaken):
                    handoffs.take(tx, one.key, agent_id=agent, agent_name=f"Agent {agent}", now=self.now)
                return
            new = handoffs.take(tx, one.key, agent_id=agent, agent_name=f"Agent {agent}", now=self.now)
        assert new is (one.holder is not Holder.AGENT)
        one.holder, one.agent = Holder.AGENT, agent

    def lets_go(self, who: int, agent: int, back: bool) -> None:
        one = self._one(who)
        with self.ledger.writing() as tx:
            if one.holder is not Holder.AGENT or one.agent != agent:
                with pytest.raises(NotYours):
                    handoffs.requeue(tx, one.key, agent_id=agent, now=self.now)
                return
            if back:
                handoffs.give_back(tx, one.key, agent_id=agent, words=Text("Goodbye."), now=self.now)
                one.holder, one.agent = Holder.BOT, None
                return
            handoffs.requeue(tx, one.key, agent_id=agent, now=self.now)
            due = tx.execute(sa.select(handoffs_table.c.due_at).where(_open(one.id))).scalar()
        one.holder, one.agent, one.due, one.late = Holder.QUEUE, None, due, 0
        self._is_kept_to_hours(due)

    def the_hours_change(self, week: str) -> None:
        """What was promised before stays as it is."""
        with self.ledger.writing() as tx:
            teams.change(tx, teams.FIRST, zone="Europe/London", week=week, exceptions="12-25 closed", within_min=15)

    def time_passes(self, minutes: int, watched: bool) -> None:
        """The watch may have been down meanwhile."""
        self.now += timedelta(minutes=minutes)
        if watched:
            self._the_watch_looks()

    def _the_watch_looks(self) -> None:
        before = self._desk_words()
        with self.ledger.writing() as tx:
            windows = {row.id: row.window_ends for row in tx.execute(sa.select(conversations))}
            promises.keep_windows_open(tx, self.now, STILL)
        asked = self._desk_words()
        with self.ledger.writing() as tx:
            promises.admit_broken(tx, self.now, LATE)
        broken = [one for one in self._waiting() if one.due is not None and one.due <= self.now]
        told = self._desk_words()
        for one in self.them.values():
            new = told.get(one.id, 0) - asked.get(one.id, 0)
            must = one in broken and not one.late and window_is_open(windows[one.id], self.now)
            assert new == must, "told when it breaks, once, and never who has a person"
            one.late += one in broken
            if asked.get(one.id, 0) > before.get(one.id, 0):
                assert one.holder is Holder.QUEUE and one.asked != windows[one.id], "once for each window"
                one.asked = windows[one.id]
        with self.ledger.reading() as tx:
            assert alarms.is_raised(tx, promises.ALARM) is any(one.late for one in self._waiting())

    def _waiting(self) -> list[Waits]:
        return [one for one in self.them.values() if one.holder is Holder.QUEUE]

    def _desk_words(self) -> dict[int, int]:
        """How many automatic words of the desk each has had."""
        said = messages.c.author == Author.DESK
        with self.ledger.reading() as tx:
            rows = tx.execute(
                sa.select(messages.c.conversation_id, sa.func.count())
                .where(said, messages.c.text != "Goodbye.")
                .group_by(messages.c.conversation_id)
            )
            return {row[0]: row[1] for row in rows}

    def check(self) -> None:
        """After every step: one holder, one open handoff where a person is asked, due, and in the queue once."""
        with self.ledger.reading() as tx:
            held = {row.id: (row.holder, row.agent_id) for row in tx.execute(sa.select(conversations))}
            open_ = tx.execute(sa.select(handoffs_table).where(handoffs_table.c.closed_at.is_(None))).all()
            queue = [one.id for one in transcript.queue(tx, self.now)]
        assert held == {one.id: (one.holder, one.agent) for one in self.them.values()}
        with_people = [one.id for one in self.them.values() if one.holder is not Holder.BOT]
        assert sorted(row.conversation_id for row in open_) == sorted(with_people)
        due = {row.conversation_id: row for row in open_}
        for one in self._waiting():
            row = due[one.id]
            assert row.due_at is not None and row.taken_at is None
            assert (row.broken_at is not None) is bool(one.late)
            assert row.due_at == one.due, "asking again, or new hours, move nobody's due time"
        assert sorted(queue) == sorted(one.id for one in self._waiting()), "everybody who waits, each once"


def _open(conversation_id: int) -> Any:
    return (handoffs_table.c.conversation_id == conversation_id) & handoffs_table.c.closed_at.is_(None)


def _empty(ledger: Ledger) -> None:
    """Forget everything but the team, who is always there again."""
    with ledger.writing() as tx:
        for table in reversed(metadata.sorted_tables):
            if table.name != "teams":
                tx.execute(sa.delete(table))
        teams.change(tx, teams.FIRST, zone="UTC", week="always", exceptions="", within_min=15)


@settings(
    max_examples=30, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(steps=st.lists(STEPS, min_size=15, max_size=40))
def test_every_promise_is_kept_or_admitted_whatever_happens(ledger: Ledger, steps: list[tuple[Any, ...]]) -> None:
    queue = Queue(ledger)
    for name, *what in steps:
        getattr(queue, name)(*what)
        queue.check()
