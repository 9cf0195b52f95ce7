"""The people who share a queue: when they are there, and how soon they want to answer. The only writer of teams."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

import sqlalchemy as sa

from bot import hours as opening
from bot.errors import BadHours, UnknownTeam
from bot.hours import Hours
from bot.ledger.tables import teams
from bot.ledger.transaction import Transaction

FIRST = 1  # the team every request goes to, unless something says otherwise
WITHIN_MAX = 7 * 24 * 60  # minutes
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


def team(tx: Transaction, team_id: int = FIRST) -> Team:
    """Return a team."""
    row = tx.execute(sa.select(teams).where(teams.c.id == team_id)).first()
    if row is None:
        raise UnknownTeam(f"({team_id})")
    within = timedelta(minutes=row.within_min)
    hours = _read(row.zone, row.hours, row.exceptions)
    return Team(row.id, row.name, row.zone, row.hours, row.exceptions, within, hours)


def every(tx: Transaction) -> list[Team]:
    """Return all teams."""
    ids = tx.execute(sa.select(teams.c.id).order_by(teams.c.id)).scalars().all()
    return [team(tx, one) for one in ids]


def change(tx: Transaction, team_id: int, *, zone: str, week: str, exceptions: str, within_min: int) -> Team:
    """Write down when a team is there and how soon it wants to answer; promises made before stay as they are."""
    zone, week, exceptions = zone.strip(), week.strip(), exceptions.replace("\r\n", "\n").strip()
    for name, text in (("zone", zone), ("week", week), ("exceptions", exceptions)):
        if len(text) > LONGEST[name]:
            raise BadHours(f"(at most {LONGEST[name]} characters)")
    if not 1 <= within_min <= WITHIN_MAX:
        raise BadHours(f"(they want to answer within 1 to {WITHIN_MAX} minutes, not {within_min})")
    _read(zone, week, exceptions)
    told = {"zone": zone, "hours": week, "exceptions": exceptions, "within_min": within_min}
    tx.execute(sa.update(teams).where(teams.c.id == team_id).values(told))
    return team(tx, team_id)


@lru_cache(maxsize=64)
def _read(zone: str, week: str, exceptions: str) -> Hours:
    return opening.read(zone, week, exceptions)
