"""The simulator over real HTTP: what contacts write, what the business sends, and how it is served."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from connectors.whatsapp.simulator.app import PortTaken, Simulator, serving
from tests import parts
from tests.connectors.stage import (
    MIA,
    NUMBER,
    SAM,
    SECRET,
    SHORT_PAUSE,
    TOKEN,
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
    assert 20 < stage.get("/api/contacts")[0]["typing"] <= 25
    stage.send()
    assert stage.get("/api/contacts")[0]["typing"] == 0, "the next message ends it"
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
    assert code_of(stage.send("document", document={"id": media_id})) == 100


def test_a_link_that_does_not_load_is_accepted_and_reported_failed(stage: Stage) -> None:
    stage.write()
    stage.send("image", image={"link": "http://127.0.0.1:9/gone.jpg"})
    report = wait_for(stage.business.reports)[0]
    assert (report["status"], report["errors"][0]["code"]) == ("failed", 131053)
    stage.send("image", image={"link": f"{stage.base}/static/leaf.svg"})
    report = wait_for(lambda: stage.business.reports()[1:])[0]
    assert (report["status"], report["errors"][0]["code"]) == ("failed", 131053), "Meta takes no SVG"
    media_id = stage.message(stage.write(image=True))["content"]["id"]
    wamid = wamid_of(stage.send("image", image={"link": f"{stage.base}/media/{media_id}"}))
    wait_for(lambda: stage.message(wamid)["status"] == "delivered")


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


def test_it_starts_alone_and_says_what_a_stranger_needs(tmp_path: Path) -> None:
    with a_business() as business:
        command = ["-m", "connectors.whatsapp.simulator", "--port", str(parts.free_port()), "--webhook", business.url]
        process = subprocess.Popen([sys.executable, *command, "--secret", SECRET], stdout=subprocess.PIPE, text=True)
        with process:
            assert process.stdout is not None
            said = ""
            while "Ctrl-C" not in said:
                said += process.stdout.readline()
            words = dict(line.split(None, 1) for line in said.splitlines() if line.startswith("  P") or "http" in line)
            base = str(words["Phones"]).split("/ ")[0]
            token = next(line.split()[-1] for line in said.splitlines() if "Access token" in line)
            wait_for(lambda: is_up(base))
            Stage(base, business).write()
            assert wait_for(lambda: business.signatures)[0].startswith("sha256=")
            assert Stage(base, business).send(token=token).status_code == 200
            process.terminate()


def is_up(base: str) -> bool:
    try:
        return requests.get(f"{base}/health", timeout=1).ok
    except requests.ConnectionError:
        return False


def test_the_webhook_can_be_asked_to_prove_itself(stage: Stage) -> None:
    answer = stage.control("/webhooks/verify", {"verify_token": "right", "challenge": "12345"})
    assert answer.json() == {"verified": True, "status": 200, "body": "12345"}
    assert stage.control("/webhooks/verify", {"verify_token": "wrong"}).json()["verified"] is False


def start(*given: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "connectors.whatsapp.simulator", *given]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_a_port_in_use_is_said_before_anything_is_called_ready(stage: Stage) -> None:
    ended = start("--port", stage.base.rsplit(":", 1)[1])
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Is another one running there?" in ended.stderr


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--webhook", "nonsense"), "'nonsense' is not a web address. Say one such as http://127.0.0.1:5005/"),
        (("--port", "70000"), "'70000' is not a port."),
        (("--display-number", "abc"), "'abc' is not a phone number."),
    ],
)
def test_nonsense_is_refused_at_once_with_a_sentence(given: tuple[str, str], sentence: str) -> None:
    ended = start(*given)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert sentence in ended.stderr


def test_make_simulator_takes_the_name_and_the_number_of_the_business() -> None:
    asked = ["make", "-n", "simulator", "NAME=Kew & Sons", "NUMBER=+44 20 7946 0000"]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True).stdout
    assert '--name "Kew & Sons" --display-number "+44 20 7946 0000"' in said
    with a_business() as business:
        simulator = Simulator(
            (NUMBER, "2"), SECRET, TOKEN, business.url, business_name="Kew", display_number=442079460000
        )
        with serving(simulator) as base:
            there = Stage(base, business)
            assert there.call("GET", NUMBER).json()["display_phone_number"] == "442079460000"
            assert there.call("GET", "2").json()["display_phone_number"] == "442079460001"
            assert "Kew" in requests.get(base, timeout=5).text
