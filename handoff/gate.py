"""Few draw at once. Many threads that want one processor only hinder each other; so they stand in line here, and what
somebody said comes before the lists.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

WIDTH = 2  # one draws while another waits for the database
OTHERS = 1  # of them, who is not urgent
IN_A_ROW = 4  # who is urgent goes before this often, then one of the others comes too


class Gate:
    """A door that lets few in at once: first who is urgent, each in the order in which they came."""

    def __init__(self, width: int = WIDTH, others: int = OTHERS) -> None:
        self._free = width
        self._lock = threading.Lock()
        self._urgent: deque[threading.Event] = deque()
        self._others: deque[threading.Event] = deque()
        self._free_for_others = others
        self._in_a_row = 0

    @contextmanager
    def passed(self, *, urgent: bool) -> Iterator[None]:
        """Be inside."""
        turn = threading.Event()
        with self._lock:
            (self._urgent if urgent else self._others).append(turn)
            self._let_in()
        turn.wait()
        try:
            yield
        finally:
            with self._lock:
                self._free += 1
                self._free_for_others += not urgent
                self._let_in()

    def _let_in(self) -> None:
        """Let in who comes next, while there is room."""
        while self._free:
            other_may = bool(self._others) and self._free_for_others > 0
            if self._urgent and not (other_may and self._in_a_row >= IN_A_ROW):
                turn, self._in_a_row = self._urgent.popleft(), self._in_a_row + 1
            elif other_may:
                turn, self._in_a_row = self._others.popleft(), 0
                self._free_for_others -= 1
            else:
                return
            self._free -= 1
            turn.set()
