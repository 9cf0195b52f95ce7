"""The desk's whole wiring, on one screen."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from flask import Flask, Response, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import IntegerConverter, Map

from bot import clock
from bot.clock import Clock
from bot.content.catalogue import Catalogue
from bot.errors import BotError
from bot.ledger.transaction import Ledger
from bot.settings import ROOT, Settings
from bot.vocabulary import Author, Holder, Status
from handoff import (
    account,
    accounts,
    api,
    audit,
    beside,
    board,
    composing,
    desk,
    drawn,
    feed,
    files,
    finding,
    floor,
    guard,
    guests,
    health,
    hooks,
    integrations,
    live,
    office,
    own,
    parts,
    reference,
    refusals,
    replies,
    reports,
    rest,
    setup,
    sight,
    signin,
    suggesting,
    teaming,
    updates,
    words,
)
from handoff.board import Boards
from handoff.feed import Feed
from handoff.parts import Parts
from handoff.roles import Deed
from handoff.sight import Sight

BODY_MAX = 64 * 1024
ROOMS = (
    desk, beside, own, finding, composing, replies, files, live, updates, teaming, floor, reports, account, accounts,
    audit, signin, setup, health, integrations, reference, api,
)  # fmt: skip
MORE_OF_THE_API = (guests, hooks, rest)  # importing them is what adds their calls to it
NEVER_USED = (
    "accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer", "microphone", "midi",
    "payment", "publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
)  # fmt: skip
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
        "connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "X-Permitted-Cross-Domain-Policies": "none",
    "X-Robots-Tag": "noindex, nofollow",
    "Permissions-Policy": ", ".join(f"{what}=()" for what in NEVER_USED),
}
ONLY_TLS = "max-age=31536000"  # said over TLS alone: who has once come safely never comes otherwise


class Number(IntegerConverter):
    """A number in an address: there is nothing behind one that no database can count to."""

    def __init__(self, url_map: Map, *, max: int = 2**63 - 1, **rest: Any) -> None:  # as Werkzeug calls it
        super().__init__(url_map, max=max, **rest)


def create_app(settings: Settings | None = None, *, now: Clock = clock.now) -> Flask:
    """Put the desk together: one ledger, one catalogue, one feed, and the blueprints."""
    settings = settings or Settings.from_env()
    ledger = Ledger(settings.database_url)
    tail = Feed(ledger)
    app = Flask("handoff")
    app.url_map.converters["int"] = Number
    app.config["MAX_CONTENT_LENGTH"] = BODY_MAX
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(words=words, office=office, drawn=drawn.drawn)
    app.jinja_env.globals.update(Author=Author, Deed=Deed, Holder=Holder, Status=Status)
    catalogue = Catalogue.load(ROOT / "data" / "responses")
    parts.install(app, Parts(settings, ledger, catalogue, now))
    composing.install(app, suggesting.book_of(catalogue))
    feed.install(app, tail)
    board.install(app, Boards(ledger, now, tail.subscribers))
    looking = Sight(ledger, tail, now)
    sight.install(app, looking)
    guard.install(app)
    for room in ROOMS:
        app.register_blueprint(room.blueprint)
    guard.for_everybody(app.view_functions["static"])
    app.register_error_handler(BotError, refusals.refused)
    app.register_error_handler(HTTPException, refusals.failed)
    app.register_error_handler(SQLAlchemyError, refusals.database_fails)
    app.after_request(_secure)
    tail.start()
    looking.start()
    _on_stop(tail.stop)
    return app


def _secure(response: Response) -> Response:
    """Tell browsers what our pages never do, and to keep no page with what contacts said."""
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = ONLY_TLS
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response


def _on_stop(stop: Callable[[], None]) -> None:
    """End open streams when the server is told to stop, so that it needn't wait for browsers to leave.

    gunicorn's workers set their handlers before they load the app; ours goes in front. Where nobody handles the
    signal (tests, a plain interpreter) it ends the process as ever.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        before = signal.getsignal(number)
        if not callable(before) or before is signal.default_int_handler:
            continue

        def handle(got: int, where: FrameType | None, before: Callable[..., Any] = before) -> None:
            stop()
            before(got, where)

        signal.signal(number, handle)
