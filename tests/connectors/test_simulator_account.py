"""The account: templates, blocked contacts, and what Meta announces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from connectors.whatsapp.simulator.bodies import WABA_ID
from tests.connectors.stage import (
    HELLO,
    MIA,
    NUMBER,
    SAM,
    TOKEN,
    Stage,
    a_business,
    a_stage,
    code_of,
    wait_for,
    wamid_of,
)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with a_business() as business, a_stage(business) as one:
        yield one


def a_template(name: str, language: str = "en", **components: Any) -> dict[str, Any]:
    made = []
    for kind, given in components.items():
        if kind == "buttons":
            made += [{"type": "button", **one} for one in given]
        else:
            made.append({"type": kind, "parameters": given})
    return {"name": name, "language": {"code": language}, "components": made}


def a_text(text: str, name: str = "") -> dict[str, str]:
    return {"type": "text", "text": text, **({"parameter_name": name} if name else {})}


def a_button(kind: str, index: int, parameter: dict[str, str]) -> dict[str, Any]:
    return {"sub_type": kind, "index": str(index), "parameters": [parameter]}


ONE, TWO = [a_text("Ann")], [a_text("Ann"), a_text("FH-1")]
TRACK = a_button("url", 0, a_text("FH10482"))


@pytest.mark.parametrize(
    ("code", "template"),
    [
        (200, a_template("answer_ready", body=TWO)),
        (200, a_template("answer_ready", "de", body=TWO)),
        (200, a_template("reopen_case", "en_US", body=[a_text("Ann", "first_name")])),
        (200, a_template("order_shipped", header=ONE, body=TWO, buttons=[TRACK])),
        (
            200,
            a_template("spring_offer", header=[{"type": "image", "image": {"link": "http://127.0.0.1:9/"}}], body=ONE),
        ),
        (200, a_template("sign_in_code", body=ONE, buttons=[a_button("url", 0, a_text("1234"))])),
        (132000, a_template("answer_ready", body=ONE)),
        (132000, a_template("answer_ready")),
        (132000, a_template("order_shipped", body=TWO, buttons=[TRACK])),
        (131008, a_template("order_shipped", header=ONE, body=TWO)),
        (132012, a_template("reopen_case", "en_US", body=ONE)),
        (132012, a_template("reopen_case", "en_US", body=[a_text("Ann", "name")])),
        (132012, a_template("answer_ready", body=[a_text("Ann"), a_text("two\nlines")])),
        (132012, a_template("answer_ready", header=ONE, body=TWO)),
        (132012, a_template("spring_offer", header=ONE, body=ONE)),
        (132012, a_template("answer_ready", body=TWO, buttons=[a_button("url", 0, a_text("x"))])),
        (132012, a_template("answer_ready", body=TWO, buttons=[a_button("quick_reply", 1, a_text("x"))])),
        (132005, a_template("answer_ready", body=[a_text("A" * 1000), a_text("B" * 100)])),
        (132001, a_template("answer_ready", "fr", body=TWO)),
        (132001, a_template("nobody_wrote_this")),
        (132001, a_template("win_a_trip", body=ONE)),
        (132015, a_template("delivery_delayed", body=ONE)),
    ],
)
def test_a_template_is_sent_as_it_was_approved_or_not_at_all(
    code: int, template: dict[str, Any], shared: Stage
) -> None:
    answer = shared.send("template", template=template)
    assert (answer.status_code if answer.ok else code_of(answer)) == code, answer.text
    if code == 132001:
        assert answer.status_code == 404
    if code == 132000:
        assert "does not match the expected number of params" in answer.json()["error"]["error_data"]["details"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    with a_business() as business, a_stage(business) as one:
        yield one


def test_the_phone_shows_a_template_filled_in_and_its_quick_reply_comes_back_as_a_button(stage: Stage) -> None:
    reply = a_button("quick_reply", 0, {"type": "payload", "payload": "REOPEN:12"})
    wamid = wamid_of(stage.send("template", template=a_template("answer_ready", body=TWO, buttons=[reply])))
    message = stage.message(wamid)
    assert message["text"] == "Hi Ann, we have an answer to case FH-1. Reply to continue."
    assert message["replies"] == [{"title": "Continue", "id": "REOPEN:12"}]
    assert "shown" not in message["payload"]
    assert code_of(stage.send()) == 131047
    stage.write(tap="REOPEN:12", to=wamid)
    (button,) = wait_for(stage.business.messages)
    assert button["button"] == {"payload": "REOPEN:12", "text": "Continue"}
    assert button["context"]["id"] == wamid
    assert stage.send().status_code == 200, "the tap has opened the window"
    wait_for(lambda: len(stage.business.reports()) >= 2)
    assert stage.business.reports()[0]["pricing"]["category"] == "utility"


def test_a_code_cannot_be_sent_to_a_user_id(stage: Stage) -> None:
    stage.write()
    mia = stage.get("/api/contacts")[0]["user_id"]
    code = a_template("sign_in_code", body=ONE, buttons=[a_button("url", 0, a_text("1"))])
    refused = stage.post({"messaging_product": "whatsapp", "recipient": mia, "type": "template", "template": code})
    assert code_of(refused) == 131062


def test_templates_are_listed_in_pages_with_the_fields_asked_for(stage: Stage) -> None:
    seen, after = [], None
    while True:
        more = {"after": after} if after else {}
        page = stage.call(
            "GET", f"{WABA_ID}/message_templates", params={"fields": "name,status", "limit": "4", **more}
        ).json()
        seen += page["data"]
        after = page["paging"]["cursors"]["after"]
        if "next" not in page["paging"]:
            break
        following = requests.get(page["paging"]["next"], headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5)
        assert following.json()["data"][0] not in seen
    assert len(seen) == len(stage.get("/api/templates")) >= 9
    assert all(one.keys() == {"id", "name", "status"} for one in seen)
    paused = stage.call("GET", f"{WABA_ID}/message_templates", params={"status": "PAUSED"}).json()["data"]
    assert [one["name"] for one in paused] == ["delivery_delayed"]
    assert stage.call("GET", "12345/message_templates").json()["error"]["error_subcode"] == 33


def test_a_template_that_changes_is_announced_and_holds_from_then_on(stage: Stage) -> None:
    assert stage.send("template", template=HELLO).status_code == 200
    stage.control("/templates", {"name": "hello_world", "language": "en_US", "status": "PAUSED"})
    change = wait_for(lambda: [one for one in stage.business.changes() if one["field"] != "messages"])[0]
    assert change["field"] == "message_template_status_update"
    assert (change["value"]["event"], change["value"]["message_template_name"]) == ("PAUSED", "hello_world")
    assert code_of(stage.send("template", template=HELLO)) == 132015
    added = stage.control("/templates", {"name": "new_one", "components": [{"type": "BODY", "text": "Hi {{1}}"}]})
    assert added.status_code == 201
    assert stage.send("template", template=a_template("new_one", body=ONE)).status_code == 200
    stage.control("/templates", {"name": "new_one", "category": "MARKETING"})
    moved = wait_for(lambda: [one for one in stage.business.changes() if one["field"] == "template_category_update"])[0]
    assert moved["value"]["new_category"] == "MARKETING"


def test_a_contact_who_stopped_marketing_gets_none_but_is_answered(stage: Stage) -> None:
    stage.write()
    stage.control(f"/contacts/{MIA}/preferences", {"value": "stop"})
    change = wait_for(lambda: [one for one in stage.business.changes() if one["field"] == "user_preferences"])[0]
    (said,) = change["value"]["user_preferences"]
    assert (said["value"], said["category"], type(said["timestamp"])) == ("stop", "marketing_messages", int)
    offer = a_template("spring_offer", header=[{"type": "image", "image": {"link": "http://127.0.0.1:9/"}}], body=ONE)
    wamid = wamid_of(stage.send("template", template=offer))
    report = wait_for(lambda: [one for one in stage.business.reports() if one["id"] == wamid])[0]
    assert report["errors"][0]["code"] == 131050
    wamid = wamid_of(stage.send())
    wait_for(lambda: stage.message(wamid)["status"] == "delivered")


def block(stage: Stage, method: str, *users: dict[str, str]) -> requests.Response:
    return stage.call(method, f"{NUMBER}/block_users", json={"messaging_product": "whatsapp", "block_users": [*users]})


def test_a_blocked_contact_cannot_write_and_cannot_be_written_to(stage: Stage) -> None:
    stage.write()
    wait_for(stage.business.messages)
    answer = block(stage, "POST", {"user": f"+{MIA}"})
    assert answer.json() == {
        "messaging_product": "whatsapp",
        "block_users": {"added_users": [{"input": f"+{MIA}", "wa_id": MIA}]},
    }
    assert stage.call("GET", f"{NUMBER}/block_users").json()["data"] == [
        {"messaging_product": "whatsapp", "wa_id": MIA}
    ]
    stage.write(text="can you hear me")
    wamid_of(stage.send())
    assert wait_for(stage.business.reports)[0]["errors"][0]["code"] == 131026
    assert len(stage.business.messages()) == 1
    assert block(stage, "DELETE", {"user": MIA}).json()["block_users"]["removed_users"][0]["wa_id"] == MIA
    stage.write(text="and now")
    wait_for(lambda: len(stage.business.messages()) == 2)


def test_a_mixed_result_of_blocking_is_a_400_that_tells_both(stage: Stage) -> None:
    stage.write()
    stage.write(SAM, text="Hi", hours_ago=25)
    mia = stage.get("/api/contacts")[0]["user_id"]
    answer = block(stage, "POST", {"user_id": mia}, {"user": SAM}, {"user": "4915112345678"})
    assert answer.status_code == 400
    body = answer.json()
    assert body["error"]["code"] == 139100
    assert body["block_users"]["added_users"] == [{"input": mia, "user_id": mia}]
    assert [(one["input"], one["errors"][0]["code"]) for one in body["block_users"]["failed_users"]] == [
        (SAM, 131047),
        ("4915112345678", 131047),
    ]


def test_the_owner_can_answer_edit_and_delete_in_the_business_app(stage: Stage) -> None:
    stage.write()
    wamid = stage.control("/echoes", {"phone": MIA, "text": "I am on it"}).json()["wamid"]
    stage.control("/echoes", {"phone": MIA, "edit": wamid, "text": "I am on it now"})
    assert stage.message(wamid)["text"] == "I am on it now"
    stage.control("/echoes", {"phone": MIA, "revoke": wamid})
    assert stage.message(wamid)["type"] == "revoked"
    found = wait_for(lambda: len(stage.business.changes()) == 4 and stage.business.changes()[1:])
    assert {change["field"] for change in found} == {"smb_message_echoes"}
    echoes = [change["value"]["message_echoes"][0] for change in found]
    assert [echo["type"] for echo in echoes] == ["text", "edit", "revoke"]
    assert (echoes[0]["from"], echoes[0]["to"], echoes[0]["id"]) == ("441632960100", MIA, wamid)
    assert echoes[1]["edit"] == {
        "original_message_id": wamid,
        "message": {"type": "text", "text": {"body": "I am on it now"}},
    }
    assert echoes[2]["revoke"] == {"original_message_id": wamid}


def test_meta_can_announce_what_it_announces(stage: Stage) -> None:
    for field in ("account_update", "account_alerts", "phone_number_quality_update"):
        assert stage.control("/events", {"field": field}).status_code == 201
    stage.control("/events", {"field": "new_thing", "value": {"a": 1}})
    stage.control("/events", {"errors": [131000]})
    changes = wait_for(lambda: len(stage.business.changes()) == 5 and stage.business.changes())
    assert [change["field"] for change in changes] == [
        "account_update",
        "account_alerts",
        "phone_number_quality_update",
        "new_thing",
        "messages",
    ]
    assert changes[3]["value"] == {"a": 1}
    assert changes[4]["value"]["errors"][0]["code"] == 131000
    assert stage.control("/events", {"field": "unheard_of"}).status_code == 400


def test_the_account_answers_for_its_numbers_and_its_subscription(stage: Stage) -> None:
    assert stage.call("GET", NUMBER).json()["display_phone_number"] == "441632960100"
    assert [one["id"] for one in stage.call("GET", f"{WABA_ID}/phone_numbers").json()["data"]] == [NUMBER]
    assert stage.call("POST", f"{WABA_ID}/subscribed_apps").json() == {"success": True}
