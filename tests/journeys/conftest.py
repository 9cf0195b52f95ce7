"""Houses to journey through."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests import parts
from tests.journeys.later import LaterHouse

ON_EACH = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("sqlite", "postgresql")]


@pytest.fixture(scope="session", params=ON_EACH)
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: parts.Postgres
) -> Iterator[LaterHouse]:
    """A running Baton on each database, shared by all journeys; each test brings contacts of its own.

    A Baton takes longer to start than a journey through it: with xdist the journeys on one database stay together. Its
    clock may be days ahead of ours, for some journeys last that long: ask `house.now()`. Nothing is closed as idle
    before two days: by default that happens in the seconds in which WhatsApp's window closes, which is a journey here.
    """
    idle = {"BATON_CLOSE_IDLE_H": "48"}
    home = tmp_path_factory.mktemp("home")
    if request.param == "sqlite":
        running = LaterHouse(home, **idle).start()
        yield running
        running.stop()
        return
    if postgres.url is None:
        parts.skip(postgres.why_not)
    name = f"baton_test_{secrets.token_hex(6)}"
    running = LaterHouse(home, postgres.make(name), **idle).start()
    yield running
    running.stop()
    postgres.drop(name)


@pytest.fixture
def phone(house: LaterHouse) -> str:
    """The number of a contact who never wrote before."""
    number = f"447700{secrets.randbelow(10**6):06d}"
    parts_of_name = secrets.choice(("Robin", "Alex", "Kim", "Jo")), secrets.choice(("Ash", "Elm", "Oak", "Yew"))
    house.new_contact(number, " ".join(parts_of_name))
    return number
