"""The desk's tail of the ledger's changes: one thread per process, one small mailbox per browser.

Numbers are given at insert, not at commit, so on PostgreSQL 8 may be seen before 7. A number that was skipped is
therefore asked for again until it turns up or its time is over; a transaction open for longer than that costs a late
refresh (browsers look again every minute), never a wrong page.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from flask import Flask, current_app

from bot.ledger import alarms, changes, transcript
from bot.ledger.transaction import Ledger, Transaction
from bot.vocabulary import Change
from handoff.interest import Interest, News

log = logging.getLogger(__name__)

EVERY_S = 0.1
STEP_BACK = 200  # at the start: changes that were numbered before ours but commit after
SKIPPED_KEPT_S = 60.0
SKIPPED_MAX = 5_000
MAILBOX_MAX = 300  # conversations; beyond it a browser is told to look at everything
BATCH = 1000
LISTS_SHARE = 0.2  # of a processor that lists may take: what is said comes first
LISTS_PER_S = 40  # tabs that are told of their lists, at most
LEARNS = 0.1  # how much the newest list counts in what a list takes


@dataclass(frozen=True)
class Signals:
    """What a browser should look at again."""

    cursor: int
    kinds: dict[str, tuple[Change, ...]]  # by conversation key
    everything: bool = False
    alarms: bool = False
    looking: tuple[str, ...] = ()  # where somebody came, left, or began to type
    lists: bool | None = None  # whether its lists changed; None: it did not say what it shows, so perhaps


@dataclass(eq=False)
class Mailbox:
    """What one browser has not been told yet. It can't grow: the same change twice is one signal.

    Of a conversation it is told at most once in `pace` seconds, and so of its lists; the one never waits for the other.
    Of lists it is told when its turn has come, so that many tabs do not ask for them at once.
    """

    interest: Interest | None = None  # None: everything
    turn: Callable[[], float] = time.monotonic  # when it may be told of its lists, at the soonest
    _news: threading.Condition = field(default_factory=threading.Condition)
    _kinds: dict[str, dict[Change, None]] = field(default_factory=dict)
    _cursor: int = 0
    _everything: bool = False
    _alarms: bool = False
    _looking: set[str] = field(default_factory=set)
    _lists: bool = False
    _closed: bool = False
    _told_kinds: float = 0.0  # when, last
    _told_lists: float = 0.0
    _turn_at: float = 0.0
    _told_looking: float = 0.0

    def put(self, cursor: int, news: list[tuple[str, Change]], *, alarms_changed: bool = False) -> None:
        """Add signals; never blocks and never grows beyond its bound."""
        with self._news:
            self._cursor = max(self._cursor, cursor)
            self._alarms = self._alarms or alarms_changed
            for key, kind in news:
                self._kinds.setdefault(key, {})[kind] = None
            if len(self._kinds) > MAILBOX_MAX:
                self._kinds, self._everything = {}, True
            self._news.notify()

    def hear(self, cursor: int, news: list[News], *, alarms_changed: bool = False) -> None:
        """Add what of all this concerns whoever this is for; wake nobody for the rest."""
        if self.interest is None:
            self.put(cursor, [(one.key, one.kind) for one in news], alarms_changed=alarms_changed)
            return
        shown = [(one.key, one.kind) for one in news if one.key in self.interest.keys]
        listed = any(map(self.interest.is_listed, news))
        if not (shown or listed or alarms_changed):
            return  # the cursor stays: who comes again hears of a little more than they need
        with self._news:
            if listed and not self._lists:
                self._lists, self._turn_at = True, self.turn()
        self.put(cursor, shown, alarms_changed=alarms_changed)

    def take(self, timeout: float, *, pace: float = 0.0) -> Signals | None:
        """Wait for signals and empty the mailbox of what may be told by now; None when there was nothing in time."""
        ends = time.monotonic() + timeout
        with self._news:
            while True:
                now = time.monotonic()
                ripe = self._ripe_at(pace)
                if ripe <= now:
                    return self._emptied(now, pace)
                if self._closed or now >= ends:
                    return None
                self._news.wait(min(ripe, ends) - now)

    def _ripe_at(self, pace: float) -> float:
        """Return from when on something may be told."""
        waits = [self._told_kinds + pace] if self._kinds else []
        waits += [max(self._told_lists + pace, self._turn_at)] if self._lists or self._everything else []
        waits += [self._told_looking + pace] if self._looking else []
        waits += [0.0] if self._alarms else []
        return min(waits, default=float("inf"))

    def _emptied(self, now: float, pace: float) -> Signals:
        kinds, lists, everything = {}, False, False
        if self._told_kinds + pace <= now and self._kinds:
            kinds = {key: tuple(which) for key, which in self._kinds.items()}
            self._kinds, self._told_kinds = {}, now
        if max(self._told_lists + pace, self._turn_at) <= now and (self._lists or self._everything):
            lists, everything = self._lists, self._everything
            self._lists, self._everything, self._told_lists = False, False, now
        raised, self._alarms = self._alarms, False
        looking: tuple[str, ...] = ()
        if self._told_looking + pace <= now and self._looking:
            looking, self._looking, self._told_looking = tuple(sorted(self._looking)), set(), now
        # What still waits here must be told again to who comes back: the cursor moves when nothing does.
        cursor = 0 if self._kinds or self._lists or self._everything else self._cursor
        told_lists = lists if self.interest is not None else None
        return Signals(cursor, kinds, everything, raised, looking, told_lists)

    def looking(self, keys: list[str]) -> None:
        """Add where somebody came or left; beyond the bound a browser hears of some a little later (every 20 s)."""
        with self._news:
            self._looking.update(keys[: MAILBOX_MAX - len(self._looking)])
            self._news.notify()

    def everything(self, cursor: int) -> None:
        """Tell the browser to look at everything again."""
        with self._news:
            self._cursor, self._everything = max(self._cursor, cursor), True
            self._news.notify()

    def close(self) -> None:
        """Wake whoever waits, for the last time."""
        with self._news:
            self._closed = True
            self._news.notify_all()


class Feed:
    """Tails `changes` and tells every mailbox."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._cursor: int | None = None
        self._skipped: dict[int, float] = {}  # number → when we first missed it
        self._alarms: tuple[str, ...] = ()
        self._boxes: set[Mailbox] = set()
        self._lock = threading.Lock()
        self._turns, self._next_turn = threading.Lock(), 0.0
        self._list_takes_s = 0.0  # of a processor, by and large
        self._looked_at = time.monotonic()
        self.stopping = threading.Event()

    def start(self) -> None:
        """Begin to tail."""
        threading.Thread(target=self._run, name="feed", daemon=True).start()

    def stop(self) -> None:
        """End the tail and every stream, at once."""
        # No lock: this is called from a signal handler, which may have interrupted whoever holds it.
        self.stopping.set()
        threading.Thread(target=self._close_all, name="feed-stop", daemon=True).start()

    def age(self) -> float:
        """Return how many seconds ago the tail last looked, with success."""
        return time.monotonic() - self._looked_at

    def subscribe(self, interest: Interest | None = None) -> Mailbox:
        """Return a mailbox that hears from now on of what it is interested in; of everything if it does not say."""
        box = Mailbox(interest, self._turn)
        with self._lock:
            self._boxes.add(box)
        return box

    def _turn(self) -> float:
        """Return when the next tab may be told of its lists: at once, unless many are."""
        with self._turns:
            mine = max(time.monotonic(), self._next_turn)
            self._next_turn = mine + max(1 / LISTS_PER_S, self._list_takes_s / LISTS_SHARE)
            return mine

    def list_took(self, seconds: float) -> None:
        """Learn what a list takes of a processor: on a slow machine fewer tabs are told at once."""
        with self._turns:
            self._list_takes_s += LEARNS * (seconds - self._list_takes_s)

    def unsubscribe(self, box: Mailbox) -> None:
        """Forget a mailbox."""
        with self._lock:
            self._boxes.discard(box)

    def subscribers(self) -> int:
        """Return how many browsers listen."""
        with self._lock:
            return len(self._boxes)

    def tell_looking(self, keys: list[str]) -> None:
        """Tell every mailbox where somebody came or left."""
        with self._lock:
            boxes = list(self._boxes)
        for box in boxes:
            box.looking(keys)

    def look(self) -> None:
        """Look once, and tell every mailbox what is new. What fails is looked at again, whole."""
        with self._ledger.reading() as tx:
            start = self._cursor if self._cursor is not None else max(0, changes.latest(tx) - STEP_BACK)
            late = transcript.changes_among(tx, list(self._skipped)) if self._skipped else []
            new = _all_after(tx, start)
            told = news_of(tx, late + new)
            raised = tuple(alarm.name for alarm in alarms.raised(tx))
        self._looked_at = time.monotonic()
        alarms_changed, self._alarms = raised != self._alarms, raised
        self._cursor = new[-1].id if new else start
        self._remember_skipped(start, new, {change.id for change in late})
        if told or alarms_changed:
            with self._lock:
                boxes = list(self._boxes)
            for box in boxes:
                box.hear(self._cursor, told, alarms_changed=alarms_changed)

    def _remember_skipped(self, start: int, new: list[changes.Noted], found: set[int]) -> None:
        """Keep the numbers that are still missing, for a while."""
        now = time.monotonic()
        skipped = {n: at for n, at in self._skipped.items() if n not in found and at > now - SKIPPED_KEPT_S}
        before = start
        for change in new:
            skipped.update(dict.fromkeys(range(max(before + 1, change.id - SKIPPED_MAX), change.id), now))
            before = change.id
        self._skipped = dict(list(skipped.items())[-SKIPPED_MAX:])

    def _run(self) -> None:
        broken = False
        while not self.stopping.wait(EVERY_S):
            try:
                self.look()
            except Exception:  # whatever the database does, the tail goes on
                if not broken:
                    log.exception("the feed can't read changes; it tries again", extra={"action": "feed_broken"})
                broken = True
                self.stopping.wait(1.0)
            else:
                if broken:
                    log.warning("the feed reads changes again", extra={"action": "feed_mended"})
                broken = False

    def _close_all(self) -> None:
        with self._lock:
            boxes = list(self._boxes)
        for box in boxes:
            box.close()


def news_of(tx: Transaction, changed: list[changes.Noted]) -> list[News]:
    """Return changes with whose conversation each is by now, the same twice as one."""
    held = transcript.held(tx, {change.conversation_id for change in changed}) if changed else {}
    distinct = dict.fromkeys((change.conversation_id, change.kind) for change in changed)
    return [News(held[id_].key, kind, held[id_].holder, held[id_].agent_id) for id_, kind in distinct]


def _all_after(tx: Transaction, cursor: int) -> list[changes.Noted]:
    news: list[changes.Noted] = []
    while batch := changes.after(tx, news[-1].id if news else cursor, BATCH):
        news += batch
    return news


def install(app: Flask, made: Feed) -> None:
    """Give an app its feed."""
    app.extensions["baton.feed"] = made


def feed() -> Feed:
    """Return the feed of the app that answers this request."""
    found: Feed = current_app.extensions["baton.feed"]
    return found
