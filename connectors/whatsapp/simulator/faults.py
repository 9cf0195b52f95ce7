"""Faults: what shall go wrong with the next sends, planned by a test or worn by a magic contact."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from enum import Enum


class Kind(Enum):
    """A way a send, or what follows it, can go wrong."""

    THROTTLE = "throttle"  # 131056
    RATE = "rate"  # 130429
    TOKEN = "token"  # 190  # noqa: S105 - a name
    REFUSE = "refuse"  # any code
    HTML_502 = "html_502"
    DROP = "drop"  # the connection dies, nothing was accepted
    DROP_AFTER_ACCEPT = "drop_after_accept"
    TIMEOUT = "timeout"  # no answer, nothing was accepted
    TIMEOUT_AFTER_ACCEPT = "timeout_after_accept"
    SLOW = "slow"  # a late answer, after the first reports
    UNDELIVERABLE = "undeliverable"  # accepted, then failed with a code
    WINDOW_CLOSED = "window_closed"  # 131047
    NEVER_STATUS = "never_status"
    NEVER_DELIVERED = "never_delivered"
    NEVER_READ = "never_read"
    UNORDERED_STATUSES = "unordered_statuses"  # delivered comes before sent
    DUPLICATE_WEBHOOKS = "duplicate_webhooks"


BEFORE_ACCEPTING = {Kind.THROTTLE, Kind.RATE, Kind.TOKEN, Kind.REFUSE, Kind.HTML_502, Kind.DROP, Kind.TIMEOUT}
CODES = {
    Kind.THROTTLE: 131056,
    Kind.RATE: 130429,
    Kind.TOKEN: 190,
    Kind.REFUSE: 131000,
    Kind.UNDELIVERABLE: 131026,
}
SECONDS = {Kind.TIMEOUT: 60.0, Kind.TIMEOUT_AFTER_ACCEPT: 60.0, Kind.SLOW: 1.5}


@dataclass(frozen=True)
class Fault:
    """One trouble for the next `times` sends, to one phone or to any."""

    kind: Kind
    times: int = 1
    phone: str | None = None
    given_code: int | None = None
    given_seconds: float | None = None

    @property
    def code(self) -> int:
        return self.given_code or CODES.get(self.kind, 131000)

    @property
    def seconds(self) -> float:
        return self.given_seconds if self.given_seconds is not None else SECONDS.get(self.kind, 0.0)

    def as_json(self) -> dict[str, object]:
        return {"kind": self.kind.value, "times": self.times, "phone": self.phone, "code": self.given_code,
                "seconds": self.given_seconds}  # fmt: skip


class Plan:
    """The planned faults, first come, first served."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def pending(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    def take(self, phone: str) -> Fault | None:
        """Return the fault this send must suffer, and use it up once."""
        with self._lock:
            for place, fault in enumerate(self._faults):
                if fault.phone in (None, phone):
                    if fault.times > 1:
                        self._faults[place] = replace(fault, times=fault.times - 1)
                    else:
                        del self._faults[place]
                    return fault
        return None
