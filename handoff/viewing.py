"""Who looks, and the few words every page needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from bot.ledger.transcript import Conversation
from handoff import words
from handoff.roles import Account

SHORT = 140  # characters of a message in a list or a quote


@dataclass(frozen=True)
class Viewer:
    """Who looks, when, and in which zone."""

    account: Account
    now: datetime
    tz: tzinfo


@dataclass(frozen=True)
class Choice:
    """One thing to choose from in a form: what is sent, what is read, and whether it is chosen now."""

    value: str
    label: str
    chosen: bool


def name_of(one: Conversation) -> str:
    """Return what to call a contact: by name, else by number, else by the username of who hides it."""
    contact = one.contact
    if one.channel:
        return contact.name or f"Somebody on {one.channel}"
    if not contact.name and not contact.phone and contact.username:
        return f"@{contact.username.removeprefix('@')}"
    return contact.name or words.phone(contact.phone)


def short(text: str) -> str:
    """Return one line of at most a screen's width."""
    text = " ".join(text.split())
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"
