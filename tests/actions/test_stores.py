"""actions/stores.py and bot/places.py: how far it is, and how it is said."""

from __future__ import annotations

import pytest

from actions.stores import distance, listed
from bot.places import Places, Point
from bot.settings import ROOT

PLACES = Places.load(ROOT / "data" / "lookups")


@pytest.mark.parametrize(
    ("postcode", "store"),
    [("BS1 4QA", "Bristol"), ("bs8", "Bristol"), ("M1", "Manchester"), ("EH3 9GU", "Edinburgh"), ("G12", "Edinburgh"),
     ("N1 7GU", "London"), ("LS6", "Leeds"), ("CF10 1EP", "Bristol"), ("YO1 7HH", "Leeds")],
)  # fmt: skip
def test_the_nearest_store_of_a_postcode(postcode: str, store: str) -> None:
    point = PLACES.of_postcode(postcode)
    assert point is not None
    assert PLACES.nearest(point)[0].name == store


def test_every_store_stands_in_a_town_we_know_and_is_nearest_to_itself() -> None:
    for store in PLACES.stores:
        town = PLACES.town(store.name)
        assert town is not None
        assert PLACES.nearest(town.point)[0] == store
        assert store.point.miles_to(town.point) < 5


def test_an_unknown_postcode_is_nowhere() -> None:
    assert PLACES.of_postcode("QQ1 1QQ") is None


def test_distances() -> None:
    assert round(Point(51.507, -0.128).miles_to(Point(55.953, -3.188))) == 332
    assert [distance(miles) for miles in (0.2, 1.1, 28.6)] == ["less than a mile", "about a mile", "about 29 miles"]
    assert listed(["London", "Leeds", "Bristol"]) == "London, Leeds and Bristol"
