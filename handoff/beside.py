"""What agents do beside answering: read, tag, note what they know of a contact, block; and who else looks."""

from __future__ import annotations

from flask import Blueprint, request
from werkzeug.wrappers import Response as AnyResponse

from bot.ledger import transcript
from bot.messages import can_be_kept
from handoff import assignments, desk, guard, profile, tags, unread
from handoff.looks import Look
from handoff.parts import parts
from handoff.sight import sight
from handoff.unread import Read

blueprint = Blueprint("beside", __name__)

TYPES = {"yes": True, "no": False}


@blueprint.post("/conversations/<key>/sight")
@guard.agents_only
@guard.runs_by_itself
def in_sight(key: str) -> tuple[str, int]:
    """Hear what a browser has in sight: that it looks (or left), whether somebody types, down to which message."""
    with parts().ledger.reading() as tx:
        conversation_id = transcript.conversation(tx, key).id
    look = Look(guard.who().id, conversation_id)
    if request.form.get("left"):
        sight().leaves(look)
        return "", 204
    sight().looks(look, types=TYPES.get(request.form.get("types", "")))
    read_to = request.form.get("read", "")
    if read_to.isascii() and read_to.isdigit() and len(read_to) < 19:
        sight().reads(Read(look.account_id, conversation_id, int(read_to), parts().now()))
    return "", 204


@blueprint.get("/conversations/<key>/lookers")
@guard.agents_only
@guard.runs_by_itself
def lookers(key: str) -> str:
    """Say who else looks at a conversation."""
    return desk.lookers(key)


@blueprint.post("/conversations/<key>/unread")
@guard.agents_only
def mark_unread(key: str) -> AnyResponse:
    """Have it unread again, for who asks."""
    with parts().ledger.writing() as tx:
        unread.mark_unread(tx, key, guard.who(), parts().now())
    return desk.done(key, "unread")


@blueprint.post("/conversations/<key>/tag")
@guard.agents_only
def tag(key: str) -> AnyResponse:
    """Put a tag on it."""
    with parts().ledger.writing() as tx:
        tags.add(tx, key, guard.who(), _said("tag"), parts().now())
    return desk.done(key, "tagged")


@blueprint.post("/conversations/<key>/untag")
@guard.agents_only
def untag(key: str) -> AnyResponse:
    """Take a tag off."""
    with parts().ledger.writing() as tx:
        tags.remove(tx, key, guard.who(), _said("tag"), parts().now())
    return desk.done(key, "untagged")


@blueprint.post("/conversations/<key>/field")
@guard.agents_only
def field(key: str) -> AnyResponse:
    """Keep something about the contact under a name, or forget it."""
    with parts().ledger.writing() as tx:
        profile.keep_field(tx, key, guard.who(), _said("name"), _said("value"), now=parts().now())
    return desk.done(key, "kept")


@blueprint.post("/conversations/<key>/contact_note")
@guard.agents_only
def contact_note(key: str) -> AnyResponse:
    """Keep a text about the contact."""
    with parts().ledger.writing() as tx:
        profile.keep_note(tx, key, guard.who(), _said("text").replace("\r\n", "\n"), parts().now())
    return desk.done(key, "kept")


@blueprint.post("/conversations/<key>/block")
@guard.agents_only
def block(key: str) -> AnyResponse:
    """Have Meta block the contact."""
    return _block(key, blocks=True)


@blueprint.post("/conversations/<key>/unblock")
@guard.agents_only
def unblock(key: str) -> AnyResponse:
    """Have Meta let the contact write again."""
    return _block(key, blocks=False)


def _block(key: str, *, blocks: bool) -> AnyResponse:
    with parts().ledger.writing() as tx:
        assignments.block(tx, key, guard.who(), blocks=blocks, now=parts().now())
    return desk.done(key, "blocked" if blocks else "unblocked")


def _said(name: str) -> str:
    said = request.form.get(name, "")
    return said if can_be_kept(said) else ""
