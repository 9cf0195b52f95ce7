"""What speaks for a handoff's reason: a small frozen list of facts. Pure.

No fact repeats what a contact wrote: it names the turn that heard it. So what they change or take back later is changed
here as well, and a conversation that is forgotten leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.vocabulary import Clue

MOST = 8  # facts of one handoff; who wants more reads the transcript
LONGEST = 120  # characters


@dataclass(frozen=True)
class Fact:
    """One thing that was so."""

    clue: Clue
    value: str = ""  # the bot's guess, the form, the slot, the call, the kind, the language
    turn_id: int | None = None  # whose words it is about
    score: float | None = None  # how sure the bot was, or how strongly it was felt


def to_json(facts: Sequence[Fact]) -> list[dict[str, Any]]:
    """Write facts down, each once, the newest of too many."""
    kept = list(dict.fromkeys(facts))[-MOST:]
    return [
        {"clue": one.clue.value, "value": one.value[:LONGEST], "turn": one.turn_id, "score": one.score} for one in kept
    ]


def from_json(kept: Sequence[dict[str, Any]] | None) -> tuple[Fact, ...]:
    """Read them back."""
    return tuple(
        Fact(Clue(one["clue"]), str(one.get("value") or ""), one.get("turn"), one.get("score")) for one in kept or ()
    )
