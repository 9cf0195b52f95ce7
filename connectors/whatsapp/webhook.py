"""Bytes in, updates out: is it signed, and what does it say? Pure functions; nothing valid is lost to a bad neighbour.

Meta may batch up to 1,000 updates over many entries and changes, adds types and fields without notice, and leaves out
fields its documentation calls required. So everything is read item by item, and what can't be read is said to be so.
Here is the envelope; `reading` reads the items of conversations, `notices` what is about the account.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bot.updates import Misdirected, Unsupported, Update
from connectors.whatsapp import loose, notices, reading
from connectors.whatsapp.reading import Around, Reader, guarded

TALK = {"messages", "standby", "smb_message_echoes", "user_preferences"}  # the fields that are about conversations
LISTS: dict[str, Reader] = {  # what may stand in each of them, in the order in which it is told
    "messages": reading.message,
    "message_echoes": reading.echo,
    "statuses": reading.status,
    "user_preferences": reading.preference,
    "errors": reading.fault,
}
MOST_LEFT_OVER = 1_000  # Meta promises no more updates than that; three megabytes of `0,0,0` are not worth a row each


def is_signed(body: bytes, header: str | None, secrets: tuple[str, ...]) -> bool:
    """Say whether the body carries the signature of one of our app secrets. Compared in constant time, as bytes."""
    if not header or not header.startswith("sha256="):
        return False
    given = header.removeprefix("sha256=").encode("utf-8", "surrogateescape")
    fits = False
    for secret in filter(None, secrets):  # all of them are tried, so that the time taken says nothing
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
    return query.get("hub.challenge")


@dataclass(frozen=True)
class Numbers:
    """The account's numbers, by Meta's ids."""

    ours: tuple[str, ...] = ()  # none: whatever comes is ours
    others: tuple[str, ...] = ()  # another system answers these

    def are_ours(self, number: str) -> bool:
        """Say whether what comes for this number is ours to read."""
        return number != "" and (not self.ours or number in self.ours)


def read(body: bytes, numbers: Numbers) -> list[Update]:
    """Return everything a signed body says, in its order; never raises."""
    try:
        parsed = loose.parse(body)
    except (ValueError, RecursionError):
        return [Unsupported("unreadable", "not JSON", unreadable=True)]
    if not isinstance(parsed, dict):
        return [Unsupported("unreadable", "not a JSON object", unreadable=True)]
    found = _folded(_read_all(parsed, numbers))
    return found or [Unsupported("empty", "no entry with a change in it")]


def _read_all(parsed: dict[str, Any], numbers: Numbers) -> Iterator[Update]:
    for entry in loose.items(parsed.get("entry")):
        if entry is None:
            yield Unsupported("entry", "not an object", unreadable=True)
            continue
        for change in loose.items(entry.get("changes")):
            yield from _read_change(change or {}, numbers)


def _read_change(change: dict[str, Any], numbers: Numbers) -> Iterator[Update]:
    field, value = loose.line(change.get("field"), 64), change.get("value")
    if not field or not isinstance(value, dict):
        yield Unsupported(field or "change", "without field or value", unreadable=True)
    elif field in TALK:
        yield from _read_talk(field, value, numbers)
    else:
        yield guarded(notices.read, value, Around(field))


def _read_talk(field: str, value: dict[str, Any], numbers: Numbers) -> Iterator[Update]:
    lists = {name: list(loose.items(value.get(name))) for name in LISTS}
    around = reading.around(field, value, many=sum(map(len, lists.values())) - len(lists["errors"]) > 1)
    is_ours = numbers.are_ours(around.number)
    for name, items in lists.items():
        for item in items:
            read_it = is_ours or name == "errors"  # which may be the account's
            yield guarded(LISTS[name], item, around) if read_it else _not_ours(name, around.number, numbers)
    if not any(lists.values()):
        yield Unsupported(field, "nothing in it that we know")


def _not_ours(name: str, number: str, numbers: Numbers) -> Update:
    if not number:
        return Unsupported(name, "it does not say for which of our numbers", unreadable=True)
    if name == "messages" and number not in numbers.others:
        return Misdirected(name, number)
    return Unsupported(name, f"for a number that is not ours ({number})")


def _folded(updates: Iterable[Update]) -> list[Update]:
    """Return the updates; what can't be used and is more than any batch of Meta's becomes one line."""
    found: list[Update] = []
    left_over, more, unreadable = 0, 0, False
    for update in updates:
        if isinstance(update, (Unsupported, Misdirected)):
            left_over += 1
            if left_over > MOST_LEFT_OVER:
                more, unreadable = more + 1, unreadable or isinstance(update, Misdirected) or update.unreadable
                continue
        found.append(update)
    return [*found, Unsupported("more", f"and {more} more like these", unreadable=unreadable)] if more else found
