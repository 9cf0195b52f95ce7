"""`make chaos`: CONVERSATIONS, TURNS, KILLS, SEED, DATABASE and BREAK say what; a `name value bar` a line comes out."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.chaos.run import AIMED, Plan, run
from tests.parts import Postgres

SHOWN = 8  # pieces of evidence for each broken bar; the rest is in the file


def plan_of(env: dict[str, str]) -> Plan:
    """Read the run from the environment, where make puts its variables."""
    sabotage, aim = env.get("BREAK", ""), env.get("AIM", "") or env.get("BREAK", "")
    if aim and aim not in AIMED:
        raise SystemExit(f"BREAK is one of {', '.join(AIMED)}, not {aim!r}")
    plan = replace(AIMED.get(aim, Plan()), sabotage=sabotage)
    kills = int(env.get("KILLS") or plan.weather.kills)
    return replace(
        plan,
        conversations=int(env.get("CONVERSATIONS") or plan.conversations),
        turns=int(env.get("TURNS") or plan.turns),
        seed=int(env.get("SEED") or 0) or int(time.time()) % 1_000_000,
        database=env.get("DATABASE") or _database(),
        weather=replace(plan.weather, kills=kills),
    )


def _database() -> str:
    """PostgreSQL where there is one, or one can be started; else SQLite."""
    server = Postgres()
    server.stop()
    return "sqlite" if server.url is None else "postgresql"


def main() -> int:
    """Run it, print the counts, and say by the exit status whether every bar was kept."""
    for told in (signal.SIGTERM, signal.SIGINT):  # however it is told to stop, nothing is left running
        signal.signal(told, signal.default_int_handler)
    plan = plan_of(dict(os.environ))
    began = time.monotonic()

    def say(words: str) -> None:
        print(f"# {time.monotonic() - began:5.0f} s  {words}", flush=True)

    say(f"SEED={plan.seed} DATABASE={plan.database} CONVERSATIONS={plan.conversations} TURNS={plan.turns} "
        f"KILLS={plan.weather.kills}" + (f" BREAK={plan.sabotage}" if plan.sabotage else ""))  # fmt: skip
    home = Path(tempfile.mkdtemp(prefix="baton-chaos-"))
    result = run(plan, home, say)
    for one in result.counts:
        print(one)
    broken = [one for one in result.counts if not one.is_kept]
    for one in broken:
        print(f"# {one.name} is {one.value:g}, its bar is {one.bar:g}")
        for line in one.evidence[:SHOWN]:
            print(f"#   {line}")
    evidence = home / "evidence.txt"
    evidence.write_text("\n".join(f"{one.name}: {line}" for one in result.counts for line in one.evidence) + "\n")
    if broken or any(one.evidence for one in result.counts):
        say(f"all the evidence, the logs and the books are in {home}")
    else:
        shutil.rmtree(home, ignore_errors=True)
    say(f"{'Broken: ' + ', '.join(one.name for one in broken) if broken else 'Every bar was kept'}; "
        f"{time.monotonic() - began:.0f} s in all")  # fmt: skip
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
