"""What Meta would say to the business, byte for byte: deliveries and their signature. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from connectors.whatsapp.simulator.refusals import report_error
from connectors.whatsapp.simulator.rows import Contact, Message

WABA_ID = "102290129340398"
MOST_IN_ONE_CHANGE = 20
MOVES = ("user_changed_number", "user_changed_user_id", "customer_changed_number")


@dataclass(frozen=True)
class Line:
    """One phone number of the business."""

    phone_number_id: str
    display_phone_number: str
    waba_id: str = WABA_ID


def sign(body: bytes, app_secret: str) -> str:
    """Return the X-Hub-Signature-256 of exactly these bytes."""
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


def received(line: Line, contact: Contact, message: Message, *, field: str = "messages") -> bytes:
    """Return the delivery of something a contact wrote."""
    node: dict[str, Any] = {} if contact.hides_number else {"from": contact.phone}
    if not contact.hides_user_id:
        node["from_user_id"] = contact.user_id
    node |= {"id": message.wamid, "timestamp": str(int(message.at))}
    content = dict(message.content)
    quoted = {"from": line.display_phone_number, "id": message.context} if message.context else {}
    context = {**quoted, **content.pop("context", {})}
    if context:
        node["context"] = context
    # A number change has no contacts: code that takes the first of them breaks here, as it does at Meta.
    system = content.get("system") if message.type == "system" else None
    moved = isinstance(system, dict) and system.get("type") in MOVES
    people = {} if moved else {"contacts": [profile(contact)]}
    return on_number(line, {**people, "messages": [{**node, **content}]}, field)


def report(
    line: Line,
    contact: Contact,
    message: Message,
    status: str,
    at: float,
    *,
    code: int = 131000,
    category: str = "service",
) -> bytes:
    """Return the delivery of how far a message of the business got; the code says why it failed."""
    node: dict[str, Any] = {"id": message.wamid, "status": status, "timestamp": str(int(at))}
    if not contact.hides_number:
        node["recipient_id"] = contact.phone
    if not contact.hides_user_id:
        node["recipient_user_id"] = contact.user_id
    if message.callback is not None:
        node["biz_opaque_callback_data"] = message.callback
    if status == "failed":
        node["errors"] = [report_error(code)]
        return on_number(line, {"statuses": [node]})
    if status in ("sent", "delivered"):
        node["pricing"] = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": category}
    person = profile(contact)
    if status == "sent":
        person["profile"].pop("username", None)
    return on_number(line, {"contacts": [person], "statuses": [node]})


def unsupported(kind: str | None = None) -> dict[str, Any]:
    """Return the node of a message Meta does not pass on; newer webhooks say of which kind it was."""
    error = {
        "code": 131051, "title": "Message type unknown", "message": "Message type unknown",
        "error_data": {"details": "Message type is currently not supported."},
    }  # fmt: skip
    named = {"unsupported": {"type": kind}} if kind else {}
    return {"type": "unsupported", "errors": [error], **named}


def moved(old: Contact, new: Contact) -> dict[str, Any]:
    """Return the node that tells of a changed number; without numbers for a contact who hides theirs."""
    ids = {} if old.hides_user_id else {"user_id": new.user_id, "previous_user_id": old.user_id}
    if old.hides_number:
        words = f"User {old.name} changed their user ID"
        return {"type": "system", "system": {"type": "user_changed_user_id", "body": words, **ids}}
    words = f"User {old.name} changed from {old.phone} to {new.phone}"
    return {"type": "system", "system": {"type": "user_changed_number", "body": words, "wa_id": new.phone, **ids}}


def new_identity(at: float, code: str) -> dict[str, Any]:
    """Return the node that tells of a changed security code."""
    return {
        "type": "system", "system": {"type": "customer_identity_changed", "body": "User identity changed"},
        "identity": {"acknowledged": False, "created_timestamp": str(int(at)), "hash": code},
    }  # fmt: skip


def preference(line: Line, contact: Contact, value: str) -> bytes:
    """Return the delivery of a contact's word on marketing messages; its time is a number, for once."""
    said = {
        "detail": f"User requested to {value} marketing messages", "category": "marketing_messages", "value": value,
        "timestamp": int(time.time()),
    }  # fmt: skip
    person = profile(contact)
    who = {key: person[key] for key in ("wa_id", "user_id") if key in person}
    return on_number(line, {"contacts": [person], "user_preferences": [{**who, **said}]}, "user_preferences")


def echo(line: Line, contact: Contact, message: Message) -> bytes:
    """Return the delivery of what the owner wrote in the WhatsApp Business app."""
    node: dict[str, Any] = {"from": line.display_phone_number}
    if not contact.hides_number:
        node["to"] = contact.phone
    if not contact.hides_user_id:
        node["to_user_id"] = contact.user_id
    node |= {"id": message.wamid, "timestamp": str(int(message.at)), **message.content}
    return on_number(line, {"contacts": [profile(contact)], "message_echoes": [node]}, "smb_message_echoes")


def profile(contact: Contact) -> dict[str, Any]:
    """Return an item of `contacts[]`: what this contact lets the business know."""
    known: dict[str, Any] = {"profile": {"name": contact.name}}
    if contact.username:
        known["profile"]["username"] = contact.username
    if not contact.hides_user_id:
        known["user_id"] = contact.user_id
    return known if contact.hides_number else {**known, "wa_id": contact.phone}


def on_number(line: Line, items: dict[str, Any], field: str = "messages") -> bytes:
    """Return the delivery of something that concerns one number."""
    metadata = {"display_phone_number": line.display_phone_number, "phone_number_id": line.phone_number_id}
    value = {"messaging_product": "whatsapp", "metadata": metadata, **items}
    return _dump([{"id": line.waba_id, "changes": [{"value": value, "field": field}]}])


def on_account(waba_id: str, field: str, value: dict[str, Any]) -> bytes:
    """Return the delivery of something that concerns the account: it has a time, and no metadata."""
    return _dump([{"id": waba_id, "time": int(time.time()), "changes": [{"value": value, "field": field}]}])


def combined(bodies: Iterable[bytes]) -> bytes:
    """Return one delivery that carries many: over several entries, several changes, and several items in some."""
    found = [json.loads(body)["entry"] for body in bodies]
    dice = random.Random(len(found))  # noqa: S311 - it only makes the shapes differ
    entries: list[dict[str, Any]] = []
    for entry in (entry for one in found for entry in one):
        last = entries[-1] if entries else None
        if last is None or "time" in entry or "time" in last or dice.random() < 0.2:
            entries.append(entry)
        else:
            for change in entry["changes"]:
                if not _joined(last["changes"][-1], change):
                    last["changes"].append(change)
    return _dump(entries)


def _joined(change: dict[str, Any], other: dict[str, Any]) -> bool:
    """Put the items of one change into another, if both are of one number and one kind; say whether that was done."""
    mine, theirs = change["value"], other["value"]
    for kind in ("messages", "statuses"):
        both = kind in mine and kind in theirs and change["field"] == other["field"] == "messages"
        if both and mine["metadata"] == theirs["metadata"] and len(mine[kind]) < MOST_IN_ONE_CHANGE:
            mine[kind].extend(theirs[kind])
            people = mine.get("contacts", [])
            people += [person for person in theirs.get("contacts", []) if person not in people]
            if people:
                mine["contacts"] = people
            return True
    return False


def _dump(entries: list[dict[str, Any]]) -> bytes:
    # ASCII with \u escapes, because that is what Meta signs: whoever parses and dumps again gets another hash.
    return json.dumps({"object": "whatsapp_business_account", "entry": entries}, separators=(",", ":")).encode("ascii")
