"""The desk under test: an app on a fresh database, a clock that stands still, somebody signed in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, sync_playwright
from werkzeug.serving import make_server

from bot.ledger.transaction import Ledger
from bot.settings import Settings
from bot.vocabulary import Role
from handoff import feed, passwords
from handoff.app import create_app
from handoff.roles import Account
from tests import parts
from tests.factories import NOW
from tests.handoff import described, seeding

OWN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Clock:
    """The only now() of a test."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **passed: float) -> None:
        self.now += timedelta(**passed)


@pytest.fixture(autouse=True, scope="session")
def quick_passwords() -> None:
    """Hashing is slow on purpose; not for hundreds of tests."""
    passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    passwords._nobody = passwords._hasher.hash("nobody")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(database_url: str, clock: Clock) -> Iterator[Flask]:
    made = create_app(Settings(database_url=database_url), now=clock)
    described.watch(made)
    yield made
    assert not made.extensions["undescribed"], "answers that handoff/openapi does not describe"
    with made.app_context():
        feed.feed().stop()


@pytest.fixture
def quick_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A fresh SQLite database, for what does not differ between the two."""
    path = tmp_path / "desk.db"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


@dataclass
class Api:
    """Somebody with a token."""

    client: FlaskClient
    account: Account
    token: str

    def get(self, path: str, **also):  # type: ignore[no-untyped-def]
        return self.client.get(f"/api/v1{path}", headers=self.headers(), **also)

    def post(self, path: str, json: object = None, key: str | None = None, **also):  # type: ignore[no-untyped-def]
        return self.client.post(f"/api/v1{path}", headers=self.headers(key), json=json, **also)

    def headers(self, key: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} | ({"Idempotency-Key": key} if key else {})


@pytest.fixture
def ann(app: Flask, ledger: Ledger) -> Api:
    return an_api(app, ledger, "ann@fernhill.example", Role.AGENT)


@pytest.fixture
def ben(app: Flask, ledger: Ledger) -> Api:
    return an_api(app, ledger, "ben@fernhill.example", Role.AGENT)


@pytest.fixture
def cleo(app: Flask, ledger: Ledger) -> Api:
    return an_api(app, ledger, "cleo@fernhill.example", Role.CONTENT)


@pytest.fixture
def sue(app: Flask, ledger: Ledger) -> Api:
    return an_api(app, ledger, "sue@fernhill.example", Role.SUPERVISOR)


@pytest.fixture
def ada(app: Flask, ledger: Ledger) -> Api:
    return an_api(app, ledger, "ada@fernhill.example", Role.ADMIN)


def an_api(app: Flask, ledger: Ledger, email: str, role: Role) -> Api:
    account = seeding.an_account(ledger, email, role)
    return Api(app.test_client(), account, seeding.a_token(ledger, account, NOW))


def signed_in(app: Flask, email: str, password: str) -> FlaskClient:
    """A browser that signed in; every request of it comes from our own pages."""
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    answer = client.post("/signin", data={"email": email, "password": password})
    assert answer.status_code == 303, answer.text
    return client


@pytest.fixture
def browser(quick_app: Flask, quick_ledger: Ledger) -> FlaskClient:
    """Ann's browser."""
    _, password = seeding.an_account_with_password(quick_ledger, "ann@fernhill.example", Role.AGENT, "Ann Lee")
    return signed_in(quick_app, "ann@fernhill.example", password)


@pytest.fixture
def quick_app(quick_url: str, clock: Clock) -> Iterator[Flask]:
    """An app on SQLite alone."""
    made = create_app(Settings(database_url=quick_url), now=clock)
    described.watch(made)
    yield made
    assert not made.extensions["undescribed"], "answers that handoff/openapi does not describe"
    with made.app_context():
        feed.feed().stop()


@pytest.fixture
def quick_ledger(quick_url: str) -> Iterator[Ledger]:
    found = Ledger(quick_url)
    yield found
    found.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = parts.chromium()
    if path is None:
        parts.skip("no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def base(quick_url: str) -> Iterator[str]:
    """The desk on a port, with the real clock."""
    app: Flask = create_app(Settings(database_url=quick_url))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True  # type: ignore[attr-defined]
    server.block_on_close = False  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    with app.app_context():
        feed.feed().stop()
    server.shutdown()
    server.server_close()
