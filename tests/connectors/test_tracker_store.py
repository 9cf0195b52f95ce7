"""What contacts take back leaves Rasa's tracker."""

from __future__ import annotations

import json
from datetime import datetime

import sqlalchemy as sa
from rasa.core.tracker_store import SQLTrackerStore

from bot.ledger import inbox
from bot.ledger.transaction import Ledger
from bot.updates import Deleted
from connectors.whatsapp.tracker_store import engine_for, forget
from tests.factories import a_text, a_turn, a_wamid, ended, heard, later

EVENT = SQLTrackerStore.SQLEvent


def test_what_was_taken_back_leaves_the_tracker_once_its_turn_is_over(ledger: Ledger) -> None:
    turn = a_turn(ledger, "my PIN is 1234")
    other = a_text("hello")
    engine = engine_for(ledger.engine.url.render_as_string(hide_password=False))
    SQLTrackerStore.Base.metadata.create_all(engine)

    def said(message_id: int, words: str) -> dict[str, object]:
        parsed = {
            "text": words,
            "intent": {"name": "inform", "confidence": 1.0},
            "entities": [{"entity": "pin", "value": words[-4:]}],
        }
        data = {"event": "user", "text": words, "message_id": str(message_id), "parse_data": parsed}
        return {"sender_id": turn.key, "type_name": "user", "data": json.dumps(data)}

    with engine.begin() as connection:
        rows = [said(turn.id, "my PIN is 1234"), said(turn.id + 1, other.content.text)]
        connection.execute(sa.insert(EVENT.__table__), rows)

    def kept(now: datetime) -> list[str]:
        forget(ledger, engine, now)
        with engine.connect() as connection:
            return list(connection.execute(sa.select(EVENT.data).order_by(EVENT.id)).scalars())

    heard(ledger, Deleted(a_wamid(), turn.heard[0].wamid, later(2)), now=later(2))
    assert "1234" in kept(later(3))[0], "the turn runs, and would write its words after us"
    ended(ledger, turn, "Thanks.", now=later(3))
    mine, theirs = kept(later(4))
    assert "1234" not in mine and json.loads(mine)["parse_data"]["intent"]["name"] == "inform"
    assert "hello" in theirs

    with engine.begin() as connection:  # a turn that was overtaken saves what it heard after it was ended
        connection.execute(sa.insert(EVENT.__table__), [said(turn.id, "my PIN is 1234")])
    assert "1234" not in kept(later(100))[2]
    with ledger.reading() as tx:
        assert not inbox.taken_back(tx, later(100)), "nobody looks for it for ever"
