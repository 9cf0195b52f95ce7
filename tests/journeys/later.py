"""A house whose clock can be moved on: a night passes for bot, desk, sender and WhatsApp alike."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import requests

from bot.settings import ROOT
from tests.journeys.house import House
from tests.parts import eventually

SEEN_BY_ALL_S = 0.1  # each process looks at the clock every 0.02 s
CLOCKWORK = Path(__file__).parent / "clockwork"


class LaterHouse(House):
    """Everything `make up` starts, under a clock of its own. It only goes forward."""

    def __init__(self, home: Path, database_url: str = "", **env: str) -> None:
        self._clock = home / "clock"
        self._clock.write_text("0")
        super().__init__(home, database_url, PYTHONPATH=str(CLOCKWORK), JOURNEY_CLOCK=str(self._clock), **env)

    def now(self) -> datetime:
        """What time it is there."""
        return datetime.now(timezone.utc) + timedelta(seconds=float(self._clock.read_text()))

    def later(self, **passes: float) -> datetime:
        """Let time pass, once everything said is dealt with: `later(hours=9)`."""
        assert eventually(self._is_quiet, 30), f"never quiet\n{self.last_words()}"
        ahead = float(self._clock.read_text()) + timedelta(**passes).total_seconds()
        there = self._clock.with_suffix(".next")
        there.write_text(str(ahead))
        there.replace(self._clock)  # nobody reads half a number
        time.sleep(SEEN_BY_ALL_S)  # else what is said now may be days old for who has not looked yet
        return self.now()

    def until(self, hour: int, *, weekday: int | None = None) -> datetime:
        """Let time pass until it is this hour, UTC, next; on this weekday (Monday is 0), if one is named."""
        now = self.now()
        then = now.replace(hour=hour, minute=0, second=0, microsecond=0)
        while then <= now or (weekday is not None and then.weekday() != weekday):
            then += timedelta(days=1)
        return self.later(seconds=(then - now).total_seconds())

    def _is_quiet(self) -> bool:
        found = requests.get(f"{self.desk_url}/health", timeout=10).json()
        return found["oldest_waiting_turn_s"] is None and found["oldest_unsent_message_s"] is None

    def handoff(self, *words: str) -> str:
        """Run `python -m handoff …`; return what it printed."""
        command = [sys.executable, "-m", "handoff", *words]
        done = subprocess.run(command, env=self.env, cwd=ROOT, check=True, text=True, capture_output=True)
        return done.stdout.strip()

    def team_is_there(self, hours: str = "always") -> None:
        """Set the opening hours, in UTC."""
        self.handoff("team", "--zone", "UTC", "--hours", hours)
