"""JSON that may be anything, held firmly: whatever comes out can be kept by every database and shown on a screen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from math import isfinite
from typing import Any

DEEPEST = 40  # Meta's own bodies are some fifteen levels deep
LONGEST_NUMBER = 19  # signs of a 64-bit number
LAST_SECOND = 4_102_444_800  # 2100; a later one is garbage, and not every database knows it
ID_MAX = 512  # of a message; Meta's have some sixty characters
BSUID_MAX = 160
PHONE_MAX = 32

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)  # an unclosed string ends with the text
_UNSEEN: dict[int, str | None] = {  # control signs, and those that turn the direction of what stands beside them
    **dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029], " "),
    **dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], None),
}


class Unusable(ValueError):
    """What is there can't be used; the words are ours and quote nothing."""


def parse(body: bytes) -> Any:
    """Return what a body holds, cleaned; raise ValueError if it is not JSON.

    One value nobody could keep (a number of 5,000 digits, a list 100,000 deep) costs that value, not the batch.
    """
    words = body.decode("utf-8-sig", "replace")
    try:
        parsed = _DECODER.decode(words)
    except RecursionError:
        parsed = _DECODER.decode(_shallow(words))
    return _clean(parsed, DEEPEST)


def _joined(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; a list that is named twice is one list, so that nothing in it is lost."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    found = {}
    for name, value in pairs:
        before = found.get(name)
        if not isinstance(before, list):
            found[name] = value
        elif isinstance(value, list):
            before.extend(value)
    return found


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= LONGEST_NUMBER else None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if isfinite(number) else None


_DECODER = json.JSONDecoder(
    object_pairs_hook=_joined,
    parse_int=_whole,
    parse_float=_finite,
    parse_constant=lambda _name: None,  # NaN and the infinities are no JSON, and PostgreSQL says so
    strict=False,
)


def _shallow(words: str) -> str:
    """Return the JSON with null for whatever lies deeper than anything Meta means."""
    kept: list[str] = []
    depth = since = 0
    for token in _TOKEN.finditer(words):
        sign = token.group()
        if sign in "[{":
            depth += 1
            if depth == DEEPEST + 1:
                kept += words[since : token.start()], "null"
        elif sign in "]}":
            if depth == DEEPEST + 1:
                since = token.end()
            depth -= 1
    return "".join(kept) + words[since:] if depth <= DEEPEST else ""


def _clean(value: Any, levels: int) -> Any:
    """Take out what no database wants, wherever it stands: NUL, lone surrogates, depth."""
    if isinstance(value, str):
        return _can_be_kept(value)
    if isinstance(value, dict):
        if not levels:
            return None
        return {_can_be_kept(name): _clean(inner, levels - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner, levels - 1) for inner in value] if levels else None
    return value


def _can_be_kept(words: str) -> str:
    words = words.replace("\x00", "")
    return words if words.isascii() else words.encode("utf-8", "replace").decode("utf-8")


def items(value: Any) -> Iterator[dict[str, Any] | None]:
    """Return the objects of a list, None for each that is not one, and for a list that is not one."""
    if isinstance(value, list):
        for item in value:
            yield item if isinstance(item, dict) else None
    elif value is not None:
        yield None


def dicts(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; whatever else is in it does not matter here."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def node(value: Any) -> dict[str, Any]:
    """Return the object, or an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: Any, most: int) -> str:
    """Return words as they were written, cut; anything but words and whole numbers says nothing."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value[:most] if isinstance(value, str) else ""


def line(value: Any, most: int) -> str:
    """Return words on one line, without the signs that turn or hide what stands beside them."""
    words = text(value, most)
    return words.strip() if words.isprintable() and words.isascii() else words.translate(_UNSEEN).strip()


def digits(value: Any) -> str | None:
    """Return a phone number's digits, or None: a word with other characters is no phone number."""
    words = text(value, PHONE_MAX + 2).removeprefix("+")
    return words if words.isascii() and words.isdigit() and len(words) <= PHONE_MAX else None


def word(value: Any, most: int) -> str | None:
    """Return an id as it is, or None: cut, it would be somebody else's."""
    return value if isinstance(value, str) and 0 < len(value) <= most else None


def number(value: Any, least: float, most: float) -> float:
    """Return a number, also where it comes as words; raise ValueError outside the limits."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Unusable("no number")
    found = float(value)
    if not least <= found <= most:  # which NaN is not, either
        raise Unusable("a number out of reach")
    return found


def whole(value: Any) -> int:
    """Return a code, 0 where there is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def moment(value: Any) -> datetime | None:
    """Return the moment of Meta's clock (seconds, as words or as a number), or None if it is none of ours."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        seconds = int(value)
    except ValueError:
        return None
    return datetime.fromtimestamp(seconds, tz=timezone.utc) if 0 < seconds < LAST_SECOND else None


def scalars(value: Any, names: tuple[str, ...], most: int) -> dict[str, Any]:
    """Return what an object says under the names we know, words cut."""
    found: dict[str, Any] = {}
    for name in names:
        inner = node(value).get(name)
        if isinstance(inner, str) and inner:
            found[name] = inner[:most]
        elif isinstance(inner, (bool, int, float)):
            found[name] = inner
    return found
