"""Meta's bytes become updates: every one of them, and none is lost to a bad neighbour."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.messages import Media, Other, Place, Tap, Text
from bot.updates import Received, Reported, Unsupported
from bot.vocabulary import Status
from connectors.whatsapp import webhook
from tests import parts

SECRET = "wa-test-secret"
NUMBER = "100200300"
PYWA = Path(__file__).parents[2].parent / "shared" / "data" / "pywa-webhooks"

# Test vectors of our fact sheet (docs §1.2): Meta escapes every non-ASCII character before signing.
PLAIN = b'{"object":"whatsapp_business_account","entry":[]}'
ESCAPED = (
    rb'{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages",'
    rb'"value":{"t":"caf\u00e9 \ud83d\ude00"}}]}]}'
)


def a_body(**value: Any) -> bytes:
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, **value}
    return json.dumps({"entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]}).encode()


def a_message(kind: str = "text", **content: Any) -> dict[str, Any]:
    content = content or {"text": {"body": "hello"}}
    return {"from": "447700900101", "id": "wamid.A", "timestamp": "1795000000", "type": kind, **content}


def read_one(message: dict[str, Any], **value: Any) -> Any:
    (update,) = webhook.read(a_body(messages=[message], **value), (NUMBER,))
    return update


@pytest.mark.parametrize(
    ("body", "signature", "fits"),
    [
        (PLAIN, "4d57187b838990375712e5d0f9975815a99f6406bfd8e60aa8a46204d8d21960", True),
        (ESCAPED, "606cb3433f30a5336ad95baf1ca297392128606caa0261c48e177412719e63f3", True),
        (
            json.dumps(json.loads(ESCAPED), ensure_ascii=False, separators=(",", ":")).encode(),
            "606cb3433f30a5336ad95baf1ca297392128606caa0261c48e177412719e63f3",
            False,
        ),
    ],
)
def test_the_signature_is_over_the_bytes_as_they_came(body: bytes, signature: str, fits: bool) -> None:
    assert webhook.is_signed(body, f"sha256={signature}", (SECRET,)) is fits


def test_either_of_two_secrets_will_do_while_one_is_rotated() -> None:
    signature = "sha256=4d57187b838990375712e5d0f9975815a99f6406bfd8e60aa8a46204d8d21960"
    assert webhook.is_signed(PLAIN, signature, ("the new one", SECRET))
    assert not webhook.is_signed(PLAIN, signature, ("the new one",))


@pytest.mark.parametrize("header", [None, "", "sha256=", "sha1=abc", "sha256=é😀", "sha256=" + "0" * 64, "\udcff"])
def test_anything_else_is_not_signed(header: str | None) -> None:
    assert not webhook.is_signed(PLAIN, header, (SECRET,))


def test_without_a_secret_nothing_is_signed() -> None:
    assert not webhook.is_signed(PLAIN, "sha256=4d57187b838990375712e5d0f9975815a99f6406bfd8e60aa8a46204d8d21960", ())


def test_the_challenge_is_echoed_to_whoever_knows_the_token() -> None:
    asked = {"hub.mode": "subscribe", "hub.verify_token": "ours", "hub.challenge": "1158201444"}
    assert webhook.answer_challenge(asked, "ours") == "1158201444"
    assert webhook.answer_challenge(asked, "other") is None
    assert webhook.answer_challenge(asked, "") is None
    assert webhook.answer_challenge({}, "ours") is None


def test_every_entry_change_message_and_status_is_read() -> None:
    def change(n: int) -> dict[str, Any]:
        said = [{**a_message(), "id": f"wamid.{n}.{i}"} for i in range(3)]
        status = {"id": f"wamid.out{n}", "status": "read", "timestamp": "1795000000"}
        return {
            "field": "messages",
            "value": {"metadata": {"phone_number_id": NUMBER}, "messages": said, "statuses": [status]},
        }

    entries = [{"changes": [change(1), {"field": "something_new", "value": {}}]}, {"changes": [change(2), change(3)]}]
    updates = webhook.read(json.dumps({"entry": entries}).encode(), (NUMBER,))
    kinds = [type(update) for update in updates]
    assert (kinds.count(Received), kinds.count(Reported), kinds.count(Unsupported)) == (9, 3, 1)


def test_a_malformed_neighbour_costs_nobody_their_message() -> None:
    broken: list[Any] = [{"type": "text"}, {"id": 5}, "text", None, {**a_message(), "id": "w" * 600}]
    updates = webhook.read(a_body(messages=[*broken, a_message()]), (NUMBER,))
    assert [update for update in updates if isinstance(update, Received)] == [read_one(a_message())]
    assert sum(isinstance(update, Unsupported) and update.unreadable for update in updates) == 3


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"entry":{"changes":1}}', b"[" * 100_000])
def test_garbage_is_said_to_be_garbage(body: bytes) -> None:
    (update,) = webhook.read(body, (NUMBER,))
    assert isinstance(update, Unsupported)


def test_a_message_to_a_number_that_is_not_ours_is_not_answered() -> None:
    (update,) = webhook.read(a_body(messages=[a_message()]), ("another",))
    assert isinstance(update, Unsupported) and not update.unreadable


@pytest.mark.parametrize(
    ("kind", "node", "content"),
    [
        ("text", {"body": "hi\x00 there"}, Text("hi there")),
        ("text", {"body": "x" * 5000}, Text("x" * 4096)),
        ("text", {"body": "  "}, Other("text")),
        (
            "image",
            {"id": "m1", "mime_type": "image/jpeg", "caption": "broken"},
            Media("image", media_id="m1", caption="broken", mime_type="image/jpeg"),
        ),
        (
            "audio",
            {"id": "m2", "mime_type": "audio/ogg; codecs=opus", "voice": True},
            Media("audio", media_id="m2", mime_type="audio/ogg", voice=True),
        ),
        ("location", {"latitude": 51.5, "longitude": -0.1, "name": "Home"}, Place(51.5, -0.1, "Home")),
        ("interactive", {"type": "button_reply", "button_reply": {"id": "/x", "title": "X"}}, Tap("/x", "X")),
        ("interactive", {"type": "list_reply", "list_reply": {"id": "/y", "title": "Y"}}, Tap("/y", "Y")),
        ("button", {"payload": "P", "text": "Yes"}, Tap("P", "Yes")),
        ("reaction", {"message_id": "w", "emoji": "👍"}, Other("reaction", "👍")),
        ("reaction", {"message_id": "w"}, Other("reaction")),
        ("hologram", {"anything": 1}, Other("hologram")),
    ],
)
def test_each_type_means_what_it_says(kind: str, node: dict[str, Any], content: Any) -> None:
    assert read_one(a_message(kind, **{kind: node})).content == content


def test_nobody_owes_a_reaction_an_answer() -> None:
    assert not read_one(a_message("reaction", reaction={"message_id": "w", "emoji": "👍"})).wants_answer


def test_a_contact_may_have_no_phone_number() -> None:
    message = {**a_message(), "from_user_id": "GB.42"}
    del message["from"]
    update = read_one(message, contacts=[{"user_id": "GB.42", "profile": {"name": "Mia"}}])
    assert (update.contact.phone, update.contact.bsuid, update.contact.name) == (None, "GB.42", "Mia")


def test_the_name_on_the_card_belongs_to_the_one_it_names() -> None:
    cards = [{"wa_id": "1", "profile": {"name": "Sam"}}, {"wa_id": "447700900101", "profile": {"name": "Mia"}}]
    assert read_one(a_message(), contacts=cards).contact.name == "Mia"


def test_a_failed_status_says_why_in_words() -> None:
    status = {"id": "w", "status": "failed", "timestamp": "1795000000", "errors": [{"code": 131047, "title": "x"}]}
    (update,) = webhook.read(a_body(statuses=[status]), (NUMBER,))
    assert isinstance(update, Reported)
    assert (update.status, "24 hours" in update.error) == (Status.FAILED, True)


def test_every_body_of_pywas_shelf_is_read_without_complaint() -> None:
    if not PYWA.exists():
        parts.skip(f"the shelf of webhook bodies is not here ({PYWA})", needed=False)
    bodies = {
        f"{path.stem}/{case}": body
        for path in PYWA.glob("*.json")
        for case, body in json.loads(path.read_text()).items()
    }
    assert len(bodies) == 74
    for name, body in bodies.items():
        updates = webhook.read(json.dumps(body).encode(), ())
        assert updates and not [u for u in updates if isinstance(u, Unsupported) and u.unreadable], name


def test_nobody_is_taken_for_somebody_else_because_there_is_only_one_card() -> None:
    messages = [{**a_message(), "id": "wamid.1"}, {**a_message(), "id": "wamid.2", "from": "447700900999"}]
    card = {"wa_id": "447700900101", "user_id": "GB.1", "profile": {"name": "Mia"}}
    mia, stranger = webhook.read(a_body(messages=messages, contacts=[card]), (NUMBER,))
    assert isinstance(mia, Received) and isinstance(stranger, Received)
    assert (mia.contact.bsuid, stranger.contact.bsuid, stranger.contact.name) == ("GB.1", None, "")


@pytest.mark.parametrize(
    "message",
    [
        a_message("location", location={"latitude": float("nan"), "longitude": 1}),
        a_message("location", location={"latitude": 1e9, "longitude": 1}),
        a_message("text", text={}),
        a_message("image", image=None),
    ],
)
def test_a_message_that_lacks_its_content_is_still_somebodys_message(message: dict[str, Any]) -> None:
    update = read_one(message)
    assert isinstance(update, Received) and isinstance(update.content, Other)


@pytest.mark.parametrize("timestamp", ["99999999999999", "-5", None, "soon"])
def test_a_message_without_a_moment_is_taken_as_said_now(timestamp: str | None) -> None:
    assert read_one({**a_message(), "timestamp": timestamp}).sent_at is None


def test_no_string_of_a_delivery_brings_in_what_no_database_takes() -> None:
    body = json.dumps({**a_message("image", image={"id": "i\x00d", "mime_type": "a\ud800"}), "from_user_id": "GB.\x00"})
    update = read_one(json.loads(body))
    assert (update.content.media_id, update.content.mime_type, update.contact.bsuid) == ("id", "a?", "GB.")
