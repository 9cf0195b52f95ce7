"""Bytes in, updates out: is it signed, and what does it say? Pure functions; nothing valid is lost to a bad neighbour.

Meta may batch up to 1,000 updates over many entries and changes, adds types and fields without notice, and leaves out
fields its documentation calls required. So everything is read item by item, and what can't be read is said to be so.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from bot import messages as says
from bot.errors import TooLong
from bot.updates import ContactRef, Received, Reported, Unsupported, Update
from bot.vocabulary import Status
from connectors.whatsapp.errors import in_words

MEDIA = {"image", "video", "audio", "document", "sticker"}
QUIET = {
    "reaction",
    "edit",
    "revoke",
    "system",
    "request_welcome",
    "ephemeral",
}  # kept, but nobody is owed an answer
LAST_SECOND = 4_102_444_800  # 2100; a later one is garbage, and not every database knows it
STATUSES = {
    status.value: status for status in (Status.SENT, Status.DELIVERED, Status.READ, Status.PLAYED, Status.FAILED)
}


def is_signed(body: bytes, header: str | None, secrets: tuple[str, ...]) -> bool:
    """Say whether the body carries the signature of one of our app secrets. Compared in constant time, as bytes."""
    if not header or not header.startswith("sha256="):
        return False
    given = header.removeprefix("sha256=").encode("utf-8", "surrogateescape")
    fits = False
    for secret in secrets:  # all of them are tried, so that the time taken says nothing
        expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
        fits = hmac.compare_digest(given, expected) or fits
    return fits


def answer_challenge(query: dict[str, str], verify_token: str) -> str | None:
    """Return what to echo when Meta verifies the address, or None if this is not Meta."""
    given = query.get("hub.verify_token", "")
    if not verify_token or query.get("hub.mode") != "subscribe":
        return None
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), verify_token.encode()):
        return None
    return query.get("hub.challenge", "")


def read(body: bytes, our_numbers: tuple[str, ...]) -> list[Update]:
    """Return everything a signed body says, in its order; never raises."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return [Unsupported("unreadable", "not JSON", unreadable=True)]
    if not isinstance(parsed, dict):
        return [Unsupported("unreadable", "not a JSON object", unreadable=True)]
    try:
        parsed = _clean(parsed)
    except RecursionError:
        return [Unsupported("unreadable", "nested too deeply", unreadable=True)]
    found: list[Update] = []
    for entry in _dicts(parsed.get("entry")):
        for change in _dicts(entry.get("changes")):
            found.extend(_read_change(change, our_numbers))
    return found or [Unsupported("empty", "no entry with a change in it")]


def _read_change(change: dict[str, Any], our_numbers: tuple[str, ...]) -> Iterator[Update]:
    name, value = str(change.get("field", "")), change.get("value")
    if name != "messages" or not isinstance(value, dict):
        yield Unsupported(name or "unknown")
        return
    number = str(_dict(value.get("metadata")).get("phone_number_id", ""))[:64]
    if our_numbers and number not in our_numbers:
        yield Unsupported("messages", f"for a number that is not ours ({number})")
        return
    cards = _dicts(value.get("contacts"))
    said = False
    items = _dicts(value.get("messages"))
    for item in items:
        said = True
        # Whose card it is may be left to guess only where there is one of each.
        yield _guarded(_read_message, item, number, cards, len(items) == len(cards) == 1)
    for item in _dicts(value.get("statuses")):
        said = True
        yield _guarded(_read_status, item)
    for item in _dicts(value.get("errors")):
        said = True
        yield Unsupported("error", f"{item.get('code')}: {item.get('title', '')}")
    if not said:
        yield Unsupported("messages", "nothing in it that we know")


def _guarded(read_item: Any, item: dict[str, Any], *more: Any) -> Update:
    """Read one item; a malformed one is said to be so and harms no other."""
    try:
        update: Update = read_item(item, *more)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, TooLong) as problem:
        return Unsupported(
            str(item.get("type") or item.get("status") or "unknown"),
            f"malformed: {type(problem).__name__}",
            unreadable=True,
        )
    return update


def _read_message(item: dict[str, Any], number: str, cards: list[dict[str, Any]], only: bool) -> Update:
    wamid = item["id"]
    if not isinstance(wamid, str) or not wamid or len(wamid) > 512:
        raise ValueError("no usable id")
    contact = _contact(item, cards, only)
    if contact.phone is None and contact.bsuid is None:
        return Unsupported(str(item.get("type", "unknown")), "nobody is named as its contact", unreadable=True)
    kind = str(item.get("type", "unknown"))
    try:
        content = _content(kind, item)
    except (KeyError, ValueError, TypeError, TooLong):
        content = says.Other(kind[:32], "")  # somebody wrote something: a person can ask what it was
    quoted = _dict(item.get("context")).get("id")
    return Received(
        wamid=wamid,
        phone_number_id=number,
        contact=contact,
        content=content,
        sent_at=_moment_or_none(item.get("timestamp")),
        reply_to=quoted if isinstance(quoted, str) and len(quoted) <= 512 else None,
        wants_answer=kind not in QUIET,
    )


def _contact(item: dict[str, Any], cards: list[dict[str, Any]], only: bool) -> ContactRef:
    """Join what the message and its contact card say; either may lack either id."""
    phone, bsuid = _digits(item.get("from")), _word(item.get("from_user_id"))
    card: dict[str, Any] = {}
    for candidate in cards:
        if (bsuid and candidate.get("user_id") == bsuid) or (phone and _digits(candidate.get("wa_id")) == phone):
            card = candidate
            break
    else:
        if only:
            card = cards[0]
    name = _dict(card.get("profile")).get("name")
    return ContactRef(
        phone=phone or _digits(card.get("wa_id")),
        bsuid=bsuid or _word(card.get("user_id")),
        name=name if isinstance(name, str) else "",
    )


def _content(kind: str, item: dict[str, Any]) -> says.Inbound:
    node = _dict(item.get(kind))
    if kind == "text":
        body = str(node["body"])[: says.TEXT_MAX]
        return says.Text(body) if body.strip() else says.Other("text", "")
    if kind in MEDIA:
        return says.Media(
            kind=kind,
            media_id=str(node["id"]),
            caption=str(node.get("caption", ""))[: says.BODY_MAX],
            mime_type=str(node.get("mime_type", "")).split(";")[0].strip(),
            filename=str(node.get("filename", ""))[:200],
            voice=node.get("voice") is True,
        )
    if kind == "location":
        return says.Place(
            latitude=_degrees(node["latitude"]),
            longitude=_degrees(node["longitude"]),
            name=str(node.get("name", ""))[:200],
            address=str(node.get("address", ""))[:300],
        )
    if kind == "interactive":
        for answer in ("button_reply", "list_reply"):
            tapped = node.get(answer)
            if isinstance(tapped, dict):
                return says.Tap(str(tapped["id"])[: says.ID_MAX], str(tapped.get("title", ""))[:200])
        return says.Other(str(node.get("type", "interactive"))[:32], "")
    if kind == "button":  # the quick reply of a template
        return says.Tap(str(node.get("payload", ""))[: says.ID_MAX], str(node.get("text", ""))[:200])
    if kind == "reaction":
        return says.Other("reaction", str(node.get("emoji", ""))[:40])
    return says.Other(kind[:32] or "unknown", "")


def _read_status(item: dict[str, Any]) -> Update:
    status = STATUSES.get(str(item.get("status")))
    if status is None:
        return Unsupported(f"status {item.get('status')}")
    wamid = item["id"]
    if not isinstance(wamid, str) or not wamid or len(wamid) > 512:
        raise ValueError("no usable id")
    pricing = item.get("pricing")
    return Reported(
        wamid=wamid,
        status=status,
        at=_moment(item["timestamp"]),
        callback=str(item.get("biz_opaque_callback_data", ""))[: says.CALLBACK_MAX],
        error=_why(item) if status is Status.FAILED else "",
        pricing=pricing if isinstance(pricing, dict) else None,
    )


def _why(item: dict[str, Any]) -> str:
    for problem in _dicts(item.get("errors")):
        code = problem.get("code")
        details = _dict(problem.get("error_data")).get("details") or problem.get("title") or "no reason given"
        return in_words(code if isinstance(code, int) else 0, str(details))
    return "WhatsApp could not deliver it"


def _moment(value: Any) -> datetime:
    seconds = int(value)
    if not 0 < seconds < LAST_SECOND:
        raise ValueError("no moment of ours")
    return datetime.fromtimestamp(seconds, tz=timezone.utc)


def _moment_or_none(value: Any) -> datetime | None:
    try:
        return _moment(value)
    except (ValueError, TypeError):
        return None


def _degrees(value: Any) -> float:
    degrees = float(value)
    if not -360 <= degrees <= 360:  # which NaN is not, either
        raise ValueError("no place on this earth")
    return degrees


def _digits(value: Any) -> str | None:
    """Return a phone number's digits, or None: a word with other characters is no phone number."""
    words = str(value).removeprefix("+") if isinstance(value, (str, int)) else ""
    return words if words.isascii() and words.isdigit() and len(words) <= 32 else None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 160 else None


def _clean(value: Any) -> Any:
    """Take out what no database or screen wants, wherever it stands: NUL, lone surrogates."""
    match value:
        case str():
            return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
        case dict():
            return {_clean(name): _clean(inner) for name, inner in value.items()}
        case list():
            return [_clean(inner) for inner in value]
        case _:
            return value


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
