"""What the tests send is watched: a body WhatsApp would refuse fails the test that sent it."""

from __future__ import annotations

import threading

import pytest

from bot.messages import Text
from connectors.whatsapp.client import CloudApi
from connectors.whatsapp.errors import NotConnected
from tests.connectors.openapi import recorder
from tests.connectors.openapi.test_schema import body_of
from tests.parts import free_port


def test_a_body_sent_in_any_thread_is_validated(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []
    monkeypatch.setattr(recorder, "_complaints", noted)
    api = CloudApi(f"http://127.0.0.1:{free_port()}", "v25.0", "token")
    bad = {**body_of(Text("hi")), "to": "", "odd": 1}

    def send() -> None:
        with pytest.raises(NotConnected):
            api.send("1", bad)

    with recorder.listened_to():
        sending = threading.Thread(target=send)
        sending.start()
        sending.join()
    assert any(complaint.startswith("ours: ") for complaint in noted)


def test_a_complaint_names_the_place_and_the_rule() -> None:
    body = body_of(Text("hi"))
    body["text"]["body"] = "x" * 4097
    (ours, *_) = recorder.complaints(body)
    assert "$.text.body" in ours and "too long" in ours


def test_a_valid_body_brings_no_complaint() -> None:
    assert recorder.complaints(body_of(Text("hi"))) == []
