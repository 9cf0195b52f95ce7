"""The rules of a conversation, as pure functions: who may speak, is the window open, what follows what."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.vocabulary import MOVES, Holder, Move

WINDOW = timedelta(hours=24)
WINDOW_MARGIN = timedelta(minutes=5)  # Meta's clock is not ours


def may_bot_speak(holder: Holder, epoch: int, muted_at: int) -> bool:
    """Say whether words composed under `epoch` may still go out.

    A take raises `muted_at` to the epoch it created, so a turn that began before it is silent for ever, even
    after the conversation was given back. A hand off mutes nobody.
    """
    return holder is not Holder.AGENT and epoch >= muted_at


def does_bot_hear(holder: Holder, invited: bool) -> bool:
    """Say whether a waiting message is the bot's to answer; in the queue only while the bot is invited."""
    return holder is Holder.BOT or (holder is Holder.QUEUE and invited)


def after(move: Move, holder: Holder) -> Holder | None:
    """Return who holds the conversation after a move, or None if it can't be made from here."""
    return MOVES.get((move, holder))


def window_ends(sent_at: datetime) -> datetime:
    """Return when the customer service window closes for a message the contact sent at `sent_at`."""
    return sent_at + WINDOW - WINDOW_MARGIN


def window_is_open(ends: datetime | None, now: datetime) -> bool:
    """Say whether anything but a template may be sent."""
    return ends is not None and now < ends
