"""Searching everything said at the desk: by keyboard, on the page, and by program; the words of contacts stay words."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser

from bot.ledger.transaction import Ledger
from bot.vocabulary import Reason
from handoff import found
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.browsing import Desk, now
from tests.handoff.conftest import Api


@pytest.fixture
def busy(ledger: Ledger, ann: Api, ben: Api) -> dict[str, seeding.Story]:
    return seeding.a_busy_afternoon(ledger, NOW, ann.account, ben.account)


def texts(api: Api, **asked: str) -> list[str]:
    answer = api.get("/search", query_string=asked)
    assert answer.status_code == 200, answer.text
    return [one["text"] for one in answer.json["results"]]


def test_a_program_finds_what_contacts_bot_and_agents_said_and_noted(busy: dict[str, seeding.Story], ann: Api) -> None:
    said = texts(ann, q="bristol")
    assert any("Bristol is open" in text for text in said)
    assert any("Is the Bristol store open" in text for text in said)
    assert any("Called Bristol (Kim)" in text for text in said), "the note"
    assert texts(ann, q="bristol", author="note") == [text for text in said if text.startswith("Called")]
    assert texts(ann, q="bristol", author="agent", agent=ann.account.email) == [t for t in said if "I've asked" in t]
    assert texts(ann, q="bristol", agent="nobody@x.example") == []
    assert texts(ann, q="bristol", **{"in": busy["maya"].key}) == []
    assert texts(ann, q="bristol", **{"in": busy["ines"].key}) == said
    assert texts(ann, q="bristol", list="mine") == said
    assert texts(ann, q="bristol", list="others") == texts(ann, q="bristol", list="queue") == []
    assert texts(ann, q="bristol", after="2026-11-23") == texts(ann, q="bristol", before="2026-11-20") == []


def test_a_program_pages_through_what_was_found(busy: dict[str, seeding.Story], ann: Api) -> None:
    every = texts(ann, q="is", limit="100")
    seen, cursor = [], ""
    for _ in range(20):
        answer = ann.get("/search", query_string={"q": "is", "limit": "2", "cursor": cursor}).json
        seen += [one["text"] for one in answer["results"]]
        cursor = answer["next"]
        if not cursor:
            break
    assert sorted(seen) == sorted(every) and len(every) > 4


def test_a_program_is_told_where_and_what_was_marked(busy: dict[str, seeding.Story], ann: Api) -> None:
    (one, *_) = ann.get("/search", query_string={"q": "till kim"}).json["results"]
    assert (one["conversation"], one["author"]) == (busy["ines"].key, "agent")
    assert "".join(piece["text"] for piece in one["snippet"]).startswith("Five minutes from you")
    assert [piece["text"] for piece in one["snippet"] if piece["marked"]] == ["Kim", "till"]
    contacts = ann.get("/search", query_string={"q": "ines carvalho"}).json["contacts"]
    assert [contact["contact"]["name"] for contact in contacts] == ["Inês Carvalho"]
    assert ann.get("/search", query_string={"q": "0701 740605"}).json["contacts"] != [], "as written at home"


@pytest.mark.parametrize("asked", ["", '"', "*", "(", "a" * 3000, "\x00", "%00", "'; --"])
def test_whatever_is_typed_is_answered(quick_app: Flask, browser: FlaskClient, asked: str) -> None:
    for also in (
        {},
        {"cursor": "x"},
        {"cursor": "9" * 60},
        {"after": "0001-01-01", "before": "9999-12-31"},
        {"in": asked},
    ):
        answer = browser.get("/search", query_string={"q": asked, "show": "zz", "author": "zz"} | also)
        assert answer.status_code == 200, (asked, also)


@pytest.mark.parametrize(
    "asked", [{"author": "me"}, {"list": "all"}, {"after": "soon"}, {"before": "1"}, {"cursor": "x"}, {"limit": "0"}]
)
def test_a_program_hears_what_it_got_wrong(ann: Api, asked: dict[str, str]) -> None:
    answer = ann.get("/search", query_string={"q": "x"} | asked)
    assert (answer.status_code, answer.json["error"]) == (400, "bad_body")
    assert next(iter(asked)) in answer.json["message"]


def test_everybody_who_may_read_may_search_and_strangers_may_not(
    busy: dict[str, seeding.Story], app: Flask, ann: Api, cleo: Api, sue: Api, ada: Api
) -> None:
    assert texts(ann, q="kim") == texts(cleo, q="kim") == texts(sue, q="kim") == texts(ada, q="kim") != []
    assert app.test_client().get("/api/v1/search?q=kim").status_code == 401
    assert app.test_client().get("/search?q=kim").headers["Location"].startswith("/signin")


def test_what_contacts_wrote_is_never_markup(quick_ledger: Ledger, browser: FlaskClient) -> None:
    story = seeding.a_conversation(quick_ledger, NOW, name="<b>Mia</b>")
    story.says("look: <script>alert(1)</script> & more")
    page = browser.get("/search?q=script").text
    assert "&lt;<mark>script</mark>&gt;alert(1)" in page and "<script>alert" not in page
    assert "&lt;b&gt;<mark>Mia</mark>&lt;/b&gt;" in browser.get("/search?q=mia").text


def test_a_long_text_is_cut_around_what_was_found() -> None:
    text = "word " * 100 + "needle" + " word" * 100
    pieces = found.pieces(text, found.terms("needle"))
    assert (pieces[0].text, pieces[-1].text) == ("…", "…")
    assert [piece.text for piece in pieces if piece.marked] == ["needle"]
    assert 100 < sum(len(piece.text) for piece in pieces) < 170
    assert "".join(piece.text for piece in found.pieces("a short one", found.terms("zz"))) == "a short one"


def test_an_agent_searches_by_keyboard_and_lands_at_the_message(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    story = seeding.a_conversation(quick_ledger, now())
    story.says("the red lantern is broken", "Sorry to hear that.")
    for n in range(30):
        story.says(f"one more thing {n}", "Yes?")
    other = seeding.a_conversation(quick_ledger, now(), name="Tom", phone="447700900109")
    other.says("I like lanterns", "Me too.")
    other.hands_off(Reason.ASKED, "lanterns")
    desk = Desk(chromium, base, quick_ledger, "Ann Lee")
    page = desk.page
    page.keyboard.press("/")
    page.keyboard.type("lant")
    page.keyboard.press("Enter")
    page.wait_for_selector(".row.match")
    assert page.locator(".group h3 .name").all_inner_texts() == ["Tom", "Mia Turner"]
    assert page.locator(".row.match mark").all_inner_texts() == ["lanterns", "lantern"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    sought = page.wait_for_selector(".bubble.sought")
    assert "red lantern" in sought.inner_text()
    assert sought.is_visible() and page.evaluate("el => el.getBoundingClientRect().top > 0", sought)
    assert f"/conversations/{story.key}?at=" in page.url
    assert page.locator("#seek").count() == 1, "the results stay beside it"
    page.keyboard.press("s")
    page.keyboard.press("Escape")
    assert page.locator("#seek").count() == 0 and page.locator("#rows").is_visible()
    assert page.evaluate("document.activeElement.id") == "find"
    assert desk.complaints == []
    page.context.close()
