"""The whole story in a real browser: the phone on one page, the desk on another, nothing reloaded by hand."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, TimeoutError, expect, sync_playwright

from tests import parts
from tests.journeys.house import House

PICTURES = Path(os.environ["BATON_PICTURES"]) if "BATON_PICTURES" in os.environ else None
WITHIN_MS = 30_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real headless Chromium."""
    path = parts.chromium()
    if path is None:
        parts.skip("no Chromium on the PATH, and none could be fetched")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield found
        found.close()


def a_page(browser: Browser, url: str, *, width: int = 1440, height: int = 900) -> Page:
    page = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce").new_page()
    page.set_default_timeout(WITHIN_MS)
    page.goto(url)
    return page


def sign_in(browser: Browser, house: House, email: str) -> Page:
    page = a_page(browser, house.desk_url)
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(house.accounts()[email])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()
    return page


def writes(page: Page, words: str) -> None:
    """The contact types on the phone; once more if the page was drawn anew under their thumb, as anybody would."""
    for _ in range(3):
        page.get_by_role("textbox", name="Message").fill(words)
        page.keyboard.press("Enter")
        with suppress(TimeoutError):
            page.get_by_text(words).last.wait_for(timeout=8000)
            return
    raise AssertionError(f"{words!r} can't be sent")


def sees(page: Page, pattern: str) -> None:
    expect(page.get_by_text(re.compile(pattern, re.I)).last).to_be_visible(timeout=WITHIN_MS)


def picture(page: Page, name: str) -> None:
    """Keep screenshots at both widths, in both lights, when asked to; no page may scroll sideways."""
    before = page.viewport_size
    for width, height in ((1440, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        for light in ("light", "dark"):
            page.emulate_media(color_scheme=light)  # type: ignore[arg-type]
            if PICTURES is not None:
                page.wait_for_timeout(200)
                page.screenshot(path=PICTURES / f"{name}-{width}-{light}.png")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), (
            f"{name} scrolls sideways at {width}"
        )
    page.emulate_media(color_scheme="light")
    assert before is not None
    page.set_viewport_size(before)


def is_accessible(page: Page, name: str) -> None:
    found = [v for v in Axe().run(page).response["violations"] if v["impact"] in {"serious", "critical"}]
    assert not found, f"{name}: {[(v['id'], [n['html'][:120] for n in v['nodes']]) for v in found]}"


def test_the_whole_story_in_two_windows(browser: Browser, house: House, phone: str) -> None:  # noqa: PLR0915
    name = "Robin Story"
    house.new_contact(phone, name)
    reloads: list[str] = []
    contact = a_page(browser, f"{house.phone_url}/", width=1280, height=800)
    contact.get_by_role("link", name=re.compile(name)).click()
    contact.wait_for_url(f"**/conversations/*/{phone}*")  # not to type into the page before
    agent = sign_in(browser, house, "ann@fernhill.example")
    colleague = sign_in(browser, house, "ben@fernhill.example")
    for page in (contact, agent, colleague):
        page.on("framenavigated", lambda frame: reloads.append(frame.url))

    # The bot answers.
    writes(contact, "hi, when do you open in Leeds?")
    sees(contact, "fernhill's bot|bot")
    sees(contact, "Leeds")
    picture(contact, "phone-bot")
    is_accessible(contact, "the phone")

    # The contact asks for a person; both desks see it come, with the transcript.
    writes(contact, "I'd like to talk to a person")
    row = agent.locator(".row", has_text=name)
    expect(row).to_be_visible(timeout=WITHIN_MS)  # the bot thinks first
    expect(colleague.locator(".row", has_text=name)).to_be_visible()
    picture(agent, "desk-queue")
    row.click()
    conversation = agent.get_by_role("region", name="Conversation")
    transcript = agent.get_by_role("region", name="Transcript")
    expect(transcript.get_by_text("hi, when do you open in Leeds?")).to_be_visible()
    expect(transcript.get_by_text("I'd like to talk to a person").last).to_be_visible()
    colleague.locator(".row", has_text=name).click()
    expect(colleague.get_by_role("button", name=re.compile("Take"))).to_be_visible()
    is_accessible(agent, "the desk")

    # Ann takes it with a key; Ben's window says who has it.
    agent.keyboard.press("t")
    expect(conversation.locator("#wrapup summary")).to_be_visible()
    expect(colleague.get_by_role("region", name="Conversation").get_by_text(re.compile("Ann")).first).to_be_visible()

    # She replies by keyboard; it reaches the phone, and her ticks change.
    agent.keyboard.press("r")
    agent.keyboard.type("Hello Robin, Ann here. How can I help?")
    agent.keyboard.press("Enter")
    sees(contact, "Ann here")
    expect(transcript.locator("article.agent.delivered, article.agent.read").last).to_be_visible()

    # The contact answers; the desk shows it and the bot is silent.
    writes(contact, "what are your opening hours? and thank you")
    expect(transcript.get_by_text("and thank you").last).to_be_visible()
    picture(agent, "desk-conversation")
    picture(contact, "phone-agent")
    agent.keyboard.press("Escape")
    agent.keyboard.press("n")
    agent.keyboard.type("Prefers Leeds")
    agent.keyboard.press("Enter")
    expect(colleague.get_by_text("Prefers Leeds")).to_be_visible()
    said = len(house.heard(phone))

    # Given back, the bot answers again.
    agent.keyboard.press("Escape")
    agent.keyboard.press("g")
    agent.keyboard.press("Enter")
    sees(contact, "back with you|is back|here again")
    writes(contact, "what is your return policy?")
    sees(contact, house.hears(phone, "return", after=said + 1)[:20])
    assert len(house.heard(phone)) == said + 2, "the goodbye of the desk and one answer of the bot"
    assert all("/conversations" in url or url.endswith("/") for url in reloads), reloads


def test_buttons_and_lists_are_tapped_and_answered(browser: Browser, house: House, phone: str) -> None:
    house.new_contact(phone, "Kim Taps")
    contact = a_page(browser, f"{house.phone_url}/", width=390, height=844)
    contact.get_by_role("link", name=re.compile("Kim Taps")).click()
    contact.wait_for_url(f"**/conversations/*/{phone}*")  # not to type into the page before
    writes(contact, "hello")
    contact.get_by_role("button", name=re.compile("Choose")).last.click()
    contact.get_by_role("dialog").get_by_text("Opening hours").click()
    contact.get_by_role("dialog").get_by_role("button", name="Send").click()
    sees(contact, r"\d(am|pm|:\d\d)")


def test_the_door_of_the_desk_is_plain_and_accessible(browser: Browser, house: House) -> None:
    page = a_page(browser, house.desk_url)
    is_accessible(page, "sign in")
    picture(page, "signin")
    page.get_by_label("E-mail").fill("ann@fernhill.example")
    page.get_by_label("Password").fill("a guess")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
