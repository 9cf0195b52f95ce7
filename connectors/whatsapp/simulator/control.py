"""The control API: for tests and scripts that play the contacts, and look at what went over the wire."""

from __future__ import annotations

import http.client
import secrets
import time
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

from connectors.whatsapp.simulator import control_account, control_contacts
from connectors.whatsapp.simulator.books import page, person
from connectors.whatsapp.simulator.controls import asked_for, given_json, limit_of, moment, number_of, phone_from
from connectors.whatsapp.simulator.exchange import Exchange
from connectors.whatsapp.simulator.faults import Fault, Kind
from connectors.whatsapp.simulator.limits import can_be_written, digits_of
from connectors.whatsapp.simulator.rows import Call

EVERYBODY = 1_000_000
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def blueprint(exchange: Exchange) -> Blueprint:
    """Return the routes under /api."""
    control = Blueprint("control", __name__, url_prefix="/api")

    @control.errorhandler(OSError)
    @control.errorhandler(http.client.HTTPException)
    def webhook_is_down(error: Exception) -> tuple[Response, int]:
        return jsonify(error=f"The webhook cannot be reached: {error}"), 502

    @control.errorhandler(HTTPException)
    def say_why(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.description), error.code or 400

    @control.before_request
    def require_what_can_be() -> None:
        """Refuse what no phone could have sent: whoever tests a bot with it would look for faults that never happen."""
        given = (request.view_args or {}).get("phone")
        if given is not None:
            phone_from(given)
        # What goes to the webhook as it is may be anything: that is what it is for.
        if request.endpoint != "control.deliver_raw" and not can_be_written(given_json()):
            raise BadRequest("A text holds NUL or an unpaired surrogate, which no phone can send.")

    control_contacts.add_routes(control, exchange)
    control_account.add_routes(control, exchange)
    _add_records(control, exchange)
    _add_faults(control, exchange)

    @control.route("", methods=METHODS)
    @control.route("/<path:_path>", methods=METHODS)
    def nowhere(_path: str = "") -> Response:
        raise NotFound(
            f"There is no {request.method} {request.path}; connectors/whatsapp/simulator/README.md lists what there is."
        )

    return control


def _add_records(control: Blueprint, exchange: Exchange) -> None:
    store = exchange.store

    @control.get("/books")
    def books() -> Response:
        phone = request.args.get("phone")
        if phone:
            return jsonify(contacts=[person(store, digits_of(phone))], next=None)
        found = page(store, request.args.get("after", ""), limit_of(EVERYBODY))
        return Response(found, mimetype="application/json")

    @control.get("/requests")
    def requests_got() -> Response:
        return jsonify([_call(call) for call in store.calls(limit_of(-1))])

    @control.post("/webhooks")
    def deliver_raw() -> Response:
        signature = request.args.get("signature", "")
        if not (signature.isascii() and (signature.isprintable() or not signature)):
            raise BadRequest("signature is a line of ASCII, none, or left away.")
        answer = exchange.courier.post(request.get_data(), None if signature == "none" else signature)
        return jsonify(status=answer.status, body=answer.text)

    @control.post("/webhooks/verify")
    def verify() -> Response:
        asked = asked_for()
        challenge = str(asked.get("challenge") or secrets.randbelow(10**10))
        answer = exchange.courier.verify(str(asked.get("verify_token", "")), challenge)
        verified = answer.status == 200 and answer.text == challenge
        return jsonify(verified=verified, status=answer.status, body=answer.text)

    @control.get("/settings")
    def settings() -> Response:
        return jsonify(exchange.settings.as_json())

    @control.post("/settings")
    def change_settings() -> Response:
        try:
            exchange.change_settings(asked_for())
        except ValueError as error:
            raise BadRequest(str(error)) from error
        return jsonify(exchange.settings.as_json())


def _add_faults(control: Blueprint, exchange: Exchange) -> None:
    plan = exchange.plan

    @control.get("/faults")
    def faults() -> Response:
        return jsonify([fault.as_json() for fault in plan.pending()])

    @control.post("/faults")
    def add_faults() -> tuple[Response, int]:
        asked = given_json()
        planned = [_fault(exchange, one) for one in (asked if isinstance(asked, list) else [asked_for()])]
        plan.add(*planned)
        found = [fault.as_json() for fault in planned]
        return jsonify(found if isinstance(asked, list) else found[0]), 201

    @control.delete("/faults")
    def clear_faults() -> Response:
        phone = request.args.get("phone")
        plan.clear(phone and digits_of(phone))
        return jsonify([fault.as_json() for fault in plan.pending()])

    @control.get("/faults/kinds")
    def kinds() -> Response:
        return jsonify([{"kind": kind.word, "stage": kind.stage.value, "what": kind.what} for kind in Kind])

    @control.get("/faults/hits")
    def hits() -> Response:
        return jsonify(plan.hits())

    @control.post("/faults/seed")
    def seed() -> Response:
        given = asked_for().get("seed", 1)
        if isinstance(given, bool) or not isinstance(given, int):
            raise BadRequest("seed is a whole number.")
        plan.seed(given)
        return jsonify(at=time.time())


def _fault(exchange: Exchange, asked: Any) -> Fault:
    if not isinstance(asked, dict):
        raise BadRequest("A fault is a JSON object.")
    if asked.get("number"):
        number_of(exchange, asked["number"])
    try:
        phone = asked.get("phone")
        return Fault.from_json({**asked, "phone": digits_of(str(phone)) if phone else None})
    except ValueError as error:
        raise BadRequest(str(error)) from error


def _call(call: Call) -> dict[str, Any]:
    return {"time": moment(call.at), "method": call.method, "path": call.path, "body": call.body,
            "status": call.http, "answer": call.answer}  # fmt: skip
