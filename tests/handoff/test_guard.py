"""Nobody comes in who should not: marks, roles, other sites, headers."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bot.ledger.transaction import Ledger
from bot.vocabulary import Role
from handoff import guard
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.conftest import signed_in

OPEN = {"static", "signin.page", "signin.sign_in", "signin.code", "signin.give_code", "setup.page", "setup.set_up",
        "health.health", "api.openapi", "reference.page"}  # fmt: skip
NEWCOMERS = {"signin.password", "signin.change_password", "signin.sign_out", "account.factor", "account.confirm"}


def test_every_view_is_guarded_and_only_the_door_is_open(quick_app: Flask) -> None:
    marks = {name: guard.mark_of(view) for name, view in quick_app.view_functions.items()}
    assert None not in marks.values()
    assert {name for name, mark in marks.items() if mark == guard.EVERYBODY} == OPEN
    assert {name for name, mark in marks.items() if mark == guard.NEWCOMERS} == NEWCOMERS
    tokens = {name for name, mark in marks.items() if mark == guard.TOKENS}
    assert tokens == {name for name in marks if name.startswith("api.")} - OPEN


def test_a_view_without_a_mark_does_not_run(quick_app: Flask) -> None:
    quick_app._got_first_request = False
    quick_app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    answer = quick_app.test_client().get("/forgotten")
    assert (answer.status_code, "secret" in answer.text) == (500, False)


def test_strangers_see_the_door_and_nothing_else(quick_app: Flask) -> None:
    client = quick_app.test_client()
    for path in (
        "/",
        "/list",
        "/alarms",
        "/live",
        "/password",
        "/conversations/x",
        "/conversations/x/live",
        "/updates",
    ):
        assert client.get(path).headers["Location"].startswith("/signin"), path
    assert client.get("/conversations/x?show=mine").headers["Location"] == "/signin?next=/conversations/x?show%3Dmine"
    for verb in ("take", "reply", "note", "requeue", "give_back"):
        answer = client.post(f"/conversations/x/{verb}", headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.headers["Location"].startswith("/signin")


ALLOWED = {
    Role.AGENT: {"take", "reply", "note", "requeue", "give_back"},
    Role.SUPERVISOR: {"take", "reply", "note", "requeue", "give_back"},
    Role.ADMIN: {"take", "reply", "note", "requeue", "give_back"},
    Role.CONTENT: {"note"},
}


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_do_what_the_table_says(quick_app: Flask, quick_ledger: Ledger, role: Role) -> None:
    _, password = seeding.an_account_with_password(quick_ledger, "who@fernhill.example", role)
    client = signed_in(quick_app, "who@fernhill.example", password)
    key = seeding.a_handoff(quick_ledger, NOW).key
    assert client.get(f"/conversations/{key}").status_code == 200
    done = set()
    for verb in ("take", "reply", "note", "requeue", "take", "give_back"):
        answer = client.post(f"/conversations/{key}/{verb}", data={"text": "hi"}, headers={"HX-Request": "true"})
        assert answer.status_code in (200, 403)
        done |= {verb} if answer.status_code == 200 else set()
    assert done == ALLOWED[role]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
        ({"Origin": "http://localhost"}, 303),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
def test_other_sites_can_not_make_a_browser_act(
    quick_app: Flask, quick_ledger: Ledger, headers: dict[str, str], status: int
) -> None:
    _, password = seeding.an_account_with_password(quick_ledger)
    client: FlaskClient = signed_in(quick_app, "ann@fernhill.example", password)
    key = seeding.a_handoff(quick_ledger, NOW).key
    del client.environ_base["HTTP_SEC_FETCH_SITE"]
    assert client.post(f"/conversations/{key}/take", headers=headers).status_code == status


def test_a_token_opens_no_page_and_a_session_no_api(quick_app: Flask, quick_ledger: Ledger) -> None:
    account, password = seeding.an_account_with_password(quick_ledger)
    token = seeding.a_token(quick_ledger, account, NOW)
    assert quick_app.test_client().get("/", headers={"Authorization": f"Bearer {token}"}).status_code == 303
    assert signed_in(quick_app, account.email, password).get("/api/v1/conversations").status_code == 401


def test_no_page_may_run_what_is_not_ours(quick_app: Flask) -> None:
    headers = quick_app.test_client().get("/signin").headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
