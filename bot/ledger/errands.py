"""What Meta is asked for beside messages: blue ticks, blocking, the list of templates. Done by the sender.

The only writer of errands and templates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.ledger import changes, contacts, handoffs
from bot.ledger.tables import contacts as contacts_table
from bot.ledger.tables import conversations, errands, templates
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.messages import MessageTemplate
from bot.vocabulary import Change, Errand

LEASE = timedelta(seconds=30)
SEEN_WITHIN = timedelta(seconds=15)  # blue ticks that come later tell nothing
TRIES = 6
PAUSE = timedelta(seconds=20)
TEMPLATES_EVERY = timedelta(minutes=15)


@dataclass(frozen=True)
class Asked:
    """One errand, with whom it is about."""

    id: int
    kind: Errand
    phone_number_id: str
    contact_id: int | None
    phone: str | None
    bsuid: str | None
    wamid: str
    typing: bool
    attempts: int
    asked_at: datetime


def ask(
    tx: Transaction,
    kind: Errand,
    subject: str,
    *,
    now: datetime,
    phone_number_id: str = "",
    contact_id: int | None = None,
    wamid: str = "",
    typing: bool = False,
) -> None:
    """Have something asked of Meta; about the same subject the newest request counts."""
    columns: dict[str, Any] = {
        "phone_number_id": phone_number_id,
        "contact_id": contact_id,
        "wamid": wamid,
        "typing": typing,
        "attempts": 0,
        "not_before": now,
        "asked_at": now,
        "error": "",
    }
    if insert_new(tx, errands, kind=kind, subject=subject[:80], **columns) is None:
        mine = (errands.c.kind == kind) & (errands.c.subject == subject[:80])
        tx.execute(sa.update(errands).where(mine).values(columns))


def show_seen(
    tx: Transaction, conversation_id: int, wamid: str, phone_number_id: str, *, typing: bool, now: datetime
) -> None:
    """Turn the contact's ticks blue, and perhaps show that an answer is being written."""
    subject = str(conversation_id)
    ask(tx, Errand.SEEN, subject, phone_number_id=phone_number_id, wamid=wamid, typing=typing, now=now)


def ask_to_block(tx: Transaction, key: str, *, block: bool, now: datetime) -> None:
    """Have Meta block or unblock a contact for the number this conversation is with. The later request wins."""
    row = handoffs.locked(tx, key)
    kind, other = (Errand.BLOCK, Errand.UNBLOCK) if block else (Errand.UNBLOCK, Errand.BLOCK)
    subject = str(row.id)
    tx.execute(sa.delete(errands).where(errands.c.kind == other, errands.c.subject == subject))
    ask(tx, kind, subject, phone_number_id=row.phone_number_id, contact_id=row.contact_id, now=now)


def is_due(tx: Transaction, now: datetime) -> bool:
    """Say whether there is anything to do."""
    return tx.execute(sa.select(errands.c.id).where(errands.c.not_before <= now).limit(1)).first() is not None


def claim(tx: Transaction, now: datetime, limit: int = 8) -> list[Asked]:
    """Take what is due; blue ticks that come too late are dropped."""
    stale = (errands.c.kind == Errand.SEEN) & (errands.c.asked_at < now - SEEN_WITHIN)
    tx.execute(sa.delete(errands).where(stale))
    rows = tx.execute(
        sa.select(errands, contacts_table.c.phone, contacts_table.c.bsuid)
        .outerjoin(contacts_table, contacts_table.c.id == errands.c.contact_id)
        .where(errands.c.not_before <= now)
        .order_by(errands.c.not_before)
        .limit(limit)
        .with_for_update(of=errands, skip_locked=True)
    ).all()
    for row in rows:
        step = {"not_before": now + LEASE, "attempts": row.attempts + 1}
        tx.execute(sa.update(errands).where(errands.c.id == row.id).values(step))
    return [
        Asked(
            id=row.id,
            kind=row.kind,
            phone_number_id=row.phone_number_id,
            contact_id=row.contact_id,
            phone=row.phone,
            bsuid=row.bsuid,
            wamid=row.wamid,
            typing=row.typing,
            attempts=row.attempts + 1,
            asked_at=row.asked_at,
        )
        for row in rows
    ]


def done(tx: Transaction, asked: Asked, now: datetime) -> None:
    """Forget an errand that is done, and keep what it brought about. The templates are read again and again."""
    same = (errands.c.id == asked.id) & (errands.c.asked_at == asked.asked_at)  # not one asked for anew meanwhile
    if asked.kind is Errand.TEMPLATES:
        again = {"not_before": now + TEMPLATES_EVERY, "attempts": 0, "error": ""}
        tx.execute(sa.update(errands).where(same).values(again))
        return
    # In the order in which contacts are merged: conversations, errands, contacts. Then neither waits for the other.
    blocks = asked.kind in {Errand.BLOCK, Errand.UNBLOCK}
    if blocks and asked.contact_id is not None:
        _note(tx, asked.contact_id, now)
    mine = sa.select(errands.c.contact_id).where(errands.c.id == asked.id).with_for_update()
    contact_id = tx.execute(mine).scalar() or asked.contact_id  # who it is about by now
    tx.execute(sa.delete(errands).where(same))
    if blocks and contact_id is not None:
        contacts.mark_blocked(tx, contact_id, now if asked.kind is Errand.BLOCK else None)


def failed(tx: Transaction, asked: Asked, why: str, now: datetime, *, for_good: bool) -> bool:
    """Try an errand again later, or give it up; say whether it was given up."""
    mine = (errands.c.id == asked.id) & (errands.c.asked_at == asked.asked_at)
    given_up = for_good or asked.attempts >= TRIES
    if asked.kind is Errand.SEEN or (given_up and asked.kind is not Errand.TEMPLATES):
        tx.execute(sa.delete(errands).where(mine))
        return True
    pause = TEMPLATES_EVERY if given_up else PAUSE * asked.attempts
    tx.execute(sa.update(errands).where(mine).values(not_before=now + pause, error=why[:300]))
    return given_up


def keep_reading_templates(tx: Transaction, now: datetime) -> None:
    """Have the list of templates read now and then, if nobody saw to that yet."""
    asked = {"kind": Errand.TEMPLATES, "subject": "all", "asked_at": now, "not_before": now}
    insert_new(tx, errands, **asked)


def keep_templates(tx: Transaction, found: list[MessageTemplate], now: datetime) -> None:
    """Replace the list of templates by what the account has now."""
    tx.execute(sa.delete(templates))
    rows = {(one.name, one.language): one for one in found}.values()
    if rows:
        tx.execute(
            sa.insert(templates),
            [
                {
                    "name": one.name,
                    "language": one.language,
                    "category": one.category,
                    "status": one.status,
                    "components": list(one.components),
                    "read_at": now,
                }
                for one in rows
            ],
        )


def list_of_templates(tx: Transaction) -> list[MessageTemplate]:
    """Return the account's templates, those that may be sent first."""
    rows = tx.execute(sa.select(templates).order_by(templates.c.name, templates.c.language)).all()
    found = [MessageTemplate(row.name, row.language, row.category, row.status, tuple(row.components)) for row in rows]
    return sorted(found, key=lambda one: not one.approved)


def _note(tx: Transaction, contact_id: int, now: datetime) -> None:
    theirs = sa.select(conversations.c.id).where(conversations.c.contact_id == contact_id)
    for conversation_id in tx.execute(theirs).scalars().all():
        changes.note(tx, conversation_id, Change.MOVE, now)
