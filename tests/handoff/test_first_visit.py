"""A new agent with the address and a password alone, and the admin who made the account, in real Chromium."""

from __future__ import annotations

import re

import pyotp
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from bot.ledger.transaction import Ledger
from bot.vocabulary import Role
from handoff import agents
from tests.handoff import seeding
from tests.handoff.browsing import Desk, now

PHONE = {"viewport": {"width": 390, "height": 844}}


def is_sound(page: Page, title: str) -> None:
    """The page of this title is there, is sound for who can't see or point, and is no wider than the screen."""
    expect(page).to_have_title(re.compile(f"^{title}"))
    page.wait_for_load_state()
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


@pytest.mark.parametrize("screen", [{}, PHONE | {"color_scheme": "dark"}], ids=["desk", "phone, dark"])
def test_a_new_agent_serves_a_first_customer(
    chromium: Browser, base: str, quick_ledger: Ledger, screen: dict[str, object]
) -> None:
    seeding.a_handoff(quick_ledger, now())
    with quick_ledger.writing() as tx:
        email = "eve@fernhill.example"
        given = agents.add(tx, email, Role.AGENT, "Eve Moss", keep_password=False, now=now())
    page = chromium.new_context(**screen).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(8000)
    page.goto(base)
    is_sound(page, "Sign in")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(given)
    page.get_by_role("button", name="Sign in").click()
    is_sound(page, "Your password")
    page.get_by_label("The password you signed in with").fill(given)
    page.get_by_label("New password", exact=True).fill("three blue boats")
    page.get_by_label("New password, once more").fill("three blue boats")
    page.get_by_role("button", name="Set password").click()
    guide = page.get_by_role("complementary", name="Welcome, Eve Moss")
    expect(guide).to_be_visible()
    is_sound(page, "Baton desk")
    guide.get_by_role("button", name="Understood").click()
    expect(guide).to_have_count(0)
    page.locator(".row", has_text="Mia Turner").click()
    page.get_by_role("button", name="Take").click()
    page.locator("#reply textarea").fill("Hello Mia, this is Eve. How can I help?")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#thread")).to_contain_text("this is Eve")
    page.reload()
    expect(page.get_by_text("This is how it goes")).to_have_count(0)


@pytest.mark.parametrize("screen", [{}, PHONE | {"color_scheme": "dark"}], ids=["desk", "phone, dark"])
def test_an_admin_looks_after_accounts_and_their_own(
    chromium: Browser, base: str, quick_ledger: Ledger, screen: dict[str, object]
) -> None:
    desk = Desk(chromium, base, quick_ledger, "Ada Kim", Role.ADMIN, **screen)
    page = desk.page
    page.get_by_role("button", name="Ada Kim").click()
    page.locator("#me-sheet").get_by_role("link", name="Accounts").click()
    page.get_by_label("E-mail").fill("eve@fernhill.example")
    page.get_by_label("Name", exact=False).fill("Eve Moss")
    is_sound(page, "Accounts")
    page.get_by_role("button", name="Add, and show the password").click()
    expect(page.locator("#once")).to_have_text(re.compile(r"^[a-z0-9]{5}(-[a-z0-9]{5}){3}$"))
    is_sound(page, "Eve Moss")
    page.get_by_role("link", name="I have passed it on").click()
    page.get_by_role("link", name="Eve Moss").click()
    is_sound(page, "Eve Moss")
    page.get_by_label("Supervisor").check()
    page.get_by_role("button", name="Change role").click()
    expect(page.get_by_role("status")).to_contain_text("The role is changed")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Audit log").click()
    expect(page.get_by_role("row", name="Changed a role")).to_contain_text("was: agent")
    is_sound(page, "Audit log")
    page.get_by_role("link", name="Ada Kim").click()
    is_sound(page, "Your account")
    page.get_by_role("link", name="Set it up").click()
    is_sound(page, "Second step")
    page.get_by_text("It can't scan?").click()
    secret = page.locator(".key").inner_text().replace(" ", "")
    page.get_by_label("The six digits").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("list", name="Recovery codes").get_by_role("listitem")).to_have_count(8)
    is_sound(page, "Recovery codes")
    assert desk.complaints == []
