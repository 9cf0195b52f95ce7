"""The control API: for tests and scripts that play the contacts, and look at what went over the wire."""

from __future__ import annotations

import secrets
import time
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound

from connectors.whatsapp.simulator import control_account, control_contacts
from connectors.whatsapp.simulator.books import page, person
from connectors.whatsapp.simulator.controls import asked_for, moment
from connectors.whatsapp.simulator.exchange import Exchange
from connectors.whatsapp.simulator.faults import Fault, Kind
from connectors.whatsapp.simulator.limits import digits_of
from connectors.whatsapp.simulator.rows import Call

EVERYBODY = 1_000_000


def blueprint(exchange: Exchange) -> Blueprint:
    """Return the routes under /api."""
    control = Blueprint("control", __name__, url_prefix="/api")

    @control.errorhandler(OSError)
    def webhook_is_down(error: OSError) -> tuple[Response, int]:
        return jsonify(error=f"The webhook cannot be reached: {error}"), 502

    @control.errorhandler(BadRequest)
    @control.errorhandler(NotFound)
    def say_why(error: BadRequest | NotFound) -> tuple[Response, int]:
        return jsonify(error=error.description), error.code

    control_contacts.add_routes(control, exchange)
    control_account.add_routes(control, exchange)
    _add_records(control, exchange)
    _add_faults(control, exchange)
    return control


def _add_records(control: Blueprint, exchange: Exchange) -> None:
    store = exchange.store

    @control.get("/books")
    def books() -> Response:
        phone = request.args.get("phone")
        if phone:
            return jsonify(contacts=[person(store, digits_of(phone))], next=None)
        after, limit = request.args.get("after", ""), request.args.get("limit", EVERYBODY, int)
        return Response(page(store, after, limit), mimetype="application/json")

    @control.get("/requests")
    def requests_got() -> Response:
        return jsonify([_call(call) for call in store.calls(request.args.get("limit", -1, int))])

    @control.post("/webhooks")
    def deliver_raw() -> Response:
        signature = request.args.get("signature", "")
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
            changed = exchange.settings.change(asked_for())
        except ValueError as error:
            raise BadRequest(str(error)) from error
        store.keep("settings", {**(store.kept("settings") or {}), **changed})
        return jsonify(exchange.settings.as_json())


def _add_faults(control: Blueprint, exchange: Exchange) -> None:
    plan = exchange.plan

    @control.get("/faults")
    def faults() -> Response:
        return jsonify([fault.as_json() for fault in plan.pending()])

    @control.post("/faults")
    def add_faults() -> tuple[Response, int]:
        asked = request.get_json(silent=True)
        planned = [_fault(one) for one in (asked if isinstance(asked, list) else [asked_for()])]
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
        plan.seed(int(asked_for().get("seed", 1)))
        return jsonify(at=time.time())


def _fault(asked: dict[str, Any]) -> Fault:
    try:
        phone = asked.get("phone")
        return Fault.from_json({**asked, "phone": digits_of(str(phone)) if phone else None})
    except ValueError as error:
        raise BadRequest(str(error)) from error


def _call(call: Call) -> dict[str, Any]:
    return {"time": moment(call.at), "method": call.method, "path": call.path, "body": call.body,
            "status": call.http, "answer": call.answer}  # fmt: skip
