"""The phone page of the simulator."""

from __future__ import annotations

import base64
from collections.abc import Iterator

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
