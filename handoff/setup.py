"""The first visit to a new desk: who has the code from its machine makes the first admin. Then the page is gone."""

from __future__ import annotations

from zoneinfo import available_timezones

from flask import Blueprint, Response, abort, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bot.errors import BadHours, BotError
from bot.hours import EXAMPLE
from handoff import agents, entry, guard, passwords, words
from handoff.agents import BadAccount
from handoff.desk import ZONE_COOKIE
from handoff.entry import First, WrongSetupCode
from handoff.parts import parts
from handoff.passwords import WeakPassword

blueprint = Blueprint("setup", __name__, url_prefix="/setup")

HOURS = "Mon-Fri 9:00-17:00"


@blueprint.get("")
@guard.for_everybody
def page() -> str:
    """Ask for the code and for what a desk needs to begin with."""
    _require_new()
    zone = getattr(words.zone(request.cookies.get(ZONE_COOKIE)), "key", "UTC")
    return _page(First("", "", "", zone, HOURS))


@blueprint.post("")
@guard.for_everybody
def set_up() -> AnyResponse:
    """Make the first admin, sign them in, and close this page for good."""
    _require_new()
    given = request.form
    first = First(
        given.get("email", ""),
        given.get("name", ""),
        given.get("password", ""),
        given.get("zone", ""),
        given.get("hours", ""),
    )
    try:
        if first.password != given.get("again", ""):
            raise WeakPassword("(the two differ)")
        session = entry.set_up(parts().ledger, given.get("code", ""), first, came=guard.came(), now=parts().now())
    except (BadAccount, BadHours, WeakPassword, WrongSetupCode) as error:
        return Response(_page(first, error, given.get("code", "")), 403 if isinstance(error, WrongSetupCode) else 400)
    return guard.remember(guard.go_to(url_for("desk.home")), session)


def _require_new() -> None:
    with parts().ledger.reading() as tx:
        if agents.are_there_any(tx):
            abort(404)


def _page(first: First, error: BotError | None = None, code: str = "") -> str:
    said = "" if error is None else words.plainly(str(error))
    zones = sorted(available_timezones() - {"localtime", "posixrules"})
    shown = {"error": said, "code": code, "zones": zones, "example": EXAMPLE, "least": passwords.PASSWORD_MIN}
    return render_template("setup.html", first=first, **shown)
