"""What the simulator refuses as Meta refuses it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.connectors.stage import (
    HELLO,
    MIA,
    NUMBER,
    SAM,
    SHORT_PAUSE,
    TOKEN,
    Business,
    Stage,
    a_business,
    a_link,
    a_list,
    a_stage,
    buttons,
    code_of,
    rows,
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


@pytest.fixture(scope="module")
def shared_stage() -> Iterator[Stage]:
    """A stage for the many small refusals: nothing they do leaves a trace."""
    with a_business() as business, a_stage(business) as one:
        one.write()
        yield one


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
    assert stage.send("template", template=HELLO).status_code == 200
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
    assert stage.send("template", template=HELLO).status_code == 200
    stage.write()
    assert stage.send().status_code == 200
    stage.control(f"/contacts/{MIA}/window", {"open": False})
    assert code_of(stage.send()) == 131047, "the window was closed by hand"


def test_a_template_to_a_stranger_makes_a_new_contact(stage: Stage) -> None:
    assert stage.send("template", to="447700900977", template=HELLO).ok
    assert "447700900977" in [contact["phone"] for contact in stage.get("/api/contacts")]


def test_a_bsuid_in_to_is_accepted_and_lost_as_at_meta(stage: Stage) -> None:
    wamid_of(stage.post({"messaging_product": "whatsapp", "to": "GB.12345678", "type": "text", "text": {"body": "x"}}))
    time.sleep(SHORT_PAUSE)
    assert stage.business.bodies == []


def a_flow(**parameters: Any) -> dict[str, Any]:
    whole = {"flow_message_version": "3", "flow_id": "1", "flow_cta": "Book", "flow_token": "t", **parameters}
    kept = {key: value for key, value in whole.items() if value is not None}
    return {"type": "flow", "body": {"text": "Book here"}, "action": {"name": "flow", "parameters": kept}}


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        (200, {}),
        (200, {"flow_id": None, "flow_name": "booking", "mode": "draft"}),
        (200, {"flow_action": "navigate", "flow_action_payload": {"screen": "A", "data": {"x": 1}}}),
        (131008, {"flow_name": "too"}),
        (131008, {"flow_id": None}),
        (131008, {"flow_message_version": None}),
        (131009, {"flow_message_version": "2"}),
        (131009, {"flow_cta": "c" * 31}),
        (131008, {"flow_cta": None}),
        (131009, {"mode": "secret"}),
        (131009, {"flow_action": "jump"}),
        (131009, {"flow_action_payload": {"screen": "A", "data": {}}}),
        (131008, {"flow_action_payload": {"data": {"x": 1}}}),
    ],
)
def test_a_flow_must_be_whole(shared_stage: Stage, code: int, parameters: dict[str, Any]) -> None:
    answer = shared_stage.send("interactive", interactive=a_flow(**parameters))
    assert (answer.status_code if answer.ok else code_of(answer)) == code, answer.text


def test_a_request_for_the_number_is_answered_with_a_card_that_says_so(stage: Stage) -> None:
    stage.control("/contacts", {"name": "Noa", "phone": "447700900950", "shows": "user_id"})
    stage.write("447700900950")
    node = {"type": "request_contact_info", "body": {"text": "May we?"}, "action": {"name": "request_contact_info"}}
    asked = wamid_of(stage.send("interactive", to="447700900950", interactive=node))
    stage.write("447700900950", contact_request=True, to=asked)
    stage.write("447700900950", text="there")
    card, after = wait_for(lambda: stage.business.messages()[1:3] if len(stage.business.messages()) > 2 else None)
    assert (card["type"], card["origin"], card["context"]["id"]) == ("contacts", "contact_request", asked)
    assert card["contacts"] == [{"phones": [{"phone": "+447700900950", "wa_id": "447700900950", "type": "CELL"}]}]
    assert "from" not in card
    assert after["from"] == "447700900950", "from now on the business sees the number"


def test_a_burst_to_one_contact_is_lent_and_then_refused_with_131056(stage: Stage) -> None:
    stage.settings(pair_burst=3, pair_seconds=0.5)
    stage.write()
    stage.write(SAM)
    assert [stage.send().status_code for _ in range(3)] == [200] * 3
    refused = stage.send()
    assert (refused.status_code, code_of(refused)) == (400, 131056)
    assert stage.send(to=SAM).status_code == 200, "another contact is not concerned"
    time.sleep(0.6)
    assert stage.send().status_code == 200, "one was paid back"
    assert code_of(stage.send()) == 131056


def test_metas_own_limits_hold_unless_they_are_changed(stage: Stage) -> None:
    settings = stage.get("/api/settings")
    assert (settings["pair_burst"], settings["pair_seconds"], settings["throughput"]) == (45, 6.0, 80)
    stage.write()
    assert [stage.send().status_code for _ in range(46)] == [200] * 45 + [400]
    assert stage.control("/settings", {"pair_bursts": 1}).status_code == 400
    assert stage.control("/settings", {"pair_burst": "many"}).status_code == 400


def test_a_number_that_sends_too_fast_is_refused_with_130429(stage: Stage) -> None:
    stage.settings(throughput=5, pair_burst=0)
    stage.write()
    answers = [stage.send() for _ in range(20)]
    assert answers[0].status_code == 200
    assert {code_of(answer) for answer in answers if not answer.ok} == {130429}
    stage.settings(coexistence=[NUMBER])
    assert stage.call("GET", NUMBER, params={"fields": "throughput"}).json() == {
        "id": NUMBER,
        "throughput": {"level": "STANDARD"},
    }


def test_a_test_number_writes_only_to_the_phones_it_names(stage: Stage) -> None:
    stage.settings(allow_list=[MIA])
    stage.write()
    stage.write(SAM)
    assert stage.send().status_code == 200
    assert code_of(stage.send(to=SAM)) == 131030


@pytest.mark.parametrize("own", ["441632960100", "44 1632 960100", "44 (1632) 960-100"])
def test_the_business_cannot_write_to_itself(stage: Stage, own: str) -> None:
    assert code_of(stage.send(to=own)) == 131021


def test_a_closed_window_may_be_reported_later(stage: Stage) -> None:
    stage.settings(late_window=True)
    wamid_of(stage.send())
    (report,) = wait_for(stage.business.reports)
    assert (report["status"], report["errors"][0]["code"]) == ("failed", 131047)
    assert "more than 24 hours" in report["errors"][0]["error_data"]["details"]


def test_a_reaction_needs_a_message_that_can_be_reacted_to(stage: Stage) -> None:
    first = stage.write()
    old = stage.write(text="Hi", hours_ago=24 * 31)
    sent = wamid_of(stage.send("reaction", reaction={"message_id": first, "emoji": "👍"}))
    wait_for(lambda: stage.message(sent)["shown"])
    assert stage.business.statuses() == ["sent"], "of a reaction nothing more is reported"
    for target in ("wamid.unknown", sent, old, stage.write(SAM)):
        assert code_of(stage.send("reaction", reaction={"message_id": target, "emoji": "👍"})) == 131009


def test_a_quote_of_something_unknown_is_taken_and_shown_without_it(stage: Stage) -> None:
    stage.write()
    assert stage.send(context={"message_id": "wamid.unknown"}).status_code == 200


def test_files_are_those_of_their_number_and_of_the_right_kind(business: Business) -> None:
    with a_stage(business, numbers=(NUMBER, "100200301")) as stage:
        stage.write()
        png = stage.upload(b"png", "image/png").json()["id"]
        foreign = stage.upload(b"png", "image/png", "100200301").json()["id"]
        assert stage.send("image", image={"id": png}).status_code == 200
        for media_id in (foreign, "12345", stage.message(stage.write(image=True))["content"]["id"]):
            assert code_of(stage.send("image", image={"id": media_id})) == 100
        wait_for(lambda: len(business.reports()) == 2)
        wamid_of(stage.send("audio", audio={"id": png}))
        assert wait_for(lambda: business.reports()[2:])[0]["errors"][0]["code"] == 131053
        voice = stage.upload(b"OggS", "audio/ogg; codecs=opus").json()["id"]
        wamid = wamid_of(stage.send("audio", audio={"id": voice, "voice": True}))
        wait_for(lambda: stage.message(wamid)["status"] == "delivered")
        assert stage.call("GET", png, params={"phone_number_id": "100200301"}).json()["error"]["code"] == 100
        assert stage.call("GET", png, params={"phone_number_id": NUMBER}).json()["mime_type"] == "image/png"


def test_an_upload_of_a_wrong_type_or_size_is_refused(stage: Stage) -> None:
    assert code_of(stage.upload(b"GIF8", "image/gif")) == 100
    assert code_of(stage.upload(b"x" * (5 * 1024 * 1024 + 1), "image/jpeg")) == 131053
    assert stage.upload(b"x" * (5 * 1024 * 1024), "image/jpeg").status_code == 200
    still, moving = b"RIFF____WEBPVP8 " + b"x" * 110_000, b"RIFF____WEBPVP8X" + b"ANIM" + b"x" * 110_000
    assert code_of(stage.upload(still, "image/webp")) == 131053
    assert stage.upload(moving, "image/webp").status_code == 200, "a sticker that moves may be larger"
    assert stage.upload(b"x", "application/zip").status_code == 200, "unlisted documents pass"


def test_files_do_not_live_for_ever(stage: Stage) -> None:
    media_id = stage.upload(b"x", "application/pdf").json()["id"]
    stage.settings(uploaded_media_days=0)
    assert stage.call("GET", media_id).json()["error"]["error_subcode"] == 33


def test_wrong_addresses_are_refused_as_the_graph_api_refuses_them(stage: Stage) -> None:
    for method, path, code, subcode in (
        ("GET", "v25.0/424242", 100, 33),
        ("POST", "v25.0/424242/messages", 100, 33),
        ("POST", "v25.0/424242/anything", 100, 33),
        ("POST", f"v25.0/{NUMBER}/massages", 2500, None),
        ("POST", f"25.0/{NUMBER}/messages", 2500, None),
        ("POST", f"v25/{NUMBER}/messages", 2500, None),
        ("POST", f"v99.0/{NUMBER}/messages", 2500, None),
    ):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.request(method, f"{stage.base}/{path}", headers=headers, json={}, timeout=5)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error.get("error_subcode")) == (400, code, subcode), path
    answer = requests.post(f"{stage.base}/v25.0/{NUMBER}/messages", json={}, timeout=5)
    assert (answer.status_code, code_of(answer)) == (401, 0), "no token at all"
    assert requests.get(f"{stage.base}/api/nothing", timeout=5).status_code == 404


def test_who_is_addressed_by_phone_and_user_id_is_answered_with_both_and_the_phone_wins(stage: Stage) -> None:
    stage.write()
    stage.write(SAM)
    sam = next(one["user_id"] for one in stage.get("/api/contacts") if one["phone"] == SAM)
    payload = {"messaging_product": "whatsapp", "type": "text", "text": {"body": "x"}, "to": MIA, "recipient": sam}
    answer = stage.post(payload).json()
    assert answer["contacts"][0].keys() == {"input", "wa_id", "user_id"}
    assert answer["contacts"][0]["wa_id"] == MIA
    unknown = {"messaging_product": "whatsapp", "type": "text", "text": {"body": "x"}, "recipient": "GB.404"}
    assert code_of(stage.post(unknown)) == 131026
