"""Who we speak with: found by any id they were ever known by, renumbered, merged. The only writer of contacts.

Since 2026 a contact may come without a phone number (then there is a BSUID, an id that is theirs with our business),
with both, and may change either. One person stays one contact; a number that went to somebody else does not take the
old owner's conversation along. Callers hold the recording lock (see inbox.record), so no two of them cross.
"""

from __future__ import annotations

import logging
import secrets
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot.ledger import changes, outbox
from bot.ledger.tables import UNSENT, contacts, conversations, errands, handoffs, identities, messages, turns
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.updates import ContactRef, Renumbered
from bot.vocabulary import Author, Change, Holder, TurnState

log = logging.getLogger(__name__)

NAME_MAX = 200
USERNAME_MAX = 100
HUMAN = [Holder.BOT, Holder.QUEUE, Holder.AGENT]  # the further right, the more a person has to do with it

# Made once, since building a statement costs more than running it, and these run for every message.
MAKE = sa.insert(contacts)
IDENTIFY = sa.insert(identities)
KNOWN_AS = (
    sa.select(contacts, identities.c.value)
    .join(identities, identities.c.contact_id == contacts.c.id)
    .where(identities.c.value.in_(sa.bindparam("values", expanding=True)))
)
CONVERSATION = (
    sa.select(conversations)
    .where(
        conversations.c.phone_number_id == sa.bindparam("phone_number_id"),
        conversations.c.contact_id == sa.bindparam("contact_id"),
    )
    .with_for_update(key_share=True)
)


def find_or_make(tx: Transaction, ref: ContactRef, now: datetime) -> int:
    """Return the contact's id, learning whatever the delivery tells that we did not know."""
    by_bsuid, by_phone = _known(tx, ref.bsuid, ref.phone)
    row = by_bsuid or by_phone
    if row is None:
        return _make(tx, ref, now)
    if by_bsuid is not None and by_phone is not None and by_bsuid.id != by_phone.id and by_phone.bsuid is None:
        # We knew them once by their number and once by their id; only now both came together.
        row = _merge(tx, by_bsuid, by_phone, now)
    elif by_bsuid is None and by_phone is not None and ref.bsuid and by_phone.bsuid:
        # Another person's id with a number we know: the number has a new owner.
        mine = contacts.c.id == by_phone.id
        tx.execute(sa.update(contacts).where(mine, contacts.c.phone == ref.phone).values(phone=None))
        tx.execute(sa.delete(identities).where(identities.c.value == ref.phone))
        return _make(tx, ref, now)
    _learn(tx, row, ref, now)
    return int(row.id)


def _make(tx: Transaction, ref: ContactRef, now: datetime) -> int:
    """Write down a contact neither of whose ids anybody has."""
    columns = {
        "phone": ref.phone,
        "bsuid": ref.bsuid,
        "name": ref.name[:NAME_MAX],
        "username": ref.username[:USERNAME_MAX],
        "created_at": now,
    }
    contact_id = int(tx.execute(MAKE, columns).inserted_primary_key[0])
    known_as = [{"value": value, "contact_id": contact_id, "since": now} for value in (ref.bsuid, ref.phone) if value]
    tx.execute(IDENTIFY, known_as)
    return contact_id


def find(tx: Transaction, ref: ContactRef) -> int | None:
    """Return the contact's id if we know them."""
    by_bsuid, by_phone = _known(tx, ref.bsuid, ref.phone)
    row = by_bsuid or by_phone
    return None if row is None else int(row.id)


def renumber(tx: Transaction, update: Renumbered, now: datetime) -> int | None:
    """Carry a contact over to the number or id they have now; None if we never met them.

    What they proved about themselves does not come along: the next turn starts clean.
    """
    new = _one_person(tx, update.new, now)
    old = _one_person(tx, update.old, now)
    if new is not None:
        new = _one_person(tx, update.new, now)  # as it is now: making one person of two may have moved it
    row = old if old is not None else new
    if row is None:
        return None
    if old is not None and new is not None and old.id != new.id:  # they wrote before the news of the change came
        row = _merge(tx, old, new, now)
    _learn(tx, row, update.new, now)
    if update.new.phone is None and update.old.phone is not None and update.new.bsuid:
        # Their number is hidden now, and the one we had is no longer theirs.
        tx.execute(sa.update(contacts).where(contacts.c.id == row.id).values(phone=None))
    start_clean(tx, row.id, now)
    return int(row.id)


def _one_person(tx: Transaction, ref: ContactRef, now: datetime) -> Any:
    """Return whom these ids name; if we knew them once by their number and once by their id, made one."""
    by_bsuid, by_phone = _known(tx, ref.bsuid, ref.phone)
    if by_bsuid is not None and by_phone is not None and by_bsuid.id != by_phone.id and by_phone.bsuid is None:
        return _merge(tx, by_bsuid, by_phone, now)
    return by_bsuid or by_phone


def start_clean(tx: Transaction, contact_id: int, now: datetime) -> None:
    """Let the bot forget what was proven: somebody else may hold that phone now."""
    mine = conversations.c.contact_id == contact_id
    tx.execute(sa.update(conversations).where(mine).values(starts_clean=True))
    for conversation_id in tx.execute(sa.select(conversations.c.id).where(mine)).scalars():
        changes.note(tx, conversation_id, Change.MOVE, now)


def prefer(tx: Transaction, contact_id: int, *, marketing: bool, now: datetime) -> None:
    """Keep that a contact stopped marketing messages, or wants them again."""
    stopped = None if marketing else now
    tx.execute(sa.update(contacts).where(contacts.c.id == contact_id).values(marketing_stopped_at=stopped))


def mark_blocked(tx: Transaction, contact_id: int, blocked_at: datetime | None) -> None:
    """Keep that Meta has blocked a contact for us, or no longer does."""
    tx.execute(sa.update(contacts).where(contacts.c.id == contact_id).values(blocked_at=blocked_at))


def conversation_with(tx: Transaction, phone_number_id: str, contact_id: int, now: datetime) -> Any:
    """Find the conversation of one of our numbers and one contact, or begin it; its row, locked."""
    which = {"phone_number_id": phone_number_id, "contact_id": contact_id}
    row = tx.execute(CONVERSATION, which).first()
    if row is None:
        insert_new(
            tx,
            conversations,
            key=secrets.token_hex(12),
            phone_number_id=phone_number_id,
            contact_id=contact_id,
            holder=Holder.BOT,
            epoch=1,
            muted_at=0,
            last_message_at=now,
            created_at=now,
        )
        row = tx.execute(CONVERSATION, which).one()
    return row


def _known(tx: Transaction, bsuid: str | None, phone: str | None) -> tuple[Any, Any]:
    """Return the contacts known by this id and by this number; mostly one and the same."""
    rows = {row.value: row for row in tx.execute(KNOWN_AS, {"values": [one for one in (bsuid, phone) if one]})}
    return rows.get(bsuid), rows.get(phone)


def _contact(tx: Transaction, contact_id: int) -> Any:
    return tx.execute(sa.select(contacts).where(contacts.c.id == contact_id)).one()


def _learn(tx: Transaction, row: Any, ref: ContactRef, now: datetime) -> None:
    """Keep today's name and ids; an id that was another contact's is theirs no longer."""
    news: dict[str, Any] = {}
    for column, value in (("name", ref.name[:NAME_MAX]), ("username", ref.username[:USERNAME_MAX])):
        if value and getattr(row, column) != value:
            news[column] = value
    for column, known_as in (("phone", ref.phone), ("bsuid", ref.bsuid)):
        if known_as and getattr(row, column) != known_as:
            theirs = (contacts.c[column] == known_as) & (contacts.c.id != row.id)
            tx.execute(sa.update(contacts).where(theirs).values({column: None}))
            if insert_new(tx, identities, value=known_as, contact_id=row.id, since=now) is None:
                mine = identities.c.value == known_as
                tx.execute(sa.update(identities).where(mine).values(contact_id=row.id, since=now))
            news[column] = known_as
    if news:
        tx.execute(sa.update(contacts).where(contacts.c.id == row.id).values(news))


def _merge(tx: Transaction, one: Any, another: Any, now: datetime) -> Any:
    """Make one contact of two that turned out to be one person; return the one that stays, the older."""
    kept, other = sorted((one, another), key=lambda found: int(found.id))
    found = sa.select(conversations.c.id, conversations.c.phone_number_id)
    theirs = {row.phone_number_id: row.id for row in tx.execute(found.where(conversations.c.contact_id == kept.id))}
    for row in tx.execute(found.where(conversations.c.contact_id == other.id)).all():
        if row.phone_number_id in theirs:
            _merge_conversations(tx, theirs[row.phone_number_id], row.id, now)
        else:
            tx.execute(sa.update(conversations).where(conversations.c.id == row.id).values(contact_id=kept.id))
    for table in (identities, errands):
        tx.execute(sa.update(table).where(table.c.contact_id == other.id).values(contact_id=kept.id))
    tx.execute(sa.update(contacts).where(contacts.c.id == other.id).values(phone=None, bsuid=None))
    stays = {
        "phone": other.phone or kept.phone,
        "bsuid": other.bsuid or kept.bsuid,
        "marketing_stopped_at": kept.marketing_stopped_at or other.marketing_stopped_at,
        "blocked_at": kept.blocked_at or other.blocked_at,
    }
    tx.execute(sa.update(contacts).where(contacts.c.id == kept.id).values(stays))
    log.info("two contacts turned out to be one person", extra={"action": "contacts_merged", "contact": kept.id})
    return _contact(tx, kept.id)


def _merge_conversations(tx: Transaction, kept_id: int, other_id: int, now: datetime) -> None:
    """Move everything said in one conversation into the other; whoever is nearer to a person keeps holding it."""
    for conversation_id in sorted((kept_id, other_id)):
        outbox.lock_conversation(tx, conversation_id)
    kept = tx.execute(sa.select(conversations).where(conversations.c.id == kept_id)).one()
    other = tx.execute(sa.select(conversations).where(conversations.c.id == other_id)).one()
    nearer = max((kept, other), key=lambda row: HUMAN.index(row.holder))
    # A turn at work there is lost: what it heard waits again, here, unless a person has it.
    running = (turns.c.conversation_id == other_id) & (turns.c.state == TurnState.RUNNING)
    lost = tx.execute(sa.select(turns.c.id).where(running)).scalars().all()
    heard = messages.c.turn_id.in_(lost) & (messages.c.author == Author.CONTACT)
    tx.execute(sa.update(messages).where(heard).values(turn_id=None))
    tx.execute(sa.update(turns).where(running).values(state=TurnState.MUTED, ended_at=now))
    open_ = handoffs.c.closed_at.is_(None)
    fewer = other_id if nearer is kept else kept_id  # of two open handoffs the nearer one's stays
    if nearer.holder is not Holder.BOT:
        tx.execute(sa.update(handoffs).where(handoffs.c.conversation_id == fewer, open_).values(closed_at=now))
    unsent = sa.select(messages.c.id).where(messages.c.conversation_id == other_id, UNSENT)
    moved = tx.execute(unsent).scalars().all()
    # Keys count within a conversation: two agents, or one, may have used the same one in both.
    tx.execute(sa.update(messages).where(messages.c.conversation_id == other_id).values(client_key=None))
    for table in (messages, turns, handoffs):
        tx.execute(sa.update(table).where(table.c.conversation_id == other_id).values(conversation_id=kept_id))
    if nearer.holder is Holder.AGENT:
        waits = (messages.c.conversation_id == kept_id) & messages.c.waiting
        tx.execute(sa.update(messages).where(waits).values(waiting=False))
    epoch = max(kept.epoch, other.epoch) + 1
    overtaken_at = epoch if nearer.holder is Holder.AGENT else other.muted_at  # who has it now has overtaken all of it
    outbox.bring_under(tx, kept_id, moved, muted_at=overtaken_at, epoch=epoch, now=now)
    later = max((kept, other), key=lambda row: row.awaits_until or row.created_at)
    tx.execute(
        sa.update(conversations)
        .where(conversations.c.id == kept_id)
        .values(
            holder=nearer.holder,
            agent_id=nearer.agent_id,
            agent_name=nearer.agent_name,
            phone_until=nearer.phone_until,
            epoch=epoch,
            muted_at=epoch if nearer.holder is Holder.AGENT else kept.muted_at,
            window_ends=max(filter(None, (kept.window_ends, other.window_ends)), default=None),
            paced_until=max(filter(None, (kept.paced_until, other.paced_until)), default=None),
            awaits_id=later.awaits_id,
            awaits_until=later.awaits_until,
            undelivered_id=kept.undelivered_id or other.undelivered_id,
            last_message_at=max(kept.last_message_at, other.last_message_at),
            starts_clean=True,
        )
    )
    gone = {"merged_into": kept_id, "holder": Holder.BOT, "agent_id": None, "agent_name": "", "epoch": epoch}
    gone |= {"muted_at": epoch, "undelivered_id": None, "awaits_id": None, "awaits_until": None, "lease_until": None}
    tx.execute(sa.update(conversations).where(conversations.c.id == other_id).values(gone))
    for conversation_id in (kept_id, other_id):
        changes.note(tx, conversation_id, Change.MOVE, now)
