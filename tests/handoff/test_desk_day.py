"""An agent's lists, transcript and notices in a real browser: by keyboard, live, and found sound by axe."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import APIResponse, Browser, Page, Route, expect

from bot.ledger.transaction import Ledger
from bot.vocabulary import Role
from handoff import assignments, tags
from tests.handoff import seeding
from tests.handoff.browsing import Desk, now


def no_serious_faults(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["target"]) for one in found if one["impact"] in ("serious", "critical")] == []


def test_an_answer_to_a_form_that_is_gone_is_swapped_like_any_other(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    """The live page may be quicker than the answer: the form to pass it on is gone when that comes."""
    ann = Desk(chromium, base, quick_ledger, "Ann Lee")
    seeding.an_account(quick_ledger, "ben@fernhill.example", name="Ben Okoro")
    story = seeding.a_handoff(quick_ledger, now())
    story.taken_by(ann.account)
    held: list[tuple[Route, APIResponse]] = []
    ann.page.route("**/transfer", lambda route: held.append((route, route.fetch())))
    ann.page.goto(f"{base}/conversations/{story.key}")
    ann.page.locator("#thread").press("p")
    ann.page.select_option("#pass select", label="Ben Okoro")
    ann.page.locator("#pass button").press("Enter")
    expect(ann.page.locator("#pass")).to_have_count(0)
    expect(ann.page.locator("#holder")).to_contain_text("Ben Okoro has it")
    ((route, answer),) = held
    errors = "window.errors = []; document.addEventListener('htmx:swapError', () => window.errors.push('swap'))"
    ann.page.evaluate(errors)
    with ann.page.expect_event("requestfinished"):
        route.fulfill(response=answer)
    expect(ann.page.locator("#thread")).to_be_visible()
    expect(ann.page.locator(".htmx-request")).to_have_count(0)
    assert (ann.page.evaluate("window.errors"), ann.complaints) == ([], [])
    expect(ann.page.locator("#holder")).to_contain_text("Ben Okoro has it")


def test_unread_tags_views_and_the_way_on_by_keyboard(  # noqa: PLR0915  # one story, told in one go
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    ann = Desk(chromium, base, quick_ledger, "Ann Lee", viewport={"width": 1440, "height": 900})
    page = ann.page
    mia = seeding.a_handoff(quick_ledger, now())
    mia.taken_by(ann.account)
    tom = seeding.a_handoff(quick_ledger, now(), "Tom Achterberg", "447700900102")
    page.locator("body").press("2")
    row = page.locator(f"#row-{mia.key}")
    mia.at = now()
    mia.says("are you there?", intent=None)
    expect(row.locator(".news")).to_have_text(re.compile(r"unread: \d"))
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#thread")).to_be_visible()
    expect(row.locator(".news")).to_be_hidden()
    page.locator("#thread").press("#")
    page.keyboard.type("Late Parcel")
    page.keyboard.press("Enter")
    expect(page.locator("#tag-late-parcel")).to_be_visible()
    expect(row.locator(".tag-of")).to_have_text("late-parcel")
    page.keyboard.press("Escape")
    expect(page.locator("#tagging summary")).to_be_focused()

    page.keyboard.press("u")
    expect(page.locator("#announce")).to_have_text("Marked unread.")
    expect(row.locator(".news")).to_have_text("unread: 1")
    page.locator("#thread").press("/")
    page.keyboard.type("nobody")
    expect(page.locator("#rows")).to_contain_text("Nothing here matches")
    page.locator("#find").fill("")
    page.keyboard.press("Escape")

    page.locator("#thread").press("f")

    page.locator("[name=unread]").check()
    expect(page.locator("#narrowed")).to_have_text(re.compile("[12]"))
    page.locator("[form=keep-view][name=name]").fill("Mine, unread")
    page.locator("button[form=keep-view]").click()
    page.wait_for_url("**/?show=view-*")
    expect(page.locator(".views")).to_contain_text("Mine, unread 1")
    expect(page.locator(".row .name")).to_have_text("Mia Turner")
    page.locator(".row").click()
    expect(page.locator("#new")).to_have_text("New messages")
    no_serious_faults(page)

    expect(page.locator("#next-name")).to_have_text("Tom Achterberg")  # who is not in this list
    page.locator("#thread").press("g")
    page.keyboard.press("Enter")
    expect(page.locator("#holder")).to_contain_text("The bot is answering")
    expect(page.locator("#next")).to_be_focused()
    page.keyboard.press("x")
    page.wait_for_url(f"**/conversations/{tom.key}")
    page.locator("body").press("i")
    expect(page.locator("#contact-name")).to_be_focused()
    page.locator("#field-new summary").click()
    page.fill("#field-name", "Shoe size")
    page.fill("#field-value", "38")
    page.keyboard.press("Enter")
    expect(page.locator("#contact-fields")).to_contain_text("Shoe size 38")
    assert ann.complaints == []


def test_colleagues_see_each_other_and_are_told_by_name(chromium: Browser, base: str, quick_ledger: Ledger) -> None:
    ann, ben = (Desk(chromium, base, quick_ledger, name) for name in ("Ann Lee", "Ben Okoro"))
    story = seeding.a_handoff(quick_ledger, now())
    story.taken_by(ben.account)
    for desk in (ann, ben):
        desk.page.goto(f"{base}/conversations/{story.key}")
    expect(ann.page.locator("#lookers")).to_have_text("Ben Okoro is looking")
    ben.page.locator("#reply textarea").press_sequentially("Hello")
    expect(ann.page.locator("#lookers")).to_have_text("Ben Okoro is typing a reply…")
    ben.page.goto(base)
    expect(ann.page.locator("#lookers")).to_have_text("")

    ann.page.locator("#thread").press("n")
    ann.page.keyboard.type("ask @be")
    expect(ann.page.locator("#mentions")).to_contain_text("Ben Okoro @ben")
    ann.page.keyboard.press("Enter")
    expect(ann.page.locator("#note textarea")).to_have_value("ask @ben ")
    ann.page.keyboard.type("please")
    ann.page.keyboard.press("Enter")
    expect(ann.page.locator(".mention")).to_have_text("@ben")
    expect(ben.page.locator("#announce")).to_have_text("A colleague mentioned you in a note.")
    expect(ben.page.locator("#count-mentions")).to_have_text("1")
    ben.page.locator("body").press("5")
    ben.page.locator(".row").click()
    expect(ben.page.locator("#count-mentions")).to_have_text("0")
    assert (ann.complaints, ben.complaints) == ([], [])


def test_a_link_leads_to_its_message_however_old_and_scrolling_up_brings_more(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    ann = Desk(chromium, base, quick_ledger, "Ann Lee")
    story = seeding.a_handoff(quick_ledger, now())
    story.taken_by(ann.account)
    for n in range(420):
        story.says(f"message number {n}", intent=None)
    page = ann.page
    page.goto(f"{base}/conversations/{story.key}")
    expect(page.locator("#thread")).to_contain_text("message number 419")
    first = page.locator(".bubble").first.get_attribute("id")
    page.evaluate("document.getElementById('thread').scrollTo(0, 0)")
    expect(page.locator(".bubble").first).not_to_have_attribute("id", first or "")
    held = page.evaluate("document.getElementById('thread').scrollTop")
    assert held > 100, "what was read stays where it was"
    number = int((first or "m0")[1:]) - 110
    page.goto(f"{base}/?show=mine")
    page.goto(f"{base}/conversations/{story.key}#m-{number}")
    expect(page.locator(f"#m{number}")).to_be_focused()
    expect(page.locator(f"#m{number}")).to_be_in_viewport()
    story.at = now()
    story.says("one more", intent=None)
    expect(page.locator("#thread")).to_contain_text("one more")
    expect(page.locator(f"#m{number}")).to_be_in_viewport()
    expect(page.locator("#down")).to_be_visible()
    page.keyboard.press("w")
    expect(page.locator(".bubble").last).to_be_in_viewport()
    assert ann.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_keys_the_settings_and_the_contact_are_sound_at_every_width(
    chromium: Browser, base: str, quick_ledger: Ledger, scheme: str
) -> None:
    sue = Desk(chromium, base, quick_ledger, "Sue Kay", Role.SUPERVISOR, color_scheme=scheme)
    story = seeding.a_handoff(quick_ledger, now())
    with quick_ledger.writing() as tx:
        tags.add(tx, story.key, sue.account, "vip", now())
        assignments.note(tx, story.key, sue.account, "@sue hello", client_key=None, now=now())
    page = sue.page
    page.goto(f"{base}/conversations/{story.key}")
    page.locator("body").press("?")
    shown = page.locator("#all-keys dt").all_inner_texts()
    twice = {keys for keys in shown if shown.count(keys) > 1}
    assert len(shown) > 20 and twice == {"Enter", "/"}, "in the lists and in the reply these two do something else"
    no_serious_faults(page)
    page.keyboard.press("Escape")
    page.locator("body").press(",")
    page.locator("[name=queue]").uncheck()
    page.fill("[name=from]", "18:00")
    no_serious_faults(page)
    page.keyboard.press("Escape")
    page.reload()
    page.locator("body").press(",")
    expect(page.locator("[name=queue]")).not_to_be_checked()
    expect(page.locator("[name=from]")).to_have_value("18:00")
    page.keyboard.press("Escape")
    for width in (1440, 1024, 390):
        page.set_viewport_size({"width": width, "height": 800})
        no_serious_faults(page)
        if width < 1240:
            page.locator("body").press("i")
            expect(page.locator("#contact-facts")).to_be_in_viewport()
            no_serious_faults(page)
            page.locator("body").press("i")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert sue.complaints == []


def test_every_key_shown_on_a_page_is_one_that_does_something(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    ann = Desk(chromium, base, quick_ledger, "Ann Lee")
    story = seeding.a_handoff(quick_ledger, now())
    story.taken_by(ann.account)
    ann.page.goto(f"{base}/conversations/{story.key}")
    in_sheet = ann.page.evaluate("[...document.querySelectorAll('#all-keys kbd')].map((one) => one.textContent)")
    on_page = ann.page.evaluate("[...document.querySelectorAll('kbd')].map((one) => one.textContent)")
    assert set(on_page) <= set(in_sheet)
