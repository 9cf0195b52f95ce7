"""When a person will answer, and who comes first: what a contact is told, and the order of the queue. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from statistics import median, quantiles

from bot.conversation import WINDOW_MARGIN
from bot.hours import Hours
from bot.vocabulary import Reason

ENOUGH_TOLD = 5  # handoffs that were taken; with fewer nobody can say how long it takes
MOST_EXPECTED = timedelta(hours=12)  # of opening time; a guess beyond that is none
AT_LEAST = timedelta(minutes=5)  # nobody is promised less
BEFORE_WINDOW_CLOSES = timedelta(minutes=30)  # an agent needs them to read and to answer
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip

# The weight of each reason: how much sooner than promised somebody is wanted there. As a time and not as a number, so
# that it can be said ("ten minutes ahead") and so that who weighs little is still reached.
HEAD_STARTS: dict[Reason, timedelta] = {
    Reason.SENSITIVE: timedelta(minutes=30),  # somebody may come to harm
    Reason.FRUSTRATED: timedelta(minutes=15),  # they are about to leave
    Reason.LOST: timedelta(minutes=10),  # we have failed them
    Reason.SILENT: timedelta(minutes=10),
    Reason.UNDELIVERED: timedelta(minutes=10),
    Reason.FORM_FAILED: timedelta(minutes=5),  # they have tried for long
    Reason.NOT_UNDERSTOOD: timedelta(minutes=5),
    Reason.BACKOFFICE_DOWN: timedelta(0),  # ordinary matters
    Reason.ASKED: timedelta(0),
    Reason.UNREADABLE: timedelta(0),
    Reason.LANGUAGE: timedelta(0),
    Reason.STEPPED_IN: timedelta(0),  # put back by who had them
    Reason.PHONE: timedelta(0),
    Reason.FLOOD: -timedelta(hours=2),
    Reason.MACHINE: -timedelta(hours=2),  # another bot can wait
}
CAME_BACK = timedelta(minutes=30)  # ahead of the others: who was served, was given back and needs a person again


class Telling(str, Enum):
    """What the contact can truthfully be told; the last part of a response's name, utter_promise_…"""

    NEXT = "next"  # in line, nobody before them; how long is not known
    PLACE = "place"  # in line; how long is not known
    NEXT_WAIT = "next_wait"
    WAIT = "wait"  # in line, and how long that usually takes
    CLOSING = "closing"  # people may have left before it is their turn
    CLOSED = "closed"  # nobody is there now
    AWAY = "away"  # nobody is there, and nobody knows when


@dataclass(frozen=True)
class Waited:
    """How long somebody waited who was taken, of opening time, and from which place in the queue."""

    place: int
    wait: timedelta


@dataclass(frozen=True)
class Promise:
    """When a person will answer at the latest, and what the contact is told of it."""

    due_at: datetime
    place: int  # in the queue, from 1
    telling: Telling
    wait: timedelta | None  # that it usually takes
    opens_at: datetime | None  # people are back then
    closes_at: datetime | None

    def words(self, now: datetime, hours: Hours) -> dict[str, str]:
        """Return the values of its response."""
        return {
            "place": str(self.place),
            "wait": span(self.wait) if self.wait is not None else "",
            "opens": moment(self.opens_at, now, hours) if self.opens_at is not None else "",
            "closes": clock(self.closes_at, hours) if self.closes_at is not None else "",
        }


def promise(now: datetime, hours: Hours, place: int, history: Sequence[Waited], within: timedelta) -> Promise:
    """Return what can be promised to whoever is at this place now.

    `within` is the team's own standard, in opening time. If those before needed longer, more is promised: a time that
    four of five were answered in.
    """
    usual, safe = _expected(place, history)
    lasts = max(within, safe or within, AT_LEAST)
    opens = hours.opens(now)
    if opens is None:  # nobody ever comes as far as the hours tell: the standard still binds
        return Promise(now + within, place, Telling.AWAY, None, None, None)
    due = hours.after(now, lasts) or opens + lasts
    if opens > now:
        return Promise(due, place, Telling.CLOSED, None, opens, None)
    closes = hours.closes(now)
    if closes is not None and now + (usual or within) > closes:
        return Promise(due, place, Telling.CLOSING, None, hours.opens(closes), closes)
    alone = place == 1
    if usual is None:
        return Promise(due, place, Telling.NEXT if alone else Telling.PLACE, None, None, closes)
    return Promise(due, place, Telling.NEXT_WAIT if alone else Telling.WAIT, usual, None, closes)


def _expected(place: int, history: Sequence[Waited]) -> tuple[timedelta | None, timedelta | None]:
    """Return how long it usually takes from this place, and in what time four of five were answered.

    Whoever is third waits about three times as long as who is next: so every wait tells of all places.
    """
    each = [one.wait.total_seconds() / max(one.place, 1) for one in history]
    if len(each) < ENOUGH_TOLD:
        return None, None
    usual, safe = (timedelta(seconds=seconds * place) for seconds in (median(each), quantiles(each, n=5)[-1]))
    return min(usual, MOST_EXPECTED), min(safe, MOST_EXPECTED)


@dataclass(frozen=True)
class Waiting:
    """One who waits for a person, as the order of the queue sees them."""

    handoff_id: int
    reason: Reason
    due_at: datetime
    window_ends: datetime | None
    came_back: bool = False  # within minutes of being given back: they keep the place they had


@dataclass(frozen=True)
class Urgency:
    """By when somebody must be answered before something is lost, and why. Earlier comes first."""

    by: datetime
    because: str


def urgency(one: Waiting, now: datetime) -> Urgency:
    """Say what is lost first: the promise, or the window in which we may answer at all.

    Both are fixed moments, so nobody's place changes by waiting, and nobody waits for ever.
    """
    ahead = HEAD_STARTS[one.reason] + (CAME_BACK if one.came_back else timedelta(0))
    by, because = one.due_at - ahead, "promise"
    if one.window_ends is not None and one.window_ends - WINDOW_MARGIN > now:
        closes = one.window_ends - BEFORE_WINDOW_CLOSES
        if closes < by:
            by, because = closes, "window"
    return Urgency(by, because)


def in_order(waiting: Sequence[Waiting], now: datetime) -> list[Waiting]:
    """Return the queue, who must be answered soonest first."""
    return sorted(waiting, key=lambda one: (urgency(one, now).by, one.handoff_id))


def span(wait: timedelta) -> str:
    """Say how long, never less than it is: *about 10 minutes*."""
    minutes = wait.total_seconds() / 60
    if minutes <= 2:
        return "a minute or two"
    if minutes <= 55:
        return f"about {-(-minutes // 5) * 5:.0f} minutes"
    hours = -(-minutes // 60)
    return "about an hour" if hours == 1 else f"about {hours:.0f} hours"


def moment(at: datetime, now: datetime, hours: Hours) -> str:
    """Say when, by the team's clock: *today at 14:00*, *tomorrow at 9:00*, *on Monday at 9:00*."""
    there, here = at.astimezone(hours.zone), now.astimezone(hours.zone)
    days = (there.date() - here.date()).days
    if days == 0:
        day = "today"
    elif days == 1:
        day = "tomorrow"
    elif days < 7:
        day = f"on {WEEKDAYS[there.weekday()]}"
    else:
        day = f"on {WEEKDAYS[there.weekday()]} {there.day} {MONTHS[there.month - 1]}"
    return f"{day} at {clock(at, hours)}"


def clock(at: datetime, hours: Hours) -> str:
    """Say the time of day by the team's clock: *9:00*."""
    there = at.astimezone(hours.zone)
    return f"{there.hour}:{there.minute:02d}"
