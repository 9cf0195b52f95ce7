"""How long a contact may wait at each step, and when somebody has to be warned. Pure.

Three timers run while a person is needed: until the *first* answer (what was promised), until each *next* one, and
until the handoff is *closed*. All of them count opening time. While a handoff is snoozed nobody is warned; what its
contact waits is counted all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from bot.hours import Hours

NEVER = timedelta(0)
WARNS = timedelta(minutes=5)  # before a timer runs out …
WARNS_SHARE = 4  # … or when a quarter of its time is left, if that is less


class Timer(str, Enum):
    """What has to be done in time."""

    FIRST = "first"
    NEXT = "next"
    CLOSE = "close"


class Light(str, Enum):
    """How a timer stands; a page shows it as a colour and as words."""

    CALM = "calm"
    SOON = "soon"
    LATE = "late"


@dataclass(frozen=True)
class Standards:
    """What a team wants to keep, of opening time, beside the promise, which is the first answer; NEVER: no wish."""

    next: timedelta = timedelta(minutes=30)
    close: timedelta = NEVER


@dataclass(frozen=True)
class Running:
    """One timer that runs."""

    timer: Timer
    due_at: datetime
    lasts: timedelta

    def light(self, now: datetime) -> Light:
        """Say how it stands."""
        if now >= self.due_at:
            return Light.LATE
        soon = min(WARNS, self.lasts / WARNS_SHARE) if self.lasts else WARNS
        return Light.SOON if self.due_at - now <= soon else Light.CALM


@dataclass(frozen=True)
class Spoken:
    """One message of a handoff, as timers see it."""

    at: datetime
    ours: bool  # an agent's; else the contact's
    asks: bool = True  # it may want an answer (see bot.conversation.wants_an_answer)


@dataclass(frozen=True)
class Waits:
    """How a handoff has gone so far."""

    first_answer_at: datetime | None
    next_worst: timedelta  # the longest somebody waited who had been answered before, of opening time
    since: datetime | None  # the contact waits since then for an answer to what they wrote
    quiet_since: datetime | None  # nobody has said anything since


def waits(spoken: Iterable[Spoken], asked_at: datetime, hours: Hours, now: datetime) -> Waits:
    """Read from what was said how long the contact waited; what they wait at this moment counts."""
    first: datetime | None = None
    since: datetime | None = None
    last: datetime | None = None
    worst = timedelta(0)
    for one in spoken:
        last = one.at
        if not one.ours:
            since = since or (max(one.at, asked_at) if one.asks else None)
            continue
        if first is not None and since is not None:
            worst = max(worst, hours.between(since, one.at))
        first, since = first or one.at, None
    if first is not None and since is not None:
        worst = max(worst, hours.between(since, now))
    return Waits(first, worst, since, last)


def running(
    *,
    asked_at: datetime,
    promised_at: datetime | None,
    due_at: datetime | None,
    answered: bool,
    since: datetime | None,
    standards: Standards,
    hours: Hours,
) -> Running | None:
    """Return the timer that runs out first, or None if nothing is owed.

    `since` is when the contact wrote what nobody has answered, `answered` whether a person ever did since they asked.
    """
    found = []
    if not answered and due_at is not None:
        found.append(Running(Timer.FIRST, due_at, due_at - (promised_at or asked_at)))
    elif since is not None and standards.next:
        found.append(_after(Timer.NEXT, since, standards.next, hours))
    if standards.close:
        found.append(_after(Timer.CLOSE, asked_at, standards.close, hours))
    return min(found, key=lambda one: one.due_at, default=None)


def _after(timer: Timer, since: datetime, lasts: timedelta, hours: Hours) -> Running:
    return Running(timer, hours.after(since, lasts) or since + lasts, lasts)
