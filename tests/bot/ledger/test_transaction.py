"""The two doors of the ledger, when PostgreSQL behind them goes away for a moment: nobody takes a file away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from bot.ledger.transaction import Ledger

OTHERS = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def server(postgres_url: str) -> Iterator[Ledger]:
    """A ledger on PostgreSQL, with a few connections that rest."""
    ledger = Ledger(postgres_url)
    with ledger.reading() as one, ledger.reading() as other:
        assert one.execute(sa.text("SELECT 1")).scalar() == other.execute(sa.text("SELECT 1")).scalar() == 1
    yield ledger
    ledger.close()


def cut(url: str) -> None:
    """End everybody's connection, as a server does that is started anew."""
    operator = Ledger(url)
    with operator.reading() as tx:
        tx.execute(OTHERS)
    operator.close()


def works(ledger: Ledger) -> bool:
    try:
        with ledger.writing() as tx:
            return bool(tx.execute(sa.text("SELECT 1")).scalar())
    except OperationalError:
        return False


def test_nobody_notices_that_the_server_was_started_anew(server: Ledger, postgres_url: str) -> None:
    cut(postgres_url)
    assert [works(server) for _ in range(3)] == [True] * 3


def test_what_fails_in_the_middle_leaves_nothing(server: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), server.writing() as tx:
        tx.execute(sa.text("INSERT INTO alarms (name, words, raised_at) VALUES ('x', 'x', now())"))
        raise ZeroDivisionError
    with server.reading() as tx:
        assert tx.execute(sa.text("SELECT count(*) FROM alarms")).scalar() == 0
