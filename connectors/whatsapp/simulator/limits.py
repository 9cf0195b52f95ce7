"""What Meta accepts in a send and what it refuses. Pure: JSON in, a refusal raised or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from connectors.whatsapp.simulator.interactives import check_interactive
from connectors.whatsapp.simulator.nodes import MEDIA_TYPES, Node, check_media, part, parts, words
from connectors.whatsapp.simulator.refusals import Refused, invalid, missing

BSUID = re.compile(r"[A-Za-z]{2}\.(ENT\.)?[0-9A-Za-z]{1,128}")
PHONE = re.compile(r"\+?[\d\s().-]+")
CONTACTS_AT_MOST = 257
FEWEST_DIGITS, MOST_DIGITS = 7, 15  # of a contact's phone; ITU-T E.164
LONGEST_TEXT, LONGEST_CAPTION = 4096, 1024
SURROGATE = re.compile("[\ud800-\udfff]")


def check_message(payload: Node) -> None:
    """Raise what Meta would answer if this send breaks one of its limits."""
    if payload.get("messaging_product") != "whatsapp":
        raise Refused(
            100,
            "The parameter messaging_product is required.",
            "The parameter messaging_product is required.",
        )
    if payload.get("recipient_type", "individual") not in ("individual", "group"):
        raise Refused(100, "recipient_type must be one of {individual, group}.")
    _check_address(payload)
    _check_envelope(payload)
    kind = payload.get("type", "text")
    check = CHECKS.get(kind) if isinstance(kind, str) else None
    if check is None:
        raise Refused(100, f"type must be one of {{{', '.join(sorted(CHECKS))}}}.", "Param type is not a valid value.")
    if kind not in payload:
        raise missing(kind)
    others = [other for other in CHECKS if other != kind and other in payload]
    if others:
        raise Refused(100, message=f'Unexpected key "{others[0]}" on param "type" {kind}.')
    node = payload[kind]
    if kind != "contacts" and not isinstance(node, dict):
        raise Refused(100, f"Param {kind} must be a JSON object.")
    check(node, kind)


def digits_of(phone: str) -> str:
    """Return a phone number the way WhatsApp writes it: digits, no plus, no blanks."""
    return re.sub(r"\D", "", phone)


def phone_of(given: object) -> str:
    """Return the digits of a phone somebody can have; raises ValueError for anything else."""
    digits = digits_of(str(given))
    if not (digits.isascii() and PHONE.fullmatch(str(given)) and FEWEST_DIGITS <= len(digits) <= MOST_DIGITS):
        raise ValueError(f"A phone has {FEWEST_DIGITS} to {MOST_DIGITS} digits, and {str(given)[:40]!r} is none.")
    return digits


def can_be_written(said: Any) -> bool:
    """Say whether a phone could send this: no text in it has a NUL, or half of a character."""
    match said:
        case str():
            return "\x00" not in said and not SURROGATE.search(said)
        case list():
            return all(can_be_written(one) for one in said)
        case dict():
            return all(can_be_written(one) for pair in said.items() for one in pair)
    return True


def _check_address(payload: Node) -> None:
    to, recipient = payload.get("to"), payload.get("recipient")
    if to in (None, "") and recipient in (None, ""):
        raise Refused(100, "Either to or recipient is required.", "The parameter to is required.")
    if recipient and not (isinstance(recipient, str) and BSUID.fullmatch(recipient)):
        raise Refused(100, "recipient must be a business-scoped user ID.", "Invalid parameter recipient")
    if to in (None, ""):
        return
    if not isinstance(to, str):
        raise Refused(100, "Param to must be a string.")
    if BSUID.fullmatch(to):
        return  # Meta answers 200 and loses the message; so do we
    if not PHONE.fullmatch(to) or not 5 <= len(digits_of(to)) <= 15:
        raise invalid("to is not a valid WhatsApp phone number.")


def _check_envelope(payload: Node) -> None:
    tracker = payload.get("biz_opaque_callback_data")
    if tracker is not None and not (isinstance(tracker, str) and 1 <= len(tracker) <= 512):
        raise Refused(100, "biz_opaque_callback_data must be a string of at most 512 characters.")
    if "context" in payload:
        context = payload["context"]
        if payload.get("type") == "reaction":
            raise Refused(100, "context is not allowed with a reaction.")
        if not isinstance(context, dict) or not isinstance(context.get("message_id"), str) or not context["message_id"]:
            raise missing("context.message_id")


def _check_text(node: Node, kind: str) -> None:
    body = node.get("body")
    if body is None:
        raise Refused(100, message="The parameter text['body'] is required.")
    if not isinstance(body, str) or not body.strip():
        raise invalid("text.body must be a string that is not empty.")
    if len(body) > LONGEST_TEXT:
        raise Refused(100, message=f"Param text['body'] must be at most {LONGEST_TEXT} characters long.")
    if not isinstance(node.get("preview_url", False), bool):
        raise Refused(100, "Param text.preview_url must be a boolean.")


def _check_media_message(node: Node, kind: str) -> None:
    check_media(node, kind)
    if "voice" in node and (kind != "audio" or not isinstance(node["voice"], bool)):
        raise Refused(100, message=f'Unexpected key "voice" on param "{kind}".')
    if "filename" in node:
        if kind != "document":
            raise Refused(100, message=f'Unexpected key "filename" on param "{kind}".')
        words(node, "filename", "document.filename", 240)


def _check_location(node: Node, kind: str) -> None:
    for key, most in (("latitude", 90), ("longitude", 180)):
        if node.get(key) is None:
            raise missing(f"location.{key}")
        try:
            value = float(node[key])
        except (TypeError, ValueError):
            raise invalid(f"location.{key} must be a number.") from None
        if not -most <= value <= most:
            raise invalid(f"location.{key} must be between -{most} and {most}.")


def _check_contacts(node: object, kind: str) -> None:
    for card in parts({"contacts": node}, "contacts", "contacts", CONTACTS_AT_MOST):
        name = part(card, "name", "contacts.name")
        words(name, "formatted_name", "contacts.name.formatted_name", 1024)
        if len([part for part in name.values() if part]) < 2:
            raise missing("contacts.name: one of first_name, last_name, middle_name, suffix, prefix")


def _check_reaction(node: Node, kind: str) -> None:
    words(node, "message_id", "reaction.message_id", 1024)
    words(node, "emoji", "reaction.emoji", 32, least=0)


def _check_template(node: Node, kind: str) -> None:
    words(node, "name", "template.name", 512)
    words(part(node, "language", "template.language"), "code", "template.language.code", 20)
    for component in parts(node, "components", "template.components", 20) if node.get("components") else []:
        words(component, "type", "template.components.type", 40)


CHECKS: dict[str, Callable[[Any, str], None]] = {
    "text": _check_text,
    "interactive": check_interactive,
    "location": _check_location,
    "contacts": _check_contacts,
    "reaction": _check_reaction,
    "template": _check_template,
    **dict.fromkeys(MEDIA_TYPES, _check_media_message),
}
