"""What a transcript is played on: one contact, one agent, the bot, and a shop that can be closed."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rasa.core.agent import load_agent
from rasa.core.utils import AvailableEndpoints
from rasa.shared.core.events import ActionExecuted, BotUttered, UserUttered
from rasa.utils.log_utils import configure_structlog

from actions.backoffice import SqlBackoffice
from actions.demo_shop import LEO, MIA, PRIYA, SAM, open_demo_shop
from bot import clock
from bot.content.catalogue import Catalogue
from bot.ledger import handoffs, inbox, transcript
from bot.ledger.transaction import Ledger
from bot.messages import Buttons, Inbound, Media, Menu, Outbound, Place, Tap, Text
from bot.settings import ROOT, Settings
from bot.updates import ContactRef, Deleted, Received
from bot.vocabulary import Author, Holder
from connectors.whatsapp import tracker_store
from connectors.whatsapp.channel import manners_of
from connectors.whatsapp.rasa_bot import Bot
from connectors.whatsapp.turns import Turns

PHONES = {"Mia": MIA, "Sam": SAM, "Priya": PRIYA, "Leo": LEO}
AGENT = {"agent_id": 1, "agent_name": "Ann"}
MEDIA = {"photo": "image", "voice note": "audio", "document": "document"}


class Shop:
    """The demo shop behind the HTTP API of actions/backoffice.py."""

    def __init__(self, path: Path) -> None:
        self.orders = SqlBackoffice(open_demo_shop(path))
        self.is_open = True
        shop = self

        class Door(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, answer = shop.answer(self.path)
                body = json.dumps(answer, default=str).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Keep the tests' output to the tests."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str) -> tuple[int, Any]:
        """Return status and JSON for a question."""
        if not self.is_open:
            return 503, {}
        asked = urlsplit(path)
        if asked.path == "/orders":
            phone = parse_qs(asked.query).get("phone", [""])[0]
            return 200, {"orders": [asdict(order) for order in self.orders.orders_of(phone)]}
        order = self.orders.order(asked.path.rsplit("/", 1)[1])
        return (200, asdict(order)) if order else (404, {})

    def close(self) -> None:
        """Lock up."""
        self._server.shutdown()
        self._server.server_close()
        self.orders.engine.dispose()


class Stage:
    """Loads the bot once and plays steps for one contact after the other."""

    def __init__(self, model: Path, ledger: Ledger, shop: Shop, home: Path) -> None:
        self.ledger, self.shop, self.home = ledger, shop, home
        configure_structlog(logging.ERROR)
        self._loop = asyncio.new_event_loop()
        endpoints = AvailableEndpoints.read_endpoints(str(ROOT / "endpoints.yml"))
        self._agent = self._loop.run_until_complete(load_agent(model_path=str(model), endpoints=endpoints))
        catalogue = Catalogue.load(ROOT / "data" / "responses")
        self._bot = self._loop.run_until_complete(
            Bot.awake(self._agent, self._agent.handle_message, catalogue.say("utter_old_button"))
        )
        self._manners = replace(manners_of(Settings(), catalogue), quiet=timedelta(0), notices_machines=False)

    def close(self) -> None:
        """Strike the set."""
        self._loop.close()

    def enter(self, who: str, salt: str) -> Scene:
        """A contact enters; one with a known phone by their first name, anybody else is a stranger."""
        return Scene(self, ContactRef(phone=PHONES.get(who), bsuid=f"{who}-{salt}", name=who), salt)

    def uttered(self, key: str) -> list[str]:
        """Return the texts Rasa's tracker holds behind the last message of a conversation."""
        tracker = self._loop.run_until_complete(self._agent.tracker_store.retrieve(key))
        texts: list[str] = []
        for event in tracker.events if tracker is not None else ():
            if isinstance(event, UserUttered):
                texts.clear()
            elif isinstance(event, BotUttered) and event.text:
                texts.append(event.text)
        return texts

    def resorted(self, key: str) -> bool:
        """Say whether Rasa did something to the last message that no rule names: less than certain."""
        tracker = self._loop.run_until_complete(self._agent.tracker_store.retrieve(key))
        events = list(tracker.events) if tracker is not None else []
        last = max(n for n, event in enumerate(events) if isinstance(event, UserUttered))
        acted = [event for event in events[last:] if isinstance(event, ActionExecuted)]
        return any(event.confidence is not None and event.confidence < 1 for event in acted)

    @contextmanager
    def with_patience_for(self, actions: int) -> Iterator[None]:
        """Let Rasa do no more than this at one message; what it has left to do then, it does not do."""
        processor = self._agent.processor
        assert processor is not None
        usual, processor.max_number_of_predictions = processor.max_number_of_predictions, actions
        try:
            yield
        finally:
            processor.max_number_of_predictions = usual

    def hear(self, received: Received) -> int | None:
        """Write a message down and give it its turn, as the channel does; None when an agent has the conversation."""
        with self.ledger.writing() as tx:
            waiting = inbox.record(tx, b"{}", [received], clock.now())
        turns = Turns(self.ledger, self._manners, clock.now, self._bot.run)
        self._loop.run_until_complete(turns.settle())
        return next(iter(waiting), None)

    def forget(self, wamid: str) -> None:
        """A contact takes this back, and Rasa is made to forget it, as the channel does."""
        with self.ledger.writing() as tx:
            inbox.record(tx, b"{}", [Deleted(f"{wamid}-gone", wamid, clock.now())], clock.now())
        tracker_store.forget(self.ledger, self._bot.memory, clock.now())

    def remembered(self, key: str) -> list[str]:
        """Return what Rasa remembers that the contact said."""
        tracker = self._loop.run_until_complete(self._agent.tracker_store.retrieve(key))
        return [event.text for event in tracker.events if isinstance(event, UserUttered)]


class Scene:
    """One contact's conversation."""

    def __init__(self, stage: Stage, contact: ContactRef, salt: str) -> None:
        self._stage, self._contact = stage, contact
        self._number = f"number-{salt}"  # one of our numbers, so that the same phone begins afresh in each transcript
        self._id = 0
        self._read = 0
        self._wamid = ""
        self.choices: dict[str, str] = {}
        self.last = ""
        self.heard = 0  # messages WhatsApp bills

    def says(self, content: Inbound) -> None:
        """The contact sends something; what comes back is in `last`."""
        self._wamid = f"wamid.{secrets.token_hex(8)}"
        received = Received(self._wamid, self._number, self._contact, content, clock.now())
        self._id = self._stage.hear(received) or self._id
        with self._stage.ledger.reading() as tx:
            said = [m for m in transcript.messages_of(tx, self._id) if m.author in {Author.BOT, Author.DESK}]
        fresh: list[Outbound] = [message.content for message in said[self._read :]]  # type: ignore[misc]
        self._read = len(said)
        self.heard = len(fresh)
        self.last = "\n\n".join(_read_aloud(answer) for answer in fresh)
        for answer in fresh:
            if isinstance(answer, Buttons | Menu):
                self.choices = {reply.title: reply.id for reply in answer.replies}

    def takes_back(self) -> None:
        """The contact takes back what they said last."""
        self._stage.forget(self._wamid)

    @property
    def remembered(self) -> list[str]:
        """What Rasa remembers that the contact said."""
        return self._stage.remembered(self.conversation.key)

    def does(self, what: str) -> Inbound:
        """Return what `sends: …` stands for."""
        if what.startswith("location"):
            latitude, longitude = what.removeprefix("location").split(",")
            return Place(float(latitude), float(longitude))
        return Media(kind=MEDIA[what], media_id="1", voice=what == "voice note")

    def taps(self, title: str) -> Inbound:
        """Return a tap on a choice that was offered last."""
        return Tap(self.choices[title], title)

    def says_words(self, words: str) -> Inbound:
        """Return free text."""
        return Text(words)

    def agent(self, what: str) -> None:
        """An agent takes the conversation, or gives it back."""
        key = self.conversation.key
        with self._stage.ledger.writing() as tx:
            if what == "takes":
                handoffs.take(tx, key, **AGENT, now=clock.now())
            else:
                handoffs.give_back(tx, key, agent_id=AGENT["agent_id"], words=None, now=clock.now())

    @property
    def uttered(self) -> list[str]:
        """What Rasa said to the last message, before it was made into messages; repeats are lost there."""
        return self._stage.uttered(self.conversation.key)

    @property
    def followed_rules(self) -> bool:
        """Whether all that Rasa did to the last message is what some rule says."""
        return not self._stage.resorted(self.conversation.key)

    @property
    def conversation(self) -> transcript.Conversation:
        """How the desk sees it."""
        with self._stage.ledger.reading() as tx:
            return transcript.conversation_by_id(tx, self._id)

    @property
    def holder(self) -> Holder:
        """Who may speak."""
        return self.conversation.holder


def _read_aloud(content: Outbound) -> str:
    choices = [f"[{reply.title}]" for reply in content.replies] if isinstance(content, Buttons | Menu) else []
    return " ".join([content.text, *choices])
