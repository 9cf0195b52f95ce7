"""Where Rasa keeps its tracker: a file beside the SQLite ledger, or a schema of its own on PostgreSQL.

Never in the ledger's own file: a locked save would silently drop a turn there. Named in endpoints.yml.
"""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rasa.core.tracker_store import SQLTrackerStore, TrackerStore
from rasa.shared.core.domain import Domain

from bot import clock
from bot.ledger import inbox
from bot.ledger.handoffs import TAKEN_BACK
from bot.ledger.transaction import POSTGRES_LIMITS, Ledger
from bot.settings import Settings

log = logging.getLogger(__name__)

SCHEMA = "rasa_tracker"
FORGET_EVERY_S = 5.0
EVENTS = sa.table("events", sa.column("id"), sa.column("sender_id"), sa.column("type_name"), sa.column("data"))


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


async def keep_forgetting(ledger: Ledger, engine: sa.engine.Engine) -> None:
    """Take out of the tracker what contacts take back, until cancelled; what was missed meanwhile comes first."""
    while True:
        try:
            await asyncio.to_thread(forget, ledger, engine, clock.now())
        except Exception:  # a database may be away for a while
            log.exception("taking words out of the tracker failed", extra={"action": "forget_failed"})
        await asyncio.sleep(FORGET_EVERY_S)


def forget(ledger: Ledger, engine: sa.engine.Engine, now: datetime) -> None:
    """Blank what turns heard and was taken back since.

    The event stays, with its intent, so that Rasa's state is what it was. Slots that were filled from it stay, too.
    """
    with ledger.reading() as tx:
        gone = inbox.taken_back(tx, now)
    for one in gone:
        heard = sa.select(EVENTS.c.id, EVENTS.c.data).where(
            EVENTS.c.sender_id.in_(one.keys), EVENTS.c.type_name == "user"
        )
        with engine.begin() as connection:
            for row in connection.execute(heard).all():
                event = json.loads(row.data)
                if one.wamid in _heard(event) and event.get("text") != TAKEN_BACK:
                    blank = json.dumps(_blank(event))
                    connection.execute(sa.update(EVENTS).where(EVENTS.c.id == row.id).values(data=blank))
    done = [one.wamid for one in gone if one.for_good]
    if done:
        with ledger.writing() as tx:
            inbox.forgotten(tx, done)


def _heard(event: dict[str, Any]) -> list[str]:
    """Return which messages an event speaks of, as rasa_bot wrote them beside it."""
    return (event.get("metadata") or {}).get("wamids") or []


def _blank(event: dict[str, Any]) -> dict[str, Any]:
    parsed = event.get("parse_data") or {}
    kept = {name: parsed[name] for name in ("intent", "intent_ranking", "message_id", "metadata") if name in parsed}
    entities = [{**entity, "value": TAKEN_BACK} for entity in parsed.get("entities") or []]
    return {**event, "text": TAKEN_BACK, "parse_data": {**kept, "text": TAKEN_BACK, "entities": entities}}
