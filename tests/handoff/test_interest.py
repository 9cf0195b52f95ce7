"""A desk hears of what it shows, of all of it, and of nothing else; what is drawn once is never stale nor another's."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser

from bot.ledger import changes
from bot.ledger.transaction import Ledger
from bot.vocabulary import Change, Holder, Reason
from handoff import drawn, pages
from handoff.feed import Feed, Mailbox
from handoff.interest import Interest, News
from handoff.live import render
from handoff.pages import Chosen, Show
from handoff.viewing import Viewer
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.browsing import Desk, now
from tests.handoff.conftest import Api, Clock, signed_in


def an_interest(show: str = "mine", *keys: str, account_id: int = 1) -> Interest:
    return Interest(account_id, show, frozenset(keys))


@pytest.mark.parametrize(
    ("kind", "holder", "agent_id", "told"),
    [
        (Change.MESSAGE, Holder.BOT, None, {"bot", "view-7"}),
        (Change.MESSAGE, Holder.QUEUE, None, {"queue", "view-7"}),
        (Change.MESSAGE, Holder.AGENT, 2, {"others", "view-7"}),
        (Change.MESSAGE, Holder.AGENT, None, {"others", "view-7"}),
        (Change.MESSAGE, Holder.AGENT, 1, {"queue", "mine", "others", "bot", "view-7"}),
        (Change.MOVE, Holder.BOT, None, {"queue", "mine", "others", "bot", "view-7"}),
        (Change.NOTE, Holder.AGENT, 2, {"queue", "mine", "others", "bot", "view-7"}),
        (Change.STATUS, Holder.AGENT, 1, set()),
    ],
)
def test_who_shows_which_list_hears_of_which_change(
    kind: Change, holder: Holder, agent_id: int | None, told: set[str]
) -> None:
    news = News("key", kind, holder, agent_id)
    shows = ("queue", "mine", "others", "bot", "view-7")
    assert {show for show in shows if an_interest(show).is_listed(news)} == told


def test_whatever_changes_a_list_is_told_to_whoever_shows_it(ledger: Ledger, ann: Api, ben: Api, clock: Clock) -> None:
    """The pages themselves say what they show: if one looks different after a step, its tab was told to look."""
    told_of = {show: (Mailbox(an_interest(show.value, account_id=ann.account.id)), show) for show in Show}
    tail = Feed(ledger)
    seeding.a_handoff(ledger, clock.now)
    tail.look()
    tail._boxes = {box for box, _ in told_of.values()}
    story = seeding.a_handoff(ledger, clock.now, "Tom", "447700900102")
    other = seeding.a_conversation(ledger, clock.now, "Sue", "447700900103")
    before = _looks(ledger, ann, clock)
    steps = (
        lambda: story.says("still there?"),
        lambda: other.says("hello bot", "hello"),
        lambda: story.taken_by(ann.account),
        lambda: story.replies(ann.account, "Hello, this is Ann"),
        story.sent,
        lambda: story.says("thanks"),
        lambda: story.notes(ann.account, "a note"),
        lambda: story.gives_back(ann.account),
        lambda: other.hands_off(Reason.ASKED, "a person"),
        lambda: other.taken_by(ben.account),
        lambda: other.says("are you Ben?"),
    )
    for n, step in enumerate(steps):
        for box, _ in told_of.values():
            box.take(0)
        step()
        tail.look()
        after = _looks(ledger, ann, clock)
        for show, (box, _) in told_of.items():
            signals = box.take(0)
            told = signals is not None and bool(signals.lists)
            # The number beside the bot's list is let go: with every new contact all desks would look.
            assert told or after[show] == before[show], (n, show)
        before = after


def _looks(ledger: Ledger, who: Api, clock: Clock) -> dict[Show, object]:
    with ledger.reading() as tx:
        viewer = Viewer(who.account, clock.now, NOW.tzinfo)  # type: ignore[arg-type]
        found = {show: pages.rows(tx, viewer, Chosen(show)) for show in Show}
    return {show: (rows.rows, rows.knocks.news) for show, rows in found.items()}


def test_a_tab_hears_of_the_conversation_it_shows_and_of_no_other(ledger: Ledger) -> None:
    mine, other = (seeding.a_conversation(ledger, NOW, phone=phone) for phone in ("1", "2"))
    tail = Feed(ledger)
    tail.look()
    box = tail.subscribe(an_interest("mine", mine.key))
    with ledger.writing() as tx:
        changes.note(tx, other.id, Change.MESSAGE, NOW)
    tail.look()
    assert box.take(0) is None
    with ledger.writing() as tx:
        changes.note(tx, mine.id, Change.MESSAGE, NOW)
    tail.look()
    signals = box.take(0)
    assert signals is not None
    assert render(signals).splitlines()[1:] == [f"event: conversation-{mine.key}", f"data: {mine.key} message", ""]


def test_a_tab_is_told_at_its_pace_and_the_list_does_not_wait_for_the_conversation() -> None:
    box = Mailbox(an_interest("mine", "a"))
    mine, others = News("a", Change.MESSAGE, Holder.BOT, None), News("b", Change.MESSAGE, Holder.AGENT, 1)
    box.hear(1, [mine])
    first = box.take(0, pace=60)
    assert first is not None and (set(first.kinds), first.lists, first.cursor) == ({"a"}, False, 1)
    box.hear(2, [mine])
    box.hear(3, [others])
    second = box.take(0, pace=60)
    assert second is not None and (second.kinds, second.lists) == ({}, True)
    assert second.cursor == 0, "who comes again must hear of what still waits"
    assert box.take(0, pace=60) is None
    began = time.monotonic()
    third = box.take(5, pace=0.2)
    assert third is not None and (set(third.kinds), third.cursor) == ({"a"}, 3)
    assert time.monotonic() - began < 2


def test_the_browser_hears_of_what_it_shows_now_whatever_it_showed_before(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    mia = seeding.a_handoff(quick_ledger, now())
    bot = seeding.a_conversation(quick_ledger, now(), "Tom", "447700900102")
    desk = Desk(chromium, base, quick_ledger, "Ann Lee")
    page = desk.page
    page.keyboard.press("4")
    page.wait_for_selector(f"#row-{bot.key}")
    with page.expect_request(lambda request: "/live?" in request.url and f"key={bot.key}" in request.url):
        page.click(f"#row-{bot.key}")
    bot.says("do you have lanterns?", "Yes, in green.")
    page.wait_for_selector("#thread >> text=Yes, in green.", timeout=4000)
    page.wait_for_selector(f"#row-{bot.key} >> text=Yes, in green.", timeout=4000)
    page.keyboard.press("1")
    with page.expect_request(lambda request: "/live?" in request.url and f"key={mia.key}" in request.url):
        page.click(f"#row-{mia.key}")
    mia.says("hello?")
    page.wait_for_selector("#thread >> text=hello?", timeout=4000)
    assert desk.complaints == []
    page.context.close()


def test_what_was_drawn_once_is_drawn_anew_when_anything_about_it_changed(
    quick_app: Flask, quick_ledger: Ledger, browser: FlaskClient
) -> None:
    story = seeding.a_conversation(quick_ledger, NOW)
    drawn._kept.cache_clear()
    first = browser.get(f"/conversations/{story.key}/live").text
    hits = drawn._kept.cache_info().hits
    assert browser.get(f"/conversations/{story.key}/live").text == first
    assert drawn._kept.cache_info().hits >= hits + 2
    story.sent()
    assert browser.get(f"/conversations/{story.key}/live").text != first, "the ticks"


def test_what_one_may_do_is_not_drawn_for_another(quick_app: Flask, quick_ledger: Ledger, browser: FlaskClient) -> None:
    story = seeding.a_handoff(quick_ledger, NOW)
    _, password = seeding.an_account_with_password(quick_ledger, "ben@fernhill.example")
    ben = signed_in(quick_app, "ben@fernhill.example", password)
    browser.post(f"/conversations/{story.key}/take")
    browser.post(f"/conversations/{story.key}/reply", data={"text": "Hello"})
    story.at = NOW
    story.sent(refuse="The number can't be reached")
    drawn_for = [who.get(f"/conversations/{story.key}/live").text for who in (browser, ben) * 2]
    assert ["Try again" in page for page in drawn_for] == [True, False, True, False]
