"""The account over the Graph API: numbers, templates, subscriptions, blocked contacts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, jsonify, request

from connectors.whatsapp.simulator.bodies import Line
from connectors.whatsapp.simulator.exchange import Exchange
from connectors.whatsapp.simulator.limits import digits_of
from connectors.whatsapp.simulator.media import looked_up
from connectors.whatsapp.simulator.refusals import Refused, missing, report_error, unknown_object
from connectors.whatsapp.simulator.rows import Contact

BLOCKED_AT_MOST = 64_000
BLOCKS_IN_ONE_CALL = 1_000
HIGH_THROUGHPUT = 1_000


def add_routes(cloud: Blueprint, exchange: Exchange, business_name: str) -> None:  # noqa: C901 - one closure for each route
    """Add what can be asked of the account and its numbers."""
    store = exchange.store

    @cloud.get("/<version:version>/<object_id>")
    def look_up(version: str, object_id: str) -> Response:
        line, media = exchange.lines.get(object_id), exchange.library.get(object_id)
        if line is not None:
            return jsonify(_only_asked(_number(exchange, line, business_name)))
        if object_id == exchange.waba_id:
            return jsonify(_only_asked({"id": object_id, "name": business_name, "currency": "GBP", "timezone_id": "1"}))
        if media is None:
            raise unknown_object(object_id)
        return looked_up(exchange, media)

    @cloud.get("/<version:version>/<waba_id>/phone_numbers")
    def numbers(version: str, waba_id: str) -> Response:
        _require_account(exchange, waba_id)
        return _page([_only_asked(_number(exchange, line, business_name)) for line in exchange.lines.values()])

    @cloud.get("/<version:version>/<waba_id>/message_templates")
    def templates(version: str, waba_id: str) -> Response:
        _require_account(exchange, waba_id)
        wanted = {key: request.args[key] for key in ("name", "language", "status", "category") if key in request.args}
        found = [one for one in exchange.templates.all() if all(one[key] == value for key, value in wanted.items())]
        return _page([_only_asked(one, always=("id",)) for one in found])

    @cloud.delete("/<version:version>/<waba_id>/message_templates")
    def delete_template(version: str, waba_id: str) -> Response:
        _require_account(exchange, waba_id)
        if not exchange.templates.drop(request.args.get("name", "")):
            raise Refused(100, "Message Template Not Found", subcode=2593002)
        return jsonify(success=True)

    @cloud.post("/<version:version>/<waba_id>/subscribed_apps")
    def subscribe(version: str, waba_id: str) -> Response:
        _require_account(exchange, waba_id)
        return jsonify(success=True)

    @cloud.get("/<version:version>/<waba_id>/subscribed_apps")
    def subscriptions(version: str, waba_id: str) -> Response:
        _require_account(exchange, waba_id)
        app = {"id": "1002003004005", "name": business_name, "link": "https://www.facebook.com/games/?app_id=1"}
        return jsonify(data=[{"whatsapp_business_api_data": app}])

    @cloud.get("/<version:version>/<number>/block_users")
    def blocked(version: str, number: str) -> Response:
        _require_line(exchange, number)
        people = [exchange.contact(phone) for phone in store.blocked(number)]
        return _page([{"messaging_product": "whatsapp", **_who(person)} for person in people])

    @cloud.route("/<version:version>/<number>/block_users", methods=["POST", "DELETE"])
    def block(version: str, number: str) -> tuple[Response, int]:
        _require_line(exchange, number)
        asked = request.get_json(silent=True)
        if not isinstance(asked, dict) or asked.get("messaging_product") != "whatsapp":
            raise Refused(100, message="The parameter messaging_product is required.")
        people = asked.get("block_users")
        if not isinstance(people, list) or not people or not all(isinstance(one, dict) for one in people):
            raise missing("block_users")
        if len(people) > BLOCKS_IN_ONE_CALL:
            raise Refused(100, f"block_users may hold at most {BLOCKS_IN_ONE_CALL} users.")
        return _blocked(exchange, number, people, block=request.method == "POST")


def _number(exchange: Exchange, line: Line, business_name: str) -> dict[str, Any]:
    limit = exchange.gates.throughput(line.phone_number_id)
    level = "HIGH" if not limit or limit >= HIGH_THROUGHPUT else "STANDARD"
    return {
        "id": line.phone_number_id, "display_phone_number": line.display_phone_number, "verified_name": business_name,
        "quality_rating": "GREEN", "code_verification_status": "VERIFIED", "platform_type": "CLOUD_API",
        "throughput": {"level": level}, "is_on_biz_app": line.phone_number_id in exchange.settings.coexistence,
    }  # fmt: skip


def _only_asked(thing: dict[str, Any], always: Sequence[str] = ("id",)) -> dict[str, Any]:
    """Return only the fields a caller asked for, and the id; all of them when none were named."""
    asked = [field.strip() for field in request.args.get("fields", "").split(",") if field.strip()]
    return {key: value for key, value in thing.items() if not asked or key in asked or key in always}


def _page(everything: list[dict[str, Any]]) -> Response:
    """Return Meta's pages: data, cursors around it, and a link to the next page if there is one."""
    limit, after, before = request.args.get("limit", "25"), request.args.get("after"), request.args.get("before")
    if not limit.isdigit() or not 0 < int(limit) <= 1000:
        raise Refused(100, "Param limit must be a number from 1 to 1000.")
    start = _place(after) + 1 if after else 0
    if before:
        start = max(0, _place(before) - int(limit))
    shown = everything[start : start + int(limit)]
    paging: dict[str, Any] = {}
    if shown:
        paging["cursors"] = {"before": _cursor(start), "after": _cursor(start + len(shown) - 1)}
    if start + len(shown) < len(everything) and shown:
        paging["next"] = _link(after=paging["cursors"]["after"])
    if start and shown:
        paging["previous"] = _link(before=paging["cursors"]["before"])
    return jsonify(data=shown, **({"paging": paging} if paging else {}))


def _link(**cursor: str) -> str:
    kept = {key: value for key, value in request.args.items() if key not in ("after", "before")}
    return f"{request.base_url}?{urlencode({**kept, **cursor})}"


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(f"at:{place}".encode()).decode()


def _place(cursor: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("at:"))
    except ValueError:
        raise Refused(100, "Invalid cursors values were provided.") from None


def _require_account(exchange: Exchange, waba_id: str) -> None:
    if waba_id != exchange.waba_id:
        raise unknown_object(waba_id, request.method)


def _require_line(exchange: Exchange, number: str) -> None:
    if number not in exchange.lines:
        raise unknown_object(number, request.method)


def _blocked(exchange: Exchange, number: str, people: list[Any], *, block: bool) -> tuple[Response, int]:
    """Block or unblock; when some of it fails Meta answers 400 and tells what went well all the same."""
    done, failed = [], []
    for one in people:
        given, contact = str(one.get("user") or one.get("user_id") or ""), _found(exchange, one)
        code = _why_not(exchange, number, contact, block=block)
        if contact is None or code:
            failed.append({"input": given, "errors": [report_error(code or 131026)]})
            continue
        (exchange.store.block if block else exchange.store.unblock)(number, contact.phone)
        exchange.feed.signal(contact.phone)
        done.append({"input": given, **({"wa_id": contact.phone} if one.get("user") else {"user_id": contact.user_id})})
    answer: dict[str, Any] = {"messaging_product": "whatsapp", "block_users": {}}
    if done:
        answer["block_users"]["added_users" if block else "removed_users"] = done
    if not failed:
        return jsonify(answer), 200
    answer["block_users"]["failed_users"] = failed
    return jsonify({**answer, **Refused(139100).body()}), 400


def _found(exchange: Exchange, asked: dict[str, Any]) -> Contact | None:
    if asked.get("user"):
        return exchange.store.contact(digits_of(str(asked["user"])))
    return exchange.store.contact_by_user_id(str(asked.get("user_id")))


def _why_not(exchange: Exchange, number: str, contact: Contact | None, *, block: bool) -> int | None:
    """Return why this contact cannot be blocked: only who wrote within 24 hours can."""
    if not block:
        return None if contact else 131026
    if contact is None or not exchange.window_is_open(number, contact.phone):
        return 131047
    return 131048 if len(exchange.store.blocked(number)) >= BLOCKED_AT_MOST else None


def _who(contact: Contact) -> dict[str, str]:
    return {"user_id": contact.user_id} if contact.hides_number else {"wa_id": contact.phone}
