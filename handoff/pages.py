"""The lists and what every page has around it, as values: read from the ledger, worded, ready to draw."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from bot.ledger import alarms, changes, teams, transcript
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation
from bot.promises import Waiting, urgency
from bot.timers import Light, Running, Timer, running
from bot.vocabulary import Author, Holder, Reason
from handoff import board as boards
from handoff import explaining, members, mentions, tags, unread, views, words
from handoff import filters as narrowing
from handoff.board import Board
from handoff.filters import Filters
from handoff.roles import Account
from handoff.viewing import Viewer, name_of, short
from handoff.views import View

LONG_WAIT = timedelta(minutes=5)  # from here on a waiting time is set in the warning colour, and says so
LISTED = boards.LISTED
COUNTED = 1000  # beyond it a number says no more than "many"
VIEWS_SHOWN = 8  # with live counts
NEXT = 3


class Show(str, Enum):
    """The lists of the desk."""

    QUEUE = "queue"
    MINE = "mine"
    OTHERS = "others"
    BOT = "bot"
    MENTIONS = "mentions"


NAMES = {Show.QUEUE: "Queue", Show.MINE: "Mine", Show.OTHERS: "Others", Show.BOT: "Bot", Show.MENTIONS: "Mentions"}


@dataclass(frozen=True)
class Chosen:
    """Which list somebody looks at, and what it is narrowed to; perhaps by a view."""

    show: Show = Show.QUEUE
    filters: Filters = field(default_factory=Filters)
    view: View | None = None
    all_teams: bool = False  # also who waits for other teams

    @property
    def word(self) -> str:
        """What the address calls it."""
        return f"view-{self.view.id}" if self.view else self.show.value


@dataclass(frozen=True)
class Frame:
    """What every page has around it."""

    account: Account
    alarms: list[alarms.Alarm]
    cursor: int  # the feed's place when this was drawn: live updates begin there
    away: bool  # they are given nothing


@dataclass(frozen=True)
class Offered:
    """What a list may be narrowed by."""

    reasons: list[tuple[str, str]]
    tags: list[str]
    teams: list[tuple[str, str]]


@dataclass(frozen=True)
class Tab:
    """One of the lists, or a view, with how many are in it."""

    word: str
    label: str
    count: str
    chosen: bool
    shared: bool = False


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
    unread: int = 0
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Knocks:
    """Who wants something of this agent: those they hold who have no answer, then those who wait for anybody."""

    news: list[str]  # what the desk rings for when it is new
    asking: int  # of them are this agent's own
    next: list[Row]  # the first of them
    longest: Row | None  # of this agent's own
    newest: Row | None  # of the queue


@dataclass(frozen=True)
class Rows:
    """The chosen list."""

    tabs: list[Tab]
    views: list[Tab]
    chosen: Chosen
    elsewhere: int  # who wait for other teams than this agent's
    rows: list[Row]
    more: int  # that there is no room for
    is_many: bool  # even more than that
    knocks: Knocks  # always, so that every tab rings, whatever it shows
    mentioned: list[str]  # what this agent was told in notes and has not seen: conversation and mention
    unread: int  # conversations of this agent's with something to read

    @property
    def show(self) -> Show:
        """Which list it is."""
        return self.chosen.show

    @property
    def all_teams(self) -> bool:
        """Whether who waits for other teams is shown, too."""
        return self.chosen.all_teams

    @property
    def find(self) -> str:
        """Which words it is narrowed to."""
        return self.chosen.filters.find


@dataclass(frozen=True)
class _Found:
    """Conversations of a list, and how many there are in all."""

    some: list[Conversation]
    count: int


def frame(tx: Transaction, viewer: Viewer) -> Frame:
    """Return what every page has around it."""
    return Frame(viewer.account, alarms.raised(tx), changes.latest(tx), members.is_away(tx, viewer.account.id))


def offered(tx: Transaction) -> Offered:
    """Return what a list may be narrowed by."""
    reasons = [(reason.value, words.REASONS[reason]) for reason in Reason]
    return Offered(reasons, tags.in_use(tx), [(str(team.id), team.name) for team in teams.every(tx)])


def chosen(tx: Transaction, account: Account, word: str, filters: Filters) -> Chosen:
    """Return what an address asks for: a list or a view, narrowed further."""
    if word in {show.value for show in Show}:
        return Chosen(Show(word), filters)
    for view in views.of(tx, account) if word.startswith("view-") else ():
        if word == f"view-{view.id}":
            return Chosen(_list(view), filters, view)
    return Chosen(Show.QUEUE, filters)


def rows(tx: Transaction, viewer: Viewer, wanted: Chosen, board: Board | None = None) -> Rows:
    """Return a list and the counts of all."""
    board = board or boards.read(tx, viewer.now)
    count, everybody = board.count, board.waiting
    waiting = list(everybody) if wanted.all_teams else _theirs(tx, viewer.account, board)
    drawn = _Queue(waiting, viewer, several=len(board.staff.teams) > 1)
    waiting.sort(key=lambda one: one.owner_id != viewer.account.id)  # what was theirs comes first
    beyond = max(0, count[Holder.QUEUE] - len(everybody))  # of the queue that nobody has read
    mine = transcript.list_of(tx, Holder.AGENT, viewer.account.id, limit=LISTED)
    # Who needs an answer first, the longest waiting on top; what is put aside last.
    mine.sort(key=lambda one: (_sleeps(one), _asks_since(one, viewer) or viewer.now))
    told = mentions.unseen(tx, viewer.account.id)
    filters = wanted.view.filters.beside(wanted.filters) if wanted.view else wanted.filters
    lists = _Lists(tx, viewer, waiting, mine, beyond, board)
    found = lists.found(wanted.show, filters)
    unseen = unread.counts(tx, viewer.account.id, {one.id for one in (*found.some, *mine)})
    marked = tags.of_all(tx, [one.id for one in found.some])
    timers = _timers(board, [one for one in found.some if one.holder is Holder.AGENT])
    keys = transcript.keys_of(tx, set(told)) if told else {}

    def row(one: Conversation) -> Row:
        drawn_row = drawn.row(one, timers.get(one.key))
        return replace(drawn_row, unread=unseen.get(one.id, 0), tags=marked.get(one.id, ()))

    counts = {
        Show.QUEUE: len(waiting) + beyond,
        Show.MINE: len(mine),
        Show.OTHERS: max(0, count[Holder.AGENT] - len(mine)),
        Show.BOT: count[Holder.BOT],
        Show.MENTIONS: len(told),
    }
    return Rows(
        tabs=[Tab(w.value, NAMES[w], str(n), w.value == wanted.word) for w, n in counts.items()],
        views=[
            Tab(f"view-{view.id}", view.name, _many(lists.count(view)), view == wanted.view, view.shared)
            for view in views.of(tx, viewer.account)[:VIEWS_SHOWN]
        ],
        chosen=wanted,
        elsewhere=0 if wanted.all_teams else len(everybody) - len(waiting),
        rows=[row(one) for one in found.some],
        more=max(0, found.count - len(found.some)),
        is_many=found.count >= COUNTED,
        knocks=_knocks(drawn, waiting, [one for one in mine if _asks_since(one, viewer)]),
        mentioned=[f"{keys[one]}!{mention}" for one, mention in told.items()],
        unread=sum(1 for one in mine if unseen.get(one.id)),
    )


def _list(view: View) -> Show:
    return Show(view.list) if view.list in {show.value for show in Show} else Show.QUEUE


def _many(number: int) -> str:
    return f"{number}" if number < COUNTED else f"{COUNTED - 1}+"


@dataclass(frozen=True)
class _Lists:
    """The lists, narrowed; what is read for every page anyway is not read twice."""

    tx: Transaction
    viewer: Viewer
    waiting: list[Conversation]
    mine: list[Conversation]
    beyond: int  # of the queue that is not among who waits here
    board: Board

    def found(self, show: Show, filters: Filters) -> _Found:
        """Return the conversations of a list."""
        also = self._conditions(show, filters)
        match show:
            case Show.QUEUE:
                fit = transcript.ids_of(self.tx, [one.id for one in self.waiting], also)
                return _Found([one for one in self.waiting if one.id in fit], len(fit) + (0 if also else self.beyond))
            case Show.MINE:
                fit = transcript.ids_of(self.tx, [one.id for one in self.mine], also)
                return _Found([one for one in self.mine if one.id in fit], len(fit))
            case Show.MENTIONS:
                at = mentions.lately(self.tx, self.viewer.account.id, self.viewer.now)
                fit = transcript.ids_of(self.tx, sorted(at, key=lambda one: at[one], reverse=True)[:LISTED], also)
                some = sorted(transcript.these(self.tx, fit), key=lambda one: at[one.id], reverse=True)
                return _Found(some, len(some))
            case Show.OTHERS if self.board.held is not None and not filters.kept():
                some = [one for one in self.board.held if one.agent_id != self.viewer.account.id]
                return _Found(some[:LISTED], max(len(some), self.board.count[Holder.AGENT] - len(self.mine)))
            case Show.OTHERS | Show.BOT:
                holder = Holder.AGENT if show is Show.OTHERS else Holder.BOT
                some = transcript.list_of(self.tx, holder, limit=LISTED + 1, also=also)
                count = len(some)
                if count > LISTED:
                    count = transcript.count_of(self.tx, holder, also=also, at_most=COUNTED)
                return _Found(some[:LISTED], count)

    def count(self, view: View) -> int:
        """Return how many a view shows."""
        show = _list(view)
        if show in (Show.OTHERS, Show.BOT):
            holder = Holder.AGENT if show is Show.OTHERS else Holder.BOT
            return transcript.count_of(self.tx, holder, also=self._conditions(show, view.filters), at_most=COUNTED)
        return self.found(show, view.filters).count

    def _conditions(self, show: Show, filters: Filters) -> list[Any]:
        me = self.viewer.account.id
        also = narrowing.conditions(filters, me, self.viewer.now)
        if show is Show.OTHERS:
            also.append(narrowing.held_by_another(me))
        if filters.find:
            said = self._that_say(show, filters.find, also)
            also.append(narrowing.found_by(filters.find, said))
        return also

    def _that_say(self, show: Show, find: str, also: list[Any]) -> list[int]:
        """Return who said these words last, among those that would be listed without them."""
        match show:
            case Show.QUEUE:
                among = self.waiting
            case Show.MINE:
                among = self.mine
            case Show.MENTIONS:
                among = transcript.these(self.tx, list(mentions.unseen(self.tx, self.viewer.account.id)))
            case Show.OTHERS | Show.BOT:
                holder = Holder.AGENT if show is Show.OTHERS else Holder.BOT
                among = transcript.list_of(self.tx, holder, limit=LISTED, also=also)
        return [one.id for one in among if find.lower() in one.last_text.lower()]


def _theirs(tx: Transaction, account: Account, board: Board) -> list[Conversation]:
    """Return who waits for somebody of this agent's teams, or of a team nobody works in."""
    who = next((one for one in board.staff.members if one.account.id == account.id), None)
    mine = (who.team_ids if who is not None else members.teams_of(tx, account.id)) | board.staff.nobodys
    return [one for one in board.waiting if one.team_id in mine or one.owner_id == account.id]


def _knocks(drawn: _Queue, waiting: list[Conversation], asking: list[Conversation]) -> Knocks:
    everybody = [*asking, *waiting]
    return Knocks(
        news=[_news(one) for one in everybody],
        asking=len(asking),
        next=[drawn.row(one) for one in everybody[:NEXT]],
        longest=drawn.row(asking[0]) if asking else None,
        newest=drawn.row(waiting[-1]) if waiting else None,
    )


class _Queue:
    """Draws rows, and says of those in the queue where they stand."""

    def __init__(self, waiting: list[Conversation], viewer: Viewer, *, several: bool) -> None:
        self.viewer, self.several, self.of = viewer, several, len(waiting)
        self.place = {one.id: n for n, one in enumerate(waiting, 1)}

    def row(self, one: Conversation, timer: Running | None = None) -> Row:
        waits = one.holder is Holder.QUEUE
        where = explaining.why_here(one, self.place[one.id], self.of, self.viewer) if one.id in self.place else ""
        return _row(one, self.viewer, timer, place=where, team=one.team if waits and self.several else "")


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


def _timers(board: Board, held: list[Conversation]) -> dict[str, Running]:
    """Return the timer that runs out first in each conversation an agent has."""
    found: dict[str, Running] = {}
    for one in held:
        if one.team_id is None or one.asked_at is None:
            continue
        hours, standards = board.staff.paces[one.team_id]
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
