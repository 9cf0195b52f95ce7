"""What Meta accepts in a send and what it refuses. Pure: JSON in, a refusal raised or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from connectors.whatsapp.simulator.refusals import Refused, invalid, missing

Node = Mapping[str, Any]

MEDIA_TYPES = ("image", "video", "audio", "document", "sticker")
CAPTIONED = ("image", "video", "document")
LONGEST_MEDIA_LINK = 2048
BSUID = re.compile(r"[A-Za-z]{2}\.(ENT\.)?[0-9A-Za-z]{1,128}")
PHONE = re.compile(r"\+?[\d\s().-]+")
HEADER_TYPES = ("text", "image", "video", "document")
CONTACTS_AT_MOST = 257


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
    node = payload[kind]
    if kind != "contacts" and not isinstance(node, dict):
        raise Refused(100, f"Param {kind} must be a JSON object.")
    check(node, kind)


def digits_of(phone: str) -> str:
    """Return a phone number the way WhatsApp writes it: digits, no plus, no blanks."""
    return re.sub(r"\D", "", phone)


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


def _words(node: Node, key: str, name: str, most: int, *, least: int = 1) -> str:
    """Return a text that must be there and within its length."""
    value = node.get(key)
    if value is None:
        raise missing(name)
    if not isinstance(value, str):
        raise Refused(100, f"Param {name} must be a string.")
    if not least <= len(value) <= most or (least and not value.strip()):
        raise invalid(f"{name} length invalid. Min length: {least}, Max length: {most}")
    return value


def _part(node: Node, key: str, name: str) -> Node:
    value = node.get(key)
    if value is None:
        raise missing(name)
    if not isinstance(value, dict):
        raise Refused(100, f"Param {name} must be a JSON object.")
    return value


def _parts(node: Node, key: str, name: str, most: int) -> list[Node]:
    value = node.get(key)
    if value is None:
        raise missing(name)
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise Refused(100, f"Param {name} must be an array of JSON objects.")
    if not 1 <= len(value) <= most:
        raise invalid(f"{name} count invalid. Min: 1, Max: {most}")
    return value


def _once(values: list[str], name: str) -> None:
    if len(set(values)) != len(values):
        raise invalid(f"Duplicated {name}.")


def _check_text(node: Node, kind: str) -> None:
    body = node.get("body")
    if body is None:
        raise Refused(100, message="The parameter text['body'] is required.")
    if not isinstance(body, str) or not body.strip():
        raise invalid("text.body must be a string that is not empty.")
    if len(body) > 4096:
        raise Refused(100, message="Param text['body'] must be at most 4096 characters long.")
    if not isinstance(node.get("preview_url", False), bool):
        raise Refused(100, "Param text.preview_url must be a boolean.")


def _check_media(node: Node, kind: str) -> None:
    given = [key for key in ("id", "link") if node.get(key)]
    if len(given) != 1:
        raise missing(f"{kind}.id or {kind}.link (exactly one of them)")
    source = node[given[0]]
    if not isinstance(source, str):
        raise Refused(100, f"Param {kind}.{given[0]} must be a string.")
    if given == ["link"] and (not re.match(r"https?://", source) or len(source) > LONGEST_MEDIA_LINK):
        raise Refused(100, f"Param {kind}.link must be a valid URL.")
    if "caption" in node:
        if kind not in CAPTIONED:
            raise Refused(100, message=f'Unexpected key "caption" on param "{kind}".')
        _words(node, "caption", f"{kind}.caption", 1024, least=0)


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
    for card in _parts({"contacts": node}, "contacts", "contacts", CONTACTS_AT_MOST):
        name = _part(card, "name", "contacts.name")
        _words(name, "formatted_name", "contacts.name.formatted_name", 1024)
        if len([part for part in name.values() if part]) < 2:
            raise missing("contacts.name: one of first_name, last_name, middle_name, suffix, prefix")


def _check_reaction(node: Node, kind: str) -> None:
    _words(node, "message_id", "reaction.message_id", 1024)
    _words(node, "emoji", "reaction.emoji", 32, least=0)


def _check_template(node: Node, kind: str) -> None:
    _words(node, "name", "template.name", 512)
    _words(_part(node, "language", "template.language"), "code", "template.language.code", 20)
    for component in _parts(node, "components", "template.components", 20) if node.get("components") else []:
        _words(component, "type", "template.components.type", 40)


def _check_interactive(node: Node, kind: str) -> None:
    shape = node.get("type")
    if shape is None:
        raise missing("interactive.type")
    check = INTERACTIVES.get(shape) if isinstance(shape, str) else None
    if check is None:
        raise invalid(f"interactive.type must be one of {{{', '.join(sorted(INTERACTIVES))}}}.")
    _words(_part(node, "body", "interactive.body"), "text", "interactive.body.text", 1024)
    if "footer" in node:
        _words(_part(node, "footer", "interactive.footer"), "text", "interactive.footer.text", 60)
    if "header" in node:
        _check_header(_part(node, "header", "interactive.header"), shape)
    check(_part(node, "action", "interactive.action"))


def _check_header(header: Node, shape: str) -> None:
    kind = _words(header, "type", "interactive.header.type", 20)
    if kind not in HEADER_TYPES or (shape == "list" and kind != "text"):
        raise invalid(f"interactive.header.type {kind} is not allowed for {shape}.")
    if kind == "text":
        _words(header, "text", "interactive.header.text", 60)
        return
    media = _part(header, kind, f"interactive.header.{kind}")
    if "caption" in media:
        raise Refused(100, message=f'Unexpected key "caption" on param "interactive.header.{kind}".')
    _check_media(media, kind)


def _check_buttons(action: Node) -> None:
    ids, titles = [], []
    for button in _parts(action, "buttons", "interactive.action.buttons", 3):
        if button.get("type") != "reply":
            raise invalid("interactive.action.buttons.type must be reply.")
        reply = _part(button, "reply", "interactive.action.buttons.reply")
        titles.append(_words(reply, "title", "Button title", 20))
        ids.append(_words(reply, "id", "Button id", 256))
        if ids[-1] != ids[-1].strip():
            raise invalid("Button id may not begin or end with a blank.")
    _once(ids, "button id")
    _once(titles, "button title")


def _check_list(action: Node) -> None:
    _words(action, "button", "interactive.action.button", 20)
    sections = _parts(action, "sections", "interactive.action.sections", 10)
    ids = []
    for section in sections:
        if len(sections) > 1 or section.get("title"):
            _words(section, "title", "Section title", 24)
        for row in _parts(section, "rows", "Section rows", 10):
            ids.append(_words(row, "id", "Row id", 200))
            _words(row, "title", "Row title", 24)
            if row.get("description") is not None:
                _words(row, "description", "Row description", 72, least=0)
    if len(ids) > 10:
        raise invalid("Total row count exceed max allowed count: 10")
    _once(ids, "row id")


def _check_cta_url(action: Node) -> None:
    if action.get("name") != "cta_url":
        raise invalid("interactive.action.name must be cta_url.")
    parameters = _part(action, "parameters", "interactive.action.parameters")
    _words(parameters, "display_text", "interactive.action.parameters.display_text", 20)
    url = _words(parameters, "url", "interactive.action.parameters.url", LONGEST_MEDIA_LINK)
    if not re.match(r"https?://[^\s/]", url):
        raise invalid("interactive.action.parameters.url must be a valid URL.")


def _check_named(name: str) -> Callable[[Node], None]:
    """Return a check for the interactive messages whose action is only a name."""

    def check(action: Node) -> None:
        if action.get("name") != name:
            raise invalid(f"interactive.action.name must be {name}.")

    return check


INTERACTIVES: dict[str, Callable[[Node], None]] = {
    "button": _check_buttons,
    "list": _check_list,
    "cta_url": _check_cta_url,
    "location_request_message": _check_named("send_location"),
    "request_contact_info": _check_named("request_contact_info"),
}

CHECKS: dict[str, Callable[[Any, str], None]] = {
    "text": _check_text,
    "interactive": _check_interactive,
    "location": _check_location,
    "contacts": _check_contacts,
    "reaction": _check_reaction,
    "template": _check_template,
    **dict.fromkeys(MEDIA_TYPES, _check_media),
}
