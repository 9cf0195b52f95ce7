"""How the desk says no: a status and a word for programs, a sentence for people, a toast for who is at work."""

from __future__ import annotations

import logging

from flask import Response, jsonify, make_response, render_template, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, ServiceUnavailable

from bot.errors import (
    AlreadyTaken,
    AtCapacity,
    BadHours,
    BadNeed,
    BadOutcome,
    BadSnooze,
    BadTeam,
    Blocked,
    BotError,
    Closed,
    KeyUsed,
    NotAllowed,
    NotYours,
    Overtaken,
    TeamBusy,
    TooLong,
    UnknownConversation,
    UnknownHandoff,
    UnknownHook,
    UnknownTeam,
    WindowClosed,
)
from handoff import guard
from handoff.addresses import BadUrl
from handoff.agents import AccountExists, LastAdmin, NotYourself, UnknownAccount
from handoff.assignments import NotWanted, UnknownDelivery, UnknownMessage, UnknownTemplate
from handoff.attaching import BadFile
from handoff.entry import SetUpAlready
from handoff.filling import BadTemplate
from handoff.profile import BadField
from handoff.push import BadBrowser
from handoff.quick_replies import BadQuickReply, UnknownQuickReply
from handoff.roles import RoleForbids, ScopeMissing
from handoff.second import NoFactor
from handoff.sessions import TooManyTries, UnknownSession
from handoff.tags import BadTag
from handoff.views import BadView, UnknownView

log = logging.getLogger(__name__)


RETRY_AFTER_S = "5"  # the database is away for longer, or back by then


class BadBody(BotError):
    """The body can't be used."""


STATUS_OF: dict[type[BotError], tuple[int, str]] = {
    AlreadyTaken: (409, "already_taken"),
    AtCapacity: (409, "at_capacity"),
    TeamBusy: (409, "team_busy"),
    NotAllowed: (409, "not_allowed"),
    Overtaken: (409, "overtaken"),
    WindowClosed: (409, "window_closed"),
    Blocked: (409, "blocked"),
    NotYours: (403, "not_yours"),
    RoleForbids: (403, "role_forbids"),
    ScopeMissing: (403, "scope_missing"),
    Closed: (409, "closed"),
    UnknownHandoff: (404, "unknown_handoff"),
    UnknownHook: (404, "unknown_hook"),
    NotWanted: (409, "not_wanted"),
    UnknownConversation: (404, "unknown_conversation"),
    UnknownAccount: (404, "unknown_account"),
    UnknownTeam: (404, "unknown_team"),
    UnknownMessage: (404, "unknown_message"),
    UnknownTemplate: (404, "unknown_template"),
    UnknownDelivery: (404, "unknown_delivery"),
    UnknownSession: (404, "unknown_session"),
    SetUpAlready: (404, "set_up_already"),
    AccountExists: (409, "account_exists"),
    LastAdmin: (409, "last_admin"),
    NotYourself: (409, "not_yourself"),
    NoFactor: (409, "no_factor"),
    TooManyTries: (429, "too_many_tries"),
    TooLong: (422, "too_long"),
    KeyUsed: (422, "key_used"),
    BadTemplate: (422, "bad_template"),
    BadFile: (422, "bad_file"),
    BadQuickReply: (422, "bad_quick_reply"),
    UnknownQuickReply: (404, "unknown_quick_reply"),
    BadTag: (422, "bad_tag"),
    BadField: (422, "bad_field"),
    BadView: (422, "bad_view"),
    UnknownView: (404, "unknown_view"),
    BadBrowser: (422, "bad_browser"),
    BadHours: (422, "bad_hours"),
    BadTeam: (422, "bad_team"),
    BadNeed: (422, "bad_need"),
    BadBody: (400, "bad_body"),
    BadOutcome: (422, "bad_outcome"),
    BadSnooze: (422, "bad_snooze"),
    BadUrl: (422, "bad_url"),
}


def status_of(error: BotError) -> tuple[int, str]:
    """Return the HTTP status and the word of one of our errors."""
    return STATUS_OF.get(type(error), (400, "bad_request"))


def refused(error: BotError) -> Response:
    """Say no to a browser: as a toast beside the work, or as a page."""
    status, _ = status_of(error)
    sentence = f"{error.holder_name} took it first." if isinstance(error, AlreadyTaken) else str(error)
    return _say(sentence, status)


def failed(error: HTTPException) -> Response:
    """Say what Flask refuses, in the caller's language."""
    if request.path.startswith("/api/"):
        return make_response(as_json(error))
    sentences = {
        404: "There is no such page.",
        405: "This address can't do that.",
        413: "That was far too long.",
        500: "Something broke at the desk. It is written down; please try again.",
        503: "The database doesn't answer. Nothing you wrote is lost from this page; try again in a moment.",
    }
    return _say(sentences.get(error.code or 500, error.description or error.name), error.code or 500)


def database_fails(error: SQLAlchemyError) -> Response:
    """Say that the database is away; what was asked for did not happen."""
    log.error("the database failed a request: %s", type(error).__name__, extra={"action": "database_failed"})
    return failed(ServiceUnavailable("The database doesn't answer. Nothing was changed; try again."))


def as_json(error: HTTPException) -> tuple[Response, int]:
    """Say it to a program."""
    status = error.code or 500
    words = {
        401: ("no_token", "Send a token that is still good: Authorization: Bearer …"),
        413: ("too_long", "The body is larger than any message."),
    }
    word, sentence = words.get(status, (error.name.lower().replace(" ", "_"), error.description or error.name))
    response = jsonify({"error": word, "message": sentence})
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        response.headers["Retry-After"] = RETRY_AFTER_S
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response, status


def _say(sentence: str, status: int) -> Response:
    if guard.wants_fragment():
        response = make_response(render_template("_toast.html", sentence=sentence), status)
        response.headers["HX-Retarget"] = "#toasts"
        response.headers["HX-Reswap"] = "beforeend"
        return response
    return make_response(render_template("refused.html", sentence=sentence, status=status), status)
