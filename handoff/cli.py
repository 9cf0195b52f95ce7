"""`python -m handoff`: migrate · watch · team · account add, reset, disable, seat · token add · alarm clear.

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
from bot.alerts import Alerts
from bot.content.catalogue import Catalogue
from bot.errors import BotError
from bot.ledger import alarms
from bot.ledger.transaction import Ledger, Transaction
from bot.settings import ROOT, Settings
from bot.vocabulary import Role
from handoff import agents, migrate, team_cli
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

    watch = rooms.add_parser("watch", help="look after everybody who waits, until told to stop (`make up` starts it)")
    watch.set_defaults(run=_watch)

    team = rooms.add_parser(
        "team", help="the teams: when they are there, how conversations find their agents, who works in them"
    )
    team_cli.arguments(team)
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

    seat = account.add_parser("seat", help="what an agent knows, and how many conversations they may hold at once")
    team_cli.seat_arguments(seat)
    seat.set_defaults(run=_account_seat)

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


def _watch(asked: argparse.Namespace, settings: Settings) -> str:
    ledger = Ledger(settings.database_url)
    migrate.require_head(ledger)
    watching = Watching(
        Alerts.of(settings),
        timedelta(minutes=settings.alert_after_min),
        Patience(timedelta(minutes=settings.agent_away_min), timedelta(minutes=settings.agent_silent_min)),
    )
    watch = Watch(ledger, Catalogue.load(ROOT / "data" / "responses"), clock.now, watching)
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, lambda *_: watch.stop())
    watch.run()
    return "Stopped"


def _team(asked: argparse.Namespace, settings: Settings) -> str:
    return _write(settings, lambda tx: team_cli.run(tx, asked, clock.now()))


def _account_seat(asked: argparse.Namespace, settings: Settings) -> str:
    return _write(settings, lambda tx: team_cli.seat(tx, asked, clock.now()))


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
