"""The files contacts sent, for who is signed in: never from the web root, never as anything that could run."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, make_response, render_template, send_file
from werkzeug.exceptions import NotFound

from bot import messages as says
from bot.ledger import files
from bot.vocabulary import FileState
from handoff import guard, words
from handoff.api import blueprint as api
from handoff.parts import parts
from handoff.roles import Deed

blueprint = Blueprint("files", __name__)

KEPT_S = 600  # seconds a browser may keep one: what is taken back must not stay in its cache
LARGEST_ID = 2**63 - 1
ENDINGS = {
    "image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/gif": ".gif",
    "audio/ogg": ".ogg", "audio/mpeg": ".mp3", "audio/mp4": ".m4a", "audio/amr": ".amr", "audio/aac": ".aac",
    "video/mp4": ".mp4", "video/3gpp": ".3gp", "application/pdf": ".pdf",
}  # fmt: skip


@blueprint.get("/conversations/<key>/files/<int:message_id>")
@guard.agents_only
@guard.runs_by_itself
def file(key: str, message_id: int) -> Response:
    """Give a browser the file of a message."""
    return _file(key, message_id)


@api.get("/conversations/<key>/messages/<int:message_id>/file")
@guard.with_token
def file_of_message(key: str, message_id: int) -> Response:
    """Give a program the file of a message."""
    return _file(key, message_id)


@blueprint.errorhandler(NotFound)
def missing(error: NotFound) -> Response:
    """Say why there is no file, as a page."""
    return make_response(render_template("refused.html", sentence=error.description, status=404), 404)


def _file(key: str, message_id: int) -> Response:
    """Answer with a file; what it may be opened as is decided by our list, what it is called by nobody's path."""
    guard.who().require(Deed.READ)
    if message_id > LARGEST_ID or not says.can_be_kept(key):
        raise NotFound("There is no such file.")
    with parts().ledger.reading() as tx:
        found = files.by_key(tx, key, message_id)
    if found is None:
        raise NotFound("There is no such file.")
    entry, content = found
    if entry.state is not FileState.FETCHED:
        raise NotFound(words.not_there(entry.state, entry.error))
    path = parts().settings.media / Path(entry.name).name
    if not entry.name or not path.is_file():
        raise NotFound("This file was fetched, but is no longer on the desk's disk.")
    shown = entry.mime_type in words.SHOWN
    is_known = shown or entry.mime_type == "application/pdf"
    response = send_file(
        path,
        mimetype=entry.mime_type if is_known else words.UNKNOWN_FILE,
        as_attachment=not shown,
        download_name=_name(content, entry.mime_type, message_id),
        conditional=True,
        etag=True,
        max_age=KEPT_S,
    )
    response.headers["Cache-Control"] = f"private, max-age={KEPT_S}"
    response.headers["Vary"] = "Cookie, Authorization"  # whoever signs in next at this browser asks for it anew
    response.headers["Content-Security-Policy"] = "sandbox"
    return response


def _name(content: says.Content, mime_type: str, message_id: int) -> str:
    """Return what a file is saved as: the sender's name for it where it has one, without anything that leads away."""
    given = content.filename if isinstance(content, says.Media) else ""
    plain = "".join(sign for sign in given if sign.isprintable() and sign not in '/\\:*?"<>|;')
    plain = plain.strip(". ")[-150:]
    return plain or f"whatsapp-{message_id}{ENDINGS.get(mime_type, '.bin')}"
