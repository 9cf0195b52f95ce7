"""The people who share a queue: when they are there, how soon they want to answer, how conversations find them. The
only writer of teams.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from bot import hours as opening
from bot.errors import BadHours, BadTeam, TeamBusy, UnknownTeam
from bot.hours import Hours
from bot.ledger.tables import conversations, handoffs, needs, teams
from bot.ledger.transaction import Transaction
from bot.timers import Standards
from bot.vocabulary import Holder, Routing

FIRST = 1  # the team every request goes to, unless something says otherwise
WITHIN_MAX = 7 * 24 * 60  # minutes
NAME_MAX = 80
CAPACITY_MAX = 100
TEAMS_MAX = 100
LONGEST = {"zone": 64, "week": 1000, "exceptions": 4000}  # characters


@dataclass(frozen=True)
class Team:
    """One team. `week` and `exceptions` are as somebody wrote them; `hours` is what they mean."""

    id: int
    name: str
    zone: str
    week: str
    exceptions: str
    within: timedelta  # of opening time, from the asking to a person's first word
    hours: Hours
    routing: Routing
    capacity: int | None  # conversations each member may hold at once, unless theirs is another; None: any number
    retired_at: datetime | None

    @property
    def gives(self) -> bool:
        """Say whether the desk gives its conversations to its agents by itself."""
        return self.routing is not Routing.PULL


def team(tx: Transaction, team_id: int = FIRST) -> Team:
    """Return a team."""
    row = tx.execute(sa.select(teams).where(teams.c.id == team_id)).first()
    if row is None:
        raise UnknownTeam(f"({team_id})")
    return _team(row)


def named(tx: Transaction, name: str) -> Team:
    """Return the team of this name, whatever its case."""
    found = [one for one in every(tx) if one.name.casefold() == name.strip().casefold()]
    if not found:
        raise UnknownTeam(f"({name}; there is {', '.join(one.name for one in every(tx))})")
    return found[0]


def every(tx: Transaction) -> list[Team]:
    """Return the teams that are not retired, the first one first."""
    rows = tx.execute(sa.select(teams).where(teams.c.retired_at.is_(None)).order_by(teams.c.id != FIRST, teams.c.name))
    return [_team(row) for row in rows]


def names(tx: Transaction) -> dict[int, str]:
    """Return the names of all teams, those that are retired, too."""
    return {row.id: row.name for row in tx.execute(sa.select(teams.c.id, teams.c.name))}


def _team(row: Any) -> Team:
    within = timedelta(minutes=row.within_min)
    hours = _read(row.zone, row.hours, row.exceptions)
    return Team(
        row.id, row.name, row.zone, row.hours, row.exceptions, within, hours, row.routing, row.capacity, row.retired_at
    )  # fmt: skip


def change(tx: Transaction, team_id: int, *, zone: str, week: str, exceptions: str, within_min: int) -> Team:
    """Write down when a team is there and how soon it wants to answer; promises made before stay as they are."""
    zone, week, exceptions = zone.strip(), week.strip(), exceptions.replace("\r\n", "\n").strip()
    if not 1 <= within_min <= WITHIN_MAX:
        raise BadHours(f"(they want to answer within 1 to {WITHIN_MAX} minutes, not {within_min})")
    read(zone, week, exceptions)
    told = {"zone": zone, "hours": week, "exceptions": exceptions, "within_min": within_min}
    tx.execute(sa.update(teams).where(teams.c.id == team_id).values(told))
    return team(tx, team_id)


def read(zone: str, week: str, exceptions: str) -> Hours:
    """Return what these hours mean; refuse what can't be read or is too long."""
    for name, text in (("zone", zone), ("week", week), ("exceptions", exceptions)):
        if len(text) > LONGEST[name]:
            raise BadHours(f"(at most {LONGEST[name]} characters)")
    return _read(zone.strip(), week.strip(), exceptions.replace("\r\n", "\n").strip())


@lru_cache(maxsize=64)
def _read(zone: str, week: str, exceptions: str) -> Hours:
    return opening.read(zone, week, exceptions)


def make(tx: Transaction, name: str) -> Team:
    """Make a team, open always, whose agents take; who is in it and when it is there is said afterwards."""
    name = _name(tx, name)
    if len(every(tx)) >= TEAMS_MAX:
        raise BadTeam(f"(there are {TEAMS_MAX} teams; retire one first)")
    result = tx.execute(sa.insert(teams).values(name=name))
    return team(tx, int(result.inserted_primary_key[0]))


def rename(tx: Transaction, team_id: int, name: str) -> Team:
    """Call a team something else."""
    if require_open(tx, team_id).name != name.strip():
        tx.execute(sa.update(teams).where(teams.c.id == team_id).values(name=_name(tx, name, team_id)))
    return team(tx, team_id)


def _name(tx: Transaction, name: str, mine: int | None = None) -> str:
    name = " ".join(name.split())
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise BadTeam(f"(a team needs a name of 1 to {NAME_MAX} characters)")
    # A retired one keeps its name, for reports; so the name is free again only with something behind it.
    taken = sa.func.lower(teams.c.name) == name.lower()
    row = tx.execute(sa.select(teams).where(taken, teams.c.id != (mine or 0))).first()
    if row is not None:
        raise BadTeam(f"(there {'was' if row.retired_at else 'is'} a team named {row.name}; choose another name)")
    return name


def route(tx: Transaction, team_id: int, *, routing: Routing, capacity: int | None) -> Team:
    """Say how a team's conversations find their agents, and how many each agent may hold at once."""
    if capacity is not None and not 0 <= capacity <= CAPACITY_MAX:
        raise BadTeam(f"(an agent holds 0 to {CAPACITY_MAX} conversations at once, not {capacity})")
    if routing is not Routing.PULL and capacity is None:
        raise BadTeam("(where the desk gives conversations, say how many an agent may hold at once)")
    tx.execute(sa.update(teams).where(teams.c.id == team_id).values(routing=routing, capacity=capacity))
    return team(tx, team_id)


def retire(tx: Transaction, team_id: int, now: datetime) -> None:
    """Send nobody to this team any more. First see to who waits in it, and change the rules that name it."""
    row = tx.execute(sa.select(teams).where(teams.c.id == team_id).with_for_update()).first()
    if row is None:
        raise UnknownTeam(f"({team_id})")
    if team_id == FIRST:
        raise TeamBusy(f"({row.name} is where everything goes that no rule sends elsewhere; rename it instead)")
    open_ = (handoffs.c.team_id == team_id) & handoffs.c.closed_at.is_(None)
    waits = sa.select(sa.func.count()).select_from(
        handoffs.join(conversations, conversations.c.id == handoffs.c.conversation_id)
    )
    waiting = tx.execute(waits.where(open_, conversations.c.holder == Holder.QUEUE)).scalar_one()
    if waiting:
        who = "A contact waits" if waiting == 1 else f"{waiting} contacts wait"
        raise TeamBusy(f"({who} in {row.name}: take them, or pass them on to another team)")
    named_by = tx.execute(sa.select(sa.func.count()).select_from(needs).where(needs.c.team_id == team_id)).scalar_one()
    if named_by:
        rules = "A rule sends" if named_by == 1 else f"{named_by} rules send"
        raise TeamBusy(f"({rules} contacts to {row.name}: remove them, or name another team there)")
    tx.execute(sa.update(teams).where(teams.c.id == team_id, teams.c.retired_at.is_(None)).values(retired_at=now))


def require_open(tx: Transaction, team_id: int) -> Team:
    """Return a team that is not retired, and stays so until this transaction ends."""
    find = sa.select(teams).where(teams.c.id == team_id).with_for_update(read=True)
    row = tx.execute(find).first()
    if row is None or row.retired_at is not None:
        raise UnknownTeam(f"({row.name} is retired; choose another one)" if row is not None else f"({team_id})")
    return _team(row)


def standing(tx: Transaction, team_id: int) -> int:
    """Return this team, or the first one if it is retired: nobody waits where nobody looks."""
    if team_id == FIRST:
        return FIRST
    try:
        return require_open(tx, team_id).id
    except UnknownTeam:
        return FIRST


def standards(tx: Transaction, team_id: int) -> Standards:
    """Return how soon a team wants to answer each time, and to be done."""
    row = tx.execute(sa.select(teams.c.next_min, teams.c.close_min).where(teams.c.id == team_id)).first()
    if row is None:
        raise UnknownTeam(f"({team_id})")
    return _standards(row)


def _standards(row: Any) -> Standards:
    return Standards(timedelta(minutes=row.next_min), timedelta(minutes=row.close_min))


def paces(tx: Transaction) -> dict[int, tuple[Hours, Standards]]:
    """Return when each team is there and how soon it wants to answer, of all teams, those that are retired, too."""
    rows = tx.execute(sa.select(teams))
    return {row.id: (_read(row.zone, row.hours, row.exceptions), _standards(row)) for row in rows}


def keep_standards(tx: Transaction, team_id: int, *, next_min: int, close_min: int) -> Standards:
    """Write down how soon they want to answer each time, and to be done; 0: they have no such wish."""
    for minutes in (next_min, close_min):
        if not 0 <= minutes <= WITHIN_MAX:
            raise BadHours(f"(0 to {WITHIN_MAX} minutes, not {minutes})")
    tx.execute(sa.update(teams).where(teams.c.id == team_id).values(next_min=next_min, close_min=close_min))
    return standards(tx, team_id)
