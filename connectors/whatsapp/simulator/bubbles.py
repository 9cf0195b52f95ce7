"""What the phone shows, as values: rows of the list, bubbles of a conversation. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from typing import Any

from markupsafe import Markup

from connectors.whatsapp.simulator.contents import replies_of, words_of
from connectors.whatsapp.simulator.markup import is_few_emoji, to_html, to_plain
from connectors.whatsapp.simulator.nodes import MEDIA_TYPES
from connectors.whatsapp.simulator.rows import INBOUND, OUTBOUND, Contact, Media, Message

HUES = 8
WEEK = 7
SHORT = 90
SILENT = ("reaction", "edit", "revoke", "system", "request_welcome")
"""What a contact does without a bubble of its own."""
NAMES = {
    "image": "Photo", "video": "Video", "audio": "Voice message", "document": "Document", "sticker": "Sticker",
    "location": "Location", "contacts": "Contact", "template": "Template", "interactive": "Message",
    "order": "Order", "revoked": "This message was deleted", "unsupported": "Something WhatsApp does not pass on",
}  # fmt: skip
TICKS = {"waiting": "Waiting for the business", "delivered": "Delivered", "read": "Read"}


def key_of(wamid: str) -> str:
    """Return an id for HTML: a wamid has signs that links and selectors stumble over."""
    return "m-" + hashlib.sha256(wamid.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Quote:
    """What a bubble answers to."""

    wamid: str
    author: str
    words: str

    @property
    def key(self) -> str:
        return key_of(self.wamid)


@dataclass(frozen=True)
class File:
    """A file in a bubble; `id` is None when the link could not be fetched."""

    kind: str
    id: str | None
    name: str
    size: str


@dataclass(frozen=True)
class Bubble:
    """One message as the phone draws it."""

    wamid: str
    mine: bool
    kind: str
    day: str
    time: str
    moment: str
    html: Markup
    words: str
    ticks: str | None = None
    ticks_words: str = ""
    starts: bool = False
    big: bool = False
    header: str = ""
    footer: str = ""
    quote: Quote | None = None
    file: File | None = None
    place: dict[str, Any] | None = None
    cards: tuple[tuple[str, str], ...] = ()
    buttons: tuple[dict[str, str], ...] = ()
    sheet: dict[str, Any] | None = None
    link: tuple[str, str] | None = None
    asks_location: bool = False
    asks_number: bool = False
    form: str = ""
    label: str = ""
    text: str = ""
    """What can be edited: the words of a text, as they were written."""
    edited: bool = False
    reactions: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return key_of(self.wamid)

    @property
    def version(self) -> str:
        """Changes when the bubble looks different, so that the page redraws it and no other."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Row:
    """One contact in the list."""

    contact: Contact
    hue: int
    initials: str
    last: str
    last_mine: bool
    ticks: str | None
    time: str
    at: float
    unread: int
    what: str = ""


def row(contact: Contact, last: Message | None, unread: int, now: float, what: str = "") -> Row:
    """Return a contact's line: who, what was said last and when."""
    mine = last is not None and last.direction == INBOUND
    return Row(
        contact=contact, hue=sum(contact.phone.encode()) % HUES, initials=initials(contact.name),
        last=short(last) if last else "", last_mine=mine, ticks=last.status if last and mine else None,
        time=_list_time(last.at, now) if last else "", at=last.at if last else 0.0, unread=unread, what=what,
    )  # fmt: skip


def bubbles(
    messages: Iterable[Message], business: str, now: float, media: Callable[[str], Media | None]
) -> list[Bubble]:
    """Return what the phone shows: reactions on their bubbles, a tail where the author changes, names of days."""
    there = [message for message in messages if message.direction == INBOUND or message.shown_at is not None]
    shown = sorted(there, key=lambda message: message.place or message.id)
    known = {message.wamid: message for message in shown}
    reactions = _reactions(shown)
    drawn: list[Bubble] = []
    for message in shown:
        if message.type in SILENT or _is_silent(message):
            continue
        bubble = _bubble(message, known, business, now, media)
        before = drawn[-1] if drawn else None
        starts = before is None or before.mine != bubble.mine or before.day != bubble.day
        drawn.append(replace(bubble, starts=starts, reactions=reactions.get(message.wamid, ())))
    return drawn


def short(message: Message) -> str:
    """Return a message in one line, for the list and for quotes."""
    words = to_plain(words_of(message))
    name = NAMES.get(message.type, "Message")
    if message.type in MEDIA_TYPES or message.type in ("location", "contacts"):
        words = f"{name}: {words}" if words else name
    words = words or name
    return words if len(words) <= SHORT else words[: SHORT - 1] + "…"


def initials(name: str) -> str:
    parts = [part for part in name.split() if part[0].isalnum()]
    return "".join(part[0] for part in [*parts[:1], *parts[1:][-1:]]).upper() or "#"


def _reactions(messages: list[Message]) -> dict[str, tuple[str, ...]]:
    """Return each message's reactions: one of each side, the latest; an empty one takes it away."""
    latest: dict[tuple[str, str], str] = {}
    for message in messages:
        if message.type == "reaction":
            node = _node(message)
            latest[str(node.get("message_id")), message.direction] = str(node.get("emoji") or "")
    found: dict[str, tuple[str, ...]] = {}
    for (wamid, _), emoji in latest.items():
        if emoji:
            found[wamid] = (*found.get(wamid, ()), emoji)
    return found


def _bubble(
    message: Message,
    known: dict[str, Message],
    business: str,
    now: float,
    media: Callable[[str], Media | None],
) -> Bubble:
    mine = message.direction == INBOUND
    at = _local(message.at if mine else message.shown_at or message.at)
    words = words_of(message)
    no_words = message.type in ("document", "location", "contacts") and "caption" not in _node(message)
    plain = Bubble(
        wamid=message.wamid, mine=mine, kind=message.type, day=day_name(at.date(), _local(now).date()),
        time=at.strftime("%H:%M"), moment=at.isoformat(timespec="minutes"),
        html=Markup("") if no_words else to_html(words), words=short(message),
        ticks=message.status if mine else None, ticks_words=TICKS.get(message.status, "") if mine else "",
        big=message.type == "text" and is_few_emoji(words), quote=_quote(message, known, business),
        text=words if message.type == "text" else "", edited=bool(message.content.get("edited")),
    )  # fmt: skip
    return replace(plain, **{"label": _forwarded(message), **_extras(message, media)})


def _forwarded(message: Message) -> str:
    context = message.content.get("context")
    if not isinstance(context, dict):
        return ""
    if context.get("frequently_forwarded"):
        return "Forwarded many times"
    return "Forwarded" if context.get("forwarded") else ""


def _node(message: Message) -> dict[str, Any]:
    node = message.content.get(message.type)
    return node if isinstance(node, dict) else {}


def _extras(message: Message, media: Callable[[str], Media | None]) -> dict[str, Any]:
    """Return what only this type of message has."""
    node = _node(message)
    if message.type in MEDIA_TYPES:
        return {"file": _file(message.type, node, media)}
    if message.type == "location":
        return {"place": node}
    if message.type == "contacts":
        cards = message.content.get("contacts")
        return (
            {"cards": tuple(_card(card) for card in cards if isinstance(card, dict))} if isinstance(cards, list) else {}
        )
    if message.type == "template":
        return _template(str(node.get("name", "")), message.content.get("shown") or {}, message)
    if message.type in ("order", "revoked", "unsupported"):
        return {"label": NAMES[message.type]}
    if message.type == "interactive" and node.get("type") == "nfm_reply":
        reply = node.get("nfm_reply")
        said = reply.get("response_json") if isinstance(reply, dict) else None
        return {"label": "Form", "html": to_html(_answers(str(said or "")))}
    if message.type == "interactive" and message.direction == OUTBOUND:
        return _interactive(node, message, media)
    return {}


def _is_silent(message: Message) -> bool:
    """Say whether an unsupported message stands for an edit or a deletion, which draw no bubble."""
    return message.type == "unsupported" and _node(message).get("type") in ("edit", "revoke")


def _template(name: str, shown: dict[str, Any], message: Message) -> dict[str, Any]:
    links = [button for button in shown.get("buttons") or [] if "url" in button]
    return {
        "label": f"Template {name}", "header": shown.get("header", ""), "footer": shown.get("footer", ""),
        "buttons": tuple(replies_of(message)[1]), "link": (links[0]["title"], links[0]["url"]) if links else None,
    }  # fmt: skip


def _answers(response_json: str) -> str:
    """Return what was filled into a form, line by line."""
    try:
        said = json.loads(response_json)
    except ValueError:
        return response_json
    if not isinstance(said, dict):
        return response_json
    return "\n".join(f"{key}: {value}" for key, value in said.items() if key != "flow_token") or "Sent"


def _interactive(node: dict[str, Any], message: Message, media: Callable[[str], Media | None]) -> dict[str, Any]:
    header, action = node.get("header") or {}, node.get("action") or {}
    extras: dict[str, Any] = {
        "header": header.get("text", ""),
        "footer": (node.get("footer") or {}).get("text", ""),
    }
    if header.get("type") in MEDIA_TYPES:
        extras["file"] = _file(header["type"], header[header["type"]], media)
    match node.get("type"):
        case "button":
            extras["buttons"] = tuple(replies_of(message)[1])
        case "list":
            extras["sheet"] = {"button": action["button"], "sections": action["sections"]}
        case "cta_url":
            parameters = action["parameters"]
            extras["link"] = (parameters["display_text"], parameters["url"])
        case "location_request_message":
            extras["asks_location"] = True
        case "request_contact_info":
            extras["asks_number"] = True
        case "flow":
            extras["form"] = str(action["parameters"]["flow_cta"])
    return extras


def _file(kind: str, node: dict[str, Any], media: Callable[[str], Media | None]) -> File:
    found = media(str(node["id"])) if node.get("id") else None
    name = str(node.get("filename") or (found.filename if found else "") or NAMES[kind])
    return File(kind, found.id if found else None, name, _size(len(found.content)) if found else "")


def _card(card: dict[str, Any]) -> tuple[str, str]:
    phones, name = card.get("phones"), card.get("name")
    known = [phone for phone in phones if isinstance(phone, dict)] if isinstance(phones, list) else []
    shown = name.get("formatted_name") if isinstance(name, dict) else None
    return str(shown or "Contact"), ", ".join(str(phone.get("phone", "")) for phone in known)


def _quote(message: Message, known: dict[str, Message], business: str) -> Quote | None:
    quoted = known.get(message.context or "")
    if quoted is None:
        return None
    return Quote(quoted.wamid, "You" if quoted.direction == INBOUND else business, short(quoted))


def _size(count: int) -> str:
    kilo = 1024
    return f"{count / kilo / kilo:.1f} MB" if count >= kilo * kilo else f"{max(1, count // kilo)} kB"


def _local(at: float) -> datetime:
    return datetime.fromtimestamp(at, tz=timezone.utc).astimezone()


def day_name(day: date, today: date) -> str:
    """Return a day as the chips name it: Today, Yesterday, Tuesday, 3 November 2026."""
    age = (today - day).days
    if age in (0, 1):
        return ("Today", "Yesterday")[age]
    return f"{day:%A}" if 0 < age < WEEK else f"{day.day} {day:%B %Y}"


def _list_time(at: float, now: float) -> str:
    then, today = _local(at), _local(now).date()
    name = day_name(then.date(), today)
    if name == "Today":
        return then.strftime("%H:%M")
    return name if (today - then.date()).days < WEEK else then.strftime("%d/%m/%Y")
