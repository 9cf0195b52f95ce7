"""Who we speak with: found by any id they were ever known by, renumbered, merged. The only writer of contacts.

Since 2026 a contact may come without a phone number (then there is a BSUID, an id that is theirs with our business),
with both, and may change either. One person stays one contact; a number that went to somebody else does not take the
old owner's conversation along. Callers hold the recording lock (see inbox.record), so no two of them cross.

What we hear counts as of when it was said, by Meta's clock, however late it comes. `identities.since` is since when a
number is as it is: theirs, if the contact is reached by it, and given up otherwise. Who had it before its owner of
today is kept beside it (see _before).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot.ledger import changes, hooks, outbox, promises, snoozes
from bot.ledger import handoffs as holding
from bot.ledger.tables import contacts, conversations, errands, handoffs, identities, messages, turns
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new, take_ids
from bot.updates import ContactRef, Renumbered
from bot.vocabulary import Author, Change, Happening, Holder, TurnState

log = logging.getLogger(__name__)

NAME_MAX = 200
USERNAME_MAX = 100

# Made once, since building a statement costs more than running it, and these run for every message.
MAKE = sa.insert(contacts)
IDENTIFY = sa.insert(identities)
KNOWN_AS = (
    sa.select(contacts, identities.c.value, identities.c.since)
    .join(identities, identities.c.contact_id == contacts.c.id)
    .where(identities.c.value.in_(sa.bindparam("values", expanding=True)))
)
BEGIN = sa.insert(conversations)
CONVERSATIONS = (
    sa.select(conversations)
    .where(conversations.c.contact_id.in_(sa.bindparam("contact_ids", expanding=True)))
    .order_by(conversations.c.id)
    .with_for_update(key_share=True)
)


def find_or_make(tx: Transaction, ref: ContactRef, now: datetime, since: datetime | None = None) -> int:
    """Return the contact's id, learning whatever the delivery tells that we did not know.

    `since` is the moment for which it tells it; Meta may bring it later.
    """
    since = since or now
    row = _one_person(tx, ref, since, now)
    if row is None:
        return _make_all(tx, [_what_is_theirs(tx, ref, since)], [since], now)[0]
    _learn(tx, row, ref, since)
    return int(row.id)


def find_or_make_all(
    tx: Transaction, refs: Sequence[ContactRef], since: Sequence[datetime], now: datetime
) -> list[int] | None:
    """Do the same for many in a few statements, as long as each is known just as they come, or wholly new.

    None if there is anything more to one of them: then nothing was done, and they are to be taken one by one.
    """
    ids = sorted({one for ref in refs for one in (ref.bsuid, ref.phone) if one})
    rows = {row.value: row for row in tx.execute(KNOWN_AS, {"values": ids})}
    new: dict[ContactRef, datetime] = {}
    claims: dict[str, ContactRef] = {}  # which of the new ones has this id
    for ref, moment in zip(refs, since, strict=True):
        mine = [one for one in (ref.bsuid, ref.phone) if one]
        found = {rows[one].id: rows[one] for one in mine if one in rows}
        if len(found) > 1 or (found and _news(next(iter(found.values())), ref)):
            return None
        if ref.bsuid not in rows and ref.phone in rows and rows[ref.phone].since > moment:
            return None  # the number may have been somebody else's then
        if not found:
            claimed = [claims[one] for one in mine if one in claims]
            if any(one != ref for one in claimed):
                return None
            if not claimed:
                new[ref] = moment
                claims |= dict.fromkeys(mine, ref)
    made = dict(zip(new, _make_all(tx, list(new), list(new.values()), now), strict=True))
    known = {one: int(row.id) for one, row in rows.items()}
    known |= {one: made[ref] for one, ref in claims.items()}
    return [known[ref.bsuid or ref.phone or ""] for ref in refs]


def _make_all(tx: Transaction, refs: Sequence[ContactRef], since: Sequence[datetime], now: datetime) -> list[int]:
    """Write down contacts none of whose ids anybody has."""
    if not refs:
        return []
    ids = take_ids(tx, contacts, len(refs))
    rows = [
        {
            "id": contact_id,
            "phone": ref.phone,
            "bsuid": ref.bsuid,
            "name": ref.name[:NAME_MAX],
            "username": ref.username[:USERNAME_MAX],
            "created_at": now,
        }
        for contact_id, ref in zip(ids, refs, strict=True)
    ]
    tx.execute(MAKE, rows)
    known_as: list[dict[str, Any]] = [
        {"value": value, "contact_id": contact_id, "since": moment}
        for contact_id, ref, moment in zip(ids, refs, since, strict=True)
        for value in (ref.bsuid, ref.phone)
        if value
    ]
    if known_as:
        tx.execute(IDENTIFY, known_as)
    return ids


def make_guest(tx: Transaction, name: str, now: datetime) -> int:
    """Write down whom another bot brings: nobody we could reach by ourselves, so no two of them are ever merged."""
    return _make_all(tx, [ContactRef(phone=None, bsuid=None, name=name)], [now], now)[0]


def rename_guest(tx: Transaction, contact_id: int, name: str) -> None:
    """Keep today's name of whom another bot brings."""
    mine = (contacts.c.id == contact_id) & (contacts.c.name != name[:NAME_MAX])
    tx.execute(sa.update(contacts).where(mine).values(name=name[:NAME_MAX]))


def find(tx: Transaction, ref: ContactRef) -> int | None:
    """Return the contact's id if we know them."""
    rows = _rows(tx, ref.bsuid, ref.phone)
    row = rows.get(ref.bsuid) or rows.get(ref.phone)
    return None if row is None else int(row.id)


def renumber(tx: Transaction, update: Renumbered, now: datetime) -> int | None:
    """Carry a contact over to the number or id they have now; None if we never met them.

    What they proved about themselves does not come along: the next turn starts clean. News may come late, or again:
    a number that has had a new owner since names that owner and not the one who changed it.
    """
    at = update.at or now
    _, owner = _known(tx, replace(update.old, bsuid=None), at)
    has_an_heir = owner is not None and owner.phone == update.old.phone and owner.since > at
    was = replace(update.old, phone=None) if has_an_heir else update.old
    new = _one_person(tx, update.new, at, now)
    old = _one_person(tx, was, at, now)
    if new is not None:
        new = _one_person(tx, update.new, at, now)  # as it is now: making one person of two may have moved it
    row = old if old is not None else new
    if row is None:
        return None
    if old is not None and new is not None and old.id != new.id:  # they wrote before the news of the change came
        row = _merge(tx, old, new, now) if _may_be_one(tx, old, new, update) else new
    told = replace(
        update.new,
        phone=None if _known_later(tx, row.phone, at) else update.new.phone,
        bsuid=None if _known_later(tx, row.bsuid, at) else update.new.bsuid,
    )
    # An id is new because the number is; whoever hides it does not say so.
    is_another = update.old.phone is not None or told.bsuid != row.bsuid
    hides = update.new.phone is None and told.bsuid is not None and is_another
    _learn(tx, row, told, at)
    if hides and row.phone is not None and not _known_later(tx, row.phone, at):
        _give_up(tx, row, at)  # the number we had is no longer theirs
    if update.new.phone != update.old.phone and update.old.phone is not None:
        insert_new(tx, identities, value=update.old.phone, contact_id=row.id, since=at)  # they had it until then
    start_clean(tx, row.id, now)
    return int(row.id)


def _known_later(tx: Transaction, value: str | None, at: datetime) -> bool:
    """Say whether we know of whose this id is by something said later than that."""
    since = _since(tx, value)
    return since is not None and since > at


def _since(tx: Transaction, value: str | None) -> datetime | None:
    """Return since when an id is as we know it."""
    if value is None:
        return None
    found: datetime | None = tx.execute(sa.select(identities.c.since).where(identities.c.value == value)).scalar()
    return found


def _may_be_one(tx: Transaction, old: Any, new: Any, update: Renumbered) -> bool:
    """Say whether the news may make one of these two: of different ids only if it names both, or they are strangers."""
    if not old.bsuid or not new.bsuid or old.bsuid == new.bsuid:
        return True
    named = tx.execute(KNOWN_AS, {"values": [one for one in (update.old.bsuid, update.new.bsuid) if one]})
    return {old.id, new.id} <= {row.id for row in named}


def _one_person(tx: Transaction, ref: ContactRef, at: datetime, now: datetime) -> Any:
    """Return whom these ids named then; if we knew them once by their number and once by their id, made one."""
    by_bsuid, by_phone = _known(tx, ref, at)
    if by_bsuid is None and by_phone is not None and ref.bsuid and by_phone.bsuid:
        return None  # another one had that number
    if by_bsuid is None or by_phone is None or by_bsuid.id == by_phone.id or by_phone.bsuid is not None:
        return by_bsuid or by_phone
    if at < by_phone.since and _had_another_number(tx, by_bsuid, at, by_phone.since):
        return by_bsuid  # they had given it up before the one we know by it came
    return _merge(tx, by_bsuid, by_phone, now)


def _had_another_number(tx: Transaction, row: Any, after: datetime, until: datetime) -> bool:
    """Say whether we know that a contact changed their number between these moments."""
    since = _since(tx, row.phone)
    return since is not None and after < since <= until


def _what_is_theirs(tx: Transaction, ref: ContactRef, at: datetime) -> ContactRef:
    """Return the ids a new contact is reached by: a number that is somebody else's since then is not theirs."""
    if ref.phone is None or ref.phone not in (rows := _rows(tx, ref.phone)):
        return ref
    row = rows[ref.phone]
    if row.since > at:
        return replace(ref, phone=None)
    _hand_on(tx, row, at)
    return ref


def _hand_on(tx: Transaction, row: Any, at: datetime) -> None:
    """Let a number go to a new owner; `row` is the old one, with it, who is kept as who had it before."""
    _lock_conversations(tx, row.id)
    tx.execute(sa.update(contacts).where(contacts.c.id == row.id, contacts.c.phone == row.value).values(phone=None))
    tx.execute(sa.delete(identities).where(identities.c.value == _before(row.value)))
    until = at if row.phone == row.value else row.since
    mine = identities.c.value == row.value
    tx.execute(sa.update(identities).where(mine).values(value=_before(row.value), since=until))


def _before(phone: str) -> str:
    """Return under what we keep who had a number before its owner of today, and until when; nobody is named so."""
    return f"before {phone}"


def _give_up(tx: Transaction, row: Any, at: datetime) -> None:
    """Keep that a contact is no longer reached by their number."""
    _lock_conversations(tx, row.id)
    tx.execute(sa.update(contacts).where(contacts.c.id == row.id).values(phone=None))
    tx.execute(sa.update(identities).where(identities.c.value == row.phone).values(since=at))


def start_clean(tx: Transaction, contact_id: int, now: datetime) -> None:
    """Let the bot forget what was proven: somebody else may hold that phone now."""
    mine = conversations.c.contact_id == contact_id
    tx.execute(sa.update(conversations).where(mine).values(starts_clean=True))
    for conversation_id in tx.execute(sa.select(conversations.c.id).where(mine)).scalars():
        changes.note(tx, conversation_id, Change.MOVE, now)


def prefer(tx: Transaction, contact_id: int, *, marketing: bool, at: datetime) -> bool:
    """Keep that a contact stopped marketing messages, or wants them again; False if they stopped them later than that.

    Meta may bring it late, or again.
    """
    stopped_at = contacts.c.marketing_stopped_at
    mine = (contacts.c.id == contact_id) & (stopped_at.is_(None) | (stopped_at <= at))
    stops = sa.update(contacts).where(mine).values(marketing_stopped_at=None if marketing else at)
    return bool(tx.execute(stops).rowcount)


def mark_blocked(tx: Transaction, contact_id: int, blocked_at: datetime | None) -> None:
    """Keep that Meta has blocked a contact for us, or no longer does."""
    tx.execute(sa.update(contacts).where(contacts.c.id == contact_id).values(blocked_at=blocked_at))


def conversation_with(tx: Transaction, phone_number_id: str, contact_id: int, now: datetime) -> Any:
    """Find the conversation of one of our numbers and one contact, or begin it; its row, locked."""
    return conversations_with(tx, [(phone_number_id, contact_id)], now)[phone_number_id, contact_id]


def conversations_with(
    tx: Transaction, pairs: Collection[tuple[str, int]], now: datetime
) -> dict[tuple[str, int], Any]:
    """Find the conversations of our numbers and these contacts, or begin them; their rows, locked in their order."""
    wanted = sorted(set(pairs))
    found = _conversations_of(tx, wanted)
    missing = [pair for pair in wanted if pair not in found]
    if missing:
        rows = [
            {
                "key": secrets.token_hex(12),
                "phone_number_id": phone_number_id,
                "contact_id": contact_id,
                "holder": Holder.BOT,
                "epoch": 1,
                "muted_at": 0,
                "last_message_at": now,
                "created_at": now,
            }
            for phone_number_id, contact_id in missing
        ]
        tx.execute(BEGIN, rows)
        found |= _conversations_of(tx, missing)
    return found


def _conversations_of(tx: Transaction, pairs: Collection[tuple[str, int]]) -> dict[tuple[str, int], Any]:
    rows = tx.execute(CONVERSATIONS, {"contact_ids": sorted({contact_id for _, contact_id in pairs})})
    return {(row.phone_number_id, row.contact_id): row for row in rows}


def _known(tx: Transaction, ref: ContactRef, at: datetime) -> tuple[Any, Any]:
    """Return whom this id and this number named then; mostly one and the same."""
    rows = _rows(tx, ref.bsuid, ref.phone)
    by_phone = rows.get(ref.phone)
    if by_phone is not None and by_phone.phone != ref.phone and by_phone.since < at:
        by_phone = None  # they had given it up
    elif by_phone is not None and by_phone.since > at and ref.phone is not None:
        before = _rows(tx, _before(ref.phone)).get(_before(ref.phone))
        if before is not None and before.since >= at:
            by_phone = before
    return rows.get(ref.bsuid), by_phone


def _rows(tx: Transaction, *ids: str | None) -> dict[str | None, Any]:
    """Return the contacts known by these, with since when."""
    return {row.value: row for row in tx.execute(KNOWN_AS, {"values": [one for one in ids if one]})}


def _contact(tx: Transaction, contact_id: int) -> Any:
    return tx.execute(sa.select(contacts).where(contacts.c.id == contact_id)).one()


def _learn(tx: Transaction, row: Any, ref: ContactRef, since: datetime) -> None:
    """Keep today's name and ids; an id that was another contact's is theirs no longer. What is older than what we
    know changes nobody's ids: it only tells that they had this one, too.
    """
    news = _news(row, ref)
    for column in ("phone", "bsuid"):
        value = news.get(column)
        if value is None:
            continue
        is_theirs_since = _since(tx, getattr(row, column))
        owner = _rows(tx, value).get(value)
        if is_theirs_since is not None and is_theirs_since > since:
            insert_new(tx, identities, value=value, contact_id=row.id, since=is_theirs_since)
            del news[column]
        elif owner is not None and owner.since > since:
            del news[column]
        else:
            _reach_by(tx, row, {column: value}, owner, since)
    if news:
        tx.execute(sa.update(contacts).where(contacts.c.id == row.id).values(news))


def _reach_by(tx: Transaction, row: Any, told: dict[str, str], owner: Any, since: datetime) -> None:
    """Make an id a contact's: it is no longer `owner`'s, and the one they had before no longer theirs."""
    ((column, value),) = told.items()
    _lock_conversations(tx, row.id, *([] if owner is None else [owner.id]))
    if owner is not None and owner.id != row.id:
        if column == "phone":
            _hand_on(tx, owner, since)
        else:
            theirs = (contacts.c.id == owner.id) & (contacts.c.bsuid == value)
            tx.execute(sa.update(contacts).where(theirs).values(bsuid=None))
    if insert_new(tx, identities, value=value, contact_id=row.id, since=since) is None:
        tx.execute(sa.update(identities).where(identities.c.value == value).values(contact_id=row.id, since=since))
    tx.execute(sa.update(identities).where(identities.c.value == getattr(row, column)).values(since=since))


def _lock_conversations(tx: Transaction, *contact_ids: int) -> None:
    """Lock what these contacts say before their own rows: an agent who blocks one holds the conversation, and then
    waits for the contact it names.
    """
    tx.execute(CONVERSATIONS, {"contact_ids": sorted(set(contact_ids))}).all()


def _news(row: Any, ref: ContactRef) -> dict[str, str]:
    """Return what a delivery tells of a contact that we did not know."""
    told = {
        "name": ref.name[:NAME_MAX],
        "username": ref.username[:USERNAME_MAX],
        "phone": ref.phone,
        "bsuid": ref.bsuid,
    }
    return {column: value for column, value in told.items() if value and getattr(row, column) != value}


def _merge(tx: Transaction, one: Any, another: Any, now: datetime) -> Any:
    """Make one contact of two that turned out to be one person; return the one that stays, the older."""
    kept, other = sorted((one, another), key=lambda found: int(found.id))
    _lock_conversations(tx, kept.id, other.id)
    phone = _newer_number(tx, kept, other)
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
        "phone": phone,
        "bsuid": other.bsuid or kept.bsuid,
        "marketing_stopped_at": kept.marketing_stopped_at or other.marketing_stopped_at,
        "blocked_at": kept.blocked_at or other.blocked_at,
    }
    tx.execute(sa.update(contacts).where(contacts.c.id == kept.id).values(stays))
    log.info("two contacts turned out to be one person", extra={"action": "contacts_merged", "contact": kept.id})
    return _contact(tx, kept.id)


def _nearness(row: Any) -> int:
    """Say how much a person has to do with it. Who waits for one must not be given back to the bot with the phone."""
    if row.holder is Holder.AGENT:
        return 1 if holding.is_the_phones(row) else 3
    return 2 if row.holder is Holder.QUEUE else 0


def _newer_number(tx: Transaction, kept: Any, other: Any) -> str | None:
    """Return the number of two that one person is reached by since the later moment; the other one they gave up."""
    known = [(since, one) for one in (other.phone, kept.phone) if (since := _since(tx, one)) is not None]
    if not known:
        return None
    since, phone = max(known, key=lambda found: found[0])
    older = {one for _, one in known} - {phone}
    tx.execute(sa.update(identities).where(identities.c.value.in_(older)).values(since=since))
    return str(phone)


def _merge_conversations(tx: Transaction, kept_id: int, other_id: int, now: datetime) -> None:
    """Move everything said in one conversation into the other; whoever is nearer to a person keeps holding it."""
    for conversation_id in sorted((kept_id, other_id)):
        outbox.lock_conversation(tx, conversation_id)
    kept = tx.execute(sa.select(conversations).where(conversations.c.id == kept_id)).one()
    other = tx.execute(sa.select(conversations).where(conversations.c.id == other_id)).one()
    nearer = max((kept, other), key=_nearness)
    # A turn at work there is lost: what it heard waits again, here, unless a person has it.
    running = (turns.c.conversation_id == other_id) & (turns.c.state == TurnState.RUNNING)
    lost = tx.execute(sa.select(turns.c.id).where(running)).scalars().all()
    heard = messages.c.turn_id.in_(lost) & (messages.c.author == Author.CONTACT)
    tx.execute(sa.update(messages).where(heard).values(turn_id=None))
    tx.execute(sa.update(turns).where(running).values(state=TurnState.MUTED, ended_at=now))
    open_ = handoffs.c.closed_at.is_(None)
    fewer = other_id if nearer is kept else kept_id  # of two open handoffs the nearer one's stays
    if nearer.holder is not Holder.BOT:
        promises.carry_over(tx, fewer, nearer, now)
        hooks.moved(tx, fewer, Happening.HANDOFF_CLOSED, now, outcome=None)  # it goes on in the other one
        tx.execute(sa.update(handoffs).where(handoffs.c.conversation_id == fewer, open_).values(closed_at=now))
    ours = sa.select(messages.c.id).where(messages.c.conversation_id == other_id, messages.c.said_under.is_not(None))
    moved = tx.execute(ours).scalars().all()
    for row in (kept, other):
        if holding.is_the_phones(nearer):
            holding.leave_to_the_phone(tx, row, nearer.phone_until)
        elif nearer.holder is Holder.AGENT:
            holding.take_from_the_phone(tx, row.id)
        elif holding.is_the_phones(row):
            holding.wait_again(tx, row)  # nobody answers it from the phone any more
    # Keys count within a conversation: two agents, or one, may have used the same one in both.
    used = sa.select(messages.c.client_key).where(
        messages.c.conversation_id == kept_id, messages.c.client_key.is_not(None)
    )
    twice = (messages.c.conversation_id == other_id) & messages.c.client_key.in_(used.scalar_subquery())
    tx.execute(sa.update(messages).where(twice).values(client_key=None))
    for table in (messages, turns, handoffs):
        tx.execute(sa.update(table).where(table.c.conversation_id == other_id).values(conversation_id=kept_id))
    snoozes.rouse(tx, kept_id, now)
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
