"""What somebody said, out of a message's JSON: one small reader for each of Meta's types. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from bot import messages as says
from bot.errors import TooLong
from connectors.whatsapp import loose, vcards

KIND_MAX = 32  # the ledger's column
JSON_MAX = 64 * 1024  # of one content; anything longer was not said by a person
MALFORMED = (KeyError, ValueError, TypeError, AttributeError, OverflowError, IndexError, RecursionError, TooLong)
UNFETCHABLE = 131052  # Meta could not fetch the file, or it is larger than 100 MB
QUIET = {"reaction", "request_welcome", "ephemeral", "call_permission_reply"}  # kept, but nobody is owed an answer
# Of `unsupported`: what changes an older message, or was sent by another business's machine.
SILENT = {"edit", "revoke", "pin", "unpin", "keep_in_chat", "poll_update", "reaction", "hsm", "event_response"}
NOTHING = says.Item("", None, None, "")  # a line of an order nothing can be read of
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Said:
    """What a message says, and what comes beside it."""

    content: says.Inbound
    wants_answer: bool
    reply_to: str | None = None
    media_url: str = ""
    media_sha256: str = ""


def kind_of(item: dict[str, Any]) -> str:
    """Return a message's type; where it does not say, the node it has tells."""
    named = loose.line(item.get("type"), KIND_MAX)
    return named or next((kind for kind in (*READERS, "system", "edit", "revoke") if kind in item), "unknown")


def read(kind: str, item: dict[str, Any]) -> Said:
    """Return what a message says; what can't be read was said all the same, and a person can ask what it was."""
    content = _content(kind, item)
    if isinstance(content, says.Other) and UNFETCHABLE in _codes(item):
        content = says.Other("media_too_large")
    quoted = loose.word(loose.node(item.get("context")).get("id"), loose.ID_MAX)
    url, sha256 = "", ""
    match content:
        case says.Reaction():
            quoted = content.wamid
        case says.Media():
            url, sha256 = _url(loose.node(item.get(kind)).get("url")), _sha256(loose.node(item.get(kind)).get("sha256"))
    return Said(content, _wants_answer(content), quoted, url, sha256)


def _content(kind: str, item: dict[str, Any]) -> says.Inbound:
    try:
        content = READERS[kind](item) if kind in READERS else says.Other(kind)
    except MALFORMED:
        return says.Other(kind)
    can_be_long = isinstance(content, (says.Cards, says.Order, says.Answers))  # the others are short by construction
    if can_be_long and len(json.dumps(says.to_json(content))) > JSON_MAX:
        return says.Other(kind, content.text[: says.TEXT_MAX])
    return content


def _wants_answer(content: says.Inbound) -> bool:
    match content:
        case says.Reaction():
            return False
        case says.Other(kind="unsupported"):
            return content.body not in SILENT
        case says.Other():
            return content.kind not in QUIET
        case _:
            return True


def _codes(item: dict[str, Any]) -> set[int]:
    return {loose.whole(problem.get("code")) for problem in loose.dicts(item.get("errors"))}


def _text(item: dict[str, Any]) -> says.Inbound:
    body = loose.text(item["text"]["body"], says.TEXT_MAX)
    return says.Text(body) if body.strip() else says.Other("text")


def _media(kind: str) -> Callable[[dict[str, Any]], says.Inbound]:
    def read_media(item: dict[str, Any]) -> says.Inbound:
        node = item[kind]
        caption = loose.text(node.get("caption"), says.BODY_MAX)
        media_id = loose.line(node.get("id"), 200)
        if not media_id:
            return says.Other(kind, caption)
        return says.Media(
            kind=kind,
            media_id=media_id,
            caption=caption if kind in says.CAPTIONED else "",
            mime_type=loose.line(node.get("mime_type"), 200).split(";")[0].strip()[:100],
            filename=_filename(node.get("filename")),
            voice=node.get("voice") is True,
        )

    return read_media


def _filename(value: Any) -> str:
    """Return a file's own name: the sender chose it, and it is shown and offered for saving."""
    name = loose.line(re.split(r"[\\/]", loose.text(value, 2000))[-1], 2000).strip(". ")
    return name if len(name) <= 200 else name[:180] + name[-20:]  # the ending says what it is


def _url(value: Any) -> str:
    """Return the address of a file; https, or this machine's, where the simulator lives."""
    if not isinstance(value, str) or len(value) > says.URL_MAX or re.search(r"[^\x21-\x7e]", value):
        return ""
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        return ""
    fits = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    return value if fits and host and "@" not in parts.netloc else ""


def _sha256(value: Any) -> str:
    """Return a file's sum in hex. Meta's is base64 in deliveries, and undocumented elsewhere."""
    words = value if isinstance(value, str) and len(value) <= 100 else ""
    if re.fullmatch(r"[0-9a-fA-F]{64}", words):
        return words.lower()
    try:
        found = base64.b64decode(words, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return found.hex() if len(found) == 32 else ""


def _place(item: dict[str, Any]) -> says.Inbound:
    node = item["location"]
    return says.Place(
        latitude=loose.number(node["latitude"], -90, 90),
        longitude=loose.number(node["longitude"], -180, 180),
        name=loose.line(node.get("name"), 200),
        address=loose.line(node.get("address"), 300),
        url=loose.line(node.get("url"), says.URL_MAX),
    )


def _cards(item: dict[str, Any]) -> says.Inbound:
    """Read contact cards. Only what Meta itself calls the answer to our request is surely the sender's own."""
    found = loose.dicts(item["contacts"])
    if not found:
        return says.Other("contacts")
    asked = "contact_request"
    is_answer = item.get("origin") == asked or all(card.get("origin") == asked for card in found)
    return says.Cards(tuple(_card(card) for card in found), asked=is_answer)


def _card(card: dict[str, Any]) -> says.Card:
    """Read one card; what Meta does not spell out may stand in the vCard a phone wrote."""
    name, work = loose.node(card.get("name")), loose.node(card.get("org"))
    first, last = loose.line(name.get("first_name"), 100), loose.line(name.get("last_name"), 100)
    phones = loose.dicts(card.get("phones"))
    numbers = (loose.line(phone.get("phone"), 40) or loose.digits(phone.get("wa_id")) or "" for phone in phones)
    spelt = says.Card(
        name=loose.line(name.get("formatted_name"), 200) or f"{first} {last}".strip(),
        first_name=first,
        phones=vcards.several(numbers),
        emails=_each(card.get("emails"), "email", 254),
        organisation=loose.line(work.get("company"), 200),
        wa_id=(loose.digits(phones[0].get("wa_id")) or "") if phones else "",
        title=loose.line(work.get("title"), 200),
        department=loose.line(work.get("department"), 200),
        addresses=vcards.several(_address(address) for address in loose.dicts(card.get("addresses"))),
        urls=_each(card.get("urls"), "url", says.URL_MAX),
        birthday=loose.line(card.get("birthday"), 40),
    )
    written = vcards.read(loose.text(card.get("vcard"), vcards.LONGEST))
    whole = replace(spelt, **{part: value for part, value in vars(written).items() if not getattr(spelt, part)})
    return replace(whole, name=whole.name or whole.organisation)


def _each(value: Any, name: str, most: int) -> tuple[str, ...]:
    return vcards.several(loose.line(one.get(name), most) for one in loose.dicts(value))


def _address(node: dict[str, Any]) -> str:
    parts = [loose.line(node.get(name), 200) for name in ("street", "city", "state", "zip", "country")]
    return ", ".join(filter(None, parts))[:300]


def _reaction(item: dict[str, Any]) -> says.Inbound:
    node = item["reaction"]
    emoji = loose.line(node.get("emoji"), says.EMOJI_MAX)  # without one, or with an empty one, it is taken away
    target = loose.word(node.get("message_id"), loose.ID_MAX)
    return says.Reaction(target, emoji) if target else says.Other("reaction", emoji)


def _interactive(item: dict[str, Any]) -> says.Inbound:
    node = item["interactive"]
    for kind in ("button_reply", "list_reply"):
        if kind in node:
            return _tap(node[kind].get("id"), node[kind].get("title"), node[kind].get("description"))
    if "nfm_reply" in node:
        return _answers(node["nfm_reply"])
    if "call_permission_reply" in node:
        return says.Other("call_permission_reply", loose.line(node["call_permission_reply"].get("response"), 40))
    return says.Other(loose.line(node.get("type"), KIND_MAX) or "interactive")


def _tap(id_: Any, title: Any, description: Any = "") -> says.Inbound:
    tap = says.Tap(loose.line(id_, says.ID_MAX), loose.line(title, 200), loose.line(description, 200))
    return tap if tap.id else says.Other("interactive", tap.text)


def _template_button(item: dict[str, Any]) -> says.Inbound:
    node = item["button"]
    return _tap(node.get("payload") or node.get("text"), node.get("text"))  # without a payload, its words are one


def _answers(node: dict[str, Any]) -> says.Inbound:
    """Read a filled form; its answers are JSON in a string, and none of Meta's making."""
    raw = node.get("response_json")
    try:
        values = dict(raw) if isinstance(raw, dict) else loose.parse(str(raw).encode())
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        return says.Other("nfm_reply", loose.text(raw, says.TEXT_MAX))
    token = loose.text(values.pop("flow_token", ""), 1000)
    return says.Answers(loose.line(node.get("name"), 100) or "flow", values, token)


def _order(item: dict[str, Any]) -> says.Inbound:
    """Read an order; a line that is incomplete costs itself what it lacks, never the order."""
    node = item["order"]
    bought = tuple(_bought(loose.node(line)) for line in loose.items(node.get("product_items")))
    note = loose.text(node.get("text"), says.TEXT_MAX)
    if not any(line != NOTHING for line in bought):
        return says.Other("order", note)
    return says.Order(loose.line(node.get("catalog_id"), 100), bought, note)


def _bought(line: dict[str, Any]) -> says.Item:
    return says.Item(
        product=loose.line(line.get("product_retailer_id"), 200),
        quantity=_amount(line.get("quantity"), 1e9),
        price=_amount(line.get("item_price"), 1e12),
        currency=loose.line(line.get("currency"), 10),
    )


def _amount(value: Any, most: float) -> float | None:
    try:
        return loose.number(value, 0, most)
    except (ValueError, OverflowError):
        return None


def _unsupported(item: dict[str, Any]) -> says.Inbound:
    return says.Other("unsupported", loose.line(loose.node(item.get("unsupported")).get("type"), KIND_MAX))


READERS: dict[str, Callable[[dict[str, Any]], says.Inbound]] = {
    "text": _text,
    **{kind: _media(kind) for kind in says.MEDIA_MAX_BYTES},
    "location": _place,
    "contacts": _cards,
    "reaction": _reaction,
    "interactive": _interactive,
    "button": _template_button,
    "order": _order,
    "unsupported": _unsupported,
}
