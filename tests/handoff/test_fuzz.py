"""schemathesis reads our own description and sends whatever that allows, and what it does not: nothing breaks the API.

Always the same tries, eight of each call with what is allowed and as many with what is not; `BATON_FUZZ=500` tries so
many, and others each time.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bot.ledger.transaction import Ledger
from bot.settings import Settings
from bot.vocabulary import Happening, Role
from handoff import feed
from handoff.app import create_app
from handoff.openapi.document import OPERATIONS
from handoff.openapi.operation import Operation
from handoff.roles import Account, Scope
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.conftest import Api
from tests.handoff.test_guests import brought

ASKED = os.environ.get("BATON_FUZZ")
TRIES = int(ASKED or "8")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
QUIETLY = settings(
    max_examples=TRIES,
    derandomize=ASKED is None,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def tokens_of(ledger: Ledger, admin: Account) -> Iterator[str]:
    """The admin's, every other time; between them those of each scope, and of each role."""
    with ledger.writing() as tx:
        whole = seeding.agents.add_token(tx, admin.email, NOW)
        others = [seeding.agents.add_token(tx, admin.email, NOW, scopes=[scope]) for scope in Scope]
    others += [
        seeding.a_token(ledger, seeding.an_account(ledger, f"{role.value}2@fernhill.example", role), NOW)
        for role in Role
    ]
    return itertools.cycle(itertools.chain.from_iterable((whole, other) for other in [*others, "nonsense"]))


def a_hook(ada: Api) -> str:
    events = [one.value for one in Happening]
    return str(ada.post("/hooks", {"url": "https://bot.example/x", "events": events}).json["id"])


def seeded(ledger: Ledger, ada: Api) -> dict[str, str]:
    """A desk with somebody in every state; the ids one may ask for."""
    held = seeding.a_handoff(ledger, NOW)
    held.taken_by(ada.account)
    held.notes(ada.account, "known here")
    held.replies(ada.account, "Hello Mia")
    held.sent(refuse="not now")
    seeding.a_handoff(ledger, NOW, "Sam", "447700900102")
    seeding.a_conversation(ledger, NOW, "Kim", "447700900103")
    handoff = brought(ada, name="Joe")
    said = ada.get(f"/conversations/{held.key}/messages").json
    return {
        "key": held.key, "Messages": said[-1]["id"], "message_id": said[0]["id"], "delivery": "1", "call": "1",
        "Handoffs": handoff["id"], "Hooks": a_hook(ada),
    }  # fmt: skip


@dataclass
class Fuzzed:
    """One desk for all of it: what one call has done is what the next one finds."""

    app: Flask
    ada: Api
    known: dict[str, str]
    tokens: Iterator[str]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Fuzzed]:
    path = tmp_path_factory.mktemp("fuzz") / "desk.db"
    path.write_bytes(sqlite_template.read_bytes())
    ledger = Ledger(f"sqlite:///{path}")
    app = create_app(Settings(database_url=f"sqlite:///{path}"), now=lambda: NOW)
    admin = seeding.an_account(ledger, "ada@fernhill.example", Role.ADMIN)
    ada = Api(app.test_client(), admin, seeding.a_token(ledger, admin, NOW))
    yield Fuzzed(app, ada, seeded(ledger, ada), tokens_of(ledger, admin))
    with app.app_context():
        feed.feed().stop()
    ledger.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize("one", OPERATIONS, ids=lambda one: one.id)
def test_nothing_a_program_sends_breaks_the_api(fuzzed: Fuzzed, one: Operation, mode: GenerationMode) -> None:
    if mode is GenerationMode.NEGATIVE and not (one.body or one.query):
        return  # there is nothing about it that could be wrong
    known = fuzzed.known | {"id": fuzzed.known.get(one.tag, "1")}
    if one.method == "delete":
        known["id"] = a_hook(fuzzed.ada)
    numbers = itertools.count()
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", fuzzed.app)
    operation = schema[one.path][one.method.upper()]

    @QUIETLY
    @given(case=operation.as_strategy(generation_mode=mode))
    def tries(case: Case) -> None:
        if case.path_parameters and next(numbers) % 3:
            case.path_parameters = {name: known[name] for name in case.path_parameters}
        case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {next(fuzzed.tokens)}"})

    try:
        tries()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "of what is allowed there is always some"
