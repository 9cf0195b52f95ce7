"""The spine: signed body in → ledger → turn → outbox → Cloud API, with everything real but Rasa."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import requests
import sqlalchemy as sa
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy.exc import OperationalError

from bot import clock
from bot.ledger import alarms, handoffs, inbox, outbox, transcript
from bot.ledger.tables import deliveries, doors
from bot.ledger.transaction import Ledger
from bot.ledger.turns import Turn
from bot.messages import Text
from bot.settings import Settings
from bot.vocabulary import Author, Reason, Status
from connectors.whatsapp import door
from connectors.whatsapp.client import CloudApi
from connectors.whatsapp.door import Door
from connectors.whatsapp.sender import Sender, claim_one, send
from connectors.whatsapp.simulator.app import Simulator, serving
from connectors.whatsapp.turns import Answer, Turns
from tests.factories import MANNERS, NOW, NUMBER, a_text, says_only
from tests.parts import eventually, free_port

SECRET, TOKEN = "spine-secret", "spine-token"
MIA, SAM = "447700900101", "447700900102"


@dataclass
class Spine:
    """A business on its ledger: door, turns and sender, with an echo for a bot."""

    ledger: Ledger
    door_url: str
    simulator_url: str = ""
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
                tell=says_only("A person will be with you."), turn_id=turn.id, now=clock.now(),
            )  # fmt: skip

    def receive(self, body: bytes, signature: str) -> tuple[str, int]:
        """Bring a delivery; return what the door says to it."""
        answer = requests.post(self.door_url, data=body, headers={"X-Hub-Signature-256": signature}, timeout=10)
        return answer.text, answer.status_code

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


@contextmanager
def a_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def spine(ledger: Ledger) -> Iterator[Spine]:
    """A running business, and a simulator that writes to it."""
    settings = Settings(
        whatsapp_app_secrets=("an older secret", SECRET), whatsapp_phone_number_ids=(NUMBER,), whatsapp_verify_token="v"
    )
    runner = web.AppRunner(Door(settings, ledger).app())
    port = free_port()
    business = Spine(ledger, f"http://127.0.0.1:{port}{door.PATH}/webhook")
    turns = Turns(ledger, MANNERS, clock.now, business.bot)

    async def open_up() -> asyncio.Task[None]:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return asyncio.create_task(turns.work())

    async def shut(working: asyncio.Task[None]) -> None:
        await turns.stop(5)
        await working
        await runner.cleanup()

    simulator = Simulator((NUMBER,), SECRET, TOKEN, business.door_url)
    with a_loop() as loop, serving(simulator) as business.simulator_url:
        working = asyncio.run_coroutine_threadsafe(open_up(), loop).result(10)
        sender = Sender(ledger, CloudApi(business.simulator_url, "v25.0", TOKEN), clock.now)
        sending = threading.Thread(target=sender.run)
        sending.start()
        yield business
        business.go_on.set()
        asyncio.run_coroutine_threadsafe(shut(working), loop).result(10)
        sender.stop()
        sending.join()


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


def test_a_delivery_of_three_megabytes_is_taken_one_of_five_is_not(spine: Spine) -> None:
    def brought(size: int) -> int:
        body = b'{"x": "' + b"y" * size + b'"}'
        return spine.receive(body, "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest())[1]

    assert (brought(3 * 10**6), brought(5 * 10**6)) == (200, 413)


def test_when_nothing_that_comes_is_signed_somebody_is_told_until_something_is(ledger: Ledger) -> None:
    settings = Settings(whatsapp_app_secrets=(SECRET,), whatsapp_phone_number_ids=(NUMBER,))

    def alarms_now() -> list[str]:
        with ledger.reading() as tx:
            return [alarm.name for alarm in alarms.raised(tx)]

    async def story() -> None:
        opened = Door(settings, ledger)
        async with TestClient(TestServer(opened.app())) as meta:

            async def bring(signature: str) -> None:
                await meta.post(f"{door.PATH}/webhook", data=b"{}", headers={"X-Hub-Signature-256": signature})
                await opened._watch_signatures()

            for n in range(door.UNSIGNED_IN_A_ROW):
                assert alarms_now() == [], f"{n} strangers are nobody's matter"
                await bring("sha256=" + "0" * 64)
            assert alarms_now() == ["unsigned"]
            await bring("sha256=" + hmac.new(SECRET.encode(), b"{}", hashlib.sha256).hexdigest())
            assert "unsigned" not in alarms_now()

    asyncio.run(story())


def test_a_door_that_refuses_whatever_comes_does_not_count_as_open(ledger: Ledger) -> None:
    """A report is refused like anything else, so silence says nothing."""
    settings = Settings(whatsapp_app_secrets=(SECRET,), whatsapp_phone_number_ids=(NUMBER,))

    def was_seen() -> bool:
        with ledger.reading() as tx:
            return tx.execute(sa.select(doors.c.seen_at)).first() is not None

    async def story() -> None:
        opened = Door(settings, ledger)
        async with TestClient(TestServer(opened.app())) as meta:
            wrong = "sha256=" + "0" * 64
            for _ in range(door.UNSIGNED_IN_A_ROW):
                await meta.post(f"{door.PATH}/webhook", data=b"{}", headers={"X-Hub-Signature-256": wrong})
            await opened._say_open()
            assert not was_seen()
            good = "sha256=" + hmac.new(SECRET.encode(), b"{}", hashlib.sha256).hexdigest()
            await meta.post(f"{door.PATH}/webhook", data=b"{}", headers={"X-Hub-Signature-256": good})
            await opened._say_open()
            assert was_seen()

    asyncio.run(story())


def test_the_address_is_verified_by_the_token_only(spine: Spine) -> None:
    def asked(**query: str) -> tuple[int, str]:
        answer = requests.get(spine.door_url, params={f"hub.{name}": word for name, word in query.items()}, timeout=5)
        return answer.status_code, answer.text

    assert asked(mode="subscribe", verify_token="v", challenge="42") == (200, "42")
    assert asked(mode="subscribe", verify_token="w", challenge="42") == (403, "forbidden")
    assert asked() == (403, "forbidden")


def test_without_a_bot_the_door_is_open_but_not_ready(spine: Spine) -> None:
    answer = requests.get(spine.door_url.removesuffix("/webhook") + "/ready", timeout=10)
    assert (answer.status_code, answer.json()) == (503, {"model": False, "ledger": True})


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
        outgoing = claim_one(ledger, lambda: NOW)
        assert outgoing is not None and outgoing.id == message_id
        send(ledger, api, outgoing, lambda: NOW)
    with ledger.reading() as tx:
        assert transcript.messages_of(tx, conversation_id)[-1].status is Status.SENT
