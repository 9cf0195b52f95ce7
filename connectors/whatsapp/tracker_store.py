"""Where Rasa keeps its tracker: a file beside the SQLite ledger, or a schema of its own on PostgreSQL.

Never in the ledger's own file: a locked save would silently drop a turn there. Named in endpoints.yml.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rasa.core.tracker_store import SQLTrackerStore, TrackerStore
from rasa.shared.core.domain import Domain

from bot.ledger.transaction import POSTGRES_LIMITS
from bot.settings import Settings

SCHEMA = "rasa_tracker"


def engine_for(database_url: str) -> sa.engine.Engine:
    """Return an engine on the tracker's own place beside the ledger at `database_url`."""
    if database_url.startswith("sqlite"):
        ledger = Path(database_url.removeprefix("sqlite:///"))
        ledger.parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(
            f"sqlite:///{ledger.with_name(ledger.stem + '-tracker.db')}",
            hide_parameters=True,
            connect_args={"timeout": 15, "check_same_thread": False},
        )
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        return engine
    engine = sa.create_engine(
        database_url,
        pool_pre_ping=True,  # a connection the database dropped must not lose a turn
        pool_size=5,
        max_overflow=5,
        hide_parameters=True,
        connect_args={"connect_timeout": 5, "options": f"-csearch_path={SCHEMA} {POSTGRES_LIMITS}"},
    )
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    return engine


class BatonTrackerStore(SQLTrackerStore):  # type: ignore[misc]  # Rasa has no types
    """Rasa's SQL store on an engine of ours."""

    def __init__(self, domain: Domain | None = None, event_broker: Any = None, **kwargs: Any) -> None:
        # Not SQLTrackerStore.__init__, which would build an engine from parts; everything else of it is wanted.
        self.engine = engine_for(Settings.from_env().database_url)
        self.Base.metadata.create_all(self.engine)
        self.sessionmaker = sa.orm.session.sessionmaker(bind=self.engine)
        TrackerStore.__init__(self, domain, event_broker, **{k: v for k, v in kwargs.items() if k != "host"})
