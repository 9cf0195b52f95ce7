"""The live floor as values: who waits, who is at work and with whom, and how today goes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.ledger import handoffs, history, teams, transcript
from bot.ledger.history import Episode, Which
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation
from bot.promises import Waiting, urgency
from bot.vocabulary import Holder
from handoff import agents, figures, members, reporting, words
from handoff.members import Member
from handoff.reporting import Card
from handoff.sheets import of, share, took
from handoff.viewing import Choice, Viewer, name_of, short

SOON = timedelta(minutes=5)  # a promise that is due by then is about to break
SHOWN = 100  # of those who wait, and of those whom agents have
EVERYBODY = 2_000
PHONE = "phone"
AVAILABLE, AWAY, GONE = STATES = ("available", "away", "gone")
MINUTE = timedelta(minutes=1)
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
    state: str  # AVAILABLE, AWAY or GONE
    said: str  # of it
    holds: str  # 2, or 2 of 5
    unanswered: int  # of them wait for an answer
    longest: str
    today: int  # handoffs of today that are or were theirs


@dataclass(frozen=True)
class Colleague:
    """One whom something can be assigned to."""

    email: str
    label: str  # with how many they hold, where that is limited, and that they are not there


@dataclass(frozen=True)
class Floor:
    """The whole floor, as it stands now."""

    at: str
    cards: list[Card]
    waiting: list[Waits]
    more: int  # who wait and are not shown
    held: list[Held]
    people: list[Person]
    colleagues: list[Colleague]
    full: bool  # somebody holds as many as they may
    teams: list[Choice]
    team: str


@dataclass(frozen=True)
class _Read:
    """What was read for the floor."""

    now: datetime
    queue: list[Conversation]
    held: list[Conversation]
    unanswered: dict[int, datetime]  # by conversation: since when its contact waits for the agent who has it
    people: list[Member]  # of the team
    everybody: list[Member]
    seen: dict[int, datetime]
    today: list[Episode]


def floor(tx: Transaction, viewer: Viewer, team_id: int | None = None) -> Floor:
    """Return the floor, of one team or of all."""
    names = teams.names(tx)
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
        colleagues=[Colleague(one.account.email, _label(one)) for one in read.everybody],
        full=any(_is_full(one) for one in read.everybody),
        teams=[
            Choice("", "All teams", team_id is None),
            *(Choice(str(id_), name, id_ == team_id) for id_, name in sorted(names.items())),
        ],
        team="" if team_id is None else str(team_id),
    )


def _read(tx: Transaction, now: datetime, team_id: int | None) -> _Read:
    zone = reporting.zone_of(tx, team_id)
    today = now.astimezone(zone).date()
    queue, held = transcript.queue(tx, now, limit=EVERYBODY), transcript.list_of(tx, Holder.AGENT, limit=EVERYBODY)
    if team_id is not None:
        queue, held = ([one for one in some if one.team_id == team_id] for some in (queue, held))
    everybody = members.every(tx, now)
    return _Read(
        now=now,
        queue=queue,
        held=held,
        unanswered={one.conversation_id: one.since for one in handoffs.kept_waiting(tx, now)},
        people=[one for one in everybody if team_id is None or team_id in one.team_ids],
        everybody=everybody,
        seen=agents.last_seen(tx, {one.account.id for one in everybody}),
        today=history.episodes(tx, figures.days_of(today, today, zone), Which(team_id=team_id)),
    )


def _cards(read: _Read, people: list[Person]) -> list[Card]:
    today, now = figures.numbers(read.today, read.now), read.now
    states = [_state(one, now) for one in read.queue]
    longest = max((now - one.asked_at for one in read.queue if one.asked_at is not None), default=None)
    broken, soon = states.count(BROKEN), states.count(ABOUT_TO_BREAK)
    here = [one for one in people if one.state == AVAILABLE]
    answers = sum(one.id in read.unanswered for one in read.held)
    return [
        Card("Waiting", str(len(read.queue)), f"longest {words.span(longest)}" if longest else "nobody"),
        Card(
            "Promises broken", str(broken), f"{soon} more within 5 min" if soon else "none within 5 min", bad=broken > 0
        ),
        Card("Agents available", f"{len(here)} of {len(people)}", f"{len(read.held)} in hand"),
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
    found = [_person(one, read, len(today.get(one.account.id, []))) for one in read.people]
    return sorted(found, key=lambda one: (STATES.index(one.state), -one.unanswered, one.name))


def _person(one: Member, read: _Read, today: int) -> Person:
    theirs = [held.id for held in read.held if held.agent_id == one.account.id]
    waiting = [read.unanswered[id_] for id_ in theirs if id_ in read.unanswered]
    seen = read.seen.get(one.account.id)
    ago = f", seen {words.span(read.now - seen)} ago" if seen is not None and read.now - seen >= MINUTE else ""
    state = AWAY if one.away and one.here else AVAILABLE if one.here else GONE
    return Person(
        id=one.account.id,
        name=one.account.name,
        state=state,
        said={AVAILABLE: "available", AWAY: "set to away", GONE: f"not here{ago}"}[state],
        holds=_holds(one),
        unanswered=len(waiting),
        longest=words.span(read.now - min(waiting)) if waiting else "",
        today=today,
    )


def _holds(one: Member) -> str:
    return str(one.holds) if one.most is None else f"{one.holds} of {one.most}"


def _is_full(one: Member) -> bool:
    return one.most is not None and one.holds >= one.most


def _label(one: Member) -> str:
    holds = f" ({_holds(one)})" if one.most is not None else ""
    return f"{one.account.name}{holds}{'' if one.available else ', away' if one.away else ', not here'}"
