"""What a handoff needs: skills, and perhaps a team of its own, by rules a supervisor writes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.errors import BadNeed
from bot.vocabulary import NeedOf, Reason

SKILL_MAX = 40  # characters
SKILLS_MAX = 20  # of one agent
VALUE_MAX = 100
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Rule:
    """Who is asked for what: handoffs of this kind need this skill, go to this team, or both."""

    id: int
    of: NeedOf
    value: str
    skill: str
    team_id: int | None


@dataclass(frozen=True)
class Matter:
    """What is known of a handoff when it is opened."""

    reason: Reason
    intents: Sequence[str]
    slots: Mapping[str, Any]
    wish: str


@dataclass(frozen=True)
class Needed:
    """Where a handoff goes, and what whoever takes it should know."""

    team_id: int
    skills: tuple[str, ...]


def needed(rules: Iterable[Rule], matter: Matter, *, otherwise: int) -> Needed:
    """Return what a handoff needs: every skill a rule names, and the team of the first rule that names one.

    Where none does, `otherwise` is its team.
    """
    mine = [rule for rule in rules if fits(rule, matter)]
    team_id = next((rule.team_id for rule in mine if rule.team_id is not None), otherwise)
    return Needed(team_id, tuple(dict.fromkeys(rule.skill for rule in mine if rule.skill)))


def fits(rule: Rule, matter: Matter) -> bool:
    """Say whether a rule speaks of this handoff."""
    value = rule.value.casefold()
    match rule.of:
        case NeedOf.REASON:
            return matter.reason.value == value
        case NeedOf.INTENT:
            return value in {intent.casefold() for intent in matter.intents}
        case NeedOf.SLOT:
            name, _, wanted = value.partition("=")
            filled = {slot.casefold(): str(what).casefold() for slot, what in matter.slots.items() if _is_filled(what)}
            return name.strip() in filled and wanted.strip() in {"", filled[name.strip()]}
        case NeedOf.WORD:
            return f" {' '.join(_words(value))} " in f" {' '.join(_words(matter.wish))} "


def _is_filled(what: Any) -> bool:
    return what not in (None, "", [], False)


def _words(text: str) -> list[str]:
    return WORD.findall(text.casefold())


def read_value(of: NeedOf, value: str) -> str:
    """Return what a rule looks for as it is kept; refuse what can never be found, saying how it is written."""
    value = " ".join(value.split()).casefold()
    if not value or len(value) > VALUE_MAX:
        raise BadNeed(f"(say in 1 to {VALUE_MAX} characters what to look for)")
    if of is NeedOf.REASON and value not in {reason.value for reason in Reason}:
        raise BadNeed(f"({value!r} is no reason; one of: {', '.join(reason.value for reason in Reason)})")
    if of is NeedOf.WORD and not _words(value):
        raise BadNeed("(a word has letters or digits)")
    if of is NeedOf.SLOT and not value.partition("=")[0].strip():
        raise BadNeed("(a slot is written order_number, or language=german)")
    return value


def read_skills(text: str) -> tuple[str, ...]:
    """Return the skills somebody wrote down with commas between them: short words, each once."""
    found = tuple(dict.fromkeys(filter(None, (" ".join(one.split()).casefold() for one in text.split(",")))))
    if len(found) > SKILLS_MAX or any(len(one) > SKILL_MAX for one in found):
        raise BadNeed(f"(skills are words with commas between them: at most {SKILLS_MAX}, of {SKILL_MAX} characters)")
    return found
