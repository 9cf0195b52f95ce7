"""The phone page of the simulator."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests import parts
from tests.connectors.stage import (
    MIA,
    NUMBER,
    SAM,
    Business,
    Stage,
    a_business,
    a_list,
    a_stage,
    buttons,
    code_of,
    wait_for,
    wamid_of,
)


@pytest.fixture
def business() -> Iterator[Business]:
    with a_business() as one:
        yield one


@pytest.fixture
def stage(business: Business) -> Iterator[Stage]:
    with a_stage(business) as one:
        yield one


def page(stage: Stage, phone: str = MIA) -> requests.Response:
    return requests.get(f"{stage.base}/conversations/{NUMBER}/{phone}", timeout=5)


def test_nothing_anybody_writes_becomes_html(stage: Stage) -> None:
    evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
    stage.control("/contacts", {"name": evil, "phone": MIA})
    first = stage.write(text=f"{evil} *{evil}* _{evil}_ ```{evil}``` https://a.example/{evil}")
    stage.send("interactive", interactive=buttons(["<b>x</b>"], body={"text": evil}, footer={"text": "<i>f</i>"}))
    stage.send(text={"body": f"> {evil}"}, context={"message_id": first})
    stage.send("contacts", contacts=[{"name": {"formatted_name": evil, "first_name": evil}}])
    wait_for(lambda: all(one["status"] == "delivered" for one in stage.messages()))
    shown = page(stage)
    assert "<img src=x" not in shown.text
    assert "<script>alert" not in shown.text
    assert "<b>x" not in shown.text
    assert "&lt;script&gt;" in shown.text
    assert "script-src 'self'" in shown.headers["Content-Security-Policy"]


def test_a_file_that_claims_to_be_a_web_page_is_not_run_as_one(stage: Stage) -> None:
    stage.write(document={"base64": base64.b64encode(b"<script>").decode(), "filename": "a.html"})
    media_id = stage.messages()[0]["content"]["id"]
    answer = requests.get(f"{stage.base}/media/{media_id}", timeout=5)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_the_page_writes_as_the_contact_and_looking_at_it_reports_read(stage: Stage) -> None:
    address = f"{stage.base}/conversations/{NUMBER}/{MIA}"
    answer = requests.post(f"{address}/messages", data={"text": "Hello *there*"}, timeout=5)
    assert "Hello <strong>there</strong>" in answer.text, "without script the page itself comes back"
    wamid_of(stage.send(text={"body": "Good morning"}))
    wait_for(lambda: stage.business.statuses() == ["sent", "delivered"])
    requests.post(f"{address}/seen", timeout=5)
    wait_for(lambda: stage.business.statuses()[-1] == "read")


def test_another_web_page_cannot_write_in_a_contacts_name(stage: Stage) -> None:
    address = f"{stage.base}/conversations/{NUMBER}/{MIA}/messages"
    answer = requests.post(address, data={"text": "x"}, headers={"Sec-Fetch-Site": "cross-site"}, timeout=5)
    assert answer.status_code == 403
    assert stage.messages() == []


def test_open_pages_hear_at_once_whose_conversation_changed(stage: Stage) -> None:
    with requests.get(f"{stage.base}/live", stream=True, timeout=5) as stream:
        lines = stream.iter_lines(decode_unicode=True)
        assert next(lines) == "retry: 1000"
        stage.write(SAM)
        assert next(line for line in lines if line.startswith("data:")) == f'data: ["{SAM}"]'


def test_a_newcomer_holds_a_conversation_in_the_browser(stage: Stage) -> None:  # noqa: PLR0915 - one story
    playwright = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    chromium = parts.chromium()
    if chromium is None:
        parts.skip("no Chromium here")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        complaints: list[str] = []
        tab.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        expect = playwright.expect

        tab.goto(stage.base)
        tab.get_by_role("link", name="Mia Turner").click()
        tab.get_by_role("button", name="Where is my order FH10482?").click()
        expect(tab.locator(".mine .words")).to_have_text("Where is my order FH10482?")
        expect(tab.locator(".mine .ticks.is-delivered")).to_be_visible()

        stage.send("interactive", interactive=buttons(["Track", "Return"]))
        tab.get_by_role("button", name="Return").click()
        expect(tab.locator(".mine").last.locator(".quote")).to_contain_text("What next?")
        wait_for(lambda: "read" in stage.business.statuses())

        stage.send("interactive", interactive=a_list([{"id": "r", "title": "Refund", "description": "3 days"}]))
        tab.get_by_role("button", name="Choose").click()
        tab.get_by_label("Refund").check()
        tab.get_by_role("dialog").get_by_role("button", name="Send").click()
        expect(tab.locator(".mine .words").last).to_have_text("Refund")

        box = tab.get_by_label("Message to Fernhill")
        box.fill("one")
        box.press("Shift+Enter")
        box.press_sequentially("two")
        box.press("Enter")
        expect(tab.locator(".mine .words").last).to_have_text("one\ntwo")
        expect(box).to_have_value("")

        tab.get_by_label("Attach").click()
        tab.get_by_role("button", name="Photo of a damaged parcel").click()
        expect(tab.locator(".mine .shot img")).to_be_visible()

        tab.locator(".theirs .bubble").last.hover()
        tab.locator(".theirs .more summary").last.click()
        tab.locator(".theirs .more").last.get_by_role("button", name="Reply").click()
        box.fill("About this")
        box.press("Enter")
        expect(tab.locator(".mine").last.locator(".quote")).to_contain_text("Pick")

        last = stage.business.messages()[-1]["id"]
        receipt = {"messaging_product": "whatsapp", "status": "read", "message_id": last}
        stage.post({**receipt, "typing_indicator": {"type": "text"}})
        expect(tab.locator("#presence")).to_have_text("typing…")
        expect(tab.locator(".mine .ticks.is-read").last).to_be_visible()

        tab.reload()
        expect(tab.locator(".mine .words").last).to_have_text("About this")
        assert axe.Axe().run(tab).response["violations"] == []

        tab.get_by_role("button", name="New contact").click()
        tab.get_by_role("button", name="Pick up this phone").click()
        expect(tab.locator(".card")).to_contain_text("phone. Write to Fernhill")
        browser.close()
    assert complaints == []
    kinds = [message["type"] for message in stage.business.messages()]
    assert kinds == ["text", "interactive", "interactive", "text", "image", "text"]


def test_two_numbers_of_the_business_are_two_conversations(business: Business) -> None:
    with a_stage(business, numbers=(NUMBER, "100200301")) as stage:
        stage.write(text="to the second", phone_number_id="100200301")
        assert wait_for(business.values)[0]["metadata"]["phone_number_id"] == "100200301"
        assert code_of(stage.send()) == 131047, "the window of one number is not that of the other"
        assert "to the second" not in page(stage).text


def test_the_newer_kinds_of_messages_can_be_answered_in_the_browser(stage: Stage) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    chromium = parts.chromium()
    if chromium is None:
        parts.skip("no Chromium here")
    stage.write(text="oops")
    parameters = {"flow_message_version": "3", "flow_id": "1", "flow_cta": "Choose a slot", "flow_token": "t"}
    flow = {"type": "flow", "body": {"text": "When?"}, "action": {"name": "flow", "parameters": parameters}}
    ask = {"type": "request_contact_info", "body": {"text": "May we call?"}, "action": {"name": "request_contact_info"}}
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        expect = playwright.expect
        tab.goto(f"{stage.base}/conversations/{NUMBER}/{MIA}")
        tab.locator(".mine .bubble").hover()
        tab.locator(".mine .more summary").click()
        tab.get_by_role("button", name="Delete for everyone").click()
        expect(tab.locator(".mine").first).to_contain_text("This message was deleted")

        stage.send("interactive", interactive=flow)
        tab.get_by_role("button", name="Choose a slot").click()
        tab.get_by_label("Answer").fill("Monday")
        tab.get_by_role("dialog").get_by_role("button", name="Send").click()
        expect(tab.locator(".mine").last).to_contain_text("answer: Monday")

        tab.get_by_label("More about this phone").click()
        tab.get_by_role("button", name="Hide the number").click()
        wait_for(lambda: stage.get("/api/contacts")[0]["shows"] == "user_id")
        stage.send("interactive", interactive=ask)
        tab.get_by_role("button", name="Share my number").click()
        expect(tab.locator(".mine").last).to_contain_text(f"+{MIA}")
        wait_for(lambda: stage.get("/api/contacts")[0]["shows"] == "both")
        assert axe.Axe().run(tab).response["violations"] == []
        browser.close()
    last = stage.business.messages()[-1]
    assert (last["type"], last["origin"]) == ("contacts", "contact_request")


def chosen(tab: Any, name: str) -> None:
    tab.get_by_label("Attach").click()
    tab.get_by_role("button", name=name).click()


def test_a_newcomer_sends_every_kind_edits_and_deletes_without_a_command_line(  # noqa: PLR0915 - one story
    stage: Stage,
) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    chromium = parts.chromium()
    if chromium is None:
        parts.skip("no Chromium here")
    expect = playwright.expect
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        tab.goto(f"{stage.base}/conversations/{NUMBER}/{MIA}")
        chosen(tab, "Contact card")
        expect(tab.locator(".mine").last).to_contain_text("Iris Turner")
        chosen(tab, "Video of a seedling")
        playable = "() => document.querySelector('video')?.videoWidth === 240"
        tab.wait_for_function(playable)
        chosen(tab, "Sticker")
        expect(tab.locator(".mine .sticker img")).to_be_visible()
        chosen(tab, "Order from the catalogue")
        expect(tab.locator(".mine").last).to_contain_text("1 × FH-TROWEL")
        chosen(tab, "PDF of a receipt")
        expect(tab.locator(".mine").last).to_contain_text("receipt.pdf")
        tab.get_by_label("Message to Fernhill").fill("See you at tne")
        chosen(tab, "Forwarded message")
        expect(tab.locator(".mine").last).to_contain_text("Forwarded")

        tab.get_by_label("More about this phone").click()
        tab.get_by_role("switch", name="This business also uses").press("Space")
        expect(tab.get_by_role("switch")).to_have_attribute("aria-checked", "true")
        expect(tab.get_by_role("switch")).to_be_focused()
        assert axe.Axe().run(tab).response["violations"] == []
        tab.keyboard.press("Escape")

        menu = tab.locator(".mine .more summary").last
        menu.focus()
        menu.press("Enter")
        assert axe.Axe().run(tab).response["violations"] == []
        tab.get_by_role("button", name="Edit", exact=True).last.press("Enter")
        box = tab.get_by_label("Message to Fernhill")
        expect(box).to_have_value("See you at tne")
        box.fill("See you at ten")
        box.press("Enter")
        expect(tab.locator(".mine").last).to_contain_text("See you at ten")
        expect(tab.locator(".mine").last).to_contain_text("Edited")
        tab.locator(".mine .more summary").last.focus()
        tab.keyboard.press("Enter")
        tab.get_by_role("button", name="Delete for everyone").last.press("Enter")
        expect(tab.locator(".mine").last).to_contain_text("This message was deleted")
        expect(tab.locator(".mine").last.locator(".more")).to_have_count(0)
        expect(tab.locator("#contacts .person").first).to_contain_text("This message was deleted")
        browser.close()
    sent = wait_for(lambda: len(stage.business.messages()) == 8 and stage.business.messages())
    kinds = ["contacts", "video", "sticker", "order", "document", "text", "edit", "revoke"]
    assert [message["type"] for message in sent] == kinds
    assert sent[5]["context"] == {"forwarded": True}
    assert sent[6]["edit"]["message"]["text"] == {"body": "See you at ten"}


def test_without_coexistence_the_business_hears_of_something_unsupported(stage: Stage) -> None:
    wamid = stage.write(text="oops")
    address = f"{stage.base}/conversations/{NUMBER}/{MIA}"
    shown = requests.post(f"{address}/messages", data={"edit": wamid, "text": "better"}, timeout=5).text
    assert "better" in shown
    shown = requests.post(f"{address}/revoke", data={"wamid": wamid}, timeout=5).text
    row = shown.split('<ul class="people">')[1].split("</li>")[0]
    assert "This message was deleted" in row
    found = wait_for(lambda: len(stage.business.messages()) == 3 and stage.business.messages())
    assert [one.get("unsupported") for one in found] == [None, {"type": "edit"}, {"type": "revoke"}]


def test_a_new_contact_with_a_taken_number_changes_nobody(stage: Stage) -> None:
    asked = {"name": "Mia Turner", "phone": MIA, "shows": "user_id", "username": "@mia"}
    stage.control("/contacts", asked)
    for phone, owner in ((MIA, "Mia Turner"), ("447700900192", "Rosa Token")):
        form = {"name": "Somebody Else", "phone": f"+{phone}", "number": NUMBER}
        answer = requests.post(f"{stage.base}/contacts", data=form, timeout=5)
        assert f"taken already: it is {owner}’s phone" in answer.text
        assert "Somebody Else" not in answer.text
    found = stage.get("/api/contacts")[0]
    assert {key: found[key] for key in asked} == asked
    assert stage.control("/contacts", {"name": "Mia T.", "phone": MIA}).json()["name"] == "Mia T.", "scripts may"


def test_a_list_row_of_one_long_word_stays_inside_a_narrow_sheet(stage: Stage) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = parts.chromium()
    if chromium is None:
        parts.skip("no Chromium here")
    stage.write()
    row = {"id": "r", "title": "W" * 24, "description": "x" * 72}
    stage.send("interactive", interactive=a_list([row]))
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        tab.goto(f"{stage.base}/conversations/{NUMBER}/{MIA}")
        tab.get_by_role("button", name="Choose").click()
        widths = tab.locator("dialog[open] .choices").evaluate("one => [one.scrollWidth, one.clientWidth]")
        browser.close()
    assert widths[0] <= widths[1]


def test_while_a_fault_stops_the_sender_every_phone_says_so(stage: Stage) -> None:
    rosa = "447700900192"
    stage.write()
    stage.write(rosa)
    assert "stops sending to everybody" in page(stage, rosa).text
    assert "may send to nobody" not in page(stage).text
    assert code_of(stage.send(to=rosa)) == 190
    assert "Rosa Token’s phone has just refused a message with 190" in page(stage).text
    assert stage.send().status_code == 200
    assert "may send to nobody" not in page(stage).text
    stage.fault("token", times=3)
    assert "refuses the next 3 sends with 190" in page(stage).text
    requests.delete(f"{stage.base}/api/faults", timeout=5)
    stage.fault("rate", probability=0.02)
    assert "refuses some sends with 130429" in page(stage).text
    requests.delete(f"{stage.base}/api/faults", timeout=5)
    assert "may send to nobody" not in page(stage).text
