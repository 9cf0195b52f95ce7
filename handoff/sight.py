"""What the browsers of this process have in sight, gathered and written down once a second, for all of them at once.

199 desks that say every 20 seconds what they look at are a handful of small transactions, and none of them is waited
for: a look that is lost is given again. Who looks is read back from the database, so several processes know it of
each other, and whoever shows the conversation hears that it changed.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from flask import Flask, current_app

from bot.clock import Clock
from bot.ledger.transaction import Ledger
from handoff import looks, mentions, unread
from handoff.feed import Feed
from handoff.looks import DESK_LASTS, LASTS, TYPES, Look, Looker
from handoff.unread import Read

log = logging.getLogger(__name__)

EVERY_S = 1.0


@dataclass
class _At:
    until: datetime
    types_until: datetime | None = None
    written: datetime | None = None  # the `until` in the database


class Sight:
    """Who looks at what: in memory at once, in the database within a second."""

    def __init__(self, ledger: Ledger, tail: Feed, now: Clock) -> None:
        self._ledger = ledger
        self._tail = tail
        self._now = now
        self._lock = threading.Lock()
        self._looks: dict[Look, _At] = {}
        self._gone: set[Look] = set()
        self._reads: dict[Look, Read] = {}
        self._desks: Counter[int] = Counter()  # open tabs of each account
        self._desks_until: datetime | None = None  # as the database has it, for those in it
        self._desks_written: set[int] = set()
        self._shown: dict[str, tuple[Looker, ...]] = {}

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="sight", daemon=True).start()

    def looks(self, look: Look, *, types: bool | None = None) -> None:
        """Say that somebody has a conversation in sight; types: begins or goes on, False ends it, None says nothing."""
        now = self._now()
        with self._lock:
            at = self._looks.setdefault(look, _At(now + LASTS))
            at.until = now + LASTS
            if types is not None:
                was = at.types_until is not None and at.types_until > now
                at.types_until = now + TYPES if types else None
                if was != types or types:
                    at.written = None
            self._gone.discard(look)

    def leaves(self, look: Look) -> None:
        """Say that somebody has turned away."""
        with self._lock:
            self._looks.pop(look, None)
            self._gone.add(look)

    def reads(self, seen: Read) -> None:
        """Say how far somebody has read."""
        look = Look(seen.account_id, seen.conversation_id)
        with self._lock:
            before = self._reads.get(look)
            if before is None or before.message_id < seen.message_id:
                self._reads[look] = seen

    def opens(self, account_id: int) -> None:
        """Say that a tab of somebody's desk is open."""
        with self._lock:
            self._desks[account_id] += 1

    def closes(self, account_id: int) -> None:
        """Say that one of them is closed."""
        with self._lock:
            self._desks[account_id] -= 1
            self._desks += Counter()  # forgets who has none

    def at(self, key: str, besides: int) -> tuple[Looker, ...]:
        """Return who else looks at a conversation."""
        return tuple(one for one in self._shown.get(key, ()) if one.account_id != besides)

    def tick(self) -> None:
        """Write down what is new, and tell whoever shows a conversation that somebody came, left or began to type."""
        now = self._now()
        self._write(now)
        if not self._tail.subscribers() and not self._shown:
            return
        with self._ledger.reading() as tx:
            shown = looks.now_at(tx, now)
        before, self._shown = self._shown, shown
        changed = [key for key in shown.keys() | before.keys() if shown.get(key) != before.get(key)]
        if changed:
            self._tail.tell_looking(changed)

    def _write(self, now: datetime) -> None:
        with self._lock:
            self._looks = {look: at for look, at in self._looks.items() if at.until > now}
            half = LASTS / 2
            here = {
                look: (at.until, at.types_until)
                for look, at in self._looks.items()
                if at.written is None or at.written < now + half < at.until
            }
            gone, self._gone = self._gone, set()
            reads, self._reads = list(self._reads.values()), {}
            desks = set(self._desks)
            is_due = self._desks_until is None or self._desks_until < now + DESK_LASTS / 2
            newly = desks if is_due else desks - self._desks_written
        if not (here or gone or reads or newly):
            return
        with self._ledger.writing(lightly=True) as tx:
            looks.keep(tx, here, gone)
            looks.keep_open(tx, newly, now + DESK_LASTS)
            for seen in sorted(reads, key=lambda one: (one.account_id, one.conversation_id)):
                unread.read(tx, seen)
                mentions.seen(tx, seen.account_id, seen.conversation_id, seen.at)
            if is_due:
                looks.forget_old(tx, now)
        with self._lock:
            for look, (until, _) in here.items():
                if look in self._looks:
                    self._looks[look].written = until
            if is_due:
                self._desks_until = now + DESK_LASTS
            self._desks_written = desks if is_due else self._desks_written | newly

    def _run(self) -> None:
        broken = False
        while not self._tail.stopping.wait(EVERY_S):
            try:
                self.tick()
            except Exception:  # whatever the database does, it is tried again
                if not broken:
                    log.exception("who looks at what can't be written; it is tried again", extra={"action": "sight"})
                broken = True
            else:
                broken = False


def install(app: Flask, made: Sight) -> None:
    """Give an app its sight."""
    app.extensions["baton.sight"] = made


def sight() -> Sight:
    """Return the sight of the app that answers this request."""
    found: Sight = current_app.extensions["baton.sight"]
    return found
