"""Who works in which team, what they know, how many conversations they may hold, and whether they are there. The only
writer of members and seats.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.errors import BadTeam
from bot.ledger import capacity, teams
from bot.ledger.teams import CAPACITY_MAX, Team
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from handoff import agents
from handoff.roles import Account
from handoff.tables import members, seats

HERE = timedelta(minutes=3)  # who has not been heard of for so long is not there; an open desk is heard of each minute
SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Member:
    """Somebody who may hold conversations, and how they sit at the desk."""

    account: Account
    team_ids: frozenset[int]
    skills: tuple[str, ...]
    capacity: int | None  # their own; None: what their teams say
    most: int | None  # what counts; None: any number
    holds: int
    away: bool
    here: bool  # a desk of theirs is open, or they have just done something
    given_at: datetime | None

    @property
    def available(self) -> bool:
        """Say whether they can be given something."""
        return self.here and not self.away


_SEATS = sa.select(
    seats.c.account_id, seats.c.skills, seats.c.capacity, seats.c.away_at, seats.c.here_at, seats.c.given_at
)


def every(tx: Transaction, now: datetime) -> list[Member]:
    """Return everybody who may hold conversations, by name."""
    standing = {team.id: team for team in teams.every(tx)}
    held, of = capacity.held(tx), _team_ids(tx, standing)
    rows = {row.account_id: row for row in tx.execute(_SEATS)}
    return [
        _member(
            account, rows.get(account.id), of.get(account.id, {teams.FIRST}), standing,
            holds=held.get(account.id, 0), seen_at=seen_at, now=now,
        )
        for account, seen_at in agents.colleagues_seen(tx)
    ]  # fmt: skip


def _member(
    account: Account,
    row: Any,
    team_ids: Collection[int],
    standing: dict[int, Team],
    *,
    holds: int,
    seen_at: datetime | None,
    now: datetime,
) -> Member:
    own = row.capacity if row is not None else None
    heard = [at for at in (seen_at, row.here_at if row is not None else None) if at is not None]
    return Member(
        account,
        frozenset(team_ids),
        tuple(row.skills or ()) if row is not None else (),
        own,
        _most(own, [standing[one].capacity for one in team_ids]),
        holds,
        away=row is not None and row.away_at is not None,
        here=any(now - at < HERE for at in heard),
        given_at=row.given_at if row is not None else None,
    )


def _most(own: int | None, theirs: list[int | None]) -> int | None:
    """Return how many somebody may hold at once: their own number, else the largest of their teams'."""
    if own is not None:
        return own
    limits = [one for one in theirs if one is not None]
    return None if len(limits) < len(theirs) else max(limits, default=None)


def most(tx: Transaction, account_id: int) -> int | None:
    """Return how many conversations somebody may hold at once; None: any number."""
    own = tx.execute(sa.select(seats.c.capacity).where(seats.c.account_id == account_id)).scalar()
    standing = {team.id: team for team in teams.every(tx)}
    return _most(own, [standing[one].capacity for one in teams_of(tx, account_id)])


def teams_of(tx: Transaction, account_id: int) -> frozenset[int]:
    """Return the teams somebody works in: who is in none works in the first."""
    standing = {team.id for team in teams.every(tx)}
    return frozenset(_team_ids(tx, standing, account_id).get(account_id, {teams.FIRST}))


def _team_ids(tx: Transaction, standing: Collection[int], account_id: int | None = None) -> dict[int, set[int]]:
    find = sa.select(members)
    if account_id is not None:
        find = find.where(members.c.account_id == account_id)
    found: dict[int, set[int]] = {}
    for row in tx.execute(find):
        if row.team_id in standing:  # one that was retired has nobody
            found.setdefault(row.account_id, set()).add(row.team_id)
    return found


def nobodys(tx: Transaction) -> frozenset[int]:
    """Return the teams nobody works in: who waits there is everybody's, or they would be forgotten."""
    people = {account.id for account in agents.colleagues(tx)}
    standing = {team.id for team in teams.every(tx)}
    worked_in = _team_ids(tx, standing)
    taken = {team_id for who in people for team_id in worked_in.get(who, {teams.FIRST})}
    return frozenset(teams.names(tx).keys() - taken)


def without(people: Collection[Member], team_ids: Collection[int]) -> frozenset[int]:
    """Return which of these teams none of these people works in."""
    return frozenset(team_ids) - {team_id for who in people for team_id in who.team_ids}


def join(tx: Transaction, account_id: int, team_id: int) -> None:
    """Let somebody work in a team, too. Twice is as good as once."""
    teams.require_open(tx, team_id)
    insert_new(tx, members, account_id=account_id, team_id=team_id)


def leave(tx: Transaction, account_id: int, team_id: int) -> None:
    """Let somebody work there no more; what they hold stays with them."""
    tx.execute(sa.delete(members).where(members.c.account_id == account_id, members.c.team_id == team_id))


def work_in(tx: Transaction, account_id: int, team_ids: Collection[int]) -> None:
    """Let somebody work in exactly these teams."""
    tx.execute(sa.delete(members).where(members.c.account_id == account_id))
    for team_id in sorted(set(team_ids)):
        join(tx, account_id, team_id)


def equip(tx: Transaction, account_id: int, *, skills: tuple[str, ...], own: int | None) -> None:
    """Write down what somebody knows, and how many conversations they may hold at once; None: what their teams say."""
    if own is not None and not 0 <= own <= CAPACITY_MAX:
        raise BadTeam(f"(an agent holds 0 to {CAPACITY_MAX} conversations at once, not {own})")
    _sit(tx, account_id, skills=list(skills) or None, capacity=own)


def step_away(tx: Transaction, account_id: int, now: datetime) -> None:
    """Give somebody nothing from now on; what they hold stays with them."""
    _sit(tx, account_id, away_at=now)


def overlooked(tx: Transaction, account_id: int, now: datetime) -> None:
    """Step somebody away who did not see to what they had, where the desk would go on giving to them."""
    gives = {team.id for team in teams.every(tx) if team.gives}
    if gives & teams_of(tx, account_id):
        step_away(tx, account_id, now)


def come_back(tx: Transaction, account_id: int) -> None:
    """Somebody can be given conversations again."""
    _sit(tx, account_id, away_at=None)


def be(tx: Transaction, account_id: int, *, available: bool, now: datetime) -> None:
    """Step away, or come back."""
    if available:
        come_back(tx, account_id)
    elif not is_away(tx, account_id):
        step_away(tx, account_id, now)


def is_away(tx: Transaction, account_id: int) -> bool:
    """Say whether somebody has stepped away."""
    return tx.execute(sa.select(seats.c.away_at).where(seats.c.account_id == account_id)).scalar() is not None


def is_seen(tx: Transaction, account_id: int, now: datetime) -> bool:
    """Say whether it is written down that a desk of theirs is open, so that most looks write nothing."""
    here_at = tx.execute(sa.select(seats.c.here_at).where(seats.c.account_id == account_id)).scalar()
    return here_at is not None and here_at > now - SEEN_EVERY


def see(tx: Transaction, account_id: int, now: datetime) -> None:
    """Remember that a desk of theirs is open: they would see and hear what they are given."""
    _sit(tx, account_id, here_at=now)


def gave(tx: Transaction, account_id: int, now: datetime) -> None:
    """Remember when somebody was last given a conversation."""
    _sit(tx, account_id, given_at=now)


def _sit(tx: Transaction, account_id: int, **columns: Any) -> None:
    insert_new(tx, seats, account_id=account_id)
    tx.execute(sa.update(seats).where(seats.c.account_id == account_id).values(columns))
