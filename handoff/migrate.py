"""Bring a database to the newest migration, in one transaction, however many processes try at once."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from bot.errors import BotError
from bot.ledger.transaction import Ledger, Transaction
from bot.settings import Settings
from handoff import tables_desk
from handoff.tables import every_table

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
EVERY_ROOM_WITH_TABLES = (tables_desk,)  # imported, so that `every_table` knows theirs
HEAD = (MIGRATIONS / "HEAD").read_text(encoding="utf-8").strip()
LOCK = 228662266  # "BATON" on a phone's keys, twice: the advisory lock that migrating processes queue for


Made = TypeVar("Made")


class NotMigrated(BotError):
    """The database is not migrated."""


def to_head(url: str) -> None:
    """Upgrade to the newest migration. Twice, or by two processes at once, is as good as once."""
    with _one_at_a_time(url):
        ledger = Ledger(url)
        try:
            with ledger.writing() as tx:
                if not ledger.is_sqlite:
                    tx.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
                command.upgrade(config(tx), "head")
        finally:
            ledger.close()


def to_base(url: str) -> None:
    """Undo every migration; for tests of the way back."""
    ledger = Ledger(url)
    try:
        with ledger.writing() as tx:
            command.downgrade(config(tx), "base")
    finally:
        ledger.close()


def require_head(ledger: Ledger) -> None:
    """Raise NotMigrated, with the cure, unless the database is what this code expects."""
    with ledger.reading() as tx:
        found = MigrationContext.configure(tx).get_current_revision()
    if found != HEAD:
        raise NotMigrated(f"(it is at {found or 'nothing'}, the code at {HEAD}; run `python -m handoff migrate`)")


def differences(ledger: Ledger) -> list[Any]:
    """Return how the tables in the code and those in the database differ; [] when they agree."""
    with ledger.reading() as tx:
        context = MigrationContext.configure(
            tx,
            opts={
                "compare_type": True,
                "compare_server_default": not ledger.is_sqlite,  # Alembic sees '' differ from '' there
                "include_name": lambda name, kind, parents: kind != "table" or name in every_table.tables,
            },
        )
        return list(compare_metadata(context, every_table))


def config(tx: Transaction | None = None) -> Config:
    """Return Alembic's configuration; there is no alembic.ini."""
    settings = Config()
    settings.set_main_option("script_location", str(MIGRATIONS))
    settings.attributes["connection"] = tx
    return settings


@contextmanager
def _one_at_a_time(url: str) -> Iterator[None]:
    """On SQLite, wait for a file lock: turning on WAL for the first time does not wait by itself."""
    if not url.startswith("sqlite"):
        yield
        return
    path = Path(url.removeprefix("sqlite:///") + ".migrating")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    # The file stays: removing it would let a third process lock another one of the same name.


def write(settings: Settings, verb: Callable[[Transaction], Made]) -> Made:
    """Do one thing with a database that is at the newest migration, for a command; return what it returns."""
    ledger = Ledger(settings.database_url)
    try:
        require_head(ledger)
        with ledger.writing() as tx:
            return verb(tx)
    finally:
        ledger.close()
