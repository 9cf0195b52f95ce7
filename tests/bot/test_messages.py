"""bot/messages.py: what WhatsApp would refuse can't be made; what can be made survives a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bot import messages as says
from bot.errors import TooLong
from bot.messages import (
    Answers,
    AskNumber,
    AskPlace,
    Blank,
    Buttons,
    Card,
    Cards,
    Flow,
    Item,
    Link,
    Media,
    Menu,
    Order,
    Other,
    Place,
    Reaction,
    Reply,
    Tap,
    Template,
    Text,
)
from tests.connectors.openapi.test_schema import EVERYTHING

A = (Reply("/a", "A"),)
PICTURE = Media("image", link="https://x.example/a.png")
WEB = "https://x.example"

REFUSED: dict[str, Callable[[], Any]] = {
    "a text without words": lambda: Text(" \n"),
    "a text of 4097": lambda: Text("x" * 4097),
    "a text no database holds": lambda: Text("a\x00b"),
    "a half of an emoji": lambda: AskPlace("\ud83d"),
    "a fourth button": lambda: Buttons("?", tuple(Reply(f"/{n}", f"T{n}") for n in range(4))),
    "an eleventh row": lambda: Menu("?", tuple(Reply(f"/{n}", f"T{n}") for n in range(11))),
    "no choice at all": lambda: Buttons("?", ()),
    "a button of 21": lambda: Buttons("?", (Reply("/a", "x" * 21),)),
    "a button of 11 emoji": lambda: Buttons("?", (Reply("/a", "😀" * 11),)),
    "a line under a button": lambda: Buttons("?", (Reply("/a", "A", "b"),)),
    "a row of 25": lambda: Reply("/a", "x" * 25),
    "a title without words": lambda: Reply("/a", " "),
    "an id of 201": lambda: Reply("x" * 201, "A"),
    "an id that ends in a blank": lambda: Reply("/a ", "A"),
    "a second line of 73": lambda: Reply("/a", "A", "x" * 73),
    "two ids alike": lambda: Menu("?", (Reply("/a", "A"), Reply("/a", "B"))),
    "two titles alike": lambda: Menu("?", (Reply("/a", "A"), Reply("/b", "A"))),
    "a body of 1025": lambda: Buttons("x" * 1025, A),
    "a body of 513 emoji": lambda: Menu("😀" * 513, A),
    "a header of 61": lambda: Menu("?", A, header="x" * 61),
    "a header of blanks": lambda: Menu("?", A, header=" "),
    "a footer of 61": lambda: Link("?", "A", WEB, footer="x" * 61),
    "a list's button of 21": lambda: Menu("?", A, "x" * 21),
    "a header and a picture": lambda: Buttons("?", A, header="h", picture=PICTURE),
    "a sound as a picture": lambda: Buttons("?", A, picture=Media("audio", link=WEB)),
    "a picture with a caption in a header": lambda: Link("?", "A", WEB, picture=Media("image", link=WEB, caption="c")),
    "a link to a script": lambda: Link("?", "A", "javascript:alert(1)"),
    "a link of 2001": lambda: Link("?", "A", WEB + "/" + "x" * 2000),
    "a link without a title": lambda: Link("?", " ", WEB),
    "a medium from nowhere": lambda: Media("image"),
    "a medium from two places": lambda: Media("image", link=WEB, file="a.png"),
    "a medium of an unknown kind": lambda: Media("gif", link=WEB),
    "a caption under a sound": lambda: Media("audio", link=WEB, caption="c"),
    "a caption of 1025": lambda: Media("image", link=WEB, caption="x" * 1025),
    "a file out of its folder": lambda: Media("image", file="../secrets"),
    "a form without an id": lambda: Flow("?", "Open", " "),
    "a form with values and no screen": lambda: Flow("?", "Open", "1", values={"a": 1}),
    "a form's button of 21": lambda: Flow("?", "x" * 21, "1"),
    "a request without words": lambda: AskNumber(""),
    "an empty gap": lambda: Blank(" "),
    "a gap of two lines": lambda: Blank("a\nb"),
    "a gap of 1025": lambda: Blank("x" * 1025),
    "a template's odd name": lambda: Template("Hello World", "en"),
    "a template's odd language": lambda: Template("hello", "English"),
    "named and numbered gaps": lambda: Template("hello", "en", (Blank("a"), Blank("b", "c"))),
    "eleven template buttons": lambda: Template("hello", "en", payloads=("",) * 11),
    "a reaction to nothing": lambda: Reaction("", "👍"),
    "a reaction of words": lambda: Reaction("wamid.1", "x" * 33),
    "a place off the map": lambda: says.sendable(Place(91, 0)),
    "a place nowhere": lambda: says.sendable(Place(float("nan"), 0)),
    "six cards": lambda: says.sendable(Cards((Card("A"),) * 6)),
    "no card": lambda: says.sendable(Cards(())),
    "a card without a name": lambda: says.sendable(Cards((Card(""),))),
    "a text of 2049 emoji": lambda: says.sendable(Text("😀" * 2049)),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_what_whatsapp_would_refuse_cant_be_said(make: Callable[[], Any]) -> None:
    with pytest.raises(TooLong, match="WhatsApp would refuse this message"):
        make()


def test_what_just_fits_can_be_said() -> None:
    Buttons("x" * 1024, tuple(Reply(f"/{n}", f"{n}" + "x" * 19) for n in range(3)), header="x" * 60, footer="x" * 60)
    Menu("?", tuple(Reply("x" * 199 + str(n), "x" * 23 + str(n), "x" * 72) for n in range(10)), button="x" * 20)
    Text("x" * 4096)


HEARD = [
    Tap("/a", "A"), Order("5", (Item("sku", 2, 9.5, "GBP"),), "please"), Answers("flow", {"a": ["b"]}, "token"),
    Other("poll", "words"), Cards((Card("Ann", phones=("1", "2")), Card("")), asked=True), Place(95.0, 0.0),
    Media("audio", media_id="1", voice=True),
]  # fmt: skip


@pytest.mark.parametrize("content", [*EVERYTHING.values(), *HEARD], ids=repr)
def test_whatever_is_said_or_heard_survives_a_row(content: says.Content) -> None:
    row = json.loads(json.dumps(says.to_json(content)))
    assert says.from_json(row) == content
    assert isinstance(content.text, str) and says.type_of(content)


def test_what_was_filled_into_a_form_reads_as_lines_however_deep_it_lies() -> None:
    address = {"in_pin_code": "400063", "city": "Mumbai", "landmark": ""}
    form = Answers("address_message", {"saved_address_id": None, "values": address})
    assert form.text.splitlines() == ["saved address id: –", "in pin code: 400063", "city: Mumbai", "landmark: –"]
    inside = {"gift": True, "sizes": ["S", 2], "bill_to": {"city": "Leeds", "lines": [{"sku": "A"}, {"sku": "B"}]}}
    assert Answers("flow", inside).text.splitlines() == [
        "gift: yes", "sizes: S, 2", "bill to, city: Leeds", "bill to, lines, sku: A", "bill to, lines, sku: B",
    ]  # fmt: skip
    assert len(Answers("flow", {f"{n}": "x" * 1000 for n in range(1000)}).text) == says.READ_MAX
