"""The simulator, over real HTTP: a tiny server plays the business, the control API plays the contacts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from connectors.whatsapp.simulator.app import PortTaken, Simulator, serving
from connectors.whatsapp.simulator.exchange import Delays
from connectors.whatsapp.simulator.magic import MAGIC

NUMBER, SECRET, TOKEN = "100200300", "wa-test-secret", "a-token"
MIA, SAM = "447700900101", "447700900102"
QUICK = Delays(sent=0.01, delivered=0.03)
SHORT_PAUSE = 0.25
CHROMIUM = Path("/usr/bin/chromium")


def wait_for(seen: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Return what `seen` returns as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = seen()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


@dataclass
class Business:
    """Stands where Baton's webhook would: keeps every POST as it came, answers what it is told."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    signatures: list[str | None] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def take(self, body: bytes, signature: str | None) -> int:
        self.bodies.append(body)
        self.signatures.append(signature)
        self.moments.append(time.monotonic())
        return self.answers.pop(0) if self.answers else 200

    def values(self) -> list[dict[str, Any]]:
        return [json.loads(body)["entry"][0]["changes"][0]["value"] for body in list(self.bodies)]

    def messages(self) -> list[dict[str, Any]]:
        return [message for value in self.values() for message in value.get("messages", [])]

    def reports(self) -> list[dict[str, Any]]:
        return [report for value in self.values() for report in value.get("statuses", [])]

    def statuses(self) -> list[str]:
        return [report["status"] for report in self.reports()]


@contextmanager
def a_business() -> Iterator[Business]:
    business = Business()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(business.take(body, self.headers.get("X-Hub-Signature-256")))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    business.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/whatsapp/webhook"
    try:
        yield business
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Stage:
    """A simulator that runs, and the calls both sides make."""

    base: str
    business: Business

    def send(self, kind: str = "text", to: str = MIA, token: str = TOKEN, **keys: Any) -> requests.Response:
        payload: dict[str, Any] = {"messaging_product": "whatsapp", "to": f"+{to}", "type": kind, **keys}
        if kind == "text":
            payload.setdefault("text", {"body": "Hello"})
        return self.post(payload, token)

    def post(self, payload: Any, token: str = TOKEN, number: str = NUMBER) -> requests.Response:
        return requests.post(
            f"{self.base}/v25.0/{number}/messages",
            json=payload,
            headers={"Authorization": f"Bearer {token}"},
            timeout=5,
        )

    def get(self, path: str, **parameters: str) -> Any:
        return requests.get(f"{self.base}{path}", params=parameters, timeout=5).json()

    def control(self, path: str, body: Any = None) -> requests.Response:
        return requests.post(f"{self.base}/api{path}", json=body or {}, timeout=5)

    def write(self, phone: str = MIA, **asked: Any) -> str:
        answer = self.control(f"/contacts/{phone}/messages", asked or {"text": "Hi"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["wamid"])

    def messages(self, phone: str = MIA) -> list[dict[str, Any]]:
        return list(self.get("/api/messages", phone=phone))

    def message(self, wamid: str) -> dict[str, Any]:
        return next(message for message in self.get("/api/messages") if message["wamid"] == wamid)


@contextmanager
def a_stage(business: Business, state: Path | None = None, numbers: tuple[str, ...] = (NUMBER,)) -> Iterator[Stage]:
    simulator = Simulator(numbers, SECRET, TOKEN, business.url, state, delays=QUICK)
    with serving(simulator) as base:
        yield Stage(base, business)


@pytest.fixture
def business() -> Iterator[Business]:
    with a_business() as one:
        yield one


@pytest.fixture
def stage(business: Business) -> Iterator[Stage]:
    with a_stage(business) as one:
        yield one


@pytest.fixture(scope="module")
def shared_stage() -> Iterator[Stage]:
    """A stage for the many small refusals: nothing they do leaves a trace."""
    with a_business() as business, a_stage(business) as one:
        one.write()
        yield one


def wamid_of(answer: requests.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["messages"][0]["id"])


def code_of(answer: requests.Response) -> int:
    return int(answer.json()["error"]["code"])


# What contacts write


def test_a_text_reaches_the_business_as_meta_would_send_it(stage: Stage) -> None:
    wamid = stage.write(text="Where is my order FH10482?")
    (value,) = wait_for(stage.business.values)
    person = next(contact for contact in stage.get("/api/contacts") if contact["phone"] == MIA)
    sent_at = value["messages"][0].pop("timestamp")
    assert sent_at.isdigit()
    assert abs(int(sent_at) - time.time()) < 5
    assert value == {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "441632960100", "phone_number_id": NUMBER},
        "contacts": [{"profile": {"name": "Mia Turner"}, "user_id": person["user_id"], "wa_id": MIA}],
        "messages": [
            {
                "from": MIA,
                "from_user_id": person["user_id"],
                "id": wamid,
                "type": "text",
                "text": {"body": "Where is my order FH10482?"},
            }
        ],
    }


def test_the_signature_covers_the_exact_bytes_and_text_beyond_ascii_is_escaped(stage: Stage) -> None:
    stage.write(text="café 😀 naïve")
    body = wait_for(lambda: stage.business.bodies)[0]
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert stage.business.signatures == [f"sha256={expected}"]
    assert rb"caf\u00e9 \ud83d\ude00" in body
    assert body.isascii()


def test_a_contact_who_hides_the_number_is_known_by_the_bsuid_alone(stage: Stage) -> None:
    person = stage.control("/contacts", {"name": "Noa", "phone": "447700900950", "hides_number": True}).json()
    stage.write("447700900950")
    (value,) = wait_for(stage.business.values)
    assert value["contacts"] == [{"profile": {"name": "Noa"}, "user_id": person["user_id"]}]
    assert "from" not in value["messages"][0]
    answer = stage.post(
        {"messaging_product": "whatsapp", "recipient": person["user_id"], "type": "text", "text": {"body": "Hi"}}
    )
    assert answer.json()["contacts"] == [{"input": person["user_id"], "user_id": person["user_id"]}]
    report = wait_for(stage.business.reports)[0]
    assert "recipient_id" not in report
    assert report["recipient_user_id"] == person["user_id"]


def test_a_photo_arrives_as_an_id_which_the_business_can_fetch(stage: Stage) -> None:
    stage.write(image={"caption": "The corner is crushed"})
    image = wait_for(stage.business.messages)[0]["image"]
    token = {"Authorization": f"Bearer {TOKEN}"}
    found = requests.get(f"{stage.base}/v25.0/{image['id']}", headers=token, timeout=5).json()
    content = requests.get(found["url"], headers=token, timeout=5).content
    assert image["caption"] == "The corner is crushed"
    assert (image["mime_type"], found["mime_type"]) == ("image/jpeg", "image/jpeg")
    assert image["sha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert int(found["file_size"]) == len(content)
    assert requests.get(image["url"], headers=token, timeout=5).content == content
    assert requests.get(found["url"], timeout=5).status_code == 401
    assert requests.get(found["url"].replace("ext=", "ext=1"), headers=token, timeout=5).status_code == 404


def test_a_voice_note_says_that_it_is_one(stage: Stage) -> None:
    stage.write(audio=True)
    audio = wait_for(stage.business.messages)[0]["audio"]
    assert (audio["voice"], audio["mime_type"]) == (True, "audio/ogg; codecs=opus")


def test_places_and_reactions_arrive_in_their_own_shape(stage: Stage) -> None:
    wamid = stage.write(location={"latitude": 51.5, "longitude": -0.1, "name": "Home"})
    stage.write(reaction="👍", to=wamid)
    stage.write(reaction="", to=wamid)
    place, thumb, none = wait_for(lambda: len(stage.business.messages()) == 3 and stage.business.messages())
    assert place["location"] == {"latitude": 51.5, "longitude": -0.1, "name": "Home"}
    assert thumb["reaction"] == {"message_id": wamid, "emoji": "👍"}
    assert none["reaction"] == {"message_id": wamid}


def test_whatever_a_test_wants_to_deliver_is_delivered_and_signed(stage: Stage) -> None:
    body = b'{"object":"whatsapp_business_account","entry":[]}'
    for signature, expected in (
        ("", "sha256=4d57187b838990375712e5d0f9975815a99f6406bfd8e60aa8a46204d8d21960"),
        ("none", None),
        ("sha256=0", "sha256=0"),
    ):
        answer = requests.post(f"{stage.base}/api/webhooks", data=body, params={"signature": signature}, timeout=5)
        assert answer.json()["status"] == 200
        assert (stage.business.bodies[-1], stage.business.signatures[-1]) == (body, expected)


# Delivery to the business


def test_a_delivery_is_repeated_until_the_business_says_200(business: Business) -> None:
    business.answers = [500, 403]
    with a_stage(business) as stage:
        wamid = stage.write()
        assert wait_for(lambda: stage.message(wamid)["status"] == "delivered")
    first, second, third = business.bodies
    assert first == second == third
    assert business.moments[1] - business.moments[0] >= 0.45
    assert business.moments[2] - business.moments[1] >= 0.95


def test_messages_of_one_contact_keep_their_order_and_another_contact_need_not_wait(business: Business) -> None:
    business.answers = [500]
    with a_stage(business) as stage:
        stage.write(text="0")
        wait_for(lambda: business.bodies)
        for text in ("1", "2", "3"):
            stage.write(text=text)
        stage.write(SAM, text="Sam")
        wait_for(lambda: len(business.bodies) == 6)
        texts = [message["text"]["body"] for message in business.messages()]
    assert [text for text in texts if text != "Sam"] == ["0", "0", "1", "2", "3"]
    assert texts[1] == "Sam"


def test_nothing_is_lost_when_both_sides_are_killed(tmp_path: Path) -> None:
    state = tmp_path / "simulator.sqlite"
    program = (
        "import sys; from pathlib import Path; from connectors.whatsapp.simulator.app import *;"
        "s = Simulator(('100200300',), 'wa-test-secret', 'a-token', 'http://127.0.0.1:9/', Path(sys.argv[1]));\n"
        "with serving(s) as base: print(base, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        there = Stage(process.stdout.readline().strip(), Business())
        first, second = there.write(text="one"), there.write(text="two")
        assert wait_for(lambda: there.get("/health"))["waiting"] == 2
        os.kill(process.pid, signal.SIGKILL)
    with a_business() as business, a_stage(business, state) as stage:
        wait_for(lambda: len(business.messages()) == 2)
        assert [message["id"] for message in business.messages()] == [first, second]
        assert [message["text"] for message in stage.messages()] == ["one", "two"]
        assert stage.send().status_code == 200, "the window survived too"


# What the business sends


def test_an_accepted_message_is_answered_and_reported_with_its_callback_data(stage: Stage) -> None:
    stage.write()
    answer = stage.send(biz_opaque_callback_data="outbox:17")
    wamid = wamid_of(answer)
    assert answer.json() == {
        "messaging_product": "whatsapp",
        "contacts": [{"input": f"+{MIA}", "wa_id": MIA}],
        "messages": [{"id": wamid}],
    }
    wait_for(lambda: len(stage.business.reports()) == 2)
    sent, delivered = stage.business.reports()
    assert (sent["status"], delivered["status"]) == ("sent", "delivered")
    assert sent.pop("timestamp").isdigit()
    assert sent == {
        "id": wamid,
        "status": "sent",
        "recipient_id": MIA,
        "recipient_user_id": sent["recipient_user_id"],
        "biz_opaque_callback_data": "outbox:17",
        "pricing": {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "service"},
    }


def test_read_is_reported_only_when_the_contact_looked(stage: Stage) -> None:
    stage.write()
    wamid = wamid_of(stage.send())
    wait_for(lambda: stage.business.statuses() == ["sent", "delivered"])
    time.sleep(SHORT_PAUSE)
    assert stage.message(wamid)["status"] == "delivered"
    stage.control(f"/messages/{wamid}/read")
    wait_for(lambda: stage.business.statuses() == ["sent", "delivered", "read"])
    stage.control(f"/messages/{wamid}/read")
    time.sleep(SHORT_PAUSE)
    assert stage.business.statuses() == ["sent", "delivered", "read"]


def test_a_tapped_button_comes_back_with_its_title_and_quotes_the_message(stage: Stage) -> None:
    stage.write()
    wamid = wamid_of(stage.send("interactive", interactive=buttons(["Track", "Return"])))
    assert stage.message(wamid)["replies"] == [{"id": "id-0", "title": "Track"}, {"id": "id-1", "title": "Return"}]
    stage.write(tap="id-1", to=wamid)
    wait_for(lambda: len(stage.business.messages()) == 2)
    reply = stage.business.messages()[1]
    assert reply["context"] == {"from": "441632960100", "id": wamid}
    assert reply["interactive"] == {"type": "button_reply", "button_reply": {"id": "id-1", "title": "Return"}}


def test_a_chosen_row_comes_back_with_its_description(stage: Stage) -> None:
    stage.write()
    wamid = wamid_of(stage.send("interactive", interactive=a_list([{"id": "r", "title": "Row", "description": "D"}])))
    stage.write(tap="r", to=wamid)
    wait_for(lambda: len(stage.business.messages()) == 2)
    node = stage.business.messages()[1]["interactive"]
    assert node == {"type": "list_reply", "list_reply": {"id": "r", "title": "Row", "description": "D"}}


def test_a_read_receipt_turns_all_earlier_ticks_blue(stage: Stage) -> None:
    stage.write(text="one")
    last = stage.write(text="two")
    wait_for(lambda: [message["status"] for message in stage.messages()] == ["delivered"] * 2)
    receipt = {"messaging_product": "whatsapp", "status": "read", "message_id": last}
    assert stage.post({**receipt, "typing_indicator": {"type": "text"}}).json() == {"success": True}
    assert [message["status"] for message in stage.messages()] == ["read", "read"]
    assert "typing…" in page(stage).text
    stage.send()
    assert "typing…" not in page(stage).text, "the next message ends it"
    assert code_of(stage.post({**receipt, "message_id": "wamid.unknown"})) == 131009


def test_media_the_business_uploads_can_be_sent_and_deleted(stage: Stage) -> None:
    stage.write()
    token = {"Authorization": f"Bearer {TOKEN}"}
    media_id = requests.post(
        f"{stage.base}/v25.0/{NUMBER}/media",
        headers=token,
        data={"messaging_product": "whatsapp", "type": "application/pdf"},
        files={"file": ("label.pdf", b"%PDF", "application/pdf")},
        timeout=5,
    ).json()["id"]
    wamid_of(stage.send("document", document={"id": media_id, "filename": "label.pdf"}))
    wait_for(lambda: stage.business.statuses() == ["sent", "delivered"])
    gone = requests.delete(f"{stage.base}/v25.0/{media_id}", headers=token, timeout=5).json()
    assert gone == {"success": True}
    wamid_of(stage.send("document", document={"id": media_id}))
    report = wait_for(lambda: stage.business.reports()[2:])[0]
    assert (report["status"], report["errors"][0]["code"]) == ("failed", 131053)


def test_a_link_that_does_not_load_is_accepted_and_reported_failed(stage: Stage) -> None:
    stage.write()
    stage.send("image", image={"link": "http://127.0.0.1:9/gone.jpg"})
    report = wait_for(stage.business.reports)[0]
    assert (report["status"], report["errors"][0]["code"]) == ("failed", 131053)
    wamid = wamid_of(stage.send("image", image={"link": f"{stage.base}/static/leaf.svg"}))
    wait_for(lambda: stage.message(wamid)["status"] == "delivered")


# What Meta refuses


def buttons(titles: list[str], **more: Any) -> dict[str, Any]:
    made = [{"type": "reply", "reply": {"id": f"id-{n}", "title": title}} for n, title in enumerate(titles)]
    return {"type": "button", "body": {"text": "What next?"}, "action": {"buttons": made}, **more}


def a_list(rows: list[dict[str, str]], button: str = "Choose") -> dict[str, Any]:
    return {
        "type": "list",
        "body": {"text": "Pick"},
        "action": {"button": button, "sections": [{"title": "All", "rows": rows}]},
    }


def rows(count: int) -> list[dict[str, str]]:
    return [{"id": f"r{n}", "title": f"Row {n}"} for n in range(count)]


def a_link(text: str = "Open", url: str = "https://fernhill.example") -> dict[str, Any]:
    parameters = {"display_text": text, "url": url}
    return {"type": "cta_url", "body": {"text": "Look"}, "action": {"name": "cta_url", "parameters": parameters}}


def test_the_longest_things_meta_takes_are_taken(stage: Stage) -> None:
    stage.write()
    header = {"type": "text", "text": "h" * 60}
    for node in (
        buttons(["t" * 20, "two", "three"], body={"text": "b" * 1024}, footer={"text": "f" * 60}, header=header),
        a_list([{"id": "i" * 200, "title": "t" * 24, "description": "d" * 72}, *rows(9)], "b" * 20),
        a_link("d" * 20),
        {"type": "location_request_message", "body": {"text": "Where?"}, "action": {"name": "send_location"}},
    ):
        assert stage.send("interactive", interactive=node).status_code == 200
    assert stage.send(text={"body": "x" * 4096}, biz_opaque_callback_data="c" * 512).status_code == 200
    assert stage.send("location", location={"latitude": 41.9, "longitude": 12.5}).status_code == 200
    assert stage.send("template", template={"name": "reopen", "language": {"code": "en"}}).status_code == 200
    card = {"name": {"formatted_name": "Ann B", "first_name": "Ann"}, "phones": [{"phone": "+39 1"}]}
    assert stage.send("contacts", contacts=[card]).status_code == 200


@pytest.mark.parametrize(
    ("code", "kind", "keys"),
    [
        (100, "text", {"text": {"body": "x" * 4097}}),
        (131009, "text", {"text": {"body": "  "}}),
        (100, "text", {"text": {}}),
        (131008, "image", {}),
        (100, "parcel", {}),
        (131009, "interactive", {"interactive": buttons([])}),
        (131009, "interactive", {"interactive": buttons(["a", "b", "c", "d"])}),
        (131009, "interactive", {"interactive": buttons(["t" * 21])}),
        (131009, "interactive", {"interactive": buttons(["same", "same"])}),
        (131009, "interactive", {"interactive": buttons(["a"], body={"text": "b" * 1025})}),
        (131008, "interactive", {"interactive": buttons(["a"], body={})}),
        (131009, "interactive", {"interactive": buttons(["a"], footer={"text": "f" * 61})}),
        (131009, "interactive", {"interactive": buttons(["a"], header={"type": "text", "text": "h" * 61})}),
        (131009, "interactive", {"interactive": a_list(rows(11))}),
        (131009, "interactive", {"interactive": a_list([{"id": "a", "title": "t" * 25}])}),
        (131009, "interactive", {"interactive": a_list([{"id": "a", "title": "t", "description": "d" * 73}])}),
        (131009, "interactive", {"interactive": a_list([{"id": "a", "title": "1"}, {"id": "a", "title": "2"}])}),
        (131009, "interactive", {"interactive": a_list(rows(1), "b" * 21)}),
        (131009, "interactive", {"interactive": a_link("d" * 21)}),
        (131009, "interactive", {"interactive": a_link(url="javascript:alert(1)")}),
        (131009, "interactive", {"interactive": {"type": "poll"}}),
        (131008, "image", {"image": {"id": "1", "link": "https://fernhill.example/a.jpg"}}),
        (100, "audio", {"audio": {"id": "1", "caption": "no"}}),
        (131009, "location", {"location": {"latitude": 91, "longitude": 0}}),
        (131008, "location", {"location": {"latitude": 1}}),
        (131008, "contacts", {"contacts": [{"name": {"formatted_name": "Ann"}}]}),
        (131008, "reaction", {"reaction": {"emoji": "👍"}}),
        (131008, "template", {"template": {"name": "reopen"}}),
        (131008, "text", {"context": {}}),
        (100, "text", {"biz_opaque_callback_data": "c" * 513}),
        (100, "text", {"to": ""}),
        (131009, "text", {"to": "not a number"}),
        (100, "text", {"recipient_type": "business_scoped_user_id"}),
        (100, "text", {"messaging_product": "sms"}),
    ],
)
def test_a_send_beyond_a_limit_is_refused_with_metas_code(
    shared_stage: Stage, code: int, kind: str, keys: dict[str, Any]
) -> None:
    payload = {"messaging_product": "whatsapp", "to": f"+{MIA}", "type": kind, **keys}
    if kind == "text":
        payload.setdefault("text", {"body": "Hello"})
    refused = shared_stage.post(payload)
    assert (refused.status_code, code_of(refused)) == (400, code)
    assert refused.json()["error"].keys() >= {"message", "type", "code", "fbtrace_id"}


def test_a_wrong_token_is_401_with_code_190(stage: Stage) -> None:
    refused = stage.send(token="stale")
    assert (refused.status_code, code_of(refused)) == (401, 190)
    assert refused.json()["error"]["type"] == "OAuthException"


def test_an_unknown_phone_number_id_is_code_100_with_subcode_33(stage: Stage) -> None:
    error = stage.post({}, number="999").json()["error"]
    assert (error["code"], error["error_subcode"]) == (100, 33)


def test_outside_the_window_only_templates_are_accepted(stage: Stage) -> None:
    assert code_of(stage.send()) == 131047, "the contact never wrote"
    stage.write(text="Hi", hours_ago=25)
    assert code_of(stage.send()) == 131047, "the contact wrote yesterday"
    assert stage.send("template", template={"name": "reopen", "language": {"code": "en"}}).status_code == 200
    stage.write()
    assert stage.send().status_code == 200
    stage.control(f"/contacts/{MIA}/window", {"open": False})
    assert code_of(stage.send()) == 131047, "the window was closed by hand"


def test_a_template_to_a_stranger_makes_a_new_contact(stage: Stage) -> None:
    assert stage.send("template", to="447700900977", template={"name": "hi", "language": {"code": "en"}}).ok
    assert "447700900977" in [contact["phone"] for contact in stage.get("/api/contacts")]


def test_a_bsuid_in_to_is_accepted_and_lost_as_at_meta(stage: Stage) -> None:
    wamid_of(stage.post({"messaging_product": "whatsapp", "to": "GB.12345678", "type": "text", "text": {"body": "x"}}))
    time.sleep(SHORT_PAUSE)
    assert stage.business.bodies == []


# Faults


def test_planned_faults_hit_the_next_sends_and_then_end(stage: Stage) -> None:
    stage.write()
    stage.control("/faults", {"kind": "throttle", "times": 2})
    stage.control("/faults", {"kind": "html_502", "phone": MIA})
    stage.control("/faults", {"kind": "refuse", "code": 131016})
    assert len(stage.get("/api/faults")) == 3
    assert [code_of(stage.send()), code_of(stage.send())] == [131056, 131056]
    page = stage.send()
    assert (page.status_code, page.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert stage.send().status_code == 500
    assert stage.send().status_code == 200
    stage.control("/faults", {"kind": "rate"})
    requests.delete(f"{stage.base}/api/faults", timeout=5)
    assert stage.send().status_code == 200
    assert stage.control("/faults", {"kind": "weather"}).status_code == 400


def test_a_dropped_call_was_not_accepted_but_one_dropped_after_was(stage: Stage) -> None:
    stage.write()
    for kind, accepted in (("drop", 0), ("drop_after_accept", 1)):
        stage.control("/faults", {"kind": kind})
        with pytest.raises(requests.ConnectionError):
            stage.send(biz_opaque_callback_data=kind)
        assert len([one for one in stage.messages() if one["direction"] == "out"]) == accepted
    wait_for(lambda: stage.business.statuses() == ["sent", "delivered"])
    assert stage.business.reports()[0]["biz_opaque_callback_data"] == "drop_after_accept"


def test_a_call_that_is_never_answered_may_have_been_accepted(stage: Stage) -> None:
    stage.write()
    stage.control("/faults", {"kind": "timeout_after_accept"})
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            f"{stage.base}/v25.0/{NUMBER}/messages",
            json={"messaging_product": "whatsapp", "to": MIA, "type": "text", "text": {"body": "x"}},
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=0.3,
        )
    wait_for(lambda: stage.business.statuses() == ["sent", "delivered"])


def test_reports_can_be_missing_doubled_or_out_of_order(stage: Stage) -> None:
    stage.write()
    stage.control("/faults", {"kind": "never_status"})
    silent = wamid_of(stage.send())
    wait_for(lambda: stage.message(silent)["status"] == "delivered")
    assert stage.business.statuses() == []
    stage.control("/faults", {"kind": "duplicate_webhooks"})
    stage.send()
    wait_for(lambda: stage.business.statuses() == ["sent", "sent", "delivered", "delivered"])
    stage.control("/faults", {"kind": "unordered_statuses"})
    stage.send()
    wait_for(lambda: stage.business.statuses()[4:] == ["delivered", "sent"])


def test_an_undeliverable_message_is_accepted_and_reported_failed(stage: Stage) -> None:
    stage.write()
    stage.control("/faults", {"kind": "undeliverable"})
    wamid = wamid_of(stage.send(biz_opaque_callback_data="7"))
    (report,) = wait_for(stage.business.reports)
    assert (report["status"], report["errors"][0]["code"]) == ("failed", 131026)
    assert report["biz_opaque_callback_data"] == "7"
    assert stage.message(wamid)["status"] == "failed"


def test_magic_contacts_make_the_trouble_they_are_known_for(stage: Stage) -> None:
    def tries(phone: str, count: int) -> list[int]:
        stage.write(phone)
        return [stage.send(to=phone).status_code for _ in range(count)]

    assert tries("447700900191", 3) == [400, 400, 200]
    assert tries("447700900192", 3) == [401, 401, 200]
    assert tries("447700900197", 2) == [502, 200]
    assert tries("447700900198", 1) == [400]
    assert len({magic.phone for magic in MAGIC}) == len(MAGIC)


def test_every_call_of_the_business_is_on_record(stage: Stage) -> None:
    stage.write()
    stage.send(text={"body": "recorded"})
    stage.send(token="stale")
    taken, refused = stage.get("/api/requests")
    assert (taken["path"], taken["status"], taken["body"]["text"]) == (
        f"/v25.0/{NUMBER}/messages",
        200,
        {"body": "recorded"},
    )
    assert (refused["status"], refused["answer"]["error"]["code"]) == (401, 190)


# The phone page


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
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium here")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
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


# Serving


def test_a_port_in_use_is_a_clear_error(stage: Stage) -> None:
    port = int(stage.base.rsplit(":", 1)[1])
    other = Simulator((NUMBER,), SECRET, TOKEN, "http://127.0.0.1:9/")
    with pytest.raises(PortTaken, match=f"cannot listen on 127.0.0.1:{port}"), serving(other, port=port):
        pass


def test_sigterm_ends_it_at_once_though_a_page_is_open(tmp_path: Path) -> None:
    program = (
        "import logging; logging.basicConfig(level='INFO', format='%(message)s');"
        "from connectors.whatsapp.simulator.app import *;"
        "serve(Simulator(('1',), 's', 't', 'http://127.0.0.1:9/'), port=0)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stderr is not None
        base = process.stderr.readline().split()[-1]
        with requests.get(f"{base}/live", stream=True, timeout=5) as stream:
            assert next(stream.iter_lines())
            began = time.monotonic()
            process.terminate()
            assert process.wait(timeout=5) == 0
        assert time.monotonic() - began < 2.5
