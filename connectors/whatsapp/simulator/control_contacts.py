"""The control API of the contacts: who they are, what they write, what they look at."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound

from connectors.whatsapp.simulator import bodies
from connectors.whatsapp.simulator.contents import Unclear, from_request, replies_of, words_of
from connectors.whatsapp.simulator.controls import asked_for, moment, number_of
from connectors.whatsapp.simulator.exchange import Exchange
from connectors.whatsapp.simulator.limits import digits_of
from connectors.whatsapp.simulator.rows import OUTBOUND, Contact, Message

SHOWS = ("both", "phone", "user_id")
UNQUOTED = ("reaction",)


def add_routes(control: Blueprint, exchange: Exchange) -> None:
    """Add the routes under /api/contacts and /api/messages."""
    _add_people(control, exchange)
    _add_changes(control, exchange)
    _add_messages(control, exchange)
    _add_words(control, exchange)


def _add_people(control: Blueprint, exchange: Exchange) -> None:
    @control.get("/contacts")
    def contacts() -> Response:
        return jsonify([_contact(exchange, contact) for contact in exchange.store.contacts()])

    @control.post("/contacts")
    def add_contact() -> tuple[Response, int]:
        asked = asked_for()
        phone = digits_of(str(asked.get("phone", "")))
        if not phone or not str(asked.get("name", "")).strip():
            raise BadRequest("A contact needs a name and a phone.")
        return jsonify(_contact(exchange, _change(exchange, phone, asked))), 201

    @control.patch("/contacts/<phone>")
    def change_contact(phone: str) -> Response:
        return jsonify(_contact(exchange, _change(exchange, phone, asked_for())))


def _add_changes(control: Blueprint, exchange: Exchange) -> None:
    @control.post("/contacts/<phone>/window")
    def window(phone: str) -> Response:
        asked = asked_for()
        number = number_of(exchange, asked.get("phone_number_id"))
        if asked.get("open", True):
            raise BadRequest('Only {"open": false}: a window is opened by writing.')
        exchange.close_window(number, digits_of(phone))
        return jsonify(open=False)

    @control.post("/contacts/<phone>/number")
    def move(phone: str) -> Response:
        asked = asked_for()
        new_phone = digits_of(str(asked.get("phone", "")))
        if not new_phone or new_phone == digits_of(phone):
            raise BadRequest("Say the new phone.")
        number = number_of(exchange, asked.get("phone_number_id"))
        moved = exchange.move(number, phone, new_phone, quietly=bool(asked.get("quietly")))
        return jsonify(_contact(exchange, moved))

    @control.post("/contacts/<phone>/identity")
    def identity(phone: str) -> tuple[Response, int]:
        asked = request.get_json(silent=True) or {}
        number = number_of(exchange, asked.get("phone_number_id"))
        content = bodies.new_identity(time.time(), str(asked.get("hash") or "DF2lS5v2W6x="))
        return jsonify(wamid=exchange.write(number, phone, content)), 201

    @control.post("/contacts/<phone>/preferences")
    def preferences(phone: str) -> tuple[Response, int]:
        asked = asked_for()
        if asked.get("value") not in ("stop", "resume", "signup"):
            raise BadRequest("value is one of stop, resume, signup.")
        exchange.prefer(number_of(exchange, asked.get("phone_number_id")), phone, str(asked["value"]))
        return jsonify(value=asked["value"]), 201


def _add_messages(control: Blueprint, exchange: Exchange) -> None:
    store = exchange.store

    @control.post("/contacts/<phone>/messages")
    def write(phone: str) -> tuple[Response, int]:
        return jsonify(wamid=_write(exchange, phone, asked_for())), 201

    @control.post("/messages")
    def write_many() -> tuple[Response, int]:
        asked = request.get_json(silent=True)
        if not isinstance(asked, list) or not all(isinstance(one, dict) and one.get("phone") for one in asked):
            raise BadRequest("Send a list of JSON objects, each with a phone.")
        with store.writing():  # all of them or none; and much faster than one by one
            wamids = [_write(exchange, str(one["phone"]), one) for one in asked]
        return jsonify(wamids=wamids), 201

    @control.post("/messages/<wamid>/read")
    def read(wamid: str) -> Response:
        message = store.message(wamid)
        if message is None or message.direction != OUTBOUND:
            raise NotFound("No message of the business has this wamid.")
        return jsonify(read=exchange.see(message.number, message.phone))

    @control.post("/messages/<wamid>/played")
    def played(wamid: str) -> Response:
        exchange.play(wamid)
        return jsonify(played=True)


def _add_words(control: Blueprint, exchange: Exchange) -> None:
    @control.get("/messages")
    def messages() -> Response:
        phone, number = request.args.get("phone"), request.args.get("phone_number_id")
        limit = request.args.get("limit", -1, int)
        return jsonify([_message(one) for one in exchange.store.messages(number, phone and digits_of(phone), limit)])

    @control.patch("/messages/<wamid>")
    def edit(wamid: str) -> Response:
        words = str(asked_for().get("text") or "")
        if not words:
            raise BadRequest("Say the new text.")
        return jsonify(wamid=_change_words(exchange, wamid, words))

    @control.delete("/messages/<wamid>")
    def revoke(wamid: str) -> Response:
        return jsonify(wamid=_change_words(exchange, wamid, None))


def _write(exchange: Exchange, phone: str, asked: dict[str, Any]) -> str:
    context = asked.get("to")
    if asked.get("contact_request"):
        return exchange.share_number(number_of(exchange, asked.get("phone_number_id")), phone, context)
    quoted = exchange.store.message(str(context)) if context else None
    try:
        content = from_request(asked, quoted, partial(exchange.library.add, phone=digits_of(phone)))
    except Unclear as error:
        raise BadRequest(str(error)) from error
    return exchange.write(
        number_of(exchange, asked.get("phone_number_id")), phone, content,
        None if content["type"] in UNQUOTED else context, hours_ago=float(asked.get("hours_ago") or 0),
        field="standby" if asked.get("standby") else "messages",
    )  # fmt: skip


def _change_words(exchange: Exchange, wamid: str, words: str | None) -> str:
    try:
        return exchange.change_words(wamid, words)
    except KeyError:
        raise NotFound("No contact wrote a message with this wamid.") from None


def _change(exchange: Exchange, phone: str, asked: dict[str, Any]) -> Contact:
    """Make a contact, or change how it shows itself to the business."""
    contact = exchange.contact(phone)
    if asked.get("name"):
        contact = replace(contact, name=str(asked["name"]))
    if "username" in asked:
        contact = replace(contact, username=str(asked["username"] or ""))
    if "hides_number" in asked:
        contact = replace(contact, hides_number=bool(asked["hides_number"]))
    if "shows" in asked:
        if asked["shows"] not in SHOWS:
            raise BadRequest(f"shows is one of {', '.join(SHOWS)}.")
        contact = replace(contact, hides_number=asked["shows"] == "user_id", hides_user_id=asked["shows"] == "phone")
    exchange.store.add_contact(contact)
    exchange.feed.signal(contact.phone)
    return exchange.contact(phone)


def _contact(exchange: Exchange, contact: Contact) -> dict[str, Any]:
    return {
        "phone": contact.phone, "name": contact.name, "user_id": contact.user_id,
        "hides_number": contact.hides_number,
        "shows": "user_id" if contact.hides_number else "phone" if contact.hides_user_id else "both",
        "username": contact.username,
        "window_open": exchange.window_is_open(exchange.first_number, contact.phone),
        "blocked": exchange.store.is_blocked(exchange.first_number, contact.phone),
        "typing": exchange.typing_for(exchange.first_number, contact.phone),
    }  # fmt: skip


def _message(message: Message) -> dict[str, Any]:
    sent = {key: value for key, value in message.content.items() if key != "shown"}
    return {
        "wamid": message.wamid, "phone": message.phone, "phone_number_id": message.number,
        "direction": message.direction, "type": message.type, "text": words_of(message),
        "replies": replies_of(message)[1], "status": message.status, "time": moment(message.at),
        "to": message.context, "payload": sent if message.direction == OUTBOUND else None,
        "content": message.content.get(message.type), "seen": message.seen_at is not None,
        "shown": message.direction != OUTBOUND or message.shown_at is not None, "failure": message.failure,
    }  # fmt: skip
