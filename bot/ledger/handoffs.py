"""Who holds a conversation: hand_off, take, requeue, give_back. The only writer of `holder`.

Each verb is a compare-and-set that raises the epoch and leaves a change row. A take also raises `muted_at`: nothing
the bot composed under an earlier epoch goes out after it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.conversation import NOT_INVITED, after, wants_an_answer
from bot.errors import AlreadyTaken, NotAllowed, NotYours, UnknownConversation
from bot.evidence import Fact, from_json, to_json
from bot.hours import Hours
from bot.ledger import capacity, changes, hooks, needs, outbox, promises, ratings, returns, teams, waits
from bot.ledger.promises import Tell
from bot.ledger.ratings import Ask
from bot.ledger.tables import UNSENT, WAITING, conversations, handoffs, messages, turns
from bot.ledger.transaction import Transaction
from bot.messages import Outbound, can_be_kept
from bot.needs import Needed
from bot.promises import HEAD_STARTS, Promise
from bot.vocabulary import Author, Change, Happening, Holder, Move, Outcome, Reason, Status, TurnState

THE_PHONE = "the phone"  # who holds what somebody at the business answers from the WhatsApp Business app
TAKEN_BACK = "(deleted)"  # in place of what nobody may read any more
OUTWEIGH = {Reason.SENSITIVE, Reason.FRUSTRATED}  # what the bot notices while they wait already
AWAKE: dict[str, Any] = {"snoozed_at": None, "snoozed_until": None, "woke_at": None}
TOLD_AT_ONCE = timedelta(minutes=1)  # what the phone said and Meta tells of within that is not late


@dataclass(frozen=True)
class HandedOff:
    """What a request for a person led to."""

    handoff_id: int
    merged: bool  # the contact was waiting already


def hand_off(
    tx: Transaction,
    key: str,
    *,
    reason: Reason,
    wish: str,
    slots: dict[str, Any],
    tell: Tell | None,
    now: datetime,
    turn_id: int | None = None,
    evidence: Sequence[Fact] = (),
    team_id: int | None = None,
) -> HandedOff:
    """Ask for a person: bot → queue, with the packet and a promise, and tell the contact in the same transaction.

    `tell` makes the words of the promise. They are queued here and bound to no epoch, so that they arrive even when an
    agent takes within the same second. The same turn asking twice is one request; a contact who waits already keeps
    their place and their due time.
    """
    row = locked(tx, key)
    if turn_id is not None:
        done = tx.execute(sa.select(handoffs.c.id).where(handoffs.c.turn_id == turn_id)).scalar()
        if done is not None:
            return HandedOff(done, merged=False)
        # While they waited already, a turn leaves no row behind but its sentence: its only words without an epoch.
        where = _spoke_unbound_in(tx, turn_id)
        if where is not None:
            theirs = handoffs.c.conversation_id == where
            return HandedOff(tx.execute(sa.select(sa.func.max(handoffs.c.id)).where(theirs)).scalar_one(), merged=True)
    if row.holder is Holder.AGENT or _is_overtaken(tx, turn_id, row.muted_at):
        raise AlreadyTaken(f"(conversation {key})", holder_name=row.agent_name)
    merged = row.holder is Holder.QUEUE
    if merged:
        waiting = tx.execute(sa.select(handoffs.c.id, handoffs.c.team_id).where(_open(row.id))).one()
        handoff_id = int(waiting.id)
        _learn_more(tx, handoff_id, reason, evidence)
        made, team = promises.make(tx, now, team_id=waiting.team_id, for_=handoff_id)
    else:
        _move(tx, row, Move.HAND_OFF, now)
        wish = _as_it_stands(tx, row.id, wish, turn_id)
        needed = needs.of(tx, row.id, reason=reason, wish=wish, slots=slots)
        if team_id is not None:  # whoever asks knows better than the rules
            needed = replace(needed, team_id=teams.standing(tx, team_id))
        made, team = promises.make(tx, now, team_id=needed.team_id)
        handoff_id = _open_handoff(
            tx, row.id, reason=reason, wish=wish, slots=slots, now=now, turn_id=turn_id, needed=needed, made=made,
            evidence=evidence,
        )  # fmt: skip
    if tell is not None:
        outbox.queue(tx, row.id, tell(made, team.hours, now), author=Author.BOT, turn_id=turn_id, now=now)
    return HandedOff(handoff_id, merged)


def _learn_more(tx: Transaction, handoff_id: int, reason: Reason, evidence: Sequence[Fact]) -> None:
    """Write down what else speaks for a person whom the contact awaits already. A reason that weighs more, or with
    which the bot must not go on helping, takes the place of the first one.
    """
    mine = handoffs.c.id == handoff_id
    row = tx.execute(sa.select(handoffs.c.reason, handoffs.c.evidence).where(mine)).one()
    weighs_more = reason in OUTWEIGH and HEAD_STARTS[reason] > HEAD_STARTS[row.reason]
    told: dict[str, Any] = {"reason": reason} if reason in NOT_INVITED or weighs_more else {}
    if evidence:
        told["evidence"] = to_json([*from_json(row.evidence), *evidence])
    if told:
        tx.execute(sa.update(handoffs).where(mine).values(told))


def _as_it_stands(tx: Transaction, conversation_id: int, wish: str, turn_id: int | None) -> str:
    """Return a wish as it is to be read: the bot heard it a while ago, and what it heard may have changed since.

    It may be of the turn before (*a person please* is about what was said before).
    """
    if turn_id is None:
        return wish
    mine = (turns.c.conversation_id == conversation_id) & (turns.c.id <= turn_id)
    last_two = tx.execute(sa.select(turns.c.id).where(mine).order_by(turns.c.id.desc()).limit(2)).scalars().all()
    changed = messages.c.deleted_at.is_not(None) | messages.c.edited_at.is_not(None)
    if tx.execute(sa.select(messages.c.id).where(messages.c.turn_id.in_(last_two), changed)).first() is None:
        return wish
    return words_of(tx, last_two) or TAKEN_BACK


def words_of(tx: Transaction, turn_ids: Collection[int]) -> str:
    """Return what these turns heard and was not taken back, a line for each message."""
    heard = messages.c.turn_id.in_(turn_ids) & (messages.c.author == Author.CONTACT) & (messages.c.text != "")
    said = tx.execute(sa.select(messages.c.text).where(heard).order_by(messages.c.at, messages.c.id)).scalars()
    return "\n".join(said)


def _spoke_unbound_in(tx: Transaction, turn_id: int) -> int | None:
    """Return the conversation in which this turn has moved its contact into the queue or out of it: only the words of
    those moves are the bot's and bound to no epoch.
    """
    mine = (messages.c.turn_id == turn_id) & (messages.c.author == Author.BOT) & messages.c.epoch.is_(None)
    found: int | None = tx.execute(sa.select(messages.c.conversation_id).where(mine)).scalar()
    return found


def cancel(tx: Transaction, key: str, *, words: Outbound | None, now: datetime, turn_id: int | None = None) -> bool:
    """Give a contact who waits for a person back to the bot, as they wish; say whether they waited."""
    row = locked(tx, key)
    if turn_id is not None and _spoke_unbound_in(tx, turn_id) is not None:
        return True  # this very turn has done it, and is done again
    if row.holder is Holder.AGENT or _is_overtaken(tx, turn_id, row.muted_at):
        raise AlreadyTaken(f"(conversation {key})", holder_name=row.agent_name)
    if row.holder is Holder.BOT:
        return False
    _move(tx, row, Move.GIVE_BACK, now)
    _close(tx, row.id, Outcome.CANCELLED, now)
    if words is not None:
        outbox.queue(tx, row.id, words, author=Author.BOT, turn_id=turn_id, now=now)
    return True


def take(tx: Transaction, key: str, *, agent_id: int, agent_name: str, now: datetime, most: int | None = None) -> bool:
    """Give the conversation to this agent; say whether that changed anything. A lost race is AlreadyTaken.

    One more than `most` at once is AtCapacity.
    """
    row = locked(tx, key)
    if row.holder is Holder.AGENT and row.agent_id not in {None, agent_id}:
        raise AlreadyTaken(f"({row.agent_name} has it)", holder_name=row.agent_name)
    return assign(tx, key, agent_id=agent_id, agent_name=agent_name, now=now, most=most)


def assign(
    tx: Transaction,
    key: str,
    *,
    agent_id: int,
    agent_name: str,
    now: datetime,
    most: int | None = None,
    because: str = "",
) -> bool:
    """Give the conversation to this agent, whoever has it; say whether that changed anything.

    What the agent before has written still goes out. `because` says why it was they, where nobody chose them.
    """
    row = locked(tx, key)
    if row.holder is Holder.AGENT and row.agent_id == agent_id:
        return False
    capacity.require_room(tx, agent_id, agent_name, most)
    _take(tx, row, agent_id=agent_id, agent_name=agent_name, reason=Reason.STEPPED_IN, now=now, because=because)
    return True


def is_the_phones(row: Any) -> bool:
    """Say whether this conversation is answered from the WhatsApp Business app."""
    return row.holder is Holder.AGENT and row.agent_id is None


def take_by_phone(tx: Transaction, row: Any, *, said_at: datetime, quiet: timedelta, now: datetime) -> None:
    """Somebody answered from the WhatsApp Business app: that is a take, for as long as they are at it.

    `row` is the conversation's, locked; `said_at` is when they said it, for Meta may bring it much later. When their
    quiet time is over by now nothing moves. Who asked for a person since keeps their place in the queue, and so does
    who wrote on while they waited, unless we hear of the phone at once: then that has only crossed with it, and whoever
    speaks there is at it. An agent at the desk who has the conversation keeps it.
    """
    until = said_at + quiet
    if until <= now or (row.holder is Holder.AGENT and row.agent_id is not None):
        return
    if row.holder is Holder.QUEUE and _keeps_waiting(tx, row.id, said_at, now):
        return
    if row.holder is not Holder.AGENT:
        leave_to_the_phone(tx, row, until)
        _take(tx, row, agent_id=None, agent_name=THE_PHONE, reason=Reason.PHONE, now=now)
    later = until if row.phone_until is None else max(until, row.phone_until)
    tx.execute(sa.update(conversations).where(conversations.c.id == row.id).values(phone_until=later))


def _keeps_waiting(tx: Transaction, conversation_id: int, said_at: datetime, now: datetime) -> bool:
    """Say whether who is in the queue asked for a person after the phone spoke, or wrote on and we hear of it late."""
    asked = sa.select(handoffs.c.id).where(_open(conversation_id), handoffs.c.asked_at > said_at)
    theirs = (messages.c.conversation_id == conversation_id) & (messages.c.author == Author.CONTACT)
    wrote = sa.select(messages.c.id).where(theirs, messages.c.at > said_at).limit(1)
    is_late = said_at < now - TOLD_AT_ONCE
    return tx.execute(asked).first() is not None or (is_late and tx.execute(wrote).first() is not None)


def leave_to_the_phone(tx: Transaction, row: Any, until: datetime) -> None:
    """Mark what the bot has not answered yet: what of it was written after the phone's last word is the bot's again
    then (see give_back_from_phone). `row` is the conversation's as it was before what the bot began was overtaken.
    """
    bots = sa.select(turns.c.id).where(
        turns.c.conversation_id == row.id, turns.c.state == TurnState.RUNNING, turns.c.epoch >= row.muted_at
    )
    unsent = sa.select(messages.c.turn_id).where(
        messages.c.conversation_id == row.id, UNSENT, messages.c.turn_id.is_not(None), messages.c.epoch >= row.muted_at
    )
    waits = WAITING & messages.c.turn_id.is_(None)
    begun = messages.c.turn_id.in_(bots) | messages.c.turn_id.in_(unsent)
    theirs = (messages.c.conversation_id == row.id) & (messages.c.author == Author.CONTACT)
    tx.execute(sa.update(messages).where(theirs, waits | begun).values(not_before=until))


def take_from_the_phone(tx: Transaction, conversation_id: int) -> None:
    """What was left to the phone is an agent's at the desk now, for good."""
    tx.execute(sa.update(messages).where(_left_to_the_phone(conversation_id)).values(not_before=None))


def give_back_from_phone(tx: Transaction, now: datetime) -> int:
    """Give back to the bot what was answered from the phone and has been quiet since; return how many.

    What the contact wrote after the phone's last word nobody has answered: it waits for the bot now. What they wrote
    before it was the phone's.
    """
    rested = (
        (conversations.c.holder == Holder.AGENT)
        & conversations.c.agent_id.is_(None)
        & (conversations.c.phone_until <= now)
    )
    count = 0
    for conversation_id in tx.execute(sa.select(conversations.c.id).where(rested).limit(100)).scalars().all():
        row = outbox.lock_conversation(tx, conversation_id, skip_locked=True)
        if row is None or not is_the_phones(row) or row.phone_until > now:
            continue
        _move(tx, row, Move.GIVE_BACK, now, agent_name="", phone_until=None)
        _close(tx, row.id, Outcome.GIVEN_BACK, now)
        wait_again(tx, row)
        count += 1
    return count


def wait_again(tx: Transaction, row: Any) -> None:
    """Let the bot answer what was written after the phone's last word, unless its own answer had gone out. Where half
    of it had, or may have, it says nothing twice: a person sees to that (see hand_off_undelivered).
    """
    typed = (messages.c.conversation_id == row.id) & (messages.c.agent_name == THE_PHONE)
    last = tx.execute(sa.select(sa.func.max(messages.c.at)).where(typed, messages.c.type != "reaction")).scalar()
    left = _left_to_the_phone(row.id)
    newer = left & messages.c.deleted_at.is_(None)
    if last is not None:
        newer &= messages.c.at > last
    unsaid, missing = _unsaid(tx, row, sa.select(messages.c.turn_id).where(newer))
    ended = sa.select(turns.c.id).where(
        turns.c.conversation_id == row.id, turns.c.state.in_((TurnState.ANSWERED, TurnState.SILENT))
    )
    unanswered = messages.c.turn_id.is_(None) | messages.c.turn_id.not_in(ended) | messages.c.turn_id.in_(unsaid)
    tx.execute(sa.update(messages).where(newer, unanswered).values(waiting=True, turn_id=None, not_before=None))
    tx.execute(sa.update(messages).where(left).values(not_before=None))
    if missing:
        told = {"undelivered_id": row.undelivered_id or min(missing)}
        tx.execute(sa.update(conversations).where(conversations.c.id == row.id).values(told))


def _unsaid(tx: Transaction, row: Any, turn_ids: Any) -> tuple[list[int], list[int]]:
    """Return the turns of these whose answer did not go out at all; and of those of which a part did, or may have, the
    words that are missing.
    """
    bound = (messages.c.author == Author.BOT) & messages.c.epoch.is_not(None) & messages.c.turn_id.in_(turn_ids)
    words = tx.execute(sa.select(messages).where(bound).order_by(messages.c.turn_id, messages.c.id)).all()
    unsaid, missing = [], []
    for turn_id, answer in itertools.groupby(words, key=lambda word: int(word.turn_id)):
        out = {int(word.id): _is_out(word, row.muted_at) for word in answer}
        if all(one is False for one in out.values()):
            unsaid.append(turn_id)
        else:
            missing += [id_ for id_, one in out.items() if not one]
    return unsaid, missing


def _is_out(word: Any, muted_at: int) -> bool | None:
    """Say whether words of the bot's went out, or will; None: nobody knows."""
    if word.status is Status.SENDING or (word.status is Status.FAILED and word.error == outbox.DOUBTFUL):
        return None
    if word.status is Status.QUEUED:
        return bool(word.epoch >= muted_at)  # or it is withdrawn when its turn comes
    return word.status not in {Status.WITHDRAWN, Status.FAILED}


def hand_off_undelivered(tx: Transaction, now: datetime) -> int:
    """What the bot said and could not be delivered is a person's matter; return how many conversations that made."""
    count = 0
    which = sa.select(conversations.c.id).where(conversations.c.undelivered_id.is_not(None)).limit(100)
    for conversation_id in tx.execute(which).scalars().all():
        row = outbox.lock_conversation(tx, conversation_id, skip_locked=True)
        if row is None or row.undelivered_id is None:
            continue
        tx.execute(sa.update(conversations).where(conversations.c.id == row.id).values(undelivered_id=None))
        if row.holder is not Holder.BOT:
            continue  # a person sees it already
        failed = tx.execute(sa.select(messages).where(messages.c.id == row.undelivered_id)).one()
        wish = words_of(tx, [_turn_of(tx, failed)])
        _move(tx, row, Move.HAND_OFF, now)
        slots = {"not_delivered": failed.error}
        needed = needs.of(tx, row.id, reason=Reason.UNDELIVERED, wish=wish, slots=slots)
        _open_handoff(
            tx, row.id, reason=Reason.UNDELIVERED, wish=wish, slots=slots, now=now, turn_id=None,
            needed=needed, made=promises.make(tx, now, team_id=needed.team_id)[0],
        )  # fmt: skip
        count += 1
    return count


def _turn_of(tx: Transaction, said: Any) -> int:
    """Return the turn that said this; of words that were sent again, the one that said them first."""
    while said.again_of is not None:
        said = tx.execute(sa.select(messages).where(messages.c.id == said.again_of)).one()
    return said.turn_id or -1


def reason_of(tx: Transaction, conversation_id: int, holder: Holder) -> Reason | None:
    """Return why a conversation waits in the queue; None for any other."""
    if holder is not Holder.QUEUE:
        return None
    found: Reason | None = tx.execute(sa.select(handoffs.c.reason).where(_open(conversation_id))).scalar()
    return found


def _take(
    tx: Transaction,
    row: Any,
    *,
    agent_id: int | None,
    agent_name: str,
    reason: Reason,
    now: datetime,
    because: str = "",
) -> None:
    if row.holder is Holder.BOT:
        needed = needs.of(tx, row.id, reason=reason, wish="", slots={})
        _open_handoff(tx, row.id, reason=reason, wish="", slots={}, now=now, turn_id=None, needed=needed)
    if is_the_phones(row):
        take_from_the_phone(tx, row.id)
    _move(
        tx, row, Move.TAKE, now,
        agent_id=agent_id, agent_name=agent_name, muted_at=row.epoch + 1, phone_until=None,
    )  # fmt: skip
    # What waited for the bot is the agent's now, for good: it must not be answered after the give back either.
    waits = (messages.c.conversation_id == row.id) & WAITING & messages.c.turn_id.is_(None)
    tx.execute(sa.update(messages).where(waits).values(waiting=False))
    first = sa.func.coalesce(handoffs.c.first_taken_at, sa.bindparam("first", now, handoffs.c.first_taken_at.type))
    taken = {
        "taken_at": now, "taken_by": agent_id, "agent_name": agent_name, "given_because": because,
        "first_taken_at": first, **AWAKE,
    }  # fmt: skip
    if row.holder is Holder.AGENT:
        taken["place"] = 0  # passed on: when tells nothing of how long the queue takes
    tx.execute(sa.update(handoffs).where(_open(row.id)).values(taken))
    hooks.moved(tx, row.id, Happening.HANDOFF_TAKEN, now, agent=agent_name)


def requeue(
    tx: Transaction, key: str, *, agent_id: int, now: datetime, team_id: int | None = None, tell: Tell | None = None
) -> None:
    """Put the conversation back into the queue, for somebody else; into another team's, if one is named. The contact is
    told what they are promised anew.
    """
    row = require_held_by(tx, key, agent_id)
    _tell_anew(tx, row, tell, _requeue(tx, row, now, owner_id=None, team_id=team_id), now)


def _tell_anew(tx: Transaction, row: Any, tell: Tell | None, made: tuple[Promise, Hours], now: datetime) -> None:
    """Tell a contact who was put back into the queue; `row` is as it was before."""
    if tell is not None and promises.may_tell(tx, row, now):
        outbox.queue(tx, row.id, tell(*made, now), author=Author.DESK, epoch=row.epoch + 1, now=now)


def pass_to_team(tx: Transaction, key: str, team_id: int, now: datetime, *, tell: Tell | None = None) -> bool:
    """Let another team see to a contact who waits or has an agent; say whether that changed anything.

    Who has an agent is in the queue again, with a promise anew; who waits keeps what was promised.
    """
    row, team = locked(tx, key), teams.require_open(tx, team_id)
    if row.holder is Holder.AGENT and row.agent_id is not None:
        _tell_anew(tx, row, tell, _requeue(tx, row, now, owner_id=None, team_id=team.id), now)
        return True
    if row.holder is not Holder.QUEUE:
        raise NotAllowed("(nobody waits for a person there; take it first)")
    elsewhere = _open(row.id) & (handoffs.c.team_id != team.id)
    moved = tx.execute(sa.update(handoffs).where(elsewhere).values(team_id=team.id, needs=None, owner_id=None))
    if moved.rowcount:
        changes.note(tx, row.id, Change.MOVE, now)
    return bool(moved.rowcount)


def _requeue(
    tx: Transaction, row: Any, now: datetime, *, owner_id: int | None, team_id: int | None = None
) -> tuple[Promise, Hours]:
    """Put it back with a promise anew; return what was promised. Another team knows best what it needs there."""
    before = tx.execute(sa.select(handoffs.c.team_id).where(_open(row.id))).scalar_one()
    team_id = teams.standing(tx, team_id or before)
    made, team = promises.make(tx, now, team_id=team_id)  # before the move: they do not stand in their own way
    _move(tx, row, Move.REQUEUE, now, agent_id=None, agent_name="")
    waits.settle(tx, row.id, now)
    again = {
        "taken_at": None, "taken_by": None, "broken_at": None, "alerted_at": None, "owner_id": owner_id,
        "team_id": team_id, "given_because": "", "rung": 0, **AWAKE,
    }  # fmt: skip
    if team_id != before:
        again["needs"] = None
    tx.execute(sa.update(handoffs).where(_open(row.id)).values(**again, **promises.columns(made, now)))
    hooks.moved(tx, row.id, Happening.HANDOFF_REQUEUED, now)
    return made, team.hours


@dataclass(frozen=True)
class KeptWaiting:
    """A contact whom an agent has, and who waits for that agent's answer."""

    conversation_id: int
    agent_id: int
    since: datetime
    team_id: int


def kept_waiting(tx: Transaction, before: datetime, conversation_id: int | None = None) -> list[KeptWaiting]:
    """Return those who have waited since `before` for the agent who has them.

    Who was taken out of the queue waits for a first word, whatever they write; whom an agent took unasked, or one has
    answered since they joined the queue, waits once they write something that may want an answer.
    """
    answered = messages.alias("answered")
    last_word = (
        sa.select(sa.func.max(answered.c.id))
        .where(answered.c.conversation_id == conversations.c.id, answered.c.author == Author.AGENT)
        .where(answered.c.at >= sa.func.coalesce(handoffs.c.promised_at, handoffs.c.asked_at))
        .where(answered.c.status.not_in((Status.FAILED, Status.WITHDRAWN)))
        .correlate(conversations, handoffs)
        .scalar_subquery()
    )
    held = (conversations.c.holder == Holder.AGENT) & conversations.c.agent_id.is_not(None)
    if conversation_id is not None:
        held &= conversations.c.id == conversation_id
    rows = tx.execute(
        sa.select(conversations.c.id, conversations.c.agent_id, last_word.label("last_word"))
        .add_columns(handoffs.c.asked_at, handoffs.c.promised_at, handoffs.c.taken_at, handoffs.c.team_id)
        .add_columns(handoffs.c.woke_at)
        .join(handoffs, (handoffs.c.conversation_id == conversations.c.id) & handoffs.c.closed_at.is_(None))
        .where(held, handoffs.c.taken_at <= before, handoffs.c.snoozed_until.is_(None))
    ).all()
    found = []
    for row in rows:
        since = row.taken_at
        if row.last_word is not None or row.promised_at is None:
            since = _asked_since(tx, row)
        if since is not None and row.woke_at is not None:
            since = max(since, row.woke_at)  # the agent has put it aside until then
        if since is not None and since <= before:
            found.append(KeptWaiting(row.id, row.agent_id, since, row.team_id))
    return found


def _asked_since(tx: Transaction, held: Any) -> datetime | None:
    """Return since when a contact waits for this agent's answer to what they wrote after the last one."""
    said = (messages.c.conversation_id == held.id) & (messages.c.author == Author.CONTACT)
    came = sa.func.coalesce(messages.c.arrived_at, messages.c.at)  # by our clock: Meta's is another
    rows = tx.execute(
        sa.select(messages.c.type, messages.c.text, came.label("came"))
        .where(said, messages.c.id > held.last_word if held.last_word else came >= held.asked_at)
        .where(messages.c.deleted_at.is_(None), ratings.IS_NONE)
        .order_by(messages.c.id)
    )
    return next((max(row.came, held.taken_at) for row in rows if wants_an_answer(row.type, row.text)), None)


def leave(tx: Transaction, waits: KeptWaiting, *, tell: Tell, now: datetime) -> bool:
    """Put a conversation back whose agent keeps the contact waiting; say whether that was still so.

    The contact is told that it takes longer, and until when. The agent comes first, if they are back before somebody
    else has taken it.
    """
    row = outbox.lock_conversation(tx, waits.conversation_id, skip_locked=True)
    if row is None or waits not in kept_waiting(tx, waits.since, waits.conversation_id):
        return False
    made, hours = _requeue(tx, row, now, owner_id=waits.agent_id)
    if promises.may_tell(tx, row, now):
        outbox.queue(tx, row.id, tell(made, hours, now), author=Author.DESK, epoch=row.epoch + 1, now=now)
    return True


def give_back(
    tx: Transaction,
    key: str,
    *,
    agent_id: int,
    words: Outbound | None,
    now: datetime,
    outcome: Outcome = Outcome.GIVEN_BACK,
    summary: str = "",
    ask: Ask | None = None,
) -> None:
    """Return the conversation to the bot, after one last word of the desk to the contact; `ask` puts the question how
    they found it under that, where it is due.
    """
    row = require_held_by(tx, key, agent_id)
    end(tx, row, outcome, words=words, summary=summary, ask=ask, now=now)


def end(
    tx: Transaction,
    row: Any,
    outcome: Outcome,
    *,
    words: Outbound | None,
    now: datetime,
    summary: str = "",
    ask: Ask | None = None,
) -> None:
    """End the handoff of a conversation, locked, that an agent has: it is the bot's again."""
    gone = waits.of(tx, row.id, now)
    if ask is not None and gone is not None:
        spoke = gone.waits.first_answer_at is not None
        if ratings.may_ask(outcome, gone.row.reason, a_person_spoke=spoke):
            words = ratings.under(words, ask(gone.row.id))
            ratings.asked(tx, gone.row.id, now)
    if words is not None:
        outbox.queue(tx, row.id, words, author=Author.DESK, now=now)
    _move(tx, row, Move.GIVE_BACK, now, agent_id=None, agent_name="")
    _close(tx, row.id, outcome, now, summary)


def _close(tx: Transaction, conversation_id: int, outcome: Outcome, now: datetime, summary: str = "") -> None:
    waits.settle(tx, conversation_id, now)
    hooks.moved(tx, conversation_id, Happening.HANDOFF_CLOSED, now, outcome=outcome.value)
    ended = {"closed_at": now, "outcome": outcome, "summary": summary, "snoozed_at": None, "snoozed_until": None}
    tx.execute(sa.update(handoffs).where(_open(conversation_id)).values(ended))


def require_held_by(tx: Transaction, key: str, agent_id: int) -> Any:
    """Return the conversation's locked row; refuse anybody but the agent who holds it."""
    row = locked(tx, key)
    if row.holder is not Holder.AGENT or row.agent_id != agent_id:
        who = row.agent_name if row.holder is Holder.AGENT else f"the {row.holder.value}"
        raise NotYours(f"({who} holds it now; press Take first)")
    return row


def is_waiting(tx: Transaction, key: str) -> bool:
    """Say whether the contact waits for a person already."""
    holder = tx.execute(sa.select(conversations.c.holder).where(conversations.c.key == key)).scalar()
    return holder is Holder.QUEUE


def locked(tx: Transaction, key: str) -> Any:
    """Return the row of the conversation this one is now, locked."""
    find = sa.select(conversations.c.id).where(conversations.c.key == key)
    conversation_id = tx.execute(find).scalar() if can_be_kept(key) else None
    if conversation_id is None:
        raise UnknownConversation(f"(key {key})")
    row = outbox.lock_conversation(tx, conversation_id)
    # Where two contacts turned out to be one person, everything said to the one is said to the other. Looked at under
    # the lock, for that may have happened while we waited for it.
    while row.merged_into is not None:
        row = outbox.lock_conversation(tx, row.merged_into)
    return row


def _is_overtaken(tx: Transaction, turn_id: int | None, muted_at: int) -> bool:
    """Say whether a person took over after this turn began, or it was ended from outside, as when two conversations
    become one and another turn answers what it heard: then it may not hand off either, however late it acts.
    """
    turn = tx.execute(sa.select(turns.c.epoch, turns.c.state).where(turns.c.id == turn_id)).first()
    return turn is not None and (turn.epoch < muted_at or turn.state is TurnState.MUTED)


def _left_to_the_phone(conversation_id: int) -> Any:
    theirs = (messages.c.conversation_id == conversation_id) & (messages.c.author == Author.CONTACT)
    return theirs & messages.c.not_before.is_not(None)


def _open(conversation_id: int) -> Any:
    return (handoffs.c.conversation_id == conversation_id) & handoffs.c.closed_at.is_(None)


def _open_handoff(
    tx: Transaction,
    conversation_id: int,
    *,
    reason: Reason,
    wish: str,
    slots: dict[str, Any],
    now: datetime,
    turn_id: int | None,
    needed: Needed,
    made: Promise | None = None,
    evidence: Sequence[Fact] = (),
) -> int:
    """Write a handoff down; without a promise for one that a person began, so that nobody had to wait."""
    result = tx.execute(
        sa.insert(handoffs).values(
            conversation_id=conversation_id,
            reason=reason,
            wish=wish,
            slots=slots,
            asked_at=now,
            turn_id=turn_id,
            team_id=needed.team_id,
            needs=list(needed.skills) or None,
            evidence=to_json(evidence),
            **(_promised(tx, conversation_id, reason, made, now) if made is not None else {}),
        )
    )
    hooks.moved(tx, conversation_id, Happening.HANDOFF_CREATED, now, reason=reason.value)
    return int(result.inserted_primary_key[0])


def _promised(tx: Transaction, conversation_id: int, reason: Reason, made: Promise, now: datetime) -> dict[str, Any]:
    goes_on = returns.columns(tx, conversation_id, reason, now)
    return {**promises.columns(made, now), "first_due_at": made.due_at, **goes_on}


def _move(tx: Transaction, row: Any, move: Move, now: datetime, **columns: Any) -> None:
    """Make a move under the lock: new holder, next epoch, one change row."""
    holder = after(move, row.holder)
    if holder is None:
        raise NotAllowed(f"({move.value} while the {row.holder.value} holds it)")
    moved = tx.execute(
        sa.update(conversations)
        .where(conversations.c.id == row.id, conversations.c.epoch == row.epoch)
        .values(holder=holder, epoch=row.epoch + 1, **columns)
    )
    if not moved.rowcount:
        raise NotAllowed("(somebody moved it at the same moment)")
    changes.note(tx, row.id, Change.MOVE, now)
