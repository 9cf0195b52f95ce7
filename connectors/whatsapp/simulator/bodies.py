"""What Meta would say to the business, byte for byte: deliveries and their signature. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from connectors.whatsapp.simulator.refusals import report_error
from connectors.whatsapp.simulator.rows import Contact, Message

WABA_ID = "102290129340398"


@dataclass(frozen=True)
class Line:
    """One phone number of the business."""

    phone_number_id: str
    display_phone_number: str


def sign(body: bytes, app_secret: str) -> str:
    """Return the X-Hub-Signature-256 of exactly these bytes."""
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


def received(line: Line, contact: Contact, message: Message) -> bytes:
    """Return the delivery of something a contact wrote."""
    node: dict[str, Any] = {} if contact.hides_number else {"from": contact.phone}
    node |= {"from_user_id": contact.user_id, "id": message.wamid, "timestamp": str(int(message.at))}
    if message.context:
        node["context"] = {"from": line.display_phone_number, "id": message.context}
    node |= message.content
    return _delivery(line, {"contacts": [_profile(contact)], "messages": [node]})


def report(line: Line, contact: Contact, message: Message, status: str, at: float) -> bytes:
    """Return the delivery of how far a message of the business got."""
    node: dict[str, Any] = {"id": message.wamid, "status": status, "timestamp": str(int(at))}
    if not contact.hides_number:
        node["recipient_id"] = contact.phone
    node["recipient_user_id"] = contact.user_id
    if message.callback is not None:
        node["biz_opaque_callback_data"] = message.callback
    if status == "failed":
        node["errors"] = [report_error(message.failure or 131000)]
        return _delivery(line, {"statuses": [node]})
    if status in ("sent", "delivered"):
        category = "utility" if message.type == "template" else "service"
        node["pricing"] = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": category}
    return _delivery(line, {"contacts": [_profile(contact)], "statuses": [node]})


def _profile(contact: Contact) -> dict[str, Any]:
    known = {"profile": {"name": contact.name}, "user_id": contact.user_id}
    return known if contact.hides_number else {**known, "wa_id": contact.phone}


def _delivery(line: Line, items: dict[str, Any]) -> bytes:
    metadata = {"display_phone_number": line.display_phone_number, "phone_number_id": line.phone_number_id}
    value = {"messaging_product": "whatsapp", "metadata": metadata, **items}
    entry = {"id": WABA_ID, "changes": [{"value": value, "field": "messages"}]}
    # ASCII with \u escapes, because that is what Meta signs: whoever parses and dumps again gets another hash.
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}, separators=(",", ":")).encode("ascii")
