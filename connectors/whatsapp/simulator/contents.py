"""What a contact can send: from the short JSON of the control API, or a form, to the node Meta would send."""

from __future__ import annotations

import base64
import json
import mimetypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from connectors.whatsapp.simulator.bodies import unsupported
from connectors.whatsapp.simulator.limits import LONGEST_CAPTION, LONGEST_TEXT
from connectors.whatsapp.simulator.rows import OUTBOUND, Media, Message

SAMPLES = Path(__file__).parent / "samples"
SAMPLE_OF = {
    "image": SAMPLES / "parcel.jpg",
    "audio": SAMPLES / "voice-note.ogg",
    "video": SAMPLES / "sprout.mp4",
    "document": SAMPLES / "receipt.pdf",
    "sticker": SAMPLES / "sticker.webp",
}
"""One small true file of each kind, all of our own making."""
PARCEL, VOICE_NOTE = SAMPLE_OF["image"], SAMPLE_OF["audio"]
MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w.+-]+=[\w.+-]+)*", re.ASCII)

PLACES: dict[str, dict[str, Any]] = {
    "home": {"latitude": 51.5416, "longitude": -0.1431, "name": "14 Orchard Lane", "address": "London NW1"},
    "store": {
        "latitude": 51.5290,
        "longitude": -0.1255,
        "name": "Fernhill King's Cross",
        "address": "Goods Way 3",
    },
    "here": {"latitude": 51.5074, "longitude": -0.1657},
}
PLACE_TITLES = {
    "home": "My home, 14 Orchard Lane",
    "store": "Fernhill King's Cross",
    "here": "Where I am now",
}

ORDER: dict[str, Any] = {
    "catalog_id": "354160437058781",
    "text": "",
    "product_items": [
        {"product_retailer_id": "FH-TROWEL", "quantity": 1, "item_price": 12.5, "currency": "GBP"},
        {"product_retailer_id": "FH-SEEDS", "quantity": 3, "item_price": 2, "currency": "GBP"},
    ],
}
PRODUCT = {"catalog_id": "354160437058781", "product_retailer_id": "FH-TROWEL"}
REFERRAL: dict[str, Any] = {
    "source_url": "https://fb.me/2ZulEu42P",
    "source_id": "120212345678901234",
    "source_type": "ad",
    "headline": "Spring at Fernhill",
    "body": "Everything for the garden",
    "media_type": "image",
    "image_url": "https://scontent.example/spring.jpg",
    "ctwa_clid": "Aff-n8ZTODiE79d22KtAwQKj9e",
    "welcome_message": {"text": "Hi! How can we help?"},
}

AddMedia = Callable[[bytes, str, str], Media]


CARD: dict[str, Any] = {
    "name": {"formatted_name": "Iris Turner", "first_name": "Iris", "last_name": "Turner"},
    "phones": [{"phone": "+44 7700 900142", "wa_id": "447700900142", "type": "CELL"}],
}
FORWARDED_WORDS = "Fernhill opens at seven on Saturday, they say. Pass it on!"


class Unclear(ValueError):
    """The control API was asked for something it does not understand."""


def text(body: str) -> dict[str, Any]:
    return {"type": "text", "text": {"body": body}}


def location(place: dict[str, Any]) -> dict[str, Any]:
    return {"type": "location", "location": place}


def reaction(wamid: str, emoji: str) -> dict[str, Any]:
    """Without an emoji the reaction is taken away: Meta leaves the key out."""
    return {"type": "reaction", "reaction": {"message_id": wamid, **({"emoji": emoji} if emoji else {})}}


def file(media: Media, kind: str, caption: str = "") -> dict[str, Any]:
    """Return a media message; a voice note is told by its kind."""
    node: dict[str, Any] = {"mime_type": media.mime_type, "sha256": media.sha256, "id": media.id}
    if kind == "audio":
        node["voice"] = "opus" in media.mime_type
    if kind == "document":
        node["filename"] = media.filename
    if kind == "sticker":
        node["animated"] = False
    if caption and kind in ("image", "video", "document"):
        node["caption"] = caption
    return {"type": kind, kind: node}


def tap(message: Message | None, reply_id: str, title: str = "") -> dict[str, Any]:
    """Return the reply to a button or a list row; what the message shows wins over what the caller says."""
    shape, options = replies_of(message) if message else ("button", [])
    option = next(
        (option for option in options if option["id"] == reply_id),
        {"id": reply_id, "title": title or reply_id},
    )
    if shape == "template":
        return {"type": "button", "button": {"payload": option["id"], "text": option["title"]}}
    kind = "list_reply" if shape == "list" else "button_reply"
    return {"type": "interactive", "interactive": {"type": kind, kind: option}}


def form(message: Message | None, fields: dict[str, Any], name: str = "flow") -> dict[str, Any]:
    """Return the answer to a flow: a string with JSON in it, and the token of the flow unless it is said otherwise."""
    node = (message.content.get("interactive") or {}) if message else {}
    parameters = (node.get("action") or {}).get("parameters") or {}
    token = {"flow_token": parameters.get("flow_token", "unused")}
    said = {key: value for key, value in {**token, **fields}.items() if value is not None}
    return filled_form(json.dumps(said), name)


def filled_form(response_json: str, name: str = "flow") -> dict[str, Any]:
    """Return the answer to a flow, word for word: it need not be JSON."""
    reply = {"name": name, "body": "Sent", "response_json": response_json}
    return {"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": reply}}


def own_card(phone: str) -> dict[str, Any]:
    """Return the answer to a request for the phone number: a card without a name."""
    return {
        "type": "contacts",
        "contacts": [{"phones": [{"phone": f"+{phone}", "wa_id": phone, "type": "CELL"}]}],
        "origin": "contact_request",
    }


def replies_of(message: Message) -> tuple[str, list[dict[str, str]]]:
    """Return what can be tapped under a message of the business, and whether it is buttons or a list."""
    if message.direction != OUTBOUND:
        return "none", []
    if message.type == "template":
        shown = (message.content.get("shown") or {}).get("buttons") or []
        return "template", [button for button in shown if "id" in button]
    node = message.content.get("interactive") or {}
    action = node.get("action") or {}
    if node.get("type") == "button":
        return "button", [dict(button["reply"]) for button in action["buttons"]]
    if node.get("type") == "list":
        rows = [row for section in action["sections"] for row in section["rows"]]
        return "list", [{k: v for k, v in row.items() if k in ("id", "title", "description") and v} for row in rows]
    return "none", []


def words_of(message: Message) -> str:  # noqa: C901, PLR0912 - one line for each type
    """Return a message as one text: what a list row, a quote or a test wants to see of it."""
    node = message.content.get(message.type)
    match message.type, node:
        case "text", {"body": str(body)}:
            return body
        case "interactive", {"body": {"text": str(body)}}:
            return body
        case "interactive", {"nfm_reply": {"body": str(body)}}:
            return body
        case "interactive", {"button_reply": {"title": str(title)}} | {"list_reply": {"title": str(title)}}:
            return title
        case "button", {"text": str(title)}:
            return title
        case "reaction", {"emoji": str(emoji)}:
            return emoji
        case "location", dict():
            return str(node.get("name") or node.get("address") or "")
        case "template", dict():
            return str((message.content.get("shown") or {}).get("text") or node.get("name") or "")
        case "order", {"product_items": list(items)}:
            known = [item for item in items if isinstance(item, dict)]
            return ", ".join(f"{item.get('quantity')} × {item.get('product_retailer_id')}" for item in known)
        case "edit", {"message": {"text": {"body": str(body)}}}:
            return body
        case "system", {"body": str(body)}:
            return body
        case _, {"caption": str(caption)}:
            return caption
        case "document", {"filename": str(filename)}:
            return filename
        case "contacts", [{"name": {"formatted_name": str(name)}}, *_]:
            return name
        case "contacts", [{"phones": [{"phone": str(phone)}, *_]}, *_]:
            return phone
    return ""


def from_request(asked: dict[str, Any], quoted: Message | None, add_media: AddMedia) -> dict[str, Any]:
    """Return the node for one call of the control API: what was said, and how it came about."""
    content = _said(asked, quoted, add_media)
    if asked.get("referral"):
        content["referral"] = REFERRAL if asked["referral"] is True else _object(asked["referral"], "referral")
    context: dict[str, Any] = {key: True for key in ("forwarded", "frequently_forwarded") if asked.get(key)}
    if any(asked[key] is not True for key in context):
        raise Unclear("forwarded and frequently_forwarded are true or false.")
    if asked.get("referred_product"):
        product = asked["referred_product"]
        context["referred_product"] = PRODUCT if product is True else _object(product, "referred_product")
    if context:
        content["context"] = {**content.get("context", {}), **context}
    return content


def _said(asked: dict[str, Any], quoted: Message | None, add_media: AddMedia) -> dict[str, Any]:  # noqa: C901, PLR0912 - one line for each kind
    match asked:
        case {"raw": raw}:
            return _raw(raw)
        case {"tap": str(reply_id)}:
            return tap(quoted, reply_id, str(asked.get("title") or ""))
        case {"button": {"payload": str(payload), "text": str(words)}}:
            return {"type": "button", "button": {"payload": payload, "text": words}}
        case {"reaction": str(emoji), "to": str(wamid)}:
            return reaction(wamid, emoji)
        case {"flow": dict(fields)}:
            return form(quoted, fields, str(asked.get("name") or "flow"))
        case {"flow": str(words)}:
            return filled_form(words, str(asked.get("name") or "flow"))
        case {"text": str(body)} if body:
            return text(_short_enough(body, "text", LONGEST_TEXT))
        case {"location": str(name)} if name in PLACES:
            return location(PLACES[name])
        case {"location": place}:
            return location(_place(place))
        case {"contacts": True}:
            return {"type": "contacts", "contacts": [CARD]}
        case {"contacts": list(cards)}:
            return {"type": "contacts", "contacts": _objects(cards, "contacts")}
        case {"order": True}:
            return {"type": "order", "order": ORDER}
        case {"order": dict(order)}:
            _objects(order.get("product_items"), "order.product_items")
            return {"type": "order", "order": order}
        case {"unsupported": kind} if kind:
            return unsupported(kind if isinstance(kind, str) else None)
        case {"welcome": True}:
            return {"type": "request_welcome"}
    for kind in ("image", "audio", "video", "document", "sticker"):
        if asked.get(kind):
            given = {} if asked[kind] is True else _object(asked[kind], kind)
            return _file_from(given, kind, add_media)
    raise Unclear(
        "Say one of text, tap, button, flow, location, image, audio, video, document, sticker, contacts, "
        "contact_request, order, reaction, unsupported, welcome, raw."
    )


def _object(given: object, name: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Unclear(f"{name} is true, for a sample, or a JSON object.")
    return given


def _objects(given: object, name: str) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        raise Unclear(f"{name} is a list of JSON objects, at least one.")
    return given


def _short_enough(words: str, name: str, longest: int) -> str:
    if len(words) > longest:
        raise Unclear(f"{name} has {len(words)} characters; WhatsApp lets a contact write at most {longest}.")
    return words


def _raw(given: object) -> dict[str, Any]:
    """Return the node as it is: it may be odd in every way but the two we read ourselves."""
    node = given if isinstance(given, dict) else {}
    if not isinstance(node.get("type"), str) or not isinstance(node.get("context", {}), dict):
        raise Unclear("raw is a node as in a webhook: an object with a type, and with a context only if it is one.")
    return dict(node)


def _place(given: object) -> dict[str, Any]:
    place = given if isinstance(given, dict) else {}
    for name, most in (("latitude", 90), ("longitude", 180)):
        value = place.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -most <= value <= most:
            raise Unclear(
                f"location.{name} is a number from -{most} to {most}; or location is one of {_names(PLACES)}."
            )
    if not all(isinstance(place.get(name, ""), str) for name in ("name", "address", "url")):
        raise Unclear("name, address and url of a location are texts.")
    return place


def _names(known: dict[str, Any]) -> str:
    return ", ".join(known)


def sample(kind: str, add_media: AddMedia, caption: str = "") -> dict[str, Any]:
    """Return a file message with the sample of this kind."""
    path = SAMPLE_OF[kind]
    return file(add_media(path.read_bytes(), mime_of(path.name, ""), path.name), kind, caption)


def _file_from(asked: dict[str, Any], kind: str, add_media: AddMedia) -> dict[str, Any]:
    """Return a file message: of the given base64, or of the sample of this kind."""
    if not all(isinstance(asked.get(key) or "", str) for key in ("base64", "filename", "mime_type", "caption")):
        raise Unclear(f"base64, filename, mime_type and caption of {kind} are texts.")
    content, name = SAMPLE_OF[kind].read_bytes(), asked.get("filename") or SAMPLE_OF[kind].name
    if asked.get("base64") is not None:
        content, name = _decoded(asked["base64"], kind), asked.get("filename") or kind
    otherwise = "application/octet-stream" if kind == "document" else mime_of(SAMPLE_OF[kind].name, "")
    mime_type = asked.get("mime_type") or mime_of(name, otherwise)
    if not MIME_TYPE.fullmatch(mime_type):
        raise Unclear(f"{kind}.mime_type is a type such as image/jpeg.")
    caption = _short_enough(asked.get("caption") or "", f"{kind}.caption", LONGEST_CAPTION)
    return file(add_media(content, mime_type, name), kind, caption)


def _decoded(encoded: str, kind: str) -> bytes:
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except ValueError:
        raise Unclear(f"{kind}.base64 is not base64.") from None


def mime_of(filename: str, otherwise: str) -> str:
    """Return a file's type by its name; a voice note is named as WhatsApp names it."""
    if filename.endswith(".ogg"):
        return "audio/ogg; codecs=opus"
    if filename.endswith(".webp"):
        return "image/webp"  # Python 3.10 does not know it
    return mimetypes.guess_type(filename)[0] or otherwise
