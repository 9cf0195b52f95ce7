"""What a program sends, read field by field: whatever is wrong is said with the field's name and what it should be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any, TypeVar

from flask import request

from bot.errors import TooLong
from bot.messages import can_be_kept
from handoff.refusals import BadBody

KEY_MAX = 255
ID_DIGITS = 18  # more than any database counts to
Words = TypeVar("Words", bound=Enum)


def json() -> Any:
    """Return the body's JSON; None if it is none, or goes deeper than anybody means."""
    try:
        return request.get_json(force=True, silent=True)
    except RecursionError:
        return None


def body() -> dict[str, Any]:
    """Return the body, which is an object."""
    found = json()
    if not isinstance(found, dict):
        raise BadBody("(it must be a JSON object)")
    return found


def client_key() -> str | None:
    """Return the Idempotency-Key."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and (not 0 < len(key) <= KEY_MAX or not can_be_kept(key)):
        raise BadBody(f"(an Idempotency-Key has 1 to {KEY_MAX} characters)")
    return key


def number(words: str) -> int | None:
    """Return an id as the database counts; ids are opaque to callers, so anything else is just unknown."""
    return int(words) if words.isascii() and words.isdigit() and len(words) <= ID_DIGITS else None


def argument(name: str) -> str | None:
    """Return a parameter of the address."""
    return request.args.get(name)


def limit(most: int) -> int | None:
    """Return how many are asked for at most; None if nobody said."""
    asked = request.args.get("limit")
    if asked is None:
        return None
    found = number(asked)
    if found is None or not 0 < found <= most:
        raise BadBody(f"(limit is a number from 1 to {most})")
    return found


def one_of(name: str, asked: str | None, words: type[Words]) -> Words | None:
    """Return a parameter that is one of these words; None if nobody said."""
    if asked is None:
        return None
    try:
        return words(asked)
    except ValueError:
        named = ", ".join(str(one.value) for one in words)
        raise BadBody(f"({name} is {asked[:40]!r}; it must be one of {named})") from None


@dataclass(frozen=True)
class Fields:
    """A JSON object, read field by field."""

    values: dict[str, Any]
    where: str = ""  # before each field's name, in what we say about it

    def text(self, name: str, most: int, *, default: str | None = None) -> str:
        """Return a text; one without a default must be there, and not be empty."""
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise BadBody(f"({self.where}{name} is {'needed: ' if value is None else ''}a text)")
        if len(value) > most:
            raise TooLong(f"({self.where}{name} has {len(value)} characters; at most {most})")
        if not can_be_kept(value):
            raise BadBody(f"({self.where}{name} holds a character that can't be kept)")
        return value

    def word(self, name: str, words: Sequence[Words], default: Words | None = None) -> Words:
        """Return one of these words."""
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        found = next((one for one in words if one.value == value and isinstance(value, str)), None)
        if found is None:
            raise BadBody(f"({self.where}{name} must be one of {', '.join(str(one.value) for one in words)})")
        return found

    def words(self, name: str, words: Sequence[Words]) -> tuple[Words, ...]:
        """Return a list of these words, at least one."""
        value = self.values.get(name)
        known = {one.value: one for one in words}
        if not isinstance(value, list) or not value or not all(isinstance(one, str) and one in known for one in value):
            raise BadBody(f"({self.where}{name} is a list of these, at least one: {', '.join(known)})")
        return tuple(dict.fromkeys(known[one] for one in value))

    def moment(self, name: str) -> datetime | None:
        """Return a time with its zone."""
        value = self.values.get(name)
        if value is None:
            return None
        try:
            found = datetime.fromisoformat(value.replace("Z", "+00:00")) if isinstance(value, str) else None
            found = None if found is None or found.tzinfo is None else found.astimezone(timezone.utc)
        except (ValueError, OverflowError):
            found = None
        if found is None or found.year < 2000:
            raise BadBody(f'({self.where}{name} is a time with its zone, like "2026-11-23T09:00:00Z")')
        return found

    def objects(self, name: str, most: int) -> list[Fields]:
        """Return a list of objects."""
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise BadBody(f"({self.where}{name} is a list of objects)")
        if len(value) > most:
            raise TooLong(f"({self.where}{name} has {len(value)}; at most {most})")
        return [Fields(one, f"{self.where}{name}[{n}].") for n, one in enumerate(value)]

    def plain(self, name: str, most: int) -> dict[str, Any]:
        """Return an object of texts, numbers and yes or no."""
        value = self.values.get(name, {})
        if not isinstance(value, dict) or not all(_is_plain(one) for one in value.values()):
            raise BadBody(f"({self.where}{name} is an object of texts, numbers and true or false)")
        if len(value) > most or any(len(f"{key}{one}") > SLOT_MAX for key, one in value.items()):
            raise TooLong(f"({self.where}{name} has at most {most} entries of at most {SLOT_MAX} characters)")
        if not all(can_be_kept(f"{key}{one}") for key, one in value.items()):
            raise BadBody(f"({self.where}{name} holds a character that can't be kept)")
        return value


SLOT_MAX = 1000


def _is_plain(value: Any) -> bool:
    """No lists, no objects, and no number that JSON does not know, though Python does."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, int))
