"""Accounts, sessions and passwords."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from bot.ledger.transaction import Ledger
from bot.vocabulary import Role
from handoff import agents, entry, passwords, sessions
from handoff.agents import AccountExists
from handoff.entry import WrongPassword
from handoff.passwords import WeakPassword
from handoff.sessions import From, TooManyTries
from tests.factories import NOW, later
from tests.handoff import seeding
from tests.handoff.conftest import Clock, signed_in

EMAIL = "ann@fernhill.example"


def test_a_password_is_strong_and_kept_only_as_a_hash(ledger: Ledger) -> None:
    _, password = seeding.an_account_with_password(ledger)
    assert len(password) >= 20
    with ledger.reading() as tx:
        kept = " ".join(str(row) for row in tx.execute(sa.text("SELECT * FROM accounts")))
    assert "$argon2id$" in kept
    assert password not in kept


def test_an_email_is_one_account_however_it_is_written(ledger: Ledger) -> None:
    seeding.an_account(ledger, EMAIL)
    with pytest.raises(AccountExists), ledger.writing() as tx:
        agents.add(tx, " ANN@Fernhill.example ", Role.ADMIN, "", keep_password=True, now=NOW)


def test_eight_wrong_tries_close_the_door_for_a_while_even_to_the_right_password(ledger: Ledger) -> None:
    _, password = seeding.an_account_with_password(ledger)
    for _ in range(8):
        with pytest.raises(WrongPassword):
            entry.sign_in(ledger, EMAIL, "wrong", came=From("1"), now=NOW)
    with pytest.raises(TooManyTries, match="15 minutes"):
        entry.sign_in(ledger, EMAIL, password, came=From("2"), now=NOW)
    assert entry.sign_in(ledger, EMAIL, password, came=From("1"), now=later(15 * 60 + 1)).account.email == EMAIL


def test_guesses_made_at_once_are_counted_too(ledger: Ledger) -> None:
    seeding.an_account(ledger)

    def guess(n: int) -> str:
        try:
            entry.sign_in(ledger, EMAIL, f"guess {n}", came=From("1"), now=NOW)
        except (WrongPassword, TooManyTries) as error:
            return type(error).__name__
        return "in"

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(guess, range(24)))
    assert answers.count("WrongPassword") <= 8 + (0 if ledger.is_sqlite else 16)
    assert "in" not in answers


def test_one_address_can_not_try_every_account(ledger: Ledger) -> None:
    for n in range(sessions.TRIES_PER_ADDRESS):
        with pytest.raises(WrongPassword):
            entry.sign_in(ledger, f"nobody{n}@fernhill.example", "x", came=From("6.6.6.6"), now=NOW)
    with pytest.raises(TooManyTries):
        entry.sign_in(ledger, "another@fernhill.example", "x", came=From("6.6.6.6"), now=NOW)


def test_signing_in_forgets_the_wrong_tries(ledger: Ledger) -> None:
    _, password = seeding.an_account_with_password(ledger)
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(WrongPassword):
                entry.sign_in(ledger, EMAIL, "wrong", came=From("1"), now=NOW)
        entry.sign_in(ledger, EMAIL, password, came=From("1"), now=NOW)


def test_a_generated_password_must_be_changed_before_anything_else(quick_app: Flask, quick_ledger: Ledger) -> None:
    _, password = seeding.an_account_with_password(quick_ledger, keep=False)
    client = signed_in(quick_app, EMAIL, password)
    assert client.get("/").headers["Location"] == "/password"
    assert client.get("/list", headers={"HX-Request": "true"}).headers["HX-Redirect"] == "/password"
    assert "Choose a password of your own" in client.get("/password").text
    mistakes = {
        ("wrong", "a good long one"): "present password",
        (password, "short"): "at least 10",
        (password, password): "one you have",
    }
    for (old, new), sentence in mistakes.items():
        answer = client.post("/password", data={"old": old, "new": new, "again": new})
        assert (answer.status_code, sentence in answer.text) == (400, True)
    differ = client.post("/password", data={"old": password, "new": "a good long one", "again": "another long one"})
    assert "differ" in differ.text
    client.post("/password", data={"old": password, "new": "a good long one", "again": "a good long one"})
    assert client.get("/").status_code == 200
    assert signed_in(quick_app, EMAIL, "a good long one").get("/").status_code == 200


@pytest.mark.parametrize("new", ["123", "aaaaaaaaaaaa", "ann-ann-ann-1", "x" * 201])
def test_what_is_guessed_first_is_no_password(new: str) -> None:
    with pytest.raises(WeakPassword):
        passwords.require_strong(new, old="something else", email=EMAIL)


def test_changing_the_password_signs_out_everywhere_else(quick_app: Flask, quick_ledger: Ledger) -> None:
    _, password = seeding.an_account_with_password(quick_ledger)
    here, there = signed_in(quick_app, EMAIL, password), signed_in(quick_app, EMAIL, password)
    here.post("/password", data={"old": password, "new": "a good long one", "again": "a good long one"})
    assert here.get("/").status_code == 200
    assert there.get("/").headers["Location"].startswith("/signin")


def test_a_session_idles_out_but_not_because_the_page_looks_by_itself(browser: FlaskClient, clock: Clock) -> None:
    for _ in range(3):
        clock.forward(hours=5)
        assert browser.get("/").status_code == 200  # somebody works
    for _ in range(2):
        clock.forward(hours=5)
        assert browser.get("/list").status_code == 200  # only the tab does
    clock.forward(hours=5)
    assert browser.get("/list").status_code == 303


def test_a_session_ends_after_a_week_however_busy(browser: FlaskClient, clock: Clock) -> None:
    for _ in range(17):
        clock.forward(hours=10)
        last = browser.get("/").status_code
    assert last == 303


def test_signing_out_ends_the_session_in_the_database(browser: FlaskClient, quick_ledger: Ledger) -> None:
    browser.post("/signout")
    with quick_ledger.reading() as tx:
        assert tx.execute(sa.text("SELECT count(*) FROM sessions")).scalar() == 0


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(quick_app: Flask, quick_ledger: Ledger) -> None:
    _, password = seeding.an_account_with_password(quick_ledger)
    for base, secure in (("http://desk.example", False), ("https://desk.example", True)):
        answer = quick_app.test_client().post(
            "/signin",
            data={"email": EMAIL, "password": password},
            base_url=base,
            headers={"Sec-Fetch-Site": "same-origin"},
        )
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and ("Secure" in cookie) is secure


def test_a_disabled_account_is_out_at_once(browser: FlaskClient, quick_ledger: Ledger) -> None:
    with quick_ledger.writing() as tx:
        agents.disable(tx, EMAIL, NOW)
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize(
    "where",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "//[", "///evil.example"],
)
def test_signing_in_never_leads_to_another_site(quick_app: Flask, quick_ledger: Ledger, where: str) -> None:
    seeding.an_account(quick_ledger)
    page = quick_app.test_client().get("/signin", query_string={"next": where}).text
    assert 'name="next" value="/"' in page
