"""What contacts take back leaves Rasa's tracker."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from rasa.core.tracker_store import SQLTrackerStore

from bot.ledger import handoffs, inbox
from bot.ledger.transaction import Ledger
from bot.ledger.turns import Turn
from bot.messages import Text
from bot.updates import ContactRef, Deleted, Echoed, Renumbered
from connectors.whatsapp.tracker_store import engine_for, forget
from tests.factories import MIA, NUMBER, a_text, a_turn, a_wamid, begun, ended, heard, later

EVENT = SQLTrackerStore.SQLEvent


class Memory:
    """Rasa's events, as it would save them."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.engine = engine_for(ledger.engine.url.render_as_string(hide_password=False))
        SQLTrackerStore.Base.metadata.create_all(self.engine)

    def saves(self, key: str, wamids: Iterable[str], words: str) -> None:
        """A turn heard these."""
        parsed = {
            "text": words,
            "intent": {"name": "inform", "confidence": 1.0},
            "entities": [{"entity": "pin", "value": words[-4:]}],
        }
        data = {"event": "user", "text": words, "metadata": {"wamids": list(wamids)}, "parse_data": parsed}
        with self.engine.begin() as connection:
            row = {"sender_id": key, "type_name": "user", "data": json.dumps(data)}
            connection.execute(sa.insert(EVENT.__table__), [row])

    def saves_turn(self, turn: Turn) -> None:
        """This turn heard what it heard."""
        self.saves(turn.key, [one.wamid for one in turn.heard], turn.words)

    def left(self, now: datetime) -> list[str]:
        """Return what it still has after it was told to forget."""
        forget(self.ledger, self.engine, now)
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(EVENT.data).order_by(EVENT.id)).scalars())


def test_what_was_taken_back_leaves_the_tracker_once_its_turn_is_over(ledger: Ledger) -> None:
    turn, memory = a_turn(ledger, "my PIN is 1234"), Memory(ledger)
    memory.saves_turn(turn)
    memory.saves(turn.key, [a_wamid()], "hello")
    heard(ledger, Deleted(a_wamid(), turn.heard[0].wamid, later(2)), now=later(2))
    assert "1234" in memory.left(later(3))[0], "the turn runs, and would write its words after us"
    ended(ledger, turn, "Thanks.", now=later(3))
    mine, theirs = memory.left(later(4))
    assert "1234" not in mine and json.loads(mine)["parse_data"]["intent"]["name"] == "inform"
    assert "hello" in theirs

    memory.saves_turn(turn)  # a turn that was overtaken saves what it heard after it was ended
    assert "1234" not in memory.left(later(100))[2]
    with ledger.reading() as tx:
        assert not inbox.taken_back(tx, later(100)), "nobody looks for it for ever"


def a_turn_the_phone_has_interrupted(ledger: Ledger) -> tuple[Turn, Memory]:
    """A turn whose answer the phone has overtaken; it rests again, and what was heard waits for another turn."""
    turn, memory = a_turn(ledger, "my PIN is 1234"), Memory(ledger)
    memory.saves_turn(turn)
    heard(ledger, Echoed(a_wamid(), NUMBER, MIA, Text("Ann here"), later(-5)), now=later(1))
    ended(ledger, turn, "Thanks.", now=later(1))
    with ledger.writing() as tx:
        assert handoffs.give_back_from_phone(tx, later(3600)) == 1
    return turn, memory


def test_what_two_turns_heard_leaves_the_tracker_twice(ledger: Ledger) -> None:
    turn, memory = a_turn_the_phone_has_interrupted(ledger)
    again = begun(ledger, turn.conversation_id, now=later(3601))
    assert again is not None and again.id != turn.id
    memory.saves_turn(again)
    ended(ledger, again, "Thanks.", now=later(3602))
    heard(ledger, Deleted(a_wamid(), turn.heard[0].wamid, later(3700)), now=later(3700))
    assert "1234" not in "".join(memory.left(later(3701)))


def test_what_waits_for_another_turn_when_it_is_taken_back_leaves_the_tracker_too(ledger: Ledger) -> None:
    turn, memory = a_turn_the_phone_has_interrupted(ledger)
    heard(ledger, Deleted(a_wamid(), turn.heard[0].wamid, later(3601)), now=later(3601))
    assert "1234" not in "".join(memory.left(later(3602)))


def test_what_was_taken_back_is_found_however_often_its_conversation_went_into_another(ledger: Ledger) -> None:
    third, second, first = ContactRef("1", None), ContactRef("2", None), ContactRef(None, "GB.a")
    for who in (third, second):
        ended(ledger, a_turn(ledger, contact=who), "Hello")
    turn, memory = a_turn(ledger, "my PIN is 1234", contact=first), Memory(ledger)
    memory.saves_turn(turn)
    heard(ledger, a_text("it is me", contact=ContactRef("2", "GB.a")))  # while the bot thinks: that turn is lost
    moved = Renumbered(a_wamid(), NUMBER, ContactRef("2", "GB.a"), ContactRef("1", "GB.b"), later(5))
    heard(ledger, moved, now=later(6))
    heard(ledger, Deleted(a_wamid(), turn.heard[0].wamid, later(10)), now=later(10))
    with ledger.reading() as tx:
        (gone,) = inbox.taken_back(tx, later(10))
    assert len(gone.keys) == 3 and not gone.for_good, "the lost turn may still save what it heard"
    assert "1234" not in "".join(memory.left(later(11)))
