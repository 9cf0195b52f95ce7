"""The trouble of a fault run: processes killed, the database cut, WhatsApp at its worst, deliveries repeated."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa

from connectors.whatsapp.simulator.rows import user_id_of
from tests.chaos.books import Heard
from tests.chaos.people import Diary, insist
from tests.chaos.stage import Stage, until

KILLED = ("door", "rasa", "actions", "desk", "sender", "watch", "simulator")
BACK_WITHIN_S = 180.0
LINE = {"display_phone_number": "441632960100", "phone_number_id": "100000000000001"}

# What goes wrong all the time, and how often. Not `never_status`: of a message that was accepted without an answer and
# without a report nobody can tell whether to send it again. Nor what Meta fails for good: that is no fault of ours.
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "throttle", "probability": 0.02},
    {"kind": "rate", "probability": 0.02},
    {"kind": "refuse", "probability": 0.01, "code": 131000},
    {"kind": "html_502", "probability": 0.02},
    {"kind": "html_502_after_accept", "probability": 0.02},
    {"kind": "drop", "probability": 0.02},
    {"kind": "drop_after_accept", "probability": 0.02},
    {"kind": "timeout", "probability": 0.005, "seconds": 12},
    {"kind": "timeout_after_accept", "probability": 0.02, "seconds": 12},
    {"kind": "slow", "probability": 0.03, "seconds": 1.5},
    {"kind": "late_statuses", "probability": 0.04, "seconds": 3},
    {"kind": "unordered_statuses", "probability": 0.04},
    {"kind": "backward_statuses", "probability": 0.04},
    {"kind": "skipped_delivered", "probability": 0.03},
    {"kind": "never_delivered", "probability": 0.03},
    {"kind": "duplicate_webhooks", "probability": 0.05},
    {"kind": "batch", "probability": 0.02, "seconds": 1},
    {"kind": "redeliver", "probability": 0.05, "copies": 2},
    {"kind": "redeliver_batched", "probability": 0.04, "copies": 2},
    {"kind": "reorder", "probability": 0.04, "seconds": 1},
    {"kind": "delay", "probability": 0.02, "seconds": 2},
    {"kind": "lost_200", "probability": 0.03},
)


@dataclass(frozen=True)
class Weather:
    """How bad it gets."""

    kills: int = 20  # of each process
    uptime_s: tuple[float, float] = (5.0, 35.0)  # how long Rasa lives between two of its deaths
    others_s: tuple[float, float] = (10.0, 75.0)  # and the others, which are back at once
    cuts_s: tuple[float, float] | None = (40.0, 110.0)  # between two cuts of the database
    faults: tuple[dict[str, Any], ...] = FAULTS
    repeats_a_second: float = 0.8  # bodies of Meta's that bring again, late and mixed, what was written before


@dataclass
class Log:
    """What was done to Baton."""

    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    cuts: int = 0
    cut_s: float = 0.0
    repeated: int = 0
    not_back: list[str] = field(default_factory=list)


class Trouble:
    """Everything that goes wrong, each kind in a thread of its own, until `calm`."""

    def __init__(self, stage: Stage, weather: Weather, diary: Diary, seed: int, say: Callable[[str], None]) -> None:
        self._stage, self._weather, self._diary, self._seed, self._say = stage, weather, diary, seed, say
        self.log = Log()
        self._over = threading.Event()
        self._cutting = threading.Lock()
        self._threads: list[threading.Thread] = []

    def begin(self) -> None:
        """Let it begin."""
        jobs: list[tuple[Callable[..., None], tuple[Any, ...]]] = [(self._kill_often, (name,)) for name in KILLED]
        if self._stage.admin_url is not None:
            jobs.append((self._kill_often, ("sender2",)))
        if self._weather.cuts_s is not None:
            jobs.append((self._cut_often, ()))
        jobs += [(self._plan_faults, ()), (self._repeat_deliveries, ())]
        for n, (job, more) in enumerate(jobs):
            rng = random.Random(f"{self._seed} trouble {n}")
            thread = threading.Thread(target=job, args=(*more, rng), daemon=True, name=f"trouble {n}")
            self._threads.append(thread)
            thread.start()

    @property
    def share_done(self) -> float:
        """Say how many of the kills are done: 1.0 when each process had all of its own."""
        if not self._weather.kills:
            return 1.0
        return min(self.log.kills[name] for name in KILLED) / self._weather.kills

    @property
    def is_killing(self) -> bool:
        """Say whether anybody is still to be killed; what can't be brought back can't be."""
        return not self._over.is_set()

    def calm(self) -> None:
        """End it, and wait until everybody is well again."""
        self._over.set()
        for thread in self._threads:
            thread.join(BACK_WITHIN_S)
        until(self._stage.is_well, BACK_WITHIN_S)
        insist(lambda: requests.delete(f"{self._stage.house.phone_url}/api/faults", timeout=30).raise_for_status())

    # --- deaths

    def _kill_often(self, name: str, rng: random.Random) -> None:
        low, high = self._weather.uptime_s if name == "rasa" else self._weather.others_s
        while self.log.kills[name] < self._weather.kills:
            if self._over.wait(rng.uniform(low, high)):
                return
            if self.log.kills[name] > self.log.kills["rasa"] + 1:
                continue  # all die over the whole of the run, and Rasa takes longest to come back
            with suppress(AssertionError, OSError):
                pid = self._stage.pid_of(name)
                os.kill(self._victim(name, pid, rng), signal.SIGKILL)
                self.log.kills[name] += 1
                self._say(f"killed {name} ({self.log.kills[name]})")
                if not until(lambda pid=pid, name=name: self._is_back(name, pid), BACK_WITHIN_S):
                    self.log.not_back.append(name)

    @staticmethod
    def _victim(name: str, pid: int, rng: random.Random) -> int:
        """Return whom to kill: of the desk, one of its two processes."""
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if name == "desk" else []
        return int(rng.choice([str(pid), *children]))

    def _is_back(self, name: str, old: int) -> bool:
        if self._over.is_set():
            return True
        house = self._stage.house
        door = {
            "door": house.ready_url,
            "rasa": house.ready_url,
            "desk": f"{house.desk_url}/signin",
            "simulator": f"{house.phone_url}/health",
        }
        try:
            found = self._stage.pid_of(name)
            well = name not in door or requests.get(door[name], timeout=5).status_code == 200
        except (AssertionError, OSError):
            return False
        return well and (found != old or name == "desk")

    # --- cuts

    def _cut_often(self, rng: random.Random) -> None:
        assert self._weather.cuts_s is not None
        while not self._over.wait(rng.uniform(*self._weather.cuts_s)):
            seconds = rng.uniform(1.0, 3.0)
            with suppress(sa.exc.SQLAlchemyError, OSError):
                with self._stage.cut():
                    time.sleep(seconds)
                self.log.cuts += 1
                self.log.cut_s += seconds
                self._say(f"cut the database for {seconds:.1f} s")

    # --- WhatsApp

    def _plan_faults(self, rng: random.Random) -> None:
        """Plan what goes wrong from now on, and keep count of it: the simulator forgets its count when it is killed."""
        if not self._weather.faults:
            return
        url = f"{self._stage.house.phone_url}/api/faults"
        for path, body in (("/seed", {"seed": rng.randrange(10**6)}), ("", list(self._weather.faults))):
            insist(lambda path=path, body=body: requests.post(url + path, json=body, timeout=30).raise_for_status())
        before: Counter[str] = Counter()
        last: Counter[str] = Counter()
        while not self._over.wait(1.0):
            with suppress(requests.RequestException, ValueError):
                hits = Counter(requests.get(f"{url}/hits", timeout=10).json())
                if any(hits[kind] < times for kind, times in last.items()):
                    before += last
                last = hits
                self.log.faults = before + last

    def _repeat_deliveries(self, rng: random.Random) -> None:
        """Bring again what was written lately: in batches of several contacts, in any order, twice at once; often
        before the simulator's own courier has brought it for the first time.
        """
        if not self._weather.repeats_a_second:
            return
        while not self._over.wait(rng.expovariate(self._weather.repeats_a_second)):
            lately = list(self._diary.lately)
            if not lately:
                continue
            some = rng.sample(lately, rng.randint(1, min(5, len(lately))))
            body = json.dumps(batch_of(some))
            posts = [threading.Thread(target=self._bring, args=(body,)) for _ in range(rng.choice((1, 2, 3)))]
            for post in posts:
                post.start()
            for post in posts:
                post.join()
            self.log.repeated += len(some) * len(posts)

    def _bring(self, body: str) -> None:
        with suppress(requests.RequestException):
            requests.post(f"{self._stage.house.phone_url}/api/webhooks", data=body, timeout=30)


def batch_of(said: list[Heard]) -> dict[str, Any]:
    """Return one delivery of Meta's that brings these messages, as the simulator would have worded each."""
    phones = sorted({m.phone for m in said})
    value = {
        "messaging_product": "whatsapp",
        "metadata": LINE,
        "contacts": [{"profile": {"name": f"Contact {p[-4:]}"}, "user_id": user_id_of(p), "wa_id": p} for p in phones],
        "messages": [
            {"from": m.phone, "from_user_id": user_id_of(m.phone), "id": m.wamid, "timestamp": str(int(m.at)),
             "type": "text", "text": {"body": m.text}}
            for m in said
        ],
    }  # fmt: skip
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}],
    }
