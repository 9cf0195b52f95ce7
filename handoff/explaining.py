"""Why somebody stands where they do in the queue, and why an agent was given what they have: in words. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.ledger.transcript import Conversation
from bot.promises import BEFORE_WINDOW_CLOSES, HEAD_STARTS, Waiting, urgency
from bot.vocabulary import Reason
from handoff import words
from handoff.viewing import Viewer


def ordinal(number: int) -> str:
    """Say which in a row: First, 2nd, 3rd, 11th."""
    if number == 1:
        return "First"
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def why_here(one: Conversation, place: int, of: int, viewer: Viewer) -> str:
    """Say why somebody is at this place: what is lost first, and when."""
    if one.reason is None or one.due_at is None:
        return ""
    said = [f"{ordinal(place)} of {of}." if of > 1 else "Nobody else waits."]
    if one.owner_id == viewer.account.id:
        said.append("You had it before, so it stands first in your list.")
    waits = Waiting(one.id, one.reason, one.due_at, one.window_ends)
    if urgency(waits, viewer.now).because == "window" and one.window_ends is not None:
        closes, before = words.clock(one.window_ends, viewer.tz), words.span(BEFORE_WINDOW_CLOSES)
        said.append(f"WhatsApp's window closes at {closes}, and we count from {before} before that.")
    else:
        said += _promise(one.due_at, one.reason, viewer)
    said.append("What would be lost first comes first; nobody's place gets worse by waiting.")
    return " ".join(said)


def _promise(due: datetime, reason: Reason, viewer: Viewer) -> list[str]:
    said = [f"An answer was promised by {words.clock(due, viewer.tz)}{', which is over' if due <= viewer.now else ''}."]
    ahead = HEAD_STARTS.get(reason, timedelta(0))
    if ahead > timedelta(0):
        said.append(f"We have failed them before, so it counts {words.span(ahead)} sooner.")
    elif ahead < timedelta(0):
        said.append(f"It may not be a person, so it counts {words.span(-ahead)} later.")
    return said
