"""The control API: for tests and scripts that play the contacts, and look at what went over the wire."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound

from connectors.whatsapp.simulator.contents import Unclear, from_request, replies_of, words_of
from connectors.whatsapp.simulator.exchange import Exchange
from connectors.whatsapp.simulator.faults import Fault, Kind
from connectors.whatsapp.simulator.limits import digits_of
from connectors.whatsapp.simulator.rows import OUTBOUND, Call, Contact, Message, user_id_of


def blueprint(exchange: Exchange) -> Blueprint:  # noqa: C901 - one closure for each route
    """Return the routes under /api."""
    control = Blueprint("control", __name__, url_prefix="/api")
    store = exchange.store

    @control.errorhandler(BadRequest)
    @control.errorhandler(NotFound)
    def say_why(error: BadRequest | NotFound) -> tuple[Response, int]:
        return jsonify(error=error.description), error.code

    @control.get("/contacts")
    def contacts() -> Response:
        return jsonify([_contact(exchange, contact) for contact in store.contacts()])

    @control.post("/contacts")
    def add_contact() -> tuple[Response, int]:
        asked = _asked()
        phone = digits_of(str(asked.get("phone", "")))
        if not phone or not str(asked.get("name", "")).strip():
            raise BadRequest("A contact needs a name and a phone.")
        store.add_contact(Contact(phone, str(asked["name"]), user_id_of(phone), bool(asked.get("hides_number"))))
        exchange.feed.signal(phone)
        return jsonify(_contact(exchange, exchange.contact(phone))), 201

    @control.post("/contacts/<phone>/messages")
    def write(phone: str) -> tuple[Response, int]:
        asked = _asked()
        context = asked.get("to")
        quoted = store.message(str(context)) if context else None
        try:
            content = from_request(asked, quoted, exchange.add_media)
        except Unclear as error:
            raise BadRequest(str(error)) from error
        wamid = exchange.write(
            _number(exchange, asked.get("phone_number_id")), phone, content,
            None if content["type"] == "reaction" else context, hours_ago=float(asked.get("hours_ago") or 0),
        )  # fmt: skip
        return jsonify(wamid=wamid), 201

    @control.post("/contacts/<phone>/window")
    def window(phone: str) -> Response:
        asked = _asked()
        number = _number(exchange, asked.get("phone_number_id"))
        if asked.get("open", True):
            raise BadRequest('Only {"open": false}: a window is opened by writing.')
        exchange.close_window(number, digits_of(phone))
        return jsonify(open=False)

    @control.get("/messages")
    def messages() -> Response:
        phone = request.args.get("phone")
        number = request.args.get("phone_number_id")
        return jsonify([_message(message) for message in store.messages(number, phone and digits_of(phone))])

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

    @control.get("/requests")
    def requests_got() -> Response:
        return jsonify([_call(call) for call in store.calls()])

    @control.post("/webhooks")
    def deliver_raw() -> Response:
        signature = request.args.get("signature", "")
        answer = exchange.courier.post(request.get_data(), None if signature == "none" else signature)
        return jsonify(status=answer.status_code, body=answer.text)

    @control.get("/faults")
    def faults() -> Response:
        return jsonify([fault.as_json() for fault in exchange.plan.pending()])

    @control.post("/faults")
    def add_fault() -> tuple[Response, int]:
        fault = _fault(_asked())
        exchange.plan.add(fault)
        return jsonify(fault.as_json()), 201

    @control.delete("/faults")
    def clear_faults() -> Response:
        exchange.plan.clear()
        return jsonify([])

    return control


def _asked() -> dict[str, Any]:
    asked = request.get_json(silent=True)
    if not isinstance(asked, dict):
        raise BadRequest("Send a JSON object.")
    return asked


def _number(exchange: Exchange, given: object) -> str:
    number = str(given or exchange.first_number)
    if number not in exchange.lines:
        raise BadRequest(f"No phone number ID {number}; there are {', '.join(exchange.lines)}.")
    return number


def _fault(asked: dict[str, Any]) -> Fault:
    try:
        kind = Kind(asked.get("kind"))
    except ValueError:
        raise BadRequest(f"kind must be one of {', '.join(kind.value for kind in Kind)}.") from None
    phone = asked.get("phone")
    return Fault(
        kind, max(1, int(asked.get("times", 1))), digits_of(str(phone)) if phone else None,
        asked.get("code"), asked.get("seconds"),
    )  # fmt: skip


def _contact(exchange: Exchange, contact: Contact) -> dict[str, Any]:
    return {
        "phone": contact.phone, "name": contact.name, "user_id": contact.user_id,
        "hides_number": contact.hides_number,
        "window_open": exchange.window_is_open(exchange.first_number, contact.phone),
    }  # fmt: skip


def _message(message: Message) -> dict[str, Any]:
    return {
        "wamid": message.wamid, "phone": message.phone, "phone_number_id": message.number,
        "direction": message.direction, "type": message.type, "text": words_of(message),
        "replies": replies_of(message)[1], "status": message.status, "time": _moment(message.at),
        "to": message.context, "payload": message.content if message.direction == OUTBOUND else None,
        "content": message.content.get(message.type), "seen": message.seen_at is not None,
    }  # fmt: skip


def _call(call: Call) -> dict[str, Any]:
    return {"time": _moment(call.at), "method": call.method, "path": call.path, "body": call.body,
            "status": call.http, "answer": call.answer}  # fmt: skip


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, tz=timezone.utc).isoformat()
