"""What agents do with a conversation: take, reply, note, block, send again … One verb, one transaction.

A conversation that was merged into another is that other one, for every verb.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa

from bot.conversation import window_is_open
from bot.errors import Blocked, BotError, KeyUsed, NotAllowed, TooLong, WindowClosed
from bot.hours import Hours
from bot.ledger import changes, errands, handoffs, inbox, outbox, snoozes, teams, transcript, uploads, waits
from bot.ledger.promises import Tell
from bot.ledger.ratings import Ask
from bot.ledger.tables import messages
from bot.ledger.transaction import Transaction
from bot.ledger.uploads import Upload
from bot.ledger.upsert import insert_new
from bot.messages import Media, Outbound, Template, Text, can_be_kept
from bot.vocabulary import Author, Change, Holder
from handoff import agents, members, mentions, suggesting, trail
from handoff.acts import Act
from handoff.endings import NOT_SAID, Ending
from handoff.filling import BadTemplate, Wanted, filled
from handoff.roles import Account, Deed
from handoff.snoozing import Snooze
from handoff.tables import notes

log = logging.getLogger(__name__)

NOTE_MAX = 4096


class UnknownMessage(BotError):
    """There is no such message."""


class UnknownTemplate(BotError):
    """The account has no such template."""


class UnknownDelivery(BotError):
    """There is no such delivery, or nothing in it failed."""


class NotWanted(BotError):
    """The contact has stopped marketing messages."""


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
    most = members.most(tx, account.id)
    return handoffs.take(tx, _kept(tx, key), agent_id=account.id, agent_name=account.name, now=now, most=most)


def requeue(tx: Transaction, key: str, account: Account, now: datetime, *, tell: Tell | None = None) -> None:
    """Put it back into the queue, for a colleague; `tell` makes the words for what the contact is promised anew."""
    account.require(Deed.SPEAK)
    handoffs.requeue(tx, _kept(tx, key), agent_id=account.id, tell=tell, now=now)


def put_back(tx: Transaction, key: str, account: Account, now: datetime, *, tell: Tell | None = None) -> None:
    """Put what a colleague has back into the queue; for who leads. What is in the queue already stays there. `tell`
    makes the words for what the contact is promised anew.
    """
    account.require(Deed.LEAD)
    key = _kept(tx, key)
    row = handoffs.locked(tx, key)
    if row.holder is Holder.QUEUE:
        return
    if row.holder is Holder.BOT:
        raise NotAllowed("(the bot has it again)")
    if handoffs.is_the_phones(row):
        raise NotAllowed("(it is answered from the phone; take it over first)")
    handoffs.requeue(tx, key, agent_id=row.agent_id, tell=tell, now=now)
    trail.write(tx, Act.PUT_BACK, account, subject=trail.of_conversation(key), now=now)
    extra = {"action": "put_back", "conversation": key, "account": account.id}
    log.info("a conversation was put back into the queue by who leads", extra=extra)


def transfer(
    tx: Transaction,
    key: str,
    account: Account,
    to: str,
    text: str,
    *,
    client_key: str | None,
    now: datetime,
    beyond: bool = False,
) -> str:
    """Pass it on to a colleague, with a note for them; return its key. Twice is as good as once.

    Who leads may do that with anybody's, take it over by naming themselves, and go `beyond` what the colleague may hold
    at once, if they say so.
    """
    account.require(Deed.SPEAK)
    key, colleague = _kept(tx, key), agents.colleague(tx, to)
    row = handoffs.locked(tx, key)
    if row.holder is Holder.AGENT and row.agent_id == colleague.id:
        return key
    _require_may_act(tx, key, account)
    if beyond:
        account.require(Deed.LEAD)
    if text.strip():
        note(tx, key, account, text, client_key=client_key, now=now)
    most = None if beyond else members.most(tx, colleague.id)
    handoffs.assign(tx, key, agent_id=colleague.id, agent_name=colleague.name, now=now, most=most)
    _passed_on(tx, key, account, row, to=colleague.email, now=now)
    return key


def transfer_to_team(
    tx: Transaction,
    key: str,
    account: Account,
    name: str,
    text: str,
    *,
    client_key: str | None,
    now: datetime,
    tell: Tell | None = None,
) -> str:
    """Pass it on to a team, with a note for them; it waits in their queue. Return its key. Twice is as good as once."""
    account.require(Deed.SPEAK)
    key, team = _kept(tx, key), teams.named(tx, name)
    row = handoffs.locked(tx, key)
    if row.holder is Holder.QUEUE and transcript.conversation(tx, key).team_id == team.id:
        return key
    _require_may_act(tx, key, account)
    if text.strip():
        note(tx, key, account, text, client_key=client_key, now=now)
    handoffs.pass_to_team(tx, key, team.id, now, tell=tell)
    _passed_on(tx, key, account, row, to=f"team {team.name}", now=now)
    return key


def _passed_on(tx: Transaction, key: str, account: Account, before: Any, *, to: str, now: datetime) -> None:
    """Write down who passed it on, and to whom; `before` is the conversation's row as it was."""
    had = before.agent_name if before.holder is Holder.AGENT else before.holder.value
    trail.write(tx, Act.TRANSFERRED, account, subject=trail.of_conversation(key), now=now, had=had or "", to=to)
    extra = {"action": "transferred", "conversation": key, "account": account.id}
    log.info("a conversation was passed on", extra=extra)


def give_back(
    tx: Transaction,
    key: str,
    account: Account,
    words: Outbound | None,
    now: datetime,
    *,
    ends: Ending = NOT_SAID,
    ask: Ask | None = None,
) -> None:
    """Return it to the bot, with `words` as the desk's last ones to the contact while they may be sent; under them
    `ask` puts the question how they found it, if that is due.
    """
    account.require(Deed.SPEAK)
    conversation = transcript.conversation(tx, key)
    key = conversation.key
    row = handoffs.require_held_by(tx, key, account.id)
    may_speak = window_is_open(row.window_ends, now) and not conversation.contact.blocked
    may_speak = may_speak and not conversation.channel  # those words are our bot's, and a guest's bot is another one
    handoffs.give_back(
        tx,
        key,
        agent_id=account.id,
        words=words if may_speak else None,
        outcome=ends.outcome,
        summary=ends.summary,
        ask=ask if may_speak else None,
        now=now,
    )


def snooze(tx: Transaction, key: str, account: Account, wanted: Snooze, *, words: Outbound, now: datetime) -> None:
    """Put it aside for a while; `words` tell the contact, while they may be sent."""
    account.require(Deed.SPEAK)
    said = words if wanted.tells else None
    snoozes.snooze(tx, _kept(tx, key), agent_id=account.id, until=wanted.until, words=said, now=now)


def wake(tx: Transaction, key: str, account: Account, now: datetime) -> None:
    """Take it up again before its time."""
    account.require(Deed.SPEAK)
    snoozes.wake(tx, _kept(tx, key), agent_id=account.id, now=now)


def hours_of(tx: Transaction, key: str) -> Hours:
    """Return when the team is there that a conversation's handoff belongs to."""
    return teams.team(tx, transcript.conversation(tx, key).team_id or teams.FIRST).hours


def reply(
    tx: Transaction,
    key: str,
    account: Account,
    text: str,
    *,
    client_key: str | None,
    now: datetime,
    to: int | None = None,
) -> Written:
    """Queue an agent's words to the contact, perhaps quoting the message `to`."""
    return _say(tx, key, account, Text(text), client_key=client_key, now=now, to=to)


def send_template(
    tx: Transaction, key: str, account: Account, wanted: Wanted, *, client_key: str | None, now: datetime
) -> Written:
    """Queue a template: it may be sent when the window is closed, to open it again."""
    account.require(Deed.SPEAK)
    _require_whatsapp(tx, key, "templates are WhatsApp's")
    listed = errands.list_of_templates(tx)
    template = next((one for one in listed if (one.name, one.language) == (wanted.name, wanted.language)), None)
    if template is None:
        raise UnknownTemplate(f"({wanted.name} {wanted.language}; see GET /api/v1/templates)")
    if not template.approved:
        raise BadTemplate(f"(Meta says it is {template.status.lower()}, not approved)")
    if template.category.upper() == "MARKETING" and not transcript.conversation(tx, key).contact.marketing:
        raise NotWanted(f"(and {template.name} is one)")
    return _say(tx, key, account, filled(template, wanted), client_key=client_key, now=now)


def send_file(
    tx: Transaction,
    key: str,
    account: Account,
    content: Media,
    file: Upload,
    *,
    client_key: str | None,
    now: datetime,
    to: int | None = None,
) -> Written:
    """Queue a file that lies in the media folder already. The same client key again only answers the same."""
    _require_whatsapp(tx, key, "the desk sends it words only")
    written = _say(tx, key, account, content, client_key=client_key, now=now, to=to)
    known = uploads.of(tx, [written.id]).get(written.id)
    if known is None:
        uploads.keep(tx, written.id, file)
    elif known.sha256 != file.sha256:
        raise KeyUsed("(nothing was sent this time; use a new key)")
    return written


def _say(
    tx: Transaction,
    key: str,
    account: Account,
    content: Text | Template | Media,
    *,
    client_key: str | None,
    now: datetime,
    to: int | None = None,
) -> Written:
    """Queue what the agent who holds the conversation says. The same client key again only answers the same."""
    account.require(Deed.SPEAK)
    conversation = transcript.conversation(tx, key)
    text, own_key = content.text, _own(client_key, account)
    known = _replied(tx, conversation.id, own_key, text)
    if known is not None:
        return known
    row = handoffs.require_held_by(tx, conversation.key, account.id)
    known = _replied(tx, row.id, own_key, text)  # again, now that nobody else can be writing it
    if known is not None:
        return known
    if conversation.contact.blocked:
        raise Blocked
    if not isinstance(content, Template) and not window_is_open(row.window_ends, now):
        raise WindowClosed
    matter = suggesting.matter_of(tx, conversation) if isinstance(content, Text) else ""
    message_id = outbox.queue(
        tx,
        row.id,
        content,
        author=Author.AGENT,
        agent_id=account.id,
        agent_name=account.name,
        client_key=own_key,
        reply_to=None if to is None else _wamid_of(tx, row.id, to),
        now=now,
    )
    waits.settle(tx, row.id, now)
    if matter:
        said = cast("int", message_id)
        suggesting.remember(tx, conversation, account, matter=matter, message_id=said, answer=text, now=now)
    return Written(cast("int", message_id), text, now)  # words bound to no epoch are never refused


def _wamid_of(tx: Transaction, conversation_id: int, message_id: int) -> str:
    """Return Meta's id of a message of this conversation, to quote it by."""
    mine = (messages.c.id == message_id) & (messages.c.conversation_id == conversation_id)
    row = tx.execute(sa.select(messages.c.wamid).where(mine)).first()
    if row is None:
        raise UnknownMessage(f"(none with the id {message_id} in this conversation)")
    if row.wamid is None:
        raise UnknownMessage(f"({message_id} has not reached WhatsApp, so nobody can answer to it)")
    return str(row.wamid)


def send_again(tx: Transaction, message_id: int, account: Account, now: datetime) -> tuple[int, str]:
    """Queue what failed once more; return its new id and its conversation. Twice is as good as once.

    What the bot said is refused once a person has taken over.
    """
    conversation = _conversation_of(tx, message_id, account)
    if conversation.contact.blocked:
        raise Blocked
    type_ = tx.execute(sa.select(messages.c.type).where(messages.c.id == message_id)).scalar()
    if type_ != "template" and not window_is_open(conversation.window_ends, now):
        raise WindowClosed
    again = outbox.send_again(tx, message_id, now)
    about = trail.of_conversation(conversation.key)
    trail.write(tx, Act.SENT_AGAIN, account, subject=about, now=now, message=message_id, again=again)
    log.info("what failed is sent again", extra={"action": "sent_again", "message_id": again, "account": account.id})
    return again, conversation.key


def set_aside(tx: Transaction, message_id: int, account: Account, now: datetime) -> str:
    """Let what failed rest, for it need not go out any more; return its conversation. Twice is as good as once."""
    conversation = _conversation_of(tx, message_id, account)
    outbox.set_aside(tx, message_id, now)
    about = trail.of_conversation(conversation.key)
    trail.write(tx, Act.MESSAGE_SET_ASIDE, account, subject=about, now=now, message=message_id)
    log.info(
        "what failed was set aside", extra={"action": "set_aside", "message_id": message_id, "account": account.id}
    )
    return conversation.key


def _conversation_of(tx: Transaction, message_id: int, account: Account) -> transcript.Conversation:
    """Return where a message was said, to who may act there."""
    conversation = transcript.conversation_of(tx, message_id)
    if conversation is None:
        raise UnknownMessage
    _require_may_act(tx, conversation.key, account)
    return conversation


def block(tx: Transaction, key: str, account: Account, *, blocks: bool, now: datetime) -> None:
    """Have Meta block or unblock the contact; the sender asks, so it is true a moment later."""
    key = _kept(tx, key)
    _require_may_act(tx, key, account)
    _require_whatsapp(tx, key, "WhatsApp blocks its own; ask who runs that bot")
    errands.ask_to_block(tx, key, block=blocks, now=now)
    act = Act.BLOCKED if blocks else Act.UNBLOCKED
    trail.write(tx, act, account, subject=trail.of_conversation(key), now=now)
    what = "block" if blocks else "unblock"
    log.info("somebody asks to %s a contact", what, extra={"action": what, "conversation": key, "account": account.id})


def read_again(tx: Transaction, account: Account, delivery_id: int | None = None, *, now: datetime) -> int:
    """Have a delivery, or all that failed, read once more by the door; return how many."""
    account.require(Deed.LOOK_AFTER)
    asked = inbox.ask_to_read_again(tx, delivery_id)
    if not asked and delivery_id is not None:
        raise UnknownDelivery(f"({delivery_id})")
    trail.write(tx, Act.READ_AGAIN, account, subject=_of_delivery(delivery_id), now=now, deliveries=asked)
    return asked


def set_updates_aside(tx: Transaction, account: Account, delivery_id: int | None = None, *, now: datetime) -> int:
    """Let what failed in a delivery, or all that failed, rest: it need not be read; return how many deliveries."""
    account.require(Deed.LOOK_AFTER)
    rested = inbox.set_aside(tx, delivery_id)
    if not rested and delivery_id is not None:
        raise UnknownDelivery(f"({delivery_id})")
    trail.write(tx, Act.UPDATES_SET_ASIDE, account, subject=_of_delivery(delivery_id), now=now, deliveries=rested)
    extra = {"action": "set_aside", "delivery": delivery_id or "all", "account": account.id}
    log.info("what could not be read was set aside", extra=extra)
    return rested


def body_of(tx: Transaction, account: Account, delivery_id: int, now: datetime) -> bytes | None:
    """Return a delivery as it came, personal data and all; who looked is written down."""
    account.require(Deed.LOOK_AFTER)
    body = inbox.body_of(tx, delivery_id)
    if body is not None:
        trail.write(tx, Act.BODY_SHOWN, account, subject=_of_delivery(delivery_id), now=now)
    return body


def _of_delivery(delivery_id: int | None) -> str:
    return "every delivery that failed" if delivery_id is None else f"delivery {delivery_id}"


def _require_may_act(tx: Transaction, key: str, account: Account) -> None:
    """Refuse who neither holds the conversation nor leads."""
    account.require(Deed.SPEAK)
    if not account.may(Deed.LEAD):
        handoffs.require_held_by(tx, key, account.id)


def _require_whatsapp(tx: Transaction, key: str, why: str) -> None:
    """Refuse what only WhatsApp can do for a guest of another channel."""
    channel = transcript.conversation(tx, key).channel
    if channel:
        raise NotAllowed(f"(this contact is on {channel}; {why})")


def _kept(tx: Transaction, key: str) -> str:
    """Return the key of the conversation this one is now, if it was merged into another."""
    return transcript.conversation(tx, key).key


def note(tx: Transaction, key: str, account: Account, text: str, *, client_key: str | None, now: datetime) -> Written:
    """Write something down for agents' eyes only."""
    account.require(Deed.NOTE)
    if not text.strip():
        raise TooLong("(a note needs words)")
    if len(text) > NOTE_MAX:
        raise TooLong(f"(a note has at most {NOTE_MAX} characters)")
    if not can_be_kept(text):
        raise TooLong("(it holds a character that can't be kept)")
    conversation_id = transcript.conversation(tx, key).id  # the one it is now
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
        mentions.note(tx, note_id, conversation_id, text, by=account.id, now=now)
        changes.note(tx, conversation_id, Change.NOTE, now)
        return Written(note_id, text, now)
    row = tx.execute(
        sa.select(notes).where(notes.c.conversation_id == conversation_id, notes.c.client_key == own_key)
    ).one()
    return _same(Written(row.id, row.text, row.at), text)


def notes_of(tx: Transaction, ids: Collection[int]) -> list[Note]:
    """Return the notes of a conversation and of what was merged into it (`transcript.merged_into`), oldest first."""
    mine = notes.c.conversation_id.in_(ids)
    rows = tx.execute(sa.select(notes).where(mine).order_by(notes.c.id))
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
