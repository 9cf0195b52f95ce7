"""Who is given a conversation that waits, and why they. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from bot.vocabulary import Routing

NEVER = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Seat:
    """Somebody of the team who is there and may be given something."""

    agent_id: int
    name: str
    holds: int
    most: int | None  # conversations at once; None: any number
    skills: frozenset[str] = frozenset()
    given_at: datetime | None = None  # they were last given one

    @property
    def has_room(self) -> bool:
        """Say whether they may have one more."""
        return self.most is None or self.holds < self.most

    @property
    def load(self) -> float:
        """Return how full their hands are, from 0 to 1; who may hold any number counts as one who may hold many."""
        return self.holds / (self.most or max(100, self.holds))


@dataclass(frozen=True)
class Asks:
    """One handoff that waits for somebody of this team."""

    skills: frozenset[str]
    owner_id: int | None  # had it before it came back to the queue
    promised_at: datetime
    due_at: datetime
    put_back_by: str = ""  # a name: it is to be somebody else's

    def can_wait(self, now: datetime) -> bool:
        """Say whether the right one is still worth waiting for: until half of the time is over."""
        half = (self.due_at - self.promised_at) / 2
        return now < self.promised_at + max(half, timedelta(0))


@dataclass(frozen=True)
class Choice:
    """Who is given it, and why they, as they read it."""

    agent_id: int
    because: str


def choose(way: Routing, asks: Asks, seats: Sequence[Seat], now: datetime) -> Choice | None:
    """Return who is given a handoff; None: nobody now.

    Who had it before comes first, unless they have put it back; then who has the skills it needs; anybody of the team,
    once half of the promised time is over. Among those: whose turn it is, or who has the most room.
    """
    free = [one for one in seats if one.has_room]
    if way is Routing.PULL or not free:
        return None
    owner = next((one for one in free if one.agent_id == asks.owner_id), None)
    if owner is not None:
        return Choice(owner.agent_id, "You had it before.")
    others = [one for one in free if one.name != asks.put_back_by]
    if not others and asks.can_wait(now):
        return None
    free = others or free
    able = [one for one in free if asks.skills <= one.skills]
    if not able and asks.can_wait(now):
        return None
    chosen, because = _among(way, able or free)
    return Choice(chosen.agent_id, " ".join(filter(None, (because, _of_skills(asks, able=bool(able))))))


def _among(way: Routing, seats: Sequence[Seat]) -> tuple[Seat, str]:
    turn = min(seats, key=lambda one: (one.given_at or NEVER, one.agent_id))
    if way is Routing.ROUND_ROBIN:
        return turn, "It was your turn." if len(seats) > 1 else "Nobody else was free."
    chosen = min(seats, key=lambda one: (one.load, one.given_at or NEVER, one.agent_id))
    of = f" of {chosen.most}" if chosen.most is not None else ""
    return chosen, f"You had the most room: you held {chosen.holds}{of}."


def _of_skills(asks: Asks, *, able: bool) -> str:
    if not asks.skills:
        return ""
    known = " and ".join(sorted(asks.skills))
    return f"It needs {known}, which you know." if able else f"It needs {known}; nobody who knows that was free."
