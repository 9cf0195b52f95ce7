"""The only now(): aware, in UTC. Tests hand in their own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

Clock = Callable[[], datetime]


def now() -> datetime:
    """Return the moment this is called, in UTC."""
    return datetime.now(tz=timezone.utc)
