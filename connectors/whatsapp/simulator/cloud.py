"""The Cloud API as the business calls it: messages, read receipts, media."""

from __future__ import annotations

import hmac
import socket
import time
from typing import Any, cast

from flask import Blueprint, Response, jsonify, request
from werkzeug.routing import BaseConverter

from connectors.whatsapp.simulator.exchange import Exchange, refusal_of
from connectors.whatsapp.simulator.faults import BEFORE_ACCEPTING, Fault, Kind
from connectors.whatsapp.simulator.limits import check_message
from connectors.whatsapp.simulator.refusals import Refused, missing, unknown_object
from connectors.whatsapp.simulator.rows import Call, Contact

BAD_GATEWAY = """<!DOCTYPE html><html><head><title>Error 502</title></head>
<body><h1>502 Bad Gateway</h1><p>Sorry, something went wrong. We're working on it.</p></body></html>"""


class VersionConverter(BaseConverter):
    """The first part of every Graph address: v25.0."""

    regex = r"v\d+\.\d+"


class _Gone(Exception):
    """The connection shall die without an answer."""


def blueprint(exchange: Exchange, access_token: str, business_name: str) -> Blueprint:  # noqa: C901, PLR0915 - one closure for each route
    """Return the routes under /v…; every call is remembered with its answer."""
    cloud = Blueprint("cloud", __name__)

    @cloud.before_request
    def require_token() -> None:
        expected, given = f"Bearer {access_token}".encode(), request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(expected, given):
            raise Refused(190, message="Invalid OAuth access token - Cannot parse access token")

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

    @cloud.post("/<version:version>/<number>/messages")
    def messages(version: str, number: str) -> Response:
        _require_number(exchange, number)
        payload = request.get_json(silent=True)
        if not isinstance(payload, dict):
            raise Refused(100, "The request body must be a JSON object.")
        if "status" in payload:
            return _mark_read(exchange, number, payload)
        check_message(payload)
        contact = exchange.recipient(payload)
        fault = exchange.fault_for(contact.phone)
        if fault and fault.kind in BEFORE_ACCEPTING:
            return _fail(exchange, fault)
        wamid = exchange.accept(number, contact, payload, fault)
        _delay(exchange, fault)
        return jsonify(_accepted(payload, contact, wamid))

    @cloud.post("/<version:version>/<number>/media")
    def upload(version: str, number: str) -> Response:
        _require_number(exchange, number)
        if request.form.get("messaging_product") != "whatsapp":
            raise Refused(100, message="The parameter messaging_product is required.")
        file = request.files.get("file")
        if file is None:
            raise Refused(100, message="The parameter file is required.")
        mime_type = request.form.get("type") or file.mimetype or "application/octet-stream"
        if "/" not in mime_type:
            mime_type = file.mimetype
        return jsonify(id=exchange.add_media(file.read(), mime_type, file.filename or "file").id)

    @cloud.get("/<version:version>/<object_id>")
    def look_up(version: str, object_id: str) -> Response:
        line = exchange.lines.get(object_id)
        if line is not None:
            return jsonify(
                id=object_id, display_phone_number=line.display_phone_number, verified_name=business_name,
                quality_rating="GREEN", code_verification_status="VERIFIED", platform_type="CLOUD_API",
                throughput={"level": "STANDARD"},
            )  # fmt: skip
        media = exchange.store.media(object_id)
        if media is None:
            raise unknown_object(object_id)
        url = exchange.media_url(media.id, request.host_url.rstrip("/"))
        return jsonify(
            messaging_product="whatsapp", id=media.id, url=url, mime_type=media.mime_type, sha256=media.sha256,
            file_size=len(media.content),
        )  # fmt: skip

    @cloud.delete("/<version:version>/<object_id>")
    def delete(version: str, object_id: str) -> Response:
        if exchange.store.media(object_id) is None:
            raise unknown_object(object_id)
        exchange.store.drop_media(object_id)
        return jsonify(success=True)

    @cloud.get("/lookaside/<media_id>")
    def download(media_id: str) -> Response:
        expires = request.args.get("ext", "")
        signed = expires.isdigit() and hmac.compare_digest(
            exchange.url_hash(media_id, int(expires)).encode(), request.args.get("hash", "").encode()
        )
        media = exchange.store.media(media_id)
        if media is None or not signed or int(expires) < time.time():
            return Response("URL signature expired", 404, mimetype="text/plain")
        return Response(media.content, content_type=media.mime_type)

    return cloud


def _require_number(exchange: Exchange, number: str) -> None:
    if number not in exchange.lines:
        raise unknown_object(number)


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


def _delay(exchange: Exchange, fault: Fault | None) -> None:
    """Let the answer to an accepted send come late, or never."""
    if fault is None:
        return
    if fault.kind in (Kind.SLOW, Kind.TIMEOUT_AFTER_ACCEPT):
        exchange.stopped.wait(fault.seconds)
    if fault.kind in (Kind.TIMEOUT_AFTER_ACCEPT, Kind.DROP_AFTER_ACCEPT):
        raise _Gone


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
