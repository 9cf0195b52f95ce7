"""What goes out: queue it, claim it, settle it, give it up. The only writer of a message's status.

One message of a conversation is in flight at a time, and the next one waits until the last was delivered, or five
seconds: Meta carries separate calls in any order. What is sent to one contact, and by one of our numbers, is paced to
Meta's limits before Meta complains. Several senders may do this at once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa

from bot import messages as says
from bot.conversation import may_bot_speak, window_is_open
from bot.errors import NotAllowed, TooLong, UnknownConversation
from bot.ledger import changes
from bot.ledger.tables import UNSENT, contacts, conversations, deliveries, doors, messages, numbers, reports
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.updates import Reported
from bot.vocabulary import Author, Change, Status, advance

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=20)  # how long one send may take, time-outs included
UPLOAD_LEASE = timedelta(seconds=100)  # the same where a file goes first
LISTENING = timedelta(seconds=15)  # after no answer: how long a status may still tell us that it was accepted
LISTENING_IN_SILENCE = timedelta(seconds=45)  # longer, while Meta has brought us nothing at all since
WEBHOOK = "webhook"  # the door Meta's reports come in by
DOOR_SEEN_WITHIN = timedelta(seconds=10)
LISTENED_ENOUGH = timedelta(minutes=5)  # with the door shut all the time: then nobody can know, and a person decides
GIVEN_UP_AFTER = timedelta(hours=1)  # what got no answer again and again for so long; then a person sees to it
IN_ORDER = timedelta(seconds=5)  # how long the next message waits for the delivery of the last
PAIR_EVERY = timedelta(seconds=6)  # to one contact: one message in six seconds …
PAIR_BURST = 40  # … of which so many may be borrowed; Meta says 45, counting what it has not told us of
NUMBER_BURST = timedelta(seconds=0.5)  # of a number's throughput
SHUT = 131047  # Meta's code for a closed window
DOUBTFUL = "WhatsApp gave no answer, and no report came; it may have arrived. Ask before you send it again."
CALLBACK = "baton:"  # our message id travels as biz_opaque_callback_data under this prefix

# Made once, since building a statement costs more than running it, and these run for every report.
KEEP_REPORT = sa.insert(reports)
KNOWN_REPORTS = sa.select(reports.c.wamid, reports.c.status).where(
    reports.c.wamid.in_(sa.bindparam("wamids", expanding=True))
)
BY_WAMID = sa.select(messages.c.id, messages.c.wamid).where(
    messages.c.wamid.in_(sa.bindparam("wamids", expanding=True)), messages.c.status.is_not(None)
)
UNHEARD = sa.select(messages.c.id).where(
    messages.c.id.in_(sa.bindparam("ids", expanding=True)), messages.c.wamid.is_(None), messages.c.status.is_not(None)
)
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
    attempts: int
    reply_to: str | None = None  # the wamid it quotes
    media_id: str = ""  # Meta's, once its file is uploaded

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


def lock_conversation(tx: Transaction, conversation_id: int, *, skip_locked: bool = False) -> Any:
    """Return the conversation's row, held until this transaction ends, so that moves and words can't cross.

    Every writer locks the conversation before its messages. Not against the foreign keys of rows that point to it,
    which inserts take; so nobody waits for an insert.
    """
    query = sa.select(conversations).where(conversations.c.id == conversation_id)
    return tx.execute(query.with_for_update(skip_locked=skip_locked, key_share=True)).first()


def _locked_message(tx: Transaction, message_id: int, *, skip_locked: bool = False) -> Any:
    """Return a message of ours as it is once its conversation is locked; None if that is busy and we skip."""
    found = sa.select(messages.c.conversation_id).where(messages.c.id == message_id)
    if lock_conversation(tx, tx.execute(found).scalar_one(), skip_locked=skip_locked) is None:
        return None
    return tx.execute(sa.select(messages).where(messages.c.id == message_id)).one()


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
            agent_id=agent_id,
            agent_name=agent_name,
            client_key=client_key,
            reply_to=reply_to,
            again_of=again_of,
        )
    )
    tx.execute(sa.update(conversations).where(conversations.c.id == conversation_id).values(last_message_at=now))
    changes.note(tx, conversation_id, Change.MESSAGE, now)
    return int(result.inserted_primary_key[0])


def send_again(tx: Transaction, message_id: int, now: datetime, *, agent_id: int | None = None) -> int:
    """Queue what failed once more, as a new message; return its id. Twice is as good as once.

    Whether it may be said now is asked as for any message: by whom is the caller's to know.
    """
    row = _locked_message(tx, message_id)
    known = tx.execute(sa.select(messages.c.id).where(messages.c.again_of == message_id)).scalar()
    if known is not None:
        return int(known)
    if row.status is not Status.FAILED:
        raise NotAllowed(f"(it is {row.status.value if row.status else 'not ours'}; only what failed is sent again)")
    content: says.Outbound = says.from_json(row.content)  # type: ignore[assignment]  # only these are queued
    again = queue(
        tx,
        row.conversation_id,
        content,
        author=row.author,
        agent_id=agent_id or row.agent_id,
        agent_name=row.agent_name,
        reply_to=row.reply_to,
        again_of=message_id,
        now=now,
    )
    return int(again or 0)  # bound to no epoch, it is never refused


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


def dead_letters(tx: Transaction, limit: int = 100) -> list[Dead]:
    """Return what failed and was not sent again, the newest first."""
    again = messages.alias("again")
    repeated = sa.select(again.c.id).where(again.c.again_of == messages.c.id).exists()
    rows = tx.execute(
        sa.select(messages, conversations.c.key)
        .join(conversations, conversations.c.id == messages.c.conversation_id)
        .where(sa.text("messages.status = 'failed'"), ~repeated)
        .order_by(messages.c.id.desc())
        .limit(limit)
    )
    return [Dead(row.id, row.key, row.at, row.author, row.type, row.error, row.error_code) for row in rows]


def _may_go(now: datetime) -> Any:
    """Return the condition under which a queued message is looked at: its time has come, its number is not stopped."""
    stopped = (
        sa.select(numbers.c.phone_number_id)
        .where(numbers.c.phone_number_id == conversations.c.phone_number_id, numbers.c.stopped_until > now)
        .exists()
    )
    return sa.and_(
        UNSENT,
        messages.c.status == Status.QUEUED,
        sa.or_(messages.c.not_before.is_(None), messages.c.not_before <= now),
        sa.or_(conversations.c.awaits_until.is_(None), conversations.c.awaits_until <= now),
        ~stopped,
    )


def is_due(tx: Transaction, now: datetime) -> bool:
    """Say whether anything could be claimed; a cheap look before a transaction that writes."""
    found = sa.select(messages.c.id).join(conversations, conversations.c.id == messages.c.conversation_id)
    return tx.execute(found.where(_may_go(now)).limit(1)).first() is not None


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
    claimed: list[Outgoing] = []
    resolved = True
    while resolved and len(claimed) < most:  # again, when something was withdrawn: that lets the next one go
        resolved = False
        candidates = tx.execute(
            sa.select(messages.c.id, messages.c.conversation_id)
            .join(conversations, conversations.c.id == messages.c.conversation_id)
            .where(_may_go(now), ~blocked)
            .order_by(messages.c.id)
            .limit(20 + most)
        ).all()
        for candidate in candidates:
            found = _claim(tx, candidate, now, lease, per_second)
            if isinstance(found, Outgoing):
                claimed.append(found)
                if len(claimed) == most:
                    break
            resolved = resolved or found is _RESOLVED
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
    if row.epoch is not None and not may_bot_speak(conversation.holder, row.epoch, conversation.muted_at):
        _move(tx, row, Status.WITHDRAWN, now, error="a person took over before it was sent")
        log.info(
            "words composed before a person took over were withdrawn",
            extra={"action": "withdrawn", "conversation": conversation.key},
        )
        return _RESOLVED
    try:
        content: says.Outbound = says.from_json(row.content)  # type: ignore[assignment]  # only these are queued
    except (TooLong, KeyError, TypeError) as problem:  # a limit was lowered since; the next one must still go
        _move(tx, row, Status.FAILED, now, error=f"it can't be sent as it is: {problem}")
        return _RESOLVED
    if not isinstance(content, says.Template) and not window_is_open(conversation.window_ends, now):
        words = "more than 24 hours since the contact last wrote; only a template may be sent"
        _move(tx, row, Status.FAILED, now, error=words, error_code=SHUT)
        return _RESOLVED
    pause = _pace_contact(tx, conversation, now) or _pace_number(tx, conversation.phone_number_id, now, per_second)
    if pause is not None:
        tx.execute(sa.update(messages).where(mine).values(not_before=pause))
        return None
    if file_of(content):
        lease = max(lease, UPLOAD_LEASE)
    open_s = tx.execute(sa.select(doors.c.open_s).where(doors.c.name == WEBHOOK)).scalar()
    step = {
        "status": Status.SENDING,
        "lease_until": now + lease,
        "attempts": row.attempts + 1,
        "door_s": open_s or 0.0,
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
        reply_to=row.reply_to,
    )


def file_of(content: says.Outbound) -> says.Media | None:
    """Return what has to be uploaded before this can be sent, if anything."""
    media = content if isinstance(content, says.Media) else getattr(content, "picture", None)
    return media if media is not None and media.file else None


def renew(tx: Transaction, message_id: int, now: datetime) -> bool:
    """Begin the lease anew once the upload is done; False if the message is ours no more."""
    mine = (messages.c.id == message_id) & (messages.c.status == Status.SENDING)
    return bool(tx.execute(sa.update(messages).where(mine).values(lease_until=now + LEASE)).rowcount)


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
    return conversation.awaits_until is not None and conversation.awaits_until > now


def _pace_contact(tx: Transaction, conversation: Any, now: datetime) -> datetime | None:
    """Count one message to this contact; or return when the next may go, if they have had too many.

    The leaky bucket as one moment: when everything sent so far would be paid off at one message in PAIR_EVERY.
    """
    paid_off = max(conversation.paced_until or now, now)
    earliest = paid_off - PAIR_EVERY * (PAIR_BURST - 1)
    if earliest > now:
        return earliest
    tx.execute(
        sa.update(conversations).where(conversations.c.id == conversation.id).values(paced_until=paid_off + PAIR_EVERY)
    )
    return None


def _pace_number(tx: Transaction, phone_number_id: str, now: datetime, per_second: float) -> datetime | None:
    """Count one message of this number; or return when it may send again."""
    mine = numbers.c.phone_number_id == phone_number_id
    row = tx.execute(sa.select(numbers).where(mine).with_for_update()).first()
    if row is None:
        insert_new(tx, numbers, phone_number_id=phone_number_id)
        row = tx.execute(sa.select(numbers).where(mine).with_for_update()).one()
    paid_off = max(row.paced_until or now, now)
    if paid_off - NUMBER_BURST > now:
        return paid_off - NUMBER_BURST
    tx.execute(sa.update(numbers).where(mine).values(paced_until=paid_off + timedelta(seconds=1 / per_second)))
    return None


def bring_under(
    tx: Transaction, conversation_id: int, message_ids: list[int], *, muted_at: int, epoch: int, now: datetime
) -> None:
    """Carry unsent words over to a conversation theirs was merged into, where epochs count differently.

    What a person had overtaken there must not be heard here; the rest counts as composed now.
    """
    ours = messages.c.id.in_(message_ids) & messages.c.epoch.is_not(None)
    for row in tx.execute(sa.select(messages).where(ours, messages.c.status == Status.QUEUED)).all():
        if row.epoch < muted_at:
            _move(tx, row, Status.WITHDRAWN, now, error="a person took over before it was sent")
    under = sa.case((messages.c.epoch >= muted_at, epoch), else_=-1)  # if it is being sent now: not a second time
    tx.execute(sa.update(messages).where(ours).values(epoch=under))


def stop_number(tx: Transaction, phone_number_id: str, until: datetime) -> None:
    """Send nothing from this number until then; nothing is lost, everything waits."""
    insert_new(tx, numbers, phone_number_id=phone_number_id)
    mine = numbers.c.phone_number_id == phone_number_id
    tx.execute(sa.update(numbers).where(mine).values(stopped_until=until))


def settle(  # noqa: C901  # one case for each kind
    tx: Transaction, message_id: int, outcome: Outcome, now: datetime, *, attempt: int | None = None
) -> None:
    """Write down what became of a claimed message; `attempt` says of which claim.

    A sender that slept through its lease may come back when another one has the message: then only what Meta has
    accepted still counts, or the same words would be put back and sent again.
    """
    row = _locked_message(tx, message_id)
    if attempt is not None and row.attempts != attempt and outcome.kind is not Kind.ACCEPTED:
        return
    if row.status is not Status.SENDING and outcome.kind is not Kind.ACCEPTED:
        return  # a status told us more than the answer could
    match outcome.kind:
        case Kind.ACCEPTED:
            status = advance(row.status, Status.SENT)
            _move(tx, row, status, now, wamid=row.wamid or outcome.wamid, error="", error_code=0)
            if status is Status.SENT and row.type != "reaction":  # of a reaction no delivery is ever reported
                _await(tx, row, now + IN_ORDER)
            _apply_early_reports(tx, row.id, outcome.wamid, now)
        case Kind.LATER | Kind.SLOWER:
            if row.type != "template" and not _window_is_open(tx, row.conversation_id, now):
                _move(tx, row, Status.FAILED, now, error=outcome.words, error_code=outcome.code)
                return
            # However often: giving up is for when it could not be sent any more.
            later = now + outcome.wait
            _move(tx, row, Status.QUEUED, now, not_before=later, error=outcome.words, error_code=outcome.code)
            if outcome.kind is Kind.SLOWER:
                stop_number(tx, _number_of(tx, row.conversation_id), later)
        case Kind.UNHEARD:
            # It stays `sending` until its lease ends: a status bearing our callback may still settle it.
            tx.execute(
                sa.update(messages)
                .where(messages.c.id == message_id)
                .values(error=outcome.words[:500], lease_until=now + LISTENING)
            )
        case Kind.REFUSED:
            _move(tx, row, Status.FAILED, now, error=outcome.words, error_code=outcome.code)
        case Kind.STOPPED:
            later = now + outcome.wait
            attempts = row.attempts - 1  # nothing is wrong with this message
            _move(tx, row, Status.QUEUED, now, attempts=attempts, error=outcome.words, error_code=outcome.code)
            stop_number(tx, _number_of(tx, row.conversation_id), later)


def expire(tx: Transaction, now: datetime) -> int:
    """Queue again what was being sent when its sender fell silent; return how many.

    It may have been accepted, which only a report can tell. So we must have been able to hear one: after a crash of
    everything the sender is back long before the webhook is, and what Meta could not tell us it tells again after a
    pause as long as the outage. If nobody could hear for very long, a person decides: nothing is ever sent twice.
    """
    silent = (messages.c.status == Status.SENDING) & (messages.c.lease_until < now)
    due = tx.execute(sa.select(messages).where(UNSENT, silent).limit(100)).all()
    if not due:
        return 0
    door = tx.execute(sa.select(doors).where(doors.c.name == WEBHOOK)).first()
    heard_at = tx.execute(sa.select(deliveries.c.received_at).order_by(deliveries.c.id.desc()).limit(1)).scalar()
    expired = 0
    for found in due:
        verdict = _may_have_been_accepted(found, door, heard_at, now)
        if verdict is None:
            continue
        row = _locked_message(tx, found.id, skip_locked=True)
        if row is None or row.status is not Status.SENDING or row.lease_until != found.lease_until:
            continue
        expired += 1
        if verdict or now - row.at > GIVEN_UP_AFTER:
            _move(tx, row, Status.FAILED, now, error=DOUBTFUL if verdict else row.error or "WhatsApp gave no answer")
        else:
            _move(tx, row, Status.QUEUED, now)
    return expired


def _may_have_been_accepted(row: Any, door: Any, heard_at: datetime | None, now: datetime) -> bool | None:
    """Say whether a message nobody answered for may have arrived: False is known, True is unknowable, None not yet.

    Reports come within seconds of a message; so once the door was open for a while, and Meta brought us anything at
    all, silence means no. What Meta could not bring while it was shut it tries again, each time after a longer pause,
    but hardly one longer than all the time it failed.
    """
    if door is None or door.seen_at < now - DOOR_SEEN_WITHIN:  # shut at the moment
        shut_at = row.lease_until if door is None else max(row.lease_until, door.seen_at)
        return True if now - shut_at > LISTENED_ENOUGH else None
    sent_at = row.lease_until - LEASE
    listened = timedelta(seconds=max(door.open_s - (row.door_s or 0.0), 0.0))
    shut = min(max(now - sent_at - listened, timedelta(0)), LISTENED_ENOUGH)
    quiet = heard_at is None or heard_at < sent_at
    enough = LISTENING + shut + (LISTENING_IN_SILENCE if quiet else timedelta(0))
    return False if listened > enough else None


def hear(tx: Transaction, reported: Reported, now: datetime) -> bool:
    """Keep a report and move its message on; say whether it was news."""
    return hear_all(tx, [reported], now)[0]


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
            }
            for one, message_id in zip(fresh, message_ids, strict=True)
        ],
    )
    heard = [(one, rows[found]) for one, found in zip(fresh, message_ids, strict=True) if found is not None]
    _follow(tx, heard, now)
    return news


def _reported_messages(tx: Transaction, reported: list[Reported]) -> list[int | None]:
    """Find the messages these reports speak of: by Meta's id, or by ours where we never heard Meta's."""
    rows = tx.execute(BY_WAMID, {"wamids": [one.wamid for one in reported]})
    by_wamid = {row.wamid: int(row.id) for row in rows}
    ours = {one.wamid: found for one in reported if one.wamid not in by_wamid and (found := _own_id(one)) is not None}
    unheard: set[int] = set()
    if ours:
        unheard = set(tx.execute(UNHEARD, {"ids": list(ours.values())}).scalars())
    return [
        by_wamid.get(one.wamid) or (ours[one.wamid] if ours.get(one.wamid) in unheard else None) for one in reported
    ]


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
    settled: set[int] = set()
    for report, row in heard:
        told = Status(report.status)
        status = advance(row["status"], told)
        if told is not Status.SENT:  # failed, delivered, read, played: its place in the order is settled
            settled.add(row["id"])
        if status is row["status"] and row["wamid"] is not None:
            continue
        row |= {"status": status, "wamid": report.wamid}
        if status is not Status.FAILED:
            row |= {"error": "", "error_code": 0}
        elif told is Status.FAILED:
            row |= {"error": (report.error or "WhatsApp could not deliver it")[:500], "error_code": report.code}
        moved[row["id"]] = row
    if moved:
        columns = ("status", "wamid", "error", "error_code")
        values = [{"id_": row["id"], **{f"{name}_": row[name] for name in columns}} for row in moved.values()]
        tx.execute(MOVE_ON, values)
        for row in moved.values():
            if row["status"] is Status.FAILED and row["author"] is Author.BOT:
                _leave_to_a_person(tx, row["conversation_id"], row["id"])
        changes.note_all(tx, [row["conversation_id"] for row in moved.values()], Change.STATUS, now)
    if settled:
        nothing = {"awaits_id": None, "awaits_until": None}
        tx.execute(sa.update(conversations).where(conversations.c.awaits_id.in_(sorted(settled))).values(nothing))


def _await(tx: Transaction, message: Any, until: datetime) -> None:
    """Let the next message of the conversation wait for the delivery of this one."""
    mine = conversations.c.id == message.conversation_id
    tx.execute(sa.update(conversations).where(mine).values(awaits_id=message.id, awaits_until=until))


def _number_of(tx: Transaction, conversation_id: int) -> str:
    find = sa.select(conversations.c.phone_number_id).where(conversations.c.id == conversation_id)
    return str(tx.execute(find).scalar_one())


def _window_is_open(tx: Transaction, conversation_id: int, now: datetime) -> bool:
    ends = tx.execute(sa.select(conversations.c.window_ends).where(conversations.c.id == conversation_id)).scalar()
    return window_is_open(ends, now)


def _apply_early_reports(tx: Transaction, message_id: int, wamid: str, now: datetime) -> None:
    """Catch up with reports that came before the answer to the send itself."""
    early = (reports.c.wamid == wamid) & reports.c.message_id.is_(None)
    found = tx.execute(sa.select(reports).where(early).order_by(reports.c.id)).all()
    if found:
        row = dict(tx.execute(sa.select(messages).where(messages.c.id == message_id)).one()._mapping)
        _follow(tx, [(report, row) for report in found], now)
        tx.execute(sa.update(reports).where(early).values(message_id=message_id))


def _move(tx: Transaction, row: Any, status: Status, now: datetime, **columns: Any) -> None:
    """Write a status and tell whoever shows the conversation."""
    if "error" in columns:
        columns["error"] = columns["error"][:500]
    tx.execute(sa.update(messages).where(messages.c.id == row.id).values(status=status, lease_until=None, **columns))
    if status is Status.FAILED and row.author is Author.BOT:
        _leave_to_a_person(tx, row.conversation_id, row.id)
    changes.note(tx, row.conversation_id, Change.STATUS, now)


def _leave_to_a_person(tx: Transaction, conversation_id: int, message_id: int) -> None:
    """Remember that the bot's words did not arrive; see handoffs.hand_off_undelivered."""
    mine = conversations.c.id == conversation_id
    tx.execute(sa.update(conversations).where(mine).values(undelivered_id=message_id))
