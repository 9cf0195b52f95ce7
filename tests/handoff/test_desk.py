"""Two agents at the desk, in a real browser: live without reload, by keyboard, for everybody."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from bot.ledger import contacts, transcript
from bot.ledger.transaction import Ledger
from bot.messages import Card, Cards, Other
from bot.vocabulary import Reason, Role, Status
from handoff.roles import Account
from tests.handoff import seeding
from tests.handoff.browsing import Desk, now


def test_two_agents_see_everything_live_and_drafts_survive(  # noqa: PLR0915  # one story, told in one go
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    ann, ben = (Desk(chromium, base, quick_ledger, name) for name in ("Ann Lee", "Ben Okoro"))
    expect(ann.page.get_by_text("Nobody is waiting")).to_be_visible()
    story = seeding.a_handoff(quick_ledger, now())

    for desk in (ann, ben):  # a new entry: row, count, title, announcement
        expect(desk.page.locator(".row .name")).to_have_text("Mia Turner")
        expect(desk.page.locator("#count-queue")).to_have_text("1")
        expect(desk.page).to_have_title("(1) Baton desk · Fernhill")
        expect(desk.page.locator("#announce")).to_contain_text("Mia Turner: Asked for a person")

    expect(ann.page.get_by_text("Nobody is waiting")).to_be_hidden()
    expect(ann.page.get_by_text("Somebody is waiting")).to_be_visible()
    for desk in (ann, ben):  # by keyboard alone
        desk.page.locator("body").press("j")
        desk.page.keyboard.press("Enter")
        expect(desk.page.locator("#packet blockquote")).to_have_text("I want to talk to a person")
    expect(ben.page.locator("#reply button")).to_be_disabled()
    ben.page.keyboard.press("r")
    ben.page.keyboard.type("t g n q ? / are letters here")
    ann.page.keyboard.press("t")
    ann.page.keyboard.type("Hello Mia")  # before the desk has answered: what she types is text, no keys
    expect(ann.page.locator("#holder")).to_contain_text("You have it")
    expect(ann.page.locator("#reply textarea")).to_be_focused()
    expect(ben.page.locator("#holder")).to_contain_text("Ann Lee has it")
    expect(ben.page.locator("#count-others")).to_have_text("1")
    expect(ben.page.locator("#reply textarea")).to_have_value("t g n q ? / are letters here")
    expect(ben.page.locator("#reply textarea")).to_be_focused()

    expect(ann.page.locator("#reply textarea")).to_have_value("Hello Mia")
    ann.page.keyboard.press("Shift+Enter")
    ann.page.keyboard.type("this is Ann")
    ann.page.keyboard.press("Enter")
    ann.page.keyboard.press("Enter")  # pressed twice in a hurry
    bubble = ben.page.locator(".bubble.agent")
    expect(bubble.locator(".text")).to_have_text("Hello Mia\nthis is Ann")
    expect(bubble.locator(".tick")).to_contain_text("Waiting to be sent")
    expect(ann.page.locator(".bubble.agent")).to_have_count(1)
    expect(ann.page.locator("#reply textarea")).to_have_value("")
    for status in (Status.DELIVERED, Status.READ):
        story.at = now()
        story.replies(ann.account, f"until {status.value}")
        story.sent(Status.DELIVERED, status)
        expect(ben.page.locator(".bubble.agent .tick").last).to_contain_text(status.value.capitalize())

    ben.page.keyboard.press("Escape")
    ben.page.keyboard.press("n")
    ben.page.keyboard.type("She ordered twice last week")
    ben.page.keyboard.press("Enter")
    expect(ann.page.locator(".bubble.note .text")).to_have_text("She ordered twice last week")
    ann.page.locator("#reply textarea").fill("a draft that")
    story.says("are you there?", intent=None)
    expect(ann.page.locator(".bubble.contact").last).to_contain_text("are you there?")
    expect(ann.page.locator("#reply textarea")).to_have_value("a draft that")
    ann.page.reload()
    expect(ann.page.locator("#reply textarea")).to_have_value("a draft that")

    ann.page.locator("#thread").press("g")
    ann.page.keyboard.press("Enter")
    ann.page.keyboard.press("Enter")
    expect(ben.page.locator("#holder")).to_contain_text("The bot is answering")
    expect(ben.page.locator(".bubble.desk")).to_contain_text("back with you")
    assert (ann.complaints, ben.complaints, ben.loads) == ([], [], 0)


def test_passing_on_by_keyboard_with_a_note_reaches_the_colleague(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    story = seeding.a_handoff(quick_ledger, now())
    ann, ben = (Desk(chromium, base, quick_ledger, name) for name in ("Ann Lee", "Ben Okoro"))
    ann.page.locator("body").press("j")
    ann.page.keyboard.press("Enter")
    expect(ann.page.locator("#packet blockquote")).to_be_visible()
    expect(ann.page.locator("#pass")).to_have_count(0)
    ann.page.keyboard.press("t")
    expect(ann.page.locator("#holder")).to_contain_text("You have it")
    expect(ann.page.locator("#reply textarea")).to_be_focused()
    ann.page.keyboard.press("Escape")
    ann.page.keyboard.press("p")
    expect(ann.page.locator("#pass select")).to_be_focused()
    ann.page.keyboard.press("Escape")
    expect(ann.page.locator("#pass summary")).to_be_focused()
    expect(ann.page.locator("#pass select")).to_be_hidden()
    ann.page.keyboard.press("p")
    ann.page.keyboard.press("Tab")
    ann.page.keyboard.type("Speaks Spanish, you do too")
    story.says("hola?", intent=None)  # what comes meanwhile takes nothing away
    expect(ann.page.locator(".bubble.contact").last).to_contain_text("hola?")
    expect(ann.page.locator("#pass textarea")).to_have_value("Speaks Spanish, you do too")
    found = Axe().run(ann.page).response["violations"]
    assert not [one["id"] for one in found if one["impact"] in ("serious", "critical")]
    ann.page.keyboard.press("Tab")
    ann.page.keyboard.press("Enter")
    expect(ann.page.locator("#holder")).to_contain_text("Ben Okoro has it")
    expect(ben.page.locator("#count-mine")).to_have_text("1")
    ben.page.goto(f"{base}/conversations/{story.key}?show=mine")
    expect(ben.page.locator(".bubble.note .text")).to_have_text("Speaks Spanish, you do too")
    expect(ben.page.locator("#reply button")).to_be_enabled()


def test_the_loser_of_a_race_sees_who_won(chromium: Browser, base: str, quick_ledger: Ledger) -> None:
    story = seeding.a_handoff(quick_ledger, now())
    ann = Desk(chromium, base, quick_ledger, "Ann Lee")
    ben = seeding.an_account(quick_ledger, "ben@fernhill.example", Role.AGENT, "Ben Okoro")
    ann.page.click(".row")
    ann.page.wait_for_selector("#do-take")
    ann.page.route("**/live*", lambda route: route.abort())  # the news is on its way
    ann.page.route("**/list*", lambda route: route.abort())
    story.at = now()
    story.taken_by(ben)
    ann.page.keyboard.press("t")
    expect(ann.page.locator(".toast")).to_have_text("Ben Okoro took it first.")


def test_what_could_not_be_sent_waits_and_goes_by_itself(chromium: Browser, base: str, quick_ledger: Ledger) -> None:
    story = seeding.a_handoff(quick_ledger, now())
    ann = Desk(chromium, base, quick_ledger, "Ann Lee")
    story.taken_by(ann.account)
    ann.page.goto(f"{base}/conversations/{story.key}")
    ann.page.context.set_offline(True)
    ann.page.fill("#reply textarea", "important words")
    ann.page.press("#reply textarea", "Enter")
    expect(ann.page.locator("#pending li")).to_contain_text("important words")
    expect(ann.page.locator("#pending li")).to_contain_text("Waiting to reach the desk")
    ann.page.context.set_offline(False)
    expect(ann.page.locator(".bubble.agent .text")).to_have_text("important words")
    expect(ann.page.locator("#pending li")).to_have_count(0)


def a_strange_story(ledger: Ledger, ann: Account) -> seeding.Story:
    """Everything that is not as it should be: what can't be read, what failed, and who is blocked."""
    story = seeding.a_conversation(ledger, now(), "Konstantin Wolkenstein-Trostburg", "4915112345678")
    story.says(Cards((Card("Joe", "Joe", ("+27 82 123",), (f"joe@{'long-' * 9}name.example",), "Tents & Co"),)))
    story.says(Other("unsupported", "revoke"), "Sorry, I can't read that.", intent=("sent_media", 1.0))
    story.hands_off(Reason.UNREADABLE, "(hologram)", media_kind="hologram")
    story.taken_by(ann)
    story.replies(ann, "What was it?")
    story.sent(Status.DELIVERED, Status.FAILED)
    story.replies(ann, "Hello?")
    story.sent(refuse="The number can't be reached on WhatsApp right now (131026)")
    with ledger.writing() as tx:
        contact_id = transcript.contact_of(tx, story.key).id
        contacts.mark_blocked(tx, contact_id, now())
        contacts.prefer(tx, contact_id, marketing=False, at=now())
    return story


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)])
def test_everybody_can_use_it(chromium: Browser, base: str, quick_ledger: Ledger, scheme: str, width: int) -> None:
    desk = Desk(chromium, base, quick_ledger, "Ann Lee", viewport={"width": width, "height": 844}, color_scheme=scheme)
    ben = seeding.an_account(quick_ledger, "ben@fernhill.example", Role.AGENT, "Ben Okoro")
    stories = seeding.a_busy_afternoon(quick_ledger, now(), desk.account, ben)
    seeding.an_alarm(quick_ledger, now())
    strange = a_strange_story(quick_ledger, desk.account)
    for path in (
        "/",
        f"/conversations/{stories['ines'].key}?show=mine",
        f"/conversations/{stories['maya'].key}",
        f"/conversations/{strange.key}?show=mine",
        "/password",
    ):
        desk.page.goto(f"{base}{path}")
        found = Axe().run(desk.page)
        bad = [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found.response["violations"]
               if rule["impact"] in ("serious", "critical")]  # fmt: skip
        assert bad == [], path
        assert desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    desk.page.goto(base)
    if width > 760:
        desk.page.locator("body").press("?")
        expect(desk.page.locator("#help")).to_be_visible()
        desk.page.keyboard.press("Escape")
        expect(desk.page.locator("#help")).to_be_hidden()
    else:  # one at a time
        desk.page.locator(".row").first.click()
        expect(desk.page.locator("#thread")).to_be_visible()
        expect(desk.page.locator("#lists")).to_be_hidden()
        desk.page.locator("#back").click()
        expect(desk.page.locator("#lists")).to_be_visible()
    assert desk.complaints == []
