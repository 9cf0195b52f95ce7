"""The control API says no: what is wrong with a call, and what to do instead."""

from __future__ import annotations

import io
import string
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from connectors.whatsapp.simulator.app import Simulator
from tests.connectors.stage import (
    MIA,
    NUMBER,
    SAM,
    SECRET,
    TOKEN,
    Stage,
    a_business,
    a_stage,
    buttons,
    wait_for,
    wamid_of,
)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with a_business() as business, a_stage(business) as one:
        yield one


MINE = f"/contacts/{MIA}/messages"


@pytest.mark.parametrize(
    ("status", "path", "body", "words"),
    [
        (400, MINE, {"text": "x", "hours_ago": "x"}, "hours_ago is a number from 0 to 87600"),
        (400, MINE, {"text": "x", "hours_ago": -1}, "hours_ago"),
        (400, MINE, {"text": "x" * 4097}, "at most 4096"),
        (400, MINE, {"image": {"caption": "x" * 1025}}, "at most 1024"),
        (400, MINE, {"image": {"base64": "no base64!"}}, "not base64"),
        (400, MINE, {"image": "yes"}, "image is true"),
        (400, MINE, {"document": {"mime_type": "a\nb"}}, "a type such as"),
        (400, MINE, {"location": {"latitude": "abc", "longitude": 1}}, "location.latitude is a number"),
        (400, MINE, {"location": {"latitude": 91, "longitude": 1}}, "from -90 to 90"),
        (400, MINE, {"contacts": ["x"]}, "contacts is a list of JSON objects"),
        (400, MINE, {"order": {"product_items": ["x"]}}, "order.product_items"),
        (400, MINE, {"raw": {"type": 1}}, "raw is a node"),
        (400, MINE, {"text": "x", "standby": "no"}, "standby is true or false"),
        (404, MINE, {"text": "x", "to": "nope"}, "to is not the wamid of a message"),
        (404, MINE, {"reaction": "👍", "to": "nope"}, "to is not the wamid of a message"),
        (404, "/messages/nope/played", {}, "No message of the business"),
        (404, "/messages/nope/read", {}, "No message of the business"),
        (404, "/echoes", {"phone": MIA, "edit": "nope", "text": "x"}, "edit is not the wamid"),
        (404, "/echoes", {"phone": MIA, "revoke": "nope"}, "revoke is not the wamid"),
        (400, "/events", {"errors": ["x"]}, "errors is a list of codes"),
        (400, "/events", {"field": "new", "value": "x"}, "Say a field and its value"),
        (400, "/faults", {"kind": "token", "probability": 7}, "probability must be a number from 0 to 1"),
        (400, "/faults", {"kind": "token", "times": -1}, "times must be a whole number from 1"),
        (400, "/faults", {"kind": "token", "seconds": "soon"}, "seconds must be a number"),
        (400, "/faults", {"kind": "token", "number": "1"}, "No phone number ID 1"),
        (400, "/faults", ["token"], "A fault is a JSON object"),
        (400, "/faults/seed", {"seed": "x"}, "seed is a whole number"),
        (400, "/settings", {"pair_burst": 2.5}, "not a whole number"),
        (400, "/settings", {"sent_after": "0.2"}, "not a number"),
        (400, "/templates", {"name": "a", "components": ["x"]}, "components is a list"),
        (400, "/contacts", {"name": "Noa", "phone": "447700900950", "hides_number": "no"}, "true or false"),
        (400, f"/contacts/{MIA}/identity", ["x"], "Send a JSON object"),
        (404, "/nothing/here", {}, "There is no POST /api/nothing/here"),
        (404, "/health", {}, "There is no POST /api/health"),
    ],
)
def test_a_wrong_call_is_answered_with_what_to_do(stage: Stage, status: int, path: str, body: Any, words: str) -> None:
    answer = stage.control(path, body)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


@pytest.mark.parametrize("path", ["/messages", "/books", "/requests"])
def test_a_limit_that_is_no_number_is_refused_not_taken_for_everything(stage: Stage, path: str) -> None:
    for limit in ("abc", "-1", "1e3", "9" * 30):
        answer = requests.get(f"{stage.base}/api{path}", params={"limit": limit}, timeout=5)
        assert answer.status_code == 400, limit
        assert "limit is a whole number" in answer.json()["error"]
    assert requests.get(f"{stage.base}/api{path}", params={"limit": "1"}, timeout=5).status_code == 200


def test_a_wrong_address_or_verb_is_told_in_json_too(stage: Stage) -> None:
    for method, path in (("GET", "/nothing"), ("DELETE", "/contacts"), ("GET", ""), ("PUT", f"/messages/{MIA}")):
        answer = requests.request(method, f"{stage.base}/api{path}", timeout=5)
        assert answer.status_code == 404
        assert answer.json()["error"].startswith(f"There is no {method} /api{path};")


def test_a_message_of_another_phone_cannot_be_quoted_and_only_a_voice_message_is_played(stage: Stage) -> None:
    elsewhere = stage.write(SAM, text="Sam's")
    answer = stage.control(MINE, {"text": "x", "to": elsewhere})
    assert (answer.status_code, "another conversation" in answer.json()["error"]) == (400, True)
    stage.write()
    wamid = wamid_of(stage.send("interactive", interactive=buttons(["Yes"])))
    answer = stage.control(f"/messages/{wamid}/played")
    assert (answer.status_code, "Only audio" in answer.json()["error"]) == (400, True)


def test_a_quote_of_a_message_nobody_here_knows_goes_out_as_a_raw_node(stage: Stage) -> None:
    context = {"from": "441632960100", "id": "wamid.of-before-the-simulator"}
    wamid = stage.write(raw={"type": "text", "text": {"body": "this"}, "context": context})
    (message,) = wait_for(lambda: [one for one in stage.business.messages() if one["id"] == wamid])
    assert message["context"] == context


def test_a_deleted_message_cannot_be_edited_or_deleted_again(stage: Stage) -> None:
    wamid = stage.write(text="oops")
    address = f"{stage.base}/api/messages/{wamid}"
    assert requests.delete(address, timeout=5).status_code == 200
    for answer in (requests.delete(address, timeout=5), requests.patch(address, json={"text": "x"}, timeout=5)):
        assert (answer.status_code, answer.json()["error"]) == (400, "This message was deleted already.")


@pytest.mark.parametrize(
    ("kind", "mime_type", "begins"),
    [
        ("image", "image/jpeg", b"\xff\xd8\xff"),
        ("audio", "audio/ogg; codecs=opus", b"OggS"),
        ("video", "video/mp4", b"\0\0\0\x24ftypisom"),
        ("document", "application/pdf", b"%PDF-1."),
        ("sticker", "image/webp", b"RIFF"),
    ],
)
def test_each_kind_of_file_has_a_sample_that_is_one(stage: Stage, kind: str, mime_type: str, begins: bytes) -> None:
    wamid = stage.write(**{kind: True})
    (message,) = wait_for(lambda: [one for one in stage.business.messages() if one["id"] == wamid])
    assert message[kind]["mime_type"] == mime_type
    content = requests.get(message[kind]["url"], headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5)
    assert content.content.startswith(begins)
    assert content.headers["Content-Type"] == mime_type
    if kind == "sticker":
        assert Image.open(io.BytesIO(content.content)).size == (512, 512)
        assert len(content.content) < 100 * 1024
    sent = stage.send(kind, **{kind: {"link": f"{stage.base}/media/{message[kind]['id']}"}})
    wait_for(lambda: stage.message(wamid_of(sent))["status"] == "delivered")


def test_a_file_without_a_name_is_of_its_kinds_type(stage: Stage) -> None:
    media = stage.message(stage.write(video={"base64": "AAAA"}))
    assert media["content"]["mime_type"] == "video/mp4"


# Any JSON at all. Odd characters in texts are somebody else's test; here it is shapes and numbers.

WORDS = st.text(string.printable, max_size=8)
ATOMS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | WORDS
THINGS = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))
KEYS = [
    *("text", "to", "tap", "button", "flow", "name", "title", "location", "image", "video", "document", "sticker"),
    *("contacts", "contact_request", "order", "reaction", "unsupported", "welcome", "raw", "phone_number_id"),
    *("hours_ago", "forwarded", "referred_product", "referral", "standby", "phone", "shows", "username"),
    *("hides_number", "open", "quietly", "hash", "value", "kind", "times", "probability", "number", "code", "seconds"),
    *("copies", "seed", "language", "status", "category", "components", "parameter_format", "quality_score", "reason"),
    *("id", "edit", "revoke", "field", "errors", "verify_token", "challenge", "sent_after", "pair_burst"),
    *("coexistence", "allow_list", "late_window"),
]
TYPES = ["text", "system", "contacts", "reaction", "interactive", "location", "image", "order", "template", ""]
NODES = st.fixed_dictionaries({"type": st.sampled_from(TYPES)}, optional=dict.fromkeys([*TYPES, "context"], THINGS))
PLACES = st.fixed_dictionaries({"latitude": THINGS, "longitude": THINGS})
VALUES = THINGS | NODES | PLACES | st.sampled_from(["token", "slow", "batch", MIA]) | st.lists(NODES, max_size=2)
OBJECTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5)
MESSAGES = OBJECTS | st.builds(lambda raw: {"raw": raw}, NODES)
BODIES = MESSAGES | THINGS | st.lists(MESSAGES, max_size=2)
CALLS = st.sampled_from([
    ("POST", MINE), ("POST", "/messages"), ("PATCH", f"/contacts/{MIA}"), ("PATCH", "/messages/WAMID"),
    *(("POST", f"/contacts/{MIA}/{what}") for what in ("messages", "window", "number", "identity", "preferences")),
    *(("POST", f"/messages/WAMID/{what}") for what in ("read", "played")),
    *(("POST", f"/{what}") for what in ("contacts", "settings", "templates", "echoes", "events", "faults")),
    *(("POST", f"/{what}") for what in ("faults/seed", "webhooks/verify")),
])  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    simulator = Simulator((NUMBER,), SECRET, TOKEN, "http://127.0.0.1:9/")  # not started: nothing is delivered
    yield simulator.app.test_client()
    simulator.stop()


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(call=CALLS, body=BODIES)
def test_no_json_is_answered_with_anything_but_a_yes_or_a_sentence(
    client: FlaskClient, call: tuple[str, str], body: Any
) -> None:
    wamid = client.post(f"/api{MINE}", json={"text": "Hi"}).json["wamid"]
    answer = client.open(f"/api{call[1].replace('WAMID', wamid)}", method=call[0], json=body)
    if call[1] != "/webhooks/verify" or answer.status_code != 502:  # nobody is there to be verified
        assert answer.status_code in (200, 201, 400, 404), answer.text
    assert answer.status_code < 400 or isinstance(answer.json["error"], str)
    for page in ("/api/messages?limit=3", f"/api/books?phone={MIA}", f"/fragments/{NUMBER}/{MIA}"):
        assert client.get(page).status_code in (200, 404), page


def test_brackets_without_end_are_no_json(client: FlaskClient) -> None:
    answer = client.post(f"/api{MINE}", data="[" * 100_000, content_type="application/json")
    assert (answer.status_code, "Send a JSON object" in answer.json["error"]) == (400, True)
