"""Somebody at the desk, in a real browser."""

from __future__ import annotations

from datetime import datetime, timezone

from playwright.sync_api import Browser, Page

from bot.ledger.transaction import Ledger
from bot.vocabulary import Role
from handoff import agents
from tests.handoff import seeding


def now() -> datetime:
    return datetime.now(tz=timezone.utc)


class Desk:
    """A page of somebody signed in; whatever it complains about fails the test."""

    def __init__(
        self, chromium: Browser, base: str, ledger: Ledger, name: str, role: Role = Role.AGENT, **also: object
    ) -> None:
        email = f"{name.split(maxsplit=1)[0].lower()}@fernhill.example"
        self.account, password = seeding.an_account_with_password(ledger, email, role, name)
        with ledger.writing() as tx:
            agents.greet(tx, self.account, now())  # they have been here before
        self.page: Page = chromium.new_context(**({"viewport": {"width": 1280, "height": 800}} | also)).new_page()  # type: ignore[arg-type]
        self.page.set_default_timeout(6000)
        self.complaints: list[str] = []
        self.loads = 0
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error.stack)))
        self.page.goto(base)
        self.page.fill("#email", email)
        self.page.fill("#password", password)
        self.page.press("#password", "Enter")
        self.page.wait_for_selector("#rows")
        self.page.wait_for_load_state("load")
        self.page.on("load", lambda _: setattr(self, "loads", self.loads + 1))
