"""The phone in the browser: whoever opens it holds a contact's phone and writes to the business."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from flask import Blueprint, Response, abort, redirect, render_template, request, stream_with_context, url_for
from werkzeug.wrappers import Response as AnyResponse

from connectors.whatsapp.simulator import contents
from connectors.whatsapp.simulator.bubbles import Bubble, Row, bubbles, row
from connectors.whatsapp.simulator.exchange import Exchange
from connectors.whatsapp.simulator.limits import LONGEST_TEXT, digits_of, phone_of
from connectors.whatsapp.simulator.magic import BY_PHONE, MAGIC
from connectors.whatsapp.simulator.rows import INBOUND, Contact

SHOWN = 200
NEW_PHONES = range(447700900900, 447700901000)
NEW_NAMES = (
    "Ava Hughes",
    "Noah Lindqvist",
    "Zara Malik",
    "Tom Ellery",
    "Ines Duarte",
    "Kofi Mensah",
    "Ruth Adeyemi",
)
SUGGESTIONS = ("Where is my order FH10482?", "What are your opening hours?", "I'd like to talk to a person")
KINDS_OF_FILES = {
    "image/jpeg": "image", "image/png": "image", "image/webp": "sticker", "video/mp4": "video", "video/3gpp": "video",
}  # fmt: skip
THINGS: dict[str, dict[str, object]] = {
    "card": {"type": "contacts", "contacts": [contents.CARD]},
    "order": {"type": "order", "order": contents.ORDER},
}
SAMPLE_TITLES = {
    "image": ("parcel", "Photo of a damaged parcel"),
    "video": ("video", "Video of a seedling"),
    "audio": ("mic", "Voice note"),
    "document": ("document", "PDF of a receipt"),
    "sticker": ("sticker", "Sticker"),
}
EMOJI = ("👍", "❤️", "😂", "😮", "😢", "🙏")
SHOWN_IN_PAGE = ("image/jpeg", "image/png", "image/webp", "image/gif", "audio/", "video/")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Conversation:
    """An open conversation, as the page shows it."""

    contact: Contact
    person: Row
    bubbles: list[Bubble]
    is_cut: bool
    typing: float
    trouble: str | None
    window_is_open: bool
    shares_the_app: bool
    halted: str | None
    was_taken: bool = False

    @property
    def first_name(self) -> str:
        return self.contact.name.split()[0] if self.contact.name.split() else self.contact.phone


def blueprint(exchange: Exchange, business: str, webhook_url: str) -> Blueprint:  # noqa: C901, PLR0915 - one closure for each route
    """Return the pages, their fragments and the posts of the phone."""
    phone_pages = Blueprint("phone", __name__)
    store = exchange.store

    @phone_pages.before_app_request
    def refuse_cross_site() -> None:
        # Any page on the web could post to this laptop; browsers tell where a request comes from, scripts do not care.
        if request.method != "GET" and request.headers.get("Sec-Fetch-Site", "none") not in (
            "same-origin",
            "none",
        ):
            abort(403)

    @phone_pages.after_app_request
    def guard(answer: Response) -> Response:
        answer.headers.setdefault("Content-Security-Policy", POLICY)
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer

    def page(number: str, conversation: Conversation | None) -> dict[str, object]:
        everybody = _rows(exchange, number)
        return {
            "business": business, "webhook_url": webhook_url, "number": number, "lines": list(exchange.lines.values()),
            "rows": [one for one in everybody if not one.what], "faults": [one for one in everybody if one.what],
            "conversation": conversation, "suggestions": SUGGESTIONS, "places": contents.PLACE_TITLES, "emoji": EMOJI,
            "samples": SAMPLE_TITLES,
            "next_contact": _next_contact(exchange), "longest_text": LONGEST_TEXT,
        }  # fmt: skip

    @phone_pages.get("/")
    def home() -> str:
        return render_template("phone.html", **page(exchange.first_number, None))

    @phone_pages.get("/conversations/<number>")
    def contacts_page(number: str) -> str:
        _require(exchange, number)
        return render_template("phone.html", **page(number, None))

    @phone_pages.get("/conversations/<number>/<phone>")
    def conversation_page(number: str, phone: str) -> str:
        _require(exchange, number)
        everything = "all" in request.args
        return render_template(
            "phone.html", **page(number, _conversation(exchange, number, phone, business, everything))
        )

    @phone_pages.get("/fragments/<number>")
    @phone_pages.get("/fragments/<number>/<phone>")
    def fragments(number: str, phone: str | None = None) -> str:
        _require(exchange, number)
        everything = "all" in request.args
        conversation = _conversation(exchange, number, phone, business, everything) if phone else None
        return render_template("_live.html", **page(number, conversation))

    @phone_pages.post("/conversations/<number>/<phone>/messages")
    def write(number: str, phone: str) -> AnyResponse:
        _require(exchange, number)
        if "share" in request.form:
            exchange.share_number(number, phone, request.form["share"])
            return _done(number, phone)
        if request.form.get("edit"):
            words = _text_of(request.form) or abort(400, "There is nothing to send.")
            _change_words(exchange, phone, request.form["edit"], words)
            return _done(number, phone)
        content, context = _written(exchange, phone)
        exchange.write(number, phone, content, context)
        return _done(number, phone)

    @phone_pages.post("/conversations/<number>/<phone>/revoke")
    def revoke(number: str, phone: str) -> AnyResponse:
        _change_words(exchange, phone, request.form.get("wamid", ""), None)
        return _done(number, phone)

    @phone_pages.post("/conversations/<number>/<phone>/coexistence")
    def share_the_app(number: str, phone: str) -> AnyResponse:
        _require(exchange, number)
        others = [one for one in exchange.settings.coexistence if one != number]
        shared = number in exchange.settings.coexistence
        exchange.change_settings({"coexistence": others if shared else [*others, number]})
        exchange.feed.signal(digits_of(phone))
        return _done(number, phone)

    @phone_pages.post("/conversations/<number>/<phone>/hide")
    def hide(number: str, phone: str) -> AnyResponse:
        contact = exchange.contact(phone)
        store.add_contact(replace(contact, hides_number=not contact.hides_number))
        exchange.feed.signal(contact.phone)
        return _done(number, phone)

    @phone_pages.post("/conversations/<number>/<phone>/seen")
    def seen(number: str, phone: str) -> AnyResponse:
        _require(exchange, number)
        exchange.see(number, phone)
        return _done(number, phone)

    @phone_pages.post("/conversations/<number>/<phone>/window")
    def close_window(number: str, phone: str) -> AnyResponse:
        _require(exchange, number)
        exchange.close_window(number, phone)
        return _done(number, phone)

    @phone_pages.post("/conversations/<number>/<phone>/played")
    def played(number: str, phone: str) -> AnyResponse:
        exchange.play(request.form.get("wamid", ""))
        return _done(number, phone)

    @phone_pages.post("/contacts")
    def add_contact() -> AnyResponse:
        number = request.form.get("number", exchange.first_number)
        _require(exchange, number)
        name = request.form.get("name", "").strip()
        if not name:
            abort(400, "A contact needs a name and a phone.")
        try:
            phone = phone_of(request.form.get("phone", ""))
        except ValueError as error:
            abort(400, str(error))
        if store.contact(phone) or phone in BY_PHONE:
            # The phone is somebody's already: it is picked up as it is, and the page says whose it is.
            return redirect(url_for("phone.conversation_page", number=number, phone=phone, taken=1), 303)
        store.add_contact(replace(exchange.contact(phone), name=name[:80]))
        exchange.feed.signal(phone)
        return redirect(url_for("phone.conversation_page", number=number, phone=phone), 303)

    @phone_pages.get("/media/<media_id>")
    def media(media_id: str) -> AnyResponse:
        found = store.media(media_id) or abort(404)
        answer = Response(found.content, content_type=found.mime_type)
        answer.headers["Cache-Control"] = "private, max-age=86400, immutable"
        # A file may claim to be a web page: it is never run as one from our address.
        answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
        if not found.mime_type.startswith(SHOWN_IN_PAGE):
            answer.headers.set(
                "Content-Disposition",
                "attachment",
                filename="".join(sign if " " <= sign <= "~" else "?" for sign in found.filename),
            )
        # Without ranges a browser can neither seek in a voice message nor tell how long it is.
        return answer.make_conditional(request, accept_ranges=True, complete_length=len(found.content))

    @phone_pages.get("/live")
    def live() -> Response:
        stream = stream_with_context(exchange.feed.stream())
        return Response(stream, mimetype="text/event-stream", headers={"Cache-Control": "no-store"})

    return phone_pages


def _require(exchange: Exchange, number: str) -> None:
    if number not in exchange.lines:
        abort(404)


def _done(number: str, phone: str) -> AnyResponse:
    """Answer a post: the script needs no page, a browser without it goes back to the conversation."""
    if request.headers.get("X-Phone") == "script":
        return Response(status=204)
    return redirect(url_for("phone.conversation_page", number=number, phone=phone), 303)


def _rows(exchange: Exchange, number: str) -> list[Row]:
    """Return the list: who wrote last stands first, magic contacts are told by what they do."""
    store, now = exchange.store, time.time()
    last, unread = store.last_messages(number), store.unread(number)
    people = {contact.phone: contact for contact in store.contacts()}
    people |= {magic.phone: exchange.contact(magic.phone) for magic in MAGIC}
    rows = [
        row(
            person,
            last.get(phone),
            unread.get(phone, 0),
            now,
            BY_PHONE[phone].what if phone in BY_PHONE else "",
        )
        for phone, person in people.items()
    ]
    return sorted(rows, key=lambda one: -one.at)


def _conversation(exchange: Exchange, number: str, phone: str, business: str, everything: bool) -> Conversation:
    store, now, phone = exchange.store, time.time(), digits_of(phone)
    contact = store.contact(phone) or (exchange.contact(phone) if phone in BY_PHONE else None)
    if contact is None:
        abort(404)
    messages = store.messages(number, phone, -1 if everything else SHOWN + 1)
    is_cut = not everything and len(messages) > SHOWN
    what = BY_PHONE[phone].what if phone in BY_PHONE else ""
    return Conversation(
        contact=contact, person=row(contact, None, 0, now, what),
        bubbles=bubbles(messages[1:] if is_cut else messages, business, now, store.media), is_cut=is_cut,
        typing=exchange.typing_for(number, phone), trouble=exchange.courier.agenda.trouble(phone),
        window_is_open=exchange.window_is_open(number, phone), shares_the_app=number in exchange.settings.coexistence,
        halted=exchange.why_halted(number, phone), was_taken="taken" in request.args,
    )  # fmt: skip


def _change_words(exchange: Exchange, phone: str, wamid: str, words: str | None) -> None:
    """Edit or delete what this phone wrote; what is gone already stays as it is."""
    message = exchange.store.message(wamid)
    if message and message.direction == INBOUND and message.phone == digits_of(phone) and message.type != "revoked":
        exchange.change_words(wamid, words)


def _text_of(form: Mapping[str, str]) -> str:
    return form.get("text", "").replace("\r\n", "\n").strip()[:LONGEST_TEXT]


def _written(exchange: Exchange, phone: str) -> tuple[dict[str, object], str | None]:
    """Return what the form says: the node of the message, and what it quotes."""
    add_media = partial(exchange.library.add, phone=digits_of(phone))
    form, context = request.form, request.form.get("context") or None
    photo = request.files.get("photo")
    text = _text_of(form)
    if "tap" in form:
        return contents.tap(exchange.store.message(form.get("to", "")), form["tap"]), form.get("to")
    if "form" in form:
        answer = {"answer": form["form"].strip() or "Yes"}
        return contents.form(exchange.store.message(form.get("to", "")), answer), form.get("to")
    if "reaction" in form:
        return contents.reaction(form.get("to", ""), form["reaction"]), None
    if form.get("place") in contents.PLACES:
        return contents.location(contents.PLACES[form["place"]]), context
    if form.get("sample") in contents.SAMPLE_OF:
        return contents.sample(form["sample"], add_media, text), context
    if form.get("thing") in THINGS:
        return dict(THINGS[form["thing"]]), context
    if "forward" in form:
        return {**contents.text(text or contents.FORWARDED_WORDS), "context": {"forwarded": True}}, context
    if photo and photo.filename:
        media = add_media(photo.read(), photo.mimetype, photo.filename)
        return contents.file(media, KINDS_OF_FILES.get(photo.mimetype, "document"), text), context
    if not text:
        abort(400, "There is nothing to send.")
    return contents.text(text), context


def _next_contact(exchange: Exchange) -> tuple[str, str]:
    """Return a name and a free number for the next new contact."""
    taken = {contact.phone for contact in exchange.store.contacts()}
    free = next((str(phone) for phone in NEW_PHONES if str(phone) not in taken), "")
    return NEW_NAMES[len(taken) % len(NEW_NAMES)], free
