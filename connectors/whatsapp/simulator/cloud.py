"""The Cloud API as the business calls it: who may call, what goes wrong on purpose, and messages."""

from __future__ import annotations

import hmac
import re
import socket
import time
from dataclasses import replace
from typing import Any, cast

from flask import Blueprint, Response, jsonify, request
from werkzeug.routing import BaseConverter

from connectors.whatsapp.simulator import account, media
from connectors.whatsapp.simulator.exchange import Exchange, refusal_of
from connectors.whatsapp.simulator.faults import BEFORE_ACCEPTING, Fault, Kind, Stage
from connectors.whatsapp.simulator.limits import check_message
from connectors.whatsapp.simulator.refusals import Refused, missing, unknown_object, unknown_path
from connectors.whatsapp.simulator.rows import Call, Contact

BAD_GATEWAY = """<!DOCTYPE html><html><head><title>Error 502</title></head>
<body><h1>502 Bad Gateway</h1><p>Sorry, something went wrong. We're working on it.</p></body></html>"""
NEWEST_VERSION = 26
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class VersionConverter(BaseConverter):
    """The first part of every Graph address: v25.0."""

    regex = r"v\d+\.\d+"


class WrongVersionConverter(BaseConverter):
    """What was meant to be a version and is none: 25.0, v25, v25.0.1."""

    regex = r"(?!v\d+\.\d+(?:/|$))v?\d[\w.]*"


class _Gone(Exception):
    """The connection shall die without an answer."""


def blueprint(exchange: Exchange, access_token: str, business_name: str) -> Blueprint:
    """Return the routes under /v…; every call is remembered with its answer."""
    cloud = Blueprint("cloud", __name__)
    _guard(cloud, exchange, access_token)

    @cloud.post("/<version:version>/<number>/messages")
    def messages(version: str, number: str) -> Response:
        if number not in exchange.lines:
            raise unknown_object(number, "post")
        payload = request.get_json(silent=True)
        if not isinstance(payload, dict):
            raise Refused(100, "The request body must be a JSON object.")
        if "status" in payload:
            return _mark_read(exchange, number, payload)
        check_message(payload)
        contact = exchange.recipient(payload)
        fault = exchange.trouble.strikes(Stage.ANSWER, contact.phone, number)
        if fault and fault.kind in BEFORE_ACCEPTING and not _spared(fault, payload):
            exchange.halt(number, replace(fault, phone=contact.phone))
            return _fail(exchange, fault)
        exchange.check_limits(number, contact)
        wamid = exchange.accept(number, contact, payload)
        return _answer(exchange, fault, _accepted(payload, contact, wamid))

    media.add_routes(cloud, exchange)
    account.add_routes(cloud, exchange, business_name)

    @cloud.route("/<version:version>/<object_id>/<path:edge>", methods=METHODS)
    def no_such_edge(version: str, object_id: str, edge: str) -> Response:
        if object_id in exchange.lines or object_id == exchange.waba_id:
            raise unknown_path(f"/{edge}")
        raise unknown_object(object_id, request.method)

    @cloud.route("/<wrong_version:first>", methods=METHODS)
    @cloud.route("/<wrong_version:first>/<path:rest>", methods=METHODS)
    def nowhere(first: str, rest: str = "") -> Response:
        raise unknown_path(f"/{first}/{rest}".rstrip("/"))

    return cloud


def _guard(cloud: Blueprint, exchange: Exchange, access_token: str) -> None:
    """Let in who has the token, answer refusals as Meta does, remember every call."""

    @cloud.before_request
    def require_token() -> None:
        version = re.match(r"v(\d+)\.\d+$", request.path.split("/")[1])
        expected, given = f"Bearer {access_token}".encode(), request.headers.get("Authorization", "").encode()
        if not given:
            raise Refused(0, message="An access token is required to request this resource.")
        if not hmac.compare_digest(expected, given):
            raise Refused(190, message="Invalid OAuth access token - Cannot parse access token")
        if version and int(version[1]) > NEWEST_VERSION:
            raise unknown_path(request.path)

    @cloud.errorhandler(Refused)
    def refuse(refused: Refused) -> tuple[Response, int]:
        return jsonify(refused.body()), refused.http

    @cloud.errorhandler(_Gone)
    def hang_up(_: _Gone) -> Response:
        connection = request.environ.get("werkzeug.socket")
        if connection is not None:
            cast(socket.socket, connection).shutdown(socket.SHUT_RDWR)
        return Response(status=502)

    @cloud.after_request
    def remember(answer: Response) -> Response:
        logged = answer.get_json(silent=True) if answer.is_json else None
        body = request.get_json(silent=True) if request.is_json else None
        if request.endpoint != "cloud.download":
            exchange.store.add_call(Call(time.time(), request.method, request.path, body, answer.status_code, logged))
        return answer


def _spared(fault: Fault, payload: dict[str, Any]) -> bool:
    """Say whether a fault does not concern this send: a template needs no window."""
    return fault.kind is Kind.WINDOW_CLOSED and payload.get("type") == "template"


def _mark_read(exchange: Exchange, number: str, payload: dict[str, Any]) -> Response:
    if payload.get("messaging_product") != "whatsapp":
        raise Refused(100, message="The parameter messaging_product is required.")
    if payload["status"] != "read":
        raise Refused(100, "status must be one of {read}.")
    if not isinstance(payload.get("message_id"), str):
        raise missing("message_id")
    indicator = payload.get("typing_indicator")
    if indicator is not None and indicator != {"type": "text"}:
        raise Refused(100, "typing_indicator.type must be one of {text}.")
    exchange.mark_read(number, payload["message_id"], typing=indicator is not None)
    return jsonify(success=True)


def _fail(exchange: Exchange, fault: Fault) -> Response:
    """Answer a send that shall go wrong before it is accepted."""
    refusal = refusal_of(fault)
    if refusal is not None:
        raise refusal
    if fault.kind is Kind.HTML_502:
        return Response(BAD_GATEWAY, 502, mimetype="text/html")
    exchange.stopped.wait(fault.seconds)
    raise _Gone


def _answer(exchange: Exchange, fault: Fault | None, accepted: dict[str, Any]) -> Response:
    """Answer an accepted send; the answer may come late, or never, or say that it failed."""
    kind = fault.kind if fault else None
    if fault and kind in (Kind.SLOW, Kind.TIMEOUT_AFTER_ACCEPT):
        exchange.stopped.wait(fault.seconds)
    if kind in (Kind.TIMEOUT_AFTER_ACCEPT, Kind.DROP_AFTER_ACCEPT):
        raise _Gone
    if kind is Kind.HTML_502_AFTER_ACCEPT:
        return Response(BAD_GATEWAY, 502, mimetype="text/html")
    return jsonify(accepted)


def _accepted(payload: dict[str, Any], contact: Contact, wamid: str) -> dict[str, Any]:
    """Return Meta's yes: a phone is answered with the wa_id, a BSUID with the user_id, both with both."""
    to, recipient = payload.get("to"), payload.get("recipient")
    who = {"input": to or recipient}
    if to:
        who["wa_id"] = contact.phone
    if recipient:
        who["user_id"] = contact.user_id
    message = {"id": wamid, **({"message_status": "accepted"} if payload.get("type") == "template" else {})}
    return {"messaging_product": "whatsapp", "contacts": [who], "messages": [message]}
