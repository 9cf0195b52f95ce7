"""Whatever contacts, agents, teams and the clock do in whatever order: one holder, nobody with more than they may hold,
nobody in the queue without a due time, nobody forgotten, nobody told twice; the rows are compared with a model after
every step.
"""

from __future__ import annotations

from collections import Counter
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
from bot.errors import AlreadyTaken, AtCapacity, NotYours
from bot.ledger import alarms, handoffs, needs, promises, teams, transcript
from bot.ledger.tables import conversations, messages, metadata
from bot.ledger.tables import handoffs as handoffs_table
from bot.ledger.transaction import Ledger
from bot.messages import Text
from bot.settings import ROOT
from bot.updates import ContactRef
from bot.vocabulary import Author, Holder, NeedOf, Reason, Role, Routing
from handoff import assignments, giving, members
from handoff.roles import Account
from handoff.tables import accounts
from tests.factories import NOW, a_text, begun, ended, heard

CATALOGUE = Catalogue.load(ROOT / "data" / "responses")
WAITING = telling(CATALOGUE, "utter_handoff_waiting")
LATE, STILL = telling(CATALOGUE, "utter_promise_late"), telling(CATALOGUE, "utter_promise_still")
PEOPLE = 4
MOST = 2  # conversations one agent may hold
AWAY = timedelta(minutes=30)  # then what an agent has left is in the queue again
AGENTS = {n: Account(n, f"agent{n}@fernhill.example", f"Agent {n}", Role.AGENT) for n in (1, 2)}
TEAMS = ("Service", "Returns")  # agents take from the first; the desk gives those of the second
WEEKS = ("always", "Mon-Fri 9:00-17:00", "Tue 10:00-11:00")
contacts, agents = st.integers(0, PEOPLE - 1), st.sampled_from([1, 2])
REASONS = st.sampled_from([Reason.ASKED, Reason.NOT_UNDERSTOOD, Reason.LOST])
STEPS = st.one_of(
    st.tuples(st.just("asks"), contacts, REASONS, st.booleans()),
    st.tuples(st.just("asks"), contacts, REASONS, st.booleans()),
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
    st.tuples(st.just("takes"), contacts, agents),
    st.tuples(st.just("lets_go"), contacts, agents, st.booleans()),
    st.tuples(st.just("passes_on"), contacts, agents, agents),
    st.tuples(st.just("passes_to_team"), contacts, agents, st.sampled_from(TEAMS)),
    st.tuples(st.just("the_desk_gives")),
    st.tuples(st.just("agents_have_left")),
    st.tuples(st.just("steps_away"), agents, st.booleans()),
    st.tuples(st.just("the_hours_change"), st.sampled_from(TEAMS), st.sampled_from(WEEKS)),
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
    team: str = TEAMS[0]


class Queue:
    """Contacts, agents, the watch and the clock."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.now = NOW
        _empty(ledger)
        self.them: dict[int, Waits] = {}
        self.away: set[int] = set()

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

    def asks(self, who: int, reason: Reason, boots: bool) -> None:
        """Whoever speaks of boots is the second team's."""
        one, wish = self._one(who), "my boots" if boots else ""
        with self.ledger.writing() as tx:
            if one.holder is Holder.AGENT:
                with pytest.raises(AlreadyTaken):
                    handoffs.hand_off(tx, one.key, reason=reason, wish=wish, slots={}, tell=WAITING, now=self.now)
                return
            result = handoffs.hand_off(tx, one.key, reason=reason, wish=wish, slots={}, tell=WAITING, now=self.now)
            due = tx.execute(
                sa.select(handoffs_table.c.due_at).where(handoffs_table.c.id == result.handoff_id)
            ).scalar()
        assert result.merged is (one.holder is Holder.QUEUE)
        if not result.merged:
            one.holder, one.due, one.late, one.team = Holder.QUEUE, due, 0, TEAMS[boots]
            self._is_kept_to_hours(one, due)

    def _is_kept_to_hours(self, one: Waits, due: datetime) -> None:
        with self.ledger.reading() as tx:
            hours = teams.named(tx, one.team).hours
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
        has_it = one.holder is Holder.AGENT and one.agent == agent
        with self.ledger.writing() as tx:
            if one.holder is Holder.AGENT and not has_it:
                with pytest.raises(AlreadyTaken, match=f"Agent {one.agent} has it"):
                    assignments.take(tx, one.key, AGENTS[agent], self.now)
                return
            if not has_it and self._load()[agent] == MOST:
                with pytest.raises(AtCapacity):
                    assignments.take(tx, one.key, AGENTS[agent], self.now)
                return
            new = assignments.take(tx, one.key, AGENTS[agent], self.now)
        assert new is not has_it
        self._has(one, agent)

    def _has(self, one: Waits, agent: int) -> None:
        if one.holder is Holder.BOT:
            one.team = TEAMS[0]  # they stepped in: no wish is known
        one.holder, one.agent = Holder.AGENT, agent

    def _load(self) -> Counter[int | None]:
        return Counter(one.agent for one in self.them.values() if one.holder is Holder.AGENT)

    def passes_on(self, who: int, agent: int, to: int) -> None:
        """To a colleague, or to oneself, which changes nothing."""
        one, colleague = self._one(who), AGENTS[to].email
        with self.ledger.writing() as tx:
            if one.holder is Holder.AGENT and one.agent == to:
                assignments.transfer(tx, one.key, AGENTS[agent], colleague, "", client_key=None, now=self.now)
                return
            if one.holder is not Holder.AGENT or one.agent != agent:
                with pytest.raises(NotYours):
                    assignments.transfer(tx, one.key, AGENTS[agent], colleague, "", client_key=None, now=self.now)
                return
            if self._load()[to] == MOST:
                with pytest.raises(AtCapacity, match=f"Agent {to} holds {MOST}"):
                    assignments.transfer(tx, one.key, AGENTS[agent], colleague, "", client_key=None, now=self.now)
                return
            assignments.transfer(tx, one.key, AGENTS[agent], colleague, "", client_key=None, now=self.now)
        one.agent = to

    def passes_to_team(self, who: int, agent: int, team: str) -> None:
        one = self._one(who)
        with self.ledger.writing() as tx:
            if one.holder is Holder.QUEUE and one.team == team:
                assignments.transfer_to_team(tx, one.key, AGENTS[agent], team, "", client_key=None, now=self.now)
                return
            if one.holder is not Holder.AGENT or one.agent != agent:
                with pytest.raises(NotYours):
                    assignments.transfer_to_team(tx, one.key, AGENTS[agent], team, "", client_key=None, now=self.now)
                return
            assignments.transfer_to_team(tx, one.key, AGENTS[agent], team, "", client_key=None, now=self.now)
        one.team = team
        self._waits_again(one)

    def _waits_again(self, one: Waits) -> None:
        with self.ledger.reading() as tx:
            due = tx.execute(sa.select(handoffs_table.c.due_at).where(_open(one.id))).scalar()
        one.holder, one.agent, one.due, one.late = Holder.QUEUE, None, due, 0
        self._is_kept_to_hours(one, due)

    def the_desk_gives(self) -> None:
        """Those who wait for the second team, while it is there, to whoever is there and has room."""
        there = {agent for agent in AGENTS if agent not in self.away}
        with self.ledger.writing() as tx:
            for agent in there:
                members.see(tx, agent, self.now)
            is_open = teams.named(tx, TEAMS[1]).hours.is_open(self.now)
            given = giving.give(tx, self.now)
            held = {row.id: row.agent_id for row in tx.execute(sa.select(conversations)) if row.agent_id is not None}
        theirs = [one for one in self._waiting() if one.team == TEAMS[1]]
        room = sum(MOST - self._load()[agent] for agent in there) if is_open else 0
        assert given == min(len(theirs), room), "nobody waits while somebody who may have them is free"
        got = [one for one in theirs if one.id in held]
        assert len(got) == given and all(held[one.id] in there for one in got)
        for one in got:
            self._has(one, held[one.id])

    def agents_have_left(self) -> None:
        """What contacts have waited for too long is in the queue again."""
        with self.ledger.writing() as tx:
            left = handoffs.kept_waiting(tx, self.now - AWAY)
            assert all(handoffs.leave(tx, waits, tell=LATE, now=self.now) for waits in left)
            assert handoffs.kept_waiting(tx, self.now - AWAY) == []
        by_id = {one.id: one for one in self.them.values()}
        for waits in left:
            one = by_id[waits.conversation_id]
            assert (one.holder, one.agent) == (Holder.AGENT, waits.agent_id)
            self._waits_again(one)

    def steps_away(self, agent: int, back: bool) -> None:
        with self.ledger.writing() as tx:
            members.be(tx, agent, available=back, now=self.now)
        self.away = self.away - {agent} if back else self.away | {agent}

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
        self._waits_again(one)

    def the_hours_change(self, team: str, week: str) -> None:
        """What was promised before stays as it is."""
        with self.ledger.writing() as tx:
            team_id = teams.named(tx, team).id
            teams.change(tx, team_id, zone="Europe/London", week=week, exceptions="12-25 closed", within_min=15)

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
        """After every step: one holder, nobody with too many, one open handoff where a person is asked, due, and in the
        queue once.
        """
        with self.ledger.reading() as tx:
            held = {row.id: (row.holder, row.agent_id) for row in tx.execute(sa.select(conversations))}
            open_ = tx.execute(sa.select(handoffs_table).where(handoffs_table.c.closed_at.is_(None))).all()
            queue = [one.id for one in transcript.queue(tx, self.now)]
            names = teams.names(tx)
        assert held == {one.id: (one.holder, one.agent) for one in self.them.values()}
        assert all(count <= MOST for agent, count in Counter(agent for _, agent in held.values()).items() if agent)
        with_people = [one.id for one in self.them.values() if one.holder is not Holder.BOT]
        assert sorted(row.conversation_id for row in open_) == sorted(with_people)
        due = {row.conversation_id: row for row in open_}
        for one in self._waiting():
            row = due[one.id]
            assert row.due_at is not None and row.taken_at is None and names[row.team_id] == one.team
            assert (row.broken_at is not None) is bool(one.late)
            assert row.due_at == one.due, "asking again, or new hours, move nobody's due time"
        assert sorted(queue) == sorted(one.id for one in self._waiting()), "everybody who waits, each once"


def _open(conversation_id: int) -> Any:
    return (handoffs_table.c.conversation_id == conversation_id) & handoffs_table.c.closed_at.is_(None)


def _empty(ledger: Ledger) -> None:
    """Forget everything but the first team, who is always there again; there are two agents, and a second team."""
    with ledger.writing() as tx:
        for table in reversed(metadata.sorted_tables):
            if table.name != "teams":
                tx.execute(sa.delete(table))
        tx.execute(sa.delete(metadata.tables["teams"]).where(metadata.tables["teams"].c.id != teams.FIRST))
        teams.change(tx, teams.FIRST, zone="UTC", week="always", exceptions="", within_min=15)
        second = teams.make(tx, TEAMS[1]).id
        teams.route(tx, second, routing=Routing.LEAST_LOADED, capacity=MOST)
        needs.add(tx, of=NeedOf.WORD, value="boots", skill="", team_id=second)
        for agent in AGENTS.values():
            row = {"id": agent.id, "email": agent.email, "name": agent.name, "role": agent.role, "created_at": NOW}
            tx.execute(sa.insert(accounts).values(**row, password_hash="", must_change_password=False))
            members.work_in(tx, agent.id, {teams.FIRST, second})
            members.equip(tx, agent.id, skills=(), own=MOST)


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
