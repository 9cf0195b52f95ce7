"""In and out: sign in, choose a password, sign out."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bot.errors import BotError
from handoff import agents, guard
from handoff.agents import TooManyTries, WeakPassword, WrongPassword
from handoff.parts import parts

blueprint = Blueprint("signin", __name__)


@blueprint.get("/signin")
@guard.for_everybody
def page() -> str:
    """Ask who it is."""
    return render_template("signin.html", error="", email="", next=_next(request.args.get("next", "")))


@blueprint.post("/signin")
@guard.for_everybody
def sign_in() -> AnyResponse:
    """Begin a session, or say what is wrong without saying which half."""
    email, password = request.form.get("email", ""), request.form.get("password", "")
    where = _next(request.form.get("next", ""))
    address = request.remote_addr or ""
    try:
        session = agents.sign_in(parts().ledger, email, password, address=address, now=parts().now())
    except (WrongPassword, TooManyTries) as error:
        return _again("signin.html", error, 429 if isinstance(error, TooManyTries) else 401, email=email, next=where)
    return guard.remember(guard.go_to(where), session)


@blueprint.post("/signout")
@guard.newcomers_too
def sign_out() -> AnyResponse:
    """End the session."""
    with parts().ledger.writing() as tx:
        agents.sign_out(tx, request.cookies.get(guard.COOKIE, ""))
    return guard.forget(guard.go_to(url_for("signin.page")))


@blueprint.get("/password")
@guard.newcomers_too
def password() -> str:
    """Ask for a new password."""
    return render_template("password.html", account=guard.who(), error="", least=agents.PASSWORD_MIN)


@blueprint.post("/password")
@guard.newcomers_too
def change_password() -> AnyResponse:
    """Set it, and sign every other session out."""
    old, new, again = (request.form.get(name, "") for name in ("old", "new", "again"))
    try:
        if new != again:
            raise WeakPassword("(the two new ones differ)")
        session = agents.change_password(parts().ledger, guard.who(), old, new, now=parts().now())
    except (WrongPassword, WeakPassword) as error:
        return _again("password.html", error, 400, account=guard.who(), least=agents.PASSWORD_MIN)
    return guard.remember(guard.go_to(url_for("desk.home")), session)


def _again(template: str, error: BotError, status: int, **shown: object) -> AnyResponse:
    return Response(render_template(template, error=str(error), **shown), status)


def _next(where: str) -> str:
    """Only a path of ours: a link from elsewhere must not lead through our door to another site."""
    parts_of = urlsplit(where)
    plain = where.isprintable() and "\\" not in where  # browsers drop tabs and read \\ as /
    ours = plain and where.startswith("/") and not where.startswith("//") and not (parts_of.scheme or parts_of.netloc)
    return where if ours else url_for("desk.home")
