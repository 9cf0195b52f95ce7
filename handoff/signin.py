"""In and out: sign in, give a code, choose a password, sign out."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bot.errors import BotError
from handoff import agents, entry, guard, passwords
from handoff.entry import TooLate, WrongPassword
from handoff.parts import parts
from handoff.passwords import WeakPassword
from handoff.second import WrongCode
from handoff.sessions import TooManyTries

blueprint = Blueprint("signin", __name__)


@blueprint.get("/signin")
@guard.for_everybody
def page() -> AnyResponse:
    """Ask who it is; a desk nobody can sign in to yet is set up first."""
    with parts().ledger.reading() as tx:
        is_new = not agents.are_there_any(tx)
    if is_new:
        return guard.go_to(url_for("setup.page"))
    where = _next(request.args.get("next", ""))
    return Response(render_template("signin.html", error="", email="", next=where))


@blueprint.post("/signin")
@guard.for_everybody
def sign_in() -> AnyResponse:
    """Begin a session, or say what is wrong without saying which half."""
    email, password = request.form.get("email", ""), request.form.get("password", "")
    where, now = _next(request.form.get("next", "")), parts().now()
    try:
        session = entry.sign_in(parts().ledger, email, password, came=guard.came(), now=now, instead_of=guard.cookie())
    except (WrongPassword, TooManyTries) as error:
        return _again("signin.html", error, email=email, next=where)
    if session.awaits_code:
        return guard.remember(guard.go_to(url_for("signin.code", next=where)), session)
    return guard.remember(guard.go_to(where), session)


@blueprint.get("/signin/code")
@guard.for_everybody
def code() -> AnyResponse:
    """Ask for the second factor's code, of who gave the right password a moment ago."""
    with parts().ledger.reading() as tx:
        account = agents.half_signed_in(tx, guard.cookie(), parts().now())
    if account is None:
        return guard.go_to(url_for("signin.page"))
    return Response(render_template("code.html", error="", next=_next(request.args.get("next", ""))))


@blueprint.post("/signin/code")
@guard.for_everybody
def give_code() -> AnyResponse:
    """Begin the session, if the code is right."""
    where, given, now = _next(request.form.get("next", "")), request.form.get("code", ""), parts().now()
    try:
        session = entry.give_code(parts().ledger, guard.cookie(), given, came=guard.came(), now=now)
    except TooLate as error:
        return guard.forget(_again("signin.html", error, email="", next=where))
    except (WrongCode, TooManyTries) as error:
        return _again("code.html", error, next=where)
    return guard.remember(guard.go_to(where), session)


@blueprint.post("/signout")
@guard.newcomers_too
def sign_out() -> AnyResponse:
    """End the session."""
    with parts().ledger.writing() as tx:
        entry.sign_out(tx, guard.who(), guard.cookie(), parts().now())
    return guard.forget(guard.go_to(url_for("signin.page")))


@blueprint.get("/password")
@guard.newcomers_too
def password() -> str:
    """Ask for a new password."""
    return render_template("password.html", account=guard.who(), error="", least=passwords.PASSWORD_MIN)


@blueprint.post("/password")
@guard.newcomers_too
def change_password() -> AnyResponse:
    """Set it, and sign every other session out."""
    old, new, again = (request.form.get(name, "") for name in ("old", "new", "again"))
    is_new = guard.who().must_change_password
    try:
        if new != again:
            raise WeakPassword("(the two new ones differ)")
        now = parts().now()
        session = entry.change_password(parts().ledger, guard.who(), old, new, now=now, came=guard.came())
    except (WrongPassword, WeakPassword, TooManyTries) as error:
        status = 429 if isinstance(error, TooManyTries) else 400
        return _again("password.html", error, status, account=guard.who(), least=passwords.PASSWORD_MIN)
    to = url_for("desk.home") if is_new else url_for("account.page", done="password")
    return guard.remember(guard.go_to(to), session)


def _again(template: str, error: BotError, status: int | None = None, **shown: object) -> AnyResponse:
    status = status or (429 if isinstance(error, TooManyTries) else 401)
    return Response(render_template(template, error=str(error), **shown), status)


def _next(where: str) -> str:
    """Only a path of ours: a link from elsewhere must not lead through our door to another site."""
    try:
        parts_of = urlsplit(where)
    except ValueError:  # "//[": what urlsplit can't read is no path of ours
        return url_for("desk.home")
    plain = where.isprintable() and "\\" not in where  # browsers drop tabs and read \\ as /
    ours = plain and where.startswith("/") and not where.startswith("//") and not (parts_of.scheme or parts_of.netloc)
    return where if ours else url_for("desk.home")
