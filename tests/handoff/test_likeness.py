"""How like two questions are, measured on questions of a real bank; and what is taken out before an answer is kept."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from bot.settings import ROOT
from handoff import masking
from handoff.likeness import ByWords
from handoff.suggesting import NEAR_ENOUGH, SHOWN, shop_words
from tests import parts

BANKING = ROOT.parent / "shared" / "data" / "nlu" / "banking77"
OWN = {"Mia Turner": "name", "Mia": "first_name", "Ann": "agent_first_name", "F-20418": "order"}


def questions(name: str) -> list[tuple[str, str]]:
    path: Path = BANKING / name
    if not path.exists():
        parts.skip("no ../shared/data beside the project", needed=False)
    with path.open(encoding="utf-8") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(("answers", "fits", "shown"), [(500, 0.75, 0.1), (2000, 0.8, 0.3), (10003, 0.88, 0.6)])
def test_what_is_shown_mostly_fits_and_else_nothing_is_shown(answers: int, fits: float, shown: float) -> None:
    """77 matters that are alike. The more was answered, the more is shown; what is shown fits as often."""
    chance = random.Random(1)
    before = chance.sample(questions("train.csv"), answers)
    asked = chance.sample(questions("test.csv"), 400)
    index = ByWords()
    for n, (text, _) in enumerate(before):
        index.add(n, text)
    near = [
        (matter, [one for one in index.nearest(text, SHOWN) if one.nearness >= NEAR_ENOUGH]) for text, matter in asked
    ]
    offered = [(matter, found) for matter, found in near if found]
    right = sum(any(before[one.id][1] == matter for one in found) for matter, found in offered)
    assert right / len(offered) >= fits and len(offered) / len(asked) >= shown


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Hello Mia, this is Ann. Order F-20418 is on its way.",
         "Hello {first_name}, this is {agent_first_name}. Order {order} is on its way."),
        ("Call +44 7700 900101 or kim@x.example", "Call {number} or {email}"),
        ("See https://x.example/track?id=9 and https://fernhill.example/returns",
         "See {link} and https://fernhill.example/returns"),
        ("Kim Smith at the till knows. Ask John!", "{someone} at the till knows. Ask {someone}!"),
        ("We're open 9:00-17:30, 10am to 4pm, for 30 days, 20% off", None),
        ("The Bristol store has it. I'm sorry, I can't say more.", None),
        ("Your card ending 4421, postcode SW4 7AB", "Your card ending {number}, postcode {number} {number}"),
    ],
)  # fmt: skip
def test_nothing_of_anybodys_own_is_kept(said: str, kept: str | None) -> None:
    assert masking.masked(said, OWN, shop_words()) == (kept or said)
