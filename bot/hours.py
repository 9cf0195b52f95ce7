"""When people sit at the desk: a week, the days that differ, and a time zone. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.errors import BadHours

UTC = ZoneInfo("UTC")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LOOKS_AHEAD = 400  # days; who does not open for longer than a year has closed
MIDNIGHT = timedelta(hours=24)
EXAMPLE = "Mon-Fri 9:00-17:30; Sat 10:00-16:00"
SPAN = re.compile(r"(\d{1,2})(?::(\d\d))?\s*-\s*(\d{1,2})(?::(\d\d))?")
DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DATE = re.compile(r"(?:(\d{4})-)?(\d\d)-(\d\d)")


@dataclass(frozen=True)
class Span:
    """Open from `start` to `end`, as times since midnight by the wall clock; an end of 24 h is midnight."""

    start: timedelta
    end: timedelta


ALL_DAY = (Span(timedelta(0), MIDNIGHT),)


@dataclass(frozen=True)
class Hours:
    """Opening hours. Wall-clock times in `zone`, so they stay what they are when clocks change."""

    zone: ZoneInfo = UTC
    week: tuple[tuple[Span, ...], ...] = (ALL_DAY,) * 7  # Monday first
    days: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)  # that differ, once
    every_year: Mapping[tuple[int, int], tuple[Span, ...]] = field(default_factory=dict)  # (month, day)

    @property
    def always(self) -> bool:
        """Say whether there is somebody at every hour of every day."""
        return not self.days and not self.every_year and all(spans == ALL_DAY for spans in self.week)

    def is_open(self, at: datetime) -> bool:
        """Say whether people are there."""
        return any(start <= at < end for start, end in self._open_from(at))

    def opens(self, at: datetime) -> datetime | None:
        """Return when people are there next, `at` itself if they are; None if never again."""
        return next((max(start, at) for start, end in self._open_from(at) if end > at), None)

    def closes(self, at: datetime) -> datetime | None:
        """Return when people who are there leave; None if they are not, or never do."""
        closing = None
        for start, end in self._open_from(at):
            if start > (closing or at):
                break
            if closing is not None or start <= at < end:
                closing = end
        return None if closing is None or self.always else closing

    def after(self, at: datetime, worked: timedelta) -> datetime | None:
        """Return when people will have been there for so long since `at`; None if never."""
        for start, end in self._open_from(at):
            begin = max(start, at)
            if end - begin >= worked:
                return begin + worked
            worked -= max(end - begin, timedelta(0))
        return None

    def between(self, since: datetime, until: datetime) -> timedelta:
        """Return for how long people were there between these moments."""
        passed = timedelta(0)
        for start, end in self._open_from(since):
            if start >= until:
                break
            passed += max(min(end, until) - max(start, since), timedelta(0))
        return passed

    def _open_from(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the spans of opening, in UTC, beginning with the day before `at`."""
        first = at.astimezone(self.zone).date() - timedelta(days=1)
        for n in range(LOOKS_AHEAD):
            day = first + timedelta(days=n)
            for span in self._spans_of(day):
                start, end = self._moment(day, span.start), self._moment(day, span.end)
                if start < end:  # when clocks are put forward, there may be nothing between
                    yield start, end

    def _spans_of(self, day: date) -> tuple[Span, ...]:
        differs = self.days.get(day, self.every_year.get((day.month, day.day)))
        return self.week[day.weekday()] if differs is None else differs

    def _moment(self, day: date, since_midnight: timedelta) -> datetime:
        if since_midnight >= MIDNIGHT:
            day, since_midnight = day + timedelta(days=1), since_midnight - MIDNIGHT
        wall = datetime.combine(day, time(), self.zone) + since_midnight  # wall-clock arithmetic, as Python has it
        return wall.astimezone(timezone.utc)


def read(zone: str, week: str, exceptions: str = "") -> Hours:
    """Return the hours somebody wrote down; refuse what can't be read, saying how it is written.

    `week` is like EXAMPLE, or `always`; `exceptions` has a line a day: `2026-12-24 9:00-13:00`, `12-25 closed` (every
    year).
    """
    days: dict[date, tuple[Span, ...]] = {}
    every_year: dict[tuple[int, int], tuple[Span, ...]] = {}
    for line in filter(None, (line.strip() for line in re.split(r"[\n;]", exceptions))):
        told, _, rest = line.partition(" ")
        match = DATE.fullmatch(told)
        if match is None:
            raise BadHours(f"({line!r}: a day is written 2026-12-24 9:00-13:00, or 12-25 closed for every year)")
        year, month, day = match.group(1), int(match.group(2)), int(match.group(3))
        try:
            when = date(int(year or 2024), month, day)  # 2024 has every day there is
        except ValueError as error:
            raise BadHours(f"({told} is no day)") from error
        if year:
            days[when] = _spans(rest, line)
        else:
            every_year[month, day] = _spans(rest, line)
    return Hours(_zone(zone), _week(week), days, every_year)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadHours(f"({name!r} is no time zone; one is written Europe/London)") from error


def _week(text: str) -> tuple[tuple[Span, ...], ...]:
    if text.strip().lower() == "always":
        return (ALL_DAY,) * 7
    week: list[tuple[Span, ...]] = [()] * 7
    for part in filter(None, (part.strip() for part in re.split(r"[\n;]", text))):
        named, _, rest = part.partition(" ")
        for day in _days(named, part):
            week[day] = tuple(sorted((*week[day], *_spans(rest, part)), key=lambda span: span.start))
            _require_apart(week[day], part)
    if not any(week):
        raise BadHours(f"(when is anybody there? Write for example {EXAMPLE}, or: always)")
    return tuple(week)


def _days(named: str, part: str) -> list[int]:
    """Return the days a word names: Mon, Mon-Fri, Monday-Friday, Sat,Sun, Fri-Mon."""
    found: list[int] = []
    for piece in named.lower().split(","):
        ends = [_day(name) for name in piece.split("-")]
        if None in ends or len(ends) > 2:
            raise BadHours(f"({part!r} does not begin with a day: write for example {EXAMPLE}, or Mon,Wed 9:00-17:00)")
        begin, end = ends[0] or 0, ends[-1] or 0
        found += [(begin + n) % 7 for n in range((end - begin) % 7 + 1)]
    return found


def _day(name: str) -> int | None:
    """Return which day of the week a name or the beginning of one is, Monday 0."""
    return next((n for n, day in enumerate(DAY_NAMES) if len(name) >= 3 and day.startswith(name)), None)


def _spans(text: str, line: str) -> tuple[Span, ...]:
    if text.strip().lower() == "closed":
        return ()
    found = []
    for piece in text.split(","):
        match = SPAN.fullmatch(piece.strip())
        if match is None:
            raise BadHours(f"({line!r}: hours are written 9:00-17:30, or several with a comma, or: closed)")
        start, end = (
            timedelta(hours=int(match.group(n)), minutes=int(match.group(n + 1) or 0)) for n in (1, 3)
        )  # fmt: skip
        if start >= end or end > MIDNIGHT or int(match.group(2) or 0) > 59 or int(match.group(4) or 0) > 59:
            raise BadHours(f"({line!r}: hours run from an earlier time to a later one, 24:00 at the latest)")
        found.append(Span(start, end))
    spans = tuple(sorted(found, key=lambda span: span.start))
    _require_apart(spans, line)
    return spans


def _require_apart(spans: tuple[Span, ...], line: str) -> None:
    if any(one.end > other.start for one, other in itertools.pairwise(spans)):
        raise BadHours(f"({line!r}: some hours are named twice)")
