"""What Meta accepts in an interactive message: buttons, lists, links, flows, requests. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from connectors.whatsapp.simulator.nodes import LONGEST_LINK, Node, check_media, once, part, parts, words
from connectors.whatsapp.simulator.refusals import Refused, invalid, missing

HEADER_TYPES = ("text", "image", "video", "document")


def check_interactive(node: Node, kind: str) -> None:
    """Refuse an interactive message of an unknown kind, or with a part that is missing or beyond its limit."""
    shape = node.get("type")
    if shape is None:
        raise missing("interactive.type")
    check = INTERACTIVES.get(shape) if isinstance(shape, str) else None
    if check is None:
        raise invalid(f"interactive.type must be one of {{{', '.join(sorted(INTERACTIVES))}}}.")
    words(part(node, "body", "interactive.body"), "text", "interactive.body.text", 1024)
    if "footer" in node:
        words(part(node, "footer", "interactive.footer"), "text", "interactive.footer.text", 60)
    if "header" in node:
        _check_header(part(node, "header", "interactive.header"), shape)
    check(part(node, "action", "interactive.action"))


def _check_header(header: Node, shape: str) -> None:
    kind = words(header, "type", "interactive.header.type", 20)
    if kind not in HEADER_TYPES or (shape == "list" and kind != "text"):
        raise invalid(f"interactive.header.type {kind} is not allowed for {shape}.")
    if kind == "text":
        words(header, "text", "interactive.header.text", 60)
        return
    media = part(header, kind, f"interactive.header.{kind}")
    if "caption" in media:
        raise Refused(100, message=f'Unexpected key "caption" on param "interactive.header.{kind}".')
    check_media(media, kind)


def _check_buttons(action: Node) -> None:
    ids, titles = [], []
    for button in parts(action, "buttons", "interactive.action.buttons", 3):
        if button.get("type") != "reply":
            raise invalid("interactive.action.buttons.type must be reply.")
        reply = part(button, "reply", "interactive.action.buttons.reply")
        titles.append(words(reply, "title", "Button title", 20))
        ids.append(words(reply, "id", "Button id", 256))
        if ids[-1] != ids[-1].strip():
            raise invalid("Button id may not begin or end with a blank.")
    once(ids, "button id")
    once(titles, "button title")


def _check_list(action: Node) -> None:
    words(action, "button", "interactive.action.button", 20)
    sections = parts(action, "sections", "interactive.action.sections", 10)
    ids = []
    for section in sections:
        if len(sections) > 1 or section.get("title"):
            words(section, "title", "Section title", 24)
        for row in parts(section, "rows", "Section rows", 10):
            ids.append(words(row, "id", "Row id", 200))
            words(row, "title", "Row title", 24)
            if row.get("description") is not None:
                words(row, "description", "Row description", 72, least=0)
    if len(ids) > 10:
        raise invalid("Total row count exceed max allowed count: 10")
    once(ids, "row id")


def _check_cta_url(action: Node) -> None:
    if action.get("name") != "cta_url":
        raise invalid("interactive.action.name must be cta_url.")
    parameters = part(action, "parameters", "interactive.action.parameters")
    words(parameters, "display_text", "interactive.action.parameters.display_text", 20)
    url = words(parameters, "url", "interactive.action.parameters.url", LONGEST_LINK)
    if not re.match(r"https?://[^\s/]", url):
        raise invalid("interactive.action.parameters.url must be a valid URL.")


def _check_flow(action: Node) -> None:
    if action.get("name") != "flow":
        raise invalid("interactive.action.name must be flow.")
    parameters = part(action, "parameters", "interactive.action.parameters")
    if parameters.get("flow_message_version") is None:
        raise missing("flow_message_version")
    if str(parameters["flow_message_version"]) != "3":
        raise invalid("flow_message_version must be 3.")
    given = [key for key in ("flow_id", "flow_name") if parameters.get(key)]
    if len(given) != 1:
        raise missing("flow_id or flow_name (exactly one of them)")
    words(parameters, "flow_cta", "flow_cta", 30)
    if "flow_token" in parameters:
        words(parameters, "flow_token", "flow_token", 1024)
    if parameters.get("mode", "published") not in ("draft", "published"):
        raise invalid("mode must be one of {draft, published}.")
    what = parameters.get("flow_action", "navigate")
    if what not in ("navigate", "data_exchange"):
        raise invalid("flow_action must be one of {navigate, data_exchange}.")
    if "flow_action_payload" in parameters:
        _check_flow_payload(part(parameters, "flow_action_payload", "flow_action_payload"), str(what))


def _check_flow_payload(payload: Node, what: str) -> None:
    if what != "navigate":
        raise Refused(100, "flow_action_payload is only allowed when flow_action is navigate.")
    words(payload, "screen", "flow_action_payload.screen", 80)
    if "data" in payload and not (isinstance(payload["data"], dict) and payload["data"]):
        raise invalid("flow_action_payload.data must be a JSON object that is not empty.")


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
    "flow": _check_flow,
    "location_request_message": _check_named("send_location"),
    "request_contact_info": _check_named("request_contact_info"),
}
