"""How an agent lets go of a conversation, over the API and in a real browser: for a while, or for good."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from playwright.sync_api import Browser, expect

from bot.errors import BadSnooze
from bot.evidence import Fact
from bot.hours import Hours, read
from bot.ledger import handoffs
from bot.ledger.tables import turns
from bot.ledger.transaction import Ledger
from bot.vocabulary import Clue, Reason
from handoff import snoozing
from tests.factories import NOW, says_only
from tests.handoff import seeding
from tests.handoff.browsing import Desk, now
from tests.handoff.conftest import Api

ALWAYS = Hours()


def held(ledger: Ledger, ann: Api) -> seeding.Story:
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(ann.account)
    return story


def test_giving_back_says_how_it_went(ledger: Ledger, ann: Api) -> None:
    story = held(ledger, ann)
    ann.post(f"/conversations/{story.key}/reply", {"text": "It is on its way."})
    body = {"outcome": "solved", "summary": "A new parcel went out."}
    assert ann.post(f"/conversations/{story.key}/give_back", body).status_code == 200
    (one,) = ann.get(f"/conversations/{story.key}/handoffs").json
    assert (one["outcome"], one["summary"], one["agent"]) == ("solved", "A new parcel went out.", "Ann")
    assert one["first_answer_at"] == NOW.isoformat() and one["csat"] is None and one["late"]["first"] is False
    asked = ann.get(f"/conversations/{story.key}/messages").json[-1]
    assert asked["type"] == "buttons" and "How was it with us" in asked["text"]


def test_a_body_is_not_needed(ledger: Ledger, ann: Api) -> None:
    story = held(ledger, ann)
    assert ann.post(f"/conversations/{story.key}/give_back").status_code == 200
    (one,) = ann.get(f"/conversations/{story.key}/handoffs").json
    assert (one["outcome"], one["summary"]) == ("given_back", "")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"outcome": "cancelled"}, "bad_outcome"),
        ({"outcome": ["solved"]}, "bad_outcome"),
        ({"summary": "x" * 501}, "bad_outcome"),
        ({"summary": {"a": 1}}, "bad_outcome"),
        ("solved", "bad_body"),
    ],
)
def test_a_strange_ending_ends_nothing(ledger: Ledger, ann: Api, body: object, word: str) -> None:
    story = held(ledger, ann)
    answer = ann.post(f"/conversations/{story.key}/give_back", body)
    assert answer.status_code in (400, 422) and answer.json["error"] == word
    assert ann.get(f"/conversations/{story.key}").json["holder"] == "agent"


def test_snoozing_and_waking_over_the_api(ledger: Ledger, ann: Api, ben: Api) -> None:
    story = held(ledger, ann)
    until = (NOW + timedelta(hours=3)).isoformat()
    assert ben.post(f"/conversations/{story.key}/snooze", {"until": until}).status_code == 403
    assert ann.post(f"/conversations/{story.key}/snooze", {"until": until, "tell": True}).json["snoozed_until"] == until
    assert (
        "will write to you here again, today at 15:00"
        in ann.get(f"/conversations/{story.key}/messages").json[-1]["text"]
    )
    assert ann.post(f"/conversations/{story.key}/wake").json["snoozed_until"] is None
    assert ann.post(f"/conversations/{story.key}/wake").status_code == 409
    week = ann.post(f"/conversations/{story.key}/snooze", {"until": "reply"}).json["snoozed_until"]
    assert week == (NOW + timedelta(days=7)).isoformat()


@pytest.mark.parametrize(
    "until", [None, "", "later", "2026-12-01T09:00:00", "2020-01-01T00:00:00Z", "9999-12-31T00:00:00Z"]
)
def test_a_time_that_is_none_puts_nothing_aside(ledger: Ledger, ann: Api, until: object) -> None:
    story = held(ledger, ann)
    answer = ann.post(f"/conversations/{story.key}/snooze", {"until": until})
    assert (answer.status_code, answer.json["error"]) == (422, "bad_snooze")


def test_tomorrow_is_when_people_are_back() -> None:
    office = read("Europe/London", "Mon-Fri 9:30-17:00")  # NOW is a Sunday
    assert snoozing.tomorrow(NOW, office) == NOW.replace(day=23, hour=9, minute=30)
    assert snoozing.tomorrow(NOW, ALWAYS) == NOW.replace(day=23, hour=9)
    friday = NOW.replace(day=27)
    assert snoozing.tomorrow(friday, office) == NOW.replace(day=30, hour=9, minute=30)


def test_another_time_is_by_the_clock_of_who_chose_it() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    found = snoozing.chosen("at", "2026-11-23T09:00", tells=False, now=NOW, tz=tokyo, hours=ALWAYS)
    assert found.until == NOW.replace(day=23, hour=0)
    for choice, at in (("at", ""), ("soon", ""), ("at", "tomorrow")):
        with pytest.raises(BadSnooze):
            snoozing.chosen(choice, at, tells=False, now=NOW, tz=tokyo, hours=ALWAYS)


def test_the_evidence_stands_in_the_packet_in_the_words_as_they_are_now(
    quick_ledger: Ledger, browser: FlaskClient
) -> None:
    story = seeding.a_conversation(quick_ledger, NOW)
    story.says("kan du hjelpe meg", "Sorry, I didn't get that.", intent=("greet", 0.31))
    with quick_ledger.writing() as tx:
        turn_id = tx.execute(sa.select(sa.func.max(turns.c.id))).scalar_one()
        evidence = [Fact(Clue.MISSED, "greet", turn_id=turn_id, score=0.31), Fact(Clue.SPOKEN, "Norwegian")]
        handoffs.hand_off(
            tx, story.key, reason=Reason.LANGUAGE, wish="hjelp", slots={}, tell=says_only("A person."), now=story.at,
            evidence=evidence,
        )  # fmt: skip
    page = browser.get(f"/conversations/{story.key}").text
    assert "Not understood: “kan du hjelpe meg” (perhaps greet 31 %)" in page and "Language: Norwegian" in page


def test_an_agent_snoozes_and_gives_back_by_keyboard_alone(chromium: Browser, base: str, quick_ledger: Ledger) -> None:
    ann = Desk(chromium, base, quick_ledger, "Ann Lee")
    story = seeding.a_handoff(quick_ledger, now())
    story.taken_by(ann.account)
    story.replies(ann.account, "Hello, Ann here.")
    page = ann.page
    page.goto(f"{base}/conversations/{story.key}?show=mine")
    page.locator("#thread").press("z")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("#hint")).to_contain_text("Snoozed until")
    expect(page.locator("#part-snoozed")).to_be_visible()
    expect(page.locator(f"#row-{story.key} .due")).to_contain_text("until")
    page.locator("#thread").press("z")
    expect(page.locator("#part-snoozed")).to_have_count(0)
    page.locator("#thread").press("g")
    page.keyboard.press("2")
    page.keyboard.press("Tab")
    page.keyboard.type("They will call again")
    page.keyboard.press("Enter")
    expect(page.locator("#holder")).to_contain_text("The bot is answering")
    expect(page.locator("#thread")).to_contain_text("Given back to the bot: not solved · They will call again")
    assert not ann.complaints
