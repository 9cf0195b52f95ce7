"""What stands under `custom:` of a response, as values: all that Rasa itself has no word for.

Each key and what it takes is described for writers in data/README.md. Pure; whatever is wrong raises TooLong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.errors import TooLong
from bot.messages import (
    AskNumber,
    AskPlace,
    Blank,
    Card,
    Cards,
    Flow,
    Link,
    Media,
    Outbound,
    Place,
    Template,
    sendable,
)

CARRIERS = ("link", "ask_place", "ask_number", "flow")  # they stand under a text
ALONE = ("media", "place", "contacts", "template")  # they are messages of their own
FRAME = ("header", "footer", "button")  # around choices
KEYS = {*CARRIERS, *ALONE, *FRAME, "react", "quote", "silence", "introduced"}


def carrier(name: str, node: Any, text: str, header: str = "", footer: str = "") -> Link | AskPlace | AskNumber | Flow:
    """Return the message of this kind with its text."""
    match name:
        case "link":
            rows = _rows(name, node, "title", "url")
            return Link(text or rows["title"], rows["title"], rows["url"], header, footer)
        case "ask_place":
            return AskPlace(text)
        case "ask_number":
            return AskNumber(text)
        case _:
            rows = _rows(name, node, "button", "flow_id")
            values = node.get("values") or {}
            if not isinstance(values, dict):
                raise TooLong("(the values of a flow are names with their values)")
            return Flow(
                text or rows["button"], rows["button"], rows["flow_id"], token=str(node.get("token") or "unused"),
                screen=str(node.get("screen") or ""), values=values, header=header, footer=footer,
                draft=bool(node.get("draft")),
            )  # fmt: skip


def alone(name: str, node: Any) -> Outbound:
    """Return the message of this kind, which has no text above it."""
    match name:
        case "media":
            return sendable(_media(node))
        case "place":
            return sendable(_place(node))
        case "contacts":
            return sendable(Cards(tuple(_card(row) for row in _list(name, node))))
        case _:
            return _template(node)


def _rows(name: str, node: Any, *needed: str) -> dict[str, str]:
    """Return the needed words of a node."""
    if not isinstance(node, Mapping):
        raise TooLong(f"({name} needs {' and '.join(needed)})")
    missing = [key for key in needed if not str(node.get(key) or "").strip()]
    if missing:
        raise TooLong(f"({name} needs {' and '.join(missing)})")
    return {key: str(node[key]).strip() for key in needed}


def _list(name: str, node: Any) -> list[Any]:
    if node is None:
        return []
    if not isinstance(node, (list, tuple)):
        raise TooLong(f"({name} is a list)")
    return list(node)


def _words(node: Mapping[str, Any], key: str) -> str:
    return str(node.get(key) or "").strip()


def _media(node: Any) -> Media:
    kind = _rows("media", node, "kind")["kind"]
    return Media(
        kind, link=_words(node, "link"), file=_words(node, "file"), caption=_words(node, "caption"),
        filename=_words(node, "filename"), voice=bool(node.get("voice")),
    )  # fmt: skip


def _place(node: Any) -> Place:
    rows = _rows("place", {key: str(value) for key, value in node.items()} if isinstance(node, Mapping) else node,
                 "latitude", "longitude")  # fmt: skip
    try:
        return Place(float(rows["latitude"]), float(rows["longitude"]), _words(node, "name"), _words(node, "address"))
    except ValueError:
        raise TooLong("(a place has its latitude and longitude in degrees, such as 51.5)") from None


def _card(node: Any) -> Card:
    name = _rows("contacts", node, "name")["name"]
    phones = tuple(str(phone) for phone in _list("phones", node.get("phones")))
    emails = tuple(str(email) for email in _list("emails", node.get("emails")))
    wa_id = _words(node, "wa_id").lstrip("+")
    return Card(name, _words(node, "first_name"), phones, emails, _words(node, "organisation"), wa_id)


def _template(node: Any) -> Template:
    rows = _rows("template", node, "name", "language")
    gaps = node.get("blanks") or ()
    if isinstance(gaps, Mapping):
        blanks = tuple(Blank(str(words), str(name)) for name, words in gaps.items())
    else:
        blanks = tuple(Blank(str(words)) for words in _list("blanks", gaps))
    header, picture = _words(node, "header"), _words(node, "picture")
    return Template(
        rows["name"], rows["language"], blanks,
        header=Blank(header) if header else None,
        picture=Media("image", link=picture) if picture else None,
        payloads=tuple(str(payload or "") for payload in _list("payloads", node.get("payloads"))),
        url_endings=tuple(str(ending or "") for ending in _list("url_endings", node.get("url_endings"))),
        text=_words(node, "text") or "; ".join(blank.text for blank in blanks),
    )  # fmt: skip
