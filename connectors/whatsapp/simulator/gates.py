"""The two limits that count: messages to one contact, and messages of one number."""

from __future__ import annotations

import threading

from connectors.whatsapp.simulator.settings import Settings

COEXISTENCE_THROUGHPUT = 20
FORGET_BEYOND = 10_000


class Gates:
    """Two kinds of bucket that fill up again with time; an empty one refuses."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._debts: dict[tuple[str, ...], tuple[float, float]] = {}
        self._lock = threading.Lock()

    def passes_pair(self, number: str, phone: str, now: float) -> bool:
        """Count one message of the business to this contact: a burst is lent, and paid back one message at a time."""
        burst, seconds = self._settings.pair_burst, self._settings.pair_seconds
        return not burst or not seconds or self._count((number, phone), burst, 1 / seconds, now)

    def passes_number(self, number: str, now: float, *, refuse: bool = True) -> bool:
        """Count one message of this number. What contacts write counts too, but is never refused."""
        limit = self.throughput(number)
        return not limit or self._count((number,), limit, limit, now, refuse=refuse)

    def throughput(self, number: str) -> int:
        """Return how many messages a second this number may carry; 0: as many as there are."""
        coexists = number in self._settings.coexistence
        return COEXISTENCE_THROUGHPUT if coexists else self._settings.throughput

    def _count(self, key: tuple[str, ...], size: float, per_second: float, now: float, *, refuse: bool = True) -> bool:
        with self._lock:
            debt, since = self._debts.get(key, (0.0, now))
            debt = max(0.0, debt - (now - since) * per_second)
            fits = debt + 1 <= size + 1e-9
            self._debts[key] = (min(size, debt + 1) if fits or not refuse else debt, now)
            if len(self._debts) > FORGET_BEYOND:
                self._forget(now)
        return fits

    def _forget(self, now: float) -> None:
        """Drop the buckets that must be full again: a fault run meets many contacts once."""
        longest = self._settings.pair_burst * self._settings.pair_seconds
        self._debts = {key: (debt, since) for key, (debt, since) in self._debts.items() if now - since < longest}
