"""One's own account: where one is signed in, the password, the second factor."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bot.errors import BotError
from bot.ledger.transaction import Transaction
from handoff import agents, browsers, entry, guard, pages, second, sessions, trail, words
from handoff.acts import Act
from handoff.desk import viewer
from handoff.entry import WrongPassword
from handoff.parts import parts
from handoff.second import Pending, WrongCode
from handoff.sessions import Session, TooManyTries
from handoff.viewing import Viewer

blueprint = Blueprint("account", __name__, url_prefix="/account")

DONE = {
    "password": "Your password is changed. Everywhere else you are signed out.",
    "session": "That session has ended.",
    "others": "Everywhere else you are signed out.",
    "removed": "Signing in asks for your password alone.",
}


@dataclass(frozen=True)
class Place:
    """Somewhere one is signed in."""

    handle: str
    browser: str
    address: str
    since: str
    seen: str
    is_this: bool


@dataclass(frozen=True)
class Mine:
    """What the page shows."""

    places: list[Place]
    has_factor: bool
    must_have_factor: bool
    codes_left: int
    said: str


@blueprint.get("")
@guard.agents_only
def page() -> str:
    """Show one's own account."""
    with parts().ledger.reading() as tx:
        return render_template("account.html", frame=pages.frame(tx, viewer()), mine=_mine(tx))


@blueprint.post("/sessions/<handle>/end")
@guard.agents_only
def end_session(handle: str) -> AnyResponse:
    """Sign out somewhere else."""
    me, now = guard.who(), parts().now()
    with parts().ledger.writing() as tx:
        sessions.end_one(tx, me.id, handle)
        trail.write(tx, Act.SESSIONS_ENDED, me, subject=trail.of_account(me.email), now=now, ended=1)
    return guard.go_to(url_for("account.page", done="session"))


@blueprint.post("/sessions/end")
@guard.agents_only
def end_other_sessions() -> AnyResponse:
    """Sign out everywhere else."""
    me, now = guard.who(), parts().now()
    with parts().ledger.writing() as tx:
        ended = sessions.end_all(tx, me.id, but=guard.cookie())
        trail.write(tx, Act.SESSIONS_ENDED, me, subject=trail.of_account(me.email), now=now, ended=ended)
    return guard.go_to(url_for("account.page", done="others"))


@blueprint.post("/greeted")
@guard.agents_only
def greeted() -> AnyResponse:
    """Put the first-visit guide away, for good."""
    with parts().ledger.writing() as tx:
        agents.greet(tx, guard.who(), parts().now())
    return Response("") if guard.wants_fragment() else guard.go_to(url_for("desk.home"))


@blueprint.get("/factor")
@guard.newcomers_too
def factor() -> str:
    """Show how to set a second factor up, or what there is of it."""
    return _factor()


@blueprint.post("/factor")
@guard.newcomers_too
def confirm() -> AnyResponse:
    """Turn it on and show the recovery codes, once. Who signed in elsewhere without it signs in anew."""
    me = guard.who()
    try:
        with parts().ledger.writing() as tx:
            codes = second.confirm(tx, me, request.form.get("code", ""), parts().now())
            sessions.end_all(tx, me.id, but=guard.cookie())
    except WrongCode as error:
        return Response(_factor(error), 400)
    return _show_codes(codes, is_new=True)


@blueprint.post("/factor/codes")
@guard.agents_only
def renew_codes() -> AnyResponse:
    """Make new recovery codes, for who knows the password."""
    try:
        _require_password()
    except (WrongPassword, TooManyTries) as error:
        return Response(_factor(error), 429 if isinstance(error, TooManyTries) else 400)
    with parts().ledger.writing() as tx:
        codes = second.renew_recovery_codes(tx, guard.who(), parts().now())
    return _show_codes(codes, is_new=False)


@blueprint.post("/factor/remove")
@guard.agents_only
def remove() -> AnyResponse:
    """Take it away, for who knows the password."""
    try:
        _require_password()
    except (WrongPassword, TooManyTries) as error:
        return Response(_factor(error), 429 if isinstance(error, TooManyTries) else 400)
    with parts().ledger.writing() as tx:
        second.remove(tx, guard.who(), guard.who(), parts().now())
    return guard.go_to(url_for("account.page", done="removed"))


def _require_password() -> None:
    given = request.form.get("password", "")
    entry.require_password(parts().ledger, guard.who(), given, came=guard.came(), now=parts().now())


def _show_codes(codes: list[str], *, is_new: bool) -> AnyResponse:
    with parts().ledger.reading() as tx:
        frame = pages.frame(tx, viewer())
    return Response(render_template("recovery.html", frame=frame, codes=codes, is_new=is_new))


def _factor(error: BotError | None = None) -> str:
    me = guard.who()
    with parts().ledger.writing() as tx:
        is_on = second.is_on(tx, me.id)
        pending: Pending | None = None
        if not is_on:
            issuer = f"{words.BUSINESS} desk"
            pending = second.pending(tx, me, issuer=issuer, now=parts().now())
        frame, left = pages.frame(tx, viewer()), second.codes_left(tx, me.id)
    return render_template(
        "factor.html",
        frame=frame,
        pending=pending,
        left=left,
        error="" if error is None else str(error),
    )


def _mine(tx: Transaction) -> Mine:
    looks, me = viewer(), guard.who()
    found = sessions.of_account(tx, me.id, looks.now, cookie=guard.cookie())
    return Mine(
        places=[_place(one, looks) for one in found],
        has_factor=second.is_on(tx, me.id),
        must_have_factor=me.role in second.required(tx),
        codes_left=second.codes_left(tx, me.id),
        said=DONE.get(request.args.get("done", ""), ""),
    )


def _place(one: Session, looks: Viewer) -> Place:
    return Place(
        handle=one.handle,
        browser=browsers.called(one.browser),
        address=one.address,
        since=words.moment(one.created_at, looks.now, looks.tz),
        seen="now" if one.is_this else words.moment(one.seen_at, looks.now, looks.tz),
        is_this=one.is_this,
    )
