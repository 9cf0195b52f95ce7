"""The courier: brings deliveries to the business until it says 200, many at a time, each contact's in their order."""

from __future__ import annotations

import http.client
import logging
import queue
import random
import ssl
import threading
import time
from dataclasses import dataclass, replace
from urllib.parse import urlencode, urlsplit

from connectors.whatsapp.simulator.agenda import TOGETHER, Agenda, Load
from connectors.whatsapp.simulator.bodies import combined, sign
from connectors.whatsapp.simulator.faults import Fault, Kind, Stage
from connectors.whatsapp.simulator.feed import Feed
from connectors.whatsapp.simulator.magic import Trouble
from connectors.whatsapp.simulator.rows import Delivery
from connectors.whatsapp.simulator.settings import Settings
from connectors.whatsapp.simulator.store import Store

OK = 200
ATTEMPTS_PER_SECOND = 200
"""A business that is down is not asked more often than this, however many contacts wait."""
STALE = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What the business said to a delivery."""

    status: int
    text: str


class Post:
    """One kept connection to the business; each worker has its own."""

    def __init__(self, url: str, app_secret: str) -> None:
        parts = urlsplit(url)
        self._secure, self._host = parts.scheme == "https", parts.netloc.rpartition("@")[2]
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._app_secret = app_secret
        self._connection: http.client.HTTPConnection | None = None

    def bring(self, body: bytes, patience: float, signature: str | None = "") -> Answer:
        """POST one body. An empty signature is made here, None leaves the header away."""
        headers = {"Content-Type": "application/json", "User-Agent": "facebookexternalua", "Accept": "*/*"}
        if signature is not None:
            headers["X-Hub-Signature-256"] = signature or sign(body, self._app_secret)
        kept = self._connection is not None
        try:
            return self._call("POST", self._target, body, headers, patience=patience)
        except STALE:
            if not kept:
                raise
            # A kept connection may have been closed by the other side meanwhile: that is nobody's failure.
            return self._call("POST", self._target, body, headers, patience=patience)

    def ask(self, query: str, patience: float) -> Answer:
        """GET with this query behind whatever the address has already."""
        target = f"{self._target}{'&' if '?' in self._target else '?'}{query}"
        return self._call("GET", target, None, {"User-Agent": "facebookplatform/1.0"}, patience=patience)

    def _call(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str], *, patience: float
    ) -> Answer:
        if self._connection is None:
            self._connection = self._connect(patience)
        elif self._connection.sock is not None:
            self._connection.sock.settimeout(patience)
        try:
            self._connection.request(method, target, body, headers)
            answer = self._connection.getresponse()
            text = answer.read().decode(errors="replace")
        except BaseException:
            self.close()
            raise
        if answer.will_close:
            self.close()
        return Answer(answer.status, text)

    def _connect(self, patience: float) -> http.client.HTTPConnection:
        if self._secure:
            return http.client.HTTPSConnection(self._host, timeout=patience, context=ssl.create_default_context())
        return http.client.HTTPConnection(self._host, timeout=patience)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Courier:
    """One thread that looks what is due, and some that carry it: Meta delivers in parallel too."""

    def __init__(
        self, store: Store, feed: Feed, webhook_url: str, app_secret: str, *, trouble: Trouble, settings: Settings
    ) -> None:
        self._store, self._feed, self._trouble, self._settings = store, feed, trouble, settings
        self._webhook_url, self._app_secret = webhook_url, app_secret
        self._stopped = threading.Event()
        self._jobs: queue.SimpleQueue[Load | None] = queue.SimpleQueue()
        self._tried: queue.SimpleQueue[tuple[Load, str | None]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._struck: dict[int, Fault] = {}
        self._dice = random.Random(1)  # noqa: S311 - it only spreads load
        self.agenda = Agenda()
        self.agenda.add(store.deliveries())
        store.committed = self.agenda.add

    def start(self) -> None:
        if self._threads:
            return
        runs = [self._look, *[self._carry] * self._settings.couriers]
        self._threads = [threading.Thread(target=run, name="courier", daemon=True) for run in runs]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop carrying; what is under way is carried again after the next start."""
        self._stopped.set()
        self.agenda.close()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(timeout=1.0)
        self._threads = []
        self._finish(time.time())

    def post(self, body: bytes, signature: str | None = "") -> Answer:
        """Bring any body to the business now, once."""
        post = Post(self._webhook_url, self._app_secret)
        try:
            return post.bring(body, self._settings.webhook_timeout, signature)
        finally:
            post.close()

    def verify(self, token: str, challenge: str) -> Answer:
        """Ask the webhook to prove itself, as Meta does when its address or its token is saved."""
        asked = urlencode({"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": token})
        post = Post(self._webhook_url, self._app_secret)
        try:
            return post.ask(asked, self._settings.webhook_timeout)
        finally:
            post.close()

    def _look(self) -> None:
        while not self._stopped.is_set():
            now = time.time()
            self._finish(now)
            due = self.agenda.due(now)
            if due:
                self._store.apply(due, now)
                for delivery in due:
                    self._feed.signal(delivery.phone)
                    if delivery.body is not None:
                        self._queue(delivery, now)
            for load in self.agenda.ready(now):
                self._jobs.put(load)
            self.agenda.wait(now, 1.0)

    def _queue(self, delivery: Delivery, now: float) -> None:
        """Put what is due into its lane, unless a fault has other plans for it."""
        fault = None if delivery.again else self._trouble.strikes(Stage.WEBHOOK, delivery.phone, delivery.number)
        if fault is None:
            self.agenda.queue(delivery)
        elif fault.kind is Kind.REORDER:
            late = replace(
                delivery, lane=f"{delivery.phone}~{delivery.id}", due=now + fault.seconds, status=None, again=True
            )
            self._store.reroute(late)
            self.agenda.add([late])
        elif fault.kind is Kind.DELAY:
            self.agenda.queue(delivery, not_before=now + fault.seconds)
        else:
            if fault.kind is Kind.BATCH:
                self.agenda.hold(fault.phone, fault.number, now + fault.seconds)
            else:
                self._struck[delivery.id] = fault
            self.agenda.queue(delivery)

    def _carry(self) -> None:
        post = Post(self._webhook_url, self._app_secret)
        while (load := self._jobs.get()) is not None and not self._stopped.is_set():
            self._tried.put((load, self._try(post, load)))
            self.agenda.nudge()
        post.close()

    def _finish(self, now: float) -> None:
        """Note what has been carried meanwhile, all of it in one commit: one for each would be most of the work."""
        tried = []
        while not self._tried.empty():
            tried.append(self._tried.get())
        if not tried:
            return
        with self._store.writing():
            for load, trouble in tried:
                if trouble is None:
                    self._settle(load, now)
        for load, trouble in tried:
            if trouble is None:
                self.agenda.settle(load)
            else:
                self._postpone(load, now, trouble)
            for delivery in load.deliveries:
                self._feed.signal(delivery.phone)

    def _try(self, post: Post, load: Load) -> str | None:
        """Carry it; return why the business does not have it, or None when it does."""
        first, found = load.deliveries[0], [delivery.body or b"" for delivery in load.deliveries]
        body = found[0] if len(found) == 1 else combined(found)
        try:
            for _ in range(first.copies):
                answer = post.bring(body, self._settings.webhook_timeout)
        except ConnectionRefusedError:
            return "nobody answers there"
        except TimeoutError:
            return "no answer in time"
        except (OSError, http.client.HTTPException) as error:
            return f"the connection broke ({type(error).__name__})"
        if answer.status != OK:
            return f"it answered {answer.status}"
        return self._lose_answer(load)

    def _lose_answer(self, load: Load) -> str | None:
        """Return why a 200 does not count: a fault has cut the connection behind it."""
        lost = [one for one in load.deliveries if self._fault_of(one) is Kind.LOST_200]
        if not lost:
            return None
        for delivery in lost:
            del self._struck[delivery.id]
        self._store.taken(load.deliveries, time.time())
        return "its answer was lost"

    def _fault_of(self, delivery: Delivery) -> Kind | None:
        fault = self._struck.get(delivery.id)
        return fault.kind if fault else None

    def _settle(self, load: Load, now: float) -> None:
        self._store.settle(load.deliveries, now)
        for delivery in load.deliveries:
            fault = self._struck.pop(delivery.id, None)
            for number in range(fault.copies if fault else 0):
                self._store.add_delivery(_again(delivery, fault, number, now))

    def _postpone(self, load: Load, now: float, trouble: str) -> None:
        settings = self._settings
        old = [one for one in load.deliveries if one.due < now - settings.retry_days * 86400]
        if old:
            # Meta gives up after days; whoever was down so long has lost it.
            for delivery in old:
                self._store.forget(delivery)
            log.warning("%d deliveries were given up", len(old), extra={"action": "deliveries_given_up"})
            self.agenda.settle(Load(old, load.lanes))
            return
        longest = max(settings.retry_cap, self.agenda.lanes() / ATTEMPTS_PER_SECOND)
        wait = min(longest, settings.retry_base * 2 ** min(30, load.lanes[0].tries))
        # Spread over a tenth, so that after an outage contacts do not come back in the order they left.
        self.agenda.postpone(load, now + wait * (1 + 0.1 * self._dice.random()), trouble)
        log.info("The business did not take a delivery: %s", trouble, extra={"action": "delivery_postponed"})


def _again(delivery: Delivery, fault: Fault | None, number: int, now: float) -> Delivery:
    """Return a repetition of what was taken already: alone, or together with all others of the same moment."""
    seconds = fault.seconds if fault else 0.0
    due = now + seconds * (number + 1)
    again = replace(delivery, wamid=None, status=None, copies=1, again=True)
    if fault and fault.kind is Kind.REDELIVER_BATCHED and seconds:
        return replace(again, lane=f"{TOGETHER}again", due=(due // seconds + 1) * seconds)
    return replace(again, lane=f"{delivery.phone}~{delivery.id}.{number}", due=due)
