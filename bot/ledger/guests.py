"""Guests: contacts of other bots, on other channels, who were brought here for a person. The only writer of guests.

A guest's conversation is one like any other, in the same queue with the same promise, but for three things. Its number
is a channel's name. Its window never closes. And what is said to them WhatsApp's sender leaves alone: hooks tell it to
the bot that brought them, or that bot asks for it. What guests write is never anybody's turn: our own bot says nothing
to them, whoever holds the conversation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot import messages as says
from bot.conversation import CHANNEL, NEVER
from bot.errors import Closed, KeyUsed, UnknownHandoff
from bot.hours import Hours
from bot.ledger import changes, contacts, handoffs, hooks, outbox, promises, teams
from bot.ledger.hooks import Answered, Call
from bot.ledger.tables import conversations, messages
from bot.ledger.tables import handoffs as handoffs_table
from bot.ledger.tables_outside import guests
from bot.ledger.transaction import Transaction
from bot.promises import Promise
from bot.vocabulary import Author, CallState, Change, Holder, Outcome, Reason, Status

BRINGING_LOCK = 0x6775657374  # any number nobody else uses on this database
NOT_TOLD = "the bot of this channel could not be told"


@dataclass(frozen=True)
class Line:
    """One thing said on the other channel: before the handoff by either side, or since then by the contact."""

    author: Author
    text: str
    at: datetime | None = None
    id: str = ""  # the other bot's; the same twice is one message


@dataclass(frozen=True)
class Brought:
    """What another bot brings."""

    channel: str
    own_id: str  # its own, of the conversation
    name: str
    reason: Reason
    wish: str
    slots: dict[str, Any] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    language: str = ""
    team: str = ""  # that is wanted, by its name


@dataclass(frozen=True)
class Visit:
    """One handoff of a guest, as the bot that brought them sees it."""

    id: int
    key: str
    conversation_id: int
    channel: str
    own_id: str
    account_id: int
    reason: Reason
    team_id: int
    agent: str  # who has it now
    place: int  # that was promised
    asked_at: datetime
    due_at: datetime | None
    broken_at: datetime | None
    taken_at: datetime | None
    closed_at: datetime | None
    outcome: Outcome | None


def bring(tx: Transaction, brought: Brought, *, account_id: int, client_key: str | None, now: datetime) -> int:
    """Put another bot's contact into the queue, with all that was said; return the handoff. Twice is as good as once.

    While a person is awaited, or is there, it only keeps what was said since. The key of the request that opened the
    newest handoff answers with that, even when it is closed by now.
    """
    guest = _guest(tx, brought, account_id, now)
    if client_key is not None and guest.client_key == client_key:
        return int(guest.handoff_id)
    row = outbox.lock_conversation(tx, guest.conversation_id)
    contacts.rename_guest(tx, row.contact_id, brought.name)
    _keep(tx, row, brought.lines, now)
    if row.holder is Holder.AGENT:
        return _open_one(tx, row.id)
    team_id = teams.named(tx, brought.team).id if brought.team else None
    asked = handoffs.hand_off(
        tx, row.key, reason=brought.reason, wish=brought.wish, slots=brought.slots, tell=None, now=now, team_id=team_id
    )
    if not asked.merged:
        newest = {"handoff_id": asked.handoff_id, "client_key": client_key, "language": brought.language}
        tx.execute(sa.update(guests).where(guests.c.conversation_id == row.id).values(newest))
    return asked.handoff_id


def _guest(tx: Transaction, brought: Brought, account_id: int, now: datetime) -> Any:
    """Find whom this bot brings, or write them down; one at a time, or two requests would make two of one."""
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(BRINGING_LOCK)))
    mine = (guests.c.account_id == account_id) & (guests.c.channel == brought.channel)
    find = sa.select(guests).where(mine, guests.c.own_id == brought.own_id)
    known = tx.execute(find).first()
    if known is not None:
        return known
    contact_id = contacts.make_guest(tx, brought.name, now)
    row = contacts.conversation_with(tx, f"{CHANNEL}{brought.channel}", contact_id, now)
    tx.execute(sa.update(conversations).where(conversations.c.id == row.id).values(window_ends=NEVER))
    new = {"account_id": account_id, "channel": brought.channel, "own_id": brought.own_id}
    tx.execute(sa.insert(guests).values(conversation_id=row.id, language=brought.language, **new))
    return tx.execute(find).one()


def hear(tx: Transaction, handoff_id: int, line: Line, now: datetime) -> int:
    """Keep what a guest writes while they wait for a person or have one; return its id. The same id twice is once."""
    visit = _row_of(tx, handoff_id)
    row = outbox.lock_conversation(tx, visit.conversation_id)
    known = _known(tx, row.id, _own_key(line, 0))
    if known is not None:
        if tx.execute(sa.select(messages.c.text).where(messages.c.id == known)).scalar_one() != line.text:
            raise KeyUsed("(this id came before; nothing was kept this time; use a new one)")
        return known
    if _row_of(tx, handoff_id).closed_at is not None:
        raise Closed
    return _keep(tx, row, [line], now)[0]


def cancel(tx: Transaction, handoff_id: int, now: datetime) -> None:
    """The guest would rather go on with their bot. Twice is as good as once; AlreadyTaken where a person has them."""
    visit = _row_of(tx, handoff_id)
    row = outbox.lock_conversation(tx, visit.conversation_id)
    if _row_of(tx, handoff_id).closed_at is None:
        handoffs.cancel(tx, row.key, words=None, now=now)


def _keep(tx: Transaction, row: Any, lines: Sequence[Line], now: datetime) -> list[int]:
    """Write down what was said, in its order, without what we have already."""
    ids, new = [], False
    before = _visits_before(tx, row.id)
    for n, line in enumerate(lines):
        own_key = _own_key(line, n, before)
        known = _known(tx, row.id, own_key)
        if known is None:
            known = _insert(tx, row.id, line, own_key, now)
            new = True
        ids.append(known)
    if new:
        tx.execute(sa.update(conversations).where(conversations.c.id == row.id).values(last_message_at=now))
        changes.note(tx, row.id, Change.MESSAGE, now)
    return ids


def _insert(tx: Transaction, conversation_id: int, line: Line, own_key: str, now: datetime) -> int:
    content = says.Text(line.text)
    result = tx.execute(
        sa.insert(messages).values(
            conversation_id=conversation_id,
            author=line.author,
            type=says.type_of(content),
            text=line.text,
            content=says.to_json(content),
            # What agents quote it by; nobody's wamid looks like that.
            wamid=f"{CHANNEL}{conversation_id}:{own_key}" if line.author is Author.CONTACT else None,
            at=min(line.at or now, now),
            arrived_at=now if line.author is Author.CONTACT else None,
            waiting=False,  # it is never our bot's to answer
            client_key=own_key,
        )
    )
    return int(result.inserted_primary_key[0])


def _known(tx: Transaction, conversation_id: int, own_key: str) -> int | None:
    mine = (messages.c.conversation_id == conversation_id) & (messages.c.client_key == own_key)
    found: int | None = tx.execute(sa.select(messages.c.id).where(mine)).scalar()
    return found


def _visits_before(tx: Transaction, conversation_id: int) -> int:
    """Return how often this guest was here and went: at the same place of another visit something else is said."""
    gone = (handoffs_table.c.conversation_id == conversation_id) & handoffs_table.c.closed_at.is_not(None)
    return int(tx.execute(sa.select(sa.func.count()).select_from(handoffs_table).where(gone)).scalar_one())


def _own_key(line: Line, n: int, visits_before: int = 0) -> str:
    """Name a line by the other bot's id of it; else by what was said when, or at which place of which visit."""
    place = line.at.isoformat() if line.at else f"{visits_before}.{n}" if visits_before else n
    told = line.id or f"{line.author.value} {place} {line.text}"
    return f"guest:{hashlib.sha256(told.encode()).hexdigest()}"


def _open_one(tx: Transaction, conversation_id: int) -> int:
    open_ = (handoffs_table.c.conversation_id == conversation_id) & handoffs_table.c.closed_at.is_(None)
    return int(tx.execute(sa.select(handoffs_table.c.id).where(open_)).scalar_one())


def _row_of(tx: Transaction, handoff_id: int) -> Any:
    row = tx.execute(sa.select(handoffs_table).where(handoffs_table.c.id == handoff_id)).first()
    if row is None:
        raise UnknownHandoff
    return row


def visit(tx: Transaction, handoff_id: int) -> Visit:
    """Return one handoff of a guest."""
    row = tx.execute(
        sa.select(handoffs_table, guests.c.channel, guests.c.own_id, guests.c.account_id)
        .add_columns(conversations.c.key, conversations.c.holder, conversations.c.agent_name)
        .join(guests, guests.c.conversation_id == handoffs_table.c.conversation_id)
        .join(conversations, conversations.c.id == handoffs_table.c.conversation_id)
        .where(handoffs_table.c.id == handoff_id)
    ).first()
    if row is None:
        raise UnknownHandoff
    held = row.holder is Holder.AGENT and row.closed_at is None
    return Visit(
        id=row.id,
        key=row.key,
        conversation_id=row.conversation_id,
        channel=row.channel,
        own_id=row.own_id,
        account_id=row.account_id,
        reason=row.reason,
        team_id=row.team_id,
        agent=row.agent_name if held else "",
        place=row.place,
        asked_at=row.asked_at,
        due_at=row.due_at,
        broken_at=row.broken_at,
        taken_at=row.taken_at,
        closed_at=row.closed_at,
        outcome=row.outcome,
    )


def own_id_of(tx: Transaction, conversation_id: int) -> str | None:
    """Return the other bot's id of a conversation; None if nobody brought it."""
    mine = guests.c.conversation_id == conversation_id
    found: str | None = tx.execute(sa.select(guests.c.own_id).where(mine)).scalar()
    return found


def promised(tx: Transaction, visit: Visit, now: datetime) -> tuple[Promise, Hours] | None:
    """Return what can be promised to a guest who waits as it stands now; None if they don't wait."""
    if visit.closed_at is not None or visit.taken_at is not None:
        return None
    made, team = promises.make(tx, now, team_id=visit.team_id, for_=visit.id)
    return made, team.hours


def hand_out(tx: Transaction, visit: Visit, ids: Sequence[int], after: int, now: datetime) -> None:
    """Keep that the bot was given these messages, and by asking for what came after one, that it has what was before.

    Only what a guest's bot has to carry has a status, and moves.
    """
    ours = (messages.c.conversation_id == visit.conversation_id) & messages.c.status.is_not(None)
    climbs = messages.c.status.in_((Status.QUEUED, Status.SENT, Status.FAILED))
    had = sa.select(messages.c.id).where(ours, climbs, messages.c.id <= after)
    for message_id in tx.execute(had.order_by(messages.c.id)).scalars().all():
        outbox.carry(tx, message_id, Status.DELIVERED, now)
    given = sa.select(messages.c.id).where(ours, messages.c.status == Status.QUEUED, messages.c.id.in_(ids))
    for message_id in tx.execute(given.order_by(messages.c.id)).scalars().all():
        outbox.carry(tx, message_id, Status.SENT, now)


def is_overtaken(tx: Transaction, call: Call, now: datetime) -> bool:
    """Say whether a call need not be made: a guest was to read words that a person has overtaken since."""
    if call.message_id is None or own_id_of(tx, call.conversation_id) is None:
        return False
    if not outbox.withdraw_if_overtaken(tx, call.message_id, now):
        return False
    hooks.drop(tx, call, "a person took over before it was sent")
    return True


def settle(tx: Transaction, call: Call, answered: Answered, now: datetime) -> None:
    """Write down what became of a call, and of the message to a guest it was about."""
    state = hooks.settle(tx, call, answered, now)
    if state is None:
        return
    _follow(tx, call, state, answered.words, now)
    why = hooks.gives_up(tx, call.hook_id, answered, now) if not answered.took_it else ""
    if why:
        switch_off(tx, call.hook_id, why, now)
        hooks.ring(tx, call.hook_id, why, now)


def switch_off(tx: Transaction, hook_id: int, why: str, now: datetime) -> None:
    """Tell a hook no more. Messages to guests that no other hook tells of have failed, and say so at the desk."""
    for message_id in hooks.disable(tx, hook_id, why, now):
        _fail(tx, message_id, hooks.SWITCHED_OFF, now)


def _follow(tx: Transaction, call: Call, state: CallState, words: str, now: datetime) -> None:
    if call.message_id is None or own_id_of(tx, call.conversation_id) is None:
        return
    if state is CallState.DELIVERED:
        outbox.carry(tx, call.message_id, Status.DELIVERED, now)
    elif state is CallState.FAILED:
        _fail(tx, call.message_id, words, now)


def _fail(tx: Transaction, message_id: int, words: str, now: datetime) -> None:
    """Let a message to a guest fail, unless another hook has told of it or still may."""
    conversation_id = tx.execute(sa.select(messages.c.conversation_id).where(messages.c.id == message_id)).scalar_one()
    if own_id_of(tx, conversation_id) is None or hooks.others_for(tx, message_id) - {CallState.FAILED}:
        return
    if tx.execute(sa.select(messages.c.status).where(messages.c.id == message_id)).scalar() is not Status.QUEUED:
        return  # the bot has asked for it itself
    outbox.carry(tx, message_id, Status.FAILED, now, error=f"{NOT_TOLD}: {words}")
