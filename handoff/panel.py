"""What stands beside a conversation: who the contact is, and what was settled with them before. As values to draw."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bot.ledger import transcript
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation, Episode, Said
from bot.vocabulary import Holder, Outcome
from handoff import profile, words
from handoff.profile import Field
from handoff.roles import Deed
from handoff.viewing import Viewer, name_of

EARLIER = 6  # handoffs listed


@dataclass(frozen=True)
class Earlier:
    """A handoff that is over."""

    reason: str
    when: str
    how: str  # who had it, and how it ended
    place: str  # where it stands in the transcript
    at: int | None  # a message to ask for first, where that place is not shown


@dataclass(frozen=True)
class Panel:
    """The contact, as agents know them."""

    name: str
    phone: str
    username: str
    since: str
    language: str
    marketing: bool
    blocked: bool
    may_block: bool
    may_note: bool
    fields: tuple[Field, ...]
    note: str
    noted: str  # by whom and when
    earlier: list[Earlier]
    more: int  # that are not listed


def read(
    tx: Transaction,
    viewer: Viewer,
    one: Conversation,
    moves: list[Episode],
    *,
    merged: Collection[int],
    names: dict[int, str],
    shown_from: Said | None,
) -> Panel:
    """Return what agents know of the contact of a conversation."""
    known = profile.of(tx, one, merged)
    over = [move for move in reversed(moves) if move.closed_at is not None]
    holds = one.holder is Holder.AGENT and one.agent_id == viewer.account.id
    return Panel(
        name=name_of(one),
        phone=words.phone(one.contact.phone),
        username=f"@{one.contact.username.removeprefix('@')}" if one.contact.username else "",
        since=words.date(known.since, viewer.tz),
        language=str(one.slots.get("language") or ""),
        marketing=one.contact.marketing,
        blocked=one.contact.blocked,
        may_block=not one.channel and (viewer.account.may(Deed.LEAD) or (viewer.account.may(Deed.SPEAK) and holds)),
        may_note=viewer.account.may(Deed.NOTE),
        fields=known.fields,
        note=known.note,
        noted=f"{known.note_by}, {words.when(known.note_at, viewer.now, viewer.tz)}" if known.note_at else "",
        earlier=[_earlier(tx, one, move, viewer, names=names, shown_from=shown_from) for move in over[:EARLIER]],
        more=max(0, len(over) - EARLIER),
    )


def _earlier(
    tx: Transaction, one: Conversation, move: Episode, viewer: Viewer, *, names: dict[int, str], shown_from: Said | None
) -> Earlier:
    who = names.get(move.taken_by or 0, "somebody on the phone" if move.taken_at else "nobody")
    cancelled = move.outcome is Outcome.CANCELLED
    how = "cancelled by the contact" if cancelled else f"{who} · {words.ended(move.outcome, move.summary, move.csat)}"
    is_shown = shown_from is None or move.asked_at >= shown_from.at
    return Earlier(
        reason=words.REASONS[move.reason],
        when=words.date(move.asked_at, viewer.tz),
        how=how,
        place=f"move-{move.id}-0",
        at=None if is_shown else transcript.first_since(tx, one.id, move.asked_at),
    )
