"""The live floor as values: who waits, who is at work and with whom, and how today goes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.ledger import handoffs, history, transcript
from bot.ledger.history import Episode, Which
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation
from bot.promises import Waiting, urgency
from bot.vocabulary import Holder
from handoff import agents, figures, reporting, words
from handoff.reporting import Card
from handoff.roles import Account
from handoff.sheets import of, share, took
from handoff.viewing import Viewer, name_of, short

SOON = timedelta(minutes=5)  # a promise that is due by then is about to break
AWAY_AFTER = timedelta(minutes=10)  # who has done nothing for so long is not there
SHOWN = 100  # of those who wait, and of those whom agents have
EVERYBODY = 2_000
PHONE = "phone"
BROKEN, ABOUT_TO_BREAK = "broken", "soon"


@dataclass(frozen=True)
class Waits:
    """One who waits in the queue."""

    key: str
    name: str
    wish: str
    why: str
    waited: str
    due: str
    state: str  # BROKEN, ABOUT_TO_BREAK or ""


@dataclass(frozen=True)
class Held:
    """One whom an agent has."""

    key: str
    name: str
    agent: str
    of: str  # the agent's id, or PHONE
    since: str
    unanswered: str  # for how long the contact waits for this agent; "" if not
    long: bool


@dataclass(frozen=True)
class Person:
    """One who may hold conversations."""

    id: int
    name: str
    here: bool
    seen: str
    holds: int
    unanswered: int  # of them wait for an answer
    longest: str
    today: int  # handoffs of today that are or were theirs


@dataclass(frozen=True)
class Choice:
    """One team to look at; "" is all of them."""

    value: str
    label: str
    chosen: bool


@dataclass(frozen=True)
class Floor:
    """The whole floor, as it stands now."""

    at: str
    cards: list[Card]
    waiting: list[Waits]
    more: int  # who wait and are not shown
    held: list[Held]
    people: list[Person]
    colleagues: list[Account]
    teams: list[Choice]
    team: str


@dataclass(frozen=True)
class _Read:
    """What was read for the floor."""

    now: datetime
    queue: list[Conversation]
    held: list[Conversation]
    unanswered: dict[int, datetime]  # by conversation: since when its contact waits for the agent who has it
    people: list[Account]
    seen: dict[int, datetime]
    today: list[Episode]


def floor(tx: Transaction, viewer: Viewer, team_id: int | None = None) -> Floor:
    """Return the floor, of one team or of all."""
    names = history.team_names(tx)
    team_id = team_id if team_id in names else None
    read = _read(tx, viewer.now, team_id)
    people = _people(read)
    return Floor(
        at=words.clock(viewer.now, viewer.tz),
        cards=_cards(read, people),
        waiting=[_waits(one, read.now) for one in read.queue[:SHOWN]],
        more=max(0, len(read.queue) - SHOWN),
        held=_held(read),
        people=people,
        colleagues=read.people,
        teams=[
            Choice("", "All teams", team_id is None),
            *(Choice(str(id_), name, id_ == team_id) for id_, name in names.items()),
        ],
        team="" if team_id is None else str(team_id),
    )


def _read(tx: Transaction, now: datetime, team_id: int | None) -> _Read:
    zone = reporting.zone_of(tx, team_id)
    today = now.astimezone(zone).date()
    queue, held = transcript.queue(tx, now, limit=EVERYBODY), transcript.list_of(tx, Holder.AGENT, limit=EVERYBODY)
    if team_id is not None:
        theirs = history.waiting_for(tx, team_id)
        queue, held = ([one for one in some if one.id in theirs] for some in (queue, held))
    people = agents.colleagues(tx)
    return _Read(
        now=now,
        queue=queue,
        held=held,
        unanswered={one.conversation_id: one.since for one in handoffs.kept_waiting(tx, now)},
        people=people,
        seen=agents.last_seen(tx, {one.id for one in people}),
        today=history.episodes(tx, figures.days_of(today, today, zone), Which(team_id=team_id)),
    )


def _cards(read: _Read, people: list[Person]) -> list[Card]:
    today, now = figures.numbers(read.today, read.now), read.now
    states = [_state(one, now) for one in read.queue]
    longest = max((now - one.asked_at for one in read.queue if one.asked_at is not None), default=None)
    broken, soon = states.count(BROKEN), states.count(ABOUT_TO_BREAK)
    here = [one for one in people if one.here]
    answers = sum(one.unanswered for one in people)
    return [
        Card("Waiting", str(len(read.queue)), f"longest {words.span(longest)}" if longest else "nobody"),
        Card(
            "Promises broken", str(broken), f"{soon} more within 5 min" if soon else "none within 5 min", bad=broken > 0
        ),
        Card("Agents here", f"{len(here)} of {len(people)}", f"{sum(one.holds for one in people)} in hand"),
        Card("Without an answer", str(answers), "though an agent has them" if answers else "all are answered"),
        Card("Asked today", str(today.asked), f"{today.closed} closed, {today.cancelled} cancelled"),
        Card("Waited today (median)", took(today.wait.median), f"of {today.wait.n}" if today.wait.n else "none yet"),
        Card("Within promise today", share(today.kept), of(today.kept)),
    ]


def _waits(one: Conversation, now: datetime) -> Waits:
    window = one.due_at is not None and one.reason is not None and one.window_ends is not None
    if window and urgency(Waiting(one.id, one.reason, one.due_at, one.window_ends), now).because == "window":  # type: ignore[arg-type]
        due = words.window_closes(one.window_ends, now)  # type: ignore[arg-type]
    else:
        due = words.promised(one.due_at, now) if one.due_at is not None else ""
    return Waits(
        key=one.key,
        name=name_of(one),
        wish=short(words.wish(one.wish, one.slots)),
        why=words.REASONS[one.reason] if one.reason else "",
        waited=words.span(now - one.asked_at) if one.asked_at else "",
        due=due,
        state=_state(one, now),
    )


def _state(one: Conversation, now: datetime) -> str:
    if one.due_at is None:
        return ""
    if one.due_at <= now:
        return BROKEN
    return ABOUT_TO_BREAK if one.due_at - now <= SOON else ""


def _held(read: _Read) -> list[Held]:
    first = sorted(read.held, key=lambda one: (read.unanswered.get(one.id, read.now), one.agent_name, one.id))
    return [_as_held(one, read.unanswered.get(one.id), read.now) for one in first[:SHOWN]]


def _as_held(one: Conversation, since: datetime | None, now: datetime) -> Held:
    return Held(
        key=one.key,
        name=name_of(one),
        agent=words.FROM_PHONE if one.agent_id is None else one.agent_name,
        of=str(one.agent_id or PHONE),
        since=words.span(now - one.taken_at) if one.taken_at else "",
        unanswered=words.span(now - since) if since is not None else "",
        long=since is not None and now - since >= SOON,
    )


def _people(read: _Read) -> list[Person]:
    today = figures.grouped(read.today, "agent_id")
    found = []
    for one in read.people:
        theirs = [held.id for held in read.held if held.agent_id == one.id]
        waiting = [read.unanswered[id_] for id_ in theirs if id_ in read.unanswered]
        seen = read.seen.get(one.id)
        found.append(
            Person(
                id=one.id,
                name=one.name,
                here=seen is not None and read.now - seen < AWAY_AFTER,
                seen=words.span(read.now - seen) if seen is not None else "",
                holds=len(theirs),
                unanswered=len(waiting),
                longest=words.span(read.now - min(waiting)) if waiting else "",
                today=len(today.get(one.id, [])),
            )
        )
    return sorted(found, key=lambda one: (not one.here, -one.unanswered, -one.holds, one.name))
