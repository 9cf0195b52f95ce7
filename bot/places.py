"""Where our stores are, which towns and postcodes we know, and how far it is from here to there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bot.errors import BadContent

EARTH_RADIUS_MILES = 3958.8


@dataclass(frozen=True)
class Point:
    """A point on the map, in degrees."""

    latitude: float
    longitude: float

    def miles_to(self, other: Point) -> float:
        """Return the distance as the crow flies."""
        here, there = math.radians(self.latitude), math.radians(other.latitude)
        across = math.radians(other.longitude - self.longitude)
        haversine = math.sin((there - here) / 2) ** 2 + math.cos(here) * math.cos(there) * math.sin(across / 2) ** 2
        return 2 * EARTH_RADIUS_MILES * math.asin(math.sqrt(haversine))


@dataclass(frozen=True)
class Store:
    """One of our stores, with its hours as contacts will read them."""

    name: str
    address: str
    weekdays: str
    saturday: str
    sunday: str
    point: Point


@dataclass(frozen=True)
class Town:
    """A town contacts may name."""

    name: str
    point: Point
    also: tuple[str, ...] = ()
    only_capitalised: bool = False


@dataclass(frozen=True)
class Places:
    """Everything we know about the map."""

    stores: tuple[Store, ...]
    towns: tuple[Town, ...]
    postcode_areas: dict[str, Point]

    @classmethod
    def load(cls, folder: Path) -> Places:
        """Read data/lookups."""
        return cls(
            stores=tuple(_store(row) for row in _read(folder / "stores.yml", "stores")),
            towns=tuple(_town(row) for row in _read(folder / "towns.yml", "towns")),
            postcode_areas={
                area: Point(*degrees)
                for area, degrees in _read(folder / "postcode_areas.yml", "postcode_areas").items()
            },
        )

    def store_in(self, town: str) -> Store | None:
        """Return our store in this very town."""
        return next((store for store in self.stores if store.name == town), None)

    def town(self, name: str) -> Town | None:
        """Return a town by its name."""
        return next((town for town in self.towns if town.name.lower() == name.lower()), None)

    def of_postcode(self, postcode: str) -> Point | None:
        """Return roughly where a postcode, or only its first half, is."""
        letters = postcode.upper()[:2]
        return self.postcode_areas.get(letters if letters.isalpha() else letters[:1])

    def nearest(self, point: Point) -> tuple[Store, float]:
        """Return the nearest store and how many miles it is away."""
        store = min(self.stores, key=lambda store: point.miles_to(store.point))
        return store, point.miles_to(store.point)


def _read(path: Path, key: str) -> Any:
    try:
        return YAML(typ="safe").load(path)[key]
    except (OSError, YAMLError, KeyError, TypeError) as error:
        raise BadContent(f"{path} has no readable {key!r} ({error})") from error


def _store(row: dict[str, Any]) -> Store:
    hours = {day: str(row[day]) for day in ("weekdays", "saturday", "sunday")}
    return Store(row["name"], row["address"], point=Point(row["latitude"], row["longitude"]), **hours)


def _town(row: dict[str, Any]) -> Town:
    point = Point(row["latitude"], row["longitude"])
    return Town(row["name"], point, tuple(row.get("also", ())), row.get("only_capitalised", False))
