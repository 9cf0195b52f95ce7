"""What the simulator remembers, as values: contacts, messages, media, deliveries and calls."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

INBOUND, OUTBOUND = "in", "out"
"""Seen from the business, as everywhere in Baton: inbound is what a contact wrote."""

RANK = {"accepted": 0, "sent": 1, "delivered": 2, "read": 3, "played": 4}
"""How far an outbound message got. `failed` stands beside it."""


@dataclass(frozen=True)
class Contact:
    """Somebody whose phone can be held in the browser."""

    phone: str
    name: str
    user_id: str
    hides_number: bool = False
    """Known by the BSUID alone: no `from`, no `wa_id`, no `recipient_id`."""
    hides_user_id: bool = False
    """Known by the phone alone, as before BSUIDs came."""
    username: str = ""


@dataclass(frozen=True)
class Message:
    """One thing said, either way. `content` is Meta's JSON: the node of a webhook, or the send as it came."""

    wamid: str
    number: str
    phone: str
    direction: str
    type: str
    content: dict[str, Any]
    at: float
    status: str
    context: str | None = None
    callback: str | None = None
    shown_at: float | None = None
    seen_at: float | None = None
    fault: str | None = None
    failure: int | None = None
    taken_at: float | None = None
    """Inbound: when the business first said 200 to it."""
    place: int | None = None
    """Where it stands on the phone: the order in which things appeared there, for both sides."""
    id: int = 0


@dataclass(frozen=True)
class Delivery:
    """One POST for the business, or (without a body) only the moment at which a status moves.

    Deliveries of one lane wait for each other: a contact's phone is the lane of all that concerns it.
    """

    lane: str
    body: bytes | None
    due: float
    wamid: str | None = None
    status: str | None = None
    copies: int = 1
    number: str = ""
    again: bool = False
    """A repetition: no fault touches it once more."""
    id: int = 0

    @property
    def phone(self) -> str:
        """The contact it concerns, whatever lane it travels in."""
        return self.lane.partition("~")[0]


@dataclass(frozen=True)
class Media:
    """A file either side uploaded."""

    id: str
    mime_type: str
    filename: str
    content: bytes = field(repr=False)
    number: str = ""
    """The number of the business it was uploaded to; empty when a contact sent it."""
    at: float = 0.0
    phone: str = ""
    """The contact who sent it; empty when the business uploaded it."""

    @property
    def sha256(self) -> str:
        """Base64, as in Meta's webhooks."""
        return base64.b64encode(hashlib.sha256(self.content).digest()).decode()


@dataclass(frozen=True)
class Call:
    """One request the Cloud API got, and what it answered."""

    at: float
    method: str
    path: str
    body: Any
    http: int
    answer: Any


def new_wamid(phone: str) -> str:
    """Return a message id of Meta's shape: opaque, and long enough to break a narrow column."""
    stuff = b"\x1d\x18" + phone.encode() + b"\x15\x02\x00\x11\x18" + secrets.token_hex(10).upper().encode() + b"\x00"
    return "wamid." + base64.b64encode(stuff).decode()


def user_id_of(phone: str, owner: int = 0) -> str:
    """Return the business-scoped user ID of a phone's owner: each has another, always the same, never the number."""
    whose = f"fernhill:{phone}:{owner}" if owner else f"fernhill:{phone}"
    digits = str(int(hashlib.sha256(whose.encode()).hexdigest(), 16))[:17]
    return f"GB.{digits}"
