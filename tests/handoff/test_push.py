"""Browsers whose agent is away are told that somebody waits: once, sealed, signed by us, and nothing personal."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask.testing import FlaskClient
from py_vapid import Vapid02

from bot.ledger import teams
from bot.ledger.transaction import Ledger
from bot.vocabulary import Role
from handoff import looks, push
from handoff.push import BadBrowser, Browser
from handoff.pushing import Pushing
from handoff.roles import Account
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.conftest import Clock


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class Service:
    """A push service, and the browser behind it that can open what comes."""

    answer: int = 201
    told: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: os.urandom(16))
    url: str = ""

    def hear(self, body: bytes, headers: dict[str, str]) -> None:
        opened = http_ece.decrypt(body, private_key=self.key, auth_secret=self.auth, version="aes128gcm")
        self.told.append(json.loads(opened))
        self.headers.append({name.title(): value for name, value in headers.items()})

    def browser(self, name: str = "a") -> Browser:
        public = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return Browser(f"{self.url}/{name}", _base64(public), _base64(self.auth))


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if made.answer == 201:
                made.hear(body, dict(self.headers))
            self.send_response(made.answer)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Door)
    made.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


def subscribed(ledger: Ledger, account: Account, browser: Browser, clock: Clock) -> None:
    with ledger.writing() as tx:
        push.subscribe(tx, account, browser, clock())


def test_who_is_away_is_told_once_that_somebody_waits_and_only_the_browser_can_read_it(
    ledger: Ledger, service: Service, clock: Clock
) -> None:
    ann = seeding.an_account(ledger)
    subscribed(ledger, ann, service.browser(), clock)
    pushing = Pushing(ledger, clock)
    clock.forward(minutes=5)
    pushing.look()
    assert not service.told
    story = seeding.a_handoff(ledger, clock())
    clock.forward(minutes=2)
    pushing.look()
    pushing.look()
    assert service.told == [{"title": "Somebody waits for you", "body": "Somebody waits in the queue."}]
    assert story.contact.name not in json.dumps(service.told) + json.dumps(service.headers)
    _is_signed(ledger, service)
    clock.forward(minutes=5)
    pushing.look()
    assert len(service.told) == 1, "not again for the same"
    story.at = clock()
    story.taken_by(ann)
    story.says("are you there?", intent=None)
    clock.forward(minutes=10)
    pushing.look()
    assert service.told[1:] == [{"title": "Somebody waits for you", "body": "Somebody answered you."}]


def _is_signed(ledger: Ledger, service: Service) -> None:
    """The push service can tell that it was us: by the key the browser was given when it subscribed."""
    with ledger.writing() as tx:
        public = push.key(tx, NOW).public
    said = service.headers[0]["Authorization"]
    assert said.startswith("vapid t=") and said.endswith(f",k={public}")
    claims = json.loads(base64.urlsafe_b64decode(said.split(".")[1] + "=="))
    assert (claims["aud"], claims["sub"]) == (service.url, "mailto:ann@fernhill.example")
    assert Vapid02.verify(said)


def test_nobody_is_told_while_their_desk_is_open_or_their_team_is_at_home(
    ledger: Ledger, service: Service, clock: Clock
) -> None:
    ann = seeding.an_account(ledger)
    subscribed(ledger, ann, service.browser(), clock)
    pushing = Pushing(ledger, clock)
    clock.forward(minutes=5)
    with ledger.writing() as tx:
        looks.keep_open(tx, {ann.id}, clock() + timedelta(minutes=3))
    seeding.a_handoff(ledger, clock())
    clock.forward(minutes=2)
    pushing.look()
    assert not service.told
    clock.forward(minutes=2)
    pushing.look()
    assert not service.told, "she saw it while her desk was open"
    seeding.a_handoff(ledger, clock() + timedelta(minutes=6), "Tom", "447700900102")
    with ledger.writing() as tx:
        teams.change(tx, teams.FIRST, zone="UTC", week="Mon-Fri 1:00-2:00", exceptions="", within_min=15)
    clock.forward(minutes=8)
    pushing.look()
    assert not service.told, "it is a Sunday"
    with ledger.writing() as tx:
        teams.change(tx, teams.FIRST, zone="UTC", week="always", exceptions="", within_min=15)
    pushing.look()
    assert len(service.told) == 1


@pytest.mark.parametrize("answer", [404, 410])
def test_a_browser_that_is_gone_is_forgotten(quick_ledger: Ledger, service: Service, clock: Clock, answer: int) -> None:
    service.answer = answer
    subscribed(quick_ledger, seeding.an_account(quick_ledger), service.browser(), clock)
    seeding.a_handoff(quick_ledger, clock() + timedelta(minutes=5))
    clock.forward(minutes=6)
    Pushing(quick_ledger, clock).look()
    service.answer = 201
    clock.forward(minutes=10)
    Pushing(quick_ledger, clock).look()
    assert not service.told


@pytest.mark.parametrize("answer", [500, 429, 307])
def test_a_push_service_that_fails_is_tried_again_later_and_nothing_is_forgotten(
    quick_ledger: Ledger, service: Service, clock: Clock, answer: int
) -> None:
    service.answer = answer
    subscribed(quick_ledger, seeding.an_account(quick_ledger), service.browser(), clock)
    seeding.a_handoff(quick_ledger, clock() + timedelta(minutes=5))
    clock.forward(minutes=6)
    Pushing(quick_ledger, clock).look()
    service.answer = 201
    Pushing(quick_ledger, clock).look()
    assert not service.told, "not at once"
    clock.forward(minutes=6)
    Pushing(quick_ledger, clock).look()
    assert len(service.told) == 1


def test_our_key_is_made_once_whoever_asks_first(ledger: Ledger) -> None:
    def ask(_: int) -> str:
        with ledger.writing() as tx:
            return push.key(tx, NOW).public

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(ask, range(6)))) == 1


def test_only_services_that_browsers_use_are_called_and_only_with_real_keys(service: Service) -> None:
    good = Browser("https://fcm.googleapis.com/fcm/send/abc", service.browser().p256dh, service.browser().auth)
    assert push.from_browser(good) == good
    for endpoint in (
        "http://fcm.googleapis.com/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://127.0.0.1/x",
        "https://fcm.googleapis.com:8443/x",
        "",
    ):
        with pytest.raises(BadBrowser):
            push.from_browser(Browser(endpoint, good.p256dh, good.auth))
    with pytest.raises(BadBrowser):
        push.from_browser(Browser(good.endpoint, "AAAA", good.auth))


def test_an_agent_subscribes_and_ends_it_and_the_worker_is_ours(
    browser: FlaskClient, quick_ledger: Ledger, service: Service
) -> None:
    assert len(browser.get("/push").text) == 87
    good = {
        "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/abc",
        "p256dh": service.browser().p256dh,
        "auth": service.browser().auth,
    }
    for _ in range(2):
        assert browser.post("/push", data=good).status_code == 204
    seeding.a_handoff(quick_ledger, NOW + timedelta(minutes=5))
    with quick_ledger.reading() as tx:
        assert len(push.due(tx, NOW + timedelta(minutes=6))) == 1
    assert browser.post("/push", data=good | {"endpoint": "https://inside.example/"}).status_code == 422
    assert browser.post("/push/end", data=good).status_code == 204
    with quick_ledger.reading() as tx:
        assert not push.due(tx, NOW + timedelta(minutes=6))
    script = browser.get("/push-worker.js")
    assert (script.status_code, script.mimetype) == (200, "text/javascript")


def test_content_staff_are_told_of_mentions_only(ledger: Ledger, service: Service, clock: Clock) -> None:
    cleo = seeding.an_account(ledger, "cleo@fernhill.example", Role.CONTENT)
    ann = seeding.an_account(ledger)
    subscribed(ledger, cleo, service.browser(), clock)
    story = seeding.a_handoff(ledger, clock() + timedelta(minutes=5))
    clock.forward(minutes=6)
    Pushing(ledger, clock).look()
    assert not service.told
    story.at = clock()
    story.notes(ann, "@cleo, what do we say to this?")
    clock.forward(minutes=3)
    Pushing(ledger, clock).look()
    assert service.told == [{"title": "Somebody waits for you", "body": "A colleague mentioned you in a note."}]
