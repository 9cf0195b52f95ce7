"""Contacts whose phones make trouble, each in one way, so that every trouble can be seen by writing to somebody."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.whatsapp.simulator.faults import Fault, Kind


@dataclass(frozen=True)
class Magic:
    """A contact, and what goes wrong with what the business sends them."""

    phone: str
    name: str
    what: str
    fault: Fault
    first_tries: int | None = None
    """How many tries fail before one goes through; None: every one of them."""


MAGIC = (
    Magic(
        "447700900191", "Theo Throttle", "Refuses the first two tries with 131056, too many messages to one contact.",
        Fault(Kind.THROTTLE), first_tries=2,
    ),
    Magic(
        "447700900192", "Rosa Token", "Refuses the first two tries with 190, the access token is no longer valid.",
        Fault(Kind.TOKEN), first_tries=2,
    ),
    Magic(
        "447700900193", "Una Unreachable", "Accepts every message, then reports it failed with 131026, undeliverable.",
        Fault(Kind.UNDELIVERABLE),
    ),
    Magic(
        "447700900194", "Tess Timeout", "Accepts and delivers every message, but never answers the call that sent it.",
        Fault(Kind.TIMEOUT_AFTER_ACCEPT),
    ),
    Magic(
        "447700900195", "Olu Offline", "Messages are sent, never delivered: the phone is off.",
        Fault(Kind.NEVER_DELIVERED),
    ),
    Magic("447700900196", "Nora Unread", "Messages are delivered, never reported as read.", Fault(Kind.NEVER_READ)),
    Magic(
        "447700900197", "Gus Gateway", "The first try gets an HTML page with status 502, as from a broken proxy.",
        Fault(Kind.HTML_502), first_tries=1,
    ),
    Magic(
        "447700900198", "Clara Closed", "The 24-hour window is always closed: 131047 for all but templates.",
        Fault(Kind.WINDOW_CLOSED),
    ),
    Magic("447700900199", "Tom Twice", "Every webhook comes twice.", Fault(Kind.DUPLICATE_WEBHOOKS)),
)  # fmt: skip

BY_PHONE = {magic.phone: magic for magic in MAGIC}
