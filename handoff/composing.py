"""What an agent writes with: files, quick replies, templates, drafts to begin with. Fragments beside the composer."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Flask, Response, current_app, jsonify, render_template, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response as AnyResponse

from bot.conversation import window_is_open
from bot.ledger import errands, transcript, uploads
from bot.ledger.transcript import Conversation
from bot.ledger.uploads import Upload
from bot.messages import GAP, Media, MessageTemplate
from bot.vocabulary import Author, Holder
from handoff import assignments, attaching, guard, quick_replies, shapes, suggesting
from handoff.api import blueprint as api
from handoff.assignments import Written
from handoff.attaching import HEAD, BadFile
from handoff.desk import done
from handoff.filling import FILLABLE, Wanted
from handoff.masking import filled, gaps_of
from handoff.parts import parts
from handoff.roles import Deed
from handoff.suggesting import Book, Draft

blueprint = Blueprint("composing", __name__)

BESIDE_MAX = 256 * 1024  # of a body, beside the file in it
CHUNK = 256 * 1024
LEAST_FREE = 512 * 2**20  # bytes the disk keeps free, for the database if it lies there too
KEY_MAX = 255


@dataclass(frozen=True)
class Offered:
    """A quick reply as it would be inserted here, and what is missing in it."""

    id: int
    name: str
    text: str
    whose: str
    missing: list[str]


@dataclass(frozen=True)
class Link:
    """A link button of a template whose end has to be given."""

    title: str
    url: str


@dataclass(frozen=True)
class Fillable:
    """A template that may be sent from here, with all it has to be given."""

    name: str
    language: str
    category: str
    body: str
    gaps: tuple[str, ...]
    header: str  # its text, if it is one
    header_gap: bool
    media: str  # image, video or document, where it has one
    footer: str
    buttons: list[str]
    links: list[Link]
    refused: str  # why it can't be sent to this contact


@blueprint.post("/conversations/<key>/file")
@guard.agents_only
def file(key: str) -> AnyResponse:
    """Queue a file, from the page."""
    _sent_file(key, lambda: request.form.get("client_key"))
    return done(key, "replied")


@api.post("/conversations/<key>/file")
@guard.with_token
def file_from_program(key: str) -> Response:
    """Queue a file, from a program: multipart with `file`, perhaps `caption`, `to` and `as_document`."""
    written, kind = _sent_file(key, lambda: request.headers.get("Idempotency-Key"))
    return jsonify(
        {
            "id": str(written.id),
            "author": Author.AGENT.value,
            "text": written.text,
            "type": kind,
            "at": shapes.moment(written.at),
        }
    )


@blueprint.post("/conversations/<key>/template")
@guard.agents_only
def template(key: str) -> AnyResponse:
    """Queue a template, from the page."""
    form = request.form
    blanks = {name.removeprefix("gap-"): form[name].strip() for name in form if name.startswith("gap-")}
    endings = [form[name].strip() for name in sorted(form) if name.startswith("link-")]
    wanted = Wanted(
        form.get("name", ""),
        form.get("language", ""),
        blanks,
        form.get("header", "").strip(),
        form.get("picture", "").strip(),
        url_endings=tuple(endings),
    )
    client_key = form.get("client_key") or None
    with parts().ledger.writing() as tx:
        assignments.send_template(tx, key, guard.who(), wanted, client_key=client_key, now=parts().now())
    return done(key, "replied")


@blueprint.get("/conversations/<key>/templates")
@guard.agents_only
@guard.runs_by_itself
def templates(key: str) -> str:
    """Show the templates that may be sent, with fields for what is missing in each."""
    guard.who().require(Deed.SPEAK)
    with parts().ledger.reading() as tx:
        one = transcript.conversation(tx, key)
        listed = [found for found in errands.list_of_templates(tx) if found.approved]
    shown = [_fillable(found, one) for found in listed]
    known = suggesting.values_of(one, guard.who())
    return render_template("_templates.html", key=one.key, name=one.contact.name, templates=shown, known=known)


@blueprint.get("/conversations/<key>/quick")
@guard.agents_only
@guard.runs_by_itself
def quick(key: str) -> str:
    """Show the quick replies for this conversation, filled with what is known of it."""
    account = guard.who()
    account.require(Deed.SPEAK)
    with parts().ledger.reading() as tx:
        one = transcript.conversation(tx, key)
        found = quick_replies.offered(tx, account, one.id)
    values = suggesting.values_of(one, account)
    return render_template("_quick.html", offered=[_offered(reply, values) for reply in found])


@blueprint.get("/conversations/<key>/drafts")
@guard.agents_only
@guard.runs_by_itself
def drafts(key: str) -> str:
    """Show what may be answered now, to who may answer it."""
    account, now = guard.who(), parts().now()
    found: list[Draft] = []
    with parts().ledger.reading() as tx:
        one = transcript.conversation(tx, key)
        mine = one.holder is Holder.AGENT and one.agent_id == account.id
        if mine and window_is_open(one.window_ends, now) and not one.contact.blocked:
            found = suggesting.drafts(tx, _book(), one, account)
    return render_template("_drafts.html", drafts=[(draft, gaps_of(draft.text)) for draft in found])


def install(app: Flask, book: Book) -> None:
    """Give an app its book of past answers, and its pages what browsers may know of files beforehand."""
    app.extensions["baton-book"] = book
    app.jinja_env.globals["attaching"] = attaching


def _book() -> Book:
    found: Book = current_app.extensions["baton-book"]
    return found


def _offered(reply: quick_replies.QuickReply, values: dict[str, str]) -> Offered:
    text = filled(reply.text, values)
    return Offered(reply.id, reply.name, text, reply.whose, gaps_of(text))


def _fillable(found: MessageTemplate, one: Conversation) -> Fillable:
    header, buttons = found.part("HEADER"), found.part("BUTTONS").get("buttons") or []
    kind = str(header.get("format") or "TEXT").lower() if header else ""
    said = str(header.get("text") or "") if kind == "text" else ""
    return Fillable(
        name=found.name,
        language=found.language,
        category=found.category.lower(),
        body=found.body,
        gaps=found.gaps,
        header=said,
        header_gap=bool(GAP.search(said)),
        media=kind if kind in {"image", "video", "document"} else "",
        footer=str(found.part("FOOTER").get("text") or ""),
        buttons=[str(button.get("text") or "") for button in buttons],
        links=[
            Link(str(button.get("text") or ""), str(button["url"]))
            for button in buttons
            if GAP.search(str(button.get("url") or ""))
        ],
        refused=_why_not(found, one, kind, {str(button.get("type")).upper() for button in buttons}),
    )


def _why_not(found: MessageTemplate, one: Conversation, header: str, buttons: set[str]) -> str:
    """Say why the desk can't send a template to this contact; "" if it can."""
    if found.category.upper() == "MARKETING" and not one.contact.marketing:
        return "The contact has stopped marketing messages."
    parts_of = {str(part.get("type")).upper() for part in found.components}
    if header == "location" or not parts_of <= {"HEADER", "BODY", "FOOTER", "BUTTONS"} or not buttons <= FILLABLE:
        return "It has parts the desk can't fill."
    return ""


def _sent_file(key: str, key_of: Callable[[], str | None]) -> tuple[Written, str]:
    """Keep the file that came, and queue it; what is refused leaves nothing on the disk."""
    account = guard.who()
    account.require(Deed.SPEAK)
    came, form = _received()
    client_key = key_of()
    if client_key is not None and not 0 < len(client_key) <= KEY_MAX:
        raise BadFile(f"(its key has 1 to {KEY_MAX} characters)")
    with closing(came), _on_disk(came) as (name, sha256, size, head):
        filename = attaching.name_of(came.filename or "")
        kind = attaching.kind_of(filename, head, size, as_document=form.get("as_document") in ("1", "true", "on"))
        caption = form.get("caption", "").replace("\r\n", "\n").strip()
        if caption and kind.kind == "audio":
            raise BadFile("(WhatsApp shows no words with sound; send them by themselves)")
        content = Media(kind.kind, file=name, caption=caption, mime_type=kind.mime_type, filename=filename)
        stored = Upload(name, kind.mime_type, size, sha256)
        to = _quoted(form.get("to"))
        with parts().ledger.writing() as tx:
            written = assignments.send_file(
                tx, key, account, content, stored, client_key=client_key or None, to=to, now=parts().now()
            )
        with parts().ledger.reading() as tx:
            is_new = uploads.of(tx, [written.id])[written.id].name == name
        if not is_new:
            (parts().settings.media / name).unlink(missing_ok=True)
    return written, kind.kind


def _received() -> tuple[FileStorage, Mapping[str, str]]:
    """Read the body, which here may be as large as the largest file; nothing may have looked into it before."""
    request.max_content_length = attaching.AT_MOST + BESIDE_MAX
    try:
        came = request.files.get("file")
    except RequestEntityTooLarge as problem:
        raise BadFile(f"(WhatsApp takes at most {attaching.AT_MOST // 2**20} MB)") from problem
    if came is None:
        raise BadFile('(send it as multipart/form-data, in a field called "file")')
    return came, request.form


def _quoted(said: str | None) -> int | None:
    if not said:
        return None
    if not (said.isascii() and said.isdigit() and len(said) <= 18):
        raise assignments.UnknownMessage("(to is the id of a message)")
    return int(said)


@contextmanager
def _on_disk(came: FileStorage) -> Iterator[tuple[str, str, int, bytes]]:
    """Write a file into the media folder, for good; take it off again if what follows fails."""
    folder = parts().settings.media
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_room(folder)
    name = f"out-{secrets.token_hex(16)}"
    digest, size, head = hashlib.sha256(), 0, b""
    path = folder / name
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
            while bit := came.stream.read(CHUNK):
                head = head or bit[:HEAD]
                size += len(bit)
                digest.update(bit)
                written.write(bit)
            written.flush()
            os.fsync(written.fileno())
        yield name, digest.hexdigest(), size, head
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _require_room(folder: Path) -> None:
    if shutil.disk_usage(folder).free < LEAST_FREE + (request.content_length or 0):
        raise BadFile("(the desk's disk is nearly full; tell whoever looks after Baton)")
