"""The second factor: asked for after the password, good once, and never the end of who lost their phone."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pyotp
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from bot.errors import BotError
from bot.ledger.transaction import Ledger
from bot.vocabulary import Role
from handoff import agents, entry, second
from handoff.entry import TooLate
from handoff.second import WrongCode
from handoff.sessions import From, TooManyTries
from tests.factories import NOW, later
from tests.handoff import seeding
from tests.handoff.conftest import Clock, signed_in

EVE = "eve@fernhill.example"
HERE = From("1.2.3.4", "curl")


class Phone:
    """Somebody with a second factor, and the app that has it."""

    def __init__(self, ledger: Ledger, role: Role = Role.AGENT) -> None:
        self.ledger = ledger
        self.account, self.password = seeding.an_account_with_password(ledger, EVE, role)
        with ledger.writing() as tx:
            self.app = pyotp.TOTP(second.pending(tx, self.account, issuer="x", now=NOW).secret.replace(" ", ""))
            self.recovery = second.confirm(tx, self.account, self.shows(later(-60)), later(-60))

    def shows(self, at: datetime) -> str:
        return self.app.at(at)

    def half(self, now: datetime = NOW) -> str:
        """The password was right."""
        session = entry.sign_in(self.ledger, EVE, self.password, came=HERE, now=now)
        assert session.awaits_code
        return session.cookie

    def gives(self, code: str, now: datetime = NOW) -> bool:
        try:
            return not entry.give_code(self.ledger, self.half(now), code, came=HERE, now=now).awaits_code
        except WrongCode:
            return False


def test_the_password_alone_opens_no_page(quick_app: Flask, quick_ledger: Ledger, clock: Clock) -> None:
    phone = Phone(quick_ledger)
    client = quick_app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    form = {"email": EVE, "password": phone.password, "next": "/account"}
    assert client.post("/signin", data=form).headers["Location"] == "/signin/code?next=/account"
    assert client.get("/").headers["Location"].startswith("/signin")
    half = signed_in(quick_app, EVE, phone.password)
    assert half.post("/signin/code", data={"code": "000000"}).status_code == 401
    answer = half.post("/signin/code", data={"code": phone.shows(clock()), "next": "/account"})
    assert answer.headers["Location"] == "/account"
    assert half.get("/account").status_code == 200


def test_a_code_is_good_for_half_a_minute_either_way_and_only_once(ledger: Ledger) -> None:
    phone = Phone(ledger)
    assert not phone.gives(phone.shows(later(-61)))
    assert not phone.gives(phone.shows(later(61)))
    assert phone.gives(phone.shows(NOW))
    assert not phone.gives(phone.shows(NOW))
    assert not phone.gives(phone.shows(later(-30))), "an older one than the last is no good either"
    assert phone.gives(phone.shows(later(30)))


def test_the_code_that_was_shown_to_set_it_up_does_not_sign_in(ledger: Ledger) -> None:
    phone = Phone(ledger)
    assert not phone.gives(phone.shows(later(-60)), later(-55))


def test_of_two_who_give_the_same_code_at_once_one_comes_in(ledger: Ledger) -> None:
    phone = Phone(ledger)
    cookies = [phone.half() for _ in range(4)]

    def give(cookie: str) -> bool:
        try:
            return bool(entry.give_code(ledger, cookie, phone.shows(NOW), came=HERE, now=NOW))
        except BotError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(give, cookies)) == 1


def test_a_recovery_code_lets_in_once_however_it_is_typed(ledger: Ledger) -> None:
    phone = Phone(ledger)
    assert len(set(phone.recovery)) == second.RECOVERY_CODES
    assert phone.gives(phone.recovery[0].upper().replace("-", " "))
    assert not phone.gives(phone.recovery[0])
    with ledger.reading() as tx:
        kept = str(tx.execute(sa.text("SELECT * FROM recovery_codes")).all())
    assert not any(code in kept for code in phone.recovery)


def test_who_has_the_password_can_not_guess_codes_for_long(ledger: Ledger) -> None:
    phone = Phone(ledger)
    tried = 0
    with pytest.raises(TooManyTries):
        for _ in range(20):
            assert not phone.gives("123456")  # with the password again each time, which must not open the door
            tried += 1
    assert tried <= 4
    with pytest.raises(TooManyTries):
        phone.half(later(60))


def test_a_half_session_ends_after_ten_minutes(ledger: Ledger) -> None:
    phone = Phone(ledger)
    cookie = phone.half()
    with pytest.raises(TooLate):
        entry.give_code(ledger, cookie, phone.shows(later(601)), came=HERE, now=later(601))


def test_it_is_set_up_on_the_page_and_taken_away_with_the_password(browser: FlaskClient, clock: Clock) -> None:
    page = browser.get("/account/factor").text
    secret = re.findall(r'class="key">([A-Z2-7 ]+)<', page)[0]
    assert "<svg" in page and "style=" not in page
    assert secret in browser.get("/account/factor").text, "a reload shows the same"
    assert browser.post("/account/factor", data={"code": "000000"}).status_code == 400
    on = browser.post("/account/factor", data={"code": pyotp.TOTP(secret.replace(" ", "")).at(clock())})
    codes = re.findall(r"<li><code>([a-z0-9-]+)</code>", on.text)
    assert len(codes) == second.RECOVERY_CODES
    assert secret not in browser.get("/account/factor").text
    assert browser.post("/account/factor/remove", data={"password": "wrong"}).status_code == 400
    assert "8 recovery codes left" in browser.get("/account").text


def test_turning_it_on_signs_out_elsewhere(quick_app: Flask, quick_ledger: Ledger, clock: Clock) -> None:
    _, password = seeding.an_account_with_password(quick_ledger, EVE)
    here, there = signed_in(quick_app, EVE, password), signed_in(quick_app, EVE, password)
    secret = re.findall(r'class="key">([A-Z2-7 ]+)<', here.get("/account/factor").text)[0].replace(" ", "")
    here.post("/account/factor", data={"code": pyotp.TOTP(secret).at(clock())})
    assert [here.get("/").status_code, there.get("/").status_code] == [200, 303]
    here.post("/account/factor/remove", data={"password": password})
    assert signed_in(quick_app, EVE, password).get("/").status_code == 200, "the password alone is enough again"


def test_a_role_that_must_have_one_sets_it_up_before_anything_else(
    quick_app: Flask, quick_ledger: Ledger, clock: Clock
) -> None:
    _, password = seeding.an_account_with_password(quick_ledger, EVE)
    client = signed_in(quick_app, EVE, password)
    with quick_ledger.writing() as tx:
        second.require_for(tx, {Role.AGENT}, None, NOW)
    assert client.get("/").headers["Location"] == "/account/factor"
    page = client.get("/account/factor").text
    assert "As agent you need one" in page
    secret = re.findall(r'class="key">([A-Z2-7 ]+)<', page)[0].replace(" ", "")
    client.post("/account/factor", data={"code": pyotp.TOTP(secret).at(clock())})
    assert client.get("/").status_code == 200


def test_who_lost_phone_and_codes_is_let_in_by_an_admin(quick_app: Flask, quick_ledger: Ledger) -> None:
    phone = Phone(quick_ledger)
    _, password = seeding.an_account_with_password(quick_ledger, "ada@fernhill.example", Role.ADMIN)
    admin = signed_in(quick_app, "ada@fernhill.example", password)
    assert "Remove second step" in admin.get(f"/accounts/{phone.account.id}").text
    admin.post(f"/accounts/{phone.account.id}/factor")
    assert signed_in(quick_app, EVE, phone.password).get("/").status_code == 200


def test_a_disabled_account_gets_no_further_with_a_code(ledger: Ledger) -> None:
    phone = Phone(ledger)
    cookie = phone.half()
    with ledger.writing() as tx:
        agents.disable(tx, EVE, NOW)
    with pytest.raises(TooLate):
        entry.give_code(ledger, cookie, phone.shows(NOW), came=HERE, now=NOW)
