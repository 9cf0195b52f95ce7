"""Reading only: a conversation, the queue, what was said, what waits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot import messages as says
from bot.conversation import channel_of
from bot.errors import UnknownConversation
from bot.evidence import Fact, from_json
from bot.ledger import promises
from bot.ledger.changes import Noted
from bot.ledger.tables import UNSENT, WAITING, changes, contacts, conversations, handoffs, messages, teams
from bot.ledger.transaction import Transaction
from bot.vocabulary import Author, Csat, Holder, Outcome, Reason, Status

EVERYTHING = 100_000  # messages: more than anybody ever said
IDS = 1_000  # in one query


@dataclass(frozen=True)
class ContactCard:
    """Who we speak with."""

    id: int
    phone: str | None
    name: str
    bsuid: str | None = None
    username: str = ""
    blocked: bool = False  # by us, at Meta
    marketing: bool = True  # they have not stopped it


@dataclass(frozen=True)
class Conversation:
    """A conversation as lists and headers need it."""

    id: int
    key: str
    holder: Holder
    agent_id: int | None
    agent_name: str
    epoch: int
    window_ends: datetime | None
    last_message_at: datetime
    contact: ContactCard
    reason: Reason | None  # of the open handoff
    wish: str
    slots: dict[str, Any]
    asked_at: datetime | None
    taken_at: datetime | None
    due_at: datetime | None  # a person was promised by then
    broken_at: datetime | None  # nobody had come
    owner_id: int | None  # the agent who had it before it came back to the queue
    had_by: str  # who has or had it in this handoff; a name
    team_id: int | None  # of the open handoff
    team: str  # its name
    needs: tuple[str, ...]  # skills
    given_because: str  # it was given to who has it, and why they
    promised_at: datetime | None
    last_text: str
    last_author: Author | None
    last_type: str
    evidence: tuple[Fact, ...]
    returns: int  # how often it has come back within minutes
    came_back: bool
    first_answer_at: datetime | None  # a person's
    snoozed_until: datetime | None
    woke_at: datetime | None
    channel: str = ""  # where another bot speaks with them; "" is WhatsApp


@dataclass(frozen=True)
class Said:
    """One message of either side."""

    id: int
    author: Author
    type: str
    text: str
    content: says.Content
    at: datetime
    status: Status | None
    error: str
    intent: str | None
    confidence: float | None
    agent_name: str
    wamid: str | None
    reply_to: str | None
    origin: dict[str, Any]  # forwarded, from an advertisement …
    edited_at: datetime | None
    deleted_at: datetime | None  # taken back
    sent_again: bool  # it failed, and somebody has sent it once more


def contact_of(tx: Transaction, key: str) -> ContactCard:
    """Return the contact of a conversation."""
    row = tx.execute(
        sa.select(contacts)
        .join(conversations, conversations.c.contact_id == contacts.c.id)
        .where(conversations.c.key == key)
    ).first()
    if row is None:
        raise UnknownConversation(f"(key {key})")
    return _card(row.id, row)


def _card(contact_id: int, row: Any) -> ContactCard:
    return ContactCard(
        id=contact_id,
        phone=row.phone,
        name=row.name,
        bsuid=row.bsuid,
        username=row.username,
        blocked=row.blocked_at is not None,
        marketing=row.marketing_stopped_at is None,
    )


def conversation(tx: Transaction, key: str) -> Conversation:
    """Return one conversation; of one that was merged into another, the other."""
    if not says.can_be_kept(key):
        raise UnknownConversation(f"(key {key})")
    here = (conversations.c.key == key) & conversations.c.merged_into.is_(None)
    if found := _conversations(tx, here, limit=1):
        return found[0]
    merged = sa.select(conversations.c.id, conversations.c.merged_into)
    row = tx.execute(merged.where(conversations.c.key == key)).first()
    while row is not None and row.merged_into is not None:
        row = tx.execute(merged.where(conversations.c.id == row.merged_into)).first()
    if row is None:
        raise UnknownConversation(f"(key {key})")
    return conversation_by_id(tx, row.id)


def conversation_of(tx: Transaction, message_id: int) -> Conversation | None:
    """Return the conversation a message was said in; None if there is no such message."""
    found = tx.execute(sa.select(messages.c.conversation_id).where(messages.c.id == message_id)).scalar()
    return None if found is None else conversation_by_id(tx, found)


def merged_into(tx: Transaction, conversation_id: int) -> list[int]:
    """Return the ids of a conversation and of all that went into it: what was noted beside those stayed there."""
    found = [conversation_id]
    for one in found:  # it grows as we go
        theirs = sa.select(conversations.c.id).where(conversations.c.merged_into == one)
        found += tx.execute(theirs).scalars().all()
    return found


def all_merged_into(tx: Transaction, ids: Collection[int]) -> dict[int, int]:
    """Return these conversations and all that went into them, each with the one of these that it is by now."""
    found, newer = {one: one for one in ids}, set(ids)
    while newer:
        theirs = sa.select(conversations.c.id, conversations.c.merged_into)
        rows = tx.execute(theirs.where(conversations.c.merged_into.in_(newer))).all()
        found |= {row.id: found[row.merged_into] for row in rows}
        newer = {row.id for row in rows}
    return found


def keys_with(tx: Transaction, contact_id: int) -> list[str]:
    """Return the keys of a contact's conversations, one for each of our numbers they wrote to."""
    theirs = (conversations.c.contact_id == contact_id) & conversations.c.merged_into.is_(None)
    return list(tx.execute(sa.select(conversations.c.key).where(theirs).order_by(conversations.c.id)).scalars())


def windows_of(tx: Transaction, keys: set[str]) -> dict[str, datetime | None]:
    """Return until when each of these conversations may be answered."""
    rows = tx.execute(sa.select(conversations.c.key, conversations.c.window_ends).where(conversations.c.key.in_(keys)))
    return {row.key: row.window_ends for row in rows}


def conversation_by_id(tx: Transaction, conversation_id: int) -> Conversation:
    """Return the conversation a change row speaks of."""
    return _conversations(tx, conversations.c.id == conversation_id, limit=1)[0]


def by_ids(tx: Transaction, ids: set[int]) -> dict[int, Conversation]:
    """Return these conversations, by their ids."""
    found: dict[int, Conversation] = {}
    for some in _some(sorted(ids)):
        found |= {one.id: one for one in _conversations(tx, conversations.c.id.in_(some), limit=len(some))}
    return found


def conversations_with(tx: Transaction, contact_ids: set[int]) -> list[Conversation]:
    """Return the conversations of these contacts, the newest first; one for each of our numbers they wrote to."""
    theirs = conversations.c.contact_id.in_(sorted(contact_ids)[:IDS]), conversations.c.merged_into.is_(None)
    return _conversations(tx, *theirs, limit=EVERYTHING) if contact_ids else []


def kept_as(tx: Transaction, ids: set[int]) -> dict[int, int]:
    """Return for each of these conversations the one it is by now: itself, or what it was merged into."""
    found = {one: one for one in ids}
    while found:
        merged = sa.select(conversations.c.id, conversations.c.merged_into).where(
            conversations.c.id.in_(sorted(set(found.values()))), conversations.c.merged_into.is_not(None)
        )
        into = {row.id: row.merged_into for row in tx.execute(merged)}
        if not into:
            break
        found = {one: into.get(kept, kept) for one, kept in found.items()}
    return found


def said_about(tx: Transaction, message_id: int) -> datetime | None:
    """Return when the message with this id, or the next one, was said."""
    later = sa.select(messages.c.at).where(messages.c.id >= message_id).order_by(messages.c.id).limit(1)
    found: datetime | None = tx.execute(later).scalar()
    return found


def _some(ids: list[int]) -> list[list[int]]:
    return [ids[n : n + IDS] for n in range(0, len(ids), IDS)]


def list_of(
    tx: Transaction,
    holder: Holder | None = None,
    agent_id: int | None = None,
    limit: int = 200,
    *,
    also: Sequence[Any] = (),
) -> list[Conversation]:
    """Return conversations, the newest first. How the queue stands see `queue`.

    `also` are conditions on `conversations`, `contacts` and the open one of `handoffs`.
    """
    return _conversations(tx, *_which(holder, agent_id), *also, limit=limit)


def count_of(
    tx: Transaction, holder: Holder | None = None, agent_id: int | None = None, *, also: Sequence[Any], at_most: int
) -> int:
    """Return how many `list_of` would find; nobody needs to know it beyond so many."""
    found = _joined(sa.select(conversations.c.id)).where(*_which(holder, agent_id), *also).limit(at_most)
    return int(tx.execute(sa.select(sa.func.count()).select_from(found.subquery())).scalar_one())


def ids_of(tx: Transaction, ids: Collection[int], also: Sequence[Any]) -> set[int]:
    """Return which of these conversations meet the conditions."""
    if not also or not ids:
        return set(ids)
    these = conversations.c.id.in_(ids) if len(ids) <= IDS else conversations.c.holder == Holder.QUEUE
    return set(tx.execute(_joined(sa.select(conversations.c.id)).where(these, *also)).scalars())


def these(tx: Transaction, ids: Collection[int]) -> list[Conversation]:
    """Return these conversations, the newest first; not those that were merged into others."""
    kept = conversations.c.merged_into.is_(None)
    return _conversations(tx, kept, conversations.c.id.in_(ids), limit=IDS) if ids else []


def _which(holder: Holder | None, agent_id: int | None) -> list[Any]:
    which = [conversations.c.merged_into.is_(None)]
    if holder is not None:
        which.append(conversations.c.holder == holder)
    if agent_id is not None:
        which.append(conversations.c.agent_id == agent_id)
    return which


def _joined(query: Any) -> Any:
    """Join what a list may be narrowed by."""
    open_ = (handoffs.c.conversation_id == conversations.c.id) & handoffs.c.closed_at.is_(None)
    return query.join(contacts, contacts.c.id == conversations.c.contact_id).outerjoin(handoffs, open_)


def page_of(
    tx: Transaction,
    holder: Holder | None,
    agent_id: int | None,
    *,
    after: tuple[datetime, int] | None,
    limit: int,
) -> list[Conversation]:
    """Return conversations, the newest first, from behind a place in that list: its last one's moment and id."""
    which = [conversations.c.merged_into.is_(None)]
    if holder is not None:
        which.append(conversations.c.holder == holder)
    if agent_id is not None:
        which.append(conversations.c.agent_id == agent_id)
    if after is not None:
        at, id_ = after
        same = (conversations.c.last_message_at == at) & (conversations.c.id > id_)
        which.append((conversations.c.last_message_at < at) | same)
    return _conversations(tx, *which, limit=limit)


def queue(tx: Transaction, now: datetime, limit: int = 200) -> list[Conversation]:
    """Return who waits for a person, in the order in which something would be lost (see bot.promises.urgency)."""
    ids = promises.order(tx, now)[:limit]
    # No database takes any number of ids at once.
    these = conversations.c.id.in_(ids) if len(ids) <= IDS else conversations.c.holder == Holder.QUEUE
    found = {one.id: one for one in _conversations(tx, these, limit=EVERYTHING)}
    return [found[one] for one in ids if one in found]


_NEWEST = (
    sa.select(sa.func.max(messages.c.id))
    .where(messages.c.conversation_id == conversations.c.id)
    .correlate(conversations)
    .scalar_subquery()
)
_LAST = messages.alias("last")
_ALL = (  # put together once, with what `Conversation` holds and no more: it is asked for all day
    sa.select(
        conversations.c.id,
        conversations.c.key,
        conversations.c.contact_id,
        conversations.c.holder,
        conversations.c.agent_id,
        conversations.c.agent_name,
        conversations.c.epoch,
        conversations.c.window_ends,
        conversations.c.last_message_at,
        conversations.c.phone_number_id,
        contacts.c.phone,
        contacts.c.name,
        contacts.c.bsuid,
        contacts.c.username,
        contacts.c.blocked_at,
        contacts.c.marketing_stopped_at,
        handoffs.c.reason,
        handoffs.c.wish,
        handoffs.c.slots,
        handoffs.c.asked_at,
        handoffs.c.taken_at,
        handoffs.c.due_at,
        handoffs.c.broken_at,
        handoffs.c.owner_id,
        handoffs.c.agent_name.label("had_by"),
        handoffs.c.team_id,
        teams.c.name.label("team"),
        handoffs.c.needs,
        handoffs.c.given_because,
        handoffs.c.promised_at,
        handoffs.c.evidence,
        handoffs.c.returns,
        handoffs.c.joined_to,
        handoffs.c.first_answer_at,
        handoffs.c.snoozed_at,
        handoffs.c.snoozed_until,
        handoffs.c.woke_at,
        _LAST.c.text.label("last_text"),
        _LAST.c.author.label("last_author"),
        _LAST.c.type.label("last_type"),
    )
    .join(contacts, contacts.c.id == conversations.c.contact_id)
    .outerjoin(handoffs, (handoffs.c.conversation_id == conversations.c.id) & handoffs.c.closed_at.is_(None))
    .outerjoin(teams, teams.c.id == handoffs.c.team_id)
    .outerjoin(_LAST, _LAST.c.id == _NEWEST)
    .order_by(conversations.c.last_message_at.desc(), conversations.c.id)
)


def _conversations(tx: Transaction, *which: Any, limit: int) -> list[Conversation]:
    rows = tx.execute(_ALL.where(*which).limit(limit))
    return [
        Conversation(
            id=row.id,
            key=row.key,
            holder=row.holder,
            agent_id=row.agent_id,
            agent_name=row.agent_name,
            epoch=row.epoch,
            window_ends=row.window_ends,
            last_message_at=row.last_message_at,
            contact=_card(row.contact_id, row),
            reason=row.reason,
            wish=row.wish or "",
            slots=row.slots or {},
            asked_at=row.asked_at,
            taken_at=row.taken_at,
            due_at=row.due_at,
            broken_at=row.broken_at,
            owner_id=row.owner_id,
            had_by=row.had_by or "",
            team_id=row.team_id,
            team=row.team or "",
            needs=tuple(row.needs or ()),
            given_because=row.given_because or "",
            promised_at=row.promised_at,
            last_text=row.last_text or "",
            last_author=row.last_author,
            last_type=row.last_type or "",
            evidence=from_json(row.evidence),
            returns=row.returns or 0,
            came_back=row.joined_to is not None,
            first_answer_at=row.first_answer_at,
            snoozed_until=_sleeps_until(row),
            woke_at=row.woke_at,
            channel=channel_of(row.phone_number_id),
        )
        for row in rows
    ]


def _sleeps_until(row: Any) -> datetime | None:
    """Return until when it is put aside; what the contact has written in since is awake, whoever wrote that down."""
    wrote = row.last_author is Author.CONTACT and row.snoozed_at is not None and row.last_message_at > row.snoozed_at
    until: datetime | None = row.snoozed_until
    return None if wrote else until


def messages_after(tx: Transaction, conversation_id: int, after: int, limit: int) -> list[Said]:
    """Return the first `limit` messages of a conversation that came after one, oldest first."""
    mine = (messages.c.conversation_id == conversation_id) & (messages.c.id > after)
    return _said(tx.execute(sa.select(messages).where(mine).order_by(messages.c.id).limit(limit)).all())


def message(tx: Transaction, message_id: int) -> Said | None:
    """Return one message, or None."""
    found = _said(tx.execute(sa.select(messages).where(messages.c.id == message_id)).all())
    return found[0] if found else None


def quoted_by(tx: Transaction, conversation_id: int, said: list[Said]) -> dict[str, Said]:
    """Return the messages of a conversation that these of it quote or react to, and these, by their wamids."""
    wanted = {one.reply_to for one in said} | {
        one.content.wamid for one in said if isinstance(one.content, says.Reaction)
    }
    known = {one.wamid: one for one in said if one.wamid}
    missing = [wamid for wamid in wanted if wamid and wamid not in known]
    if missing:
        theirs = (messages.c.conversation_id == conversation_id) & messages.c.wamid.in_(missing)
        rows = tx.execute(sa.select(messages).where(theirs)).all()
        known |= {one.wamid: one for one in _said(rows) if one.wamid}
    return known


def messages_of(tx: Transaction, conversation_id: int, limit: int = 1000, *, since: int = 0) -> list[Said]:
    """Return the newest `limit` messages of a conversation, none before `since`, oldest first."""
    mine = (messages.c.conversation_id == conversation_id) & (messages.c.id >= since)
    rows = tx.execute(sa.select(messages).where(mine).order_by(messages.c.id.desc()).limit(limit)).all()
    return _said(list(reversed(rows)))


def earlier(tx: Transaction, conversation_id: int, before: int, count: int) -> int | None:
    """Return the message to begin at for `count` more than what begins at `before`; None if there are none before."""
    older = sa.select(messages.c.id).where(messages.c.conversation_id == conversation_id, messages.c.id < before)
    ids = tx.execute(older.order_by(messages.c.id.desc()).limit(count)).scalars().all()
    return ids[-1] if ids else None


def first_since(tx: Transaction, conversation_id: int, at: datetime) -> int | None:
    """Return the first message of a conversation that was said at this moment or later."""
    later = sa.select(sa.func.min(messages.c.id)).where(messages.c.conversation_id == conversation_id)
    found: int | None = tx.execute(later.where(messages.c.at >= at)).scalar()
    return found


def _said(rows: list[Any]) -> list[Said]:
    repeated = {row.again_of for row in rows}
    return [
        Said(
            id=row.id,
            author=row.author,
            type=row.type,
            text=row.text,
            content=says.from_row(row.type, row.text, row.content),
            at=row.at,
            status=row.status,
            error=row.error,
            intent=row.intent,
            confidence=row.confidence,
            agent_name=row.agent_name,
            wamid=row.wamid,
            reply_to=row.reply_to,
            origin=row.origin or {},
            edited_at=row.edited_at,
            deleted_at=row.deleted_at,
            sent_again=row.id in repeated,
        )
        for row in rows
    ]


def oldest_waiting_turn(tx: Transaction) -> datetime | None:
    """Return since when the longest waiting message of a contact waits for the bot."""
    found: datetime | None = tx.execute(sa.select(sa.func.min(messages.c.at)).where(WAITING)).scalar()
    return found


def oldest_unsent_message(tx: Transaction) -> datetime | None:
    """Return since when the longest waiting message of ours waits to be sent."""
    found: datetime | None = tx.execute(sa.select(sa.func.min(messages.c.at)).where(UNSENT)).scalar()
    return found


def count_by_holder(tx: Transaction) -> dict[Holder, int]:
    """Return how many conversations each kind of holder has."""
    kept = conversations.c.merged_into.is_(None)
    rows = tx.execute(sa.select(conversations.c.holder, sa.func.count()).where(kept).group_by(conversations.c.holder))
    return dict.fromkeys(Holder, 0) | {row[0]: row[1] for row in rows}


@dataclass(frozen=True)
class Held:
    """Who holds a conversation, for who only has to know whether it concerns them."""

    key: str
    holder: Holder
    agent_id: int | None


def held(tx: Transaction, conversation_ids: set[int]) -> dict[int, Held]:
    """Return who holds these conversations, by their ids."""
    columns = (conversations.c.id, conversations.c.key, conversations.c.holder, conversations.c.agent_id)
    found: dict[int, Held] = {}
    for some in _some(sorted(conversation_ids)):
        rows = tx.execute(sa.select(*columns).where(conversations.c.id.in_(some)))
        found |= {row.id: Held(row.key, row.holder, row.agent_id) for row in rows}
    return found


def keys_of(tx: Transaction, conversation_ids: set[int]) -> dict[int, str]:
    """Return the keys of conversations, by their ids."""
    rows = tx.execute(
        sa.select(conversations.c.id, conversations.c.key).where(conversations.c.id.in_(conversation_ids))
    )
    return {row.id: row.key for row in rows}


def changes_among(tx: Transaction, ids: list[int]) -> list[Noted]:
    """Return which of these changes are there by now: on PostgreSQL a lower number may commit after a higher one."""
    rows = tx.execute(sa.select(changes).where(changes.c.id.in_(ids)).order_by(changes.c.id))
    return [Noted(row.id, row.conversation_id, row.kind) for row in rows]


@dataclass(frozen=True)
class Episode:
    """One handoff, from the asking to the giving back."""

    id: int
    reason: Reason
    asked_at: datetime
    taken_at: datetime | None
    taken_by: int | None
    closed_at: datetime | None
    outcome: Outcome | None
    team_id: int
    due_at: datetime | None
    wish: str
    evidence: tuple[Fact, ...]
    agent_name: str
    summary: str
    joined_to: int | None
    returns: int
    first_answer_at: datetime | None
    next_wait_s: int
    first_late: bool
    next_late: bool
    close_late: bool
    snoozed_until: datetime | None
    csat: Csat | None
    csat_at: datetime | None


def episodes_of(tx: Transaction, conversation_id: int) -> list[Episode]:
    """Return the handoffs of a conversation, oldest first."""
    mine = handoffs.c.conversation_id == conversation_id
    rows = tx.execute(sa.select(handoffs).where(mine).order_by(handoffs.c.id))
    return [_episode(row) for row in rows]


def _episode(row: Any) -> Episode:
    own = {field.name: getattr(row, field.name) for field in fields(Episode)}
    return Episode(**own | {"evidence": from_json(row.evidence)})
