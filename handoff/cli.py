"""`python -m handoff`: migrate · watch · close-idle · team · account add, reset, disable · token add · alarm clear.

One line out, or a sentence.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from bot import clock
from bot.content.catalogue import Catalogue
from bot.errors import BotError
from bot.hours import EXAMPLE
from bot.ledger import alarms, teams
from bot.ledger.transaction import Ledger, Transaction
from bot.promises import moment
from bot.settings import ROOT, Settings
from bot.vocabulary import Role
from handoff import agents, migrate
from handoff.presence import Patience
from handoff.watch import Watch, Watching


def main(arguments: list[str]) -> int:
    """Do what the command line says; return the exit status."""
    asked = _parser().parse_args(arguments)
    try:
        said = asked.run(asked, Settings.from_env())
    except BotError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except SQLAlchemyError as error:
        why = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
        sys.stderr.write(f"The database can't be used: {why}. See DATABASE_URL.\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m handoff", description="The desk: its accounts and its database.")
    rooms = parser.add_subparsers(required=True, metavar="command")
    upgrade = rooms.add_parser("migrate", help="bring the database to the newest migration")
    upgrade.set_defaults(run=_migrate)

    idle = rooms.add_parser(
        "close-idle", help="look once for idle conversations and give them back (`watch` does, too)"
    )
    idle.set_defaults(run=_close_idle)

    watch = rooms.add_parser("watch", help="look after everybody who waits, until told to stop (`make up` starts it)")
    watch.set_defaults(run=_watch)

    team = rooms.add_parser("team", help="when people are there, and how soon they want to answer")
    team.add_argument("--zone", help="Europe/London")
    team.add_argument("--hours", help=f"{EXAMPLE!r}, or: always")
    team.add_argument("--exceptions", help="'2026-12-24 9:00-13:00; 12-25 closed' (without a year: every year)")
    team.add_argument("--within", type=int, metavar="MINUTES", help="of opening time, to a person's first word")
    team.add_argument("--next", type=int, metavar="MINUTES", help="… and to each later answer; 0: no such wish")
    team.add_argument("--close", type=int, metavar="MINUTES", help="… and until it is closed; 0: no such wish")
    team.set_defaults(run=_team)

    account = rooms.add_parser("account", help="who may sign in").add_subparsers(required=True, metavar="verb")
    add = account.add_parser("add", help="make an account; prints EMAIL PASSWORD")
    add.add_argument("email")
    add.add_argument("--role", required=True, choices=[role.value for role in Role])
    add.add_argument("--name", default="", help="as colleagues and contacts read it; guessed from the e-mail")
    add.set_defaults(run=_account_add)
    reset = account.add_parser("reset", help="give an account a new password; prints EMAIL PASSWORD")
    reset.add_argument("email")
    reset.set_defaults(run=_account_reset)
    for verb in (add, reset):
        verb.add_argument("--keep-password", action="store_true", help="needn't be changed at sign-in (demo accounts)")
    disable = account.add_parser("disable", help="sign an account out for good; its tokens end too")
    disable.add_argument("email")
    disable.set_defaults(run=_account_disable)

    token = rooms.add_parser("token", help="bearer tokens for the API").add_subparsers(required=True, metavar="verb")
    new = token.add_parser("add", help="make a token that acts as this account; prints it, once")
    new.add_argument("email")
    new.set_defaults(run=_token_add)

    alarm = rooms.add_parser("alarm", help="what somebody must look at").add_subparsers(required=True, metavar="verb")
    clear = alarm.add_parser("clear", help="somebody has looked; it is raised again when it happens again")
    clear.add_argument("name")
    clear.set_defaults(run=_alarm_clear)
    return parser


def _migrate(_asked: argparse.Namespace, settings: Settings) -> str:
    migrate.to_head(settings.database_url)
    return f"The database is at {migrate.HEAD}."


def _a_watch(settings: Settings) -> Watch:
    ledger = Ledger(settings.database_url)
    migrate.require_head(ledger)
    watching = Watching(
        settings.alert_webhook_url,
        timedelta(minutes=settings.alert_after_min),
        Patience(timedelta(minutes=settings.agent_away_min), timedelta(minutes=settings.agent_silent_min)),
        close_idle=timedelta(hours=settings.close_idle_h),
        window_template=settings.window_template,
        bot_invited=settings.bot_invited,
    )
    return Watch(ledger, Catalogue.load(ROOT / "data" / "responses"), clock.now, watching)


def _close_idle(asked: argparse.Namespace, settings: Settings) -> str:
    if not settings.close_idle_h:
        return "Nothing is ever closed: BATON_CLOSE_IDLE_H is 0."
    closed = _a_watch(settings).close_idle()
    return f"{closed} given back to the bot."


def _watch(asked: argparse.Namespace, settings: Settings) -> str:
    watch = _a_watch(settings)
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, lambda *_: watch.stop())
    watch.run()
    return "Stopped"


def _team(asked: argparse.Namespace, settings: Settings) -> str:
    """Show the team, changed first if anything was asked."""

    def verb(tx: Transaction) -> str:
        one = teams.team(tx)
        told = (asked.zone, asked.hours, asked.exceptions, asked.within)
        if any(value is not None for value in told):
            one = teams.change(
                tx,
                one.id,
                zone=one.zone if asked.zone is None else asked.zone,
                week=one.week if asked.hours is None else asked.hours,
                exceptions=one.exceptions if asked.exceptions is None else asked.exceptions,
                within_min=int(one.within.total_seconds() // 60) if asked.within is None else asked.within,
            )
        kept = teams.standards(tx, one.id)
        if asked.next is not None or asked.close is not None:
            next_min = _minutes(kept.next) if asked.next is None else asked.next
            close_min = _minutes(kept.close) if asked.close is None else asked.close
            kept = teams.keep_standards(tx, one.id, next_min=next_min, close_min=close_min)
        now = clock.now()
        opens = one.hours.opens(now)
        here = "there now" if opens == now else f"back {moment(opens, now, one.hours)}" if opens else "never there"
        except_ = f", except {'; '.join(one.exceptions.splitlines())}" if one.exceptions else ""
        later = f", then {_minutes(kept.next)}" if kept.next else ""
        close = f", closed within {_minutes(kept.close)}" if kept.close else ""
        within = f"within {_minutes(one.within)} minutes{later}{close}"
        return f"{one.name}: {one.week}{except_} ({one.zone}), {within}; {here}."

    return _write(settings, verb)


def _minutes(one: timedelta) -> int:
    return int(one.total_seconds() // 60)


def _account_add(asked: argparse.Namespace, settings: Settings) -> str:
    role, keep = Role(asked.role), asked.keep_password
    password = _write(
        settings, lambda tx: agents.add(tx, asked.email, role, asked.name, keep_password=keep, now=clock.now())
    )
    return f"{asked.email.strip().lower()} {password}"


def _account_reset(asked: argparse.Namespace, settings: Settings) -> str:
    password = _write(settings, lambda tx: agents.reset(tx, asked.email, keep_password=asked.keep_password))
    return f"{asked.email.strip().lower()} {password}"


def _account_disable(asked: argparse.Namespace, settings: Settings) -> str:
    email = _write(settings, lambda tx: agents.disable(tx, asked.email, clock.now()))
    return f"{email} can't sign in any more."


def _token_add(asked: argparse.Namespace, settings: Settings) -> str:
    return _write(settings, lambda tx: agents.add_token(tx, asked.email, clock.now()))


def _alarm_clear(asked: argparse.Namespace, settings: Settings) -> str:
    was = _write(settings, lambda tx: "cleared" if alarms.clear(tx, asked.name) else "not raised")
    return f"{asked.name}: {was}"


def _write(settings: Settings, verb: Callable[[Transaction], str]) -> str:
    ledger = Ledger(settings.database_url)
    try:
        migrate.require_head(ledger)
        with ledger.writing() as tx:
            return verb(tx)
    finally:
        ledger.close()
