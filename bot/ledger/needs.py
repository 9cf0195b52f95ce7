"""The rules that say which handoffs need which skill or team. The only writer of needs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from bot.errors import BadNeed
from bot.ledger import teams
from bot.ledger.tables import messages, needs
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.needs import Matter, Needed, Rule, needed, read_skills, read_value
from bot.vocabulary import Author, NeedOf, Reason

LOOKS_BACK = 5  # messages of the contact, of which the bot may have understood something
RULES_MAX = 200


def rules(tx: Transaction) -> list[Rule]:
    """Return the rules, those that were made first before the others."""
    rows = tx.execute(sa.select(needs).order_by(needs.c.id))
    return [Rule(row.id, row.of, row.value, row.skill, row.team_id) for row in rows]


def add(tx: Transaction, *, of: NeedOf, value: str, skill: str, team_id: int | None) -> int:
    """Make a rule for handoffs that are opened from now on; the same again is the one that is there."""
    value, skills = read_value(of, value), read_skills(skill)
    if len(skills) > 1:
        raise BadNeed("(one skill for a rule; make another for the next)")
    if not skills and team_id is None:
        raise BadNeed("(say which skill it needs, or which team, or both)")
    if team_id is not None:
        teams.require_open(tx, team_id)
    found = rules(tx)
    made = {"of": of, "value": value, "skill": skills[0] if skills else "", "team_id": team_id}
    for rule in found:  # a NULL is like no other to a database
        if (rule.of, rule.value, rule.skill, rule.team_id) == tuple(made.values()):
            return rule.id
    if len(found) >= RULES_MAX:
        raise BadNeed(f"(there are {RULES_MAX} rules; remove one first)")
    return insert_new(tx, needs, **made) or next(rule.id for rule in rules(tx) if rule.value == value)


def remove(tx: Transaction, rule_id: int) -> None:
    """Forget a rule; what was opened under it stays where it is. Twice is as good as once."""
    tx.execute(sa.delete(needs).where(needs.c.id == rule_id))


def of(tx: Transaction, conversation_id: int, *, reason: Reason, wish: str, slots: dict[str, Any]) -> Needed:
    """Return what a handoff that is opened now needs, and the team it goes to."""
    found = rules(tx)
    if not found:
        return Needed(teams.FIRST, ())
    told = needed(found, Matter(reason, _intents(tx, conversation_id), slots, wish), otherwise=teams.FIRST)
    return Needed(teams.standing(tx, told.team_id), told.skills)


def _intents(tx: Transaction, conversation_id: int) -> list[str]:
    """Return what the bot understood lately; *a person please* is about what was said before."""
    theirs = (messages.c.conversation_id == conversation_id) & (messages.c.author == Author.CONTACT)
    last = sa.select(messages.c.intent).where(theirs).order_by(messages.c.id.desc()).limit(LOOKS_BACK)
    return [intent for intent in tx.execute(last).scalars() if intent]
