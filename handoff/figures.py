"""What reports say, counted from values: waits, promises kept, matters resolved. Pure; the page explains each."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from enum import Enum
from operator import itemgetter
from statistics import median, quantiles
from typing import TypeVar

from bot.ledger.history import Episode, Event, Span
from bot.vocabulary import Outcome, Reason

Key = TypeVar("Key", bound=Hashable)

ENOUGH_FOR_SHARES = 20  # below it a percentage says more than is known; then both numbers are told
ENOUGH_FOR_P90 = 10
UNASKED = {Reason.STEPPED_IN, Reason.PHONE}  # a person came by themselves; nobody waited

BY_PEOPLE = set(Outcome) - {Outcome.CANCELLED, Outcome.IDLE}  # an agent gave it back, and perhaps said how it went

ONE_GO = timedelta(hours=1)  # what is said of a matter with pauses no longer than this is one go at it
VERIFIED_AFTER = timedelta(hours=72)  # who has not come back by then, and asked nobody, has what they wanted

SMALL_TALK = {
    "greet", "thanks", "goodbye", "are_you_a_bot", "what_can_you_do", "affirm", "deny", "cancel", "give_order_number",
    "give_place", "sent_location", "talk_to_person", "still_waiting", "cancel_request", "csat",
}  # fmt: skip
NOT_UNDERSTOOD = {"nlu_fallback", "out_of_scope", "other_service", "sent_media"}
UNKNOWN = "not understood"  # the topic of these
A_PERSON = "a person"  # the topic of who asked for one and for nothing else

WAITS = (  # how a wait is told in the histogram: up to …
    (timedelta(minutes=1), "under 1 min"),
    (timedelta(minutes=5), "1–5 min"),
    (timedelta(minutes=15), "5–15 min"),
    (timedelta(hours=1), "15–60 min"),
    (timedelta(hours=4), "1–4 h"),
    (timedelta.max, "over 4 h"),
)


@dataclass(frozen=True)
class Part:
    """So many of so many."""

    part: int
    whole: int


@dataclass(frozen=True)
class Spread:
    """How long something took: the middle, and what nine of ten stayed within (None: too few to say)."""

    n: int
    median: timedelta | None
    p90: timedelta | None


@dataclass(frozen=True)
class Numbers:
    """What there is to say of some handoffs."""

    asked: int
    came: int  # a person did
    closed: int
    cancelled: int
    waiting: int  # still
    held: int  # by a person, still
    kept: Part  # promises, of those that can be judged
    wait: Spread  # until a person came
    answer: Spread  # until a person's first word
    handling: Spread  # from the last take to the end
    csat: dict[str, int]


@dataclass(frozen=True)
class Slot:
    """One day by the team's calendar, or one hour of it."""

    starts: datetime  # by the team's clock
    came: int
    cancelled: int
    waiting: int
    wait: Spread

    @property
    def asked(self) -> int:
        """Return how many asked in it."""
        return self.came + self.cancelled + self.waiting


class Fate(Enum):
    """What became of a matter."""

    RESOLVED = "resolved"  # verified: they asked nobody and did not come back with it
    PASSED_ON = "passed on"  # a person was asked for, or came
    CAME_BACK = "came back"  # with the same, within VERIFIED_AFTER
    NOT_UNDERSTOOD = "not understood"
    TOO_EARLY = "too early to tell"


@dataclass(frozen=True)
class Matter:
    """What a contact came with, as far as the bot understood."""

    topic: str
    began_at: datetime
    fate: Fate


def days_of(first: date, last: date, tz: tzinfo) -> Span:
    """Return whole days by a calendar, whatever clocks do on them."""
    start, end = (datetime.combine(day, time(), tz) for day in (first, last + timedelta(days=1)))
    return Span(start.astimezone(timezone.utc), end.astimezone(timezone.utc))


def spread(took: Iterable[timedelta]) -> Spread:
    """Return the middle and the ninth of ten."""
    seconds = sorted(one.total_seconds() for one in took)
    if not seconds:
        return Spread(0, None, None)
    p90 = quantiles(seconds, n=10, method="inclusive")[-1] if len(seconds) >= ENOUGH_FOR_P90 else None
    return Spread(len(seconds), timedelta(seconds=median(seconds)), None if p90 is None else timedelta(seconds=p90))


def waits(found: Iterable[Episode]) -> list[timedelta]:
    """Return how long those waited to whom a person came."""
    return [one.came_at - one.asked_at for one in found if one.came_at is not None and one.reason not in UNASKED]


def is_kept(one: Episode, now: datetime) -> bool | None:
    """Say whether the first promise was kept; None: nothing was promised, or it can't be judged.

    Who cancelled before it was due, or waits and it is not due yet, is neither.
    """
    if one.due_at is None or one.reason in UNASKED:
        return None
    if one.came_at is not None:
        return one.came_at <= one.due_at
    return None if (one.closed_at or now) <= one.due_at else False


def numbers(found: Sequence[Episode], now: datetime) -> Numbers:
    """Count some handoffs."""
    asked = [one for one in found if one.reason not in UNASKED]
    judged = [kept for kept in (is_kept(one, now) for one in found) if kept is not None]
    answered = [one.answered_at - one.asked_at for one in asked if one.answered_at is not None]
    handled = [
        one.closed_at - one.taken_at
        for one in found
        if one.closed_at is not None and one.taken_at is not None and one.outcome in BY_PEOPLE
    ]
    is_open = [one for one in found if one.closed_at is None]
    return Numbers(
        asked=len(found),
        came=sum(one.came_at is not None for one in found),
        closed=sum(one.outcome in BY_PEOPLE or one.outcome is Outcome.IDLE for one in found),
        cancelled=sum(one.outcome is Outcome.CANCELLED for one in found),
        waiting=sum(one.taken_at is None for one in is_open),
        held=sum(one.taken_at is not None for one in is_open),
        kept=Part(sum(judged), len(judged)),
        wait=spread(waits(found)),
        answer=spread(answered),
        handling=spread(handled),
        csat=dict(Counter(str(getattr(one.csat, "value", one.csat)) for one in found if one.csat is not None)),
    )


def grouped(found: Iterable[Episode], key: str) -> dict[object, list[Episode]]:
    """Return them by one of their columns."""
    groups: dict[object, list[Episode]] = {}
    for one in found:
        groups.setdefault(getattr(one, key), []).append(one)
    return groups


def slots(found: Iterable[Episode], first: date, last: date, tz: tzinfo) -> list[Slot]:
    """Return every day of a period, those on which nobody asked too; of a single day every hour."""
    midnight = datetime.combine(first, time())
    if first == last:
        starts = [midnight + timedelta(hours=n) for n in range(24)]
    else:
        starts = [midnight + timedelta(days=n) for n in range((last - first).days + 1)]
    by_slot: dict[datetime, list[Episode]] = {start: [] for start in starts}
    for one in found:
        local = one.asked_at.astimezone(tz).replace(tzinfo=None, minute=0, second=0, microsecond=0)
        by_slot[local if first == last else local.replace(hour=0)].append(one)
    return [_slot(start.replace(tzinfo=tz), theirs) for start, theirs in by_slot.items()]


def _slot(starts: datetime, found: Sequence[Episode]) -> Slot:
    came = sum(one.came_at is not None for one in found)
    waiting = sum(one.came_at is None and one.closed_at is None for one in found)
    return Slot(starts, came, len(found) - came - waiting, waiting, spread(waits(found)))


def week(found: Iterable[Episode], tz: tzinfo) -> list[list[int]]:
    """Return how many asked in each hour of each weekday, Monday first."""
    hours = [[0] * 24 for _ in range(7)]
    for one in found:
        local = one.asked_at.astimezone(tz)
        hours[local.weekday()][local.hour] += 1
    return hours


def waited(found: Iterable[Episode]) -> list[tuple[str, int]]:
    """Return how many waited how long."""
    counted = Counter(next(label for most, label in WAITS if one < most) for one in waits(found))
    return [(label, counted[label]) for _, label in WAITS]


def came_again(found: Iterable[Episode], asked: dict[int, list[datetime]], now: datetime) -> Part:
    """Return how many whom people gave back did not ask for a person again within VERIFIED_AFTER; of those of whom
    that is known.
    """
    rested = judged = 0
    for one in found:
        if one.outcome not in BY_PEOPLE or one.closed_at is None:
            continue
        until = one.closed_at + VERIFIED_AFTER
        again = any(one.closed_at < at <= until for at in asked.get(one.conversation_id, ()))
        if again or until <= now:
            judged += 1
            rested += not again
    return Part(rested, judged)


@dataclass
class _Go:
    """A matter while it is being read."""

    topic: str
    began_at: datetime
    last_at: datetime
    asked_at: datetime | None = None
    came_back: bool = False

    def fate(self, now: datetime) -> Fate:
        if self.asked_at is not None:
            return Fate.PASSED_ON
        if self.topic == UNKNOWN:
            return Fate.NOT_UNDERSTOOD
        if self.came_back:
            return Fate.CAME_BACK
        return Fate.RESOLVED if self.last_at + VERIFIED_AFTER <= now else Fate.TOO_EARLY


def matters(events: Iterable[Event], now: datetime) -> Iterator[Matter]:
    """Return what contacts came with and what became of it; `events` come conversation by conversation, in time.

    A matter is one topic in one conversation. Spoken of again within ONE_GO it is the same go; within VERIFIED_AFTER
    the contact came back with it; later it is a new one. Whoever asks for a person within VERIFIED_AFTER asks about
    what they spoke of last. What the bot didn't understand is a matter of its own, unless it did within the same go.
    """
    for _, theirs in itertools.groupby(events, key=itemgetter(0)):
        for go in _goes(theirs):
            yield Matter(go.topic, go.began_at, go.fate(now))


def _goes(events: Iterable[Event]) -> list[_Go]:
    found: list[_Go] = []
    latest: dict[str, _Go] = {}  # by topic
    last: _Go | None = None
    for event in events:
        within = event.at - last.last_at if last is not None else timedelta.max
        if event.topic is None:
            if last is None or within > VERIFIED_AFTER or _is_another(last, event.at):
                last = _Go(A_PERSON, event.at, event.at)
                found.append(last)
            last.asked_at = last.asked_at or event.at
            continue
        began_at, topic = event.at, UNKNOWN if event.topic in NOT_UNDERSTOOD else event.topic
        if last is not None and within <= ONE_GO and UNKNOWN in {topic, last.topic}:
            last.last_at = event.at
            if topic == UNKNOWN or last.asked_at is not None:
                continue
            found.remove(last)  # said again, and understood
            began_at = latest.pop(UNKNOWN).began_at
        before = latest.get(topic)
        if before is not None and event.at - before.last_at <= ONE_GO:
            before.last_at, last = event.at, before
            continue
        if before is not None and event.at - before.last_at <= VERIFIED_AFTER:
            before.came_back = True
        last = latest[topic] = _Go(topic, began_at, event.at)
        found.append(last)
    return found


def _is_another(last: _Go, asked_at: datetime) -> bool:
    """Say whether this asking is not the one their last matter was passed on by."""
    return last.asked_at is not None and asked_at - last.asked_at > ONE_GO


def fates(found: Iterable[Matter]) -> dict[str, Counter[Fate]]:
    """Return what became of matters, by topic, the most frequent first."""
    by_topic: dict[str, Counter[Fate]] = {}
    for one in found:
        by_topic.setdefault(one.topic, Counter())[one.fate] += 1
    return dict(sorted(by_topic.items(), key=lambda item: (-item[1].total(), item[0])))


def verified(counted: Counter[Fate]) -> Part:
    """Return how many were resolved, of those of which that is known."""
    return Part(counted[Fate.RESOLVED], counted.total() - counted[Fate.TOO_EARLY])
