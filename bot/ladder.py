"""Who is told, and when, while a contact waits and nobody comes. Pure.

Each rung is climbed once: people away from the desk after a while, again after three times as long, whoever leads after
six times. All of it counts opening time. The promise's own alarm and the window stand beside it (bot.ledger.promises).
"""

from __future__ import annotations

from datetime import timedelta
from enum import IntEnum


class Rung(IntEnum):
    """How far up a waiting has been told of."""

    NOBODY = 0
    TEAM = 1
    TEAM_AGAIN = 2
    SUPERVISORS = 3


TIMES: dict[Rung, int] = {Rung.TEAM: 1, Rung.TEAM_AGAIN: 3, Rung.SUPERVISORS: 6}  # of `alert_after`


def rung(waited: timedelta, after: timedelta) -> Rung:
    """Return how far up a contact's waiting (of opening time) ought to be known."""
    return max((one for one, times in TIMES.items() if waited >= after * times), default=Rung.NOBODY)


def words(one: Rung, count: int, waiting: int, since: str) -> str:
    """Say it: what is heard twice says so the second time, and whoever leads reads what to do."""
    new = "A contact waits" if count == 1 else f"{count} contacts wait"
    all_ = "A contact waits" if waiting == 1 else f"{waiting} contacts wait"
    match one:
        case Rung.SUPERVISORS:
            return (
                f"{new} for a person, and nobody has come although the team was told twice; the longest of them waits "
                f"since {since} UTC. Please see to it that somebody takes them, or assign them at the desk."
            )
        case Rung.TEAM_AGAIN:
            return f"Still nobody has come: {all_[0].lower()}{all_[1:]} for a person, the longest since {since} UTC."
        case _:
            return f"{all_} for a person, the longest of them since {since} UTC."
