"""Meta's schema of a send, mended: it takes Meta's own examples and refuses what Meta refuses; ours agrees with it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from bot.ledger.outbox import Outgoing
from bot.messages import (
    AskNumber,
    AskPlace,
    Blank,
    Buttons,
    Card,
    Cards,
    Flow,
    Link,
    Media,
    Menu,
    Outbound,
    Place,
    Reaction,
    Reply,
    Template,
    Text,
)
from connectors.whatsapp import payloads
from tests import parts
from tests.connectors.openapi import patches, recorder
from tests.connectors.openapi.ours import OURS

EXAMPLES = patches.examples()
VALID = {name: body for name, body in EXAMPLES.items() if name not in patches.INVALID_EXAMPLES}
needs_metas = pytest.mark.skipif(not EXAMPLES, reason=f"no {patches.PUBLISHED}: Meta's schema lies beside the project")

PICTURE = Media("image", link="https://shop.example/a.png")
THREE = tuple(Reply(f"/r{n}", f"Reply {n}") for n in range(3))
TEN = tuple(Reply(f"/r{n}", f"Row {n}", "second line") for n in range(10))
EVERYTHING: dict[str, Outbound] = {
    "text": Text("Hello"),
    "buttons": Buttons("Well?", THREE, footer="f"),
    "buttons under a header": Buttons("Well?", THREE, header="h"),
    "buttons under a picture": Buttons("Well?", THREE, picture=PICTURE),
    "buttons under a document": Buttons("Well?", THREE, picture=Media("document", media_id="12", filename="a.pdf")),
    "list": Menu("Well?", TEN, header="h", footer="f"),
    "link": Link("Our shop", "Open", "https://shop.example/?a=b_c", picture=PICTURE),
    "place to be sent": AskPlace("Where are you?"),
    "number to be sent": AskNumber("Which number?"),
    "form": Flow("Please fill in", "Open", "123", screen="FIRST", values={"a": 1}, draft=True),
    "form with a server": Flow("Please fill in", "Open", "123"),
    "image": Media("image", link="https://shop.example/a.png", caption="c"),
    "video": Media("video", media_id="1", caption="c"),
    "voice": Media("audio", media_id="1", voice=True),
    "document": Media("document", file="a.pdf", caption="c"),
    "sticker": Media("sticker", media_id="1"),
    "place": Place(51.5, -0.12, "Shop", "1 High Street"),
    "contacts": Cards((Card("Ann Bell", "Ann", ("+44 20 7946 0000",), ("a@x.example",), "Fernhill", "442079460000"),)),
    "reaction": Reaction("wamid.1", "👍"),
    "reaction taken away": Reaction("wamid.1", ""),
    "plain template": Template("hello_world", "en_US"),
    "template": Template(
        "reopen", "en", (Blank("Ann"), Blank("12")), Blank("Order"), payloads=("", "/yes"), url_endings=("12?a",)
    ),
    "template with a picture and named gaps": Template("reopen", "en", (Blank("Ann", "name"),), picture=PICTURE),
}  # fmt: skip


def body_of(content: Outbound, *, phone: str | None = "447700900101", bsuid: str | None = None) -> dict[str, Any]:
    outgoing = Outgoing(
        id=7, conversation_id=1, phone_number_id="1", phone=phone, bsuid=bsuid, content=content, attempts=1,
        reply_to="wamid.heard", media_id="900",
    )  # fmt: skip
    return payloads.render(outgoing)


@needs_metas
def test_as_published_it_refuses_every_example_of_metas() -> None:
    published = patches.validator([])
    assert [name for name, body in EXAMPLES.items() if published.is_valid(body)] == []


@needs_metas
def test_mended_it_takes_metas_valid_examples() -> None:
    schema = patches.patched()
    assert schema is not None and len(VALID) == 47
    assert {name: schema.is_valid(body) for name, body in VALID.items()} == dict.fromkeys(VALID, True)


@needs_metas
@pytest.mark.parametrize("name", patches.INVALID_EXAMPLES)
def test_what_is_wrong_in_metas_examples_stays_refused(name: str) -> None:
    schema = patches.patched()
    assert schema is not None and not schema.is_valid(EXAMPLES[name])


@needs_metas
@pytest.mark.parametrize("left_out", range(len(patches.PATCHES)), ids=lambda n: patches.PATCHES[n].reason[:40])
def test_no_patch_is_idle(left_out: int) -> None:
    """Without it, a good body is refused or a bad one taken."""
    without = patches.validator([patch for n, patch in enumerate(patches.PATCHES) if n != left_out])
    ours = [*(body_of(content) for content in EVERYTHING.values()), RECEIPT, BY_USER_ID]
    bad = [spoilt(*row) for row in SPOILT.values()]
    refused = any(not without.is_valid(body) for body in ours)
    assert refused or any(map(without.is_valid, bad)) or not all(map(without.is_valid, VALID.values()))


@pytest.mark.parametrize("content", EVERYTHING.values(), ids=EVERYTHING)
@pytest.mark.parametrize("phone", ["447700900101", None])
def test_everything_baton_can_send_is_valid(content: Outbound, phone: str | None) -> None:
    assert recorder.complaints(body_of(content, phone=phone, bsuid="GB.1349")) == []


@pytest.mark.parametrize("typing", [True, False])
def test_a_read_receipt_is_valid(typing: bool) -> None:
    assert recorder.complaints(payloads.render_seen("wamid.1", typing=typing)) == []


RECEIPT = payloads.render_seen("wamid.1", typing=True)
BY_USER_ID = body_of(Text("hi"), phone=None, bsuid="GB.1349")
Spoil = Callable[[dict[str, Any]], Any]


def into(*path: str | int) -> Callable[[dict[str, Any]], Any]:
    def found(body: dict[str, Any]) -> Any:
        node: Any = body
        for step in path:
            node = node[step]
        return node

    return found


def put(value: Any, *path: str | int) -> Spoil:
    return lambda body: into(*path[:-1])(body).__setitem__(path[-1], value)


def drop(*path: str | int) -> Spoil:
    return lambda body: into(*path[:-1])(body).pop(path[-1])


def again(*path: str | int) -> Spoil:
    """Put one more of the last at the end of an array."""
    return lambda body: into(*path)(body).append(
        copy.deepcopy(into(*path)(body)[-1]) | {"id": "/one_more", "title": "One more"}
        if "title" in into(*path)(body)[-1]
        else {"type": "reply", "reply": {"id": "/one_more", "title": "One more"}}
    )


ACTION = ("interactive", "action")
TITLE = (*ACTION, "buttons", 0, "reply", "title")
ROWS = (*ACTION, "sections", 0, "rows")
SPOILT: dict[str, tuple[str, Spoil]] = {
    "a fourth button": ("buttons", again(*ACTION, "buttons")),
    "an eleventh row": ("list", again(*ROWS)),
    "a button of 21 characters": ("buttons", put("x" * 21, *TITLE)),
    "nobody to send it to": ("text", drop("to")),
    "a button without a title": ("buttons", put("", *TITLE)),
    "a button id with a blank behind it": ("buttons", put("/a ", *ACTION, "buttons", 0, "reply", "id")),
    "a button id of 257 characters": ("buttons", put("x" * 257, *ACTION, "buttons", 0, "reply", "id")),
    "no button at all": ("buttons", put([], *ACTION, "buttons")),
    "a row of 25 characters": ("list", put("x" * 25, *ROWS, 0, "title")),
    "a row id of 201 characters": ("list", put("x" * 201, *ROWS, 0, "id")),
    "a row description of 73": ("list", put("x" * 73, *ROWS, 0, "description")),
    "a list's button of 21": ("list", put("x" * 21, *ACTION, "button")),
    "a list without rows": ("list", put([], *ROWS)),
    "a body of 1025": ("buttons", put("x" * 1025, "interactive", "body", "text")),
    "no body": ("list", drop("interactive", "body")),
    "a footer of 61": ("list", put("x" * 61, "interactive", "footer", "text")),
    "a header of 61": ("list", put("x" * 61, "interactive", "header", "text")),
    "a header without its picture": ("buttons under a picture", drop("interactive", "header", "image")),
    "a caption in a header": (
        "buttons under a picture",
        put("c", "interactive", "header", "image", "caption"),
    ),
    "an unknown interactive": ("buttons", put("buttons", "interactive", "type")),
    "buttons that are a link": ("link", put("button", "interactive", "type")),
    "a link without an address": ("link", drop(*ACTION, "parameters", "url")),
    "a link's button of 21": ("link", put("x" * 21, *ACTION, "parameters", "display_text")),
    "a request for something else": ("place to be sent", put("send_money", *ACTION, "name")),
    "a form without a form": ("form", drop(*ACTION, "parameters", "flow_id")),
    "a form of another version": ("form", put("4", *ACTION, "parameters", "flow_message_version")),
    "a text without words": ("text", put(" ", "text", "body")),
    "a text of 4097": ("text", put("x" * 4097, "text", "body")),
    "a text with an unknown key": ("text", put("x", "text", "markup")),
    "an unknown key": ("text", put("x", "idempotency_key")),
    "an unknown type": ("text", put("poll", "type")),
    "another product": ("text", put("messenger", "messaging_product")),
    "an unknown recipient type": ("text", put("business_scoped_user_id", "recipient_type")),
    "a callback of 513": ("text", put("x" * 513, "biz_opaque_callback_data")),
    "a quote of nothing": ("text", put({}, "context")),
    "a reaction that quotes": ("reaction", put({"message_id": "wamid.1"}, "context")),
    "a reaction to nothing": ("reaction", drop("reaction", "message_id")),
    "a picture by id and link": ("image", put("5", "image", "id")),
    "a picture from nowhere": ("image", drop("image", "link")),
    "a caption of 1025": ("image", put("x" * 1025, "image", "caption")),
    "a caption under a sound": ("voice", put("c", "audio", "caption")),
    "a sticker with a caption": ("sticker", put("c", "sticker", "caption")),
    "a place that is words": ("place", put("51.5", "location", "latitude")),
    "a place off the map": ("place", put(90.1, "location", "latitude")),
    "a card without a name": ("contacts", drop("contacts", 0, "name")),
    "a card with half a name": ("contacts", drop("contacts", 0, "name", "first_name")),
    "six cards": ("contacts", lambda body: body["contacts"].extend(body["contacts"] * 5)),
    "a template without a language": ("template", drop("template", "language")),
    "a template with an odd part": ("template", put("middle", "template", "components", 0, "type")),
    "a template button without a place": ("template", drop("template", "components", 2, "index")),
    "a template button of an odd kind": ("template", put("swipe", "template", "components", 2, "sub_type")),
    "a template's gap that is not words": (
        "template",
        put(True, "template", "components", 1, "parameters", 0, "text"),
    ),
}


def spoilt(name: str, spoil: Spoil) -> dict[str, Any]:
    body = copy.deepcopy(body_of(EVERYTHING[name]))
    spoil(body)
    return body


@pytest.mark.parametrize(("name", "spoil"), SPOILT.values(), ids=SPOILT)
def test_what_whatsapp_refuses_is_refused_by_both(name: str, spoil: Spoil) -> None:
    body = spoilt(name, spoil)
    assert not OURS.is_valid(body)
    schema = patches.patched()
    assert schema is None or not schema.is_valid(body)


def test_a_receipt_of_nothing_is_refused_by_both() -> None:
    body = {**RECEIPT, "message_id": ""}
    assert not OURS.is_valid(body)
    schema = patches.patched()
    assert schema is None or not schema.is_valid(body)


def test_metas_schema_was_there() -> None:
    if not EXAMPLES:
        parts.skip(f"no {patches.PUBLISHED}: only our own schema was asked", needed=False)
