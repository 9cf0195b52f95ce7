"""The description of the API and the API agree; people can read it, too."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from markupsafe import escape

from bot.ledger.transaction import Ledger
from bot.vocabulary import Role
from handoff import guard
from handoff.openapi.document import BASE, OPERATIONS, document
from handoff.openapi.schemas import SCHEMAS
from handoff.reference import EXAMPLES
from handoff.roles import Scope
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.described import broken, path_of

CALLS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


def test_every_call_is_described_and_nothing_else(quick_app: Flask) -> None:
    served = {
        (method.lower(), path_of(rule.rule))
        for rule in quick_app.url_map.iter_rules()
        if rule.rule.startswith(f"{BASE}/")
        for method in (rule.methods or set()) & CALLS
    }
    described = [(one.method, one.path) for one in OPERATIONS]
    assert sorted(described) == sorted(served)
    assert len({one.id for one in OPERATIONS}) == len(OPERATIONS)


def test_the_scope_that_is_described_is_the_one_that_is_asked_for(quick_app: Flask) -> None:
    asked: dict[tuple[str, str], Scope | None] = {}
    for rule in quick_app.url_map.iter_rules():
        view = quick_app.view_functions[rule.endpoint]
        for method in (rule.methods or set()) & CALLS:
            open_ = guard.mark_of(view) == guard.EVERYBODY
            asked[method.lower(), path_of(rule.rule)] = None if open_ else guard.scope_of(view, method)
    assert {(one.method, one.path): one.scope for one in OPERATIONS} == {
        (one.method, one.path): asked[one.method, one.path] for one in OPERATIONS
    }


def test_the_description_is_openapi_and_everybody_may_read_it(quick_app: Flask) -> None:
    answer = quick_app.test_client().get("/api/v1/openapi.json")
    assert (answer.status_code, answer.json["openapi"]) == (200, "3.1.0")
    assert answer.json["paths"] == document()["paths"]
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


def test_the_examples_are_what_the_schemas_take() -> None:
    for one in OPERATIONS:
        if one.body is not None:
            assert broken(one.body, EXAMPLES.get(one.id, {"text": "Hello"})) == "", one.id


def test_people_read_every_call_with_an_example(quick_app: Flask) -> None:
    page = quick_app.test_client().get("/api").text
    for one in OPERATIONS:
        assert f'id="{one.id}"' in page
        assert escape(one.summary) in page
    assert "curl" in page and "<script>" not in page


def a_token(ledger: Ledger, role: Role, *scopes: Scope) -> str:
    with ledger.writing() as tx:
        return seeding.agents.add_token(tx, "who@fernhill.example", NOW, scopes=scopes)


@pytest.mark.parametrize("scope", list(Scope))
def test_a_token_opens_what_its_scope_says_and_names_the_one_that_lacks(
    quick_app: Flask, quick_ledger: Ledger, scope: Scope
) -> None:
    seeding.an_account(quick_ledger, "who@fernhill.example", Role.ADMIN)
    token = a_token(quick_ledger, Role.ADMIN, scope)
    client: FlaskClient = quick_app.test_client()
    for one in OPERATIONS:
        path = one.path.replace("{message_id}", "1").replace("{", "").replace("}", "")
        headers = {"Authorization": f"Bearer {token}"}
        answer = client.open(f"{BASE}{path}", method=one.method.upper(), headers=headers, json={})
        lacks = answer.status_code == 403 and answer.json["error"] == "scope_missing"
        assert lacks == (one.scope is not None and one.scope is not scope), one.id
        if lacks:
            assert f"the scope {one.scope.value}" in answer.json["message"]  # type: ignore[union-attr]


def test_a_scope_gives_no_more_than_the_role_has(quick_app: Flask, quick_ledger: Ledger) -> None:
    seeding.an_account(quick_ledger, "who@fernhill.example", Role.AGENT)
    token = a_token(quick_ledger, Role.AGENT, Scope.ADMIN, Scope.WEBHOOKS)
    for path in ("/updates", "/hooks"):
        answer = quick_app.test_client().get(f"{BASE}{path}", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json["error"]) == (403, "role_forbids")
