"""What every test may ask for: a fresh migrated database on both engines, a ledger on it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from bot.ledger.transaction import Ledger
from handoff import migrate
from tests import parts
from tests.connectors.openapi.recorder import every_body_is_valid, listening  # noqa: F401  # they work by themselves
from tests.discreet import nothing_personal_is_logged  # noqa: F401

expect.set_options(timeout=20_000)  # a page is looked at until it is so; how fast it is, is measured elsewhere


@pytest.fixture(scope="session")
def postgres() -> Iterator[parts.Postgres]:
    """A PostgreSQL server; `url` is None where there is none, `why_not` says why."""
    server = parts.Postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: migrating takes longer than copying."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    migrate.to_head(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: parts.Postgres) -> Iterator[str]:
    """A migrated database to copy."""
    name = f"baton_template_{secrets.token_hex(6)}"
    migrate.to_head(postgres.make(name))
    yield name
    postgres.drop(name)


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest, postgres: parts.Postgres) -> Iterator[str]:
    """The URL of a fresh, migrated database on PostgreSQL."""
    if postgres.url is None:
        parts.skip(postgres.why_not)
    template = request.getfixturevalue("postgres_template")
    name = f"baton_test_{secrets.token_hex(6)}"
    yield postgres.make(name, template)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> str:
    """The URL of a fresh, migrated database; the test runs once on each engine."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    path = tmp_path / "ledger.db"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger on a fresh database."""
    found = Ledger(database_url)
    yield found
    found.close()
