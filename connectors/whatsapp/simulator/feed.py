"""The feed of the phone pages: says that something about a conversation is new, never what."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from functools import partial

HEARTBEAT = 15.0
KEPT = 1000


class Feed:
    """Wakes every open page; one that slept too long is told to look at everything again."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._signals: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self._last = 0
        self._stopped = False

    def signal(self, phone: str) -> None:
        with self._change:
            self._last += 1
            self._signals.append((self._last, phone))
            self._change.notify_all()

    def stop(self) -> None:
        """End every stream, so that a server with open pages can stop."""
        with self._change:
            self._stopped = True
            self._change.notify_all()

    def _has_news(self, seen: int) -> bool:
        return self._stopped or self._last > seen

    def stream(self) -> Iterator[str]:
        """Yield server-sent events: the phones whose conversation has changed."""
        seen = self._last
        yield "retry: 1000\n\n"
        while True:
            with self._change:
                if not self._change.wait_for(partial(self._has_news, seen), HEARTBEAT):
                    phones = None
                elif self._stopped:
                    return
                else:
                    phones = sorted({phone for number, phone in self._signals if number > seen})
                    seen = self._last
            yield ": still here\n\n" if phones is None else f"data: {json.dumps(phones)}\n\n"
