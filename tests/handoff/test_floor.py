"""The live floor: everybody who waits and everybody at work, and what who leads does from here."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, expect

from bot.ledger import handoffs, teams, transcript
from bot.ledger.transaction import Ledger
from bot.vocabulary import Holder, Role
from handoff import assignments, members
from handoff.roles import Account
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.browsing import Desk, now
from tests.handoff.conftest import Clock, signed_in

FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def ann(ledger: Ledger) -> Account:
    return seeding.an_account(ledger, "ann@fernhill.example", Role.AGENT, "Ann Lee")


@pytest.fixture
def ben(ledger: Ledger) -> Account:
    return seeding.an_account(ledger, "ben@fernhill.example", Role.AGENT, "Ben Okoro")


@pytest.fixture
def sue(app: Flask, ledger: Ledger) -> FlaskClient:
    """A supervisor's browser."""
    _, password = seeding.an_account_with_password(ledger, "sue@fernhill.example", Role.SUPERVISOR, "Sue Park")
    return signed_in(app, "sue@fernhill.example", password)


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def holder_of(ledger: Ledger, key: str) -> tuple[Holder, str]:
    with ledger.reading() as tx:
        one = transcript.conversation(tx, key)
    return one.holder, one.agent_name


def test_it_tells_who_waits_who_is_late_and_who_is_there(
    sue: FlaskClient, ledger: Ledger, ann: Account, clock: Clock
) -> None:
    seeding.a_handoff(ledger, NOW)
    sam = seeding.a_handoff(ledger, NOW, "Sam Okafor", "447700900102")
    sam.taken_by(ann)
    clock.forward(minutes=8)
    said = text_of(sue.get("/floor").text)
    assert "Sue Park available" in said and "Agents available 1 of 2 1 in hand" in said
    assert "Waiting 1 longest 11 min" in said and "Promises broken 0 1 more within 5 min" in said
    assert "Mia Turner Asked for a person I want to talk to a person waits 11 min due in 3 min" in said
    assert re.search(r"Ann Lee not here 1 in hand 1 today 1 waits for an answer, \d+ min", said)
    assert re.search(r"Sam Okafor Ann Lee, for \d+ min waits \d+ min for an answer", said)
    clock.forward(minutes=5)
    said = text_of(sue.get("/floor/live").text)
    assert "Promises broken 1" in said and "1 min late" in said


def test_nobody_waits_is_said_too(sue: FlaskClient) -> None:
    said = text_of(sue.get("/floor").text)
    assert (
        "Nobody is waiting." in said
        and "Nobody is with an agent." in said
        and "Within promise today – none yet" in said
    )


def test_who_leads_assigns_takes_over_and_puts_back(
    sue: FlaskClient, ledger: Ledger, ann: Account, ben: Account
) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    answer = sue.post(f"/floor/{key}/assign", data={"to": ann.email, "of": "queue"}, headers=FRAGMENT)
    assert answer.status_code == 200 and "Assigned." in answer.text
    assert holder_of(ledger, key) == (Holder.AGENT, "Ann Lee")
    sue.post(f"/floor/{key}/assign", data={"to": ben.email, "of": str(ann.id)})
    assert holder_of(ledger, key) == (Holder.AGENT, "Ben Okoro")
    assert (
        "Put back into the queue."
        in sue.post(f"/floor/{key}/put_back", data={"of": str(ben.id)}, headers=FRAGMENT).text
    )
    assert holder_of(ledger, key) == (Holder.QUEUE, "")
    assert sue.post(f"/floor/{key}/put_back").status_code == 303, "twice is as good as once"
    taken = sue.post(f"/floor/{key}/assign", data={"of": "queue"})
    assert taken.headers["Location"].startswith(f"/conversations/{key}")
    assert holder_of(ledger, key) == (Holder.AGENT, "Sue Park")


def test_what_a_colleague_took_meanwhile_is_not_taken_from_them_unseen(
    sue: FlaskClient, ledger: Ledger, ann: Account, ben: Account
) -> None:
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(ann)
    for verb, data in (
        ("assign", {"of": "queue"}),
        ("assign", {"of": str(ben.id), "to": ben.email}),
        ("assign", {"to": ben.email}),
        ("put_back", {"of": str(ben.id)}),
    ):
        answer = sue.post(f"/floor/{story.key}/{verb}", data=data, headers=FRAGMENT)
        assert answer.status_code == 409 and "Ann Lee took it first." in answer.text
        assert answer.headers["HX-Retarget"] == "#toasts"
    assert holder_of(ledger, story.key) == (Holder.AGENT, "Ann Lee")
    story.gives_back(ann)
    assert sue.post(f"/floor/{story.key}/assign", data={"of": str(ann.id)}).status_code == 409
    assert sue.post(f"/floor/{story.key}/put_back").status_code == 409
    assert holder_of(ledger, story.key) == (Holder.BOT, "")


def test_nobody_is_assigned_to_who_can_not_hold_conversations(sue: FlaskClient, ledger: Ledger) -> None:
    seeding.an_account(ledger, "cleo@fernhill.example", Role.CONTENT)
    key = seeding.a_handoff(ledger, NOW).key
    for to in ("cleo@fernhill.example", "nobody@fernhill.example"):
        assert sue.post(f"/floor/{key}/assign", data={"to": to, "of": "queue"}).status_code == 404
    assert holder_of(ledger, key) == (Holder.QUEUE, "")
    assert sue.post("/floor/nothing/assign", data={"of": "queue"}).status_code == 404


def test_agents_do_not_lead(quick_app: Flask, quick_ledger: Ledger, browser: FlaskClient) -> None:
    key = seeding.a_handoff(quick_ledger, NOW).key
    ben = seeding.an_account(quick_ledger, "ben@fernhill.example")
    for verb in ("assign", "put_back"):
        assert browser.post(f"/floor/{key}/{verb}", data={"of": "queue", "to": ben.email}).status_code == 403
    assert browser.get("/floor").status_code == 403
    assert holder_of(quick_ledger, key) == (Holder.QUEUE, "")


def test_a_team_is_looked_at_alone(sue: FlaskClient, ledger: Ledger, ann: Account) -> None:
    mia = seeding.a_handoff(ledger, NOW)
    seeding.a_handoff(ledger, NOW, "Sam Okafor", "447700900102")
    with ledger.writing() as tx:
        returns = teams.make(tx, "Returns")
        members.join(tx, ann.id, returns.id)
        handoffs.pass_to_team(tx, mia.key, returns.id, NOW)
    theirs, ours = (text_of(sue.get(f"/floor?team={id_}").text) for id_ in (returns.id, 1))
    assert "Mia Turner" in theirs and "Sam Okafor" not in theirs and "Waiting 1 " in theirs and "0 of 1" in theirs
    assert "Mia Turner" not in ours and "Sam Okafor" in ours
    for unknown in ("99", "x", "99999999999999999999"):
        assert "Mia Turner" in sue.get(f"/floor?team={unknown}").text, "no such team: everybody"


def test_nobody_is_given_more_than_they_may_hold_unless_that_is_said(
    sue: FlaskClient, ledger: Ledger, ann: Account
) -> None:
    mia, sam = seeding.a_handoff(ledger, NOW), seeding.a_handoff(ledger, NOW, "Sam Okafor", "447700900102")
    with ledger.writing() as tx:
        members.equip(tx, ann.id, skills=(), own=1)
    assert "even if full" not in sue.get("/floor").text
    sue.post(f"/floor/{mia.key}/assign", data={"to": ann.email, "of": "queue"})
    said = sue.get("/floor").text
    assert "Ann Lee (1 of 1), not here" in said and "even if full" in said
    wanted = {"to": ann.email, "of": "queue"}
    assert sue.post(f"/floor/{sam.key}/assign", data=wanted).status_code == 409
    assert holder_of(ledger, sam.key) == (Holder.QUEUE, "")
    sue.post(f"/floor/{sam.key}/assign", data={**wanted, "beyond": "yes"})
    assert holder_of(ledger, sam.key) == (Holder.AGENT, "Ann Lee")


def test_putting_back_what_is_answered_from_the_phone_is_refused(quick_ledger: Ledger) -> None:
    sue = seeding.an_account(quick_ledger, "sue@fernhill.example", Role.SUPERVISOR)
    story = seeding.a_conversation(quick_ledger, NOW)
    with quick_ledger.writing() as tx:
        row = handoffs.locked(tx, story.key)
        handoffs.take_by_phone(tx, row, said_at=NOW, quiet=timedelta(minutes=30), now=NOW)
    with quick_ledger.writing() as tx, pytest.raises(Exception, match="answered from the phone"):
        assignments.put_back(tx, story.key, sue, NOW)


def test_the_floor_is_live_and_led_by_keyboard_alone(chromium: Browser, base: str, quick_ledger: Ledger) -> None:
    ann = seeding.an_account(quick_ledger, "ann@fernhill.example", Role.AGENT, "Ann Lee")
    sue = Desk(chromium, base, quick_ledger, "Sue Park", Role.SUPERVISOR)
    page = sue.page
    page.goto(f"{base}/floor")
    expect(page.get_by_text("Nobody is waiting.")).to_be_visible()
    story = seeding.a_handoff(quick_ledger, now())
    row = page.locator(f"#waits-{story.key}")
    expect(row).to_contain_text("Mia Turner")  # by itself
    summary = row.locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("Ann")
    seeding.a_handoff(quick_ledger, now(), "Sam Okafor", "447700900102")
    expect(page.locator("#queue-rows > li")).to_have_count(2)
    expect(row.locator("select")).to_be_focused()  # what one is at stays as it is
    assert row.locator("select").input_value() == ann.email
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(f"#held-{story.key}")).to_contain_text("Ann Lee")
    expect(page.locator("#said")).to_have_text("Assigned.")
    for width, scheme in ((1440, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert Axe().run(page).response["violations"] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#queue-rows").get_by_role("button", name="Take").click()
    expect(page).to_have_url(re.compile("/conversations/"))
    expect(page.locator("#holder")).to_contain_text("You have it")
    assert sue.complaints == []
