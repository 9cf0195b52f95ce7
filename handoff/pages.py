"""The lists and what every page has around it, as values: read from the ledger, worded, ready to draw."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from bot.hours import Hours
from bot.ledger import alarms, changes, teams, transcript
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation
from bot.promises import Waiting, urgency
from bot.timers import Light, Running, Standards, Timer, running
from bot.vocabulary import Author, Holder
from handoff import explaining, members, words
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
    away: bool  # they are given nothing


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
    place: str  # in the queue: why it stands where it does
    team: str  # in the queue, where there are several
    needs: tuple[str, ...]  # skills
    light: Light  # how the timer that runs stands
    late: bool
    snoozed: bool
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
    elsewhere: int  # who wait for other teams than this agent's
    all_teams: bool  # they are shown, too
    rows: list[Row]
    queue: list[Row]  # always, so that every tab rings when somebody new waits
    asking: list[Row]  # always, so that nobody who was taken is forgotten


def frame(tx: Transaction, viewer: Viewer) -> Frame:
    """Return what every page has around it."""
    return Frame(viewer.account, alarms.raised(tx), changes.latest(tx), members.is_away(tx, viewer.account.id))


def rows(tx: Transaction, viewer: Viewer, show: Show, find: str, *, all_teams: bool = False) -> Rows:
    """Return a list and the counts of all four; of the queue, who waits for this agent's teams, or all of it."""
    count = transcript.count_by_holder(tx)
    everybody = transcript.queue(tx, viewer.now, limit=LISTED)
    waiting = everybody if all_teams else _theirs(tx, viewer.account, everybody)
    seen = _Queue(waiting, viewer, several=len(teams.every(tx)) > 1)
    waiting.sort(key=lambda one: one.owner_id != viewer.account.id)  # what was theirs comes first
    mine = transcript.list_of(tx, Holder.AGENT, viewer.account.id, limit=LISTED)
    match show:
        case Show.QUEUE:
            found = waiting
        case Show.MINE:  # who needs an answer first, the longest waiting on top
            found = sorted(mine, key=lambda one: (_sleeps(one), _asks_since(one, viewer) or viewer.now))
        case Show.OTHERS:
            held = transcript.list_of(tx, Holder.AGENT, limit=LISTED)
            found = [one for one in held if one.agent_id != viewer.account.id]
        case Show.BOT:
            found = transcript.list_of(tx, Holder.BOT, limit=LISTED)
    counts = {
        Show.QUEUE: ("Queue", count[Holder.QUEUE] - len(everybody) + len(waiting)),
        Show.MINE: ("Mine", len(mine)),
        Show.OTHERS: ("Others", max(0, count[Holder.AGENT] - len(mine))),
        Show.BOT: ("Bot", count[Holder.BOT]),
    }
    wanted = find.strip().lower()
    timers = _timers(tx, found) if show in {Show.MINE, Show.OTHERS} else {}
    return Rows(
        tabs=[Tab(which, label, number, which is show) for which, (label, number) in counts.items()],
        show=show,
        find=find.strip(),
        elsewhere=0 if all_teams else len(everybody) - len(waiting),
        all_teams=all_teams,
        rows=[seen.row(one, timers.get(one.key)) for one in found if _is_about(one, wanted)],
        queue=[seen.row(one) for one in waiting],
        asking=[seen.row(one) for one in mine if _asks_since(one, viewer)],
    )


def _theirs(tx: Transaction, account: Account, waiting: list[Conversation]) -> list[Conversation]:
    """Return who waits for somebody of this agent's teams, or of a team nobody works in."""
    mine = members.teams_of(tx, account.id) | members.nobodys(tx)
    return [one for one in waiting if one.team_id in mine or one.owner_id == account.id]


class _Queue:
    """Draws rows, and says of those in the queue where they stand."""

    def __init__(self, waiting: list[Conversation], viewer: Viewer, *, several: bool) -> None:
        self.viewer, self.several, self.of = viewer, several, len(waiting)
        self.place = {one.id: n for n, one in enumerate(waiting, 1)}

    def row(self, one: Conversation, timer: Running | None = None) -> Row:
        waits = one.holder is Holder.QUEUE
        where = explaining.why_here(one, self.place[one.id], self.of, self.viewer) if one.id in self.place else ""
        return _row(one, self.viewer, timer, place=where, team=one.team if waits and self.several else "")


def _is_about(one: Conversation, wanted: str) -> bool:
    digits = wanted.lstrip("+").replace(" ", "")
    told = f"{one.contact.name} {one.last_text} {one.wish} {one.agent_name}".lower()
    return wanted in told or (digits.isdigit() and digits in (one.contact.phone or ""))


def _sleeps(one: Conversation) -> bool:
    return one.snoozed_until is not None


def _woke(one: Conversation) -> datetime | None:
    """Return when what was put aside woke, while nobody has said anything since."""
    return one.woke_at if one.woke_at is not None and one.last_message_at <= one.woke_at else None


def _asks_since(one: Conversation, viewer: Viewer) -> datetime | None:
    """Return since when a contact of this agent's has been waiting for an answer, or for what was put aside."""
    if one.agent_id != viewer.account.id or _sleeps(one):
        return None
    if one.last_author is Author.CONTACT:
        return one.last_message_at
    if one.last_author is Author.AGENT or one.first_answer_at is not None:
        return _woke(one)
    return one.asked_at


def _row(one: Conversation, viewer: Viewer, timer: Running | None, *, place: str, team: str) -> Row:
    asks = _asks_since(one, viewer)
    since = one.asked_at if one.holder is Holder.QUEUE else asks
    waits = viewer.now - since if since else None
    mine = one.agent_id == viewer.account.id
    runs = timer if one.holder is Holder.AGENT and not _sleeps(one) else None
    reason = _reason(one, asks, viewer)
    return Row(
        key=one.key,
        name=name_of(one),
        last=(one.holder is Holder.QUEUE and words.wish(one.wish, one.slots)) or last_words(one, viewer.account),
        when=words.when(one.last_message_at, viewer.now, viewer.tz),
        why=words.holder(one.holder, one.agent_name, mine) if one.holder is Holder.AGENT and not mine else reason,
        waiting=words.span(waits) if waits is not None else "",
        waits_long=waits is not None and waits >= LONG_WAIT,
        due=_due(one, viewer) if one.holder is Holder.QUEUE else _later(one, runs, viewer),
        light=_light(one, runs, viewer),
        snoozed=mine and _sleeps(one),
        place=place,
        team=team,
        needs=one.needs if one.holder is Holder.QUEUE else (),
        late=one.holder is Holder.QUEUE and one.due_at is not None and one.due_at <= viewer.now,
        holder=one.holder,
        asks=asks is not None,
        news=_news(one),
        channel=one.channel,
    )


def _reason(one: Conversation, asks: datetime | None, viewer: Viewer) -> str:
    """Say why it stands in the list."""
    if asks is not None:
        if _was_given(one):
            return words.GIVEN
        return words.WOKE if asks == _woke(one) else words.UNANSWERED
    reason = words.REASONS[one.reason] if one.reason else ""
    if one.holder is not Holder.QUEUE:
        return reason
    mine = one.owner_id == viewer.account.id
    if one.came_back:
        return f"{words.came_back(one.returns)}, was yours" if mine else f"{words.came_back(one.returns)}: {reason}"
    return words.WAS_YOURS if mine else reason


def _light(one: Conversation, runs: Running | None, viewer: Viewer) -> Light:
    if one.holder is Holder.QUEUE and one.due_at is not None:
        runs = Running(Timer.FIRST, one.due_at, one.due_at - (one.promised_at or one.asked_at or one.due_at))
    return runs.light(viewer.now) if runs is not None else Light.CALM


def _later(one: Conversation, runs: Running | None, viewer: Viewer) -> str:
    """Say until when something sleeps, or by when an answer is due."""
    if one.snoozed_until is not None:
        return words.asleep(one.snoozed_until, viewer.now, viewer.tz)
    return words.timer(runs, viewer.now) if runs is not None else ""


def _timers(tx: Transaction, held: list[Conversation]) -> dict[str, Running]:
    """Return the timer that runs out first in each conversation an agent has."""
    found: dict[str, Running] = {}
    kept: dict[int, tuple[Hours, Standards]] = {}
    for one in held:
        if one.team_id is None or one.asked_at is None:
            continue
        if one.team_id not in kept:
            kept[one.team_id] = (teams.team(tx, one.team_id).hours, teams.standards(tx, one.team_id))
        hours, standards = kept[one.team_id]
        since = one.last_message_at if one.last_author is Author.CONTACT else None
        if since is not None and one.woke_at is not None:
            since = max(since, one.woke_at)
        runs = running(
            asked_at=one.asked_at,
            promised_at=one.promised_at,
            due_at=one.due_at,
            answered=one.first_answer_at is not None or one.last_author is Author.AGENT,
            since=since,
            standards=standards,
            hours=hours,
        )
        if runs is not None:
            found[one.key] = runs
    return found


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
    if _was_given(one) and one.taken_at is not None:
        return f"{one.key}@given{one.taken_at.timestamp():.3f}"
    at = one.last_message_at if one.last_author is Author.CONTACT else _woke(one)
    return f"{one.key}@{at.timestamp():.3f}" if at is not None else ""


def _was_given(one: Conversation) -> bool:
    """Say whether the desk gave it to who has it, and they have said nothing since."""
    if one.holder is not Holder.AGENT or not one.given_because or one.taken_at is None:
        return False
    return one.last_author is not Author.AGENT and one.last_message_at <= one.taken_at


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
