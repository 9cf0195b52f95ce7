"""Faults: what shall go wrong with calls, messages, webhooks and files; planned, or worn by a magic contact."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any


class Stage(Enum):
    """Where a fault strikes. At each stage of each thing at most one does."""

    ANSWER = "answer"  # the HTTP answer to a send
    FATE = "fate"  # what becomes of an accepted message: what the phone shows, what the reports say
    WEBHOOK = "webhook"  # a delivery to the business
    MEDIA = "media"  # a file the business fetches


class Kind(Enum):
    """A way something can go wrong."""

    def __init__(self, word: str, stage: Stage, what: str) -> None:
        self.word, self.stage, self.what = word, stage, what

    THROTTLE = "throttle", Stage.ANSWER, "131056: too many messages to one contact"
    RATE = "rate", Stage.ANSWER, "130429: too many messages from one number"
    TOKEN = "token", Stage.ANSWER, "190, HTTP 401: the access token is no longer valid"
    REFUSE = "refuse", Stage.ANSWER, "any `code`; 131000 unless said"
    HTML_502 = "html_502", Stage.ANSWER, "an HTML page with status 502; nothing was accepted"
    HTML_502_AFTER_ACCEPT = "html_502_after_accept", Stage.ANSWER, "the same page, but the message was accepted"
    DROP = "drop", Stage.ANSWER, "the connection dies; nothing was accepted"
    DROP_AFTER_ACCEPT = "drop_after_accept", Stage.ANSWER, "the connection dies; the message was accepted"
    TIMEOUT = "timeout", Stage.ANSWER, "no answer for `seconds`, then the connection dies; nothing was accepted"
    TIMEOUT_AFTER_ACCEPT = "timeout_after_accept", Stage.ANSWER, "the same, but the message was accepted"
    SLOW = "slow", Stage.ANSWER, "accepted, and answered after `seconds`: reports may be there first"
    WINDOW_CLOSED = "window_closed", Stage.ANSWER, "131047 at once, as if the 24-hour window were closed"

    UNDELIVERABLE = "undeliverable", Stage.FATE, "accepted, then `failed` with `code`; 131026 unless said"
    LATE_WINDOW = "late_window", Stage.FATE, "accepted, then `failed` with 131047"
    NEVER_STATUS = "never_status", Stage.FATE, "shown on the phone, but never any report"
    NEVER_DELIVERED = "never_delivered", Stage.FATE, "`sent` and nothing more: the phone is off"
    NEVER_READ = "never_read", Stage.FATE, "never reported as read"
    LATE_STATUSES = "late_statuses", Stage.FATE, "every report comes `seconds` late"
    UNORDERED_STATUSES = "unordered_statuses", Stage.FATE, "`delivered` comes before `sent`"
    BACKWARD_STATUSES = "backward_statuses", Stage.FATE, "`read`, then `delivered`, then `sent`"
    SKIPPED_DELIVERED = "skipped_delivered", Stage.FATE, "`sent`, then `read`; never `delivered`"
    FAILED_AFTER_DELIVERED = "failed_after_delivered", Stage.FATE, "`sent`, `delivered`, then `failed` with `code`"
    PLAYED = "played", Stage.FATE, "`sent`, `delivered`, `read`, `played` by itself"
    DUPLICATE_WEBHOOKS = "duplicate_webhooks", Stage.FATE, "every report comes twice"
    SWAPPED = "swapped", Stage.FATE, "shown `seconds` later: what is sent within that time is shown first"

    BATCH = "batch", Stage.WEBHOOK, "everything is held for `seconds`, then brought up to 1,000 updates per POST"
    REDELIVER = "redeliver", Stage.WEBHOOK, "brought again `copies` times, every `seconds`, though it was taken"
    REDELIVER_BATCHED = "redeliver_batched", Stage.WEBHOOK, "the same, but together with others in one POST"
    REORDER = "reorder", Stage.WEBHOOK, "comes `seconds` late and is overtaken, even by the same contact's younger ones"
    DELAY = "delay", Stage.WEBHOOK, "comes `seconds` late, and the contact's younger ones wait for it"
    LOST_200 = "lost_200", Stage.WEBHOOK, "the connection breaks after the business's 200, so it is brought again"

    MEDIA_EXPIRED = "media_expired", Stage.MEDIA, "404 as for an expired address; a new look-up gives one that works"
    MEDIA_GONE = "media_gone", Stage.MEDIA, "404 every time"
    MEDIA_SLOW = "media_slow", Stage.MEDIA, "the file comes after `seconds`"
    MEDIA_TOO_LARGE = "media_too_large", Stage.MEDIA, "the file is larger than announced"
    MEDIA_WRONG_HASH = "media_wrong_hash", Stage.MEDIA, "the file has another SHA-256 than announced"
    MEDIA_REDIRECT = "media_redirect", Stage.MEDIA, "a redirect to a foreign host"
    MEDIA_UNAUTHORIZED = "media_unauthorized", Stage.MEDIA, "401 with an HTML page"


MOST, MOST_COPIES = 1_000_000_000, 100
KINDS = {kind.word: kind for kind in Kind}
BEFORE_ACCEPTING = {
    Kind.THROTTLE, Kind.RATE, Kind.TOKEN, Kind.REFUSE, Kind.HTML_502, Kind.DROP, Kind.TIMEOUT, Kind.WINDOW_CLOSED,
}  # fmt: skip
REFUSALS = {Kind.THROTTLE: 131056, Kind.RATE: 130429, Kind.TOKEN: 190, Kind.REFUSE: 131000}
FAILURES = {Kind.UNDELIVERABLE: 131026, Kind.LATE_WINDOW: 131047, Kind.FAILED_AFTER_DELIVERED: 131026}
SECONDS = {
    Kind.TIMEOUT: 60.0, Kind.TIMEOUT_AFTER_ACCEPT: 60.0, Kind.SLOW: 1.5, Kind.LATE_STATUSES: 3.0, Kind.SWAPPED: 1.0,
    Kind.BATCH: 1.0, Kind.REDELIVER: 1.0, Kind.REDELIVER_BATCHED: 1.0, Kind.REORDER: 1.0, Kind.DELAY: 2.0,
    Kind.MEDIA_SLOW: 3.0,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One trouble: for whom, how often (None: until cleared), and how likely each time."""

    kind: Kind
    times: int | None = 1
    phone: str | None = None
    given_code: int | None = None
    given_seconds: float | None = None
    number: str | None = None
    probability: float = 1.0
    copies: int = 1

    @property
    def code(self) -> int:
        return self.given_code or REFUSALS.get(self.kind) or FAILURES.get(self.kind) or 131000

    @property
    def seconds(self) -> float:
        return self.given_seconds if self.given_seconds is not None else SECONDS.get(self.kind, 0.0)

    def as_json(self) -> dict[str, object]:
        return {"kind": self.kind.word, "times": self.times, "phone": self.phone, "code": self.given_code,
                "seconds": self.given_seconds, "number": self.number, "probability": self.probability,
                "copies": self.copies}  # fmt: skip

    @classmethod
    def from_json(cls, asked: dict[str, Any]) -> Fault:
        """Read what a caller asks for; raises ValueError with a sentence that says what is wrong."""
        kind = KINDS.get(str(asked.get("kind")))
        if kind is None:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}.")
        probability = _number(asked, "probability", 0, 1)
        # A probability alone means "from now on"; without one a fault strikes once.
        times = _whole(asked, "times", MOST) if "times" in asked else 1 if probability is None else None
        return cls(
            kind, times, _words(asked.get("phone")), _whole(asked, "code", MOST), _number(asked, "seconds", 0, MOST),
            _words(asked.get("number")), 1.0 if probability is None else probability,
            _whole(asked, "copies", MOST_COPIES) or 1,
        )  # fmt: skip


def _words(given: object) -> str | None:
    return str(given) if given else None


def _number(asked: dict[str, Any], name: str, least: float, most: float) -> float | None:
    given = asked.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not least <= given <= most:
        raise ValueError(f"{name} must be a number from {least} to {most}.")
    return float(given)


def _whole(asked: dict[str, Any], name: str, most: int) -> int | None:
    given = asked.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}.")
    return given


class Plan:
    """The planned faults. Of those that fit, the first whose dice fall so strikes; a seed makes runs alike."""

    def __init__(self, keep: Callable[[list[dict[str, object]]], None] = lambda _: None) -> None:
        self._faults: list[Fault] = []
        self._hits: Counter[str] = Counter()
        self._dice = random.Random(1)  # noqa: S311 - faults, not secrets
        self._keep = keep
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._faults.extend(faults)
            self._kept()

    def clear(self, phone: str | None = None) -> None:
        """Forget all that is planned; with a phone, only what is planned for it."""
        with self._lock:
            self._faults = [fault for fault in self._faults if phone is not None and fault.phone != phone]
            self._kept()

    def restore(self, kept: Iterable[dict[str, Any]]) -> None:
        """Take up what a killed simulator had planned."""
        self._faults = [Fault.from_json(one) for one in kept]

    def seed(self, seed: int) -> None:
        """Let the dice fall as they did after this seed before."""
        with self._lock:
            self._dice.seed(seed)

    def pending(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    def hits(self) -> dict[str, int]:
        """Return how often each kind has struck, magic contacts left out."""
        with self._lock:
            return dict(sorted(self._hits.items()))

    def take(self, stage: Stage, phone: str, number: str, *, only: Kind | None = None) -> Fault | None:
        """Return the fault that strikes here, and use it up once; with `only`, all others are left alone."""
        if not self._faults:
            return None
        with self._lock:
            for place, fault in enumerate(self._faults):
                if fault.kind.stage is not stage or fault.phone not in (None, phone) or only not in (None, fault.kind):
                    continue
                if fault.number not in (None, number) or self._dice.random() >= fault.probability:
                    continue
                self._use(place, fault)
                return fault
        return None

    def _use(self, place: int, fault: Fault) -> None:
        self._hits[fault.kind.word] += 1
        if fault.times is None:
            return
        if fault.times > 1:
            self._faults[place] = replace(fault, times=fault.times - 1)
        else:
            del self._faults[place]
        self._kept()

    def _kept(self) -> None:
        self._keep([fault.as_json() for fault in self._faults])
