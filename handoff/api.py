"""The REST API, version 1. Who brings a bearer token acts as its account; the rules are those of the pages."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from bot.errors import AlreadyTaken, BotError, NotAllowed, NotYours, TooLong, UnknownConversation
from bot.ledger import transcript
from bot.ledger.transcript import Conversation, Said
from bot.messages import TEXT_MAX, can_be_kept
from bot.vocabulary import Author, Holder
from handoff import assignments, guard, pages, refusals
from handoff.assignments import Note, Written
from handoff.parts import parts
from handoff.refusals import BadBody
from handoff.roles import Deed

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")

LISTED = 1000
KEY_MAX = 255


@blueprint.get("/conversations")
@guard.with_token
def conversations() -> Response:
    """List conversations, the queue the longest waiting first, others the newest first."""
    asked = request.args.get("holder")
    if asked is not None and asked not in {holder.value for holder in Holder}:
        raise BadBody(f"(holder is {asked!r}; it must be bot, queue or agent)")
    with parts().ledger.reading() as tx:
        guard.who().require(Deed.READ)
        found = transcript.list_of(tx, Holder(asked) if asked else None, limit=LISTED)
    return jsonify([conversation_json(one) for one in found])


@blueprint.get("/conversations/<key>")
@guard.with_token
def conversation(key: str) -> Response:
    """Return one conversation."""
    return _conversation(key)


@blueprint.get("/conversations/<key>/messages")
@guard.with_token
def messages(key: str) -> Response:
    """List what was said and noted, oldest first."""
    with parts().ledger.reading() as tx:
        one = transcript.conversation(tx, key)
        said = transcript.messages_of(tx, one.id, transcript.EVERYTHING)
        notes = assignments.notes_of(tx, one.id)
    ordered = [((message.id, 0, 0), message_json(message)) for message in said]
    ordered += [((note.after_message_id, 1, note.id), note_json(note)) for note in notes]
    return jsonify([shown for _, shown in sorted(ordered, key=lambda item: item[0])])


@blueprint.post("/conversations/<key>/take")
@guard.with_token
def take(key: str) -> Response:
    """Take it; taking what one holds already changes nothing."""
    with parts().ledger.writing() as tx:
        assignments.take(tx, key, guard.who(), parts().now())
    return _conversation(key)


@blueprint.post("/conversations/<key>/requeue")
@guard.with_token
def requeue(key: str) -> Response:
    """Put it back into the queue."""
    with parts().ledger.writing() as tx:
        assignments.requeue(tx, key, guard.who(), parts().now())
    return _conversation(key)


@blueprint.post("/conversations/<key>/give_back")
@guard.with_token
def give_back(key: str) -> Response:
    """Return it to the bot."""
    goodbye = parts().goodbye()
    with parts().ledger.writing() as tx:
        assignments.give_back(tx, key, guard.who(), goodbye, parts().now())
    return _conversation(key)


@blueprint.post("/conversations/<key>/reply")
@guard.with_token
def reply(key: str) -> Response:
    """Queue an agent's words to the contact; the same Idempotency-Key again sends nothing and answers the same."""
    guard.who().require(Deed.SPEAK)
    text, client_key = _text(), _client_key()
    with parts().ledger.writing() as tx:
        written = assignments.reply(tx, key, guard.who(), text, client_key=client_key, now=parts().now())
    return _written(str(written.id), "text", written)


@blueprint.post("/conversations/<key>/note")
@guard.with_token
def note(key: str) -> Response:
    """Write something down for agents' eyes only."""
    text, client_key = _text(), _client_key()
    with parts().ledger.writing() as tx:
        written = assignments.note(tx, key, guard.who(), text, client_key=client_key, now=parts().now())
    return _written(f"note-{written.id}", "note", written)


@blueprint.errorhandler(BotError)
def refused(error: BotError) -> tuple[Response, int]:
    """Say in JSON what our rules refuse: a word for programs, a sentence for people."""
    status, word = refusals.status_of(error)
    body: dict[str, Any] = {"error": word, "message": str(error)}
    if isinstance(error, (AlreadyTaken, NotYours, NotAllowed)):
        body |= _holder_now(request.view_args or {})
    return jsonify(body), status


@blueprint.errorhandler(HTTPException)
def failed(error: HTTPException) -> tuple[Response, int]:
    """Say in JSON what Flask refuses."""
    return refusals.as_json(error)


def conversation_json(one: Conversation) -> dict[str, Any]:
    """Return a conversation as the API shows it."""
    return {
        "key": one.key,
        "holder": one.holder.value,
        "contact": {"phone": one.contact.phone, "name": one.contact.name},
        "reason": one.reason.value if one.reason else None,
        "last_message": pages.last_words(one),
        "last_message_at": moment(one.last_message_at),
        "agent": one.agent_name if one.holder is Holder.AGENT else None,
        "waiting_since": moment(one.asked_at) if one.holder is Holder.QUEUE else None,
        "window_ends": moment(one.window_ends),
        "slots": one.slots,
        "wish": one.wish,
    }


def message_json(message: Said) -> dict[str, Any]:
    """Return a message as the API shows it."""
    shown: dict[str, Any] = {
        "id": str(message.id),
        "author": message.author.value,
        "text": message.text,
        "type": message.type,
        "at": moment(message.at),
        "status": message.status.value if message.status else None,
    }
    if message.author is Author.CONTACT:
        shown |= {"intent": message.intent, "confidence": message.confidence}
    if message.author is Author.AGENT:
        shown["agent"] = message.agent_name
    if message.error:
        shown["error"] = message.error
    return shown


def note_json(note: Note) -> dict[str, Any]:
    """Return a note as the API shows it."""
    return {
        "id": f"note-{note.id}",
        "author": Author.AGENT.value,
        "text": note.text,
        "type": "note",
        "at": moment(note.at),
        "status": None,
        "agent": note.name,
    }


def moment(at: datetime | None) -> str | None:
    """Write a moment as ISO 8601 in UTC."""
    return None if at is None else at.astimezone(timezone.utc).isoformat()


def _conversation(key: str) -> Response:
    with parts().ledger.reading() as tx:
        return jsonify(conversation_json(transcript.conversation(tx, key)))


def _written(id_: str, type_: str, written: Written) -> Response:
    """Answer with what never changes, so that the same key has the same answer."""
    return jsonify(
        {"id": id_, "author": Author.AGENT.value, "text": written.text, "type": type_, "at": moment(written.at)}
    )


def _holder_now(view_args: dict[str, Any]) -> dict[str, Any]:
    try:
        with parts().ledger.reading() as tx:
            one = transcript.conversation(tx, str(view_args.get("key", "")))
    except UnknownConversation:
        return {}
    return {"holder": one.holder.value, "holder_name": one.agent_name if one.holder is Holder.AGENT else None}


def _text() -> str:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict) or not isinstance(body.get("text"), str):
        raise BadBody('(it must be JSON like {"text": "Hello"})')
    text: str = body["text"]
    if not text.strip():
        raise BadBody("(the text needs words)")
    if len(text) > TEXT_MAX:
        raise TooLong(f"(it has {len(text)} characters, WhatsApp takes {TEXT_MAX})")
    if not can_be_kept(text):
        raise BadBody("(the text holds a character that can't be kept)")
    return text


def _client_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= KEY_MAX:
        raise BadBody(f"(an Idempotency-Key has 1 to {KEY_MAX} characters)")
    return key
