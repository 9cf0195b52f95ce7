"""Writing in a real browser: all goes once on a bad network; quick replies, templates, files, quotes by keyboard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, Route, expect
from werkzeug.serving import make_server

from bot.ledger import errands, transcript
from bot.ledger.tables import conversations
from bot.ledger.transaction import Ledger
from bot.messages import MessageTemplate
from bot.settings import Settings
from bot.vocabulary import Author, Role, Status
from connectors.whatsapp.simulator.contents import PARCEL
from handoff import feed, quick_replies
from handoff.app import create_app
from handoff.quick_replies import Wanted
from tests.handoff import seeding
from tests.handoff.browsing import Desk, now

READY = MessageTemplate(
    "answer_ready", "en", "UTILITY", "APPROVED", ({"type": "BODY", "text": "Hi {{first_name}}, about {{topic}}."},)
)


@pytest.fixture
def base(quick_url: str, tmp_path: Path) -> Iterator[str]:
    """The desk on a port, with the real clock and a media folder of its own."""
    app = create_app(Settings(database_url=quick_url, home=tmp_path / "home"))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True  # type: ignore[attr-defined]
    server.block_on_close = False  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    with app.app_context():
        feed.feed().stop()
    server.shutdown()
    server.server_close()


def opened(chromium: Browser, base: str, ledger: Ledger) -> tuple[Desk, seeding.Story]:
    """Ann has Mia's conversation before her."""
    story = seeding.a_handoff(ledger, now())
    ann = Desk(chromium, base, ledger, "Ann Lee")
    story.taken_by(ann.account)
    story.sent(Status.DELIVERED)
    ann.page.goto(f"{base}/conversations/{story.key}")
    expect(ann.page.locator("#reply button")).to_be_enabled()
    return ann, story


def said_by_agents(ledger: Ledger, story: seeding.Story) -> list[str]:
    with ledger.reading() as tx:
        return [one.text for one in transcript.messages_of(tx, story.id) if one.author is Author.AGENT]


def test_an_answer_that_got_lost_and_a_reload_in_between_send_it_once(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    ann, story = opened(chromium, base, quick_ledger)
    page = ann.page
    lost: list[str] = []

    def loses_the_answer(route: Route) -> None:
        """The desk gets it; the browser never hears of that."""
        route.fetch()
        lost.append(route.request.url)
        with suppress(Error):  # the page may have been left in the meantime
            route.abort()

    page.route("**/reply", loses_the_answer)
    page.fill("#reply textarea", "once and only once")
    page.press("#reply textarea", "Enter")
    page.press("#reply textarea", "Enter")
    expect(page.locator("#pending li")).to_contain_text("Waiting to reach the desk")
    assert said_by_agents(quick_ledger, story) == ["once and only once"] and lost
    page.fill("#reply textarea", "and this after it")
    page.press("#reply textarea", "Enter")
    page.reload()
    page.unroute("**/reply")
    expect(page.locator("#pending li")).to_have_count(0)
    expect(page.locator(".bubble.agent .text")).to_have_text(["once and only once", "and this after it"])
    assert said_by_agents(quick_ledger, story) == ["once and only once", "and this after it"]


def test_what_is_written_while_the_network_is_away_goes_in_order_even_from_another_conversation(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    ann, story = opened(chromium, base, quick_ledger)
    page = ann.page
    page.context.set_offline(True)
    for n in range(3):
        page.fill("#reply textarea", f"number {n}")
        page.press("#reply textarea", "Enter")
    page.set_input_files("#attach", str(PARCEL))
    page.fill("#reply textarea", "with a photo")
    page.press("#reply textarea", "Enter")
    expect(page.locator("#pending li")).to_have_count(4)
    page.fill("#reply textarea", "a draft")
    page.context.set_offline(False)
    expect(page.locator(".bubble.agent")).to_have_count(4, timeout=20_000)
    expect(page.locator("#pending li")).to_have_count(0)
    expect(page.locator("#reply textarea")).to_have_value("a draft")
    assert said_by_agents(quick_ledger, story) == ["number 0", "number 1", "number 2", "with a photo"]
    expect(page.locator(".bubble.agent .picture img")).to_have_count(1)


def test_a_reply_that_is_refused_is_a_draft_again_and_says_why(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    ann, story = opened(chromium, base, quick_ledger)
    seeding.an_account(quick_ledger, "sue@fernhill.example", Role.SUPERVISOR, "Sue")
    page = ann.page
    page.route("**/live*", lambda route: route.abort())  # the page does not know yet
    story.at = now()
    story.gives_back(ann.account)
    page.fill("#reply textarea", "too late?")
    page.press("#reply textarea", "Enter")
    expect(page.locator(".toast")).to_be_visible()
    expect(page.locator("#reply textarea")).to_have_value("too late?")
    expect(page.locator("#pending li")).to_have_count(0)
    assert said_by_agents(quick_ledger, story) == []


def test_a_draft_survives_the_tab_and_is_told_in_the_list(chromium: Browser, base: str, quick_ledger: Ledger) -> None:
    ann, story = opened(chromium, base, quick_ledger)
    ann.page.fill("#reply textarea", "half a thought")
    tab = ann.page.context.new_page()
    ann.page.close()
    tab.goto(f"{base}/?show=mine")
    label = "row => getComputedStyle(row.querySelector('.last'), '::before').content"
    tab.wait_for_function(f"(({label})(document.querySelector('.row'))).includes('Draft')")
    tab.goto(f"{base}/conversations/{story.key}")
    expect(tab.locator("#reply textarea")).to_have_value("half a thought")
    other = tab.context.new_page()
    other.goto(f"{base}/conversations/{story.key}")
    other.fill("#reply textarea", "a whole one")
    expect(tab.locator("#reply textarea")).to_have_value("a whole one")


def test_a_reply_is_put_together_by_keyboard_from_a_quick_reply_a_quote_and_a_draft(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    sue = seeding.an_account(quick_ledger, "sue@fernhill.example", Role.SUPERVISOR, "Sue")
    with quick_ledger.writing() as tx:
        quick_replies.make(tx, sue, Wanted("returns", "Hello {first_name}, order {order} to {address}.", "all"), now())
        quick_replies.make(tx, sue, Wanted("bye", "Bye, {first_name}!", "all"), now())
    ann, story = opened(chromium, base, quick_ledger)
    page, field = ann.page, ann.page.locator("#reply textarea")
    page.keyboard.press("r")
    page.keyboard.type("/")
    options = page.locator("#quick [role=option]:visible")
    expect(options).to_have_count(2)
    assert Axe().run(page).response["violations"] == []
    page.keyboard.type("ret")
    expect(options).to_have_count(1)
    expect(field).to_have_attribute("aria-activedescendant", options.get_attribute("id") or "")
    page.keyboard.press("Enter")
    expect(field).to_have_value("Hello Mia, order F-20418 to {address}.")
    page.keyboard.press("Enter")  # Send warns, once
    expect(page.locator(".toast")).to_contain_text("Fill in {address} first")
    page.keyboard.type("Leeds")  # the gap is selected
    page.keyboard.press("Alt+ArrowUp")
    expect(page.locator("#quoting")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(".bubble.agent .text")).to_have_text("Hello Mia, order F-20418 to Leeds.")
    expect(page.locator(".bubble.agent .quote")).to_be_visible()
    expect(page.locator("#quoting")).to_be_hidden()
    story.at = now()
    story.says("how do i get my money back for something i bought", intent=None)
    expect(page.locator("#drafts .draft")).to_have_count(1)
    page.keyboard.press("Alt+1")
    assert "30 days" in field.input_value()
    page.keyboard.type(" /by")
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    page.keyboard.type("e")
    page.keyboard.press("Tab")
    assert field.input_value().endswith(" Bye, Mia!")
    assert ann.complaints == []


def test_when_the_window_closes_while_somebody_types_a_template_is_offered_and_the_draft_stays(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    ann, story = opened(chromium, base, quick_ledger)
    page = ann.page
    with quick_ledger.writing() as tx:
        errands.keep_templates(tx, [READY], now())
    page.fill("#reply textarea", "what I was about to say")
    with quick_ledger.writing() as tx:
        over = sa.update(conversations).where(conversations.c.id == story.id)
        tx.execute(over.values(window_ends=now() - timedelta(minutes=1)))
    story.at = now()
    story.notes(ann.account, "the page looks again")
    expect(page.locator("#templates")).to_be_visible()
    expect(page.locator("#templates-why")).to_contain_text("window is closed")
    page.locator(".of-templates").click()
    page.fill("[data-fills=topic]", "your tent")
    expect(page.locator(".preview .text")).to_have_text("Hi Mia, about your tent.")
    assert Axe().run(page).response["violations"] == []
    page.press("[data-fills=topic]", "Enter")
    expect(page.locator(".bubble.agent .text")).to_have_text("Hi Mia, about your tent.")
    expect(page.locator("#reply textarea")).to_have_value("what I was about to say")
    assert (said_by_agents(quick_ledger, story), ann.complaints) == (["Hi Mia, about your tent."], [])


def test_a_file_is_pasted_looked_at_and_refused_early(chromium: Browser, base: str, quick_ledger: Ledger) -> None:
    ann, _story = opened(chromium, base, quick_ledger)
    page = ann.page
    page.set_input_files("#attach", {"name": "a.exe", "mimeType": "application/x-msdownload", "buffer": b"MZ"})
    expect(page.locator(".toast")).to_contain_text("none of them")
    page.evaluate(
        """content => {
            const data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(content)], "porch.jpg", { type: "image/jpeg" }));
            const pasted = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
            document.querySelector("#reply textarea").dispatchEvent(pasted);
        }""",
        list(PARCEL.read_bytes()),
    )
    expect(page.locator("#attached img")).to_have_js_property("complete", value=True)
    page.keyboard.type("is it this one?")
    page.keyboard.press("Enter")
    expect(page.locator(".bubble.agent .picture img")).to_be_visible()
    expect(page.locator(".bubble.agent .text")).to_have_text("is it this one?")
    expect(page.locator("#attached")).to_be_hidden()
    assert ann.complaints == []


def test_a_quick_reply_that_does_not_exist_is_not_sent_by_enter(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    ann, story = opened(chromium, base, quick_ledger)
    field = ann.page.locator("#reply textarea")
    field.press_sequentially("/")
    expect(ann.page.locator("#quick .none")).to_contain_text("There are no quick replies yet.")
    field.press_sequentially("hello")
    field.press("Enter")
    expect(ann.page.locator(".toast")).to_have_text(
        "No quick reply is called /hello. Press Send to send it as it stands."
    )
    expect(field).to_have_value("/hello")
    ann.page.click("#reply button.primary")
    expect(ann.page.locator(".bubble", has_text="/hello")).to_be_visible()
    expect(ann.page.locator("#quick")).to_be_hidden()
    field.press("Escape")
    ann.page.keyboard.press("n")
    expect(ann.page.locator("#note textarea")).to_be_focused()
    assert said_by_agents(quick_ledger, story)[-1] == "/hello"
    assert ann.complaints == []


def test_what_is_written_for_a_colleague_stays_when_the_list_of_colleagues_changes(
    chromium: Browser, base: str, quick_ledger: Ledger
) -> None:
    ben, sue = (Desk(chromium, base, quick_ledger, name) for name in ("Ben Okoro", "Sue Kay"))
    ann, story = opened(chromium, base, quick_ledger)
    ann.page.keyboard.press("p")
    ann.page.select_option("#pass select", label="Sue Kay")
    ann.page.locator("#pass textarea").press_sequentially("The pot is ")
    ben.page.keyboard.press("a")
    expect(ben.page.locator("#available-button")).to_contain_text("Away")
    story.says("Are you there?")
    expect(ann.page.locator("#pass option", has_text="Ben Okoro (away)")).to_be_attached()
    ann.page.keyboard.type("broken")
    expect(ann.page.locator("#pass textarea")).to_have_value("The pot is broken")
    ann.page.keyboard.press("Enter")
    expect(ann.page.locator("#holder")).to_contain_text("Sue Kay has it")
    expect(ann.page.get_by_role("article").last).to_contain_text("The pot is broken")
    assert (ann.complaints, ben.complaints, sue.complaints) == ([], [], [])
