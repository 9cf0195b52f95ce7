"""The trouble the simulator makes when asked to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from connectors.whatsapp.simulator.magic import MAGIC
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
    a_stage,
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


def test_a_fault_can_strike_by_chance_and_until_it_is_cleared_and_is_counted(stage: Stage) -> None:
    stage.settings(pair_burst=0)
    stage.write()
    stage.fault("refuse", probability=0.5, code=131000)
    answers = [stage.send().status_code for _ in range(60)]
    assert 10 < answers.count(500) < 50, "the dice fall either way"
    assert stage.get("/api/faults/hits") == {"refuse": answers.count(500)}
    requests.delete(f"{stage.base}/api/faults", timeout=5)
    assert [stage.send().status_code for _ in range(10)] == [200] * 10


def test_a_fault_for_one_contact_or_one_number_leaves_the_others_alone(business: Business) -> None:
    with a_stage(business, numbers=(NUMBER, "100200301")) as stage:
        stage.write()
        stage.write(SAM)
        stage.write(SAM, text="Hi", phone_number_id="100200301")
        stage.control(
            "/faults", [{"kind": "rate", "phone": SAM, "times": None}, {"kind": "token", "number": "100200301"}]
        )
        assert stage.send().status_code == 200
        assert code_of(stage.send(to=SAM)) == 130429
        requests.delete(f"{stage.base}/api/faults", params={"phone": SAM}, timeout=5)
        assert stage.send(to=SAM).status_code == 200
        payload = {"messaging_product": "whatsapp", "to": SAM, "type": "text", "text": {"body": "x"}}
        assert code_of(stage.post(payload, number="100200301")) == 190


def test_reports_can_be_late_backwards_or_contradict_each_other(stage: Stage) -> None:
    stage.settings(pair_burst=0)
    stage.write()
    for kind, expected in (
        ("backward_statuses", ["read", "delivered", "sent"]),
        ("skipped_delivered", ["sent", "read"]),
        ("failed_after_delivered", ["sent", "delivered", "failed"]),
        ("played", ["sent", "delivered", "read", "played"]),
        ("never_delivered", ["sent"]),
        ("late_window", ["failed"]),
    ):
        stage.fault(kind)
        wamid = wamid_of(stage.send())
        found = wait_for(lambda: [r for r in stage.business.reports() if r["id"] == wamid][len(expected) - 1 :])  # noqa: B023
        time.sleep(0.05)
        assert [r["status"] for r in stage.business.reports() if r["id"] == wamid] == expected
    assert found[0]["errors"][0]["code"] == 131047
    stage.fault("late_statuses", seconds=0.5)
    wamid = wamid_of(stage.send())
    wait_for(lambda: stage.message(wamid)["status"] == "delivered")
    assert [r for r in stage.business.reports() if r["id"] == wamid] == []
    wait_for(lambda: len([r for r in stage.business.reports() if r["id"] == wamid]) == 2)


def test_a_send_that_is_refused_uses_no_fate_up(stage: Stage) -> None:
    stage.fault("undeliverable")
    assert code_of(stage.send()) == 131047
    stage.write()
    wamid_of(stage.send())
    assert wait_for(stage.business.reports)[0]["errors"][0]["code"] == 131026


def test_a_swapped_message_is_shown_behind_the_one_sent_after_it(stage: Stage) -> None:
    stage.write()
    stage.fault("swapped", seconds=0.5)
    stage.send(text={"body": "first"})
    stage.send(text={"body": "second"})
    wait_for(lambda: stage.business.statuses().count("delivered") == 2)
    assert [line["text"] for line in stage.book()["seen"]] == ["Hi", "second", "first"]


def test_an_accepted_message_may_be_answered_by_a_broken_proxy(stage: Stage) -> None:
    stage.write()
    stage.fault("html_502_after_accept")
    assert stage.send(biz_opaque_callback_data="9").status_code == 502
    assert wait_for(stage.business.reports)[0]["biz_opaque_callback_data"] == "9"


def test_a_batch_brings_up_to_a_thousand_updates_in_one_post_over_several_entries_and_changes(stage: Stage) -> None:
    stage.fault("batch", seconds=1.5)
    asked = [{"phone": str(447700700000 + n), "text": f"hello {n} 😀"} for n in range(1100)]
    wamids = requests.post(f"{stage.base}/api/messages", json=asked, timeout=10).json()["wamids"]
    wait_for(lambda: len(stage.business.messages()) >= 1100, 10)
    assert sorted(message["id"] for message in stage.business.messages()) == sorted(wamids)
    assert len(stage.business.bodies) == 2
    body = max(stage.business.bodies, key=len)
    entries = json.loads(body)["entry"]
    in_each = [len(change["value"]["messages"]) for entry in entries for change in entry["changes"]]
    assert len(entries) > 1, "several entries"
    assert any(len(entry["changes"]) > 1 for entry in entries), "several changes in one entry"
    assert max(in_each) > 1, "several messages in one change"
    assert sum(in_each) == 1000
    assert f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}" in stage.business.signatures


def test_a_batch_the_business_refuses_comes_again_one_by_one(business: Business) -> None:
    business.answers = [500]
    with a_stage(business) as stage:
        stage.settings(retry_base=0.1)
        stage.fault("batch", seconds=0.3)
        stage.write(text="one")
        stage.write(SAM, text="two")
        stage.write(text="three")
        wait_for(lambda: len(business.bodies) == 4)
        assert len(json.loads(business.bodies[0])["entry"][0]["changes"][0]["value"]["messages"]) >= 2
        assert [m["text"]["body"] for m in business.messages()[3:] if m["from"] == MIA] == ["one", "three"]


def test_a_webhook_comes_again_though_it_was_taken_alone_or_in_another_batch(stage: Stage) -> None:
    stage.fault("redeliver", seconds=0.1, copies=2)
    stage.write(text="thrice")
    wait_for(lambda: len(stage.business.bodies) == 3)
    assert len(set(stage.business.bodies)) == 1
    stage.fault("redeliver_batched", seconds=0.4, times=2)
    stage.write(text="a")
    stage.write(SAM, text="b")
    wait_for(lambda: len(stage.business.messages()) == 7)
    texts = [message["text"]["body"] for message in stage.business.messages()]
    assert sorted(texts[5:]) == ["a", "b"]
    assert len(stage.business.bodies) < 7 or stage.business.bodies[5] != stage.business.bodies[4]


def test_a_younger_message_of_the_same_contact_may_come_first(stage: Stage) -> None:
    stage.fault("reorder", seconds=0.4)
    stage.write(text="old")
    stage.write(text="young")
    wait_for(lambda: len(stage.business.messages()) == 2)
    assert [message["text"]["body"] for message in stage.business.messages()] == ["young", "old"]


def test_a_delayed_webhook_keeps_its_place_among_the_contacts_own(stage: Stage) -> None:
    stage.fault("delay", seconds=0.4, phone=MIA)
    stage.write(text="old")
    stage.write(text="young")
    stage.write(SAM, text="other")
    wait_for(lambda: len(stage.business.messages()) == 3)
    assert [message["text"]["body"] for message in stage.business.messages()] == ["other", "old", "young"]


def test_a_lost_200_brings_the_webhook_once_more(stage: Stage) -> None:
    stage.settings(retry_base=0.1)
    stage.fault("lost_200")
    wamid = stage.write()
    wait_for(lambda: len(stage.business.bodies) == 2)
    time.sleep(SHORT_PAUSE)
    assert [message["id"] for message in stage.business.messages()] == [wamid, wamid]


def test_after_an_outage_all_contacts_are_brought_in_parallel_each_in_its_order(business: Business) -> None:
    business.answers = [503] * 40
    with a_stage(business) as stage:
        stage.settings(retry_base=0.2, retry_cap=0.4)
        for text in ("1", "2"):
            for n in range(20):
                stage.write(f"44770070{n:04}", text=text)
        wait_for(lambda: stage.get("/health")["waiting"] == 0, 10)
        taken = business.messages()[40:]
    for phone in {message["from"] for message in taken}:
        assert [message["text"]["body"] for message in taken if message["from"] == phone] == ["1", "2"]


def a_photo(stage: Stage) -> dict[str, Any]:
    stage.write(image=True)
    image = wait_for(stage.business.messages)[-1]["image"]
    return dict(stage.call("GET", image["id"]).json())


def test_a_download_can_go_wrong_in_each_way_meta_knows(stage: Stage) -> None:
    photo, token = a_photo(stage), {"Authorization": f"Bearer {TOKEN}"}

    def fetched(url: str = photo["url"]) -> requests.Response:
        return requests.get(url, headers=token, timeout=5, allow_redirects=False)

    stage.fault("media_expired")
    assert fetched().status_code == 404
    fresh = stage.call("GET", photo["id"]).json()["url"]
    assert hashlib.sha256(fetched(fresh).content).digest() == base64.b64decode(photo["sha256"])
    stage.fault("media_unauthorized")
    assert fetched().status_code == 401
    stage.fault("media_redirect")
    assert "not-meta" in fetched().headers["Location"]
    stage.fault("media_too_large")
    assert len(fetched().content) > photo["file_size"]
    stage.fault("media_wrong_hash")
    spoilt = fetched().content
    assert len(spoilt) == photo["file_size"]
    assert hashlib.sha256(spoilt).digest() != base64.b64decode(photo["sha256"])
    stage.fault("media_slow", seconds=0.3)
    began = time.monotonic()
    assert fetched().status_code == 200
    assert time.monotonic() - began >= 0.3
    stage.fault("media_gone")
    assert [fetched().status_code, fetched(fresh).status_code] == [404, 404]


def test_planned_faults_and_settings_outlive_a_kill(tmp_path: Path) -> None:
    with a_business() as business:
        with a_stage(business, tmp_path / "s.sqlite") as stage:
            stage.settings(throughput=7)
            stage.fault("throttle", times=None, probability=0.25)
        with a_stage(business, tmp_path / "s.sqlite") as stage:
            assert stage.get("/api/settings")["throughput"] == 7
            assert [(fault["kind"], fault["probability"]) for fault in stage.get("/api/faults")] == [("throttle", 0.25)]


def test_every_kind_of_fault_says_what_it_does(stage: Stage) -> None:
    kinds = stage.get("/api/faults/kinds")
    assert all(kind["what"] and kind["stage"] in ("answer", "fate", "webhook", "media") for kind in kinds)
    assert {"kind": "throttle", "stage": "answer", "what": "131056: too many messages to one contact"} in kinds


@pytest.mark.parametrize(
    ("last", "statuses"),
    [
        ("202", ["read", "delivered", "sent"]),
        ("204", ["sent", "delivered", "failed"]),
        ("205", ["sent", "delivered", "read", "played"]),
        ("207", ["failed"]),
    ],
)
def test_the_newer_magic_contacts_wear_their_trouble_too(stage: Stage, last: str, statuses: list[str]) -> None:
    phone = f"447700900{last}"
    stage.write(phone)
    wamid_of(stage.send(to=phone))
    wait_for(lambda: stage.business.statuses() == statuses)


def test_a_magic_contact_hides_the_number(stage: Stage) -> None:
    stage.write("447700900220")
    (message,) = wait_for(stage.business.messages)
    assert "from" not in message
    assert message["from_user_id"].startswith("GB.")


def test_magic_contacts_trouble_the_webhooks_and_files_too(stage: Stage) -> None:
    stage.settings(retry_base=0.05)
    stage.write("447700900216", text="twice")
    wait_for(lambda: len(stage.business.messages()) == 2)
    stage.write("447700900217", image=True)
    image = wait_for(lambda: stage.business.messages()[2:])[0]["image"]
    token = {"Authorization": f"Bearer {TOKEN}"}
    assert [requests.get(image["url"], headers=token, timeout=5).status_code for _ in range(2)] == [404, 200]
