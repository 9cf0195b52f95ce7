"""`python -m handoff`: migrate · watch · close-idle · team · setup-code · account … · token … · hook … · alarm clear.

One line out, or a sentence; `account list` has a line for each.
"""

from __future__ import annotations

import argparse
import signal
import sys
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
from handoff import agents, entry, migrate, programs, second, team_cli, trail
from handoff.acts import Act
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

    listing = account.add_parser("list", help="print everybody: e-mail, role, state, second factor, last seen, name")
    listing.set_defaults(run=_account_list)
    role = account.add_parser("role", help="give an account another role, from its next request on")
    role.add_argument("email")
    role.add_argument("role", choices=[role.value for role in Role])
    role.set_defaults(run=_account_role)
    enable = account.add_parser("enable", help="let a disabled account in again, with the password it had")
    enable.add_argument("email")
    enable.set_defaults(run=_account_enable)
    off = account.add_parser("totp-off", help="take the second factor of who lost phone and recovery codes")
    off.add_argument("email")
    off.set_defaults(run=_account_totp_off)

    first = rooms.add_parser("setup-code", help="print the code that lets the first admin set the desk up, at /setup")
    first.set_defaults(run=_setup_code)
    seat = account.add_parser("seat", help="what an agent knows, and how many conversations they may hold at once")
    team_cli.seat_arguments(seat)
    seat.set_defaults(run=_account_seat)

    programs.add_parsers(rooms)

    alarm = rooms.add_parser("alarm", help="what somebody must look at").add_subparsers(required=True, metavar="verb")
    clear = alarm.add_parser("clear", help="somebody has looked; it is raised again when it happens again")
    clear.add_argument("name")
    clear.set_defaults(run=_alarm_clear)
    return parser


def _migrate(_asked: argparse.Namespace, settings: Settings) -> str:
    migrate.to_head(settings.database_url)
    return f"The database is at {migrate.HEAD}."


def _a_watch(settings: Settings, ledger: Ledger) -> Watch:
    migrate.require_head(ledger)
    watching = Watching(
        Alerts.of(settings),
        timedelta(minutes=settings.alert_after_min),
        Patience(timedelta(minutes=settings.agent_away_min), timedelta(minutes=settings.agent_silent_min)),
        keep_audit=timedelta(days=settings.keep_audit_days),
        close_idle=timedelta(hours=settings.close_idle_h),
        window_template=settings.window_template,
        bot_invited=settings.bot_invited,
    )
    return Watch(ledger, Catalogue.load(ROOT / "data" / "responses"), clock.now, watching)


def _close_idle(asked: argparse.Namespace, settings: Settings) -> str:
    if not settings.close_idle_h:
        return "Nothing is ever closed: BATON_CLOSE_IDLE_H is 0."
    ledger = Ledger(settings.database_url)
    try:
        closed = _a_watch(settings, ledger).close_idle()
    finally:
        ledger.close()
    return f"{closed} given back to the bot."


def _watch(asked: argparse.Namespace, settings: Settings) -> str:
    ledger = Ledger(settings.database_url)
    watch = _a_watch(settings, ledger)
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, lambda *_: watch.stop())
    with programs.calling(ledger, settings):
        watch.run()
    return "Stopped"


def _team(asked: argparse.Namespace, settings: Settings) -> str:
    def verb(tx: Transaction) -> str:
        said = team_cli.run(tx, asked, clock.now())
        changed = [name for name, value in sorted(vars(asked).items()) if name in team_cli.CHANGES and value]
        if changed:
            about = f"team {asked.name or 'Service'}"
            trail.write(tx, Act.TEAM_CHANGED, None, subject=about, now=clock.now(), what=", ".join(changed))
        return said

    return migrate.write(settings, verb)


def _account_seat(asked: argparse.Namespace, settings: Settings) -> str:
    return migrate.write(settings, lambda tx: team_cli.seat(tx, asked, clock.now()))


def _account_add(asked: argparse.Namespace, settings: Settings) -> str:
    role, keep = Role(asked.role), asked.keep_password
    password = migrate.write(
        settings,
        lambda tx: agents.add(tx, asked.email, role, asked.name, keep_password=keep, now=clock.now()),
    )
    return f"{asked.email.strip().lower()} {password}"


def _account_reset(asked: argparse.Namespace, settings: Settings) -> str:
    password = migrate.write(
        settings,
        lambda tx: agents.reset(tx, asked.email, keep_password=asked.keep_password, now=clock.now()),
    )
    return f"{asked.email.strip().lower()} {password}"


def _account_disable(asked: argparse.Namespace, settings: Settings) -> str:
    email = migrate.write(settings, lambda tx: agents.disable(tx, asked.email, clock.now()))
    return f"{email} can't sign in any more."


def _account_enable(asked: argparse.Namespace, settings: Settings) -> str:
    def verb(tx: Transaction) -> str:
        agents.enable(tx, asked.email, clock.now())
        return f"{asked.email.strip().lower()} can sign in again."

    return migrate.write(settings, verb)


def _account_role(asked: argparse.Namespace, settings: Settings) -> str:
    def verb(tx: Transaction) -> str:
        agents.change_role(tx, asked.email, Role(asked.role), clock.now())
        return f"{asked.email.strip().lower()} is {asked.role} now."

    return migrate.write(settings, verb)


def _account_totp_off(asked: argparse.Namespace, settings: Settings) -> str:
    def verb(tx: Transaction) -> str:
        whose = agents.by_email(tx, asked.email)
        was_on = second.remove(tx, whose, None, clock.now())
        return f"{whose.email}: {'off; the password alone lets them in' if was_on else 'it was not on'}"

    return migrate.write(settings, verb)


def _account_list(_asked: argparse.Namespace, settings: Settings) -> str:
    return migrate.write(settings, _everybody)


def _everybody(tx: Transaction) -> str:
    found = agents.everybody(tx)
    having = second.having(tx, {one.account.id for one in found})
    lines = [
        f"{one.account.email} {one.account.role.value} {'active' if one.disabled_at is None else 'disabled'} "
        f"{'totp' if one.account.id in having else '-'} "
        f"{one.seen_at.isoformat(timespec='minutes') if one.seen_at is not None else 'never'} {one.account.name}"
        for one in found
    ]
    return "\n".join(lines) or "There are no accounts. See: python -m handoff setup-code"


def _setup_code(_asked: argparse.Namespace, settings: Settings) -> str:
    return migrate.write(settings, lambda tx: entry.new_setup_code(tx, clock.now()))


def _alarm_clear(asked: argparse.Namespace, settings: Settings) -> str:
    was = migrate.write(settings, lambda tx: "cleared" if alarms.clear(tx, asked.name) else "not raised")
    return f"{asked.name}: {was}"
