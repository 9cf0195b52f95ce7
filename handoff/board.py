"""The board: what everybody's lists are drawn from, read once for all who look at the same time.

Nobody is shown anything old: who asks gets a reading that began after they asked. Those who ask while one is on its
way share the next; so many desks cost little more than one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from flask import Flask, current_app

from bot.clock import Clock
from bot.hours import Hours
from bot.ledger import teams, transcript
from bot.ledger.teams import Team
from bot.ledger.transaction import Ledger, Transaction
from bot.ledger.transcript import Conversation
from bot.timers import Standards
from bot.vocabulary import Holder
from handoff import members, tags
from handoff.members import Member

LISTED = 200
HELD = LISTED + 100  # so that a list is full without what its reader holds
REST = 0.05  # for each open tab: times the processor time of a reading the next one waits, for others want it, too …
REST_MAX_S = 0.5  # … but no longer
PATIENCE_S = 0.005  # for each open tab: so old may be what is read of the staff …
PATIENCE_MAX_S = 1.0  # … and no older

Value = TypeVar("Value")


@dataclass(frozen=True)
class Staff:
    """The people and teams who see to contacts, and their words for things, at one moment."""

    members: tuple[Member, ...]
    teams: tuple[Team, ...]  # that are not retired
    paces: Mapping[int, tuple[Hours, Standards]]  # of every team: those that are retired still hold some
    nobodys: frozenset[int]  # teams nobody works in
    tags: tuple[str, ...]  # that are used most


@dataclass(frozen=True)
class Board:
    """Who waits and who is held, at one moment, and who sees to them."""

    waiting: tuple[Conversation, ...]  # of all teams, in the order in which something would be lost; at most LISTED
    held: tuple[Conversation, ...] | None  # the newest with anybody, at most HELD; None: it was not asked for
    count: Mapping[Holder, int]
    staff: Staff


def read(tx: Transaction, now: datetime, staff_: Staff | None = None, *, held: bool = False) -> Board:
    """Return the board as it is now."""
    return Board(
        waiting=tuple(transcript.queue(tx, now, limit=LISTED)),
        held=tuple(transcript.list_of(tx, Holder.AGENT, limit=HELD)) if held else None,
        count=transcript.count_by_holder(tx),
        staff=staff_ or staff(tx, now),
    )


def staff(tx: Transaction, now: datetime) -> Staff:
    """Return who sees to contacts."""
    people, standing, paces = members.every(tx, now), teams.every(tx), teams.paces(tx)
    return Staff(
        members=tuple(people),
        teams=tuple(standing),
        paces=paces,
        nobodys=members.without(people, paces),
        tags=tuple(tags.in_use(tx)),
    )


class Shared(Generic[Value]):
    """Something many want to know at once, found out once for all of them."""

    def __init__(self, find_out: Callable[[], Value], tabs: Callable[[], int] = lambda: 0) -> None:
        self._find_out = find_out
        self._tabs = tabs
        self._news = threading.Condition()
        self._began = 0  # readings
        self._known: tuple[int, float, Value] | None = None  # which reading, begun when, found out what
        self._busy = False
        self._not_before = 0.0

    def get(self, *, patience_s: float = 0.0) -> Value:
        """Return what is true at some moment after this call, or was when it began, at most so many seconds before."""
        oldest = time.monotonic() - patience_s
        with self._news:
            wanted = self._began + 1
            while True:
                if self._known is not None and (self._known[0] >= wanted or self._known[1] >= oldest):
                    return self._known[2]
                if not self._busy:
                    self._busy = True
                    break
                self._news.wait()
        return self._lead()

    def _lead(self) -> Value:
        """Find out for whoever waits by now; when that fails, one of them tries next."""
        try:
            time.sleep(max(0.0, self._not_before - time.monotonic()))
            with self._news:
                self._began += 1
                mine = self._began
            at, began = time.monotonic(), time.thread_time()
            value = self._find_out()
            rest = self._tabs() * REST * (time.thread_time() - began)
            self._not_before = time.monotonic() + min(REST_MAX_S, rest)
            with self._news:
                self._known = mine, at, value
            return value
        finally:
            with self._news:
                self._busy = False
                self._news.notify_all()


class Boards:
    """The board, shared by all who look; with what is held for those who look at that."""

    def __init__(self, ledger: Ledger, now: Clock, tabs: Callable[[], int]) -> None:
        def board(*, held: bool) -> Board:
            people = self.staff()  # first: no transaction is open while this waits
            with ledger.reading() as tx:
                return read(tx, now(), people, held=held)

        def staff_() -> Staff:
            with ledger.reading() as tx:
                return staff(tx, now())

        self._plain = Shared(lambda: board(held=False), tabs)
        self._with_held = Shared(lambda: board(held=True), tabs)
        self._staff = Shared(staff_, tabs)
        self._tabs = tabs

    def get(self, *, held: bool = False) -> Board:
        """Return the board as it is at some moment after this call; for its staff see there."""
        return (self._with_held if held else self._plain).get()

    def staff(self) -> Staff:
        """Return who sees to contacts, now or, where many tabs are open, a moment ago; verbs look for themselves."""
        return self._staff.get(patience_s=min(PATIENCE_MAX_S, self._tabs() * PATIENCE_S))


def install(app: Flask, made: Boards) -> None:
    """Give an app its board."""
    app.extensions["baton.board"] = made


def boards() -> Boards:
    """Return the board of the app that answers this request."""
    found: Boards = current_app.extensions["baton.board"]
    return found
