"""`python -m handoff watch`: keeps every promise in sight while nobody looks. A process of its own, so that neither a
desk nor a sender that is down lets a contact be forgotten.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.alerts import Alert, Alerts
from bot.clock import Clock
from bot.content.catalogue import Catalogue
from bot.content.telling import telling
from bot.ledger import handoffs, promises, search
from bot.ledger.transaction import Ledger, Transaction
from handoff import giving, members, presence
from handoff.presence import Patience

log = logging.getLogger(__name__)

LOOKS_EVERY_S = 2.0
LEASES_EVERY = timedelta(seconds=15)  # agents are given minutes


@dataclass(frozen=True)
class Watching:
    """What is to be told to whom, and when."""

    alerts: Alerts = field(default_factory=Alerts)
    alert_after: timedelta = timedelta(minutes=5)  # of opening time
    patience: Patience = field(default_factory=Patience)


class Watch:
    """Looks after everybody who waits, until it is told to stop. Several may look at once."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue, now: Clock, watching: Watching) -> None:
        self._ledger = ledger
        self._now = now
        self._watching = watching
        self._late = telling(catalogue, "utter_promise_late")
        self._still = telling(catalogue, "utter_promise_still")
        self._stop = threading.Event()
        self._leases_seen_at: datetime | None = None

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    def run(self) -> None:
        """Look again and again."""
        while not self._stop.is_set():
            self.look()
            self._stop.wait(LOOKS_EVERY_S)

    def look(self) -> None:
        """Do what is due, each in a transaction of its own: what fails in one must not stop the others."""
        self._do("windows", self._keep_windows_open)
        self._do("broken", self._admit_broken)
        self._do("alerts", self._alert)
        self._do("left", self._bring_back)
        self._do("given", self._give)
        self._do("search", lambda: search.catch_up(self._ledger))  # after an upgrade

    def _do(self, what: str, duty: Callable[[], object]) -> None:
        try:
            duty()
        except Exception:  # a database may be away for a while; it is done again in a moment
            log.exception("a duty failed", extra={"action": "duty_failed", "duty": what})

    def _admit_broken(self) -> None:
        self._write(lambda tx, now: promises.admit_broken(tx, now, self._late))

    def _keep_windows_open(self) -> None:
        self._write(lambda tx, now: promises.keep_windows_open(tx, now, self._still))

    def _write(self, verb: Callable[[Transaction, datetime], int]) -> None:
        now = self._now()
        with self._ledger.reading() as tx:
            if not promises.is_due(tx, now):
                return
        with self._ledger.writing() as tx:
            verb(tx, now)

    def _bring_back(self) -> None:
        """Put back into the queue what agents have left, or keep waiting for too long."""
        now = self._now()
        if self._leases_seen_at is not None and now - self._leases_seen_at < LEASES_EVERY:
            return
        self._leases_seen_at = now
        with self._ledger.reading() as tx:
            left = presence.left(tx, self._watching.patience, now)
        for waits in left:
            with self._ledger.writing() as tx:
                if handoffs.leave(tx, waits, tell=self._late, now=now):
                    log.info(
                        "an agent kept a contact waiting; it is in the queue again",
                        extra={"action": "brought_back", "account": waits.agent_id},
                    )
                    members.overlooked(tx, waits.agent_id, now)

    def _give(self) -> None:
        """Give who waits to agents, where their team wants that."""
        now = self._now()
        with self._ledger.reading() as tx:
            if not giving.is_due(tx, now):
                return
        with self._ledger.writing() as tx:
            giving.give(tx, now)

    def _alert(self) -> None:
        """Tell people who have no desk open that somebody waits, each waiting once."""
        now = self._now()
        if not self._watching.alerts:
            return
        with self._ledger.reading() as tx:
            unseen = promises.unseen(tx, now, self._watching.alert_after)
        if unseen is None:
            return
        who = "A contact waits" if unseen.waiting == 1 else f"{unseen.waiting} contacts wait"
        text = f"{who} for a person, the longest of them since {unseen.since:%H:%M} UTC."
        if not self._watching.alerts.tell(Alert("waiting", text, unseen.since)):
            return  # it is asked again in a moment
        with self._ledger.writing() as tx:
            promises.alerted(tx, unseen.ids, now)
