"""`python -m handoff watch`: keeps every promise in sight while nobody looks. A process of its own, so that neither a
desk nor a sender that is down lets a contact be forgotten.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from bot import ladder
from bot.alerts import Alert, Alerts
from bot.clock import Clock
from bot.content.catalogue import Catalogue
from bot.content.telling import telling
from bot.ladder import Rung
from bot.ledger import errands, handoffs, idle, outbox, promises, ratings, returns, search, snoozes, waits
from bot.ledger.handoffs import KeptWaiting
from bot.ledger.transaction import Ledger, Transaction
from bot.messages import Template
from bot.vocabulary import Csat
from handoff import giving, members, presence, trail
from handoff.presence import Patience
from handoff.pushing import Pushing

log = logging.getLogger(__name__)

LOOKS_EVERY_S = 2.0
LEASES_EVERY = timedelta(seconds=15)  # agents are given minutes
PRUNES_EVERY = timedelta(hours=1)
NEVER = timedelta(0)
THANKS = {Csat.GOOD: "utter_csat_thanks", Csat.SO_SO: "utter_csat_sorry", Csat.BAD: "utter_csat_sorry"}
ALARMS = {Rung.TEAM: "waiting", Rung.TEAM_AGAIN: "waiting", Rung.SUPERVISORS: "nobody_comes"}


@dataclass(frozen=True)
class Watching:
    """What is to be told to whom, and when."""

    alerts: Alerts = field(default_factory=Alerts)
    alert_after: timedelta = timedelta(minutes=5)  # of opening time
    patience: Patience = field(default_factory=Patience)
    keep_audit: timedelta = timedelta(days=400)
    close_idle: timedelta = NEVER  # what an agent has and nobody has written in for so long is given back
    window_template: tuple[str, str] | None = None  # name and language: sent before a window closes
    bot_invited: bool = True  # it hears what contacts tap while they wait


Done = TypeVar("Done")


class Watch:
    """Looks after everybody who waits, until it is told to stop. Several may look at once."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue, now: Clock, watching: Watching) -> None:
        self._ledger = ledger
        self._now = now
        self._watching = watching
        self._late = telling(catalogue, "utter_promise_late", heard=watching.bot_invited)
        self._still = telling(catalogue, "utter_promise_still", heard=watching.bot_invited)
        self._catalogue = catalogue
        self._stop = threading.Event()
        self._leases_seen_at: datetime | None = None
        self._pruned_at: datetime | None = None

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    def run(self) -> None:
        """Look again and again."""
        pushing = Pushing(self._ledger, self._now)
        threading.Thread(target=pushing.run, args=(self._stop,), name="pushing", daemon=True).start()
        while not self._stop.is_set():
            self.look()
            self._stop.wait(LOOKS_EVERY_S)

    def look(self) -> None:
        """Do what is due, each in a transaction of its own: what fails in one must not stop the others."""
        self._do("windows", self._keep_windows_open)
        self._do("broken", self._admit_broken)
        self._do("alerts", self._alert)
        self._do("snoozes", self._wake)
        self._do("thanks", self._thank)
        now = self._now()
        if self._leases_seen_at is None or now - self._leases_seen_at >= LEASES_EVERY:
            self._leases_seen_at = now
            self._do("left", self._bring_back)
            self._do("waits", self._keep_waits)
            self._do("loops", self._watch_loops)
            self._do("idle", self.close_idle)
            self._do("audit", self._prune_audit)
        self._do("given", self._give)
        self._do("search", lambda: search.catch_up(self._ledger))  # after an upgrade

    def _do(self, what: str, duty: Callable[[], object]) -> None:
        try:
            duty()
        except Exception:  # a database may be away for a while; it is done again in a moment
            log.exception("a duty failed", extra={"action": "duty_failed", "duty": what})

    def _admit_broken(self) -> None:
        self._if(promises.is_due, lambda tx, now: promises.admit_broken(tx, now, self._late))

    def _keep_windows_open(self) -> None:
        self._if(
            promises.is_due,
            lambda tx, now: promises.keep_windows_open(tx, now, self._still, self._template(tx)),
        )

    def _template(self, tx: Transaction) -> Template | None:
        """Return the template that is sent before a window closes, if Meta takes it as it is."""
        wanted = self._watching.window_template
        listed = errands.list_of_templates(tx) if wanted is not None else []
        found = next((one for one in listed if (one.name, one.language) == wanted), None)
        if found is None or not found.approved or found.gaps or found.part("HEADER"):
            return None
        if found.category.upper() == "MARKETING":  # contacts may have stopped that; and this is none
            return None
        return Template(found.name, found.language, text=found.body)

    def _if(
        self, is_due: Callable[[Transaction, datetime], bool], verb: Callable[[Transaction, datetime], Done]
    ) -> Done | None:
        """Do what is due; mostly nothing is, and a look holds up no one."""
        now = self._now()
        with self._ledger.reading() as tx:
            if not is_due(tx, now):
                return None
        with self._ledger.writing() as tx:
            return verb(tx, now)

    def _wake(self) -> None:
        """Wake what agents have put aside, when its time has come or the contact has written."""
        self._if(snoozes.is_due, snoozes.wake_due)

    def _thank(self) -> None:
        """Thank contacts who have said how they found the people."""
        self._if(
            lambda tx, _: ratings.is_due(tx),
            lambda tx, now: ratings.thank(tx, now, lambda csat: self._catalogue.say(THANKS[csat])),
        )

    def _keep_waits(self) -> None:
        """Write down how long contacts wait for answers, and which timers have run out."""
        now = self._now()
        with self._ledger.reading() as tx:
            stale = waits.stale(tx, now)
        for conversation_id in stale:
            with self._ledger.writing() as tx:
                if outbox.lock_conversation(tx, conversation_id, skip_locked=True) is not None:
                    waits.settle(tx, conversation_id, now)

    def _watch_loops(self) -> None:
        """Raise an alarm over conversations that go back and forth."""
        self._if(lambda tx, _: returns.is_due(tx), returns.keep_alarm)

    def close_idle(self) -> int:
        """Give back to the bot what agents have and nothing more is said in; return how many."""
        after, words = self._watching.close_idle, self._catalogue.say("utter_handoff_idle")
        if after == NEVER:
            return 0
        closed = self._if(
            lambda tx, now: idle.is_due(tx, now, after), lambda tx, now: idle.close(tx, now, after, words)
        )
        if closed:
            log.info("%d idle conversations were given back", closed, extra={"action": "closed_idle"})
        return closed or 0

    def _bring_back(self) -> None:
        """Put back into the queue what agents have left, or keep waiting for too long."""
        now = self._now()
        with self._ledger.reading() as tx:
            left = presence.left(tx, self._watching.patience, now)
        for one in left:
            self._do("left", lambda one=one: self._leave(one, now))  # type: ignore[misc]

    def _leave(self, kept: KeptWaiting, now: datetime) -> None:
        with self._ledger.writing() as tx:
            if handoffs.leave(tx, kept, tell=self._late, now=now):
                log.info(
                    "an agent kept a contact waiting; it is in the queue again",
                    extra={"action": "brought_back", "account": kept.agent_id},
                )
                members.overlooked(tx, kept.agent_id, now)

    def _give(self) -> None:
        """Give who waits to agents, where their team wants that."""
        self._if(giving.is_due, giving.give)

    def _prune_audit(self) -> None:
        """Forget the part of the audit log that is too old to keep, a piece at a time."""
        now = self._now()
        if self._pruned_at is not None and now - self._pruned_at < PRUNES_EVERY:
            return
        with self._ledger.writing() as tx:
            if trail.prune(tx, now - self._watching.keep_audit) < trail.PRUNED_AT_ONCE:
                self._pruned_at = now

    def _alert(self) -> None:
        """Tell people who have no desk open that somebody waits; the longer, the further up, each rung once."""
        now = self._now()
        if not self._watching.alerts:
            return
        with self._ledger.reading() as tx:
            unseen = promises.unseen(tx, now, self._watching.alert_after)
        if unseen is None:
            return
        text = ladder.words(unseen.rung, len(unseen.ids), unseen.waiting, f"{unseen.since:%H:%M}")
        alert = Alert(ALARMS[unseen.rung], text, unseen.since, level=str(unseen.rung.value))
        if not self._watching.alerts.tell(alert):
            return  # it is asked again in a moment
        with self._ledger.writing() as tx:
            promises.alerted(tx, unseen.ids, now, unseen.rung)
