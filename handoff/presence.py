"""A take is a lease: who leaves, or keeps a contact waiting for too long, gives the conversation back to the queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.ledger import handoffs, teams
from bot.ledger.handoffs import KeptWaiting
from bot.ledger.transaction import Transaction
from handoff import agents

NEVER = timedelta(0)


@dataclass(frozen=True)
class Patience:
    """How long a contact waits for the agent who has them, before they are everybody's again; NEVER: for ever."""

    away: timedelta = timedelta(minutes=10)  # the agent has done nothing at all for so long
    silent: timedelta = timedelta(minutes=30)  # the agent is there

    def is_over(self, waited: timedelta, seen_at: datetime | None, now: datetime) -> bool:
        """Say whether a contact has waited enough (of opening time) for an agent who was last seen then."""
        is_away = self.away != NEVER and (seen_at is None or now - seen_at >= self.away)
        if is_away and waited >= self.away:
            return True
        return self.silent != NEVER and waited >= self.silent


def left(tx: Transaction, patience: Patience, now: datetime) -> list[KeptWaiting]:
    """Return who has waited enough for the agent who has them."""
    least = min((one for one in (patience.away, patience.silent) if one != NEVER), default=None)
    if least is None:
        return []
    waiting = handoffs.kept_waiting(tx, now - least)
    seen = agents.last_seen(tx, {one.agent_id for one in waiting})
    hours = {team_id: teams.team(tx, team_id).hours for team_id in {one.team_id for one in waiting}}

    def waited(one: KeptWaiting) -> timedelta:
        return hours[one.team_id].between(one.since, now)

    return [one for one in waiting if patience.is_over(waited(one), seen.get(one.agent_id), now)]
