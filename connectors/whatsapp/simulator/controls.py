"""What the routes of the control API share: reading what is asked, and JSON of times."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest

from connectors.whatsapp.simulator.exchange import Exchange


def asked_for() -> dict[str, Any]:
    """Return the JSON object of a call."""
    asked = request.get_json(silent=True)
    if not isinstance(asked, dict):
        raise BadRequest("Send a JSON object.")
    return asked


def number_of(exchange: Exchange, given: object) -> str:
    """Return the number of the business a call is about: the first one unless it says another."""
    number = str(given or exchange.first_number)
    if number not in exchange.lines:
        raise BadRequest(f"No phone number ID {number}; there are {', '.join(exchange.lines)}.")
    return number


def moment(at: float) -> str:
    """Return a time as JSON has it."""
    return datetime.fromtimestamp(at, tz=timezone.utc).isoformat()
