"""The courier: brings deliveries to the business until it says 200, each contact's in their order."""

from __future__ import annotations

import logging
import queue
import threading
import time

import requests

from connectors.whatsapp.simulator.bodies import sign
from connectors.whatsapp.simulator.feed import Feed
from connectors.whatsapp.simulator.rows import Delivery
from connectors.whatsapp.simulator.store import Store

WORKERS = 16
PATIENCE = 10.0
BACK_OFF = (0.5, 1.0, 2.0, 4.0, 5.0)
OK = 200

log = logging.getLogger(__name__)


class Courier:
    """One thread that looks what is due, and a few that carry it: Meta delivers in parallel too."""

    def __init__(self, store: Store, feed: Feed, webhook_url: str, app_secret: str) -> None:
        self._store, self._feed = store, feed
        self._webhook_url, self._app_secret = webhook_url, app_secret
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy from the environment cannot reach this laptop's own ports
        adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=WORKERS)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._jobs: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._busy: set[str] = set()
        self._busy_lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        if self._threads:
            return
        runs = [self._look, *[self._carry] * WORKERS]
        self._threads = [threading.Thread(target=run, name="courier", daemon=True) for run in runs]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop carrying; what is under way is carried again after the next start."""
        self._stopped.set()
        self._wake.set()
        for _ in range(WORKERS):
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(timeout=1.0)
        self._threads = []
        self._session.close()

    def wake(self) -> None:
        """Say that something new may be due."""
        self._wake.set()

    def post(self, body: bytes, signature: str | None = "") -> requests.Response:
        """Bring one body to the business now. An empty signature is made here, None leaves the header away."""
        headers = {"Content-Type": "application/json", "User-Agent": "facebookexternalua"}
        if signature is not None:
            headers["X-Hub-Signature-256"] = signature or sign(body, self._app_secret)
        return self._session.post(
            self._webhook_url, data=body, headers=headers, timeout=PATIENCE, allow_redirects=False
        )

    def _look(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            now = time.time()
            for lane in self._store.apply_due(now):
                self._feed.signal(lane)
            with self._busy_lock:
                busy = set(self._busy)  # before reading: a lane freed after this line shows an old row below
            for delivery in self._store.ready(now):
                if delivery.lane not in busy:
                    with self._busy_lock:
                        self._busy.add(delivery.lane)
                    self._jobs.put(delivery)
            self._wake.wait(self._pause())

    def _pause(self) -> float:
        moment = self._store.next_moment()
        # A lane under way stays due until it is settled, which wakes us; until then a short nap is enough.
        return 1.0 if moment is None else min(1.0, max(0.02, moment - time.time()))

    def _carry(self) -> None:
        while (delivery := self._jobs.get()) is not None:
            if self._stopped.is_set():
                return
            trouble = self._try(delivery)
            if self._stopped.is_set():
                return
            if trouble is None:
                self._store.settle(delivery)
            else:
                wait = BACK_OFF[min(delivery.tries, len(BACK_OFF) - 1)]
                self._store.postpone(delivery, time.time() + wait, trouble)
                log.info(
                    "The business did not take a delivery: %s",
                    trouble,
                    extra={"action": "delivery_postponed"},
                )
            with self._busy_lock:
                self._busy.discard(delivery.lane)
            self._feed.signal(delivery.lane)
            self._wake.set()

    def _try(self, delivery: Delivery) -> str | None:
        """Carry it; return why the business did not take it, or None when it did."""
        try:
            for _ in range(delivery.copies):
                answer = self.post(delivery.body or b"")
        except requests.ConnectionError:
            return "nobody answers there"
        except requests.Timeout:
            return "no answer in time"
        except requests.RequestException as error:
            return type(error).__name__
        return None if answer.status_code == OK else f"it answered {answer.status_code}"
