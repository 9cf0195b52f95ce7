"""Gives who waits to an agent, in teams whose routing says so: each exactly once, to somebody who is there."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from bot.errors import AtCapacity
from bot.ledger import handoffs, outbox, promises, teams, transcript
from bot.ledger.teams import Team
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation
from bot.vocabulary import Holder
from handoff import members
from handoff.members import Member
from handoff.routing import Asks, Choice, Seat, choose

log = logging.getLogger(__name__)

LOCK = 0x67697665  # one process at a time chooses; any number nobody else uses on this database
AT_ONCE = 20  # in one transaction: others want to write, too


def is_due(tx: Transaction, now: datetime) -> bool:
    """Say whether somebody could be given something: only a look."""
    return bool(_pairs(tx, now))


def give(tx: Transaction, now: datetime) -> int:
    """Give those who wait to whoever can have them, the most urgent first; return how many."""
    if tx.dialect.name == "postgresql":  # SQLite has one writer in any case
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    count = 0
    for one, choice, who in _pairs(tx, now)[:AT_ONCE]:
        row = outbox.lock_conversation(tx, one.id, skip_locked=True)
        if row is None or row.holder is not Holder.QUEUE or row.epoch != one.epoch:
            continue  # somebody was quicker, or is at work on it
        with suppress(AtCapacity):  # they took one by hand in this very moment; it is somebody else's then
            _give(tx, one, choice, who, now)
            count += 1
    return count


def _give(tx: Transaction, one: Conversation, choice: Choice, who: Member, now: datetime) -> None:
    account, because = who.account, choice.because
    handoffs.assign(
        tx, one.key, agent_id=account.id, agent_name=account.name, now=now, most=who.most, because=because
    )  # fmt: skip
    members.gave(tx, account.id, now)
    extra = {"action": "given", "conversation": one.key, "account": account.id}
    log.info("a conversation was given to an agent", extra=extra)


def _pairs(tx: Transaction, now: datetime) -> list[tuple[Conversation, Choice, Member]]:
    """Choose for everybody who waits in a team that gives and is open, as if each choice were carried out at once."""
    giving = {team.id: team for team in teams.every(tx) if team.gives and team.hours.is_open(now)}
    if not giving:
        return []
    people = {one.account.id: one for one in members.every(tx, now) if one.available}
    seats = {id_: _seat(one) for id_, one in people.items()}
    if not any(seat.has_room for seat in seats.values()):
        return []
    found = []
    for one in transcript.queue(tx, now, limit=promises.SEEN):
        team = giving.get(one.team_id or teams.FIRST)
        if team is None:
            continue
        choice = _choice(one, team, [seats[id_] for id_, who in people.items() if team.id in who.team_ids], now)
        if choice is not None:
            found.append((one, choice, people[choice.agent_id]))
            fuller = replace(seats[choice.agent_id], holds=seats[choice.agent_id].holds + 1, given_at=now)
            seats[choice.agent_id] = fuller
    return found


def _choice(one: Conversation, team: Team, seats: list[Seat], now: datetime) -> Choice | None:
    asked_at = one.promised_at or one.asked_at or now
    put_back_by = one.had_by if one.owner_id is None else ""
    asks = Asks(frozenset(one.needs), one.owner_id, asked_at, one.due_at or asked_at, put_back_by)
    return choose(team.routing, asks, seats, now)


def _seat(who: Member) -> Seat:
    return Seat(who.account.id, who.account.name, who.holds, who.most, frozenset(who.skills), who.given_at)
