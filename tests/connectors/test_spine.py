"""The spine: signed body in → ledger → turn → outbox → Cloud API, with everything real but Rasa."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import requests
import sqlalchemy as sa
from flask import Flask, request
from sqlalchemy.exc import OperationalError
from werkzeug.serving import make_server

from bot import clock
from bot.ledger import handoffs, inbox, outbox, transcript
from bot.ledger.tables import deliveries
from bot.ledger.transaction import Ledger
from bot.ledger.turns import Turn
from bot.messages import Text
from bot.vocabulary import Author, Reason, Status
from connectors.whatsapp import webhook
from connectors.whatsapp.client import CloudApi
from connectors.whatsapp.sender import Sender, claim_one, send
from connectors.whatsapp.simulator.app import Simulator, serving
from connectors.whatsapp.turns import Answer, Turns
from tests.factories import MANNERS, NOW, NUMBER, a_text
from tests.parts import eventually

SECRET, TOKEN = "spine-secret", "spine-token"
MIA, SAM = "447700900101", "447700900102"


@dataclass
class Spine:
    """A business on its ledger: webhook, turns and sender, with an echo for a bot."""

    ledger: Ledger
    simulator_url: str
    turns: Turns
    loop: asyncio.AbstractEventLoop
    thinking: threading.Event = field(default_factory=threading.Event)  # the bot has begun a slow thought
    go_on: threading.Event = field(default_factory=threading.Event)

    async def bot(self, turn: Turn) -> Answer:
        """Echo; think slowly when asked to; hand off when asked for a person."""
        words = turn.words
        wants_person = words.startswith("a person")
        if wants_person:
            await asyncio.to_thread(self.hand_off, turn)
        if "slowly" in words:
            self.thinking.set()
            await asyncio.to_thread(self.go_on.wait, 10)
        return Answer() if wants_person else Answer([Text(f"echo {words}")])

    def hand_off(self, turn: Turn) -> None:
        with self.ledger.writing() as tx:
            handoffs.hand_off(
                tx, turn.key, reason=Reason.ASKED, wish=turn.words, slots={},
                words=Text("A person will be with you."), turn_id=turn.id, now=clock.now(),
            )  # fmt: skip

    def receive(self, body: bytes, signature: str | None) -> tuple[str, int]:
        if not webhook.is_signed(body, signature, (SECRET,)):
            return "signature", 401
        with self.ledger.writing() as tx:
            waiting = inbox.record(tx, body, webhook.read(body, (NUMBER,)), clock.now())
        for conversation_id in waiting:
            self.loop.call_soon_threadsafe(self.turns.wake, conversation_id, self.bot)
        return "ok", 200

    def says(self, phone: str, words: str) -> None:
        requests.post(f"{self.simulator_url}/api/contacts/{phone}/messages", json={"text": words}, timeout=5)

    def heard_by(self, phone: str) -> list[str]:
        """Return what the contact's phone got from us, in its order."""
        found = requests.get(f"{self.simulator_url}/api/messages", params={"phone": phone}, timeout=5).json()
        return [message["text"] for message in found if message["direction"] == "out"]

    def hears(self, phone: str, *words: str, within_s: float = 10) -> bool:
        return bool(eventually(lambda: self.heard_by(phone) == list(words), within_s))

    def recorded(self, phone: str) -> int:
        """Return how many messages of both sides the ledger has."""
        with self.ledger.reading() as tx:
            return len(transcript.messages_of(tx, transcript.conversation(tx, self.key_of(phone)).id))

    def key_of(self, phone: str) -> str:
        with self.ledger.reading() as tx:
            return next(found.key for found in transcript.list_of(tx) if found.contact.phone == phone)

    def take(self, phone: str) -> None:
        with self.ledger.writing() as tx:
            handoffs.take(tx, self.key_of(phone), agent_id=1, agent_name="Ann", now=clock.now())

    def give_back(self, phone: str) -> None:
        with self.ledger.writing() as tx:
            handoffs.give_back(tx, self.key_of(phone), agent_id=1, words=None, now=clock.now())


@pytest.fixture
def spine(ledger: Ledger) -> Iterator[Spine]:
    """A running business, and a simulator that writes to it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    app = Flask("business")
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    simulator = Simulator((NUMBER,), SECRET, TOKEN, f"http://127.0.0.1:{server.server_port}/webhook")
    with serving(simulator) as url:
        turns = Turns(ledger, MANNERS, clock.now)
        business = Spine(ledger, url, turns, loop)

        @app.post("/webhook")
        def receive() -> tuple[str, int]:
            return business.receive(request.get_data(), request.headers.get("X-Hub-Signature-256"))

        sender = Sender(ledger, CloudApi(url, "v25.0", TOKEN), clock.now)
        sending = threading.Thread(target=sender.run)
        sending.start()
        yield business
        business.go_on.set()
        asyncio.run_coroutine_threadsafe(turns.stop(5), loop).result(10)
        sender.stop()
        sending.join()
    server.shutdown()
    server.server_close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_what_a_contact_writes_is_answered(spine: Spine) -> None:
    spine.says(MIA, "café 😀")
    assert spine.hears(MIA, "echo café 😀")


def test_several_contacts_are_answered_each_in_their_order(spine: Spine) -> None:
    for n in range(5):
        spine.says(MIA, f"m{n}")
        spine.says(SAM, f"s{n}")
    for phone, name in ((MIA, "m"), (SAM, "s")):  # what was written while the bot thought is answered together
        expected = [f"{name}{n}" for n in range(5)]
        assert eventually(lambda phone=phone, last=expected[-1]: last in " ".join(spine.heard_by(phone)))
        assert " ".join(spine.heard_by(phone)).replace("echo ", "").split() == expected


def test_ticks_climb_to_delivered(spine: Spine) -> None:
    spine.says(MIA, "hello")
    assert spine.hears(MIA, "echo hello")

    def ticks() -> bool:
        with spine.ledger.reading() as tx:
            (conversation,) = transcript.list_of(tx)
            return transcript.messages_of(tx, conversation.id)[-1].status is Status.DELIVERED

    assert eventually(ticks)


def test_a_delivery_repeated_at_once_and_later_is_answered_once(spine: Spine) -> None:
    spine.says(MIA, "hello")
    assert spine.hears(MIA, "echo hello")
    with spine.ledger.reading() as tx:
        body = bytes(tx.execute(sa.select(deliveries.c.body).order_by(deliveries.c.id).limit(1)).scalar_one())
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: spine.receive(body, signature), range(6)))
    assert answers == [("ok", 200)] * 6
    spine.says(MIA, "and now?")
    assert spine.hears(MIA, "echo hello", "echo and now?")


def test_a_delivery_that_nobody_signed_is_refused(spine: Spine) -> None:
    assert spine.receive(b"{}", "sha256=" + "0" * 64) == ("signature", 401)


def test_a_bot_that_thinks_slowly_is_silent_once_a_person_has_taken_over(spine: Spine) -> None:
    spine.says(MIA, "hello")
    assert spine.hears(MIA, "echo hello")
    spine.says(MIA, "slowly now")
    assert spine.thinking.wait(10)
    spine.take(MIA)
    for n in range(3):
        spine.says(MIA, f"to a person {n}")
    assert eventually(lambda: spine.recorded(MIA) == 6)
    spine.give_back(MIA)
    spine.go_on.set()
    spine.says(MIA, "hello again")
    assert spine.hears(MIA, "echo hello", "echo hello again")


def test_the_hand_offs_sentence_arrives_even_when_an_agent_is_quicker_than_the_turn(spine: Spine) -> None:
    spine.says(MIA, "a person, then think slowly")
    assert spine.thinking.wait(10)
    spine.take(MIA)
    spine.go_on.set()
    assert spine.hears(MIA, "A person will be with you.")


def test_an_outcome_that_could_not_be_written_down_is_not_forgotten(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meta said yes, the database hiccuped: sending the message again would be twice."""
    with ledger.writing() as tx:
        (conversation_id,) = inbox.record(tx, b"{}", [a_text()], NOW)
        message_id = outbox.queue(tx, conversation_id, Text("once"), author=Author.BOT, now=NOW)
    settle, failures = outbox.settle, iter([1, 2])

    def hiccups(*arguments: object, **more: object) -> None:
        if next(failures, None):
            raise OperationalError("hiccup", None, Exception("hiccup"))
        settle(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(outbox, "settle", hiccups)
    simulator = Simulator((NUMBER,), SECRET, TOKEN, "http://127.0.0.1:9/webhook")
    with serving(simulator) as url:
        requests.post(f"{url}/api/contacts/{MIA}/messages", json={"text": "hi"}, timeout=5)
        api = CloudApi(url, "v25.0", TOKEN)
        outgoing = claim_one(ledger, clock.now)
        assert outgoing is not None and outgoing.id == message_id
        send(ledger, api, outgoing, clock.now)
    with ledger.reading() as tx:
        assert transcript.messages_of(tx, conversation_id)[-1].status is Status.SENT
