"""The bot's turns: gather what waits into one, run it once, write down what it said. The only writer of turns."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot import messages as says
from bot.conversation import (
    BURST_MAX,
    Exchange,
    burst_ends,
    does_bot_hear,
    is_a_machine,
    may_bot_speak,
)
from bot.errors import LeaseLost
from bot.evidence import Fact
from bot.ledger import changes, errands, handoffs, outbox, returns
from bot.ledger.promises import Tell
from bot.ledger.returns import Handback
from bot.ledger.tables import WAITING, conversations, messages, turns
from bot.ledger.transaction import Transaction
from bot.vocabulary import Author, Change, Clue, Holder, Reason, TurnState

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=20)  # renewed while the bot thinks; a dead process is noticed this late
TRIES = 2  # a turn that dies twice is a person's matter
BURST_SIZE = 20  # messages; more than that is not one question any more
UNSEEN = "(something WhatsApp can't show us)"  # another business's bot writes like that, again and again
SKEW = timedelta(seconds=2)  # as far apart as the clocks of two processes may be
LOOKS_BACK = 40  # messages, ours and theirs, in which a machine is looked for
HEARD_IN_SILENCE = 3  # turns without a word (twenty photos while a person is awaited) cost less than answers
ALONE = (says.Tap, says.Place, says.Order, says.Answers, says.Cards)  # each says all there is to say by itself


@dataclass(frozen=True)
class Manners:
    """How the bot behaves towards contacts; from the settings and the catalogue."""

    excuse: says.Outbound  # it found no words
    passing_on: Tell  # it failed twice; a person will have it
    enough: Tell  # too many messages; a person will have it
    invited: bool = True  # it goes on helping while the contact waits for a person
    quiet: timedelta = timedelta(0)  # how long a contact must pause before what they wrote is answered
    answers_in_10_minutes: int = 20
    answers_in_a_day: int = 100
    notices_machines: bool = True
    shows_typing: bool = True


@dataclass(frozen=True)
class Heard:
    """One message of a contact that waits for its turn."""

    id: int
    content: says.Inbound
    at: datetime
    wamid: str
    stale: bool = False  # a tap on something older than what we said last


@dataclass(frozen=True)
class Turn:
    """The bot's handling of one message or one burst: what was said, and under which epoch the answer is composed."""

    id: int
    conversation_id: int
    key: str
    epoch: int
    attempt: int
    holder: Holder
    new_contact: bool  # the bot never spoke with them before
    returned: bool  # a person held the conversation since the bot's last turn, or it may be another contact now
    heard: tuple[Heard, ...]
    handback: Handback | None = None  # how that person's part went, where one at the desk had it

    @property
    def words(self) -> str:
        """Everything that can be read of what was said, a line for each message."""
        return "\n".join(heard.content.text for heard in self.heard if heard.content.text)


@dataclass(frozen=True)
class NotYet:
    """The contact may be writing on; what they wrote is answered then."""

    until: datetime


@dataclass(frozen=True)
class Understood:
    """What the bot made of a message."""

    intent: str
    confidence: float


def due(tx: Transaction, quiet: timedelta, now: datetime, *, but: Collection[int] = (), limit: int = 32) -> list[int]:
    """Return the conversations that want an answer now and nobody is at work on, the longest waiting first.

    Of the `limit` longest waiting ones, that is, leaving out those named. Only a look.
    """
    first = (
        sa.select(messages.c.conversation_id, sa.func.min(messages.c.id).label("first"))
        .join(conversations, conversations.c.id == messages.c.conversation_id)
        .where(WAITING, _nobody_is_at_work(now), conversations.c.id.not_in(list(but)))
        .group_by(messages.c.conversation_id)
        .order_by(sa.func.min(messages.c.id))
        .limit(limit)
        .subquery()
    )
    place = sa.func.row_number().over(partition_by=messages.c.conversation_id, order_by=messages.c.id)
    theirs = (
        sa.select(messages, first.c.first, place.label("place"))
        .join(first, first.c.conversation_id == messages.c.conversation_id)
        .where(WAITING)
        .subquery()
    )
    rows = tx.execute(
        sa.select(theirs).where(theirs.c.place <= BURST_SIZE).order_by(theirs.c.first, theirs.c.id)
    )  # one contact's hundreds must not cost the others their look
    found = []
    for conversation_id, waiting in itertools.groupby(rows, key=lambda row: int(row.conversation_id)):
        burst = list(waiting)
        ends = _burst(burst, quiet, now)[1] if burst[0].turn_id is None else None  # a turn that died wants no pause
        if ends is None or ends <= now:
            found.append(conversation_id)
    return found


def _nobody_is_at_work(now: datetime) -> Any:
    """No lease, one that has run out, or one no process can have: the clock was set back since."""
    lease = conversations.c.lease_until
    return sa.or_(lease.is_(None), lease < now, lease > now + LEASE)


def begin_turn(
    tx: Transaction, conversation_id: int, *, owner: str, manners: Manners, now: datetime
) -> Turn | NotYet | None:
    """Lease the conversation and return its next turn, or when to ask again, or None when nothing waits for the bot.

    The holder is read here, at the turn, not at the door: what waits while a person holds the conversation is left
    to the desk. A turn that died is done again; one that died twice is handed off.
    """
    row = _lease(tx, conversation_id, owner, now)
    if row is None:
        return None
    running = tx.execute(
        sa.select(turns).where(turns.c.conversation_id == row.id, turns.c.state == TurnState.RUNNING)
    ).first()
    hears = does_bot_hear(row.holder, manners.invited, handoffs.reason_of(tx, row.id, row.holder))
    if running is not None and (not hears or _is_over(tx, row, running)):
        _close(tx, running.id, TurnState.MUTED, now)
        running = None
    if running is not None and running.attempts >= TRIES:
        turn = _turn(tx, row, running.id, running.epoch, running.attempts)
        _close(tx, running.id, TurnState.LOST, now)
        _hand_off(tx, turn, Reason.LOST, manners.passing_on, now)
        log.error("a turn died twice and was handed off", extra={"action": "turn_lost", "conversation": row.key})
        return begin_turn(tx, conversation_id, owner=owner, manners=manners, now=now)
    if running is not None:
        tx.execute(sa.update(turns).where(turns.c.id == running.id).values(attempts=running.attempts + 1))
        return _turn(tx, row, running.id, running.epoch, running.attempts + 1)
    waits = (messages.c.conversation_id == row.id) & WAITING
    if not hears:
        tx.execute(sa.update(messages).where(waits).values(waiting=False))
        release(tx, conversation_id, owner)
        return None
    waiting = tx.execute(sa.select(messages).where(waits).order_by(messages.c.id).limit(BURST_SIZE)).all()
    if not waiting:
        release(tx, conversation_id, owner)
        return None
    burst, ends = _burst(waiting, manners.quiet, now)
    if ends is not None and now < ends:
        release(tx, conversation_id, owner)
        return NotYet(ends)
    turn_id = tx.execute(
        sa.insert(turns).values(
            conversation_id=row.id, epoch=row.epoch, state=TurnState.RUNNING, attempts=1, began_at=now
        )
    ).inserted_primary_key[0]
    tx.execute(sa.update(messages).where(messages.c.id.in_([one.id for one in burst])).values(turn_id=turn_id))
    turn = _turn(tx, row, turn_id, row.epoch, 1)
    too_much = _is_too_much(tx, row, manners, now)
    if too_much is not None:
        _close(tx, turn_id, TurnState.ANSWERED, now)
        _hand_off(tx, turn, too_much, manners.enough, now)
        log.warning(
            "a conversation was taken from the bot: %s", too_much.value,
            extra={"action": "too_much", "conversation": row.key},
        )  # fmt: skip
        return begin_turn(tx, conversation_id, owner=owner, manners=manners, now=now)
    if manners.shows_typing and turn.heard[-1].wamid:
        errands.show_seen(tx, row.id, turn.heard[-1].wamid, row.phone_number_id, typing=True, now=now)
    return turn


def _is_over(tx: Transaction, row: Any, running: Any) -> bool:
    """Say whether nobody wants to hear what a turn that died has to say: a person took over, or all was taken back."""
    return not may_bot_speak(row.holder, running.epoch, row.muted_at) or not _heard_in(tx, row.id, running.id)


def _burst(waiting: list[Any], quiet: timedelta, now: datetime) -> tuple[list[Any], datetime | None]:
    """Return the messages that are answered together, and when; None: at once, nothing can follow that belongs to them.

    In the order they were written, by Meta's clock: deliveries overtake each other.
    """
    burst: list[Any] = []
    length = 0
    for row in waiting:
        alone = isinstance(says.from_row(row.type, row.text, row.content), ALONE)
        if burst and (alone or length + len(row.text) > says.TEXT_MAX):
            return sorted(burst, key=lambda one: (one.at, one.id)), None
        burst.append(row)
        length += len(row.text) + 1
        if alone:
            return burst, None
    arrivals = [_as_of(row.arrived_at or row.at, now) for row in burst]
    ends = None if len(burst) == BURST_SIZE else burst_ends(arrivals, quiet)
    return sorted(burst, key=lambda one: (one.at, one.id)), ends


def _as_of(arrival: datetime, now: datetime) -> datetime:
    """Return when something arrived by today's clock: much later than now means that it was set back since, who knows
    how long ago; a little later, that two processes' clocks differ.
    """
    return now - BURST_MAX if arrival > now + SKEW else min(arrival, now)


def _lease(tx: Transaction, conversation_id: int, owner: str, now: datetime) -> Any:
    """Make the conversation ours for a while, or return None if another process is at work on it."""
    free = sa.or_(_nobody_is_at_work(now), conversations.c.lease_owner == owner)
    mine = tx.execute(
        sa.update(conversations)
        .where(conversations.c.id == conversation_id, free)
        .values(lease_owner=owner, lease_until=now + LEASE)
    )
    if not mine.rowcount:
        return None
    return tx.execute(sa.select(conversations).where(conversations.c.id == conversation_id)).one()


def _turn(tx: Transaction, row: Any, turn_id: int, epoch: int, attempt: int) -> Turn:
    before = tx.execute(
        sa.select(turns.c.epoch)
        .where(turns.c.conversation_id == row.id, turns.c.id < turn_id)
        .order_by(turns.c.id.desc())
        .limit(1)
    ).first()
    returned = row.muted_at > (before.epoch if before is not None else 0)
    return Turn(
        id=turn_id,
        conversation_id=row.id,
        key=row.key,
        epoch=epoch,
        attempt=attempt,
        holder=row.holder,
        new_contact=before is None,
        returned=row.starts_clean or returned,
        heard=_heard_in(tx, row.id, turn_id),
        handback=returns.handback(tx, row.id) if returned else None,
    )


def _heard_in(tx: Transaction, conversation_id: int, turn_id: int) -> tuple[Heard, ...]:
    mine = (messages.c.turn_id == turn_id) & (messages.c.author == Author.CONTACT) & messages.c.deleted_at.is_(None)
    rows = tx.execute(sa.select(messages).where(mine).order_by(messages.c.at, messages.c.id)).all()
    heard = []
    for row in rows:
        content: says.Inbound = says.from_row(row.type, row.text, row.content)  # type: ignore[assignment]  # a contact's
        stale = isinstance(content, says.Tap) and _is_stale(tx, conversation_id, row.reply_to)
        heard.append(Heard(row.id, content, row.at, row.wamid or "", stale))
    return tuple(heard)


def _is_stale(tx: Transaction, conversation_id: int, tapped_on: str | None) -> bool:
    """Say whether a tap is on something older than the last choices we offered: what it answers may be settled."""
    if tapped_on is None:
        return False
    offered = tx.execute(
        sa.select(messages.c.wamid)
        .where(
            messages.c.conversation_id == conversation_id,
            messages.c.author != Author.CONTACT,
            messages.c.type.in_(("buttons", "menu", "template")),
            messages.c.wamid.is_not(None),
        )
        .order_by(messages.c.id.desc())
        .limit(1)
    ).scalar()
    return offered is not None and offered != tapped_on


def _is_too_much(tx: Transaction, row: Any, manners: Manners, now: datetime) -> Reason | None:
    """Say why the bot stops here, if it does. What was before a person last held the conversation does not count."""
    since = (turns.c.conversation_id == row.id) & (turns.c.epoch >= row.muted_at)
    for span, most in (
        (timedelta(minutes=10), manners.answers_in_10_minutes),
        (timedelta(days=1), manners.answers_in_a_day),
    ):
        lately = sa.select(sa.func.count()).where(since, turns.c.began_at > now - span)
        answers = tx.execute(lately.where(turns.c.bubbles > 0)).scalar_one()
        if answers >= most or tx.execute(lately).scalar_one() > most * HEARD_IN_SILENCE:
            return Reason.FLOOD
    if manners.notices_machines and is_a_machine(_exchanges(tx, row.id, row.muted_at)):
        return Reason.MACHINE
    return None


def _exchanges(tx: Transaction, conversation_id: int, muted_at: int) -> list[Exchange]:
    """Return what the contact wrote in the last turns, and how long after our last words each came.

    What became one turn is one exchange: many bots say a thing in two messages.
    """
    newest = tx.execute(
        sa.select(
            messages.c.turn_id,
            messages.c.author,
            messages.c.type,
            messages.c.text,
            messages.c.at,
            messages.c.arrived_at,
        )
        .join(turns, turns.c.id == messages.c.turn_id)
        .where(messages.c.conversation_id == conversation_id, turns.c.epoch >= muted_at)
        .order_by(messages.c.id.desc())
        .limit(LOOKS_BACK)
    ).all()
    exchanges: list[Exchange] = []
    ours: list[Any] = []
    turn_id, since = None, None
    for row in reversed(newest):
        if row.author is not Author.CONTACT:
            ours.append(row)
            continue
        arrived = row.arrived_at or row.at
        text = row.text if row.type == "text" else UNSEEN if row.type == "unsupported" else ""  # machines do not tap
        if row.turn_id == turn_id:
            one = exchanges.pop()
            exchanges.append(replace(one, text=f"{one.text}\n{text}", after_ours=since and arrived - since))
        else:
            since = ours[-1].at if ours else None
            said = tuple(row.text for row in ours)
            exchanges.append(Exchange(text, since and arrived - since, said))
        turn_id = row.turn_id
        ours = []
    return exchanges


def renew(tx: Transaction, conversation_id: int, owner: str, now: datetime) -> bool:
    """Keep the lease while the bot still thinks; say whether it is still ours."""
    mine = (conversations.c.id == conversation_id) & (conversations.c.lease_owner == owner)
    return bool(tx.execute(sa.update(conversations).where(mine).values(lease_until=now + LEASE)).rowcount)


def release(tx: Transaction, conversation_id: int, owner: str) -> None:
    """Let others at this conversation."""
    mine = (conversations.c.id == conversation_id) & (conversations.c.lease_owner == owner)
    tx.execute(sa.update(conversations).where(mine).values(lease_owner=None, lease_until=None))


def end_turn(
    tx: Transaction,
    turn: Turn,
    *,
    owner: str,
    said: list[says.Outbound],
    understood: Understood | None,
    may_be_silent: bool,
    manners: Manners,
    now: datetime,
    quotes: bool = False,
) -> TurnState:
    """Close a turn and queue what it said, all or nothing; return what became of it.

    Raises LeaseLost when another process has taken the turn over: then nothing of this one counts. A turn without a
    word is a failure, not a choice (silence is how Rasa fails): the contact gets an excuse; the second time in a row
    a person.
    """
    row = outbox.lock_conversation(tx, turn.conversation_id)
    running = tx.execute(sa.select(turns.c.id).where(turns.c.id == turn.id, turns.c.state == TurnState.RUNNING)).first()
    if row.lease_owner != owner or running is None:
        raise LeaseLost(f"(turn {turn.id})")
    if understood is not None:
        tx.execute(
            sa.update(messages)
            .where(messages.c.id.in_([heard.id for heard in turn.heard]))
            .values(intent=understood.intent[:100], confidence=understood.confidence)
        )
    state = TurnState.ANSWERED
    if not may_bot_speak(row.holder, turn.epoch, row.muted_at):
        state = TurnState.MUTED
        log.info(
            "a person took over while the bot was thinking; it says nothing",
            extra={"action": "turn_muted", "conversation": row.key},
        )
    elif not said and not may_be_silent and not _bubbles(tx, turn.id):
        state = TurnState.SILENT
        if _was_silent_before(tx, turn):
            _hand_off(tx, turn, Reason.SILENT, manners.passing_on, now)
        else:
            said = [manners.excuse]
    if state is not TurnState.MUTED:
        quoted = turn.heard[-1].wamid if quotes else None
        for n, content in enumerate(said):
            outbox.queue(
                tx,
                row.id,
                content,
                author=Author.BOT,
                epoch=turn.epoch,
                turn_id=turn.id,
                reply_to=quoted if n == 0 else None,
                now=now,
            )
        tx.execute(sa.update(conversations).where(conversations.c.id == row.id).values(starts_clean=False))
    _close(tx, turn.id, state, now)
    release(tx, row.id, owner)
    changes.note(tx, row.id, Change.MESSAGE, now)  # what was understood stands beside the message now
    return state


def _hand_off(tx: Transaction, turn: Turn, reason: Reason, tell: Tell, now: datetime) -> None:
    handoffs.hand_off(
        tx, turn.key, reason=reason, wish=turn.words, slots={}, tell=tell, turn_id=turn.id, now=now,
        evidence=[Fact(Clue.SAID, turn_id=turn.id)],
    )  # fmt: skip


def _close(tx: Transaction, turn_id: int, state: TurnState, now: datetime) -> None:
    """Write down what became of a turn and how much it said; its messages wait no more."""
    closed = {"state": state, "ended_at": now, "bubbles": _bubbles(tx, turn_id)}
    tx.execute(sa.update(turns).where(turns.c.id == turn_id).values(closed))
    heard = (messages.c.turn_id == turn_id) & (messages.c.author == Author.CONTACT)
    tx.execute(sa.update(messages).where(heard).values(waiting=False))


def _bubbles(tx: Transaction, turn_id: int) -> int:
    """Count the messages this turn has queued (a hand off queues its own); each of them is billed."""
    mine = sa.select(sa.func.count()).where(messages.c.turn_id == turn_id, messages.c.author == Author.BOT)
    return int(tx.execute(mine).scalar_one())


def _was_silent_before(tx: Transaction, turn: Turn) -> bool:
    state = tx.execute(
        sa.select(turns.c.state)
        .where(turns.c.conversation_id == turn.conversation_id, turns.c.id < turn.id)
        .order_by(turns.c.id.desc())
        .limit(1)
    ).scalar()
    return state is TurnState.SILENT
