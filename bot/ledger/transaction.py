"""The engine and its two doors: Ledger.reading() and Ledger.writing()."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from bot.ledger.folding import folded

Transaction: TypeAlias = Connection  # what the verbs are handed: a connection inside one transaction

# No lock, statement or forgotten transaction may hold a webhook or a turn for ever. Migrations have their own engine.
# No transaction of ours thinks, so one that is idle belongs to a process that was stopped: its locks go before others
# give up waiting for them.
POSTGRES_LIMITS = "-c lock_timeout=10s -c statement_timeout=30s -c idle_in_transaction_session_timeout=5s"
BUSY_TIMEOUT_MS = 15_000  # SQLite has one writer; the others wait this long for their turn …
LOOK_AGAIN_S = 0.003  # … and look so often whether it has come; who is in a hurry looks
HURRIED_S = 0.0003  # more often than the others, and so comes before them


class Ledger:
    """One database, two doors. Nobody else opens connections; no transaction is open while others think."""

    def __init__(self, url: str, *, hurried: bool = False) -> None:
        look_again_s = HURRIED_S if hurried else LOOK_AGAIN_S
        self.engine = _sqlite(url, look_again_s) if url.startswith("sqlite") else _postgresql(url)

    @property
    def is_sqlite(self) -> bool:
        """Say which of the two databases this is."""
        return bool(self.engine.dialect.name == "sqlite")

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Look without touching."""
        with _without_words(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, *, lightly: bool = False) -> Iterator[Transaction]:
        """Change rows; all of it or nothing.

        Lightly, a power cut may take back what was committed in the last moment, though no crash of ours does: for
        leases and the like, which cost the disk a wait and would be worth nothing after a power cut anyway.
        """
        writes = "lightly" if lightly else "lastingly"
        with (
            _without_words(),
            self.engine.connect() as connection,
            connection.execution_options(baton_writes=writes).begin(),
        ):
            if lightly and not self.is_sqlite:
                connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            yield connection

    def can_be_written(self) -> bool:
        """Say whether a write would be kept now, without leaving a trace."""
        try:
            with self.engine.connect() as connection:
                transaction = connection.execution_options(baton_writes="lightly").begin()
                connection.execute(sa.text("UPDATE conversations SET epoch = epoch WHERE id = -1"))
                transaction.rollback()
        except SQLAlchemyError:
            return False
        return True

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def has_tables(url: str) -> bool:
    """Say whether a ledger is there, without making one: SQLite would make a file of whatever name it is given."""
    if url.startswith("sqlite") and not _path_of(url).is_file():
        return False
    ledger = Ledger(url)
    try:
        with ledger.reading() as tx:
            return bool(sa.inspect(tx).has_table("messages"))
    finally:
        ledger.close()


@contextmanager
def _without_words() -> Iterator[None]:
    """Keep what people wrote out of error messages, and so out of logs: PostgreSQL's own words quote the values."""
    try:
        yield
    except DBAPIError as problem:
        code = getattr(problem.orig, "pgcode", None)
        if code is None:
            raise  # SQLite names columns, not values; a lost connection names none
        raise type(problem)(None, None, type(problem.orig)(f"PostgreSQL says {code}"), hide_parameters=True) from None


def _path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def _sqlite(url: str, look_again_s: float) -> Engine:
    path = _path_of(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        url,
        future=True,
        hide_parameters=True,
        # Kept open: opening a file and saying how to use it takes longer than most of what we ask.
        poolclass=sa.pool.QueuePool,
        pool_size=16,
        max_overflow=-1,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")  # type: ignore[untyped-decorator]
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        connection.create_function("folded", 1, folded, deterministic=True)  # the triggers of search call it
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")  # type: ignore[untyped-decorator]
    def on_begin(connection: Any) -> None:
        # A read that turns into a write fails at once on SQLite, whatever the timeout: writers say so first.
        writes = connection.get_execution_options().get("baton_writes")
        if not writes:
            connection.exec_driver_sql("BEGIN")
            return
        connection.exec_driver_sql(f"PRAGMA synchronous={'NORMAL' if writes == 'lightly' else 'FULL'}")
        _begin_immediately(connection.connection, look_again_s)

    return engine


def _begin_immediately(connection: Any, look_again_s: float) -> None:
    """Wait for our turn to write, looking often: SQLite's own waiting sleeps up to a tenth of a second at a time, and
    whoever comes later may be served first.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as problem:
                if "locked" not in str(problem) or time.monotonic() > deadline:
                    raise OperationalError("BEGIN IMMEDIATE", None, problem, hide_parameters=True) from problem
                time.sleep(look_again_s)
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")


def _postgresql(url: str) -> Engine:
    return sa.create_engine(
        url,
        future=True,
        hide_parameters=True,
        pool_pre_ping=True,
        executemany_mode="values_plus_batch",  # many rows, few round trips, for updates too
        # Many are kept, and who was used last goes first: to connect takes longer than most of what we ask.
        pool_size=16,
        max_overflow=14,
        pool_use_lifo=True,
        connect_args={"connect_timeout": 5, "tcp_user_timeout": 15_000, "options": POSTGRES_LIMITS},
    )
