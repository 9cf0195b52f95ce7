"""The control API of the account: its templates, what its owner writes on the phone, and what Meta announces."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify
from werkzeug.exceptions import BadRequest

from connectors.whatsapp.simulator import bodies
from connectors.whatsapp.simulator.approved import Template
from connectors.whatsapp.simulator.controls import asked_for, known_message, number_of, phone_from, words_from
from connectors.whatsapp.simulator.exchange import Exchange
from connectors.whatsapp.simulator.refusals import report_error

EVENTS: dict[str, dict[str, Any]] = {
    "account_update": {"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SPAM"}},
    "account_alerts": {
        "entity_type": "BUSINESS", "entity_id": "1", "alert_info": {
            "alert_severity": "WARNING", "alert_status": "ACTIVE", "alert_type": "INCREASED_CAPABILITIES_ELIGIBILITY",
            "alert_description": "An alert made by the simulator.",
        },
    },
    "phone_number_quality_update": {
        "display_phone_number": "441632960100", "event": "THROUGHPUT_UPGRADE", "current_limit": "TIER_UNLIMITED",
    },
    "business_capability_update": {"max_daily_conversation_per_phone": 2000, "max_phone_numbers_per_business": 25},
    "phone_number_name_update": {
        "display_phone_number": "441632960100", "decision": "APPROVED", "requested_verified_name": "Fernhill",
        "rejection_reason": "NONE",
    },
    "security": {"display_phone_number": "441632960100", "event": "PIN_CHANGED", "requester": "1"},
}  # fmt: skip


def add_routes(control: Blueprint, exchange: Exchange) -> None:
    """Add the routes under /api/templates, /api/echoes and /api/events."""
    _add_events(control, exchange)

    @control.get("/templates")
    def templates() -> Response:
        return jsonify(exchange.templates.all())

    @control.post("/templates")
    def put_template() -> tuple[Response, int]:
        asked = asked_for()
        before = exchange.templates.find(str(asked.get("name")), str(asked.get("language") or "en"))
        try:
            template = exchange.templates.put({key: value for key, value in asked.items() if key != "reason"})
        except ValueError as error:
            raise BadRequest(str(error)) from error
        for field, value in _template_news(before, template, str(asked.get("reason") or "NONE")):
            exchange.announce(bodies.on_account(exchange.waba_id, field, value))
        return jsonify(template), 201

    @control.post("/echoes")
    def echo() -> tuple[Response, int]:
        asked = asked_for()
        if not asked.get("phone"):
            raise BadRequest("Say to whose phone the owner writes.")
        number = number_of(exchange, asked.get("phone_number_id"))
        phone = phone_from(asked["phone"])
        return jsonify(wamid=exchange.echo(number, phone, _echoed(exchange, asked))), 201


def _add_events(control: Blueprint, exchange: Exchange) -> None:
    @control.post("/events")
    def announce() -> tuple[Response, int]:
        asked = asked_for()
        line = exchange.lines[number_of(exchange, asked.get("phone_number_id"))]
        if "errors" in asked:
            exchange.announce(bodies.on_number(line, {"errors": _errors(asked["errors"])}))
            return jsonify(field="messages"), 201
        field, value = asked.get("field"), asked.get("value")
        sample = EVENTS.get(field) if isinstance(field, str) else None
        if not isinstance(field, str) or not field or not isinstance(sample if value is None else value, dict):
            raise BadRequest(
                f"Say a field and its value, an object; {', '.join(EVENTS)} have a sample. Or errors: a list of codes."
            )
        if value is None and sample and "display_phone_number" in sample:
            value = {**sample, "display_phone_number": line.display_phone_number}
        exchange.announce(bodies.on_account(exchange.waba_id, field, value if value is not None else sample or {}))
        return jsonify(field=field), 201


def _errors(codes: object) -> list[dict[str, Any]]:
    """Return what Meta says to each of these codes."""
    if not isinstance(codes, list) or not codes or not all(type(code) is int for code in codes):
        raise BadRequest("errors is a list of codes, such as [131000].")
    return [report_error(code) for code in codes]


def _echoed(exchange: Exchange, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what the owner did in the Business app: wrote, edited or deleted."""
    if asked.get("revoke"):
        gone = known_message(exchange, "revoke", asked["revoke"])
        return {"type": "revoke", "revoke": {"original_message_id": gone.wamid}}
    if not asked.get("text"):
        raise BadRequest('Say {"text"}, {"edit": wamid, "text"} or {"revoke": wamid}.')
    new = {"type": "text", "text": {"body": words_from(asked, "text")}}
    if asked.get("edit"):
        before = known_message(exchange, "edit", asked["edit"])
        return {"type": "edit", "edit": {"original_message_id": before.wamid, "message": new}}
    return new


def _template_news(before: Template | None, after: Template, reason: str) -> list[tuple[str, dict[str, Any]]]:
    """Return what Meta tells of a template that is new or has changed."""
    known = {
        "message_template_id": int(after["id"]), "message_template_name": after["name"],
        "message_template_language": after["language"],
    }  # fmt: skip
    news: list[tuple[str, dict[str, Any]]] = []
    if before is None or before["status"] != after["status"]:
        status = {"event": after["status"], **known, "reason": reason, "message_template_category": after["category"]}
        news.append(("message_template_status_update", status))
    if before and before["category"] != after["category"]:
        changed = {"previous_category": before["category"], "new_category": after["category"]}
        news.append(("template_category_update", {**known, **changed}))
    if before and before.get("quality_score") != after.get("quality_score"):
        scores = {"previous_quality_score": _score(before), "new_quality_score": _score(after)}
        news.append(("message_template_quality_update", {**scores, **known}))
    if before and before["components"] != after["components"]:
        body: dict[str, Any] = next((part for part in after["components"] if part["type"] == "BODY"), {})
        news.append(("message_template_components_update", {**known, "message_template_element": body.get("text", "")}))
    return news


def _score(template: Template) -> str:
    found = template.get("quality_score") or "UNKNOWN"
    return str(found["score"] if isinstance(found, dict) else found)
