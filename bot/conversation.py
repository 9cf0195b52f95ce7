"""The rules of a conversation, as pure functions: who may speak, is the window open, what follows what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.vocabulary import MOVES, Holder, Move, Reason

WINDOW = timedelta(hours=24)
WINDOW_MARGIN = timedelta(minutes=5)  # Meta's clock is not ours
BURST_MAX = timedelta(seconds=1.5)  # however the burst goes on, the first message waits no longer than this
TYPING_SPEED = 12.0  # characters a second: faster than anybody types on a phone
QUICK_TYPING = 7.0  # characters a second: few people type faster on a phone
AT_A_GLANCE_S = 1.0  # nobody has read an answer and given theirs within that
TYPED_FREELY = 20  # characters somebody may have typed beforehand, or pasted
NOT_INVITED = {Reason.FLOOD, Reason.MACHINE}  # here the bot would only feed what it was taken out of


def may_bot_speak(holder: Holder, epoch: int, muted_at: int) -> bool:
    """Say whether words composed under `epoch` may still go out.

    A take raises `muted_at` to the epoch it created, so a turn that began before it is silent for ever, even
    after the conversation was given back. A hand off mutes nobody.
    """
    return holder is not Holder.AGENT and epoch >= muted_at


def does_bot_hear(holder: Holder, invited: bool, reason: Reason | None = None) -> bool:
    """Say whether a waiting message is the bot's to answer; in the queue only while the bot is invited."""
    return holder is Holder.BOT or (holder is Holder.QUEUE and invited and reason not in NOT_INVITED)


def burst_ends(arrivals: Sequence[datetime], quiet: timedelta) -> datetime:
    """Return when what arrived so far is answered: once it was quiet for a moment, and never much later."""
    return min(max(arrivals) + quiet, min(arrivals) + BURST_MAX)


@dataclass(frozen=True)
class Exchange:
    """What a contact wrote, and how long after our last message."""

    text: str
    after_ours: timedelta | None  # None: we had said nothing since their last


def is_a_machine(written: Sequence[Exchange]) -> bool:
    """Say whether the last three messages, each an answer to one of ours, come from another bot.

    They do if all say the same at some length, if the last two are longer than anybody could have typed in the time,
    or if the last says again what one of them said, both quicker than people are.
    """
    last = written[-3:]
    if len(last) < 3 or any(exchange.after_ours is None for exchange in last[1:]):
        return False
    said = [_alike(exchange.text) for exchange in last]
    if len(set(said)) == 1 and len(last[0].text) >= TYPED_FREELY:
        return True
    if said[2] in said[:2] and all(_is_quick(exchange) for exchange in last[1:]):
        return True
    return all(_is_too_fast(exchange) for exchange in last[1:])


def _is_too_fast(exchange: Exchange) -> bool:
    return len(exchange.text) > TYPED_FREELY + TYPING_SPEED * _seconds(exchange)


def _is_quick(exchange: Exchange) -> bool:
    """Quicker than somebody who reads what we said and types: not proof, but with a repetition it is."""
    return _seconds(exchange) <= max(AT_A_GLANCE_S, len(exchange.text) / QUICK_TYPING)


def _seconds(exchange: Exchange) -> float:
    return max(exchange.after_ours.total_seconds(), 0.0) if exchange.after_ours is not None else 0.0


def _alike(text: str) -> str:
    """Two texts that differ in a number, a date or a blank are the same sentence of a machine's."""
    return re.sub(r"[\d\W_]+", " ", text).casefold().strip() or text.strip()


def after(move: Move, holder: Holder) -> Holder | None:
    """Return who holds the conversation after a move, or None if it can't be made from here."""
    return MOVES.get((move, holder))


def window_ends(sent_at: datetime) -> datetime:
    """Return when the customer service window closes for a message the contact sent at `sent_at`."""
    return sent_at + WINDOW - WINDOW_MARGIN


def window_is_open(ends: datetime | None, now: datetime) -> bool:
    """Say whether anything but a template may be sent."""
    return ends is not None and now < ends
