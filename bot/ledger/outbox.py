"""What goes out: queue it, claim it, settle it, give it up. The only writer of a message's status.

One message of a conversation is in flight at a time, and the next one waits until the last was delivered, or five
seconds: Meta carries separate calls in any order. What is sent to one contact, and by one of our numbers, is paced to
Meta's limits before Meta complains. Several senders may do this at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any

import sqlalchemy as sa

from bot import messages as says
from bot.conversation import CHANNEL, may_bot_speak, window_is_open
from bot.errors import NotAllowed, Overtaken, TooLong, UnknownConversation
from bot.ledger import alarms, changes, hooks
from bot.ledger.tables import UNSENT, contacts, conversations, deliveries, doors, handoffs, messages, numbers, reports
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.updates import Reported
from bot.vocabulary import Author, Change, Holder, Status, advance

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=20)  # how long one send may take, time-outs included
UPLOAD_LEASE = timedelta(seconds=100)  # the same where a file goes first
LISTENING = timedelta(seconds=30)  # after no answer: how long a status may still tell us that it was accepted
SILENCE = timedelta(seconds=150)  # so much longer, while Meta has brought us nothing that shows that it reaches us
WEBHOOK = "webhook"  # the door Meta's reports come in by
DOOR_SEEN_WITHIN = timedelta(seconds=10)
LISTENED_ENOUGH = timedelta(minutes=5)  # with the door shut all the time: then nobody can know, and a person decides
GIVEN_UP_AFTER = timedelta(hours=1)  # what got no answer again and again for so long; then a person sees to it
FAILING_WAIT = timedelta(seconds=30)  # after Meta failed what it had accepted, for a reason that may pass
TRIES_MAX = 5  # at the least, before it is given up for its age: it may only have waited
RESOLVED_AT_ONCE = 50  # messages that need no sending, in one transaction: others want to write
IN_ORDER = timedelta(seconds=5)  # how long the next message waits for the delivery of the last
PAIR_EVERY = timedelta(seconds=6)  # to one contact: one message in six seconds …
PAIR_BURST = 40  # … of which so many may be borrowed; Meta says 45, counting what it has not told us of
PAIR_OWES = PAIR_EVERY * (PAIR_BURST + 1)  # at the most
NUMBER_BURST = timedelta(seconds=0.5)  # of a number's throughput
NUMBER_OWES = timedelta(seconds=2)  # at the most, at one message a second
SHUT = 131047  # Meta's code for a closed window
DOUBTFUL = "WhatsApp gave no answer, and no report came; it may have arrived. Ask before you send it again."
UNREADABLE = (TooLong, KeyError, TypeError, ValueError, AttributeError)  # what a row that is not as it was may raise
CALLBACK = "baton:"  # our message id travels as biz_opaque_callback_data under this prefix

# Made once, since building a statement costs more than running it, and these run for every report.
KEEP_REPORT = sa.insert(reports)
KNOWN_REPORTS = sa.select(reports.c.wamid, reports.c.status).where(
    reports.c.wamid.in_(sa.bindparam("wamids", expanding=True))
)
BY_WAMID = sa.select(messages.c.id, messages.c.wamid).where(
    messages.c.wamid.in_(sa.bindparam("wamids", expanding=True)), messages.c.status.is_not(None)
)
# What was never claimed can't have been sent: then the report is another installation's.
BY_OWN_ID = sa.select(messages.c.id, messages.c.wamid).where(
    messages.c.id.in_(sa.bindparam("ids", expanding=True)), messages.c.attempts > 0, messages.c.status.is_not(None)
)
TOLD_FAILED = sa.select(reports.c.wamid).where(
    reports.c.wamid.in_(sa.bindparam("wamids", expanding=True)), reports.c.status == Status.FAILED.value
)
# It went out, and not by us: typed on the phone, or said by Meta's own agent.
SAID_ELSEWHERE = sa.and_(messages.c.attempts == 0, messages.c.wamid.is_not(None))
# That it failed is only what we made of it: Meta has not said so of what it accepted.
NOT_TOLD_FAILED = sa.and_(
    messages.c.wamid.is_not(None),
    ~sa.select(reports.c.id)
    .where(reports.c.wamid == messages.c.wamid, reports.c.status == Status.FAILED.value)
    .exists(),
)
FAILED = sa.text("messages.status = 'failed'")
ARRIVED = {Status.SENT, Status.DELIVERED, Status.READ, Status.PLAYED}  # as far as Meta has told us
REPEATED = sa.select(messages.c.status, messages.c.again_of).where(messages.c.id == sa.bindparam("id_"))
MOVE_ON = (
    sa.update(messages)
    .where(messages.c.id == sa.bindparam("id_"))
    .values(
        status=sa.bindparam("status_"),
        wamid=sa.bindparam("wamid_"),
        error=sa.bindparam("error_"),
        error_code=sa.bindparam("error_code_"),
        lease_until=None,
    )
)


@dataclass(frozen=True)
class Outgoing:
    """A message claimed for sending, with all the sender needs to know."""

    id: int
    conversation_id: int
    phone_number_id: str
    phone: str | None
    bsuid: str | None
    content: says.Outbound
    attempts: int  # how often it was claimed: no two claims have the same
    tries: int = 1  # how often it was sent, this time included, and something was wrong with this very message
    slowed: int = 0  # how often in a row Meta found its number too fast
    reply_to: str | None = None  # the wamid it quotes
    media_id: str = ""  # Meta's, once its file is uploaded
    claimed_at: datetime | None = None
    claimed_s: float = field(default_factory=time.monotonic, compare=False)  # the same, by a clock that nobody sets

    def held_for(self, now: datetime) -> timedelta:
        """Return how much of its lease has gone: whichever clock says more, for a process may sleep, and a machine."""
        by_wall = now - (self.claimed_at or now)
        return max(by_wall, timedelta(seconds=time.monotonic() - self.claimed_s))

    @property
    def callback(self) -> str:
        """What travels with it, and comes back in every status."""
        return f"{CALLBACK}{self.id}"


class Kind(str, Enum):
    """The five things that can follow a send."""

    ACCEPTED = "accepted"
    LATER = "later"  # Meta asks us to wait
    UNHEARD = "unheard"  # no answer: it may have been accepted
    REFUSED = "refused"  # never as it is
    SLOWER = "slower"  # this number sends too fast; so must everything else it sends wait
    STOPPED = "stopped"  # we may not send at all; nothing is wrong with this message


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt to send."""

    kind: Kind
    wamid: str = ""
    words: str = ""
    wait: timedelta = timedelta(0)
    code: int = 0  # Meta's
    everywhere: bool = False  # not this number alone: all of ours


def lock_conversation(tx: Transaction, conversation_id: int, *, skip_locked: bool = False) -> Any:
    """Return the conversation's row, held until this transaction ends, so that moves and words can't cross.

    Every writer locks the conversation before its messages. Not against the foreign keys of rows that point to it,
    which inserts take; so nobody waits for an insert.
    """
    query = sa.select(conversations).where(conversations.c.id == conversation_id)
    return tx.execute(query.with_for_update(skip_locked=skip_locked, key_share=True)).first()


def _locked_message(tx: Transaction, message_id: int, *, skip_locked: bool = False) -> tuple[Any, Any]:
    """Return a message's conversation, locked, and the message as it is then; Nones if that is busy and we skip."""
    found = sa.select(messages.c.conversation_id).where(messages.c.id == message_id)
    conversation = lock_conversation(tx, tx.execute(found).scalar_one(), skip_locked=skip_locked)
    if conversation is None:
        return None, None
    return conversation, tx.execute(sa.select(messages).where(messages.c.id == message_id)).one()


def queue(
    tx: Transaction,
    conversation_id: int,
    content: says.Outbound,
    *,
    author: Author,
    now: datetime,
    epoch: int | None = None,
    turn_id: int | None = None,
    agent_id: int | None = None,
    agent_name: str = "",
    client_key: str | None = None,
    reply_to: str | None = None,
    again_of: int | None = None,
) -> int | None:
    """Write a message down to be sent; return its id, or None if it may not be said (any more).

    `epoch` is the one the bot's turn began under: such words are refused, here and again when they are claimed,
    once a person has taken over. Words queued inside a move's own transaction (the hand off's sentence, the desk's
    goodbye) and an agent's reply carry none: they can't be stale, so they always arrive.
    The same `client_key` twice is one message.
    """
    says.sendable(content)
    row = lock_conversation(tx, conversation_id)
    if row is None:
        raise UnknownConversation(f"(id {conversation_id})")
    if epoch is not None and not may_bot_speak(row.holder, epoch, row.muted_at):
        log.info(
            "words composed before a person took over were not queued",
            extra={"action": "muted", "conversation": row.key},
        )
        return None
    if client_key is not None:
        known = tx.execute(
            sa.select(messages.c.id).where(
                messages.c.conversation_id == conversation_id, messages.c.client_key == client_key
            )
        ).scalar()
        if known is not None:
            return int(known)
    _hurry_repetitions(tx, conversation_id)
    n = None
    if turn_id is not None:
        said = sa.select(sa.func.count()).where(messages.c.turn_id == turn_id, messages.c.n.is_not(None))
        n = tx.execute(said).scalar()
    result = tx.execute(
        sa.insert(messages).values(
            conversation_id=conversation_id,
            author=author,
            type=says.type_of(content),
            text=content.text,
            content=says.to_json(content),
            at=now,
            waiting=False,
            status=Status.QUEUED,
            turn_id=turn_id,
            n=n,
            epoch=epoch,
            said_under=row.epoch if epoch is None else epoch,
            agent_id=agent_id,
            agent_name=agent_name,
            client_key=client_key,
            reply_to=reply_to,
            again_of=again_of,
        )
    )
    tx.execute(sa.update(conversations).where(conversations.c.id == conversation_id).values(last_message_at=now))
    changes.note(tx, conversation_id, Change.MESSAGE, now)
    message_id = int(result.inserted_primary_key[0])
    hooks.said(tx, conversation_id, message_id, now)
    return message_id


def _hurry_repetitions(tx: Transaction, conversation_id: int) -> None:
    """Let what waits to be sent once more go at once: something is to be said after it, and would wait as long."""
    waits = messages.c.again_of.is_not(None) & messages.c.not_before.is_not(None) & (messages.c.attempts == 0)
    mine = (messages.c.conversation_id == conversation_id) & (messages.c.status == Status.QUEUED)
    tx.execute(sa.update(messages).where(UNSENT, mine, waits).values(not_before=None))


def send_again(tx: Transaction, message_id: int, now: datetime, *, agent_id: int | None = None) -> int:
    """Queue what failed once more, as a new message; return its id. Twice is as good as once.

    What nobody typed (the bot's words, the desk's) goes under the epoch it was said under: once a person has taken
    over it is refused, and a later take withdraws it. Whether the window is open, and who may ask, is the caller's to
    know.
    """
    _, row = _locked_message(tx, message_id)
    known = tx.execute(sa.select(messages.c.id).where(messages.c.again_of == message_id)).scalar()
    if known is not None:
        return int(known)
    _require_failed(row, "sent again")
    if row.attempts == 0 and row.wamid is not None:
        raise NotAllowed("(it was typed on the phone, or said by Meta's own agent; Baton has never sent it)")
    if row.wamid is not None and not tx.execute(TOLD_FAILED, {"wamids": [row.wamid]}).first():
        raise NotAllowed("(WhatsApp has accepted it and never said that it failed)")
    again = queue(
        tx,
        row.conversation_id,
        says.sendable(says.from_json(row.content)),
        author=row.author,
        epoch=None if row.author is Author.AGENT else row.said_under,
        agent_id=agent_id or row.agent_id,
        agent_name=row.agent_name,
        reply_to=row.reply_to,
        again_of=message_id,
        now=now,
    )
    if again is None:
        raise Overtaken
    return again


def set_aside(tx: Transaction, message_id: int, now: datetime) -> None:
    """Let what failed rest: it need not go out any more. Twice is as good as once."""
    _, row = _locked_message(tx, message_id)
    _require_failed(row, "set aside")
    if row.set_aside_at is None:
        tx.execute(sa.update(messages).where(messages.c.id == message_id).values(set_aside_at=now))


def _require_failed(row: Any, done: str) -> None:
    if row.status is not Status.FAILED:
        raise NotAllowed(f"(it is {row.status.value if row.status else 'not ours'}; only what failed is {done})")


@dataclass(frozen=True)
class Dead:
    """A message that will not go out unless somebody sends it again."""

    id: int
    key: str
    at: datetime
    author: Author
    type: str
    error: str
    code: int


class Rest(str, Enum):
    """Why a message that failed waits for nobody, or that it does."""

    FAILED = "failed"  # somebody has to see to it
    SET_ASIDE = "set_aside"  # somebody has: it need not go out
    OVERTAKEN = "overtaken"  # the bot said it, and a person has taken over since


def dead_letters(tx: Transaction, limit: int = 100, rest: Rest = Rest.FAILED) -> list[Dead]:
    """Return what failed and was not sent again, the newest first: what waits for somebody, or what no longer does."""
    again = messages.alias("again")
    repeated = sa.select(again.c.id).where(again.c.again_of == messages.c.id).exists()
    overtaken = (messages.c.author != Author.AGENT) & _is_overtaken(messages.c.said_under)
    aside = messages.c.set_aside_at.is_not(None)
    which = {
        Rest.FAILED: sa.and_(~aside, ~overtaken),
        Rest.SET_ASIDE: aside,
        Rest.OVERTAKEN: sa.and_(~aside, overtaken),
    }
    rows = tx.execute(
        sa.select(messages, conversations.c.key)
        .join(conversations, conversations.c.id == messages.c.conversation_id)
        .where(FAILED, ~repeated, ~NOT_TOLD_FAILED, ~SAID_ELSEWHERE, which[rest])
        .order_by(messages.c.id.desc())
        .limit(limit)
    )
    return [Dead(row.id, row.key, row.at, row.author, row.type, row.error, row.error_code) for row in rows]


def _is_overtaken(epoch: Any) -> Any:
    """Return the condition under which a person has taken over since this epoch; may_bot_speak decides in the end."""
    return (conversations.c.holder == Holder.AGENT) | (epoch < conversations.c.muted_at)


def _may_go(now: datetime, stopped: Collection[str] = ()) -> Any:
    """Return the condition under which a queued message is looked at: its time has come, its number is not stopped.

    What a person has overtaken is withdrawn as soon as it is looked at, however long it was to wait: their own words
    are behind it.
    """
    withdrawn = messages.c.epoch.is_not(None) & _is_overtaken(messages.c.epoch)
    due = sa.and_(
        UNSENT,
        messages.c.status == Status.QUEUED,
        conversations.c.phone_number_id.not_like(f"{CHANNEL}%"),  # guests have their own bot, which is called
        sa.or_(messages.c.not_before.is_(None), messages.c.not_before <= now, withdrawn),
        sa.or_(
            conversations.c.awaits_until.is_(None),
            conversations.c.awaits_until <= now,
            conversations.c.awaits_until > now + IN_ORDER,  # longer than anything waits: the clock was set back
        ),
    )
    return due & conversations.c.phone_number_id.not_in(sorted(stopped)) if stopped else due


def _stopped(tx: Transaction, now: datetime) -> set[str]:
    """Return which of our numbers may not send now: all that wait for one would hide what another may send."""
    told = numbers.c.stopped_until > now
    paced = (numbers.c.paced_until > now + NUMBER_BURST) & (numbers.c.paced_until <= now + NUMBER_OWES)
    return set(tx.execute(sa.select(numbers.c.phone_number_id).where(told | paced)).scalars())


def _all_are(tx: Transaction, stopped: Collection[str]) -> bool:
    """Say whether no other number has conversations; they are few, and an index leads from one to the next."""
    number: str | None = ""
    while number is not None:
        following = sa.select(sa.func.min(conversations.c.phone_number_id))
        number = tx.execute(following.where(conversations.c.phone_number_id > number)).scalar()
        if number is not None and number not in stopped and not number.startswith(CHANNEL):
            return False
    return True


def is_due(tx: Transaction, now: datetime) -> bool:
    """Say whether anything could be claimed; a cheap look before a transaction that writes."""
    stopped = _stopped(tx, now)
    if stopped and _all_are(tx, stopped):
        return False  # however much waits, which can be very much by then
    found = sa.select(messages.c.id).join(conversations, conversations.c.id == messages.c.conversation_id)
    return tx.execute(found.where(_may_go(now, stopped)).limit(1)).first() is not None


def claim(tx: Transaction, now: datetime, lease: timedelta = LEASE, *, per_second: float = 80.0) -> Outgoing | None:
    """Take the oldest message that may go now.

    What a person has overtaken is withdrawn on the way, what comes too late for the window fails. None means that
    nothing can be sent just now. `per_second` is the throughput of each of our numbers.
    """
    found = claim_some(tx, now, 1, lease, per_second=per_second)
    return found[0] if found else None


def claim_some(
    tx: Transaction, now: datetime, most: int, lease: timedelta = LEASE, *, per_second: float = 80.0
) -> list[Outgoing]:
    """Take up to `most` messages that may go now, each of another conversation, the oldest first."""
    earlier = messages.alias("earlier")
    blocked = (
        sa.select(earlier.c.id)
        .where(
            earlier.c.conversation_id == messages.c.conversation_id,
            earlier.c.id < messages.c.id,
            earlier.c.status.in_((Status.QUEUED, Status.SENDING)),
        )
        .exists()
    )
    stopped = _stopped(tx, now)
    claimed: list[Outgoing] = []
    resolved, before = 0, -1
    while before < resolved < RESOLVED_AT_ONCE and len(claimed) < most:  # what was withdrawn lets the next one go
        before = resolved
        candidates = tx.execute(
            sa.select(messages.c.id, messages.c.conversation_id, conversations.c.phone_number_id)
            .join(conversations, conversations.c.id == messages.c.conversation_id)
            .where(_may_go(now, stopped), ~blocked)
            .order_by(messages.c.id)
            .limit(20 + most)
        ).all()
        _know_numbers(tx, {candidate.phone_number_id for candidate in candidates})
        for candidate in candidates:
            found = _claim(tx, candidate, now, lease, per_second)
            if isinstance(found, Outgoing):
                claimed.append(found)
                if len(claimed) == most:
                    break
            resolved += found is _RESOLVED
    return claimed


_RESOLVED = object()  # the message needs no sending any more


def _claim(tx: Transaction, candidate: Any, now: datetime, lease: timedelta, per_second: float) -> object:
    """Take one message, resolve it without sending, or leave it (None)."""
    # The conversation is locked before the message everywhere, or two processes could wait for each other.
    conversation = lock_conversation(tx, candidate.conversation_id, skip_locked=True)
    if conversation is None:
        return None  # another process is busy with this conversation; its message keeps
    mine = (messages.c.id == candidate.id) & (messages.c.status == Status.QUEUED)
    row = tx.execute(sa.select(messages).where(mine)).first()
    if row is None or not _is_first(tx, row) or _awaits(conversation, now):
        return None  # another sender was here since we looked
    content = _to_be_sent(tx, conversation, row, now)
    if content is None:
        return _RESOLVED
    number = _number(tx, conversation.phone_number_id)
    if number is None:
        return None  # another sender is busy with this number
    pause = _contact_pauses(conversation, now) or _number_pauses(number, now)
    if pause is not None:
        tx.execute(sa.update(messages).where(mine).values(not_before=pause))
        return None
    _charge(tx, conversation, number, now, per_second)
    if file_of(content):
        lease = max(lease, UPLOAD_LEASE)
    step = {
        "status": Status.SENDING,
        "lease_until": now + lease,
        "attempts": row.attempts + 1,
        "door_s": _open_s(tx),
    }
    if not tx.execute(sa.update(messages).where(mine).values(step)).rowcount:
        return None
    contact = tx.execute(sa.select(contacts).where(contacts.c.id == conversation.contact_id)).one()
    return Outgoing(
        id=row.id,
        conversation_id=row.conversation_id,
        phone_number_id=conversation.phone_number_id,
        phone=contact.phone,
        bsuid=contact.bsuid,
        content=content,
        attempts=row.attempts + 1,
        tries=row.tries + 1,
        slowed=number.slowed,
        reply_to=row.reply_to,
        claimed_at=now,
    )


def _to_be_sent(tx: Transaction, conversation: Any, row: Any, now: datetime) -> says.Outbound | None:
    """Return what a message says; None if it need not be sent (any more), or can't be, which is written down here."""
    if row.again_of is not None and _arrived_before(tx, row):
        _keep_here(tx, row, now)
        return None
    if row.epoch is not None and not may_bot_speak(conversation.holder, row.epoch, conversation.muted_at):
        _move(tx, row, Status.WITHDRAWN, now, error="a person took over before it was sent")
        log.info(
            "words composed before a person took over were withdrawn",
            extra={"action": "withdrawn", "conversation": conversation.key},
        )
        return None
    try:
        content = says.sendable(says.from_json(row.content))
    except UNREADABLE as problem:  # a limit was lowered since; the next one must still go
        _move(tx, row, Status.FAILED, now, error=f"it can't be sent as it is: {problem}")
        return None
    if not isinstance(content, says.Template) and not window_is_open(conversation.window_ends, now):
        words = "more than 24 hours since the contact last wrote; only a template may be sent"
        _move(tx, row, Status.FAILED, now, error=words, error_code=SHUT)
        return None
    return content


def file_of(content: says.Outbound) -> says.Media | None:
    """Return what has to be uploaded before this can be sent, if anything."""
    media = content if isinstance(content, says.Media) else getattr(content, "picture", None)
    return media if media is not None and media.file else None


def renew(tx: Transaction, message_id: int, now: datetime, *, attempt: int) -> bool:
    """Begin the lease of this attempt anew once the upload is done; False if it may not be sent (any more).

    Then its lease ran out and somebody else has it, or a person took over meanwhile.
    """
    conversation, row = _locked_message(tx, message_id)
    muted = row.epoch is not None and not may_bot_speak(conversation.holder, row.epoch, conversation.muted_at)
    if row.status is not Status.SENDING or row.attempts != attempt or muted:
        return False
    anew = {"lease_until": now + LEASE, "door_s": _open_s(tx)}  # nothing was sent before: listening begins here
    tx.execute(sa.update(messages).where(messages.c.id == message_id).values(anew))
    return True


def _open_s(tx: Transaction) -> float:
    """Return how long the webhook was open until now, all in all."""
    return tx.execute(sa.select(doors.c.open_s).where(doors.c.name == WEBHOOK)).scalar() or 0.0


def _is_first(tx: Transaction, row: Any) -> bool:
    """Say, under the conversation's lock, whether nothing said before it is still to be sent."""
    before = (
        (messages.c.conversation_id == row.conversation_id)
        & (messages.c.id < row.id)
        & messages.c.status.in_((Status.QUEUED, Status.SENDING))
    )
    return tx.execute(sa.select(messages.c.id).where(before).limit(1)).first() is None


def _awaits(conversation: Any, now: datetime) -> bool:
    """Say whether the last message's delivery is still waited for, for the sake of order."""
    return conversation.awaits_until is not None and now < conversation.awaits_until <= now + IN_ORDER


# The leaky bucket as one moment: when everything sent so far would be paid off at the pace that is allowed.


def _owed(paid_off: datetime | None, most: timedelta, now: datetime) -> datetime:
    """Return until when what was sent is paid off; more than anybody can owe is from before the clock was set back."""
    return paid_off if paid_off is not None and now < paid_off <= now + most else now


def _contact_pauses(conversation: Any, now: datetime) -> datetime | None:
    """Return when the next message to this contact may go, if they have had too many."""
    earliest = _owed(conversation.paced_until, PAIR_OWES, now) - PAIR_EVERY * (PAIR_BURST - 1)
    return earliest if earliest > now else None


def _number_pauses(number: Any, now: datetime) -> datetime | None:
    """Return when this number may send again, if it has sent too many."""
    earliest = _owed(number.paced_until, NUMBER_OWES, now) - NUMBER_BURST
    return earliest if earliest > now else None


def _charge(tx: Transaction, conversation: Any, number: Any, now: datetime, per_second: float) -> None:
    """Count one message to this contact and of this number; only once both allow it."""
    paid_off = _owed(conversation.paced_until, PAIR_OWES, now) + PAIR_EVERY
    theirs = conversations.c.id == conversation.id
    tx.execute(sa.update(conversations).where(theirs).values(paced_until=paid_off))
    paid_off = _owed(number.paced_until, NUMBER_OWES, now) + timedelta(seconds=1 / per_second)
    ours = numbers.c.phone_number_id == number.phone_number_id
    tx.execute(sa.update(numbers).where(ours).values(paced_until=paid_off))


def _give_back(tx: Transaction, conversation: Any, now: datetime) -> None:
    """Count one message to this contact less: it never left."""
    if conversation.paced_until is not None and conversation.paced_until > now:
        paid_off = max(conversation.paced_until - PAIR_EVERY, now)
        mine = conversations.c.id == conversation.id
        tx.execute(sa.update(conversations).where(mine).values(paced_until=paid_off))


def _know_numbers(tx: Transaction, ours: Collection[str]) -> None:
    """Have a row for each of these numbers; new ones in one order, since who inserts waits for who has inserted."""
    known = set(tx.execute(sa.select(numbers.c.phone_number_id)).scalars())
    for phone_number_id in sorted(set(ours) - known):
        insert_new(tx, numbers, phone_number_id=phone_number_id)


def _number(tx: Transaction, phone_number_id: str) -> Any:
    """Return one of our numbers, locked; None while another sender has it.

    Nobody who holds a number waits for another one, or two senders could wait for each other.
    """
    mine = numbers.c.phone_number_id == phone_number_id
    return tx.execute(sa.select(numbers).where(mine).with_for_update(skip_locked=True)).first()


def bring_under(
    tx: Transaction, conversation_id: int, message_ids: list[int], *, muted_at: int, epoch: int, now: datetime
) -> None:
    """Carry our words over to a conversation theirs was merged into, where epochs count differently.

    What a person had overtaken there must not be heard here, nor be sent again should it turn out to have failed; the
    rest counts as composed now.
    """
    ours = messages.c.id.in_(message_ids)
    bound = ours & messages.c.epoch.is_not(None)
    for row in tx.execute(sa.select(messages).where(bound, messages.c.status == Status.QUEUED)).all():
        if row.epoch < muted_at:
            _move(tx, row, Status.WITHDRAWN, now, error="a person took over before it was sent")
    for column, which in ((messages.c.epoch, bound), (messages.c.said_under, ours)):
        under = sa.case((column >= muted_at, epoch), else_=-1)  # if it is being sent now: not a second time
        tx.execute(sa.update(messages).where(which).values({column.name: under}))


def stop_number(tx: Transaction, phone_number_id: str, until: datetime) -> None:
    """Send nothing from this number until then, or for longer if it was told so; nothing is lost, everything waits."""
    insert_new(tx, numbers, phone_number_id=phone_number_id)
    sooner = numbers.c.stopped_until.is_(None) | (numbers.c.stopped_until < until)
    mine = (numbers.c.phone_number_id == phone_number_id) & sooner
    tx.execute(sa.update(numbers).where(mine).values(stopped_until=until))


def _slow_down(tx: Transaction, phone_number_id: str, until: datetime, now: datetime, *, everywhere: bool) -> None:
    """Send nothing from this number until then, or from none of ours; each time in a row it is found too fast counts.

    What was on its way with the message that told us first is told the same: that is once.
    """
    known = tx.execute(sa.select(numbers.c.phone_number_id)).scalars() if everywhere else ()
    for ours in sorted({phone_number_id, *known}):  # in one order, for others may do the same
        goes_on = numbers.c.stopped_until.is_(None) | (numbers.c.stopped_until <= now)
        mine = (numbers.c.phone_number_id == ours) & goes_on
        tx.execute(sa.update(numbers).where(mine).values(slowed=numbers.c.slowed + 1))
        stop_number(tx, ours, until)


def is_fast_enough(tx: Transaction, phone_number_id: str) -> None:
    """Meta has taken something from this number again: the next time it is too fast, the first wait is short."""
    mine = numbers.c.phone_number_id == phone_number_id
    tx.execute(sa.update(numbers).where(mine).values(slowed=0))


def settle(  # noqa: C901  # one case for each kind
    tx: Transaction, message_id: int, outcome: Outcome, now: datetime, *, attempt: int | None = None
) -> None:
    """Write down what became of a claimed message; `attempt` says of which claim.

    A sender that slept through its lease may come back when another one has the message: then only what Meta has
    accepted still counts, or the same words would be put back and sent again.
    """
    conversation, row = _locked_message(tx, message_id)
    if attempt is not None and row.attempts != attempt and outcome.kind is not Kind.ACCEPTED:
        return
    if row.status is not Status.SENDING and outcome.kind is not Kind.ACCEPTED:
        return  # a status told us more than the answer could
    if outcome.kind in {Kind.LATER, Kind.SLOWER, Kind.STOPPED}:
        _give_back(tx, conversation, now)
    match outcome.kind:
        case Kind.ACCEPTED:
            _accept(tx, row, outcome.wamid, now)
        case Kind.LATER | Kind.SLOWER:
            if row.type != "template" and not window_is_open(conversation.window_ends, now):
                _move(tx, row, Status.FAILED, now, error=outcome.words, error_code=outcome.code)
                return
            # However often: giving up is for when it could not be sent any more.
            later = now + outcome.wait
            tries = row.tries + (outcome.kind is Kind.LATER)
            why = {"error": outcome.words, "error_code": outcome.code}
            _move(tx, row, Status.QUEUED, now, not_before=later, tries=tries, **why)
            if outcome.kind is Kind.SLOWER:
                _slow_down(tx, conversation.phone_number_id, later, now, everywhere=outcome.everywhere)
        case Kind.UNHEARD:
            # It stays `sending` until its lease ends: a status bearing our callback may still settle it.
            listening = {"error": outcome.words[:500], "lease_until": now + LISTENING}
            tx.execute(sa.update(messages).where(messages.c.id == message_id).values(listening))
        case Kind.REFUSED:
            _move(tx, row, Status.FAILED, now, error=outcome.words, error_code=outcome.code)
        case Kind.STOPPED:
            _move(tx, row, Status.QUEUED, now, error=outcome.words, error_code=outcome.code)
            stop_number(tx, conversation.phone_number_id, now + outcome.wait)


def _accept(tx: Transaction, row: Any, wamid: str, now: datetime) -> None:
    """Meta has said yes. It may have told us more than that before: then its answer only names the message."""
    status = _hears_sent(tx, row.status, row.wamid or wamid)
    if status is not row.status:
        _move(tx, row, status, now, wamid=row.wamid or wamid, error="", error_code=0)
        if row.status is Status.FAILED:
            _has_arrived(tx, [(row.conversation_id, row.id)], now)
    elif row.wamid is None:
        tx.execute(sa.update(messages).where(messages.c.id == row.id).values(wamid=wamid))
    if status is Status.SENT and row.type != "reaction":  # of a reaction no delivery is ever reported
        _await(tx, row.conversation_id, row.id, now + IN_ORDER)
    _apply_early_reports(tx, row.id, wamid, now)


def expire(tx: Transaction, now: datetime) -> int:
    """Queue again what was being sent when its sender fell silent; return how many.

    It may have been accepted, which only a report can tell. So we must have been able to hear one: after a crash of
    everything the sender is back long before the webhook is, and what Meta could not tell us it tells again after a
    pause as long as the outage. If nobody could hear for very long, a person decides: nothing is ever sent twice.
    """
    # Further off than any lease lasts: the clock was set back, and listening begins anew.
    odd = (messages.c.status == Status.SENDING) & (messages.c.lease_until > now + UPLOAD_LEASE)
    tx.execute(sa.update(messages).where(UNSENT, odd).values(lease_until=now + LISTENING, door_s=_open_s(tx)))
    silent = (messages.c.status == Status.SENDING) & (messages.c.lease_until < now)
    due = tx.execute(sa.select(messages).where(UNSENT, silent).limit(100)).all()
    if not due:
        return 0
    door = tx.execute(sa.select(doors).where(doors.c.name == WEBHOOK)).first()
    expired = 0
    for found in due:
        verdict = _may_have_been_accepted(found, door, _heard(tx, found.lease_until - LEASE, now), now)
        if verdict is None:
            continue
        _, row = _locked_message(tx, found.id, skip_locked=True)
        if row is None or row.status is not Status.SENDING or row.lease_until != found.lease_until:
            continue
        expired += 1
        tries = row.tries + 1  # also where its sender died of it, and did not even say that nobody answered
        if verdict or (now - row.at > GIVEN_UP_AFTER and tries >= TRIES_MAX):
            why = DOUBTFUL if verdict else row.error or "WhatsApp gave no answer"
            _move(tx, row, Status.FAILED, now, tries=tries, error=why)
        else:
            _move(tx, row, Status.QUEUED, now, tries=tries)
    return expired


def _heard(tx: Transaction, since: datetime, now: datetime) -> list[datetime]:
    """Return in which seconds Meta has brought us anything since then: of a busy minute sixty, not thousands."""
    came = (deliveries.c.received_at >= since) & (deliveries.c.received_at <= now)  # later: the clock was set back
    second = sa.cast(sa.extract("epoch", deliveries.c.received_at), sa.BigInteger)
    seconds = tx.execute(sa.select(second).where(came).distinct().order_by(second)).scalars()
    return [datetime.fromtimestamp(one, timezone.utc) for one in seconds]


def _longest_silence(since: datetime, heard: list[datetime]) -> tuple[timedelta, datetime]:
    """Return how long Meta brought us nothing at the longest, and when it brought something again."""
    silences = ((came - before, came) for before, came in zip([since, *heard[:-1]], heard, strict=True))
    return max(silences, key=lambda silence: silence[0])


def _may_have_been_accepted(row: Any, door: Any, heard: list[datetime], now: datetime) -> bool | None:
    """Say whether a message nobody answered for may have arrived: False is known, True is unknowable, None not yet.

    Reports come within seconds of a message; so silence means no, once the door was open for a while and Meta has
    brought us something at the end of it: a line may be cut outside, where the door can't see it. What Meta could not
    bring meanwhile it tries again, each time after a longer pause, but hardly one longer than all the time it failed:
    so the longest silence counts, wherever it lies.
    """
    if door is None or door.seen_at < now - DOOR_SEEN_WITHIN:  # shut at the moment
        shut_at = row.lease_until if door is None else max(row.lease_until, door.seen_at)
        return True if now - shut_at > LISTENED_ENOUGH else None
    sent_at = row.lease_until - LEASE
    listened = timedelta(seconds=max(door.open_s - (row.door_s or 0.0), 0.0))
    shut = min(max(now - sent_at - listened, timedelta(0)), LISTENED_ENOUGH)
    if listened <= LISTENING + shut:
        return None
    if heard:
        silence, came_again = _longest_silence(sent_at, heard)
        if heard[-1] - came_again >= LISTENING + max(shut, silence):
            return False
        if now - heard[-1] < LISTENING:  # they still come; soon it will be known
            return None
    return True if listened > LISTENING + shut + SILENCE else None


def hear_all(tx: Transaction, reported: list[Reported], now: datetime) -> list[bool]:
    """Keep reports and move their messages on, in a few statements however many; say which were news.

    Three of four deliveries are reports, so this is what the webhook's speed hangs on.
    """
    known = {(row.wamid, row.status) for row in tx.execute(KNOWN_REPORTS, {"wamids": [one.wamid for one in reported]})}
    news = []
    for one in reported:
        key = (one.wamid, one.status.value)
        news.append(key not in known)
        known.add(key)
    fresh = [one for one, is_news in zip(reported, news, strict=True) if is_news]
    if not fresh:
        return news
    message_ids = _reported_messages(tx, fresh)
    rows = _locked_messages(tx, {found for found in message_ids if found is not None})
    tx.execute(
        KEEP_REPORT,
        [
            {
                "wamid": one.wamid,
                "status": one.status.value,
                "at": one.at,
                "message_id": message_id,
                "callback": one.callback,
                "error": one.error[:500],
                "code": one.code,
                "pricing": one.pricing,
                "passes": one.passes,
                "stops": one.stops,
            }
            for one, message_id in zip(fresh, message_ids, strict=True)
        ],
    )
    heard = [(one, rows[found]) for one, found in zip(fresh, message_ids, strict=True) if found is not None]
    were = {row["id"]: row["status"] for _, row in heard}
    _follow(tx, heard, now)
    for one, row in heard:
        if one.status is Status.FAILED and _has_failed(row) and were[row["id"]] is not Status.FAILED:
            _act_on_failure(tx, one, row, now)
    return news


def _act_on_failure(tx: Transaction, report: Reported | Any, row: dict[str, Any], now: datetime) -> None:
    """Do what Meta's reason asks for, once it fails what it had accepted.

    What passes by itself goes once more, if nothing was said after it: order comes first. What concerns every message
    of the number stops it for a while, or they would all fail, one after the other.
    """
    if report.stops:
        mine = conversations.c.id == row["conversation_id"]
        number = tx.execute(sa.select(conversations.c.phone_number_id).where(mine)).scalar_one()
        stop_number(tx, number, now + FAILING_WAIT)
        words = (
            f"WhatsApp accepts our messages and then fails them: {report.error}. What failed is listed at /updates. "
            f'Once it is mended: python -m handoff alarm clear "failing {number}"'
        )
        alarms.raise_alarm(tx, f"failing {number}"[:64], words, now)
    later = (messages.c.conversation_id == row["conversation_id"]) & (messages.c.id > row["id"])
    said_since = sa.select(messages.c.id).where(later, messages.c.status.is_not(None)).limit(1)
    if report.passes and row["again_of"] is None and tx.execute(said_since).first() is None:
        try:
            again = send_again(tx, row["id"], now)
        except (NotAllowed, TooLong):
            return  # a person has taken over since
        tx.execute(sa.update(messages).where(messages.c.id == again).values(not_before=now + FAILING_WAIT))
        _need_no_person(tx, [(row["conversation_id"], row["id"])])


def _reported_messages(tx: Transaction, reported: list[Reported]) -> list[int | None]:
    """Find the messages these reports speak of: by Meta's id, or by ours where we never heard Meta's."""
    rows = tx.execute(BY_WAMID, {"wamids": [one.wamid for one in reported]})
    by_wamid = {row.wamid: int(row.id) for row in rows}
    ours = {one.wamid: found for one in reported if one.wamid not in by_wamid and (found := _own_id(one)) is not None}
    if ours:
        # Its answer may have been written down since the first look: then Meta's id is there now.
        wamids = {row.id: row.wamid for row in tx.execute(BY_OWN_ID, {"ids": list(ours.values())})}
        by_wamid |= {wamid: id_ for wamid, id_ in ours.items() if id_ in wamids and wamids[id_] in {None, wamid}}
    return [by_wamid.get(one.wamid) for one in reported]


def _own_id(reported: Reported) -> int | None:
    """Return our id of the message, which travelled along."""
    number = reported.callback.removeprefix(CALLBACK)
    ours = reported.callback.startswith(CALLBACK) and number.isascii() and number.isdigit()
    return int(number[:18]) if ours else None


def _locked_messages(tx: Transaction, message_ids: set[int]) -> dict[int, dict[str, Any]]:
    """Return messages of ours as they are once their conversations are locked."""
    if not message_ids:
        return {}
    ids = sorted(message_ids)
    mine = sa.select(messages.c.conversation_id).where(messages.c.id.in_(ids))
    lock = sa.select(conversations.c.id).where(conversations.c.id.in_(mine)).order_by(conversations.c.id)
    tx.execute(lock.with_for_update(key_share=True)).all()
    return {row.id: dict(row._mapping) for row in tx.execute(sa.select(messages).where(messages.c.id.in_(ids)))}


def _follow(tx: Transaction, heard: list[tuple[Any, dict[str, Any]]], now: datetime) -> None:
    """Move messages on as reports say; what waited for their delivery may go. The rows follow along."""
    moved: dict[int, dict[str, Any]] = {}
    failed = {row["id"] for _, row in heard if row["status"] is Status.FAILED}
    for report, row in heard:
        told = Status(report.status)
        status = advance(row["status"], told)
        if told is Status.SENT:
            status = _hears_sent(tx, row["status"], report.wamid)
        if status is row["status"] and row["wamid"] is not None:
            continue
        row |= {"status": status, "wamid": report.wamid}
        if status is not Status.FAILED:
            row |= {"error": "", "error_code": 0}
        elif told is Status.FAILED:
            row |= {"error": (report.error or "WhatsApp could not deliver it")[:500], "error_code": report.code}
        moved[row["id"]] = row
    _keep_moved(tx, list(moved.values()), now)
    places = {row["id"]: (row["conversation_id"], row["id"]) for _, row in heard}
    _has_arrived(tx, [places[row["id"]] for row in moved.values() if row["id"] in failed and not _has_failed(row)], now)
    # Failed, delivered, read, played: its place in the order is settled.
    settled = [places[row["id"]] for report, row in heard if Status(report.status) is not Status.SENT]
    if settled:
        nothing = {"awaits_id": None, "awaits_until": None}
        tx.execute(sa.update(conversations).where(_where(settled, conversations.c.awaits_id)).values(nothing))


def _keep_moved(tx: Transaction, moved: list[dict[str, Any]], now: datetime) -> None:
    """Write down how far these messages got, and what follows from it."""
    if not moved:
        return
    columns = ("status", "wamid", "error", "error_code")
    tx.execute(MOVE_ON, [{"id_": row["id"], **{f"{name}_": row[name] for name in columns}} for row in moved])
    for row in moved:
        if _has_failed(row) and row["author"] is Author.BOT:
            _leave_to_a_person(tx, row)
        if row["status"] is Status.SENT and row["type"] != "reaction":  # the report overtook the answer
            _await(tx, row["conversation_id"], row["id"], now + IN_ORDER)
    changes.note_all(tx, [row["conversation_id"] for row in moved], Change.STATUS, now)


def _has_failed(row: dict[str, Any]) -> bool:
    return row["status"] is Status.FAILED


def _hears_sent(tx: Transaction, status: Status, wamid: str) -> Status:
    """Return the status after Meta said that it has accepted the message.

    That outdoes a failure which is only our own conclusion from its silence, but none that it told us of.
    """
    if status is Status.FAILED and not tx.execute(TOLD_FAILED, {"wamids": [wamid]}).first():
        return Status.SENT
    return advance(status, Status.SENT)


def _where(pairs: Collection[tuple[int, int]], column: Any) -> Any:
    """Return the condition for the conversations in which this column names one of these messages.

    By the conversations' own ids, so that it need not look through all of them.
    """
    theirs, ids = sorted({one for one, _ in pairs}), sorted({one for _, one in pairs})
    return conversations.c.id.in_(theirs) & column.in_(ids)


def _has_arrived(tx: Transaction, pairs: Collection[tuple[int, int]], now: datetime) -> None:
    """What had failed did arrive: nobody need see to it, and what was to repeat it stays here.

    A repetition that a sender has in its hand may have been accepted; should it come back, `_claim` keeps it here.
    """
    _need_no_person(tx, pairs)
    ids = [message_id for _, message_id in pairs]
    while ids:
        repeats = tx.execute(sa.select(messages).where(messages.c.again_of.in_(ids))).all()
        for row in repeats:
            if row.status is Status.QUEUED:
                _keep_here(tx, row, now)
            elif row.status is Status.FAILED:
                tx.execute(sa.update(messages).where(messages.c.id == row.id).values(set_aside_at=now))
        ids = [row.id for row in repeats]
        _need_no_person(tx, [(row.conversation_id, row.id) for row in repeats])


def _keep_here(tx: Transaction, row: Any, now: datetime) -> None:
    """Withdraw a repetition, and let it be none: if the first one fails after all, that may be sent again."""
    _move(tx, row, Status.WITHDRAWN, now, error="it arrived the first time, after all", again_of=None)


def _arrived_before(tx: Transaction, row: Any) -> bool:
    """Say whether what this one repeats has arrived since."""
    again_of = row.again_of
    while again_of is not None:
        status, again_of = tx.execute(REPEATED, {"id_": again_of}).one()
        if status in ARRIVED:
            return True
    return False


def _need_no_person(tx: Transaction, pairs: Collection[tuple[int, int]]) -> None:
    """Forget that these words of the bot's did not arrive. Where a person was asked for already, one comes.

    One is also needed where others did not arrive either; a conversation remembers one of them at a time.
    """
    if not pairs:
        return
    for row in tx.execute(sa.select(conversations).where(_where(pairs, conversations.c.undelivered_id))).all():
        mine = conversations.c.id == row.id
        tx.execute(sa.update(conversations).where(mine).values(undelivered_id=_undelivered(tx, row)))


def _undelivered(tx: Transaction, conversation: Any) -> int | None:
    """Return words of the bot's that failed and nobody has seen to: no person was there or was asked for since."""
    again = messages.alias("again")
    mine = (messages.c.conversation_id == conversation.id) & (messages.c.author == Author.BOT)
    asked = sa.select(handoffs.c.id).where(
        handoffs.c.conversation_id == conversation.id, handoffs.c.asked_at >= messages.c.at
    )
    failed = sa.select(messages.c.id).where(
        mine,
        FAILED,
        messages.c.said_under >= conversation.muted_at,
        messages.c.set_aside_at.is_(None),
        ~NOT_TOLD_FAILED,
        ~sa.select(again.c.id).where(again.c.again_of == messages.c.id).exists(),
        ~asked.exists(),
    )
    found: int | None = tx.execute(failed.order_by(messages.c.id).limit(1)).scalar()
    return found


def _await(tx: Transaction, conversation_id: int, message_id: int, until: datetime) -> None:
    """Let the next message of the conversation wait for the delivery of this one."""
    mine = conversations.c.id == conversation_id
    tx.execute(sa.update(conversations).where(mine).values(awaits_id=message_id, awaits_until=until))


def _apply_early_reports(tx: Transaction, message_id: int, wamid: str, now: datetime) -> None:
    """Catch up with reports that came before the answer to the send itself."""
    early = (reports.c.wamid == wamid) & reports.c.message_id.is_(None)
    found = tx.execute(sa.select(reports).where(early).order_by(reports.c.id)).all()
    if not found:
        return
    row = dict(tx.execute(sa.select(messages).where(messages.c.id == message_id)).one()._mapping)
    was = row["status"]
    _follow(tx, [(report, row) for report in found], now)
    tx.execute(sa.update(reports).where(early).values(message_id=message_id))
    for report in found:
        if Status(report.status) is Status.FAILED and _has_failed(row) and was is not Status.FAILED:
            _act_on_failure(tx, report, row, now)


def carry(tx: Transaction, message_id: int, status: Status, now: datetime, *, error: str = "") -> None:
    """Move a message to a guest on: the bot that brought them was handed it, has it, or could not be told."""
    _, row = _locked_message(tx, message_id)
    if row.status is not None and advance(row.status, status) is not row.status:
        _move(tx, row, status, now, error=error)


def withdraw_if_overtaken(tx: Transaction, message_id: int, now: datetime) -> bool:
    """Withdraw a message to a guest that a person has overtaken before anybody was told of it; say whether it was."""
    conversation, row = _locked_message(tx, message_id)
    bound = row.status is Status.QUEUED and row.epoch is not None
    if bound and not may_bot_speak(conversation.holder, row.epoch, conversation.muted_at):
        _move(tx, row, Status.WITHDRAWN, now, error="a person took over before it was sent")
        return True
    return row.status is Status.WITHDRAWN


def _move(tx: Transaction, row: Any, status: Status, now: datetime, **columns: Any) -> None:
    """Write a status and tell whoever shows the conversation."""
    if "error" in columns:
        columns["error"] = columns["error"][:500]
    tx.execute(sa.update(messages).where(messages.c.id == row.id).values(status=status, lease_until=None, **columns))
    if status is Status.FAILED and row.author is Author.BOT:
        _leave_to_a_person(tx, row._mapping)
    changes.note(tx, row.conversation_id, Change.STATUS, now)


def _leave_to_a_person(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Remember that the bot's words did not arrive, unless a person has seen to them since; see
    handoffs.hand_off_undelivered.
    """
    mine = (conversations.c.id == row["conversation_id"]) & (conversations.c.muted_at <= row["said_under"])
    unknown = conversations.c.undelivered_id.is_(None)  # of several the first, and the others with it
    tx.execute(sa.update(conversations).where(mine, unknown).values(undelivered_id=row["id"]))
