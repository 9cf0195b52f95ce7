"""What contacts who wait were promised: made here, kept in sight, and admitted when it is broken.

Nobody waits without a due time. While somebody does: people away from the desk are told after a while; when the time
has come and nobody has, an alarm says so until somebody takes the conversation, and the contact is told the truth once;
and before the window closes, in which we may write to them at all, we ask them to open it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.exc import DisconnectionError, OperationalError

from bot import ladder
from bot.conversation import NOT_INVITED, WINDOW_MARGIN, window_is_open
from bot.hours import Hours
from bot.ladder import Rung
from bot.ledger import alarms, changes, outbox, teams
from bot.ledger.tables import contacts, conversations, handoffs
from bot.ledger.teams import Team
from bot.ledger.transaction import Transaction
from bot.messages import Outbound, Template
from bot.promises import Promise, Waited, Waiting, in_order, promise, urgency
from bot.vocabulary import Author, Change, Holder

log = logging.getLogger(__name__)

LEARNS_FROM = 50  # handoffs: the last ones that were taken
LEARNS_SINCE = timedelta(days=14)
SEEN = 2_000  # of the queue; nobody is told a place beyond that
AT_ONCE = 10  # of each duty, in one transaction: others want to write, too
ASKS_BEFORE_CLOSING = timedelta(hours=2)  # how long before the window closes we ask the contact to open it again
ALARM = "promises"  # its name

Tell: TypeAlias = Callable[[Promise, Hours, datetime], Outbound]  # the words for a promise made at that moment


def make(
    tx: Transaction, now: datetime, *, team_id: int = teams.FIRST, for_: int | None = None
) -> tuple[Promise, Team]:
    """Return what somebody who waits is promised now, and by whom. `for_` is their handoff, if they wait already."""
    team = teams.team(tx, team_id)
    queue = _waiting(tx, team_id, now)
    places = [one.handoff_id for one in queue]
    history = _history(tx, team, now)

    def promised(place: int) -> Promise:
        return promise(now, team.hours, place, history, team.within)

    if for_ in places:
        return promised(places.index(for_) + 1), team
    last = promised(len(queue) + 1).due_at  # behind everybody but those who can wait longer still
    return promised(sum(urgency(one, now).by <= last for one in queue) + 1), team


def columns(made: Promise, now: datetime) -> dict[str, Any]:
    """Return a promise as the columns of its handoff."""
    return {"promised_at": now, "due_at": made.due_at, "place": made.place}


def order(tx: Transaction, now: datetime) -> list[int]:
    """Return the conversations of the queue, who must be answered soonest first."""
    found = tx.execute(_ORDERED).all()
    places = {row.id: row.conversation_id for row in found}
    return [places[one.handoff_id] for one in in_order([_as_waiting(row) for row in found], now)]


def _waiting(tx: Transaction, team_id: int, now: datetime) -> list[Waiting]:
    return in_order([_as_waiting(row) for row in _rows(tx, _WAITS & (handoffs.c.team_id == team_id))], now)


_WAITS = (conversations.c.holder == Holder.QUEUE) & handoffs.c.closed_at.is_(None)
_BROKEN = (
    sa.select(handoffs.c.asked_at)
    .join(conversations, conversations.c.id == handoffs.c.conversation_id)
    .where(_WAITS, handoffs.c.broken_at.is_not(None))
)
_ORDERED = (  # what `_as_waiting` wants to know, and no more: every desk asks for it again and again
    sa.select(
        handoffs.c.id, handoffs.c.conversation_id, handoffs.c.reason, handoffs.c.due_at, handoffs.c.asked_at,
        handoffs.c.joined_to, conversations.c.window_ends,
    )
    .join(conversations, conversations.c.id == handoffs.c.conversation_id)
    .where(_WAITS)
    .order_by(handoffs.c.id)
)  # fmt: skip


def _rows(tx: Transaction, *which: Any, limit: int = SEEN) -> Any:
    return tx.execute(
        sa.select(handoffs, conversations.c.window_ends, conversations.c.key, contacts.c.blocked_at)
        .join(conversations, conversations.c.id == handoffs.c.conversation_id)
        .join(contacts, contacts.c.id == conversations.c.contact_id)
        .where(*which)
        .order_by(handoffs.c.id)
        .limit(limit)
    )


def _as_waiting(row: Any) -> Waiting:
    came_back = row.joined_to is not None and row.reason not in NOT_INVITED
    return Waiting(row.id, row.reason, row.due_at or row.asked_at, row.window_ends, came_back)


def _history(tx: Transaction, team: Team, now: datetime) -> list[Waited]:
    """Return how long those waited who were taken lately."""
    mine = (handoffs.c.team_id == team.id) & (handoffs.c.place > 0)
    rows = tx.execute(
        sa.select(handoffs.c.place, handoffs.c.promised_at, handoffs.c.taken_at)
        .where(mine, handoffs.c.taken_at > now - LEARNS_SINCE, handoffs.c.taken_at <= now)
        .where(handoffs.c.promised_at <= handoffs.c.taken_at, handoffs.c.reason.not_in(NOT_INVITED))
        .order_by(handoffs.c.taken_at.desc())
        .limit(LEARNS_FROM)
    )
    return [Waited(row.place, team.hours.between(row.promised_at, row.taken_at)) for row in rows]


def is_due(tx: Transaction, now: datetime) -> bool:
    """Say whether anything has to be done for anybody who waits, or the alarm to be raised or cleared: only a look."""
    overdue = (handoffs.c.due_at <= now) & handoffs.c.broken_at.is_(None)
    found = _rows(tx, _WAITS, overdue | _closing(now), limit=1).first()
    return found is not None or alarms.is_raised(tx, ALARM) or tx.execute(_BROKEN.limit(1)).first() is not None


def admit_broken(tx: Transaction, now: datetime, tell: Tell) -> int:
    """Tell contacts to whom nobody came in time that it takes longer, and how long; return how many promises broke.

    Each is told once, and keeps the due time that was missed, and with it the place before all who came later.
    """
    overdue = handoffs.c.due_at <= now

    def admit(row: Any, locked: Any) -> None:
        made, team = make(tx, now, team_id=row.team_id, for_=row.id)
        tx.execute(sa.update(handoffs).where(handoffs.c.id == row.id).values(broken_at=now))
        if _may_write(row, locked, now):
            words = tell(made, team.hours, now)
            outbox.queue(tx, row.conversation_id, words, author=Author.DESK, epoch=locked.epoch, now=now)
        changes.note(tx, row.conversation_id, Change.MOVE, now)

    count = _each(tx, admit, _WAITS, overdue, handoffs.c.broken_at.is_(None))
    _keep_alarm(tx, now)
    return count


def _keep_alarm(tx: Transaction, now: datetime) -> None:
    """Raise the alarm while somebody waits whose promise is broken; clear it when all of them are seen to."""
    asked = [row.asked_at for row in tx.execute(_BROKEN)]
    count, since = len(asked), min(asked, default=now)
    if not count:
        alarms.clear(tx, ALARM, unless=_BROKEN)  # another watch may be admitting one right now
        return
    who = "A contact waits" if count == 1 else f"{count} contacts wait"
    words = f"{who} longer than promised, the longest since {since:%d %b %H:%M} UTC. Take them in the desk's queue."
    alarms.raise_alarm(tx, ALARM, words, now)


def keep_windows_open(tx: Transaction, now: datetime, ask: Tell, template: Template | None = None) -> int:
    """Ask contacts whose window closes before a person comes to open it again; return of how many the time had come.

    After it closed nobody could answer them but with a template. So `template` goes out instead of our own words, if
    there is one: Meta's phones show it as what it is, and its buttons can still be tapped days later.
    """

    def keep(row: Any, locked: Any) -> None:
        tx.execute(sa.update(handoffs).where(handoffs.c.id == row.id).values(window_asked=row.window_ends))
        if _may_write(row, locked, now):
            made, team = make(tx, now, team_id=row.team_id, for_=row.id)
            words = template or ask(made, team.hours, now)
            outbox.queue(tx, row.conversation_id, words, author=Author.DESK, epoch=locked.epoch, now=now)

    return _each(tx, keep, _WAITS, _closing(now))


def _each(tx: Transaction, duty: Callable[[Any, Any], None], *which: Any) -> int:
    """Do a duty for some of these; return for how many it was done. One that fails keeps it from none of the others,
    and is tried again at the next look.
    """
    count, last = 0, 0
    while count < AT_ONCE and (ids := _ids(tx, *which, handoffs.c.id > last)):
        last = ids[-1]
        for row, locked in _locked(tx, *which, handoffs.c.id.in_(ids)):
            try:
                with tx.begin_nested():
                    duty(row, locked)
                count += 1
            except (OperationalError, DisconnectionError):
                raise  # the database is away
            except Exception as problem:
                log.error(
                    "a duty failed for one handoff: %s", type(problem).__name__,
                    extra={"action": "duty_failed", "handoff": row.id},
                )  # fmt: skip
    return count


def _ids(tx: Transaction, *which: Any) -> list[int]:
    return [row.id for row in _rows(tx, *which, limit=AT_ONCE).all()]


def _closing(now: datetime) -> Any:
    """Those whose window closes soon, and who were not asked about this one."""
    unasked = handoffs.c.window_asked.is_(None) | (handoffs.c.window_asked < conversations.c.window_ends)
    return conversations.c.window_ends.between(now + WINDOW_MARGIN, now + ASKS_BEFORE_CLOSING) & unasked


def _locked(tx: Transaction, *which: Any) -> list[tuple[Any, Any]]:
    """Return handoffs with their conversations, locked; without those somebody is at work on."""
    found = []
    for row in _rows(tx, *which, limit=AT_ONCE).all():
        locked = outbox.lock_conversation(tx, row.conversation_id, skip_locked=True)
        again = _rows(tx, *which, handoffs.c.id == row.id).first() if locked is not None else None
        if again is not None:
            found.append((again, locked))
    return found


def may_tell(tx: Transaction, locked: Any, now: datetime) -> bool:
    """Say whether whoever waits in this conversation, locked, may be written to."""
    row = _rows(tx, handoffs.c.conversation_id == locked.id, handoffs.c.closed_at.is_(None)).first()
    return row is not None and _may_write(row, locked, now)


def _may_write(row: Any, locked: Any, now: datetime) -> bool:
    is_a_person = row.reason not in NOT_INVITED  # another bot would answer, and so would we
    return window_is_open(locked.window_ends, now) and row.blocked_at is None and is_a_person


def carry_over(tx: Transaction, fewer_id: int, nearer: Any, now: datetime) -> None:
    """Keep what was promised in a conversation that goes into another one (`nearer`, which keeps its handoff).

    Of two who waited the earlier promise counts; where an agent has the other, that agent owes this one a first word.
    """
    waited, kept = (
        tx.execute(sa.select(handoffs).where(handoffs.c.conversation_id == one, handoffs.c.closed_at.is_(None))).first()
        for one in (fewer_id, nearer.id)
    )
    if waited is None or kept is None or waited.taken_at is not None or waited.due_at is None:
        return
    mine = sa.update(handoffs).where(handoffs.c.id == kept.id)
    if nearer.holder is Holder.AGENT:
        tx.execute(mine.values(promised_at=now, place=0))
    elif kept.due_at is None or waited.due_at < kept.due_at:
        tx.execute(mine.values(due_at=waited.due_at, broken_at=waited.broken_at or kept.broken_at))


@dataclass(frozen=True)
class Unseen:
    """Who has waited for a while, and nobody at the desk seems to see it."""

    rung: Rung  # how far up this has to be told
    ids: tuple[int, ...]  # of the handoffs
    since: datetime
    waiting: int  # all who wait now


def unseen(tx: Transaction, now: datetime, after: timedelta) -> Unseen | None:
    """Return those of whom people have to be told now, the furthest up first (see bot.ladder); None if there are none.

    `after` is opening time.
    """
    found = _rows(tx, _WAITS, handoffs.c.rung < max(Rung), handoffs.c.promised_at <= now - after).all()
    due: dict[Rung, list[Any]] = {}
    for row in found:
        waited = teams.team(tx, row.team_id).hours.between(row.promised_at, now)
        one = ladder.rung(waited, after)
        if one > row.rung:
            due.setdefault(one, []).append(row)
    if not due:
        return None
    highest = max(due)
    queued = conversations.c.holder == Holder.QUEUE
    waiting = tx.execute(sa.select(sa.func.count()).select_from(conversations).where(queued)).scalar_one()
    ids = tuple(row.id for row in due[highest])
    return Unseen(highest, ids, min(row.asked_at for row in due[highest]), waiting)


def alerted(tx: Transaction, ids: tuple[int, ...], now: datetime, rung: Rung = Rung.TEAM) -> None:
    """Remember how far up people were told of these; not of who joined the queue anew since `now`, when it was seen."""
    for one in sorted(ids):  # in the order in which everybody locks them
        mine = (handoffs.c.id == one) & (handoffs.c.promised_at <= now) & (handoffs.c.rung < rung)
        tx.execute(sa.update(handoffs).where(mine).values(alerted_at=now, rung=rung))
