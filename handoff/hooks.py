"""Hooks, for who looks after the desk: made, switched on and off, looked at, told again. The API."""

from __future__ import annotations

import logging
import re
from datetime import datetime
from typing import Any

from flask import Response, jsonify

from bot.errors import UnknownHook
from bot.ledger import guests, hooks
from bot.ledger.hooks import Call, Hook
from bot.ledger.transaction import Transaction
from bot.vocabulary import Happening
from handoff import bodies, guard, shapes, trail
from handoff.acts import Act
from handoff.addresses import URL_MAX, require_url
from handoff.api import blueprint as api
from handoff.bodies import Fields
from handoff.parts import parts
from handoff.refusals import BadBody
from handoff.roles import Account, Deed, Scope

log = logging.getLogger(__name__)

CHANNEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
CALLS_SHOWN = 100


def make(tx: Transaction, account: Account, url: str, events: tuple[Happening, ...], channel: str) -> Hook:
    """Make a hook."""
    account.require(Deed.LOOK_AFTER)
    require_url(url, private=parts().settings.hooks_private)
    if channel and not CHANNEL_NAME.fullmatch(channel):
        raise BadBody('(channel is the name of a channel, like "webchat"; none: every conversation)')
    made = hooks.add(tx, url, events, channel, account_id=account.id, now=parts().now())
    _log(tx, "made", made.id, account)
    return made


def switch(tx: Transaction, account: Account, hook_id: int, *, on: bool, now: datetime) -> Hook:
    """Switch a hook on or off; twice is as good as once."""
    account.require(Deed.LOOK_AFTER)
    if on:
        hooks.enable(tx, hook_id)
    else:
        guests.switch_off(tx, hook_id, hooks.BY_HAND, now)
    _log(tx, "on" if on else "off", hook_id, account)
    return hooks.hook(tx, hook_id)


def remove(tx: Transaction, account: Account, hook_id: int, now: datetime) -> None:
    """Forget a hook."""
    account.require(Deed.LOOK_AFTER)
    guests.switch_off(tx, hook_id, hooks.BY_HAND, now)
    hooks.remove(tx, hook_id)
    _log(tx, "removed", hook_id, account)


def tell_again(tx: Transaction, account: Account, hook_id: int, call_id: int | None, now: datetime) -> list[Call]:
    """Tell a hook once more: one call, or all that failed."""
    account.require(Deed.LOOK_AFTER)
    return hooks.again(tx, hook_id, call_id, now)


def _log(tx: Transaction, what: str, hook_id: int, account: Account) -> None:
    trail.write(tx, Act.SETTING_CHANGED, account, subject=f"hook {hook_id}", now=parts().now(), what=what)
    log.info("a hook was changed", extra={"action": f"hook_{what}", "hook": hook_id, "account": account.id})


@api.get("/hooks")
@guard.with_token
@guard.needs(Scope.WEBHOOKS)
def every_hook() -> Response:
    """List the hooks, without their secrets."""
    guard.who().require(Deed.LOOK_AFTER)
    with parts().ledger.reading() as tx:
        return jsonify([_shown(one) for one in hooks.every(tx)])


@api.post("/hooks")
@guard.with_token
@guard.needs(Scope.WEBHOOKS)
def make_hook() -> tuple[Response, int]:
    """Make a hook; only this answer has its secret."""
    guard.who().require(Deed.LOOK_AFTER)
    fields = Fields(bodies.body())
    url, channel = fields.text("url", URL_MAX), fields.text("channel", 40, default="")
    events = fields.words("events", list(Happening))
    with parts().ledger.writing() as tx:
        made = make(tx, guard.who(), url, events, channel)
    return jsonify(_shown(made) | {"secret": made.secret}), 201


@api.get("/hooks/<id_>")
@guard.with_token
@guard.needs(Scope.WEBHOOKS)
def one_hook(id_: str) -> Response:
    """Show a hook, without its secret."""
    guard.who().require(Deed.LOOK_AFTER)
    with parts().ledger.reading() as tx:
        return jsonify(_shown(hooks.hook(tx, number_of(id_))))


@api.delete("/hooks/<id_>")
@guard.with_token
@guard.needs(Scope.WEBHOOKS)
def remove_hook(id_: str) -> tuple[str, int]:
    """Forget a hook and its calls."""
    with parts().ledger.writing() as tx:
        remove(tx, guard.who(), number_of(id_), parts().now())
    return "", 204


@api.post("/hooks/<id_>/on")
@guard.with_token
@guard.needs(Scope.WEBHOOKS)
def switch_on(id_: str) -> Response:
    """Tell a hook of what happens from now on."""
    with parts().ledger.writing() as tx:
        return jsonify(_shown(switch(tx, guard.who(), number_of(id_), on=True, now=parts().now())))


@api.post("/hooks/<id_>/off")
@guard.with_token
@guard.needs(Scope.WEBHOOKS)
def switch_off(id_: str) -> Response:
    """Tell a hook no more; what waits for it has failed."""
    with parts().ledger.writing() as tx:
        return jsonify(_shown(switch(tx, guard.who(), number_of(id_), on=False, now=parts().now())))


@api.get("/hooks/<id_>/calls")
@guard.with_token
@guard.needs(Scope.WEBHOOKS)
def calls_of_hook(id_: str) -> Response:
    """List a hook's calls, the newest first, and what became of them."""
    guard.who().require(Deed.LOOK_AFTER)
    limit, words = bodies.limit(1000) or CALLS_SHOWN, bodies.argument("before")
    before = None if words is None else bodies.number(words)
    if words is not None and before is None:
        raise BadBody("(before is the id of a call)")
    with parts().ledger.reading() as tx:
        hook_id = hooks.hook(tx, number_of(id_)).id
        return jsonify([_call(one) for one in hooks.calls_of(tx, hook_id, limit, before=before)])


@api.post("/hooks/<id_>/again")
@guard.with_token
@guard.needs(Scope.WEBHOOKS)
def all_again(id_: str) -> tuple[Response, int]:
    """Tell a hook once more of all that failed."""
    return _again(id_, None)


@api.post("/hooks/<id_>/calls/<call>/again")
@guard.with_token
@guard.needs(Scope.WEBHOOKS)
def one_again(id_: str, call: str) -> tuple[Response, int]:
    """Tell a hook once more of one thing."""
    return _again(id_, number_of(call))


def _again(id_: str, call_id: int | None) -> tuple[Response, int]:
    with parts().ledger.writing() as tx:
        found = tell_again(tx, guard.who(), number_of(id_), call_id, parts().now())
    return jsonify({"again": [str(one.id) for one in found]}), 202


def number_of(words: str) -> int:
    """Return an id as the database counts."""
    number = bodies.number(words)
    if number is None:
        raise UnknownHook(f"({words[:40]})")
    return number


def _shown(one: Hook) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "url": one.url,
        "events": [event.value for event in one.events],
        "channel": one.channel or None,
        "on": one.disabled_at is None,
        "why": one.why or None,
        "failing_since": shapes.moment(one.failing_since),
        "created_at": shapes.moment(one.created_at),
    }


def _call(one: Call) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "type": one.kind.value,
        "at": shapes.moment(one.at),
        "state": one.state.value,
        "attempts": one.attempts,
        "tried_at": shapes.moment(one.tried_at),
        "next_at": shapes.moment(one.not_before) if one.state.value == "waiting" else None,
        "answer": one.answer or None,
    }
