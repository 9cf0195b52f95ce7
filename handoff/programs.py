"""`python -m handoff token …` and `hook …`: for programs that call the desk, and those the desk calls."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from bot import clock
from bot.errors import BadSettings
from bot.ledger import guests, hooks
from bot.ledger.transaction import Ledger, Transaction
from bot.settings import Settings
from bot.vocabulary import Happening
from handoff import agents, migrate, trail
from handoff.acts import Act
from handoff.addresses import require_url
from handoff.caller import Caller
from handoff.roles import Scope

DAYS_MAX = 3650


def add_parsers(rooms: Any) -> None:
    """Add both to the command line."""
    token = rooms.add_parser("token", help="bearer tokens for the API").add_subparsers(required=True, metavar="verb")
    new = token.add_parser("add", help="make a token that acts as this account; prints it, once")
    new.add_argument("email")
    new.add_argument("--name", default="", help="what it is for")
    scopes = [scope.value for scope in Scope]
    new.add_argument(
        "--scope", action="append", default=[], choices=scopes, help="several times; none: all of the role"
    )
    new.add_argument("--days", type=int, help="for how many days it is good; none: until somebody revokes it")
    new.set_defaults(run=_token_add)
    listed = token.add_parser("list", help="the tokens there are, without their secrets")
    listed.add_argument("email", nargs="?", help="of this account alone")
    listed.set_defaults(run=_token_list)
    revoke = token.add_parser("revoke", help="let a token be good for nothing any more")
    revoke.add_argument("id", help="as `token list` has it")
    revoke.set_defaults(run=_token_revoke)
    _add_hook_parsers(rooms.add_parser("hook", help="programs that are told what happens"))


def _add_hook_parsers(room: argparse.ArgumentParser) -> None:
    hook = room.add_subparsers(required=True, metavar="verb")
    new = hook.add_parser("add", help="make a hook; prints its id and its secret, once")
    new.add_argument("email", help="the account that answers for it")
    new.add_argument("url")
    events = [one.value for one in Happening]
    new.add_argument("--event", action="append", default=[], choices=events, help="several times; none: everything")
    new.add_argument("--channel", default="", help="only of guests on this channel")
    new.set_defaults(run=_hook_add)
    listed = hook.add_parser("list", help="the hooks there are, and how they do")
    listed.set_defaults(run=_hook_list)
    does = {
        "on": "tell it again of what happens",
        "off": "tell it no more",
        "remove": "forget it",
        "again": "tell it once more of all that failed",
    }
    for verb, help_ in does.items():
        change = hook.add_parser(verb, help=help_)
        change.add_argument("id", type=int)
        change.set_defaults(run=_hook_change, verb=verb)


@contextmanager
def calling(ledger: Ledger, settings: Settings) -> Iterator[None]:
    """Call hooks while something else is done."""
    caller = Caller(ledger, clock.now, private=settings.hooks_private)
    caller.start()
    try:
        yield
    finally:
        caller.stop()


def _token_add(asked: argparse.Namespace, settings: Settings) -> str:
    now = clock.now()
    if asked.days is not None and not 0 < asked.days <= DAYS_MAX:
        raise BadSettings(f"--days is a number from 1 to {DAYS_MAX}")
    ends_at = None if asked.days is None else now + timedelta(days=asked.days)
    scopes = [Scope(one) for one in asked.scope]
    return migrate.write(
        settings,
        lambda tx: agents.add_token(tx, asked.email, now, name=asked.name, scopes=scopes, ends_at=ends_at),
    )


def _token_list(asked: argparse.Namespace, settings: Settings) -> str:
    return migrate.write(
        settings, lambda tx: "\n".join(map(_token, agents.tokens_of(tx, asked.email))) or "There are none."
    )


def _token(one: agents.Token) -> str:
    scopes = ",".join(scope.value for scope in one.scopes) or "everything"
    used = f"used {one.used_at:%Y-%m-%d}" if one.used_at else "never used"
    ends = f", good until {one.ends_at:%Y-%m-%d %H:%M} UTC" if one.ends_at else ""
    return f"{one.id}  {one.email}  {scopes}  {used}{ends}  {one.name}".rstrip()


def _token_revoke(asked: argparse.Namespace, settings: Settings) -> str:
    ended = migrate.write(settings, lambda tx: agents.end_token(tx, asked.id, clock.now()))
    return f"{ended.id} of {ended.email} is good for nothing any more."


def _hook_add(asked: argparse.Namespace, settings: Settings) -> str:
    require_url(asked.url, private=settings.hooks_private)
    events = [Happening(one) for one in asked.event] or list(Happening)

    def verb(tx: Transaction) -> str:
        account_id = agents.colleague(tx, asked.email).id
        made = hooks.add(tx, asked.url, events, asked.channel, account_id=account_id, now=clock.now())
        _trail(tx, made.id, "made")
        return f"{made.id} {made.secret}"

    return migrate.write(settings, verb)


def _trail(tx: Transaction, hook_id: int, what: str) -> None:
    trail.write(tx, Act.SETTING_CHANGED, None, subject=f"hook {hook_id}", now=clock.now(), what=what)


def _hook_list(_asked: argparse.Namespace, settings: Settings) -> str:
    def line(one: hooks.Hook) -> str:
        state = f"off: {one.why}" if one.disabled_at else "failing" if one.failing_since else "on"
        return f"{one.id}  {one.url}  {one.channel or 'everybody'}  {state}"

    return migrate.write(settings, lambda tx: "\n".join(map(line, hooks.every(tx))) or "There are none.")


def _hook_change(asked: argparse.Namespace, settings: Settings) -> str:
    def verb(tx: Transaction) -> str:
        match asked.verb:
            case "on":
                hooks.enable(tx, asked.id)
            case "off":
                guests.switch_off(tx, asked.id, hooks.BY_HAND, clock.now())
            case "remove":
                # What guests wait for has failed then, and says so.
                guests.switch_off(tx, asked.id, hooks.BY_HAND, clock.now())
                hooks.remove(tx, asked.id)
            case _:
                return f"{len(hooks.again(tx, asked.id, None, clock.now()))} will be told again."
        _trail(tx, asked.id, asked.verb)
        return f"{asked.id}: {asked.verb}"

    return migrate.write(settings, verb)
