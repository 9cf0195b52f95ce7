"""Hooks: programs of others that are told what happens. The only writer of hooks and calls.

What is to be told is written down in the transaction in which it happens, one call for each hook that wants to hear
of it, and delivered by a loop (handoff/caller.py). Where nobody has a hook it costs one look.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.conversation import CHANNEL
from bot.errors import NotAllowed, UnknownHook
from bot.ledger import alarms
from bot.ledger.tables import conversations, handoffs
from bot.ledger.tables_outside import CALLS_WAITING, calls, hooks
from bot.ledger.transaction import Transaction
from bot.vocabulary import CallState, Happening

LEASE = timedelta(seconds=60)  # longer than any attempt takes
FIRST_PAUSE = timedelta(seconds=5)  # after the first failure; three times as long after each one more …
LONGEST_PAUSE = timedelta(hours=6)  # … up to this
TRIES_MAX = 20  # about three days
LONGEST_REST = timedelta(minutes=1)  # of a hook that does not answer: its other calls would fail as well
DISABLED_AFTER = timedelta(days=3)  # of nothing but failures
GONE = 410  # the status by which a program says that it wants to hear no more
BY_HAND = "somebody switched it off"
SWITCHED_OFF = "the hook was switched off"


@dataclass(frozen=True)
class Hook:
    """A program of somebody's that is told of these happenings."""

    id: int
    url: str
    events: tuple[Happening, ...]
    channel: str  # only of guests on this channel; "" for every conversation
    secret: str
    created_at: datetime
    disabled_at: datetime | None
    why: str  # it is disabled
    failing_since: datetime | None


@dataclass(frozen=True)
class Call:
    """One happening on its way to one hook, or there."""

    id: int
    hook_id: int
    conversation_id: int
    kind: Happening
    message_id: int | None
    handoff_id: int | None
    facts: dict[str, Any]
    at: datetime
    state: CallState
    attempts: int
    not_before: datetime
    tried_at: datetime | None
    answer: str


@dataclass(frozen=True)
class Answered:
    """What a hook answered to a call."""

    status: int | None  # None: nothing
    words: str
    wait: timedelta | None = None  # it asks for that long

    @property
    def took_it(self) -> bool:
        """Say whether it has it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_down(self) -> bool:
        """Say whether its other calls would fail as well."""
        return self.status is None or self.status >= 500 or self.status == 429


def add(
    tx: Transaction, url: str, events: Collection[Happening], channel: str, *, account_id: int, now: datetime
) -> Hook:
    """Make a hook; its secret is shown to who made it, once."""
    result = tx.execute(
        sa.insert(hooks).values(
            url=url,
            events=_joined(events),
            channel=channel,
            secret="whsec_" + secrets.token_urlsafe(32),
            account_id=account_id,
            created_at=now,
        )
    )
    return hook(tx, int(result.inserted_primary_key[0]))


def _joined(events: Collection[Happening]) -> str:
    return "," + ",".join(one.value for one in Happening if one in events) + ","


def hook(tx: Transaction, hook_id: int) -> Hook:
    """Return one hook."""
    row = tx.execute(sa.select(hooks).where(hooks.c.id == hook_id)).first()
    if row is None:
        raise UnknownHook(f"({hook_id})")
    return _hook(row)


def every(tx: Transaction) -> list[Hook]:
    """Return all hooks, the oldest first."""
    return [_hook(row) for row in tx.execute(sa.select(hooks).order_by(hooks.c.id))]


def _hook(row: Any) -> Hook:
    events = tuple(Happening(one) for one in row.events.strip(",").split(",") if one)
    return Hook(
        row.id, row.url, events, row.channel, row.secret, row.created_at, row.disabled_at, row.why, row.failing_since
    )


def enable(tx: Transaction, hook_id: int) -> Hook:
    """Tell a hook of what happens from now on. What failed meanwhile is told once somebody asks for it."""
    fresh = {"disabled_at": None, "why": "", "failing_since": None, "failures": 0, "rests_until": None}
    tx.execute(sa.update(hooks).where(hooks.c.id == hook_id).values(fresh))
    alarms.clear(tx, _alarm(hook_id))
    return hook(tx, hook_id)


def disable(tx: Transaction, hook_id: int, why: str, now: datetime) -> list[int]:
    """Tell a hook no more; what was waiting for it has failed. Return the messages it was to hear of."""
    one = hook(tx, hook_id)
    if one.disabled_at is not None:
        return []
    tx.execute(sa.update(hooks).where(hooks.c.id == hook_id).values(disabled_at=now, why=why[:300]))
    waits = (calls.c.hook_id == hook_id) & (calls.c.state == CallState.WAITING)
    told = sa.select(calls.c.message_id).where(CALLS_WAITING, waits, calls.c.message_id.is_not(None))
    found = [int(one) for one in tx.execute(told.order_by(calls.c.id)).scalars()]
    failed = {"state": CallState.FAILED, "answer": SWITCHED_OFF, "lease_until": None}
    tx.execute(sa.update(calls).where(CALLS_WAITING, waits).values(failed))
    return found


def remove(tx: Transaction, hook_id: int) -> None:
    """Forget a hook and every call of it."""
    hook(tx, hook_id)
    alarms.clear(tx, _alarm(hook_id))
    tx.execute(sa.delete(calls).where(calls.c.hook_id == hook_id))
    tx.execute(sa.delete(hooks).where(hooks.c.id == hook_id))


# What happens is written down by the verbs that make it happen.

WANTED = (
    sa.select(hooks.c.id)
    .join(
        conversations,
        sa.or_(hooks.c.channel == "", conversations.c.phone_number_id == sa.literal(CHANNEL).concat(hooks.c.channel)),
    )
    .where(
        conversations.c.id == sa.bindparam("conversation_id"),
        hooks.c.disabled_at.is_(None),
        hooks.c.events.like(sa.bindparam("kind")),
    )
    .order_by(hooks.c.id)
)
EVERYBODYS = (
    sa.select(hooks.c.id)
    .where(hooks.c.disabled_at.is_(None), hooks.c.channel == "", hooks.c.events.like(sa.bindparam("kind")))
    .order_by(hooks.c.id)
)
CALL = sa.insert(calls)


def said(tx: Transaction, conversation_id: int, message_id: int, now: datetime) -> None:
    """Write down that something was said that these hooks want to hear of."""
    _call(tx, conversation_id, Happening.MESSAGE_CREATED, now, message_id=message_id)


def heard_all(tx: Transaction, heard: Sequence[tuple[int, int]], now: datetime) -> None:
    """Write down what contacts wrote on WhatsApp, by conversation and message: in one look, however much it is."""
    kind = Happening.MESSAGE_CREATED
    wanted = tx.execute(EVERYBODYS, {"kind": _like(kind)}).scalars().all() if heard else []
    rows = [
        _row(hook_id, conversation_id, kind, now, message_id=message_id)
        for conversation_id, message_id in heard
        for hook_id in wanted
    ]
    if rows:
        tx.execute(CALL, rows)


def moved(tx: Transaction, conversation_id: int, kind: Happening, now: datetime, **facts: Any) -> None:
    """Write down what became of a conversation's open handoff; while it is open. Nothing, if none is."""
    wanted = tx.execute(WANTED, {"conversation_id": conversation_id, "kind": _like(kind)}).scalars().all()
    if not wanted:
        return
    open_ = (handoffs.c.conversation_id == conversation_id) & handoffs.c.closed_at.is_(None)
    handoff_id = tx.execute(sa.select(handoffs.c.id).where(open_)).scalar()
    if handoff_id is None:
        return
    tx.execute(CALL, [_row(one, conversation_id, kind, now, handoff_id=handoff_id, facts=facts) for one in wanted])


def _call(tx: Transaction, conversation_id: int, kind: Happening, now: datetime, *, message_id: int) -> None:
    wanted = tx.execute(WANTED, {"conversation_id": conversation_id, "kind": _like(kind)}).scalars().all()
    if wanted:
        tx.execute(CALL, [_row(one, conversation_id, kind, now, message_id=message_id) for one in wanted])


def _like(kind: Happening) -> str:
    return f"%,{kind.value},%"


def _row(
    hook_id: int,
    conversation_id: int,
    kind: Happening,
    now: datetime,
    *,
    message_id: int | None = None,
    handoff_id: int | None = None,
    facts: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "hook_id": hook_id,
        "conversation_id": conversation_id,
        "kind": kind,
        "message_id": message_id,
        "handoff_id": handoff_id,
        "facts": facts or {},
        "at": now,
        "state": CallState.WAITING,
        "attempts": 0,
        "not_before": now,
    }


# And delivered by the loop.


def due(tx: Transaction, now: datetime) -> list[int]:
    """Return the hooks that have something to hear now: a cheap look."""
    rested = hooks.c.disabled_at.is_(None) & (hooks.c.rests_until.is_(None) | (hooks.c.rests_until <= now))
    first = sa.select(sa.func.min(calls.c.id)).where(CALLS_WAITING).group_by(calls.c.hook_id, calls.c.conversation_id)
    ready = calls.c.id.in_(first) & (calls.c.not_before <= now) & _is_free(now)
    query = sa.select(calls.c.hook_id).join(hooks, hooks.c.id == calls.c.hook_id).distinct()
    return list(tx.execute(query.where(CALLS_WAITING, ready, rested).order_by(calls.c.hook_id)).scalars())


def _is_free(now: datetime) -> Any:
    """No lease, one that has run out, or one nobody can have: the clock was set back since."""
    return calls.c.lease_until.is_(None) | (calls.c.lease_until < now) | (calls.c.lease_until > now + LEASE)


def claim(tx: Transaction, hook_id: int, now: datetime) -> Call | None:
    """Take a hook's oldest call that may go now; of each conversation only the first is there to be taken."""
    earlier = calls.alias("earlier")
    blocked = (
        sa.select(earlier.c.id)
        .where(
            earlier.c.hook_id == calls.c.hook_id,
            earlier.c.conversation_id == calls.c.conversation_id,
            earlier.c.id < calls.c.id,
            earlier.c.state == CallState.WAITING,
        )
        .exists()
    )
    rests = hooks.c.disabled_at.is_not(None) | (hooks.c.rests_until > now)
    resting = sa.select(hooks.c.id).where(hooks.c.id == hook_id, rests).exists()
    mine = CALLS_WAITING & (calls.c.hook_id == hook_id) & (calls.c.not_before <= now) & _is_free(now)
    row = tx.execute(
        sa.select(calls).where(mine, ~blocked, ~resting).order_by(calls.c.id).limit(1).with_for_update(skip_locked=True)
    ).first()
    if row is None:
        return None
    step = {"lease_until": now + LEASE, "attempts": row.attempts + 1, "tried_at": now}
    tx.execute(sa.update(calls).where(calls.c.id == row.id).values(step))
    return _as_call(tx.execute(sa.select(calls).where(calls.c.id == row.id)).one())


def settle(tx: Transaction, call: Call, answered: Answered, now: datetime) -> CallState | None:
    """Write down what became of an attempt; None if it no longer counts, for the call was taken by another process."""
    mine = (calls.c.id == call.id) & (calls.c.attempts == call.attempts) & (calls.c.state == CallState.WAITING)
    if tx.execute(sa.select(calls.c.id).where(mine)).first() is None:
        return None
    state, pause = CallState.DELIVERED, timedelta(0)
    if not answered.took_it:
        pause = max(answered.wait or timedelta(0), _pause(call.attempts))
        state = CallState.FAILED if call.attempts >= TRIES_MAX else CallState.WAITING
    step = {"state": state, "not_before": now + pause, "lease_until": None, "answer": answered.words[:300]}
    tx.execute(sa.update(calls).where(mine).values(step))
    _remember(tx, call.hook_id, answered, now)
    return state


def drop(tx: Transaction, call: Call, why: str) -> None:
    """Let a call rest whose words need not be told any more."""
    mine = calls.c.id == call.id
    tx.execute(sa.update(calls).where(mine).values(state=CallState.FAILED, lease_until=None, answer=why[:300]))


def _pause(attempts: int) -> timedelta:
    pause = timedelta(seconds=FIRST_PAUSE.total_seconds() * 3.0 ** min(attempts - 1, 12))
    return min(pause, LONGEST_PAUSE)


def _remember(tx: Transaction, hook_id: int, answered: Answered, now: datetime) -> None:
    """Keep how a hook does: who does not answer rests for a moment, so that the others need not wait for it."""
    mine = hooks.c.id == hook_id
    if answered.took_it:
        fine = {"failing_since": None, "failures": 0, "rests_until": None}
        tx.execute(sa.update(hooks).where(mine, hooks.c.failures > 0).values(fine))
        return
    row = tx.execute(sa.select(hooks.c.failures, hooks.c.failing_since).where(mine)).one()
    rest = min(timedelta(seconds=2 ** min(row.failures, 10)), LONGEST_REST)
    told = {"failures": row.failures + 1, "failing_since": row.failing_since or now}
    if answered.is_down:
        told["rests_until"] = now + max(rest, min(answered.wait or rest, timedelta(hours=1)))
    tx.execute(sa.update(hooks).where(mine).values(told))


def gives_up(tx: Transaction, hook_id: int, answered: Answered, now: datetime) -> str:
    """Say why a hook is told no more from now on; "" if it is."""
    one = hook(tx, hook_id)
    if answered.status == GONE:
        return "it answered 410: it wants to hear no more"
    if one.failing_since is not None and one.failing_since <= now - DISABLED_AFTER:
        return f"nothing but failures since {one.failing_since:%d %b %H:%M} UTC, at last: {answered.words}"
    return ""


def ring(tx: Transaction, hook_id: int, why: str, now: datetime) -> None:
    """Have somebody look at a hook that was disabled."""
    words = f"The hook {hook_id} is switched off: {why}. Mend it and switch it on again at /hooks."
    alarms.raise_alarm(tx, _alarm(hook_id), words, now)


def _alarm(hook_id: int) -> str:
    return f"hook {hook_id}"


def calls_of(tx: Transaction, hook_id: int, limit: int = 100, *, before: int | None = None) -> list[Call]:
    """Return a hook's calls, the newest first."""
    query = sa.select(calls).where(calls.c.hook_id == hook_id)
    if before is not None:
        query = query.where(calls.c.id < before)
    return [_as_call(row) for row in tx.execute(query.order_by(calls.c.id.desc()).limit(limit))]


def again(tx: Transaction, hook_id: int, call_id: int | None, now: datetime) -> list[Call]:
    """Have a call, or all of a hook that failed, tried once more; return which."""
    if hook(tx, hook_id).disabled_at is not None:
        raise NotAllowed("(it is switched off; switch it on first)")
    which = (calls.c.hook_id == hook_id) & (calls.c.state != CallState.WAITING)
    which &= calls.c.state == CallState.FAILED if call_id is None else calls.c.id == call_id
    found = [_as_call(row) for row in tx.execute(sa.select(calls).where(which).order_by(calls.c.id)).all()]
    fresh = {"state": CallState.WAITING, "attempts": 0, "not_before": now, "lease_until": None}
    if call_id is not None and not found and not _is_there(tx, hook_id, call_id):
        raise UnknownHook(f"(or it has no call {call_id})")
    tx.execute(sa.update(calls).where(calls.c.id.in_([one.id for one in found])).values(fresh))
    tx.execute(sa.update(hooks).where(hooks.c.id == hook_id).values(rests_until=None))
    return found


def _is_there(tx: Transaction, hook_id: int, call_id: int) -> bool:
    mine = (calls.c.hook_id == hook_id) & (calls.c.id == call_id)
    return tx.execute(sa.select(calls.c.id).where(mine)).first() is not None


def others_for(tx: Transaction, message_id: int) -> set[CallState]:
    """Return what became of a message's calls, to all hooks."""
    mine = sa.select(calls.c.state).where(calls.c.message_id == message_id)
    return set(tx.execute(mine).scalars())


def prune(tx: Transaction, before: datetime, limit: int = 500) -> int:
    """Forget calls that were delivered or given up before; return how many."""
    old = (calls.c.state != CallState.WAITING) & (calls.c.at < before)
    ids = tx.execute(sa.select(calls.c.id).where(old).order_by(calls.c.id).limit(limit)).scalars().all()
    if ids:
        tx.execute(sa.delete(calls).where(calls.c.id.in_(ids)))
    return len(ids)


def _as_call(row: Any) -> Call:
    return Call(
        id=row.id,
        hook_id=row.hook_id,
        conversation_id=row.conversation_id,
        kind=row.kind,
        message_id=row.message_id,
        handoff_id=row.handoff_id,
        facts=row.facts or {},
        at=row.at,
        state=row.state,
        attempts=row.attempts,
        not_before=row.not_before,
        tried_at=row.tried_at,
        answer=row.answer,
    )
