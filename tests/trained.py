"""The model of today's content, trained once for all tests, and Rasa's Agent on it."""

from __future__ import annotations

import fcntl
import os
import sys
from functools import lru_cache
from pathlib import Path

from bot import training
from bot.settings import ROOT, Settings

for name, value in training.QUIET.items():
    os.environ.setdefault(name, value)


@lru_cache(maxsize=1)
def model() -> Path:
    """Return the trained model; of several test processes one trains and the others wait."""
    settings = Settings.from_env()
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "training.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = training.trained_model(settings, ROOT)
        return found or training.train(settings, lambda line: print(line, file=sys.stderr))
