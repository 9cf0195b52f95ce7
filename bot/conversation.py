"""The rules of a conversation, as pure functions: who may speak, is the window open, what follows what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from bot.vocabulary import MOVES, Holder, Move, Reason

WINDOW = timedelta(hours=24)
WINDOW_MARGIN = timedelta(minutes=5)  # Meta's clock is not ours
NEVER = datetime(9000, 1, 1, tzinfo=timezone.utc)  # when the window of a channel closes that has none
CHANNEL = "channel:"  # what stands before the name of another bot's channel, in the place of one of our numbers
BURST_MAX = timedelta(seconds=1.5)  # however the burst goes on, the first message waits no longer than this
TYPING_SPEED = 12.0  # characters a second: faster than anybody types on a phone
QUICK_TYPING = 7.0  # characters a second: few people type faster, on a phone or a keyboard
READING = 20.0  # characters a second: few people read faster …
READ_AT_LEAST = 60  # … and many read only the beginning of what we say
AT_A_GLANCE_S = 1.0  # nobody has read an answer and given theirs within that
TYPED_FREELY = 20  # characters somebody may have typed beforehand, or pasted
A_WHOLE_SENTENCE = 30  # characters; questions and order numbers are mostly shorter
REGULARLY = timedelta(seconds=1)  # people's answers differ by more
SOON = timedelta(minutes=1)  # who says a sentence again the next day has a reason to
QUOTED = 20  # characters of ours in their answer: nobody types those again
QUESTION_MARKS = set("?？؟՞")
CLOSING_LENGTH, CLOSING_SIGNS = 25, 8  # characters, where nothing stands between words
CLOSING_WORDS = 4  # with no more than these people mostly end a conversation
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


def wants_an_answer(type_: str, text: str) -> bool:
    """Say whether a contact may wait for an answer to this, rather than have closed with it: *ok, thank you!*"""
    if type_ == "reaction":
        return False
    signs = sum(character > "\u2e7f" for character in text)  # of scripts that write a word with one or two
    long = len(text.split()) > CLOSING_WORDS or len(text) > CLOSING_LENGTH or signs > CLOSING_SIGNS
    return type_ != "text" or long or bool(set(text) & QUESTION_MARKS)


def burst_ends(arrivals: Sequence[datetime], quiet: timedelta) -> datetime:
    """Return when what arrived so far is answered: once it was quiet for a moment, and never much later."""
    return min(max(arrivals) + quiet, min(arrivals) + BURST_MAX)


@dataclass(frozen=True)
class Exchange:
    """What a contact wrote, and how long after our last message."""

    text: str
    after_ours: timedelta | None  # None: we had said nothing since their last
    ours: tuple[str, ...] = ()  # what it answers

    @property
    def own(self) -> str:
        """What they wrote themselves: some answer with our words below their own."""
        own = self.text
        for words in self.ours:
            own = own.replace(words, " ") if len(words) >= QUOTED else own
        return own.strip()


def is_a_machine(written: Sequence[Exchange]) -> bool:
    """Say whether what a contact wrote last, each an answer to one of ours, comes from another bot.

    No single message tells. Several do, if they say the same, or come sooner than anybody reads and types. Who is
    short, slow, or writes on before we answered is a person as far as this knows.
    """
    return _says_the_same(written) or _is_too_fast(written) or _never_reads(written) or _goes_round(written)


def _answers(written: Sequence[Exchange], count: int) -> Sequence[Exchange]:
    """Return the last `count` messages if each of them answers one of ours; nothing otherwise."""
    last = written[-count:]
    all_answer = len(last) == count and all(one.after_ours is not None for one in last)
    return last if all_answer else ()


def _says_the_same(written: Sequence[Exchange]) -> bool:
    """Three times the same at some length; or the last is one of the two before again, both quicker than people are."""
    last = written[-3:]
    if len(last) < 3 or not _answers(written, 2):
        return False
    said = [_alike(exchange.own) for exchange in last]
    if len(set(said)) == 1 and len(last[0].own) >= TYPED_FREELY:
        return True
    # What has no words, a tap or a photo, is nothing said again.
    return bool(said[2]) and said[2] in said[:2] and all(_is_quick(exchange) for exchange in last[1:])


def _is_too_fast(written: Sequence[Exchange]) -> bool:
    """Two answers longer than anybody could have typed in the time."""
    last = _answers(written, 2) if len(written) > 2 else ()
    return bool(last) and all(len(one.text) > TYPED_FREELY + TYPING_SPEED * _seconds(one) for one in last)


def _never_reads(written: Sequence[Exchange]) -> bool:
    """Nothing but whole sentences, each sooner than one reads ours and types it: two as regular as a clock, or three.

    Somebody quick may do that once or twice, but then one takes longer than the other.
    """
    for count in (2, 3):
        last = _answers(written, count)
        before = written[-count - 1 : -count]
        regular = count > 2 or (last and abs(_seconds(last[0]) - _seconds(last[1])) <= REGULARLY.total_seconds())
        whole = all(_is_whole(one, A_WHOLE_SENTENCE) for one in last) and all(_is_whole(one) for one in before)
        if last and before and regular and whole and all(_is_unread(one) for one in last):
            return True
    return False


def _goes_round(written: Sequence[Exchange]) -> bool:
    """The last is, soon and word for word, what they said before, and so was another: few sentences, in rotation."""
    said = [_alike(exchange.own) for exchange in written]
    again = [
        said[n] in said[:n]
        and len(one.own) >= TYPED_FREELY
        and one.after_ours is not None
        and one.after_ours <= SOON
        for n, one in enumerate(written)
    ]  # fmt: skip
    return bool(again) and again[-1] and sum(again) > 1


def _is_whole(exchange: Exchange, least: int = TYPED_FREELY) -> bool:
    """Written out from the capital to the full stop, as few people do on a phone and every bot does."""
    said = exchange.own.strip("*_~ \n")
    return len(said) >= least and not said[0].islower() and said[-1] in ".!?…:。！？"


def _is_unread(exchange: Exchange) -> bool:
    """Sooner than somebody has read the beginning of what we said and typed that."""
    read = min(sum(len(words) for words in exchange.ours), READ_AT_LEAST)
    return _seconds(exchange) < read / READING + len(exchange.own) / QUICK_TYPING


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


def channel_of(phone_number_id: str) -> str:
    """Return the name of the channel a guest speaks on; "" for WhatsApp."""
    return phone_number_id.removeprefix(CHANNEL) if phone_number_id.startswith(CHANNEL) else ""
