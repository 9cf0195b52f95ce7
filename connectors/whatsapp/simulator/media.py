"""Files over the Cloud API: upload, look up, download, delete; and what goes wrong with a download."""

from __future__ import annotations

import hmac
import time

from flask import Blueprint, Response, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from connectors.whatsapp.simulator.exchange import Exchange
from connectors.whatsapp.simulator.faults import Fault, Kind, Stage
from connectors.whatsapp.simulator.files import check_upload
from connectors.whatsapp.simulator.refusals import Refused, unknown_object
from connectors.whatsapp.simulator.rows import Media

FOREIGN_HOST = "https://cdn.not-meta.example/file"
NOT_SIGNED_IN = "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>You must log in</h1></body></html>"


def add_routes(cloud: Blueprint, exchange: Exchange) -> None:
    """Add the routes of files; the look-up by id is the account's, who tells numbers from files."""
    gone: set[str] = set()

    @cloud.post("/<version:version>/<number>/media")
    def upload(version: str, number: str) -> Response:
        if number not in exchange.lines:
            raise unknown_object(number, "post")
        if request.form.get("messaging_product") != "whatsapp":
            raise Refused(100, message="The parameter messaging_product is required.")
        file = request.files.get("file")
        if file is None:
            raise Refused(100, message="The parameter file is required.")
        # The header of the part wins: `type` may be a bare kind like `image`, or missing.
        given = request.form.get("type") or ""
        mime_type = given if "/" in given else file.content_type or "application/octet-stream"
        content = file.read()
        check_upload(content, mime_type)
        return jsonify(id=exchange.library.add(content, mime_type, file.filename or "file", number).id)

    @cloud.delete("/<version:version>/<object_id>")
    def delete(version: str, object_id: str) -> Response:
        if exchange.library.get(object_id) is None:
            raise unknown_object(object_id, "delete")
        exchange.store.drop_media(object_id)
        return jsonify(success=True)

    @cloud.get("/lookaside/<media_id>")
    def download(media_id: str) -> AnyResponse:
        expires = request.args.get("ext", "")
        signed = expires.isdigit() and hmac.compare_digest(
            exchange.library.url_hash(media_id, int(expires)).encode(), request.args.get("hash", "").encode()
        )
        media = exchange.library.get(media_id)
        if media is None or media_id in gone or not signed or int(expires) < time.time():
            return _expired()
        fault = exchange.trouble.strikes(Stage.MEDIA, media.phone, media.number)
        if fault and fault.kind is Kind.MEDIA_GONE:
            gone.add(media_id)
        return _file(exchange, media, fault)


def looked_up(exchange: Exchange, media: Media) -> Response:
    """Answer what a file is and where it can be fetched; refuse a number that does not hold it."""
    number = request.args.get("phone_number_id")
    if number is not None and (number not in exchange.lines or media.number not in ("", number)):
        raise Refused(100, message="Param phone_number_id is not a valid whatsapp business phone number id ID")
    url = exchange.library.url(media.id, request.host_url.rstrip("/"))
    return jsonify(
        messaging_product="whatsapp", id=media.id, url=url, mime_type=media.mime_type, sha256=media.sha256,
        file_size=len(media.content),
    )  # fmt: skip


def _file(exchange: Exchange, media: Media, fault: Fault | None) -> AnyResponse:
    """Answer a download, or what a fault makes of it."""
    content = media.content
    match fault.kind if fault else None:
        case Kind.MEDIA_EXPIRED | Kind.MEDIA_GONE:
            return _expired()
        case Kind.MEDIA_UNAUTHORIZED:
            return Response(NOT_SIGNED_IN, 401, mimetype="text/html")
        case Kind.MEDIA_REDIRECT:
            return redirect(FOREIGN_HOST)
        case Kind.MEDIA_SLOW if fault:
            exchange.stopped.wait(fault.seconds)
        case Kind.MEDIA_TOO_LARGE:
            content = content + b"\0" * max(len(content), 1024 * 1024)
        case Kind.MEDIA_WRONG_HASH:
            content = content[:-1] + bytes([(content[-1] + 1) % 256]) if content else b"?"
    return Response(content, content_type=media.mime_type)


def _expired() -> Response:
    return Response("URL signature expired", 404, mimetype="text/plain")
