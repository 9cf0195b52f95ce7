"""A report as values: read from the ledger for one period and one choice, counted, worded, ready to draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from bot.ledger import history, teams
from bot.ledger.history import BotWork, Episode, Span, Which
from bot.ledger.transaction import Transaction
from handoff import agents, figures, words
from handoff.figures import A_PERSON, UNKNOWN, Fate, Numbers, Part, Slot
from handoff.sheets import NONE, Sheet, middle, of, seconds, share, took

DAYS_MAX = 366
CSATS = {"good": "Good", "so_so": "So-so", "bad": "Bad"}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SHADES = 6  # of the heat map


@dataclass(frozen=True)
class Chosen:
    """Which report is wanted: whole days by the team's calendar, and whose."""

    first: date
    last: date
    which: Which


@dataclass(frozen=True)
class Card:
    """One number, large, with what it says."""

    label: str
    value: str
    note: str
    bad: bool = False


@dataclass(frozen=True)
class Bar:
    """One line of a bar chart: a label, how far the bar goes (of 100), and the number."""

    label: str
    length: float
    number: int
    note: str


@dataclass(frozen=True)
class Column:
    """One column of the chart over time, in hundredths of its height, from the top."""

    label: str
    title: str
    came: tuple[float, float]  # where it begins, how high it is
    cancelled: tuple[float, float]
    waiting: tuple[float, float]


@dataclass(frozen=True)
class Cell:
    """One hour of the heat map."""

    number: int
    shade: int


@dataclass(frozen=True)
class Report:
    """Everything on the page."""

    said: str  # which days, in words
    zone: str
    cards: list[Card]
    bot_cards: list[Card]
    columns: list[Column]
    top: int  # of the chart's scale
    ticks: list[str]  # some labels below it
    heat: list[tuple[str, list[Cell]]]
    waited: list[Bar]
    reasons: list[Bar]
    csat: list[Bar]
    sheets: dict[str, Sheet]
    is_empty: bool


@dataclass(frozen=True)
class _Read:
    """What was read for a report."""

    chosen: Chosen
    found: list[Episode]
    matters: dict[str, Counter[Fate]]  # by topic
    again: Part
    work: BotWork
    billed: int
    failed: int
    agents: dict[int, str]
    teams: dict[int, str]
    zone: ZoneInfo
    now: datetime


def zone_of(tx: Transaction, team_id: int | None) -> ZoneInfo:
    """Return by whose clock days begin: the team's."""
    return teams.team(tx, team_id or teams.FIRST).hours.zone


def report(tx: Transaction, chosen: Chosen, now: datetime) -> Report:
    """Make the whole report."""
    return _drawn(_read(tx, chosen, now))


def episodes(tx: Transaction, chosen: Chosen) -> list[Episode]:
    """Return the handoffs of a report, one by one."""
    zone = zone_of(tx, chosen.which.team_id)
    return history.episodes(tx, figures.days_of(chosen.first, chosen.last, zone), chosen.which)


def _read(tx: Transaction, chosen: Chosen, now: datetime) -> _Read:
    zone, number = zone_of(tx, chosen.which.team_id), chosen.which.number
    span = figures.days_of(chosen.first, chosen.last, zone)
    found = history.episodes(tx, span, chosen.which)
    around = Span(span.start - figures.VERIFIED_AFTER, span.end + figures.VERIFIED_AFTER)
    events = list(history.events(tx, around, beside=figures.SMALL_TALK, number=number))
    asked: dict[int, list[datetime]] = {}
    for event in events:
        if event.topic is None:
            asked.setdefault(event.conversation_id, []).append(event.at)
    return _Read(
        chosen=chosen,
        found=found,
        matters=figures.fates(one for one in figures.matters(events, now) if span.start <= one.began_at < span.end),
        again=figures.came_again(found, asked, now),
        work=history.bot_work(tx, span, number),
        billed=history.billed(tx, span, number),
        failed=history.failed(tx, span, number),
        agents=agents.names(tx, {one.agent_id for one in found if one.agent_id is not None}),
        teams=teams.names(tx),
        zone=zone,
        now=now,
    )


def _drawn(read: _Read) -> Report:
    chosen, found = read.chosen, read.found
    all_of_it = figures.numbers(found, read.now)
    slots = figures.slots(found, chosen.first, chosen.last, read.zone)
    hours = figures.week(found, read.zone)
    top = _top(max(slot.asked for slot in slots))
    return Report(
        said=_said(chosen.first, chosen.last),
        zone=read.zone.key,
        cards=_cards(all_of_it, read.now),
        bot_cards=_bot_cards(read),
        columns=[_column(slot, top, chosen) for slot in slots],
        top=top,
        ticks=_ticks(slots, chosen),
        heat=_heat(hours),
        waited=_bars(figures.waited(found)),
        reasons=_bars(_reasons(found)),
        csat=_bars([(label, all_of_it.csat.get(name, 0)) for name, label in CSATS.items()]) if all_of_it.csat else [],
        sheets={sheet.name: sheet for sheet in _sheets(read, all_of_it, slots, hours)},
        is_empty=not found and not read.matters and not read.work.turns,
    )


def _cards(all_of_it: Numbers, now: datetime) -> list[Card]:
    csat = Part(all_of_it.csat.get("good", 0), sum(all_of_it.csat.values()))
    is_open = [
        f"{number} {words_}"
        for number, words_ in ((all_of_it.waiting, "still waiting"), (all_of_it.held, "still with an agent"))
        if number
    ]
    p90 = all_of_it.wait.p90
    nine_of_ten = f"nine of ten up to {took(p90)}" if p90 else _n(all_of_it.wait.n)
    return [
        Card("Asked for a person", f"{all_of_it.asked:,}", ", ".join(is_open) or f"{all_of_it.cancelled} cancelled"),
        Card("Waited (median)", took(all_of_it.wait.median), nine_of_ten),
        Card("Within promise", share(all_of_it.kept), of(all_of_it.kept), bad=_is_low(all_of_it.kept, 80)),
        Card("First answer (median)", took(all_of_it.answer.median), _n(all_of_it.answer.n)),
        Card("Handling (median)", took(all_of_it.handling.median), _n(all_of_it.handling.n)),
        Card("Content contacts", share(csat), of(csat) if csat.whole else "nobody was asked"),
    ]  # fmt: skip


def _bot_cards(read: _Read) -> list[Card]:
    alone = Part(read.work.conversations - read.work.with_a_person, read.work.conversations)
    counted = sum(read.matters.values(), Counter())
    handled, early, resolved = counted.total(), counted[Fate.TOO_EARLY], figures.verified(counted)
    return [
        Card("Bot alone", share(alone), f"{of(alone)} conversations".strip()),
        Card("Verified resolution, bot", share(resolved), _and(of(resolved), f"{early} too early" if early else "")),
        Card("Verified resolution, people", share(read.again), of(read.again)),
        Card("Bubbles per matter", _per(read.work.bubbles, handled), f"{read.work.bubbles:,} in {handled:,} matters"),
        Card("Billed per matter", _per(read.billed, handled), f"{read.billed:,} messages billed"),
        Card("Messages failed", f"{read.failed:,}", "could not be delivered", bad=read.failed > 0),
    ]


def _n(number: int) -> str:
    return f"of {number:,}" if number else "none yet"


def _and(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _per(number: int, whole: int) -> str:
    return f"{number / whole:.1f}" if whole else NONE


def _is_low(one: Part, least: int) -> bool:
    return one.whole >= figures.ENOUGH_FOR_SHARES and 100 * one.part < least * one.whole


def _reasons(found: Iterable[Episode]) -> list[tuple[str, int]]:
    groups = figures.grouped(found, "reason")
    counted = [(words.REASONS[reason], len(theirs)) for reason, theirs in groups.items()]  # type: ignore[index]
    return sorted(counted, key=lambda one: (-one[1], one[0]))


def _bars(counted: Sequence[tuple[str, int]]) -> list[Bar]:
    whole, most = sum(number for _, number in counted), max((number for _, number in counted), default=0)
    return [
        Bar(label, round(100 * number / most, 1) if most else 0.0, number, _percent(number, whole))
        for label, number in counted
    ]


def _percent(number: int, whole: int) -> str:
    if whole < figures.ENOUGH_FOR_SHARES:
        return ""
    return "under 1 %" if 0 < 200 * number < whole else f"{100 * number / whole:.0f} %"


def _top(most: int) -> int:
    """Return the first round number that is not less."""
    step = 1
    while True:
        for times in (2, 4, 6, 8, 10) if step == 1 else (2, 3, 4, 5, 6, 8, 10):
            if step * times >= most:
                return step * times
        step *= 10


def _column(slot: Slot, top: int, chosen: Chosen) -> Column:
    came, cancelled, waiting = (100 * number / top for number in (slot.came, slot.cancelled, slot.waiting))
    parts = [f"{slot.asked} asked", f"a person came to {slot.came}"]
    parts += [f"{slot.cancelled} cancelled"] if slot.cancelled else []
    parts += [f"{slot.waiting} still waiting"] if slot.waiting else []
    return Column(
        label=_label(slot, chosen),
        title=f"{_label(slot, chosen)}: {', '.join(parts)}",
        came=_rounded(100 - came, came),
        cancelled=_rounded(100 - came - cancelled, cancelled),
        waiting=_rounded(100 - came - cancelled - waiting, waiting),
    )


def _rounded(begins: float, height: float) -> tuple[float, float]:
    return round(begins, 2), round(height, 2)


def _label(slot: Slot, chosen: Chosen) -> str:
    if chosen.first == chosen.last:
        return f"{slot.starts:%H:%M}"
    return f"{slot.starts:%a} {slot.starts.day} {slot.starts:%b}"


def _ticks(slots: Sequence[Slot], chosen: Chosen) -> list[str]:
    """Return up to five labels, the first and the last among them."""
    last = len(slots) - 1
    places = sorted({round(last * n / 4) for n in range(5)}) if last >= 4 else range(last + 1)
    return [_label(slots[place], chosen) for place in places]


def _heat(hours: list[list[int]]) -> list[tuple[str, list[Cell]]]:
    most = max(max(day) for day in hours)
    return [
        (WEEKDAYS[n], [Cell(number, -(-number * SHADES // most) if number else 0) for number in day])
        for n, day in enumerate(hours)
    ]


def _said(first: date, last: date) -> str:
    def day(one: date, year: bool) -> str:
        return f"{one:%A} {one.day} {one:%B}" + (f" {one.year}" if year else "")

    if first == last:
        return day(first, True)
    return f"{day(first, first.year != last.year)} – {day(last, True)}"


def _sheets(read: _Read, all_of_it: Numbers, slots: Sequence[Slot], hours: list[list[int]]) -> Iterable[Sheet]:
    yield _days_sheet(read, slots)
    yield Sheet("waits", "How long people waited", ("Waited", "Handoffs"), figures.waited(read.found))
    reasons = [(label, number, _percent(number, all_of_it.asked)) for label, number in _reasons(read.found)]
    yield Sheet("reasons", "Why", ("Reason", "Handoffs", "Share"), reasons)
    yield Sheet(
        "hours", "When they ask", ("Weekday", *(f"{n}:00" for n in range(24))),
        [(WEEKDAYS[n], *day) for n, day in enumerate(hours)],
    )  # fmt: skip
    yield _people_sheet(read, "agents", "Agent", key="agent_id", names=read.agents)
    yield _people_sheet(read, "teams", "Team", key="team_id", names=read.teams)
    yield _topics_sheet(read)
    cards = (*_cards(all_of_it, read.now), *_bot_cards(read))
    yield Sheet("summary", "In short", ("What", "Number", "Of"), [(one.label, one.value, one.note) for one in cards])


def _days_sheet(read: _Read, slots: Sequence[Slot]) -> Sheet:
    is_a_day = read.chosen.first == read.chosen.last
    head = (
        "Hour" if is_a_day else "Day",
        "Asked",
        "A person came",
        "Cancelled",
        "Still waiting",
        "Median wait, s",
        "Waits",
    )
    rows = [
        (f"{slot.starts:%H:%M}" if is_a_day else slot.starts.date().isoformat(), slot.asked, slot.came, slot.cancelled,
         slot.waiting, seconds(slot.wait.median), slot.wait.n)
        for slot in slots
    ]  # fmt: skip
    return Sheet("days", "Hour by hour" if is_a_day else "Day by day", head, rows)


def _people_sheet(read: _Read, name: str, first: str, *, key: str, names: dict[int, str]) -> Sheet:
    head = (first, "Handoffs", "Median wait", "Within promise", "Median first answer", "Median handling", "Content")
    groups = figures.grouped((one for one in read.found if getattr(one, key) is not None), key)
    rows = []
    for which, theirs in sorted(groups.items(), key=lambda group: -len(group[1])):
        one = figures.numbers(theirs, read.now)
        csat = Part(one.csat.get("good", 0), sum(one.csat.values()))
        rows.append(
            (names.get(which, f"no. {which}"), one.asked, middle(one.wait), share(one.kept), middle(one.answer),  # type: ignore[call-overload]
             middle(one.handling), share(csat))
        )  # fmt: skip
    return Sheet(name, f"{first}s", head, rows)


def _topics_sheet(read: _Read) -> Sheet:
    head = (
        "Matter",
        "Came with it",
        "Verified resolved",
        "Passed on",
        "Came back",
        "Not understood",
        "Too early",
    )
    rows = [
        (topic_words(topic), counted.total(), share(figures.verified(counted)), counted[Fate.PASSED_ON],
         counted[Fate.CAME_BACK], counted[Fate.NOT_UNDERSTOOD], counted[Fate.TOO_EARLY])
        for topic, counted in read.matters.items()
    ]  # fmt: skip
    return Sheet("matters", "What contacts came with", head, rows)


def topic_words(topic: str) -> str:
    """Name a topic as people would."""
    named = {UNKNOWN: "Not understood", A_PERSON: "Asked for a person at once"}
    return named.get(topic) or topic.replace("_", " ").capitalize()


EPISODE_HEAD = (
    "Handoff", "Conversation", "Our number", "Team", "Agent", "Reason", "Asked", "Promised by", "A person came",
    "First answer", "Closed", "Outcome", "Waited, s", "First answer after, s", "Handled for, s", "Promise kept",
    "Contact says",
)  # fmt: skip


def episode_rows(tx: Transaction, chosen: Chosen, now: datetime) -> list[tuple[str | int | None, ...]]:
    """Return every handoff as one row; nobody's name but colleagues', no number and no words of a contact."""
    found, zone = episodes(tx, chosen), zone_of(tx, chosen.which.team_id)
    names, team_names = agents.names(tx, {one.agent_id for one in found if one.agent_id}), teams.names(tx)

    def at(moment: datetime | None) -> str:
        return "" if moment is None else moment.astimezone(zone).isoformat(" ", "seconds")

    def after(moment: datetime | None, since: datetime | None) -> int | None:
        return None if moment is None or since is None else seconds(moment - since)

    kept_words = {True: "yes", False: "no", None: ""}
    return [
        (one.id, one.key, one.number, team_names.get(one.team_id, ""), names.get(one.agent_id or 0, ""),
         one.reason.value, at(one.asked_at), at(one.due_at), at(one.came_at), at(one.answered_at), at(one.closed_at),
         one.outcome.value if one.outcome else "open", after(one.came_at, one.asked_at),
         after(one.answered_at, one.asked_at), after(one.closed_at, one.taken_at),
         kept_words[figures.is_kept(one, now)], str(getattr(one.csat, "value", one.csat or "")))
        for one in found
    ]  # fmt: skip


def days_back(today: date, days: int) -> tuple[date, date]:
    """Return so many days, the last of them today."""
    return today - timedelta(days=days - 1), today
