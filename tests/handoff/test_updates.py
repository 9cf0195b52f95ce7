"""The admin's page: what did not get through, once more for it, and nothing that is nobody's business."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from datetime import datetime

import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import make_server

from bot.ledger import inbox
from bot.ledger.tables import deliveries
from bot.ledger.transaction import Ledger
from bot.settings import Settings
from bot.updates import Unsupported
from bot.vocabulary import Role, UpdateState
from handoff import feed, words
from handoff.app import create_app
from tests import parts
from tests.factories import NOW, a_text
from tests.handoff import seeding
from tests.handoff.conftest import Clock, signed_in

FRAGMENT = {"HX-Request": "true"}
SECRET = "<b>aubergine</b>"


def a_failed_delivery(ledger: Ledger, *, body: bytes = b'{"text": "<b>aubergine</b>"}') -> int:
    """Two updates: one that could not be read, and one that could."""
    odd = Unsupported("text", "<i>body</i> is missing", unreadable=True)
    with ledger.writing() as tx:
        inbox.record(tx, body, [odd, a_text(SECRET)], NOW)
        return int(tx.execute(sa.select(sa.func.max(deliveries.c.id))).scalar_one())


def a_dead_letter(ledger: Ledger) -> seeding.Story:
    story = seeding.a_conversation(ledger, NOW, "Sam Okafor", "447700900102")
    story.sent(refuse="The number can't be reached on WhatsApp right now")
    return story


@pytest.fixture
def admin(quick_app: Flask, quick_ledger: Ledger) -> FlaskClient:
    email = "ada@fernhill.example"
    _, password = seeding.an_account_with_password(quick_ledger, email, Role.ADMIN, "Ada Kim")
    return signed_in(quick_app, email, password)


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_an_admin_sees_the_numbers_and_what_failed_and_never_what_was_written(
    admin: FlaskClient, quick_ledger: Ledger
) -> None:
    empty = text_of(admin.get("/updates").text)
    assert "Nothing failed." in empty and "Everything got out." in empty and "Read all again" not in empty
    delivery = a_failed_delivery(quick_ledger)
    a_dead_letter(quick_ledger)
    page = admin.get("/updates").text
    assert "Received 3 Handled 2 Repeated 0 Kept 0 Failed 1 Set aside 0 Open" in text_of(page)
    assert f"{delivery} no. 1" in text_of(page) and "&lt;i&gt;body&lt;/i&gt; is missing" in page
    assert "The number can&#39;t be reached on WhatsApp right now" in page
    for state in [*(state.value for state in UpdateState), "all", "nonesuch"]:
        assert "aubergine" not in admin.get(f"/updates?state={state}").text
    assert "Handled" in text_of(admin.get("/updates?state=handled").text)
    assert set(words.UPDATES) == set(words.UPDATE_MEANINGS) == set(UpdateState)


def test_the_page_is_linked_for_admins_and_shut_for_everybody_else(
    quick_app: Flask, quick_ledger: Ledger, admin: FlaskClient
) -> None:
    delivery = a_failed_delivery(quick_ledger)
    assert 'href="/updates"' in admin.get("/").text
    for role in (Role.AGENT, Role.SUPERVISOR, Role.CONTENT):
        email = f"{role.value}@fernhill.example"
        _, password = seeding.an_account_with_password(quick_ledger, email, role)
        client = signed_in(quick_app, email, password)
        assert 'href="/updates"' not in client.get("/").text
        gets = ("/updates", "/updates/live", f"/updates/{delivery}/body")
        posts = [f"/updates{of}/{verb}" for of in ("", f"/{delivery}", "/unsent/1") for verb in ("again", "aside")]
        posts.append(f"/updates/{delivery}/body")
        answers = [client.get(path) for path in gets] + [client.post(path) for path in posts]
        assert {answer.status_code for answer in answers} == {403}
        assert all("aubergine" not in answer.text for answer in answers)


def test_one_or_all_that_failed_can_be_read_again(admin: FlaskClient, quick_ledger: Ledger) -> None:
    one, two = a_failed_delivery(quick_ledger), a_failed_delivery(quick_ledger)
    plain = admin.post(f"/updates/{one}/again")
    assert (plain.status_code, plain.headers["Location"]) == (303, "/updates?state=failed")
    page = admin.get("/updates").text
    assert page.count("Waits to be read again") == 1 and f'id="again-{two}"' in page
    fragment = admin.post("/updates/again", headers=FRAGMENT).text
    assert fragment.count("Waits to be read again") == 2 and "<html" not in fragment
    with quick_ledger.reading() as tx:
        assert [delivery for delivery, _ in inbox.to_be_read_again(tx)] == [one, two]
    for unknown in (999, 10**30):
        assert admin.post(f"/updates/{unknown}/again").status_code == 404


def test_what_could_not_be_sent_is_sent_again_while_the_window_is_open(
    admin: FlaskClient, quick_ledger: Ledger, clock: Clock
) -> None:
    a_dead_letter(quick_ledger)
    (letter,) = re.findall(r'action="(/updates/unsent/\d+/again)\b', admin.get("/updates").text)
    clock.forward(hours=11)
    admin.get("/updates")
    clock.forward(hours=11)
    admin.get("/updates")
    clock.forward(hours=3)
    shut = admin.get("/updates").text
    assert "The window is closed" in shut and "Send again" not in shut
    refused = admin.post(letter, headers=FRAGMENT)
    assert (refused.status_code, refused.headers["HX-Retarget"]) == (409, "#toasts")
    clock.now = NOW
    assert "Everything got out." in admin.post(letter, headers=FRAGMENT).text
    assert admin.post("/updates/unsent/99999999999999999999/again").status_code == 404


def test_the_bots_words_a_person_has_overtaken_are_not_offered_and_are_refused(
    admin: FlaskClient, quick_ledger: Ledger
) -> None:
    story = a_dead_letter(quick_ledger)
    (letter,) = re.findall(r'action="(/updates/unsent/\d+/again)\b', admin.get("/updates").text)
    story.taken_by(seeding.an_account(quick_ledger))
    page = admin.get("/updates").text
    assert "Everything got out." in text_of(page) and "Send again" not in page
    refused = admin.post(letter, headers=FRAGMENT)
    assert (refused.status_code, "Reply instead" in refused.text) == (409, True)
    found = admin.get("/updates?unsent=overtaken").text
    assert "can&#39;t be reached" in found and "Send again" not in found and 'id="rest-' in found


def test_what_failed_is_set_aside_counts_no_more_and_is_still_found(
    admin: FlaskClient, quick_ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one, two = a_failed_delivery(quick_ledger), a_failed_delivery(quick_ledger)
    a_dead_letter(quick_ledger)
    assert f"Delivery {one} is set aside." in admin.post(f"/updates/{one}/aside", headers=FRAGMENT).text
    plain = admin.post("/updates/aside")
    assert (plain.status_code, plain.headers["Location"]) == (303, "/updates?state=failed")
    (letter,) = re.findall(r'action="(/updates/unsent/\d+/aside)\b', admin.get("/updates").text)
    assert "is set aside." in admin.post(letter, headers=FRAGMENT).text
    page = admin.get("/updates").text
    assert "Failed 0 Set aside 2" in text_of(page) and 'class="bad"' not in page
    assert "Nothing failed." in page and "Everything got out." in page
    found = admin.get("/updates?state=set_aside&unsent=set_aside").text
    assert f'id="again-{one}"' in found and f'id="again-{two}"' in found and "can&#39;t be reached" in found
    assert 'aria-current="page">Set aside' in found
    who = {vars(record).get("account") for record in caplog.records if vars(record).get("action") == "set_aside"}
    assert len(who) == 1 and None not in who
    assert [admin.post(path).status_code for path in (
        "/updates/999/aside", "/updates/unsent/999/aside", "/updates/unsent/99999999999999999999/aside",
    )] == [404] * 3  # fmt: skip


def the_door_reads(ledger: Ledger, *, readable: bool, at: datetime) -> None:
    """What was asked for is read once more, as the door does."""
    heard = a_text(SECRET) if readable else Unsupported("text", "<i>body</i> is missing", unreadable=True)
    with ledger.writing() as tx:
        for delivery, _ in inbox.to_be_read_again(tx):
            inbox.read_again(tx, delivery, [heard], at)


def test_who_asked_hears_what_became_of_it_once_and_the_row_says_when_it_was_tried(
    admin: FlaskClient, quick_ledger: Ledger
) -> None:
    one, two = a_failed_delivery(quick_ledger), a_failed_delivery(quick_ledger)

    def said(fragment: str) -> list[str]:
        return re.findall(r'<p id="said" hx-swap-oob="innerHTML">(.*?)</p>', fragment)

    def live(fragment: str) -> str:
        (address,) = re.findall(r'hx-get="([^"]+)"', fragment)
        return admin.get(address.replace("&amp;", "&"), headers=FRAGMENT).text

    asked = admin.post("/updates/again", headers=FRAGMENT).text
    assert said(asked) == ["Asked for; read within seconds."]
    waits = live(asked)
    assert said(waits) == [], "nothing is new"
    the_door_reads(quick_ledger, readable=False, at=NOW)
    tried = live(waits)
    assert said(tried) == ["Tried again 12:00: still can&#39;t be read."]
    assert text_of(tried).count("Tried again 12:00: still can&#39;t be read") == 3, "and on both rows"
    assert said(live(tried)) == [], "once"
    admin.post(f"/updates/{one}/again", headers=FRAGMENT)
    asked = admin.post(f"/updates/{two}/again?watched={one}", headers=FRAGMENT).text
    the_door_reads(quick_ledger, readable=True, at=NOW)
    assert said(live(asked)) == ["Tried again 12:00: it could be read."]
    assert "Tried again" not in text_of(admin.get("/updates?state=all").text), "it is no news any more"
    assert admin.get("/updates/live?watched=x-999-" + "9" * 40).status_code == 200


def test_a_body_is_shown_only_to_who_says_so_and_that_is_written_down(
    admin: FlaskClient, quick_ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    delivery = a_failed_delivery(quick_ledger)
    asked = admin.get(f"/updates/{delivery}/body")
    assert "It holds personal data." in asked.text and "aubergine" not in asked.text
    assert "body_shown" not in {vars(record).get("action") for record in caplog.records}
    shown = admin.post(f"/updates/{delivery}/body")
    assert "&lt;b&gt;aubergine&lt;/b&gt;" in shown.text and shown.headers["Cache-Control"] == "no-store"
    assert "body_shown" in {vars(record).get("action") for record in caplog.records}
    assert "aubergine" not in caplog.text
    odd = a_failed_delivery(quick_ledger, body=b"\xff\x00 not JSON")
    assert "not JSON" in admin.post(f"/updates/{odd}/body").text
    assert admin.get("/updates/999/body").status_code == 404


def test_another_site_can_not_make_an_admin_act(admin: FlaskClient, quick_ledger: Ledger) -> None:
    delivery = a_failed_delivery(quick_ledger)
    for path in (
        "/updates/again",
        f"/updates/{delivery}/again",
        f"/updates/{delivery}/body",
        "/updates/unsent/1/again",
        "/updates/aside",
        f"/updates/{delivery}/aside",
        "/updates/unsent/1/aside",
    ):
        assert admin.post(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    with quick_ledger.reading() as tx:
        assert inbox.to_be_read_again(tx) == []


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = parts.chromium()
    if path is None:
        parts.skip("no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def base(quick_url: str, clock: Clock) -> Iterator[str]:
    """The desk on a port."""
    app = create_app(Settings(database_url=quick_url), now=clock)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True  # type: ignore[attr-defined]
    server.block_on_close = False  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    with app.app_context():
        feed.feed().stop()
    server.shutdown()
    server.server_close()


def ada_at(chromium: Browser, base: str, ledger: Ledger, clock: Clock, **also: object) -> Page:
    email = "ada@fernhill.example"
    account, password = seeding.an_account_with_password(ledger, email, Role.ADMIN, "Ada Kim")
    context = chromium.new_context(**({"viewport": {"width": 1440, "height": 900}} | also))  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.goto(base)
    page.fill("#email", account.email)
    page.fill("#password", password)
    page.press("#password", "Enter")
    if page.viewport_size == {"width": 390, "height": 844}:
        page.locator("#me").click()
    page.get_by_role("link", name="Updates").click()
    page.wait_for_url("**/updates**")  # its scripts, too: before them a form works, but as in a browser without any
    return page


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)])
def test_everybody_can_use_it(
    chromium: Browser, base: str, quick_ledger: Ledger, clock: Clock, scheme: str, width: int
) -> None:
    delivery = a_failed_delivery(quick_ledger)
    a_dead_letter(quick_ledger)
    seeding.an_alarm(quick_ledger, NOW)
    view = {"width": width, "height": 844}
    page = ada_at(chromium, base, quick_ledger, clock, viewport=view, color_scheme=scheme)
    expect(page.get_by_role("button", name="Read all again")).to_be_visible()
    for path in ("/updates", "/updates?state=all", f"/updates/{delivery}/body"):
        page.goto(f"{base}{path}")
        found = [rule for rule in Axe().run(page).response["violations"] if rule["impact"] in ("serious", "critical")]
        bad = [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found]
        assert bad == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


@pytest.mark.parametrize("script", [True, False], ids=["htmx", "no script"])
def test_reading_again_and_sending_again_work_with_and_without_script(
    chromium: Browser, base: str, quick_ledger: Ledger, clock: Clock, script: bool
) -> None:
    delivery = a_failed_delivery(quick_ledger)
    a_dead_letter(quick_ledger)
    page = ada_at(chromium, base, quick_ledger, clock, java_script_enabled=script)
    loads: list[str] = []
    page.on("framenavigated", lambda frame: loads.append(frame.url))
    page.get_by_role("button", name=f"Read again delivery {delivery}").click()
    expect(page.get_by_text("Waits to be read again")).to_be_visible()
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("Everything got out.")).to_be_visible()
    assert bool(loads) is not script
    page.get_by_role("link", name="As it came").click()
    page.get_by_role("button", name="Show it").click()
    expect(page.locator("pre")).to_contain_text("<b>aubergine</b>")


def test_who_works_by_keyboard_keeps_their_place_and_hears_what_became_of_it(
    chromium: Browser, base: str, quick_ledger: Ledger, clock: Clock
) -> None:
    delivery = a_failed_delivery(quick_ledger)
    a_dead_letter(quick_ledger)
    page = ada_at(chromium, base, quick_ledger, clock)
    said, button = page.locator("#said"), page.locator(f"#again-{delivery}")
    region = said.element_handle()
    button.focus()
    page.keyboard.press("Enter")
    expect(said).to_have_text("Asked for; read within seconds.")
    expect(button, "where the button was").to_be_focused()
    the_door_reads(quick_ledger, readable=False, at=NOW)
    expect(said).to_have_text("Tried again 12:00: still can't be read.", timeout=10_000)
    expect(button, "the button is back, and has the focus still").to_be_focused()
    expect(page.locator(".tried-at")).to_have_text("Tried again 12:00: still can't be read")
    assert region is not None and region.evaluate("it => it.isConnected"), "a region that is swapped is not read aloud"
    page.keyboard.press("Enter")
    expect(said).to_have_text("Asked for; read within seconds.")
    the_door_reads(quick_ledger, readable=True, at=NOW)
    expect(said).to_have_text("Tried again 12:00: it could be read.", timeout=10_000)
    expect(page.get_by_text("Nothing failed.")).to_be_visible(timeout=10_000)
    expect(page.locator("#brought"), "the row is gone; the heading above it has the focus").to_be_focused()
    page.get_by_role("button", name="Set aside message").focus()
    page.keyboard.press("Enter")
    expect(said).to_contain_text("is set aside")
    expect(page.locator("#unsent")).to_be_focused()


def test_a_page_that_looks_again_by_itself_leaves_the_focus_where_it_is(
    chromium: Browser, base: str, quick_ledger: Ledger, clock: Clock
) -> None:
    delivery = a_failed_delivery(quick_ledger)
    page = ada_at(chromium, base, quick_ledger, clock)
    page.locator(f"#again-{delivery}").click()
    expect(page.get_by_text("Waits to be read again")).to_be_visible()
    link = page.get_by_role("link", name="Desk", exact=True)
    link.focus()
    the_door_reads(quick_ledger, readable=True, at=NOW)
    expect(page.get_by_text("Nothing failed.")).to_be_visible(timeout=10_000)
    assert link.evaluate("it => it === document.activeElement")
    with page.expect_response("**/updates/live*"):
        pass
    page.locator("#only-kept").focus()
    with page.expect_response("**/updates/live*"):
        pass
    page.wait_for_timeout(300)
    expect(page.locator("#only-kept")).to_be_focused()
