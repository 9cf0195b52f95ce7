"""Meta's bytes become updates: every one of them, and none is lost to a bad neighbour."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest

from bot.messages import Answers, Card, Cards, Item, Media, Order, Other, Place, Reaction, Tap, Text, from_json, to_json
from bot.updates import ContactRef, Edited, Misdirected, Received, Renumbered, Reported, Unsupported, Warned
from bot.vocabulary import Status
from connectors.whatsapp import webhook

SECRET = "wa-test-secret"
SIGNATURE = "4d57187b838990375712e5d0f9975815a99f6406bfd8e60aa8a46204d8d21960"  # of PLAIN
NUMBER = "100200300"
OURS = webhook.Numbers((NUMBER,))

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
    (update,) = webhook.read(a_body(messages=[message], **value), OURS)
    return update


@pytest.mark.parametrize(
    ("body", "signature", "fits"),
    [
        (PLAIN, SIGNATURE, True),
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
    assert webhook.is_signed(PLAIN, f"sha256={SIGNATURE}", ("the new one", SECRET))
    assert not webhook.is_signed(PLAIN, f"sha256={SIGNATURE}", ("the new one",))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        "sha1=abc",
        "sha256=é😀",
        "sha256=" + "0" * 64,
        "\udcff",
        SIGNATURE,
        f"SHA256={SIGNATURE}",
        f"sha256={SIGNATURE.upper()}",  # Meta writes small letters; nobody else need be understood
        f"sha256={SIGNATURE} ",
        f"sha256={SIGNATURE[:-1]}",
        f"sha256=sha256={SIGNATURE}",
    ],
)
def test_anything_else_is_not_signed(header: str | None) -> None:
    assert not webhook.is_signed(PLAIN, header, (SECRET,))


def test_without_a_secret_nothing_is_signed() -> None:
    signed_with_nothing = "sha256=" + hmac.new(b"", PLAIN, "sha256").hexdigest()
    assert not webhook.is_signed(PLAIN, f"sha256={SIGNATURE}", ())
    assert not webhook.is_signed(PLAIN, signed_with_nothing, ("",))


def test_the_challenge_is_echoed_to_whoever_knows_the_token() -> None:
    asked = {"hub.mode": "subscribe", "hub.verify_token": "ours", "hub.challenge": "1158201444"}
    assert webhook.answer_challenge(asked, "ours") == "1158201444"
    assert webhook.answer_challenge(asked, "other") is None
    assert webhook.answer_challenge(asked, "") is None
    assert webhook.answer_challenge({}, "ours") is None
    assert webhook.answer_challenge({"hub.mode": "subscribe", "hub.verify_token": "ours"}, "ours") is None
    assert webhook.answer_challenge({**asked, "hub.mode": "unsubscribe"}, "ours") is None
    assert webhook.answer_challenge({**asked, "hub.verify_token": "\udcff"}, "ours") is None


def test_every_entry_change_message_and_status_is_read() -> None:
    def change(n: int) -> dict[str, Any]:
        said = [{**a_message(), "id": f"wamid.{n}.{i}"} for i in range(3)]
        status = {"id": f"wamid.out{n}", "status": "read", "timestamp": "1795000000"}
        return {
            "field": "messages",
            "value": {"metadata": {"phone_number_id": NUMBER}, "messages": said, "statuses": [status]},
        }

    entries = [{"changes": [change(1), {"field": "something_new", "value": {}}]}, {"changes": [change(2), change(3)]}]
    updates = webhook.read(json.dumps({"entry": entries}).encode(), OURS)
    kinds = [type(update) for update in updates]
    assert (kinds.count(Received), kinds.count(Reported), kinds.count(Unsupported)) == (9, 3, 1)


def test_a_malformed_neighbour_costs_nobody_their_message() -> None:
    broken: list[Any] = [{"type": "text"}, {"id": 5}, "text", None, {**a_message(), "id": "w" * 600}]
    updates = webhook.read(a_body(messages=[*broken, a_message()]), OURS)
    assert [update for update in updates if isinstance(update, Received)] == [read_one(a_message())]
    assert sum(isinstance(update, Unsupported) and update.unreadable for update in updates) == len(broken)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"entry":{"changes":1}}', b"[" * 100_000])
def test_garbage_is_said_to_be_garbage(body: bytes) -> None:
    (update,) = webhook.read(body, OURS)
    assert isinstance(update, Unsupported)


def test_a_message_to_a_number_that_is_not_ours_is_not_answered() -> None:
    (update,) = webhook.read(a_body(messages=[a_message()]), webhook.Numbers(("another",)))
    assert update == Misdirected("messages", NUMBER)


def test_a_message_to_a_number_another_system_answers_is_only_kept() -> None:
    (update,) = webhook.read(a_body(messages=[a_message()]), webhook.Numbers(("another",), others=(NUMBER,)))
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
        (
            "interactive",
            {"list_reply": {"id": "row_7", "title": "Refund", "description": "for order FH1"}},
            Tap("row_7", "Refund", "for order FH1"),
        ),
        ("location", {"latitude": 1, "longitude": 2, "url": "https://a.example"}, Place(1, 2, url="https://a.example")),
        ("button", {"payload": "P", "text": "Yes"}, Tap("P", "Yes")),
        ("reaction", {"message_id": "w", "emoji": "👍"}, Reaction("w", "👍")),
        ("reaction", {"message_id": "w", "emoji": "👍" * 50}, Reaction("w", "👍" * 32)),
        ("reaction", {"emoji": "👍"}, Other("reaction", "👍")),
        ("text", {"body": 42}, Text("42")),
        ("text", {"body": ["hi"]}, Other("text")),
        ("audio", {"id": "m3", "caption": "unheard of"}, Media("audio", media_id="m3")),
        ("image", {"id": 7, "voice": "true"}, Media("image", media_id="7")),
        ("image", {"id": True}, Other("image")),
        ("location", {"latitude": True, "longitude": 1}, Other("location")),
        ("location", {"latitude": "51,5", "longitude": 1}, Other("location")),
        ("location", {"latitude": 91, "longitude": 1}, Other("location")),
        ("contacts", [], Other("contacts")),
        ("contacts", [None, {"phones": [None, {"wa_id": "44"}]}], Cards((Card("", phones=("44",), wa_id="44"),))),
        ("contacts", [{"origin": "contact_request"}, {"origin": "other"}], Cards((Card(""), Card("")))),
        ("interactive", {"button_reply": {"title": "X"}}, Other("interactive", "X")),
        ("interactive", {"button_reply": None}, Other("interactive")),
        ("interactive", {"nfm_reply": {"response_json": "[1]"}}, Other("nfm_reply", "[1]")),
        ("interactive", {"nfm_reply": {"response_json": {"a": 1}}}, Answers("flow", {"a": 1})),
        (
            "interactive",
            {"nfm_reply": {"response_json": '{"a": NaN, "b": "\\u0000"}'}},
            Answers("flow", {"a": None, "b": ""}),
        ),
        ("interactive", {"nfm_reply": {}}, Other("nfm_reply")),
        ("button", {}, Other("interactive")),
        ("order", {"product_items": []}, Other("order")),
        (
            "order",
            {"product_items": [{"product_retailer_id": "K", "quantity": "lots", "item_price": 1}]},
            Order("", (Item("K", None, 1, ""),)),
        ),
        ("order", {"product_items": [{}, None], "text": "as a gift"}, Other("order", "as a gift")),
        ("unsupported", {"type": ["?"]}, Other("unsupported")),
        ("hologram", {"anything": 1}, Other("hologram")),
    ],
)
def test_each_type_means_what_it_says(kind: str, node: dict[str, Any], content: Any) -> None:
    assert read_one(a_message(kind, **{kind: node})).content == content


def test_a_contact_card_keeps_all_that_is_on_it() -> None:
    card = {
        "name": {"formatted_name": "Bob B"},
        "phones": [{"phone": "+44 1", "wa_id": "441"}],
        "emails": [{"email": "b@b.example"}],
        "addresses": [{"street": "1 Lane", "city": "Leeds", "zip": "LS1", "country": "UK"}, {"type": "HOME"}],
        "urls": [{"url": "https://b.example"}],
        "birthday": "1990-01-01",
        "org": {"company": "Co", "title": "Boss", "department": "Sales"},
        "vcard": "BEGIN:VCARD\nFN:Robert\nTEL:+44 2\nNOTE:x\nEND:VCARD",
    }
    cards = read_one(a_message("contacts", contacts=[card])).content
    assert cards.text.splitlines() == [
        "Bob B", "Work: Boss, Sales", "Company: Co", "Phone: +44 1", "E-mail: b@b.example",
        "Address: 1 Lane, Leeds, LS1, UK", "Web: https://b.example", "Birthday: 1990-01-01",
    ]  # fmt: skip
    assert from_json(json.loads(json.dumps(to_json(cards)))) == cards
    before = {"kind_of": "contacts", "asked": False, "cards": [{"name": "A", "phones": ["1"], "organisation": ""}]}
    assert from_json(before) == Cards((Card("A", phones=("1",)),))


@pytest.mark.parametrize(
    ("lines", "card"),
    [
        (["TEL:+44123"], Card("", phones=("+44123",))),
        (
            ["FN:Ann", "item1.TEL;type=CELL;waid=44123:+44 123", "TEL:tel:+44 5"],
            Card("Ann", phones=("+44 123", "+44 5")),
        ),
        (
            ["N:Okafor;Sam;;;", "ORG:Co\\; Sons;Sales"],
            Card("Sam Okafor", "Sam", organisation="Co; Sons", department="Sales"),
        ),
        (
            [
                "FN:Ann",
                'ADR;LABEL="a:b":;;1 Lane\\, Flat 2;Leeds;;LS1;UK',
                "URL:https\\://a.example",
                "BDAY:1990-01-01",
            ],
            Card(
                "Ann", addresses=("1 Lane, Flat 2, Leeds, LS1, UK",), urls=("https://a.example",), birthday="1990-01-01"
            ),
        ),
        (["FN:An", " n", "EMAIL;TYPE=HOME:a@", "\ta.example"], Card("Ann", emails=("a@a.example",))),
        (["FN;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:J=C3=B6=", "rg", "TITLE:Boss"], Card("Jörg", title="Boss")),
        (["PHOTO;ENCODING=b:" + "A" * 90_000, 'FN;"x:Lost', "no colon", "", ":", "TEL:", "FN:Ann"], Card("Ann")),
        (["FN:Ann", "END:VCARD", "BEGIN:VCARD", "TEL:+44 9"], Card("Ann")),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_card_that_came_only_as_a_vcard_is_read(lines: list[str], card: Card, end: str) -> None:
    text = end.join(["BEGIN:VCARD", "VERSION:3.0", *lines, "END:VCARD"])
    assert read_one(a_message("contacts", contacts=[{"vcard": text}])).content == Cards((card,))


def test_the_vcard_somebody_wrote_is_not_believed_which_number_is_whose() -> None:
    card = {"origin": "contact_request", "vcard": "BEGIN:VCARD\nTEL;waid=447700900999:+44 7700 900999\nEND:VCARD"}
    (read,) = read_one(a_message("contacts", contacts=[card])).content.cards
    assert (read.phones, read.wa_id) == (("+44 7700 900999",), "")


def test_an_order_with_an_incomplete_line_is_shown_as_far_as_it_can_be_read() -> None:
    whole = {"product_retailer_id": "A", "quantity": "2", "item_price": "10.5", "currency": "USD"}
    lines = [whole, {"product_retailer_id": "B"}, {"quantity": 3, "item_price": 1}, None]
    order = read_one(a_message("order", order={"catalog_id": "1", "text": "a note", "product_items": lines})).content
    assert order.text.splitlines() == [
        "2 × A, 10.5 USD each",
        "B (came incomplete)",
        "3 × a product without a name, 1 each (came incomplete)",
        "a product without a name (came incomplete)",
        "a note",
    ]
    assert from_json(json.loads(json.dumps(to_json(order)))) == order


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
    (update,) = webhook.read(a_body(statuses=[status]), OURS)
    assert isinstance(update, Reported)
    assert (update.status, "24 hours" in update.error) == (Status.FAILED, True)


def test_nobody_is_taken_for_somebody_else_because_there_is_only_one_card() -> None:
    messages = [{**a_message(), "id": "wamid.1"}, {**a_message(), "id": "wamid.2", "from": "447700900999"}]
    card = {"wa_id": "447700900101", "user_id": "GB.1", "profile": {"name": "Mia"}}
    mia, stranger = webhook.read(a_body(messages=messages, contacts=[card]), OURS)
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


def test_what_is_too_long_for_a_person_is_kept_as_far_as_it_fits() -> None:
    cards = [{"name": {"formatted_name": "x" * 200}, "phones": [{"phone": "1" * 40}] * 20}] * 257
    content = read_one(a_message("contacts", contacts=cards)).content
    assert isinstance(content, Other) and content.kind == "contacts" and len(content.body) == 4096
    answers = {"response_json": json.dumps({"essay": "x" * 100_000})}
    assert isinstance(read_one(a_message("interactive", interactive={"nfm_reply": answers})).content, Other)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("bill.pdf", "bill.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\mia\\bill.pdf", "bill.pdf"),
        ("..", ""),
        ("\u202egpj.exe", "gpj.exe"),
        ("a\r\nSet-Cookie: b", "a  Set-Cookie: b"),
        ("👩‍🚀.png", "👩‍🚀.png"),
        ("x" * 300 + ".pdf", "x" * 180 + "x" * 16 + ".pdf"),
        (None, ""),
    ],
)
def test_a_file_keeps_its_name_and_nothing_else(given: str | None, kept: str) -> None:
    assert read_one(a_message("document", document={"id": "m", "filename": given})).content.filename == kept


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://lookaside.fbsbx.com/x?mid=1&hash=a", True),
        ("http://127.0.0.1:5010/media/1", True),
        ("http://localhost:5010/media/1", True),
        ("http://127.0.0.1.example.com/", False),
        ("http://lookaside.fbsbx.com/x", False),
        ("https://lookaside.fbsbx.com@example.com/x", False),
        ("https://lookaside.fbsbx.com/a b", False),
        ("https:///x", False),
        ("https://[::1", False),
        ("file:///etc/passwd", False),
        ("https://lookaside.fbsbx.com/" + "x" * 3000, False),
        (7, False),
    ],
)
def test_only_addresses_a_file_may_lie_at_are_kept(url: Any, kept: bool) -> None:
    assert read_one(a_message("image", image={"id": "m", "url": url})).media_url == (url if kept else "")


def test_nobody_sees_what_is_in_an_unsupported_message_but_only_visible_ones_want_an_answer() -> None:
    quiet = [read_one(a_message("unsupported", unsupported={"type": kind})).wants_answer for kind in ("edit", "hsm")]
    assert quiet == [False, False]
    assert read_one(a_message("unsupported", errors=[{"code": 131051}])).wants_answer


def test_a_file_meta_could_not_fetch_is_said_to_be_too_large_whatever_its_type() -> None:
    assert read_one(a_message("video", video=None, errors=[{"code": 131052}])).content == Other("media_too_large")


def test_a_type_that_is_missing_is_told_by_the_node() -> None:
    message = {**a_message(), "type": None}
    assert read_one(message).content == Text("hello")
    assert read_one({**message, "text": 1, "revoke": 2}).content == Other("text")


def test_an_edit_of_an_edit_is_no_words_but_no_harm_either() -> None:
    edit: dict[str, Any] = {"original_message_id": "wamid.B", "message": {"type": "text", "text": {"body": "hi"}}}
    for _ in range(9):
        edit = {"original_message_id": "wamid.B", "message": {"type": "edit", "edit": edit}}
    update = read_one(a_message("edit", edit=edit))
    assert isinstance(update, Edited) and update.content == Other("edit")


@pytest.mark.parametrize("edit", [None, {}, {"original_message_id": "w"}, {"message": {"type": "text"}}])
def test_an_edit_of_nothing_is_an_alarm(edit: Any) -> None:
    update = read_one(a_message("edit", edit=edit))
    assert isinstance(update, Unsupported) and update.unreadable


def test_the_id_beside_one_of_two_ids_is_the_other() -> None:
    """Meta does not say whether from_user_id is the old one or the new one."""
    ids = {"user_id": "GB.NEW", "previous_user_id": "GB.OLD"}
    for known, sender in (("user_id", "GB.OLD"), ("previous_user_id", "GB.NEW")):
        system = {"type": "user_changed_user_id", known: ids[known]}
        message = {**a_message("system", system=system), "from_user_id": sender}
        update = read_one(message)
        assert isinstance(update, Renumbered)
        assert (update.old.bsuid, update.new.bsuid) == ("GB.OLD", "GB.NEW")


def test_a_card_that_contradicts_is_anothers() -> None:
    card = {"wa_id": "447700900999", "user_id": "GB.9", "profile": {"name": "Sam"}}
    assert read_one(a_message(), contacts=[card]).contact == ContactRef("447700900101", None)


def test_a_card_without_an_id_in_common_is_theirs_where_there_is_one_of_each() -> None:
    message = {**a_message(), "from": None}
    card = {"wa_id": "447700900101", "profile": {"name": "M\u202eia\n"}}
    assert read_one(message, contacts=[card]).contact == ContactRef("447700900101", None, "Mia")
    assert isinstance(read_one(message, contacts=[card, card]), Unsupported)


@pytest.mark.parametrize("bsuid", ["", "x" * 161, 5, None, {"a": 1}, True])
def test_an_id_nobody_can_have_is_none(bsuid: Any) -> None:
    assert read_one({**a_message(), "from_user_id": bsuid}).contact == ContactRef("447700900101", None)


@pytest.mark.parametrize("value", [{"0": a_message()}, "text", 7, [[a_message()]]])
def test_a_list_that_is_none_is_an_alarm(value: Any) -> None:
    (update,) = webhook.read(a_body(messages=value), OURS)
    assert isinstance(update, Unsupported) and update.unreadable


def test_every_item_leaves_an_update_whatever_it_is() -> None:
    junk: list[Any] = [None, 1, "x", [], {}, True]
    lists = dict.fromkeys(("messages", "message_echoes", "statuses", "user_preferences", "errors"), junk)
    assert len(webhook.read(a_body(**lists), OURS)) == len(lists) * len(junk)


def test_three_megabytes_of_rubbish_are_not_three_million_rows() -> None:
    entries = json.loads(a_body(messages=[a_message()]))["entry"][0]["changes"]
    body = b'{"entry":[{"changes":[' + b"0," * 100_000 + json.dumps(entries[0]).encode() + b"]}]}"
    updates = webhook.read(body, OURS)
    assert len(updates) == 1002
    assert read_one(a_message()) in updates
    assert updates[-1] == Unsupported("more", "and 99000 more like these", unreadable=True)


def test_a_fault_of_the_account_is_a_warning_and_needs_no_number() -> None:
    for code, kind in ((131031, Warned), (0, Warned), (131016, Unsupported), (True, Unsupported), ("x", Unsupported)):
        (update,) = webhook.read(a_body(metadata=None, errors=[{"code": code, "title": "t"}]), OURS)
        assert isinstance(update, kind)


# What JSON can do to a batch: each of these stands beside a message that must come out.
BESIDE: dict[str, bytes] = {
    "5,000 digits": b'{"type":"text","timestamp":' + b"9" * 5000 + b"}",
    "a number beyond all floats": b'{"type":"location","location":{"latitude":1e999,"longitude":-Infinity}}',
    "NaN": b'{"type":"text","text":NaN}',
    "5,000 levels": b'{"type":"text","text":' + b'{"a":[' * 2500 + b"1" + b"]}" * 2500 + b"}",
    "100,000 levels": b"[" * 100_000 + b'"\\"]"' + b"]" * 100_000,
    "500 levels": b'{"type":"text","text":' + b"[" * 500 + b"]" * 500 + b"}",
    "a lone surrogate": b'{"id":"\\ud800","from":"\\udfff","type":"text"}',
    "NUL": b'{"id":"\\u0000","from":"\\u0000"}',
    "no UTF-8": b'{"id":"\xff\xfe"}',
    "a control sign": b'{"id":"\x01\n"}',
    "two megabytes": b'{"id":"' + b"x" * 2_000_000 + b'"}',
}


@pytest.mark.parametrize("what", BESIDE)
def test_a_value_nobody_can_keep_costs_only_itself(what: str) -> None:
    rest = b'{"entry":[{"changes":[{"field":"messages","value":{"metadata":{"phone_number_id":"100200300"},"messages":['
    body = rest + BESIDE[what] + b"," + json.dumps(a_message()).encode() + b"]}}]}]}"
    bad, good = webhook.read(body, OURS)
    assert isinstance(bad, Unsupported) and bad.unreadable
    assert good == read_one(a_message())


def test_a_list_that_is_named_twice_is_read_twice() -> None:
    first, second = (json.dumps({**a_message(), "id": f"wamid.{n}"}) for n in (1, 2))
    value = (
        f'{{"metadata":{{"phone_number_id":"{NUMBER}"}},"messages":[{first}],"messages":[{second}],"messages":null}}'
    )
    updates = webhook.read(f'{{"entry":[{{"changes":[{{"field":"messages","value":{value}}}]}}]}}'.encode(), OURS)
    assert [update.wamid for update in updates if isinstance(update, Received)] == ["wamid.1", "wamid.2"]


def test_nothing_of_an_ad_or_a_price_is_kept_that_nobody_asked_for() -> None:
    referral = {"source_id": "x" * 5000, "headline": ["h"], "new": "n", "source_type": "ad"}
    update = read_one({**a_message(), "referral": referral, "context": "none"})
    assert update.origin.referral == {"source_id": "x" * 2000, "source_type": "ad"}
    status = {"id": "w", "status": "sent", "timestamp": 1795000000, "pricing": {"type": "t" * 999, "new": {"a": 1}}}
    (sent,) = webhook.read(a_body(statuses=[status]), OURS)
    assert isinstance(sent, Reported) and sent.pricing == {"type": "t" * 64}
