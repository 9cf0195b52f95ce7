"""The migrations make what the code expects, on both databases, however many try."""

from __future__ import annotations

import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import sqlalchemy as sa

from bot.ledger.transaction import Ledger
from handoff import migrate


def test_code_and_migrations_agree(ledger: Ledger) -> None:
    assert migrate.differences(ledger) == []
    migrate.require_head(ledger)


def test_tables_that_are_not_ours_are_left_alone(ledger: Ledger, database_url: str) -> None:
    with ledger.writing() as tx:
        tx.execute(sa.text("CREATE TABLE shop_orders (id INTEGER PRIMARY KEY)"))
    migrate.to_head(database_url)
    assert migrate.differences(ledger) == []


def test_the_way_back_leads_back_and_forth_again(ledger: Ledger, database_url: str) -> None:
    ledger.close()
    migrate.to_base(database_url)
    with ledger.reading() as tx:
        assert set(sa.inspect(tx).get_table_names()) - {"sqlite_sequence"} == {"alembic_version"}
    migrate.to_head(database_url)
    assert migrate.differences(ledger) == []


def test_four_processes_may_migrate_at_once(ledger: Ledger, database_url: str, tmp_path: Path) -> None:
    if ledger.is_sqlite:
        database_url = f"sqlite:///{tmp_path / 'fresh.db'}"
    else:
        migrate.to_base(database_url)
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(migrate.to_head, [database_url] * 4))
    fresh = Ledger(database_url)
    migrate.require_head(fresh)
    fresh.close()


def test_migrations_are_numbered_and_head_names_the_last() -> None:
    names = sorted(path.stem for path in (migrate.MIGRATIONS / "versions").glob("*.py"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert all(re.fullmatch(r"\d{4}_[a-z_]+", name) for name in names)
    assert names[-1] == migrate.HEAD
