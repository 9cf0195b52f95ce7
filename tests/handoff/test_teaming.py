"""The supervisors' pages of teams, and what agents see of them: their own queue first, and why; and stepping away."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, expect

from bot.ledger import handoffs, needs, teams, transcript
from bot.ledger.transaction import Ledger
from bot.vocabulary import NeedOf, Reason, Role, Routing
from handoff import giving, members
from tests.factories import NOW, later
from tests.handoff import seeding
from tests.handoff.browsing import Desk, now
from tests.handoff.conftest import Clock, signed_in


@pytest.fixture
def sue(quick_app: Flask, quick_ledger: Ledger) -> FlaskClient:
    """Sue's browser; she is a supervisor."""
    _, password = seeding.an_account_with_password(quick_ledger, "sue@fernhill.example", Role.SUPERVISOR, "Sue Park")
    return signed_in(quick_app, "sue@fernhill.example", password)


def returns(ledger: Ledger) -> int:
    """A team that sees to who says *return*, and needs somebody who knows it."""
    with ledger.writing() as tx:
        team_id = teams.make(tx, "Returns").id
        needs.add(tx, of=NeedOf.WORD, value="return", skill="returns", team_id=team_id)
    return team_id


def who_waits(ledger: Ledger, name: str, wish: str, n: int) -> seeding.Story:
    story = seeding.a_conversation(ledger, NOW, name, f"44770090{n:04d}")
    story.hands_off(Reason.ASKED, wish)
    return story


def test_a_team_is_made_and_told_when_it_is_there_and_how_it_is_given_conversations(
    sue: FlaskClient, quick_ledger: Ledger
) -> None:
    made = sue.post("/teams", data={"name": " Returns  desk "})
    assert made.status_code == 303
    where = made.headers["Location"]
    told = {
        "name": "Returns", "zone": "Europe/London", "week": "Mon-Fri 9:00-17:30", "exceptions": "12-25 closed\r\n",
        "within": "30", "routing": "least_loaded", "capacity": "4",
    }  # fmt: skip
    kept = sue.post(where, data=told)
    assert kept.status_code == 303
    page = sue.get(kept.headers["Location"]).text
    assert "Returns is kept as you wrote it." in page and "Back tomorrow at 9:00" in page, "NOW is a Sunday"
    assert "Most room, 4 at once" in page and "within 30 min" in page
    with quick_ledger.reading() as tx:
        one = teams.named(tx, "returns")
    assert (one.week, one.exceptions, one.routing) == ("Mon-Fri 9:00-17:30", "12-25 closed", Routing.LEAST_LOADED)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"week": "nine to five"}, "does not begin with a day: write for example Mon-Fri 9:00-17:30"),
        ({"zone": "Londonn"}, "is no time zone; one is written Europe/London"),
        ({"exceptions": "Christmas closed"}, "a day is written 2026-12-24 9:00-13:00"),
        ({"within": "soon"}, "as a number, not &#39;soon&#39;"),
        ({"within": "0"}, "within 1 to 10080 minutes"),
        ({"routing": "round_robin", "capacity": ""}, "say how many an agent may hold at once"),
        ({"capacity": "1000"}, "0 to 100 conversations at once"),
        ({"routing": "fair"}, "choose how its conversations find their agents"),
        ({"name": "  "}, "a team needs a name"),
    ],
)
def test_what_can_not_be_is_said_plainly_and_changes_nothing_and_what_was_typed_stays(
    sue: FlaskClient, quick_ledger: Ledger, wrong: dict[str, str], why: str
) -> None:
    told = {
        "name": "Front desk", "zone": "UTC", "week": "Mon 9:00-10:00", "exceptions": "", "within": "15",
        "routing": "pull", "capacity": "",
    }  # fmt: skip
    answer = sue.post("/teams/1", data=told | wrong)
    assert answer.status_code == 422 and why in answer.text and "Nothing was changed" in answer.text
    assert all(f'value="{value}"' in answer.text for name, value in wrong.items() if name in ("week", "zone", "within"))
    with quick_ledger.reading() as tx:
        assert (teams.team(tx).name, teams.team(tx).week) == ("Service", "always")


def test_hours_say_what_they_mean_while_they_are_typed(sue: FlaskClient) -> None:
    def says(week: str, zone: str = "UTC") -> str:
        return sue.get("/teams/hours", query_string={"week": week, "zone": zone, "exceptions": ""}).text

    assert "There now" in says("always") and ">Open<" in says("always")
    assert "Back tomorrow at 9:00" in says("Mon 9:00-10:00")
    assert "There now, until today at 12:30" in says("Sun 9:00-12:30")
    assert "hours are written 9:00-17:30" in says("Mon nine to five")


def test_where_somebody_works_what_they_know_and_how_many_they_may_hold(sue: FlaskClient, quick_ledger: Ledger) -> None:
    team_id = returns(quick_ledger)
    ann = seeding.an_account(quick_ledger)
    kept = sue.post(
        f"/teams/people/{ann.id}", data={"team": ["1", str(team_id)], "skills": "Returns, german", "capacity": "3"}
    )
    assert kept.status_code == 303
    page = sue.get("/teams").text
    assert "Service, Returns" in page and "0 of 3" in page and "german" in page
    wrong = sue.post(f"/teams/people/{ann.id}", data={"skills": "x" * 50, "capacity": "3"})
    assert wrong.status_code == 422 and "Nothing was changed" in wrong.text
    with quick_ledger.reading() as tx:
        assert members.teams_of(tx, ann.id) == {1, team_id}
    assert sue.post("/teams/people/999", data={}).status_code == 404


def test_rules_come_and_go_and_a_team_they_name_is_not_retired(sue: FlaskClient, quick_ledger: Ledger) -> None:
    team_id = returns(quick_ledger)
    page = sue.get("/teams").text
    assert "The contact says “return”" in page and "needs returns and goes to Returns" in page
    refused = sue.post(f"/teams/{team_id}/retire")
    assert refused.status_code == 422 and "A rule sends contacts to Returns" in refused.text
    assert sue.post("/teams/needs/1/remove").status_code == 303
    assert sue.post(f"/teams/{team_id}/retire").status_code == 303
    assert 'id="team-2"' not in sue.get("/teams").text
    assert sue.get(f"/teams/{team_id}").status_code == 404
    for asked, why in (
        ({"of": "reason", "value": "bored", "skill": "patience"}, "is no reason; one of: asked"),
        ({"of": "word", "value": "invoice"}, "say which skill it needs, or which team"),
        ({"of": "word", "value": "invoice", "team": str(team_id)}, "Returns is retired"),
    ):
        answer = sue.post("/teams/needs", data=asked)
        assert answer.status_code == 422 and why in answer.text
    assert sue.post("/teams/needs", data={"of": "word", "value": "Invoice", "skill": "money"}).status_code == 303
    assert "The contact says “invoice”" in sue.get("/teams").text


def test_agents_do_not_arrange_teams(browser: FlaskClient, quick_ledger: Ledger) -> None:
    for answer in (
        browser.get("/teams"), browser.get("/teams/1"), browser.get("/teams/hours"), browser.get("/teams/people/1"),
        browser.post("/teams", data={"name": "Mine"}), browser.post("/teams/1", data={}),
        browser.post("/teams/1/retire"), browser.post("/teams/people/1", data={}),
        browser.post("/teams/needs", data={}), browser.post("/teams/needs/1/remove"),
    ):  # fmt: skip
        assert answer.status_code == 403
    assert 'href="/teams"' not in browser.get("/").text


def test_agents_see_the_queue_of_their_teams_first_and_all_of_it_when_they_ask(
    browser: FlaskClient, quick_ledger: Ledger
) -> None:
    team_id = returns(quick_ledger)
    who_waits(quick_ledger, "Mia Turner", "my parcel", 1)
    who_waits(quick_ledger, "Sam Okafor", "can I return this?", 2)
    assert "Sam Okafor" in browser.get("/list").text, "nobody works in Returns yet: they are everybody's"
    ben = seeding.an_account(quick_ledger, "ben@fernhill.example")
    with quick_ledger.writing() as tx:
        members.join(tx, ben.id, team_id)
    mine, all_ = browser.get("/list").text, browser.get("/list?teams=all").text
    assert "Mia Turner" in mine and "Sam Okafor" not in mine
    assert "1 more waits elsewhere" in mine and 'data-queue="1"' in mine
    assert "Mia Turner" in all_ and "Sam Okafor" in all_ and 'data-queue="2"' in all_
    assert '<span class="team">Returns</span>' in all_ and "needs </span>returns" in all_


def test_the_row_and_the_packet_say_why_somebody_is_first(
    browser: FlaskClient, quick_ledger: Ledger, clock: Clock
) -> None:
    first = who_waits(quick_ledger, "Mia Turner", "my parcel", 1)
    failed = who_waits(quick_ledger, "Sam Okafor", "hello?", 2)
    with quick_ledger.writing() as tx:
        handoffs.cancel(tx, failed.key, words=seeding.Text("All right."), now=later(1))
    failed.hands_off(Reason.LOST, "hello?")
    rows = re.findall(r'class="due[^"]*"[^>]*title="([^"]+)"', browser.get("/list").text)
    assert rows[0].startswith("First of 2. An answer was promised by")
    assert "We have failed them before, so it counts 10 min sooner." in rows[0]
    assert rows[1].startswith("2nd of 2. An answer was promised by")
    page = browser.get(f"/conversations/{failed.key}").text
    assert "Why is this first?" in page and "First of 2." in page
    assert "Why at this place?" in browser.get(f"/conversations/{first.key}").text


def test_who_is_given_a_conversation_hears_of_it_and_reads_why(browser: FlaskClient, quick_ledger: Ledger) -> None:
    with quick_ledger.writing() as tx:
        teams.route(tx, teams.FIRST, routing=Routing.LEAST_LOADED, capacity=5)
    story = who_waits(quick_ledger, "Mia Turner", "my parcel", 1)
    browser.get("/list")  # her desk is open
    with quick_ledger.writing() as tx:
        assert giving.give(tx, NOW) == 1
    rows = browser.get("/list?show=mine").text
    assert "Given to you" in rows and f"{story.key}@given" in rows, "the bell rings for what was not there before"
    page = browser.get(f"/conversations/{story.key}").text
    assert "You had the most room: you held 0 of 5." in page
    browser.post(f"/conversations/{story.key}/reply", data={"text": "Hello Mia"})
    assert "@given" not in browser.get("/list?show=mine").text


def test_passing_on_offers_colleagues_and_teams_and_says_who_is_away_or_full(
    browser: FlaskClient, quick_ledger: Ledger
) -> None:
    team_id = returns(quick_ledger)
    ben = seeding.an_account(quick_ledger, "ben@fernhill.example", name="Ben Okoro")
    with quick_ledger.writing() as tx:
        members.equip(tx, ben.id, skills=(), own=0)
        members.step_away(tx, ben.id, NOW)
    story = who_waits(quick_ledger, "Mia Turner", "my parcel", 1)
    browser.post(f"/conversations/{story.key}/take")
    page = browser.get(f"/conversations/{story.key}").text
    assert "Ben Okoro (away, has 0 of 0)" in page and f'value="team:{team_id}"' in page and 'name="beyond"' not in page
    refused = browser.post(f"/conversations/{story.key}/transfer", data={"to": ben.email})
    assert refused.status_code == 409 and "Ben Okoro holds 0, and 0 at once is the most" in refused.text
    browser.post(f"/conversations/{story.key}/transfer", data={"to": f"team:{team_id}", "text": "Boots"})
    with quick_ledger.reading() as tx:
        assert transcript.conversation(tx, story.key).team == "Returns"
    assert browser.post(f"/conversations/{story.key}/transfer", data={"to": "team:99"}).status_code == 404


def test_stepping_away_by_key_and_all_teams_by_keyboard_keep_the_focus(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    team_id = returns(quick_ledger)
    ben = seeding.an_account(quick_ledger, "ben@fernhill.example")
    with quick_ledger.writing() as tx:
        members.join(tx, ben.id, team_id)
    story = seeding.a_conversation(quick_ledger, now())
    story.hands_off(Reason.ASKED, "can I return this?")
    ann = Desk(chromium, base, quick_ledger, "Ann Lee")
    expect(ann.page.locator(".row")).to_have_count(0)
    ann.page.locator("#all-teams").focus()
    ann.page.keyboard.press("Space")
    expect(ann.page.locator(".row .team")).to_have_text("Returns")
    expect(ann.page.locator("#all-teams")).to_be_focused()
    ann.page.keyboard.press("Space")
    expect(ann.page.locator(".row")).to_have_count(0)
    ann.page.locator("body").press("a")
    expect(ann.page.locator("#available-button")).to_contain_text("Away")
    with quick_ledger.reading() as tx:
        assert members.is_away(tx, ann.account.id)
    ann.page.locator("#available-button").focus()
    ann.page.keyboard.press("Enter")
    expect(ann.page.locator("#available-button")).to_contain_text("Available")
    expect(ann.page.locator("#available-button")).to_be_focused()
    assert ann.complaints == []


@pytest.mark.parametrize("width", [1440, 390])
def test_a_supervisor_arranges_a_team_by_keyboard_and_axe_finds_nothing(
    chromium: Browser, base: str, quick_ledger: Ledger, width: int
) -> None:
    returns(quick_ledger)
    sue = Desk(
        chromium, base, quick_ledger, "Sue Park", Role.SUPERVISOR, viewport={"width": width, "height": 800}
    )  # fmt: skip

    def is_clean() -> None:
        found = Axe().run(sue.page).response["violations"]
        assert not [one["id"] for one in found if one["impact"] in ("serious", "critical")]
        assert sue.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"

    sue.page.goto(f"{base}/teams")
    is_clean()
    sue.page.focus("#new-name")
    sue.page.keyboard.type("Nights")
    sue.page.keyboard.press("Enter")
    expect(sue.page.locator("h1")).to_have_text("Nights")
    sue.page.focus("#week")
    sue.page.keyboard.press("Control+A")
    sue.page.keyboard.type("Mon nine to five")
    expect(sue.page.locator("#preview")).to_contain_text("hours are written 9:00-17:30")
    is_clean()
    sue.page.keyboard.press("Control+A")
    sue.page.keyboard.type("always")
    expect(sue.page.locator("#preview")).to_contain_text("There now")
    sue.page.keyboard.press("Enter")
    expect(sue.page.locator(".said")).to_have_text("Nights is kept as you wrote it.")
    sue.page.goto(f"{base}/teams/people/{sue.account.id}")
    is_clean()
    assert sue.complaints == []
