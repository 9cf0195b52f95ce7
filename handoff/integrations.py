"""The pages for who connects programs: tokens, by which they call the desk, and hooks, by which the desk calls them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, Response, make_response, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bot.errors import BotError
from bot.ledger import hooks as told
from bot.ledger.transaction import Transaction
from bot.vocabulary import CallState, Happening
from handoff import agents, bodies, guard, hooks, pages, refusals, words
from handoff.desk import viewer
from handoff.parts import parts
from handoff.refusals import BadBody
from handoff.roles import Deed, Scope

blueprint = Blueprint("integrations", __name__)

LISTED = 50
DAYS_MAX = 3650
SCOPES = {
    Scope.READ: "read conversations",
    Scope.WRITE: "take, reply, note …",
    Scope.HANDOFFS: "bring contacts of another bot",
    Scope.WEBHOOKS: "make hooks",
    Scope.ADMIN: "look after deliveries",
}


@dataclass(frozen=True)
class Fresh:
    """A secret that is shown once, and what it is."""

    what: str
    secret: str


@blueprint.get("/tokens")
@guard.agents_only
def tokens() -> Response:
    """Show the tokens there are."""
    return _tokens()


@blueprint.post("/tokens")
@guard.agents_only
def make_token() -> Response:
    """Make a token; only this page shows it."""
    guard.who().require(Deed.LOOK_AFTER)
    now, form = parts().now(), request.form
    try:
        scopes = [Scope(one) for one in form.getlist("scope") if one in {scope.value for scope in Scope}]
        days = bodies.number(form.get("days", "").strip()) if form.get("days", "").strip() else None
        if form.get("days", "").strip() and (days is None or not 0 < days <= DAYS_MAX):
            raise BadBody(f"(days is a number from 1 to {DAYS_MAX})")
        ends_at = None if days is None else now + timedelta(days=days)
        with parts().ledger.writing() as tx:
            email = form.get("email", "")
            name = form.get("name", "").replace("\x00", "")
            token = agents.add_token(tx, email, now, name=name, scopes=scopes, ends_at=ends_at, by=guard.who())
    except BotError as error:
        return _tokens(refused=error)
    return _tokens(Fresh(f"The token of {email.strip().lower()}", token))


@blueprint.post("/tokens/<token_id>/end")
@guard.agents_only
def end_token(token_id: str) -> AnyResponse:
    """Let a token be good for nothing any more."""
    guard.who().require(Deed.LOOK_AFTER)
    with parts().ledger.writing() as tx:
        agents.end_token(tx, token_id, parts().now(), guard.who())
    return guard.go_to(url_for("integrations.tokens"))


def _tokens(fresh: Fresh | None = None, refused: BotError | None = None) -> Response:
    guard.who().require(Deed.LOOK_AFTER)
    looks = viewer()
    with parts().ledger.reading() as tx:
        page = render_template(
            "tokens.html",
            frame=pages.frame(tx, looks),
            tokens=agents.tokens_of(tx),
            emails=sorted(one.email for one in agents.active(tx)),
            scopes=SCOPES,
            fresh=fresh,
            refused=refused,
            when=lambda at: words.when(at, looks.now, looks.tz),
            now=looks.now,
        )
    return make_response(page, refusals.status_of(refused)[0] if refused else 200)


@blueprint.get("/hooks")
@guard.agents_only
def every_hook() -> Response:
    """Show the hooks, and how they do."""
    return _hooks()


@blueprint.post("/hooks")
@guard.agents_only
def make_hook() -> Response:
    """Make a hook; only this page shows its secret."""
    guard.who().require(Deed.LOOK_AFTER)
    form = request.form
    events = tuple(one for one in Happening if one.value in form.getlist("event"))
    try:
        if not events:
            raise BadBody("(choose at least one thing it is told of)")
        with parts().ledger.writing() as tx:
            made = hooks.make(tx, guard.who(), form.get("url", "").strip(), events, form.get("channel", "").strip())
    except BotError as error:
        return _hooks(refused=error)
    return _hooks(Fresh(f"The secret of hook {made.id}", made.secret))


@blueprint.get("/hooks/<id_>")
@guard.agents_only
def one_hook(id_: str) -> str:
    """Show a hook's calls."""
    guard.who().require(Deed.LOOK_AFTER)
    looks = viewer()
    with parts().ledger.reading() as tx:
        hook = told.hook(tx, hooks.number_of(id_))
        return render_template(
            "hook.html",
            frame=pages.frame(tx, looks),
            hook=hook,
            calls=told.calls_of(tx, hook.id, LISTED),
            states=CallState,
            when=lambda at: words.when(at, looks.now, looks.tz),
        )


@blueprint.post("/hooks/<id_>/<verb>")
@guard.agents_only
def change_hook(id_: str, verb: str) -> AnyResponse:
    """Switch it on or off, forget it, tell it again."""
    guard.who().require(Deed.LOOK_AFTER)
    hook_id = hooks.number_of(id_)
    with parts().ledger.writing() as tx:
        _change(tx, hook_id, verb)
    if verb == "remove":
        return guard.go_to(url_for("integrations.every_hook"))
    return guard.go_to(url_for("integrations.one_hook", id_=hook_id))


def _change(tx: Transaction, hook_id: int, verb: str) -> None:
    who, now = guard.who(), parts().now()
    match verb:
        case "on" | "off":
            hooks.switch(tx, who, hook_id, on=verb == "on", now=now)
        case "remove":
            hooks.remove(tx, who, hook_id, now)
        case "again":
            call = request.form.get("call")
            hooks.tell_again(tx, who, hook_id, hooks.number_of(call) if call else None, now)
        case _:
            raise BadBody("(on, off, again or remove)")


def _hooks(fresh: Fresh | None = None, refused: BotError | None = None) -> Response:
    guard.who().require(Deed.LOOK_AFTER)
    with parts().ledger.reading() as tx:
        page = render_template(
            "hooks.html",
            frame=pages.frame(tx, viewer()),
            hooks=told.every(tx),
            events=list(Happening),
            fresh=fresh,
            refused=refused,
        )
    return make_response(page, refusals.status_of(refused)[0] if refused else 200)
