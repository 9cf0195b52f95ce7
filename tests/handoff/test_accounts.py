"""Accounts as people meet them: the first set-up, colleagues added and ended, roles, where one is signed in."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from bot.errors import BotError
from bot.ledger import teams, transcript
from bot.ledger.transaction import Ledger
from bot.vocabulary import Holder, Role
from handoff import agents, browsers, entry, guard
from handoff.acts import ACTS, Act
from handoff.agents import LastAdmin, NotYourself
from handoff.entry import First, SetUpAlready, WrongSetupCode
from handoff.sessions import From
from tests.factories import NOW, later
from tests.handoff import seeding
from tests.handoff.conftest import OWN, Clock, signed_in

ADA, SUE, EVE = "ada@fernhill.example", "sue@fernhill.example", "eve@fernhill.example"
FIRST = First(ADA, "Ada Kim", "seven green bottles", "Europe/London", "Mon-Fri 9:00-17:00")
FORM = {"email": ADA, "name": "Ada Kim", "password": FIRST.password, "again": FIRST.password, "zone": "Europe/London",
        "hours": "Mon-Fri 9:00-17:00"}  # fmt: skip


@pytest.fixture
def admin(quick_app: Flask, quick_ledger: Ledger) -> FlaskClient:
    _, password = seeding.an_account_with_password(quick_ledger, ADA, Role.ADMIN, "Ada Kim")
    return signed_in(quick_app, ADA, password)


def a_setup_code(ledger: Ledger) -> str:
    with ledger.writing() as tx:
        return entry.new_setup_code(tx, NOW)


def role_of(ledger: Ledger, email: str) -> Role:
    with ledger.reading() as tx:
        return agents.by_email(tx, email).role


def test_a_new_desk_is_set_up_by_who_has_the_code_and_only_once(quick_app: Flask, quick_ledger: Ledger) -> None:
    client = quick_app.test_client()
    assert client.get("/", follow_redirects=True).request.path == "/setup"
    code = a_setup_code(quick_ledger)
    assert client.post("/setup", data=FORM | {"code": "guessed"}, headers=OWN).status_code == 403
    assert client.post("/setup", data=FORM | {"code": code, "again": "x"}, headers=OWN).status_code == 400
    wrong = client.post("/setup", data=FORM | {"code": code, "hours": "nine to five"}, headers=OWN)
    assert (wrong.status_code, "Mon-Fri 9:00-17:30" in wrong.text, 'value="Ada Kim"' in wrong.text) == (400, True, True)
    client.post("/setup", data=FORM | {"code": f" {code.upper()} "}, headers=OWN)
    assert "Ada Kim" in client.get("/").text
    assert [client.get("/setup").status_code, client.post("/setup", data=FORM, headers=OWN).status_code] == [404, 404]
    with quick_ledger.reading() as tx:
        assert teams.team(tx).week == "Mon-Fri 9:00-17:00"
    with pytest.raises(SetUpAlready), quick_ledger.writing() as tx:
        entry.new_setup_code(tx, NOW)


def test_a_set_up_code_is_good_for_a_day_and_the_newest_alone(ledger: Ledger) -> None:
    old, new = a_setup_code(ledger), a_setup_code(ledger)
    for code, now in ((old, NOW), (new, later(24 * 3600 + 1))):
        with pytest.raises(WrongSetupCode):
            entry.set_up(ledger, code, FIRST, came=From("1"), now=now)
    assert entry.set_up(ledger, new, FIRST, came=From("1"), now=NOW).account.role is Role.ADMIN


def test_of_two_who_set_up_at_once_one_is_the_admin(ledger: Ledger) -> None:
    code = a_setup_code(ledger)

    def try_it(n: int) -> str:
        first = First(f"ada{n}@fernhill.example", "Ada", FIRST.password, "UTC", "always")
        try:
            return entry.set_up(ledger, code, first, came=From("1"), now=NOW).account.email
        except BotError as error:
            return type(error).__name__

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(try_it, range(4)))
    assert told.count("SetUpAlready") == 3, told


def test_an_admin_adds_a_colleague_whose_password_is_shown_once(quick_app: Flask, admin: FlaskClient) -> None:
    answer = admin.post("/accounts", data={"email": EVE, "name": "Eve Moss", "role": "supervisor"})
    found = re.search(r'id="once">([^<]+)<', answer.text)
    assert found and found[1] not in admin.get("/accounts").text
    assert signed_in(quick_app, EVE, found[1]).get("/").headers["Location"] == "/password"
    again = admin.post("/accounts", data={"email": EVE.upper(), "name": "Eve", "role": "agent"})
    assert (again.status_code, "already" in again.text) == (409, True)
    for form in ({"email": "nonsense", "name": "E", "role": "agent"}, {"email": "e@x", "name": " ", "role": "king"}):
        assert admin.post("/accounts", data=form).status_code == 400


def test_a_new_password_ends_the_sessions_and_the_old_one(
    quick_app: Flask, quick_ledger: Ledger, admin: FlaskClient
) -> None:
    account, old = seeding.an_account_with_password(quick_ledger, EVE)
    there = signed_in(quick_app, EVE, old)
    answer = admin.post(f"/accounts/{account.id}/password")
    assert there.get("/").headers["Location"].startswith("/signin")
    with pytest.raises(entry.WrongPassword):
        entry.sign_in(quick_ledger, EVE, old, came=From("1"), now=NOW)
    found = re.search(r'id="once">([^<]+)<', answer.text)
    assert found and signed_in(quick_app, EVE, found[1])


def test_disabled_and_enabled_again_with_what_they_held_in_the_queue(
    quick_app: Flask, quick_ledger: Ledger, admin: FlaskClient
) -> None:
    account, password = seeding.an_account_with_password(quick_ledger, EVE)
    story = seeding.a_handoff(quick_ledger, NOW)
    story.taken_by(account)
    there = signed_in(quick_app, EVE, password)
    assert "the 1 conversation they hold" in admin.get(f"/accounts/{account.id}").text
    admin.post(f"/accounts/{account.id}/disable")
    assert there.get("/").status_code == 303
    with quick_ledger.reading() as tx:
        assert transcript.conversation(tx, story.key).holder is Holder.QUEUE
    assert "Disabled since" in admin.get("/accounts").text
    admin.post(f"/accounts/{account.id}/enable")
    assert signed_in(quick_app, EVE, password).get("/").status_code == 200


def test_who_may_speak_no_more_holds_nothing_any_more(ledger: Ledger) -> None:
    eve = seeding.an_account(ledger, EVE)
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(eve)
    with ledger.writing() as tx:
        agents.change_role(tx, EVE, Role.CONTENT, later(900))
        assert transcript.conversation(tx, story.key).holder is Holder.QUEUE


def test_nobody_takes_the_admin_from_themselves_or_the_last_one_away(ledger: Ledger, quick_ledger: Ledger) -> None:
    ada = seeding.an_account(ledger, ADA, Role.ADMIN)
    seeding.an_account(ledger, SUE, Role.SUPERVISOR)
    for verb in (
        lambda tx: agents.change_role(tx, ADA, Role.AGENT, NOW, ada),
        lambda tx: agents.disable(tx, ADA, NOW, ada),
        lambda tx: agents.reset(tx, ADA, keep_password=False, now=NOW, by=ada),
    ):
        with pytest.raises(NotYourself), ledger.writing() as tx:
            verb(tx)
    for last in (
        lambda tx: agents.change_role(tx, ADA, Role.AGENT, NOW),
        lambda tx: agents.disable(tx, ADA, NOW),
    ):
        with pytest.raises(LastAdmin, match="make somebody else admin first"), ledger.writing() as tx:
            last(tx)


def test_two_admins_who_demote_each_other_at_once_leave_one(ledger: Ledger) -> None:
    people = [seeding.an_account(ledger, email, Role.ADMIN) for email in (ADA, SUE)]

    def demote(n: int) -> str:
        try:
            with ledger.writing() as tx:
                agents.change_role(tx, people[n].email, Role.AGENT, NOW, people[1 - n])
        except LastAdmin:
            return "last"
        return "done"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(demote, range(2))) == ["done", "last"]
    assert sorted([role_of(ledger, ADA), role_of(ledger, SUE)]) == [Role.ADMIN, Role.AGENT]


def test_one_sees_where_one_is_signed_in_and_ends_what_is_not_wanted(quick_app: Flask, quick_ledger: Ledger) -> None:
    _, password = seeding.an_account_with_password(quick_ledger, EVE)
    here, there, third = (signed_in(quick_app, EVE, password) for _ in range(3))
    page = here.get("/account").text
    handles = re.findall(r"/account/sessions/([0-9a-f]{16})/end", page)
    assert (page.count("this one"), len(handles)) == (1, 2)
    here.post(f"/account/sessions/{handles[0]}/end")
    assert sorted(client.get("/").status_code for client in (there, third)) == [200, 303]
    assert here.post(f"/account/sessions/{handles[0]}/end").status_code == 404
    here.post("/account/sessions/end")
    assert [client.get("/").status_code for client in (here, there, third)] == [200, 303, 303]


def test_nobody_ends_a_colleagues_session(quick_app: Flask, quick_ledger: Ledger, browser: FlaskClient) -> None:
    _, password = seeding.an_account_with_password(quick_ledger, EVE)
    here, there = signed_in(quick_app, EVE, password), signed_in(quick_app, EVE, password)
    handle = re.findall(r"/account/sessions/([0-9a-f]{16})/end", here.get("/account").text)[0]
    assert browser.post(f"/account/sessions/{handle}/end").status_code == 404
    assert browser.post("/account/sessions/%25/end").status_code == 404
    assert there.get("/").status_code == 200


def test_signing_in_anew_ends_the_session_the_browser_had_and_never_keeps_its_secret(
    quick_app: Flask, quick_ledger: Ledger
) -> None:
    _, password = seeding.an_account_with_password(quick_ledger, EVE)
    client = signed_in(quick_app, EVE, password)
    before = client.get_cookie(guard.COOKIE)
    client.post("/signin", data={"email": EVE, "password": password})
    after = client.get_cookie(guard.COOKIE)
    assert before and after and before.value != after.value
    with quick_ledger.reading() as tx:
        assert tx.execute(sa.text("SELECT count(*) FROM sessions")).scalar() == 1


def test_over_tls_no_other_host_can_set_the_cookie_and_browsers_come_by_tls_again(
    quick_app: Flask, quick_ledger: Ledger
) -> None:
    _, password = seeding.an_account_with_password(quick_ledger, EVE)
    client = quick_app.test_client()
    form = {"email": EVE, "password": password}
    answer = client.post("/signin", data=form, base_url="https://desk.example", headers=OWN)
    assert answer.headers["Set-Cookie"].startswith("__Host-baton_session=")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert client.get("/", base_url="https://desk.example").status_code == 200
    plain = quick_app.test_client().get("/signin")
    assert "Strict-Transport-Security" not in plain.headers
    assert "camera=()" in plain.headers["Permissions-Policy"] and plain.headers["X-Frame-Options"] == "DENY"


def test_the_guide_is_there_until_it_is_put_away(browser: FlaskClient) -> None:
    assert "This is how it goes" in browser.get("/").text
    browser.post("/account/greeted")
    assert "This is how it goes" not in browser.get("/").text


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0", "Firefox on Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
         "Chrome on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/131.0 Safari/537.36 Edg/131.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605 Version/18 Mobile Safari/604",
         "Safari on iPhone"),
        ("curl/8.5", "An unknown browser"),
        ("", "An unknown browser"),
    ],
)  # fmt: skip
def test_browsers_are_named_so_that_one_knows_ones_own(agent: str, name: str) -> None:
    assert browsers.called(agent) == name


def test_every_act_has_words() -> None:
    assert set(ACTS) == set(Act)


def test_an_open_desk_is_no_place_to_guess_a_password(quick_app: Flask, quick_ledger: Ledger, clock: Clock) -> None:
    """Wrong present passwords are counted like any other try: an open desk is no place to guess."""
    _, password = seeding.an_account_with_password(quick_ledger, EVE)
    client = signed_in(quick_app, EVE, password)
    form = {"old": "wrong", "new": "three blue boats", "again": "three blue boats"}
    told = [client.post("/password", data=form).status_code for _ in range(9)]
    assert told == [400] * 8 + [429]
