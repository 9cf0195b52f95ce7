"""What agents know of a contact beside what was said: named fields and one note. The only writer of both tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot.errors import BotError
from bot.ledger import changes, transcript
from bot.ledger.tables import contacts, conversations
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation
from bot.ledger.upsert import insert_new
from bot.messages import can_be_kept
from bot.vocabulary import Change
from handoff.roles import Account, Deed
from handoff.tables_desk import contact_fields, contact_notes

NAME_MAX = 40
VALUE_MAX = 400
NOTE_MAX = 2000
MOST = 30  # fields of one contact


class BadField(BotError):
    """This can't be kept about a contact."""


@dataclass(frozen=True)
class Field:
    """One thing agents know of a contact."""

    name: str
    value: str


@dataclass(frozen=True)
class Profile:
    """What agents know of a contact."""

    since: datetime
    fields: tuple[Field, ...]
    note: str
    note_by: str
    note_at: datetime | None


def of(tx: Transaction, one: Conversation, merged: Collection[int] = ()) -> Profile:
    """Return what agents know of the contact of a conversation, and of whoever turned out to be the same person.

    `merged`: what `transcript.merged_into` says of it, where that is known already.
    """
    ids = {one.contact.id} if len(merged) == 1 else _contacts(tx, one)
    since = tx.execute(sa.select(sa.func.min(contacts.c.created_at)).where(contacts.c.id.in_(ids))).scalar_one()
    rows = tx.execute(
        sa.select(contact_fields).where(contact_fields.c.contact_id.in_(ids)).order_by(contact_fields.c.at)
    )
    fields = {row.name: row.value for row in rows}  # the newest of each name
    noted = sa.select(contact_notes).where(contact_notes.c.contact_id.in_(ids)).order_by(contact_notes.c.at)
    notes = tx.execute(noted).all()
    return Profile(
        since=since,
        fields=tuple(Field(name, value) for name, value in sorted(fields.items())),
        note="\n\n".join(row.text for row in notes),
        note_by=notes[-1].name if notes else "",
        note_at=notes[-1].at if notes else None,
    )


def keep_field(tx: Transaction, key: str, account: Account, name: str, value: str, *, now: datetime) -> None:
    """Keep something about a contact under a name; what was kept under it goes. An empty value forgets it."""
    account.require(Deed.NOTE)
    one = transcript.conversation(tx, key)
    name, value = " ".join(name.split()), value.strip()
    if not name or len(name) > NAME_MAX or len(value) > VALUE_MAX or not can_be_kept(name + value):
        raise BadField(f"(a name of at most {NAME_MAX} characters, and at most {VALUE_MAX} of what it is)")
    known = [field.name for field in of(tx, one).fields]
    name = next((other for other in known if other.lower() == name.lower()), name)  # Shoe size is shoe size
    if value and name not in known and len(known) >= MOST:
        raise BadField(f"(there are {MOST} already; forget one first)")
    ids = _contacts(tx, one)
    if value:
        _put(
            tx, contact_fields, {"contact_id": one.contact.id, "name": name}, value=value, account_id=account.id, at=now
        )
        ids -= {one.contact.id}
    tx.execute(sa.delete(contact_fields).where(contact_fields.c.contact_id.in_(ids), contact_fields.c.name == name))
    changes.note(tx, one.id, Change.NOTE, now)


def keep_note(tx: Transaction, key: str, account: Account, text: str, now: datetime) -> None:
    """Keep one text about a contact, for agents' eyes only; an empty one forgets it."""
    account.require(Deed.NOTE)
    one, text = transcript.conversation(tx, key), text.strip()
    if len(text) > NOTE_MAX or not can_be_kept(text):
        raise BadField(f"(a note on a contact has at most {NOTE_MAX} characters)")
    ids = _contacts(tx, one)
    if text:
        who = {"account_id": account.id, "name": account.name}
        _put(tx, contact_notes, {"contact_id": one.contact.id}, text=text, at=now, **who)
        ids -= {one.contact.id}
    tx.execute(sa.delete(contact_notes).where(contact_notes.c.contact_id.in_(ids)))
    changes.note(tx, one.id, Change.NOTE, now)


def _contacts(tx: Transaction, one: Conversation) -> set[int]:
    """Return the contact's id, and the ids of whoever turned out to be the same person."""
    same = sa.select(conversations.c.contact_id).where(conversations.c.id.in_(transcript.merged_into(tx, one.id)))
    return {one.contact.id, *tx.execute(same).scalars()}


def _put(tx: Transaction, table: sa.Table, key: dict[str, Any], **values: Any) -> None:
    """Write a row, whether it is there or not; of two at once the later one stays."""
    here = sa.and_(*(table.c[name] == value for name, value in key.items()))
    change = sa.update(table).where(here).values(values)
    if tx.execute(change).rowcount == 0 and insert_new(tx, table, **key, **values) is None:
        tx.execute(change)
