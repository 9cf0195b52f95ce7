"""What the routes of the control API share: reading what is asked, and JSON of times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest, NotFound

from connectors.whatsapp.simulator.exchange import Exchange
from connectors.whatsapp.simulator.limits import LONGEST_TEXT, phone_of
from connectors.whatsapp.simulator.rows import Message

MOST = 1_000_000_000


def given_json() -> Any:
    """Return the JSON of a call, or None when there is none that can be read."""
    try:
        return request.get_json(silent=True)
    except RecursionError:  # thousands of brackets inside each other
        return None


def asked_for(*, optional: bool = False) -> dict[str, Any]:
    """Return the JSON object of a call; when it is optional, no body at all is an empty one."""
    asked = {} if optional and not request.get_data() else given_json()
    if not isinstance(asked, dict):
        raise BadRequest("Send a JSON object, with the header Content-Type: application/json.")
    return asked


def phone_from(given: object) -> str:
    """Return a contact's phone, or say why it is none."""
    try:
        return phone_of(given)
    except ValueError as error:
        raise BadRequest(str(error)) from error


def number_of(exchange: Exchange, given: object) -> str:
    """Return the number of the business a call is about: the first one unless it says another."""
    number = str(given or exchange.first_number)
    if number not in exchange.lines:
        raise BadRequest(f"No phone number ID {number}; there are {', '.join(exchange.lines)}.")
    return number


def limit_of(otherwise: int) -> int:
    """Return the `limit` of the address; without one `otherwise`."""
    given = request.args.get("limit")
    if given is None:
        return otherwise
    if not (given.isascii() and given.isdigit() and len(given) <= len(str(MOST))):
        raise BadRequest(f"limit is a whole number from 0 to {MOST}.")
    return int(given)


def amount_of(asked: Mapping[str, Any], name: str, least: float, most: float, otherwise: float) -> float:
    """Return a number of what is asked for; `otherwise` when it says nothing of it."""
    given = asked.get(name)
    if given is None:
        return otherwise
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not least <= given <= most:
        raise BadRequest(f"{name} is a number from {least:g} to {most:g}.")
    return float(given)


def words_from(asked: Mapping[str, Any], name: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text of what is asked for; it may not be empty, nor longer than WhatsApp lets it be."""
    given = asked.get(name)
    if not isinstance(given, str) or not 1 <= len(given) <= longest:
        raise BadRequest(f"{name} is a text of 1 to {longest} characters.")
    return given


def truth_of(asked: Mapping[str, Any], name: str) -> bool:
    """Return a switch of what is asked for; off when it says nothing of it."""
    given = asked.get(name)
    if given is not None and not isinstance(given, bool):
        raise BadRequest(f"{name} is true or false.")
    return bool(given)


def known_message(exchange: Exchange, name: str, wamid: object) -> Message:
    """Return the message that is spoken of; whoever made the wamid up is told so."""
    message = exchange.store.message(wamid) if isinstance(wamid, str) else None
    if message is None:
        raise NotFound(f"{name} is not the wamid of a message this simulator knows; GET /api/messages lists them.")
    return message


def moment(at: float) -> str:
    """Return a time as JSON has it."""
    return datetime.fromtimestamp(at, tz=timezone.utc).isoformat()
