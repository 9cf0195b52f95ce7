"""`python -m handoff team`: shows the teams, makes and changes one, and says who works in it."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta

from bot.errors import BadTeam
from bot.hours import EXAMPLE
from bot.ledger import teams
from bot.ledger.teams import Team
from bot.ledger.transaction import Transaction
from bot.needs import read_skills
from bot.promises import moment
from bot.timers import Standards
from bot.vocabulary import Routing
from handoff import agents, members

ANY = "any"  # number of conversations
CHANGES = {"add", "rename", "retire", "zone", "hours", "exceptions", "within", "routing", "capacity", "join", "leave"}


def arguments(team: argparse.ArgumentParser) -> None:
    """Say what can be asked."""
    team.add_argument("--name", help="which team; without it the first, and all of them are shown")
    team.add_argument("--add", action="store_true", help="make the team --name names")
    team.add_argument("--rename", metavar="NAME", help="call it something else")
    team.add_argument("--retire", action="store_true", help="send nobody there any more")
    team.add_argument("--zone", help="Europe/London")
    team.add_argument("--hours", help=f"{EXAMPLE!r}, or: always")
    team.add_argument("--exceptions", help="'2026-12-24 9:00-13:00; 12-25 closed' (without a year: every year)")
    team.add_argument("--within", type=int, metavar="MINUTES", help="of opening time, to a person's first word")
    team.add_argument("--next", type=int, metavar="MINUTES", help="… and to each later answer; 0: no such wish")
    team.add_argument("--close", type=int, metavar="MINUTES", help="… and until it is closed; 0: no such wish")
    team.add_argument("--routing", choices=[one.value for one in Routing], help="how conversations find their agents")
    team.add_argument("--capacity", metavar="NUMBER", help=f"conversations an agent may hold at once, or: {ANY}")
    team.add_argument("--join", metavar="EMAIL", action="append", default=[], help="they work in it, too")
    team.add_argument("--leave", metavar="EMAIL", action="append", default=[], help="they work in it no more")


def seat_arguments(seat: argparse.ArgumentParser) -> None:
    """Say what can be asked of one agent."""
    seat.add_argument("email")
    seat.add_argument("--skills", help="what they know, short words: 'german, returns'")
    seat.add_argument("--capacity", metavar="NUMBER", help=f"conversations at once, or: {ANY} (what their teams say)")


def run(tx: Transaction, asked: argparse.Namespace, now: datetime) -> str:
    """Change the team, if anything was asked, and show it; all of them if none is named."""
    if asked.add and not asked.name:
        raise BadTeam("(say --name, too)")
    one = teams.make(tx, asked.name) if asked.add else teams.named(tx, asked.name) if asked.name else teams.team(tx)
    if asked.rename is not None:
        one = teams.rename(tx, one.id, asked.rename)
    one = _routed(tx, asked, _timed(tx, asked, one))
    if asked.next is not None or asked.close is not None:
        kept = teams.standards(tx, one.id)
        next_min = _minutes(kept.next) if asked.next is None else asked.next
        close_min = _minutes(kept.close) if asked.close is None else asked.close
        teams.keep_standards(tx, one.id, next_min=next_min, close_min=close_min)
    for verb, emails in ((members.join, asked.join), (members.leave, asked.leave)):
        for email in emails:
            verb(tx, agents.colleague(tx, email).id, one.id)
    if asked.retire:
        teams.retire(tx, one.id, now)
        return f"{one.name} is retired."
    said = [one] if asked.name else teams.every(tx)
    return "\n".join(_shown(team, teams.standards(tx, team.id), now) for team in said)


def _minutes(one: timedelta) -> int:
    return int(one.total_seconds() // 60)


def seat(tx: Transaction, asked: argparse.Namespace, now: datetime) -> str:
    """Write down what an agent knows and how many conversations they may hold, and show how they work."""
    account = agents.colleague(tx, asked.email)
    who = _member(tx, account.id, now)
    own = who.capacity if asked.capacity is None else _capacity(asked.capacity)
    skills = who.skills if asked.skills is None else read_skills(asked.skills)
    members.equip(tx, account.id, skills=skills, own=own)
    who = _member(tx, account.id, now)
    in_ = ", ".join(team.name for team in teams.every(tx) if team.id in who.team_ids)
    most = "any number" if who.most is None else f"{who.most}"
    return (
        f"{account.email}: {in_}; {most} at once, has {who.holds}; knows {', '.join(who.skills) or 'nothing special'}."
    )


def _member(tx: Transaction, account_id: int, now: datetime) -> members.Member:
    return next(one for one in members.every(tx, now) if one.account.id == account_id)


def _timed(tx: Transaction, asked: argparse.Namespace, one: Team) -> Team:
    if all(value is None for value in (asked.zone, asked.hours, asked.exceptions, asked.within)):
        return one
    return teams.change(
        tx,
        one.id,
        zone=one.zone if asked.zone is None else asked.zone,
        week=one.week if asked.hours is None else asked.hours,
        exceptions=one.exceptions if asked.exceptions is None else asked.exceptions,
        within_min=int(one.within.total_seconds() // 60) if asked.within is None else asked.within,
    )


def _routed(tx: Transaction, asked: argparse.Namespace, one: Team) -> Team:
    if asked.routing is None and asked.capacity is None:
        return one
    routing = one.routing if asked.routing is None else Routing(asked.routing)
    return teams.route(
        tx, one.id, routing=routing, capacity=one.capacity if asked.capacity is None else _capacity(asked.capacity)
    )


def _capacity(text: str) -> int | None:
    if text == ANY:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise BadTeam(f"({text!r} is no number of conversations; say a number, or: {ANY})")
    return int(text)


def _shown(one: Team, kept: Standards, now: datetime) -> str:
    opens = one.hours.opens(now)
    here = "there now" if opens == now else f"back {moment(opens, now, one.hours)}" if opens else "never there"
    except_ = f", except {'; '.join(one.exceptions.splitlines())}" if one.exceptions else ""
    later = f", then {_minutes(kept.next)}" if kept.next else ""
    within = f"within {_minutes(one.within)} minutes{later}" + (
        f", closed within {_minutes(kept.close)}" if kept.close else ""
    )
    way = f"; {one.routing.value.replace('_', ' ')}" if one.gives else ""
    most = f"; at most {one.capacity} at once" if one.capacity is not None else ""
    return f"{one.name}: {one.week}{except_} ({one.zone}), {within}{way}{most}; {here}."
