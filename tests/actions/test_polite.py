"""actions/polite.py: no action leaves the contact without an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rasa_sdk import Tracker
from rasa_sdk.executor import CollectingDispatcher

from actions import polite
from actions.backoffice import BackofficeDown
from actions.polite import PoliteAction
from actions.surroundings import Surroundings, surroundings
from bot import clock
from bot.ledger import handoffs, inbox, transcript
from bot.ledger.transaction import Ledger
from bot.messages import Text
from bot.updates import ContactRef, Received
from bot.vocabulary import Holder, Reason


class Restless(PoliteAction):
    """Does what the test wants."""

    def __init__(self, deed: Any = None) -> None:
        self.deed = deed

    def name(self) -> str:
        return "action_restless"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[Any]:
        return self.deed(dispatcher)


@pytest.fixture
def key(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The key of a conversation in a ledger of its own."""
    path = tmp_path / "ledger.db"
    path.write_bytes(sqlite_template.read_bytes())
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{path}")
    monkeypatch.setenv("BATON_HOME", str(tmp_path))
    surroundings.cache_clear()
    with surroundings().ledger.writing() as tx:
        contact = ContactRef(phone="447700900199", bsuid=None)
        (found,) = inbox.record(tx, b"{}", [Received("w1", "n", contact, Text("hi"), clock.now())], clock.now())
        yield_key = transcript.conversation_by_id(tx, found).key
    yield yield_key
    surroundings().ledger.close()
    surroundings.cache_clear()


def run(deed: Any, key: str) -> tuple[list[Any], CollectingDispatcher]:
    said = CollectingDispatcher()
    user = {"event": "user", "text": "where is my order", "parse_data": {}}
    tracker = Tracker(key, {"town": "Leeds"}, {"metadata": {}}, [user], False, None, {}, "action_listen")
    return asyncio.run(Restless(deed).run(said, tracker, {})), said


def ledger() -> Ledger:
    return surroundings().ledger


def fails(error: Exception) -> Any:
    def deed(_: CollectingDispatcher) -> list[Any]:
        raise error

    return deed


def test_an_error_ends_in_an_apology(key: str) -> None:
    events, said = run(fails(RuntimeError("oops")), key)
    assert events == []
    assert [message["response"] for message in said.messages] == ["utter_turn_failed"]


def test_a_shop_that_is_down_ends_with_a_person(key: str) -> None:
    events, said = run(fails(BackofficeDown()), key)
    with ledger().reading() as tx:
        conversation = transcript.conversation(tx, key)
        last = transcript.messages_of(tx, conversation.id)[-1]
    assert (conversation.holder, conversation.reason) == (Holder.QUEUE, Reason.BACKOFFICE_DOWN)
    assert (conversation.wish, conversation.slots) == ("where is my order", {"town": "Leeds"})
    assert "can't look up orders" in last.text
    assert said.messages == []  # the sentence was queued with the move; said twice would be once too often
    assert {"event": "active_loop", "name": None, "timestamp": None} in events


def test_an_action_that_takes_too_long_is_given_up_and_speaks_no_more(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polite, "PATIENCE", 0.05)

    def sleeps(dispatcher: CollectingDispatcher) -> list[Any]:
        time.sleep(0.3)
        dispatcher.utter_message(text="too late")
        return []

    _, said = run(sleeps, key)
    assert [message["response"] for message in said.messages] == ["utter_turn_failed"]


def test_handing_off_while_an_agent_speaks_is_silence(key: str) -> None:
    with ledger().writing() as tx:
        handoffs.take(tx, key, agent_id=1, agent_name="Ann", now=clock.now())
    _, said = run(fails(BackofficeDown()), key)
    assert [message["custom"] for message in said.messages] == [{"silence": True}]
    with ledger().reading() as tx:
        assert transcript.conversation(tx, key).holder is Holder.AGENT
