"""What agents do with a conversation: take, reply, note, requeue, give_back. One verb, one transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import sqlalchemy as sa

from bot.conversation import window_is_open
from bot.errors import BotError, TooLong, WindowClosed
from bot.ledger import changes, handoffs, outbox, transcript
from bot.ledger.tables import messages
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.messages import Outbound, Text, can_be_kept
from bot.vocabulary import Author, Change
from handoff.roles import Account, Deed
from handoff.tables import notes

NOTE_MAX = 4096


class KeyUsed(BotError):
    """This Idempotency-Key was used for another text."""


@dataclass(frozen=True)
class Note:
    """What agents tell each other."""

    id: int
    after_message_id: int
    name: str
    text: str
    at: datetime


@dataclass(frozen=True)
class Written:
    """What a reply or a note became; the same for the same key."""

    id: int
    text: str
    at: datetime


def take(tx: Transaction, key: str, account: Account, now: datetime) -> bool:
    """Give the conversation to this agent and mute the bot; say whether that changed anything."""
    account.require(Deed.SPEAK)
    return handoffs.take(tx, key, agent_id=account.id, agent_name=account.name, now=now)


def requeue(tx: Transaction, key: str, account: Account, now: datetime) -> None:
    """Put it back into the queue, for a colleague."""
    account.require(Deed.SPEAK)
    handoffs.requeue(tx, key, agent_id=account.id, now=now)


def give_back(tx: Transaction, key: str, account: Account, words: Outbound | None, now: datetime) -> None:
    """Return it to the bot, with `words` as the desk's last ones to the contact while they may be sent."""
    account.require(Deed.SPEAK)
    row = handoffs.require_held_by(tx, key, account.id)
    may_speak = window_is_open(row.window_ends, now)
    handoffs.give_back(tx, key, agent_id=account.id, words=words if may_speak else None, now=now)


def reply(tx: Transaction, key: str, account: Account, text: str, *, client_key: str | None, now: datetime) -> Written:
    """Queue an agent's words to the contact. The same client key again only answers the same."""
    account.require(Deed.SPEAK)
    content = Text(text)
    conversation_id = transcript.conversation(tx, key).id
    own_key = _own(client_key, account)
    known = _replied(tx, conversation_id, own_key, text)
    if known is not None:
        return known
    row = handoffs.require_held_by(tx, key, account.id)
    known = _replied(tx, conversation_id, own_key, text)  # again, now that nobody else can be writing it
    if known is not None:
        return known
    if not window_is_open(row.window_ends, now):
        raise WindowClosed
    message_id = outbox.queue(
        tx,
        row.id,
        content,
        author=Author.AGENT,
        agent_id=account.id,
        agent_name=account.name,
        client_key=own_key,
        now=now,
    )
    return Written(cast("int", message_id), text, now)  # words bound to no epoch are never refused


def note(tx: Transaction, key: str, account: Account, text: str, *, client_key: str | None, now: datetime) -> Written:
    """Write something down for agents' eyes only."""
    account.require(Deed.NOTE)
    if not text.strip():
        raise TooLong("(a note needs words)")
    if len(text) > NOTE_MAX:
        raise TooLong(f"(a note has at most {NOTE_MAX} characters)")
    if not can_be_kept(text):
        raise TooLong("(it holds a character that can't be kept)")
    conversation_id = transcript.conversation(tx, key).id
    newest = sa.select(sa.func.max(messages.c.id)).where(messages.c.conversation_id == conversation_id)
    own_key = _own(client_key, account)
    note_id = insert_new(
        tx,
        notes,
        conversation_id=conversation_id,
        after_message_id=tx.execute(newest).scalar() or 0,
        account_id=account.id,
        name=account.name,
        text=text,
        client_key=own_key,
        at=now,
    )
    if note_id is not None:
        changes.note(tx, conversation_id, Change.NOTE, now)
        return Written(note_id, text, now)
    row = tx.execute(
        sa.select(notes).where(notes.c.conversation_id == conversation_id, notes.c.client_key == own_key)
    ).one()
    return _same(Written(row.id, row.text, row.at), text)


def notes_of(tx: Transaction, conversation_id: int) -> list[Note]:
    """Return the notes of a conversation, oldest first."""
    rows = tx.execute(sa.select(notes).where(notes.c.conversation_id == conversation_id).order_by(notes.c.id))
    return [Note(row.id, row.after_message_id, row.name, row.text, row.at) for row in rows]


def _replied(tx: Transaction, conversation_id: int, own_key: str | None, text: str) -> Written | None:
    if own_key is None:
        return None
    row = tx.execute(
        sa.select(messages.c.id, messages.c.text, messages.c.at).where(
            messages.c.conversation_id == conversation_id, messages.c.client_key == own_key
        )
    ).first()
    return None if row is None else _same(Written(row.id, row.text, row.at), text)


def _same(written: Written, text: str) -> Written:
    if written.text != text:
        raise KeyUsed("(nothing was sent this time; use a new key)")
    return written


def _own(client_key: str | None, account: Account) -> str | None:
    """Two agents may think of the same key; theirs are two. Long ones are hashed to fit the column."""
    if client_key is None:
        return None
    own = f"{account.id}:{client_key}"
    return own if len(own) <= 80 else f"{account.id}:{hashlib.sha256(client_key.encode()).hexdigest()}"
