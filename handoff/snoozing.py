"""Until when a conversation is put aside, as somebody chose it or a program says it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from enum import Enum

from bot.errors import BadSnooze
from bot.hours import Hours
from bot.ledger.snoozes import UNTIL_THEY_WRITE, require_soon
from bot.promises import moment

HOUR = timedelta(hours=1)
REPLY = "reply"  # what a program says for: until they write


class Until(str, Enum):
    """What the form offers."""

    HOUR = "hour"
    TOMORROW = "tomorrow"
    REPLY = "reply"
    AT = "at"


@dataclass(frozen=True)
class Snooze:
    """Until when, whether the contact is told, and how that is said to them."""

    until: datetime
    tells: bool
    when: str


def chosen(choice: str, at: str, *, tells: bool, now: datetime, tz: tzinfo, hours: Hours) -> Snooze:
    """Return what a form says; `at` is by the clock of who filled it in."""
    try:
        what = Until(choice)
    except ValueError as error:
        raise BadSnooze("(choose until when)") from error
    match what:
        case Until.HOUR:
            until = now + HOUR
        case Until.TOMORROW:
            until = tomorrow(now, hours)
        case Until.REPLY:
            until = now + UNTIL_THEY_WRITE
        case Until.AT:
            until = _local(at, tz)
    return _snooze(until, now, hours, tells=tells)


def said(until: object, *, tells: bool, now: datetime, hours: Hours) -> Snooze:
    """Return what a program says: a time with its zone, or "reply"."""
    if until == REPLY:
        return _snooze(now + UNTIL_THEY_WRITE, now, hours, tells=tells)
    try:
        at = datetime.fromisoformat(str(until).replace("Z", "+00:00"))
    except ValueError as error:
        raise BadSnooze('(it is a time like 2026-12-01T09:00:00+00:00, or "reply")') from error
    if at.tzinfo is None:
        raise BadSnooze("(the time needs its zone: 2026-12-01T09:00:00+00:00)")
    return _snooze(at, now, hours, tells=tells)


def tomorrow(now: datetime, hours: Hours) -> datetime:
    """Return when people are back after the next midnight, by the team's clock."""
    there = now.astimezone(hours.zone)
    midnight = datetime.combine(there.date() + timedelta(days=1), time(), hours.zone)
    morning = midnight + timedelta(hours=9)
    return (morning if hours.always else hours.opens(midnight) or morning).astimezone(now.tzinfo)


def _local(at: str, tz: tzinfo) -> datetime:
    try:
        found = datetime.fromisoformat(at)
    except ValueError as error:
        raise BadSnooze("(give a day and a time)") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=tz)


def _snooze(until: datetime, now: datetime, hours: Hours, *, tells: bool) -> Snooze:
    require_soon(until, now)  # before it is worded: the ends of the calendar have no hour in another zone
    return Snooze(until, tells, moment(until, now, hours))
