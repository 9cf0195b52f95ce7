"""The short form of `make chaos`: a few conversations, every process killed once, the database cut, on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests import parts
from tests.chaos.__main__ import plan_of
from tests.chaos.people import Manners
from tests.chaos.run import Plan, run
from tests.chaos.trouble import Weather

SHORT = Plan(
    conversations=6,
    turns=3,
    at_once=6,
    seed=11,
    manners=Manners(handoffs=0.5, patience_s=12.0, pause_s=(1.0, 2.0), hold_s=3.0),
    weather=replace(Weather(), kills=1, uptime_s=(1.5, 2.5), others_s=(2.0, 8.0), cuts_s=(8.0, 11.0)),
)


def test_nothing_is_lost_repeated_or_talked_over_whatever_goes_wrong(tmp_path: Path, postgres: parts.Postgres) -> None:
    if postgres.url is None:
        parts.skip(postgres.why_not)
    result = run(SHORT, tmp_path, print)
    print(*result.counts, sep="\n")
    wrong = {one.name: (one.value, one.bar, one.evidence) for one in result.counts if not one.is_kept}
    assert not wrong, wrong


def test_the_command_reads_make_variables() -> None:
    plan = plan_of({"CONVERSATIONS": "7", "TURNS": "2", "KILLS": "3", "SEED": "9", "DATABASE": "sqlite"})
    assert (plan.conversations, plan.turns, plan.weather.kills, plan.seed, plan.database) == (7, 2, 3, 9, "sqlite")
    assert plan_of({"DATABASE": "sqlite", "SEED": "1"}).conversations == 300
    assert plan_of({"DATABASE": "sqlite", "BREAK": "lease"}).sabotage == "lease"
    assert plan_of({"DATABASE": "sqlite", "AIM": "lease"}).sabotage == ""
    with pytest.raises(SystemExit):
        plan_of({"DATABASE": "sqlite", "BREAK": "hearts"})
