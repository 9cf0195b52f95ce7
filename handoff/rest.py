"""More of the API: a transcript to hand on, who is at the desk, and the description of it all."""

from __future__ import annotations

from enum import Enum

from flask import Response, jsonify, render_template

from bot.ledger import transcript
from bot.ledger.transcript import Said
from bot.messages import Media
from bot.vocabulary import Author, Status
from handoff import agents, bodies, guard, shapes, words
from handoff.api import blueprint as api
from handoff.openapi.document import document
from handoff.parts import parts
from handoff.roles import Deed, Scope
from handoff.viewing import name_of

NOT_SAID = {Status.FAILED, Status.WITHDRAWN}  # the contact never had it


class Format(str, Enum):
    """As what a transcript is handed on."""

    JSON = "json"
    TEXT = "text"
    HTML = "html"


@api.get("/conversations/<key>/transcript")
@guard.with_token
def transcript_of(key: str) -> Response:
    """Return what both sides have said and read, to be handed to the contact: no notes, nothing that did not arrive."""
    format_ = bodies.one_of("format", bodies.argument("format"), Format) or Format.JSON
    with parts().ledger.reading() as tx:
        guard.who().require(Deed.READ)
        one = transcript.conversation(tx, key)
        said = [_line(each, name_of(one)) for each in transcript.messages_of(tx, one.id, transcript.EVERYTHING)
                if each.status not in NOT_SAID]  # fmt: skip
    told = {"conversation": one.key, "contact": name_of(one), "messages": [line for line in said if line["text"]]}
    match format_:
        case Format.JSON:
            return jsonify(told)
        case Format.TEXT:
            answer = Response(render_template("transcript.txt", **told), mimetype="text/plain")
        case Format.HTML:
            answer = Response(render_template("transcript.html", **told), mimetype="text/html")
    answer.headers["Content-Disposition"] = f'attachment; filename="transcript-{one.key}.{_ending(format_)}"'
    return answer


def _ending(format_: Format) -> str:
    return "txt" if format_ is Format.TEXT else format_.value


def _line(message: Said, contact: str) -> dict[str, str | None]:
    who = contact if message.author is Author.CONTACT else words.author(message.author, message.agent_name)
    text = "" if message.deleted_at is not None else words.own(message.type, message.text)
    if not text and message.deleted_at is None:
        kind = "voice" if isinstance(message.content, Media) and message.content.voice else message.type
        text = f"[{words.kind(kind)}]"
    return {"author": message.author.value, "name": who, "text": text, "at": shapes.moment(message.at)}


@api.get("/accounts")
@guard.with_token
def accounts() -> Response:
    """List who may hold conversations: to whom one may be passed on."""
    with parts().ledger.reading() as tx:
        guard.who().require(Deed.READ)
        found = agents.colleagues(tx)
        seen = agents.last_seen(tx, {one.id for one in found})
    return jsonify(
        [
            {
                "email": one.email,
                "name": one.name,
                "role": one.role.value,
                "seen_at": shapes.moment(seen.get(one.id)),
            }
            for one in found
        ]
    )


@api.get("/openapi.json")
@guard.for_everybody
def openapi() -> Response:
    """Describe all of this to programs."""
    return jsonify(document())


@api.get("/account")
@guard.with_token
def account() -> Response:
    """Tell who one is, and for what the token is good."""
    who = guard.who()
    return jsonify(
        {
            "email": who.email,
            "name": who.name,
            "role": who.role.value,
            "scopes": [one.value for one in Scope if one in who.scopes],
        }
    )
