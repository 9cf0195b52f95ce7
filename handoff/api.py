"""The REST API, version 1. Who brings a bearer token acts as its account; the rules are those of the pages."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from bot.errors import AlreadyTaken, BotError, NotAllowed, NotYours, TooLong, UnknownConversation
from bot.ledger import errands, files, inbox, teams, transcript
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation
from bot.messages import MEDIA_MAX_BYTES, TEXT_MAX, can_be_kept
from bot.vocabulary import Author, Holder, UpdateState
from handoff import assignments, endings, guard, members, paging, refusals, shapes, snoozing, tags
from handoff.assignments import UnknownDelivery, UnknownMessage, Written
from handoff.bodies import body as _body
from handoff.bodies import client_key as _client_key
from handoff.bodies import json as _json
from handoff.bodies import number as _number
from handoff.filling import Wanted
from handoff.parts import parts
from handoff.refusals import BadBody
from handoff.roles import Deed, Scope

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")

LISTED = 1000


@blueprint.get("/conversations")
@guard.with_token
def conversations() -> Response:
    """List conversations, the queue as something would be lost, others the newest first; say whether it is not all."""
    asked = request.args.get("holder")
    if asked is not None and asked not in {holder.value for holder in Holder}:
        raise BadBody(f"(holder is {asked!r}; it must be bot, queue or agent)")
    holder = Holder(asked) if asked else None
    if {"limit", "after", "agent"} & set(request.args):
        return paging.conversations(holder)
    with parts().ledger.reading() as tx:
        guard.who().require(Deed.READ)
        found, is_all = _listed(tx, holder)
    answer = jsonify([shapes.conversation(one) for one in found])
    if not is_all:
        answer.headers["Baton-More"] = "true"  # the list itself has no room for it
    return answer


def _listed(tx: Transaction, holder: Holder | None) -> tuple[list[Conversation], bool]:
    """Return the newest, and everybody who waits for a person or has one, however many; and whether that is all."""
    if holder is Holder.QUEUE:
        return transcript.queue(tx, parts().now(), limit=transcript.EVERYTHING), True
    if holder is Holder.AGENT:
        return transcript.list_of(tx, holder, limit=transcript.EVERYTHING), True
    found = transcript.list_of(tx, holder, limit=LISTED + 1)
    newest, is_all = found[:LISTED], len(found) <= LISTED
    if holder is None and not is_all:
        listed = {one.id for one in newest}
        older = {
            one.id: one
            for cared_for in (Holder.AGENT, Holder.QUEUE)  # the queue last: who is put back meanwhile is in it
            for one in transcript.list_of(tx, cared_for, limit=transcript.EVERYTHING)
            if one.id not in listed
        }
        newest += sorted(older.values(), key=lambda one: one.last_message_at, reverse=True)
    return newest, is_all


@blueprint.get("/conversations/<key>")
@guard.with_token
def conversation(key: str) -> Response:
    """Return one conversation."""
    return _conversation(key)


@blueprint.get("/conversations/<key>/messages")
@guard.with_token
def messages(key: str) -> Response:
    """List what was said and noted, oldest first; with `after` or `limit` a part of it."""
    if {"limit", "after"} & set(request.args):
        return paging.messages(key)
    with parts().ledger.reading() as tx:
        one = transcript.conversation(tx, key)
        said = transcript.messages_of(tx, one.id, transcript.EVERYTHING)
        notes = assignments.notes_of(tx, transcript.merged_into(tx, one.id))
        sent = files.of(tx, [message.id for message in said if message.type in MEDIA_MAX_BYTES])
    by_wamid = {message.wamid: message for message in said if message.wamid}
    ordered = [((message.id, 0, 0), shapes.message(message, by_wamid, sent.get(message.id))) for message in said]
    ordered += [((note.after_message_id, 1, note.id), shapes.note(note)) for note in notes]
    return jsonify([shown for _, shown in sorted(ordered, key=lambda item: item[0])])


@blueprint.get("/conversations/<key>/tags")
@guard.with_token
def tags_of(key: str) -> Response:
    """List its tags."""
    with parts().ledger.reading() as tx:
        guard.who().require(Deed.READ)
        return jsonify({"tags": tags.of(tx, transcript.conversation(tx, key).id)})


@blueprint.put("/conversations/<key>/tags")
@guard.with_token
def put_tags(key: str) -> Response:
    """Have exactly these tags on it."""
    wanted = _body().get("tags")
    if not isinstance(wanted, list) or not all(isinstance(word, str) and can_be_kept(word) for word in wanted):
        raise BadBody('(it must be JSON like {"tags": ["refund", "vip"]})')
    with parts().ledger.writing() as tx:
        return jsonify({"tags": tags.put(tx, key, guard.who(), wanted, parts().now())})


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
        assignments.requeue(tx, key, guard.who(), parts().now(), tell=parts().requeued())
    return _conversation(key)


@blueprint.post("/conversations/<key>/transfer")
@guard.with_token
def transfer(key: str) -> Response:
    """Pass it on to a colleague, named by e-mail, or to a team, perhaps with a note."""
    guard.who().require(Deed.SPEAK)
    body, client_key, who, now = _body(), _client_key(), guard.who(), parts().now()
    to, team, text, beyond = body.get("to"), body.get("to_team"), body.get("note", ""), body.get("beyond", False)
    named = [one for one in (to, team) if one is not None]
    if len(named) != 1 or not isinstance(named[0], str) or not isinstance(text, str) or not isinstance(beyond, bool):
        raise BadBody('(it needs "to": a colleague\'s e-mail, or "to_team": a name; "note" is text, "beyond" is true)')
    with parts().ledger.writing() as tx:
        if isinstance(to, str):
            kept = assignments.transfer(tx, key, who, to, text, client_key=client_key, now=now, beyond=beyond)
        else:
            kept = assignments.transfer_to_team(
                tx, key, who, named[0], text, client_key=client_key, now=now, tell=parts().requeued()
            )  # fmt: skip
    return _conversation(kept)


@blueprint.post("/conversations/<key>/give_back")
@guard.with_token
def give_back(key: str) -> Response:
    """Return it to the bot; the body may say how it went."""
    guard.who().require(Deed.SPEAK)
    goodbye, ends = parts().goodbye(), endings.read(_body() if request.get_data() else {})
    with parts().ledger.writing() as tx:
        assignments.give_back(tx, key, guard.who(), goodbye, parts().now(), ends=ends, ask=parts().ask_csat())
    return _conversation(key)


@blueprint.post("/conversations/<key>/snooze")
@guard.with_token
def snooze(key: str) -> Response:
    """Put it aside until a time, or until the contact writes."""
    guard.who().require(Deed.SPEAK)
    body, now = _body(), parts().now()
    if not isinstance(body.get("tell", False), bool):
        raise BadBody('("tell" is true or false)')
    with parts().ledger.writing() as tx:
        hours = assignments.hours_of(tx, key)
        wanted = snoozing.said(body.get("until"), tells=body.get("tell", False), now=now, hours=hours)
        assignments.snooze(tx, key, guard.who(), wanted, words=parts().snoozed(wanted.when), now=now)
    return _conversation(key)


@blueprint.post("/conversations/<key>/wake")
@guard.with_token
def wake(key: str) -> Response:
    """Take it up again before its time."""
    with parts().ledger.writing() as tx:
        assignments.wake(tx, key, guard.who(), parts().now())
    return _conversation(key)


@blueprint.get("/conversations/<key>/handoffs")
@guard.with_token
def handoffs(key: str) -> Response:
    """List every time a person was needed: why, how it went, how long it took. Oldest first."""
    with parts().ledger.reading() as tx:
        guard.who().require(Deed.READ)
        found = transcript.episodes_of(tx, transcript.conversation(tx, key).id)
    return jsonify([shapes.episode(one) for one in found])


@blueprint.post("/conversations/<key>/reply")
@guard.with_token
def reply(key: str) -> Response:
    """Queue an agent's words to the contact; the same Idempotency-Key again sends nothing and answers the same."""
    guard.who().require(Deed.SPEAK)
    text, client_key, to = _text(), _client_key(), _quoted()
    with parts().ledger.writing() as tx:
        written = assignments.reply(tx, key, guard.who(), text, client_key=client_key, to=to, now=parts().now())
    return _written(str(written.id), "text", written)


@blueprint.post("/conversations/<key>/template")
@guard.with_token
def template(key: str) -> Response:
    """Queue a template, whether the window is open or not; the same Idempotency-Key again answers the same."""
    guard.who().require(Deed.SPEAK)
    wanted, client_key = _wanted(), _client_key()
    with parts().ledger.writing() as tx:
        written = assignments.send_template(tx, key, guard.who(), wanted, client_key=client_key, now=parts().now())
    return _written(str(written.id), "template", written)


@blueprint.get("/teams")
@guard.with_token
def every_team() -> Response:
    """List the teams, the first one first: a conversation is passed on to one by its name."""
    guard.who().require(Deed.READ)
    with parts().ledger.reading() as tx:
        return jsonify([shapes.team(one, parts().now()) for one in teams.every(tx)])


@blueprint.post("/availability")
@guard.with_token
def availability() -> Response:
    """Say whether one can be given conversations; what one holds stays."""
    guard.who().require(Deed.SPEAK)
    available = _body().get("available")
    if not isinstance(available, bool):
        raise BadBody('(it must be JSON like {"available": false})')
    with parts().ledger.writing() as tx:
        members.be(tx, guard.who().id, available=available, now=parts().now())
    return jsonify({"available": available})


@blueprint.get("/templates")
@guard.with_token
def templates() -> Response:
    """List the account's templates, those that may be sent first."""
    with parts().ledger.reading() as tx:
        guard.who().require(Deed.READ)
        return jsonify([shapes.template(one) for one in errands.list_of_templates(tx)])


@blueprint.post("/messages/<id_>/again")
@guard.with_token
def again(id_: str) -> Response:
    """Queue what failed once more; twice is as good as once."""
    message_id = _message_id(id_)
    with parts().ledger.writing() as tx:
        new_id, key = assignments.send_again(tx, message_id, guard.who(), parts().now())
    return jsonify({"id": str(new_id), "again_of": id_, "conversation": key})


@blueprint.post("/messages/<id_>/aside")
@guard.with_token
def message_aside(id_: str) -> Response:
    """Let what failed rest; it need not go out any more."""
    message_id = _message_id(id_)
    with parts().ledger.writing() as tx:
        key = assignments.set_aside(tx, message_id, guard.who(), parts().now())
    return jsonify({"id": id_, "set_aside": True, "conversation": key})


@blueprint.post("/conversations/<key>/block")
@guard.with_token
def block(key: str) -> tuple[Response, int]:
    """Have Meta block the contact."""
    return _block(key, blocks=True)


@blueprint.post("/conversations/<key>/unblock")
@guard.with_token
def unblock(key: str) -> tuple[Response, int]:
    """Have Meta let the contact write again."""
    return _block(key, blocks=False)


def _block(key: str, *, blocks: bool) -> tuple[Response, int]:
    with parts().ledger.writing() as tx:
        assignments.block(tx, key, guard.who(), blocks=blocks, now=parts().now())
    return _conversation(key), 202  # the sender asks Meta; `contact.blocked` follows


@blueprint.get("/updates")
@guard.with_token
@guard.needs(Scope.ADMIN)
def updates() -> Response:
    """Tell what became of everything Meta brought, and list the newest; never what was in it."""
    guard.who().require(Deed.LOOK_AFTER)
    asked, limit = request.args.get("state"), _number(request.args.get("limit", "100"))
    if asked is not None and asked not in {state.value for state in UpdateState}:
        raise BadBody(f"(state is {asked!r}; it must be one of {', '.join(state.value for state in UpdateState)})")
    if limit is None or not 0 < limit <= LISTED:
        raise BadBody(f"(limit is a number from 1 to {LISTED})")
    with parts().ledger.reading() as tx:
        tally, lines = inbox.tally(tx), inbox.lines(tx, UpdateState(asked) if asked else None, limit)
    return jsonify({"tally": shapes.tally(tally), "updates": [shapes.line(line) for line in lines]})


@blueprint.post("/updates/<delivery>/again")
@guard.with_token
@guard.needs(Scope.ADMIN)
def read_again(delivery: str) -> tuple[Response, int]:
    """Have what failed in a delivery read once more; the door does it within seconds."""
    guard.who().require(Deed.LOOK_AFTER)
    delivery_id = _delivery_id(delivery)
    with parts().ledger.writing() as tx:
        assignments.read_again(tx, guard.who(), delivery_id, now=parts().now())
    return jsonify({"delivery": delivery, "again": True}), 202


@blueprint.post("/updates/<delivery>/aside")
@guard.with_token
@guard.needs(Scope.ADMIN)
def delivery_aside(delivery: str) -> Response:
    """Let what failed in a delivery rest; it need not be read."""
    guard.who().require(Deed.LOOK_AFTER)
    delivery_id = _delivery_id(delivery)
    with parts().ledger.writing() as tx:
        assignments.set_updates_aside(tx, guard.who(), delivery_id, now=parts().now())
    return jsonify({"delivery": delivery, "set_aside": True})


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


def _conversation(key: str) -> Response:
    with parts().ledger.reading() as tx:
        return jsonify(shapes.conversation(transcript.conversation(tx, key)))


def _written(id_: str, type_: str, written: Written) -> Response:
    """Answer with what never changes, so that the same key has the same answer."""
    return jsonify(
        {"id": id_, "author": Author.AGENT.value, "text": written.text, "type": type_, "at": shapes.moment(written.at)}
    )


def _holder_now(view_args: dict[str, Any]) -> dict[str, Any]:
    try:
        with parts().ledger.reading() as tx:
            one = transcript.conversation(tx, str(view_args.get("key", "")))
    except UnknownConversation:
        return {}
    return {"holder": one.holder.value, "holder_name": one.agent_name if one.holder is Holder.AGENT else None}


def _message_id(words: str) -> int:
    number = _number(words)
    if number is None:
        raise UnknownMessage(f"(message {words})")
    return number


def _delivery_id(words: str) -> int:
    number = _number(words)
    if number is None:
        raise UnknownDelivery(f"({words})")
    return number


def _quoted() -> int | None:
    """Return the message a reply answers to."""
    to = _body().get("to")
    if to is None:
        return None
    number = _number(to) if isinstance(to, str) else None
    if number is None:
        raise UnknownMessage('(to is the id of a message, like "12")')
    return number


def _wanted() -> Wanted:
    """Read which template is wanted, and what goes into it."""
    body = _body()
    name, language, blanks = body.get("name"), body.get("language"), body.get("blanks", [])
    header, payloads, endings = body.get("header", ""), body.get("payloads", []), body.get("url_endings", [])
    picture = header.get("link") if isinstance(header, dict) else ""
    header = "" if isinstance(header, dict) else header
    said = list(blanks.values()) if isinstance(blanks, dict) else blanks
    if not all(isinstance(word, str) for word in (name, language, header, picture)):
        raise BadBody('(it must be JSON like {"name": "answer_ready", "language": "en", "blanks": ["Mia", "12"]})')
    if not all(isinstance(many, list) and all(isinstance(one, str) for one in many)
               for many in (said, payloads, endings)):  # fmt: skip
        raise BadBody("(blanks, payloads and url_endings are lists of texts; blanks may name them instead)")
    kept = blanks if isinstance(blanks, dict) else tuple(blanks)
    return Wanted(str(name), str(language), kept, str(header), str(picture), tuple(payloads), tuple(endings))


def _text() -> str:
    body = _json()
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
