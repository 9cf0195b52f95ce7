"""Moves the clock of every Python process that has this folder on its path, by the seconds a file names.

Only tests put it there (see tests/journeys/later.py): nobody can wait a night for a journey. What was said at nine
stays at nine; from one moment to the next it is morning for everybody, WhatsApp included.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

FILE = os.environ.get("JOURNEY_CLOCK", "")
READ_EVERY_S = 0.02

_real: Callable[[], float] = time.time
_seen = [-1.0, 0.0]  # when the file was last read, by the monotonic clock; what it said


def passed() -> float:
    """Return how many seconds the clock is ahead."""
    now = time.monotonic()
    if now - _seen[0] > READ_EVERY_S:
        _seen[:] = [now, float(Path(FILE).read_text() or 0)]
    return _seen[1]


def _shift(module: ModuleType) -> None:
    module.now = lambda: datetime.fromtimestamp(_real(), timezone.utc) + timedelta(seconds=passed())  # type: ignore[attr-defined]


class _Winder(importlib.abc.MetaPathFinder):
    """Finds bot.clock as everybody would, and winds it once it is loaded, before anybody has its now()."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        """Return the module's spec with a loader that ends in winding."""
        if fullname != "bot.clock":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None and spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            _shift(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if FILE:
    sys.meta_path.insert(0, _Winder())
    time.time = lambda: _real() + passed()
