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
from connectors.whatsapp.simulator.controls import (
    amount_of,
    asked_for,
    given_json,
    known_message,
    limit_of,
    moment,
    number_of,
    phone_from,
    truth_of,
    words_from,
)
from connectors.whatsapp.simulator.exchange import Exchange
from connectors.whatsapp.simulator.limits import digits_of
from connectors.whatsapp.simulator.rows import INBOUND, OUTBOUND, Contact, Message

SHOWS = ("both", "phone", "user_id")
UNQUOTED = ("reaction",)
LONGEST_NAME = 200
TEN_YEARS = 10 * 365 * 24


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
        if not asked.get("phone") or not str(asked.get("name", "")).strip():
            raise BadRequest("A contact needs a name and a phone.")
        phone = phone_from(asked["phone"])
        return jsonify(_contact(exchange, _change(exchange, phone, asked))), 201

    @control.patch("/contacts/<phone>")
    def change_contact(phone: str) -> Response:
        return jsonify(_contact(exchange, _change(exchange, phone, asked_for())))


def _add_changes(control: Blueprint, exchange: Exchange) -> None:
    @control.post("/contacts/<phone>/window")
    def window(phone: str) -> Response:
        asked = asked_for()
        number = number_of(exchange, asked.get("phone_number_id"))
        if asked.get("open") is not False:
            raise BadRequest('Only {"open": false}: a window is opened by writing.')
        exchange.close_window(number, digits_of(phone))
        return jsonify(open=False)

    @control.post("/contacts/<phone>/number")
    def move(phone: str) -> Response:
        asked = asked_for()
        new_phone = phone_from(asked["phone"]) if asked.get("phone") else ""
        if new_phone in ("", digits_of(phone)):
            raise BadRequest("Say the new phone.")
        number = number_of(exchange, asked.get("phone_number_id"))
        moved = exchange.move(number, phone, new_phone, quietly=truth_of(asked, "quietly"))
        return jsonify(_contact(exchange, moved))

    @control.post("/contacts/<phone>/identity")
    def identity(phone: str) -> tuple[Response, int]:
        asked = asked_for(optional=True)
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
        asked = given_json()
        if not isinstance(asked, list) or not all(isinstance(one, dict) and one.get("phone") for one in asked):
            raise BadRequest("Send a list of JSON objects, each with a phone.")
        with store.writing():  # all of them or none; and much faster than one by one
            wamids = [_write(exchange, str(one["phone"]), one) for one in asked]
        return jsonify(wamids=wamids), 201

    @control.post("/messages/<wamid>/read")
    def read(wamid: str) -> Response:
        message = _of_business(exchange, wamid)
        return jsonify(read=exchange.see(message.number, message.phone))

    @control.post("/messages/<wamid>/played")
    def played(wamid: str) -> Response:
        if _of_business(exchange, wamid).type != "audio":
            raise BadRequest("Only audio can be played; this message is something else.")
        exchange.play(wamid)
        return jsonify(played=True)


def _add_words(control: Blueprint, exchange: Exchange) -> None:
    @control.get("/messages")
    def messages() -> Response:
        phone, number = request.args.get("phone"), request.args.get("phone_number_id")
        number = number_of(exchange, number) if number else None
        found = exchange.store.messages(number, phone and digits_of(phone), limit_of(-1))
        return jsonify([_message(one) for one in found])

    @control.patch("/messages/<wamid>")
    def edit(wamid: str) -> Response:
        return jsonify(wamid=_change_words(exchange, wamid, words_from(asked_for(), "text")))

    @control.delete("/messages/<wamid>")
    def revoke(wamid: str) -> Response:
        return jsonify(wamid=_change_words(exchange, wamid, None))


def _write(exchange: Exchange, phone: str, asked: dict[str, Any]) -> str:
    phone, number = phone_from(phone), number_of(exchange, asked.get("phone_number_id"))
    quoted = known_message(exchange, "to", asked["to"]) if asked.get("to") else None
    if quoted and (quoted.number, quoted.phone) != (number, phone):
        raise BadRequest("to is a message of another conversation: a contact can only answer what is on their phone.")
    context = quoted.wamid if quoted else None
    if truth_of(asked, "contact_request"):
        return exchange.share_number(number, phone, context)
    hours_ago = amount_of(asked, "hours_ago", 0, TEN_YEARS, 0)
    try:
        content = from_request(asked, quoted, partial(exchange.library.add, phone=phone))
    except Unclear as error:
        raise BadRequest(str(error)) from error
    return exchange.write(
        number, phone, content, None if content["type"] in UNQUOTED else context, hours_ago=hours_ago,
        field="standby" if truth_of(asked, "standby") else "messages",
    )  # fmt: skip


def _change_words(exchange: Exchange, wamid: str, words: str | None) -> str:
    message = exchange.store.message(wamid)
    if message is None or message.direction != INBOUND:
        raise NotFound("No contact wrote a message with this wamid.")
    if message.type == "revoked":
        raise BadRequest("This message was deleted already.")
    return exchange.change_words(wamid, words)


def _of_business(exchange: Exchange, wamid: str) -> Message:
    message = exchange.store.message(wamid)
    if message is None or message.direction != OUTBOUND:
        raise NotFound("No message of the business has this wamid.")
    return message


def _change(exchange: Exchange, phone: str, asked: dict[str, Any]) -> Contact:
    """Make a contact, or change how it shows itself to the business."""
    contact = exchange.contact(phone)
    if asked.get("name") is not None:
        contact = replace(contact, name=words_from(asked, "name", LONGEST_NAME))
    if "username" in asked:
        contact = replace(contact, username=words_from(asked, "username", LONGEST_NAME) if asked["username"] else "")
    if "hides_number" in asked:
        contact = replace(contact, hides_number=truth_of(asked, "hides_number"))
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
    sent = {key: value for key, value in message.content.items() if key not in ("shown", "edited")}
    return {
        "wamid": message.wamid, "phone": message.phone, "phone_number_id": message.number,
        "direction": message.direction, "type": message.type, "text": words_of(message),
        "replies": replies_of(message)[1], "status": message.status, "time": moment(message.at),
        "to": message.context, "payload": sent if message.direction == OUTBOUND else None,
        "content": message.content.get(message.type), "seen": message.seen_at is not None,
        "shown": message.direction != OUTBOUND or message.shown_at is not None, "failure": message.failure,
    }  # fmt: skip
