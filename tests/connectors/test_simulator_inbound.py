"""Every kind of message a contact can send, as Meta would bring it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from connectors.whatsapp.simulator.bodies import sign
from tests.connectors.stage import (
    MIA,
    NUMBER,
    SAM,
    SECRET,
    Stage,
    a_business,
    a_stage,
    wait_for,
    wamid_of,
)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with a_business() as business, a_stage(business) as one:
        yield one


def brought(stage: Stage, **asked: Any) -> dict[str, Any]:
    """Return how what a contact sends arrives, without what every message has."""
    wamid = stage.write(**asked)
    message = wait_for(lambda: [one for one in stage.business.messages() if one["id"] == wamid])[0]
    return {key: value for key, value in message.items() if key not in ("id", "from", "from_user_id", "timestamp")}


UNKNOWN = {
    "code": 131051,
    "title": "Message type unknown",
    "message": "Message type unknown",
    "error_data": {"details": "Message type is currently not supported."},
}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"button": {"payload": "P", "text": "T"}}, {"type": "button", "button": {"payload": "P", "text": "T"}}),
        ({"text": "hi", "forwarded": True}, {"type": "text", "text": {"body": "hi"}, "context": {"forwarded": True}}),
        (
            {"text": "hi", "frequently_forwarded": True},
            {"type": "text", "text": {"body": "hi"}, "context": {"frequently_forwarded": True}},
        ),
        ({"unsupported": True}, {"type": "unsupported", "errors": [UNKNOWN]}),
        (
            {"unsupported": "poll_creation"},
            {"type": "unsupported", "errors": [UNKNOWN], "unsupported": {"type": "poll_creation"}},
        ),
        ({"welcome": True}, {"type": "request_welcome"}),
        (
            {"contacts": [{"name": {"formatted_name": "Ann"}, "phones": []}]},
            {"type": "contacts", "contacts": [{"name": {"formatted_name": "Ann"}, "phones": []}]},
        ),
        (
            {"flow": "no JSON", "name": "address_message"},
            {
                "type": "interactive",
                "interactive": {
                    "type": "nfm_reply",
                    "nfm_reply": {
                        "name": "address_message",
                        "body": "Sent",
                        "response_json": "no JSON",
                    },
                },
            },
        ),
        ({"raw": {"type": "interactive", "errors": [UNKNOWN]}}, {"type": "interactive", "errors": [UNKNOWN]}),
        (
            {"text": "this?", "referred_product": {"catalog_id": "1", "product_retailer_id": "T"}},
            {
                "type": "text",
                "text": {"body": "this?"},
                "context": {"referred_product": {"catalog_id": "1", "product_retailer_id": "T"}},
            },
        ),
    ],
)
def test_each_kind_arrives_in_its_own_shape(stage: Stage, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    assert brought(stage, **asked) == expected


def test_orders_ads_videos_documents_and_stickers_have_samples(stage: Stage) -> None:
    assert brought(stage, order=True)["order"]["product_items"][0]["currency"] == "GBP"
    assert brought(stage, text="Hi", referral=True)["referral"]["source_type"] == "ad"
    assert brought(stage, document={"filename": "a.pdf", "base64": "JVBERg=="})["document"]["filename"] == "a.pdf"
    assert brought(stage, sticker={"filename": "a.webp", "base64": "UklGRg=="})["sticker"]["animated"] is False
    assert brought(stage, video={"filename": "a.mp4", "base64": "AAAA"})["video"]["mime_type"] == "video/mp4"


def test_the_answer_to_a_flow_carries_its_token_unless_told_otherwise(stage: Stage) -> None:
    stage.write()
    parameters = {"flow_message_version": "3", "flow_id": "1", "flow_cta": "Book", "flow_token": "turn:8"}
    node = {"type": "flow", "body": {"text": "Book"}, "action": {"name": "flow", "parameters": parameters}}
    wamid = wamid_of(stage.send("interactive", interactive=node))
    for fields, expected in (
        ({"day": "Monday"}, {"flow_token": "turn:8", "day": "Monday"}),
        ({"day": "Monday", "flow_token": None}, {"day": "Monday"}),
    ):
        reply = brought(stage, flow=fields, to=wamid)
        assert json.loads(reply["interactive"]["nfm_reply"]["response_json"]) == expected
        assert reply["context"]["id"] == wamid


def test_an_edit_and_a_deletion_reach_only_numbers_that_share_the_business_app(stage: Stage) -> None:
    wamid = stage.write(text="befor")
    for on in (False, True):
        stage.settings(coexistence=[NUMBER] if on else [])
        edited = requests.patch(f"{stage.base}/api/messages/{wamid}", json={"text": "before"}, timeout=5).json()[
            "wamid"
        ]
        (message,) = wait_for(lambda: [one for one in stage.business.messages() if one["id"] == edited])  # noqa: B023
        if on:
            new = {"type": "text", "text": {"body": "before"}}
            assert message["edit"] == {"original_message_id": wamid, "message": new}
        else:
            assert (message["type"], message["unsupported"]) == ("unsupported", {"type": "edit"})
    assert stage.message(wamid)["text"] == "before"
    gone = requests.delete(f"{stage.base}/api/messages/{wamid}", timeout=5).json()["wamid"]
    (message,) = wait_for(lambda: [one for one in stage.business.messages() if one["id"] == gone])
    assert message["revoke"] == {"original_message_id": wamid}


def test_a_contact_with_a_new_number_writes_from_it_and_keeps_the_conversation(stage: Stage) -> None:
    stage.write(text="before")
    old = stage.get("/api/contacts")[0]
    new = stage.control(f"/contacts/{MIA}/number", {"phone": "+44 7700 900777"}).json()
    stage.write("447700900777", text="after")
    found = wait_for(lambda: len(stage.business.messages()) == 3 and stage.business.messages())
    (moved,) = [one for one in found if one["type"] == "system"]  # Meta gives no order
    (after,) = [one for one in found if one["type"] == "text" and one["text"]["body"] == "after"]
    assert moved["from"] == MIA
    assert moved["system"] == {
        "type": "user_changed_number",
        "body": f"User Mia Turner changed from {MIA} to 447700900777",
        "wa_id": "447700900777",
        "user_id": new["user_id"],
        "previous_user_id": old["user_id"],
    }
    (value,) = [one for one in stage.business.values() if moved in one.get("messages", [])]
    assert "contacts" not in value, "code that takes the first contact breaks here"
    assert (after["from"], after["from_user_id"]) == ("447700900777", new["user_id"])
    assert new["user_id"] != old["user_id"]
    assert [one["text"] for one in stage.messages("447700900777")][::2] == ["before", "after"]
    assert stage.send(to="447700900777").status_code == 200, "the window moved along"
    assert MIA not in [one["phone"] for one in stage.get("/api/contacts")]


def test_a_hidden_contact_who_moves_is_told_by_user_ids_alone(stage: Stage) -> None:
    old = stage.control("/contacts", {"name": "Noa", "phone": "447700900950", "shows": "user_id"}).json()
    new = stage.control("/contacts/447700900950/number", {"phone": "447700900951"}).json()
    (moved,) = wait_for(stage.business.messages)
    assert moved["system"]["type"] == "user_changed_user_id"
    assert (moved["system"]["previous_user_id"], moved["system"]["user_id"]) == (old["user_id"], new["user_id"])
    assert "wa_id" not in moved["system"]
    assert "from" not in moved


def test_whoever_gets_a_freed_number_is_somebody_else(tmp_path: Path) -> None:
    state, new_phone = tmp_path / "simulator.sqlite", "447700900777"
    ids = []
    with a_business() as business:
        for name in ("Noa", "Kim", "Lou"):  # one after the other on the same number, over restarts
            with a_stage(business, state=state) as stage:
                first = stage.control("/contacts", {"name": name, "phone": "447700900950"}).json()
                ids += [first["user_id"]]
                moved = stage.control("/contacts/447700900950/number", {"phone": new_phone}).json()
                ids += [moved["user_id"]]  # and takes the next one's number away from whoever has it
        with a_stage(business, state=state) as stage:
            kept = [one["user_id"] for one in stage.get("/api/contacts") if one["phone"] == new_phone]
            requests.post(f"{stage.base}/contacts", data={"name": "Ada", "phone": "447700900950"}, timeout=5)
            ids += [one["user_id"] for one in stage.get("/api/contacts") if one["phone"] == "447700900950"]
    assert kept == [ids[5]]
    assert len(ids) == len(set(ids)) == 7


def test_a_contact_can_be_known_by_phone_by_user_id_or_by_both(stage: Stage) -> None:
    for shows, keys in (("both", {"from", "from_user_id"}), ("phone", {"from"}), ("user_id", {"from_user_id"})):
        answer = requests.patch(f"{stage.base}/api/contacts/{MIA}", json={"shows": shows}, timeout=5)
        assert answer.json()["shows"] == shows
        wamid = stage.write()
        (message,) = wait_for(lambda: [one for one in stage.business.messages() if one["id"] == wamid])  # noqa: B023
        assert message.keys() & {"from", "from_user_id"} == keys
    person = requests.patch(f"{stage.base}/api/contacts/{MIA}", json={"username": "@mia"}, timeout=5).json()
    stage.write()
    value = wait_for(lambda: len(stage.business.values()) == 4 and stage.business.values())[3]
    assert value["contacts"] == [{"profile": {"name": "Mia Turner", "username": "@mia"}, "user_id": person["user_id"]}]


def test_a_changed_security_code_is_a_system_message_with_contacts(stage: Stage) -> None:
    stage.control(f"/contacts/{MIA}/identity", {"hash": "abc="})
    (value,) = wait_for(stage.business.values)
    (message,) = value["messages"]
    assert message["system"]["type"] == "customer_identity_changed"
    assert message["identity"]["hash"] == "abc="
    assert value["contacts"][0]["wa_id"] == MIA


def test_while_metas_own_agent_has_the_thread_words_come_on_standby(stage: Stage) -> None:
    stage.write(text="hello", standby=True)
    (change,) = wait_for(stage.business.changes)
    assert (change["field"], change["value"]["messages"][0]["text"]) == ("standby", {"body": "hello"})


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (
            rb'{"object":"whatsapp_business_account","entry":[]}',
            "4d57187b838990375712e5d0f9975815a99f6406bfd8e60aa8a46204d8d21960",
        ),
        (
            rb'{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":'
            rb'{"t":"caf\u00e9 \ud83d\ude00"}}]}]}',
            "606cb3433f30a5336ad95baf1ca297392128606caa0261c48e177412719e63f3",
        ),
        (
            (
                '{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":'
                '{"t":"café 😀"}}]}]}'
            ).encode(),
            "d5a975ac9c9a7be6003167bcb8182097b0b00dbfa95ad1aa20ad557206ff8dd1",
        ),
    ],
)
def test_the_signature_is_metas_over_the_exact_bytes(body: bytes, signature: str) -> None:
    assert sign(body, SECRET) == f"sha256={signature}"


@pytest.mark.parametrize("phone", ["0", "1", "12", "447700", "4477009001011234", "٤٤٧٧٠٠٩٠٠١٠١", "Mia 447700900101"])
def test_a_phone_nobody_can_have_is_refused_wherever_it_is_said(stage: Stage, phone: str) -> None:
    people = stage.get("/api/contacts")
    said = [
        stage.control("/contacts", {"name": "Mia", "phone": phone}),
        stage.control(f"/contacts/{phone}/messages", {"text": "Hi"}),
        stage.control("/messages", [{"phone": MIA, "text": "Hi"}, {"phone": phone, "text": "Hi"}]),
        stage.control(f"/contacts/{phone}/identity"),
        stage.control(f"/contacts/{MIA}/number", {"phone": phone}),
        stage.control("/echoes", {"phone": phone, "text": "Hi"}),
        requests.patch(f"{stage.base}/api/contacts/{phone}", json={"name": "Mia"}, timeout=5),
    ]
    sentence = f"A phone has 7 to 15 digits, and {phone!r} is none."
    assert [(answer.status_code, answer.json()["error"]) for answer in said] == [(400, sentence)] * len(said)
    on_the_page = requests.post(f"{stage.base}/contacts", data={"name": "Mia", "phone": phone}, timeout=5)
    assert on_the_page.status_code == 400 and "7 to 15 digits" in on_the_page.text
    assert stage.get("/api/contacts") == people
    assert stage.get("/api/messages") == []


@pytest.mark.parametrize("phone", ["+44 7700 900155", "1234567", "123456789012345"])
def test_a_phone_may_be_written_as_people_write_it(stage: Stage, phone: str) -> None:
    answer = stage.control("/contacts", {"name": "Kim", "phone": phone})
    assert (answer.status_code, answer.json()["phone"]) == (201, phone.replace(" ", "").lstrip("+"))


@pytest.mark.parametrize("sign", ["\x00", "\ud83d", "\ude00"], ids=["NUL", "half an emoji", "its other half"])
def test_what_no_phone_can_write_is_refused(stage: Stage, sign: str) -> None:
    wamid = stage.write(text="before")
    said = [
        stage.control(f"/contacts/{MIA}/messages", {"text": f"a{sign}b"}),
        stage.control(f"/contacts/{MIA}/messages", {"image": {"caption": f"a{sign}b"}}),
        stage.control(f"/contacts/{MIA}/messages", {"flow": {f"a{sign}b": "c"}}),
        stage.control("/messages", [{"phone": MIA, "text": f"a{sign}b"}]),
        stage.control("/contacts", {"name": f"a{sign}b", "phone": SAM}),
        requests.patch(f"{stage.base}/api/messages/{wamid}", json={"text": f"a{sign}b"}, timeout=5),
    ]
    sentence = "A text holds NUL or an unpaired surrogate, which no phone can send."
    assert [(answer.status_code, answer.json()["error"]) for answer in said] == [(400, sentence)] * len(said)
    stage.write(text="a whole 😀")
    assert [one["text"] for one in stage.messages()] == ["before", "a whole 😀"]


def test_what_is_brought_to_the_webhook_as_it_is_may_be_anything(stage: Stage) -> None:
    brought = requests.post(f"{stage.base}/api/webhooks", data=b'{"a": "\\ud83d\\u0000"}', timeout=5,
                            headers={"Content-Type": "application/json"})  # fmt: skip
    assert brought.json()["status"] == 200
