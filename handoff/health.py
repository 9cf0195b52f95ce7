"""/health: may the desk be trusted right now? For load balancers, probes and the launcher."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Blueprint, jsonify
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response as AnyResponse

from bot.ledger import alarms, transcript
from handoff import guard, migrate
from handoff.feed import feed
from handoff.migrate import NotMigrated
from handoff.parts import parts

blueprint = Blueprint("health", __name__)

FEED_AGE_MAX_S = 10.0
WAITING_MAX_S = 300.0  # a bot or a sender that lets anybody wait that long is not well, whatever it says of itself


@blueprint.get("/health")
@guard.for_everybody
def health() -> AnyResponse:
    """Say how we are: 200, or 503 when somebody must look."""
    found: dict[str, Any] = {
        "database": "ok",
        "oldest_waiting_turn_s": None,
        "oldest_unsent_message_s": None,
        "feed_age_s": round(feed().age(), 1),
        "alarms": [],
    }
    now = parts().now()
    try:
        migrate.require_head(parts().ledger)
        with parts().ledger.reading() as tx:
            found["oldest_waiting_turn_s"] = _age(transcript.oldest_waiting_turn(tx), now)
            found["oldest_unsent_message_s"] = _age(transcript.oldest_unsent_message(tx), now)
            found["alarms"] = [
                {"name": alarm.name, "words": alarm.words, "since": alarm.raised_at.isoformat()}
                for alarm in alarms.raised(tx)
            ]
    except NotMigrated as error:
        found["database"] = str(error)
    except SQLAlchemyError as error:
        found["database"] = f"unreachable ({type(error).__name__})"
    well = (
        found["database"] == "ok"
        and not found["alarms"]
        and found["feed_age_s"] <= FEED_AGE_MAX_S
        and (found["oldest_waiting_turn_s"] or 0) <= WAITING_MAX_S
        and (found["oldest_unsent_message_s"] or 0) <= WAITING_MAX_S
    )
    response = jsonify(found)
    response.status_code = 200 if well else 503
    return response


def _age(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else round(max(0.0, (now - since).total_seconds()), 1)
