"""The API for other bots on other channels: they bring a contact, pass on what is written, and hear the agent."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, jsonify, request

from bot.errors import UnknownHandoff
from bot.ledger import guests, transcript
from bot.ledger.guests import Brought, Line, Visit
from bot.ledger.transaction import Transaction
from bot.messages import TEXT_MAX
from bot.vocabulary import Author, Reason
from handoff import bodies, guard, shapes
from handoff.api import blueprint as api
from handoff.bodies import Fields
from handoff.parts import parts
from handoff.refusals import BadBody
from handoff.roles import Account, Deed, Scope

NAME_MAX = 200
CHANNEL_MAX = 40
TEAM_MAX = 80
OWN_ID_MAX = 200
CHANNEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
LINES_MAX = 500
LANGUAGE_MAX = 20
SLOTS_MAX = 50
TRANSCRIPT_MAX = 1024 * 1024  # bytes; more than any other body
GIVEN = 200  # messages in one answer, unless fewer are asked for
OURS = {Reason.STEPPED_IN, Reason.PHONE, Reason.UNDELIVERED}  # nobody else can know these
REASONS = [one for one in Reason if one not in OURS]
BEFORE = [Author.CONTACT, Author.BOT]  # who spoke before the handoff


@api.post("/handoffs")
@guard.with_token
@guard.needs(Scope.HANDOFFS)
def bring() -> tuple[Response, int]:
    """Put a contact of another bot into the queue, with all that was said; the same conversation again is the same."""
    guard.who().require(Deed.SPEAK)
    request.max_content_length = TRANSCRIPT_MAX
    brought, client_key, now = _brought(), bodies.client_key(), parts().now()
    with parts().ledger.writing() as tx:
        handoff_id = guests.bring(tx, brought, account_id=guard.who().id, client_key=client_key, now=now)
        shown = _shown(tx, guests.visit(tx, handoff_id))
    return jsonify(shown), 201 if shown["asked_at"] == shapes.moment(now) else 200


def _brought() -> Brought:
    fields = Fields(bodies.body())
    channel = fields.text("channel", CHANNEL_MAX)
    if not CHANNEL_NAME.fullmatch(channel):
        raise BadBody('(channel is a short name of small letters, digits, - and _, like "webchat")')
    slots = fields.plain("slots", SLOTS_MAX)
    evidence = fields.text("evidence", TEXT_MAX, default="")
    return Brought(
        channel=channel,
        own_id=fields.text("conversation_id", OWN_ID_MAX),
        name=fields.text("name", NAME_MAX, default=""),
        reason=fields.word("reason", REASONS, Reason.ASKED),
        wish=fields.text("wish", TEXT_MAX, default=""),
        slots=slots | ({"evidence": evidence} if evidence else {}),
        lines=tuple(_line(one) for one in fields.objects("transcript", LINES_MAX)),
        language=fields.text("language", LANGUAGE_MAX, default=""),
        team=fields.text("team", TEAM_MAX, default=""),
    )


def _line(fields: Fields) -> Line:
    author = fields.word("author", BEFORE)
    return Line(
        author, fields.text("text", TEXT_MAX), fields.moment("at"), fields.text("id", OWN_ID_MAX, default="")
    )  # fmt: skip


@api.get("/handoffs/<id_>")
@guard.with_token
@guard.needs(Scope.HANDOFFS)
def handoff(id_: str) -> Response:
    """Tell how a handoff stands."""
    with parts().ledger.reading() as tx:
        return jsonify(_shown(tx, _mine(tx, id_)))


@api.post("/handoffs/<id_>/messages")
@guard.with_token
@guard.needs(Scope.HANDOFFS)
def write(id_: str) -> tuple[Response, int]:
    """Pass on what the contact writes now; the same id again is the same message."""
    guard.who().require(Deed.SPEAK)
    fields, client_key = Fields(bodies.body()), bodies.client_key()
    own_id = fields.text("id", OWN_ID_MAX, default=client_key or "")
    if not own_id:
        raise BadBody("(it needs an id of yours, so that the same message twice is one; or an Idempotency-Key)")
    line = Line(Author.CONTACT, fields.text("text", TEXT_MAX), fields.moment("at"), own_id)
    with parts().ledger.writing() as tx:
        message_id = guests.hear(tx, _mine(tx, id_).id, line, parts().now())
        said = transcript.message(tx, message_id)
    shown = shapes.message(said, {}) if said is not None else {}
    return jsonify({name: shown[name] for name in ("id", "author", "text", "type", "at")}), 201


@api.get("/handoffs/<id_>/messages")
@guard.with_token
@guard.needs(Scope.HANDOFFS)
def said(id_: str) -> Response:
    """List what was said, oldest first, without agents' notes; what came after `after` says that you have what was
    before.
    """
    after = request.args.get("after")
    behind = 0 if after is None else bodies.number(after)
    if behind is None:
        raise BadBody("(after is the id of a message you were given)")
    limit = bodies.limit(GIVEN) or GIVEN
    with parts().ledger.reading() as tx:
        visit = _mine(tx, id_)
        found = transcript.messages_after(tx, visit.conversation_id, behind, limit)
        by_wamid = transcript.quoted_by(tx, visit.conversation_id, found)
    is_the_bot = visit.account_id == guard.who().id
    if is_the_bot and (behind or any(one.status is not None for one in found)):
        with parts().ledger.writing() as tx:
            guests.hand_out(tx, visit, [one.id for one in found], behind, parts().now())
    return jsonify([shapes.message(one, by_wamid) for one in found])


@api.post("/handoffs/<id_>/cancel")
@guard.with_token
@guard.needs(Scope.HANDOFFS)
def cancel(id_: str) -> Response:
    """The contact would rather go on with their bot; 409 once a person has them."""
    with parts().ledger.writing() as tx:
        visit = _mine(tx, id_)
        guests.cancel(tx, visit.id, parts().now())
        return jsonify(_shown(tx, guests.visit(tx, visit.id)))


def _mine(tx: Transaction, id_: str) -> Visit:
    """Return a handoff to who brought it, or leads."""
    account: Account = guard.who()
    account.require(Deed.SPEAK)
    number = bodies.number(id_)
    if number is None:
        raise UnknownHandoff(f"({id_[:40]})")
    visit = guests.visit(tx, number)
    if visit.account_id != account.id and not account.may(Deed.LEAD):
        raise UnknownHandoff(f"({id_})")
    return visit


def _shown(tx: Transaction, visit: Visit) -> dict[str, Any]:
    """Return a handoff, with what its contact can truthfully be told now."""
    now = parts().now()
    promised = guests.promised(tx, visit, now)
    sentence = None
    if promised is not None:
        made, hours = promised
        sentence = parts().catalogue.say(f"utter_promise_{made.telling.value}", **made.words(now, hours)).text
    return shapes.handoff(visit, place=promised[0].place if promised else None, sentence=sentence)
