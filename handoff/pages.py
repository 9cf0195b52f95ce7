"""The lists and what every page has around it, as values: read from the ledger, worded, ready to draw."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from bot.ledger import alarms, changes, transcript
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation
from bot.promises import Waiting, urgency
from bot.vocabulary import Author, Holder
from handoff import words
from handoff.roles import Account
from handoff.viewing import Viewer, name_of, short

LONG_WAIT = timedelta(minutes=5)  # from here on a waiting time is set in the warning colour, and says so
LISTED = 300


class Show(str, Enum):
    """The four lists of the desk."""

    QUEUE = "queue"
    MINE = "mine"
    OTHERS = "others"
    BOT = "bot"


@dataclass(frozen=True)
class Frame:
    """What every page has around it."""

    account: Account
    alarms: list[alarms.Alarm]
    cursor: int  # the feed's place when this was drawn: live updates begin there


@dataclass(frozen=True)
class Tab:
    """One of the four lists, with how many are in it."""

    show: Show
    label: str
    count: int
    chosen: bool


@dataclass(frozen=True)
class Row:
    """One conversation in a list."""

    key: str
    name: str
    last: str
    when: str
    why: str  # the reason in the queue, the holder elsewhere
    waiting: str  # for how long, in the queue; or for this agent's answer
    waits_long: bool
    due: str  # in the queue: what is lost first, and when; it is what the queue is ordered by
    late: bool
    holder: Holder
    asks: bool  # it is this agent's, and the contact has no answer yet
    news: str  # what the desk rings for when it is new
    channel: str  # where another bot speaks with them; "" is WhatsApp


@dataclass(frozen=True)
class Rows:
    """The chosen list."""

    tabs: list[Tab]
    show: Show
    find: str
    rows: list[Row]
    queue: list[Row]  # always, so that every tab rings when somebody new waits
    asking: list[Row]  # always, so that nobody who was taken is forgotten


def frame(tx: Transaction, viewer: Viewer) -> Frame:
    """Return what every page has around it."""
    return Frame(viewer.account, alarms.raised(tx), changes.latest(tx))


def rows(tx: Transaction, viewer: Viewer, show: Show, find: str) -> Rows:
    """Return a list and the counts of all four."""
    count = transcript.count_by_holder(tx)
    waiting = transcript.queue(tx, viewer.now, limit=LISTED)
    waiting.sort(key=lambda one: one.owner_id != viewer.account.id)  # what was theirs comes first
    mine = transcript.list_of(tx, Holder.AGENT, viewer.account.id, limit=LISTED)
    match show:
        case Show.QUEUE:
            found = waiting
        case Show.MINE:  # who needs an answer first, the longest waiting on top
            found = sorted(mine, key=lambda one: _asks_since(one, viewer) or viewer.now)
        case Show.OTHERS:
            held = transcript.list_of(tx, Holder.AGENT, limit=LISTED)
            found = [one for one in held if one.agent_id != viewer.account.id]
        case Show.BOT:
            found = transcript.list_of(tx, Holder.BOT, limit=LISTED)
    counts = {
        Show.QUEUE: ("Queue", count[Holder.QUEUE]),
        Show.MINE: ("Mine", len(mine)),
        Show.OTHERS: ("Others", max(0, count[Holder.AGENT] - len(mine))),
        Show.BOT: ("Bot", count[Holder.BOT]),
    }
    wanted = find.strip().lower()
    return Rows(
        tabs=[Tab(which, label, number, which is show) for which, (label, number) in counts.items()],
        show=show,
        find=find.strip(),
        rows=[_row(one, viewer) for one in found if _is_about(one, wanted)],
        queue=[_row(one, viewer) for one in waiting],
        asking=[_row(one, viewer) for one in mine if _asks_since(one, viewer)],
    )


def _is_about(one: Conversation, wanted: str) -> bool:
    digits = wanted.lstrip("+").replace(" ", "")
    told = f"{one.contact.name} {one.last_text} {one.wish} {one.agent_name}".lower()
    return wanted in told or (digits.isdigit() and digits in (one.contact.phone or ""))


def _asks_since(one: Conversation, viewer: Viewer) -> datetime | None:
    """Return since when a contact of this agent's has been waiting for an answer."""
    if one.agent_id != viewer.account.id or one.last_author is Author.AGENT:
        return None
    return one.last_message_at if one.last_author is Author.CONTACT else one.asked_at


def _row(one: Conversation, viewer: Viewer) -> Row:
    asks = _asks_since(one, viewer)
    since = one.asked_at if one.holder is Holder.QUEUE else asks
    waits = viewer.now - since if since else None
    mine = one.agent_id == viewer.account.id
    reason = words.UNANSWERED if asks else words.REASONS[one.reason] if one.reason else ""
    if one.holder is Holder.QUEUE and one.owner_id == viewer.account.id:
        reason = words.WAS_YOURS
    return Row(
        key=one.key,
        name=name_of(one),
        last=(one.holder is Holder.QUEUE and words.wish(one.wish, one.slots)) or last_words(one, viewer.account),
        when=words.when(one.last_message_at, viewer.now, viewer.tz),
        why=words.holder(one.holder, one.agent_name, mine) if one.holder is Holder.AGENT and not mine else reason,
        waiting=words.span(waits) if waits is not None else "",
        waits_long=waits is not None and waits >= LONG_WAIT,
        due=_due(one, viewer) if one.holder is Holder.QUEUE else "",
        late=one.holder is Holder.QUEUE and one.due_at is not None and one.due_at <= viewer.now,
        holder=one.holder,
        asks=asks is not None,
        news=_news(one),
        channel=one.channel,
    )


def _due(one: Conversation, viewer: Viewer) -> str:
    """Say why somebody stands where they do in the queue."""
    if one.reason is None or one.due_at is None:
        return ""
    waits = Waiting(one.id, one.reason, one.due_at, one.window_ends)
    if urgency(waits, viewer.now).because == "window" and one.window_ends is not None:
        return words.window_closes(one.window_ends, viewer.now)
    return words.promised(one.due_at, viewer.now)


def _news(one: Conversation) -> str:
    if one.holder is Holder.QUEUE:
        return one.key
    return f"{one.key}@{one.last_message_at.timestamp():.3f}" if one.last_author is Author.CONTACT else ""


def last_words(one: Conversation, account: Account | None = None) -> str:
    """Return the last message in one line, with who said it where that was not the contact."""
    if one.last_author is None:
        return ""
    said = words.gist(one.last_type, one.last_text)
    if account is None or one.last_author is Author.CONTACT:
        return said
    mine = one.last_author is Author.AGENT and one.agent_id == account.id
    who = "You" if mine else words.author(one.last_author, "Agent")
    return f"{who}: {short(said)}"
