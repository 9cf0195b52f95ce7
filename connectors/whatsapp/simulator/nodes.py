"""Reading the JSON of a send piece by piece: each reader returns the piece or refuses as Meta does. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connectors.whatsapp.simulator.refusals import Refused, invalid, missing

Node = Mapping[str, Any]

MEDIA_TYPES = ("image", "video", "audio", "document", "sticker")
CAPTIONED = ("image", "video", "document")
LONGEST_LINK = 2048


def words(node: Node, key: str, name: str, most: int, *, least: int = 1) -> str:
    """Return a text that must be there and within its length."""
    value = node.get(key)
    if value is None:
        raise missing(name)
    if not isinstance(value, str):
        raise Refused(100, f"Param {name} must be a string.")
    if not least <= len(value) <= most or (least and not value.strip()):
        raise invalid(f"{name} length invalid. Min length: {least}, Max length: {most}")
    return value


def part(node: Node, key: str, name: str) -> Node:
    value = node.get(key)
    if value is None:
        raise missing(name)
    if not isinstance(value, dict):
        raise Refused(100, f"Param {name} must be a JSON object.")
    return value


def parts(node: Node, key: str, name: str, most: int) -> list[Node]:
    value = node.get(key)
    if value is None:
        raise missing(name)
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise Refused(100, f"Param {name} must be an array of JSON objects.")
    if not 1 <= len(value) <= most:
        raise invalid(f"{name} count invalid. Min: 1, Max: {most}")
    return value


def once(values: list[str], name: str) -> None:
    if len(set(values)) != len(values):
        raise invalid(f"Duplicated {name}.")


def check_media(node: Node, kind: str) -> None:
    """Refuse a file that is not named by exactly one of id and link, or carries a caption where none can be."""
    given = [key for key in ("id", "link") if node.get(key)]
    if len(given) != 1:
        raise missing(f"{kind}.id or {kind}.link (exactly one of them)")
    source = node[given[0]]
    if not isinstance(source, str):
        raise Refused(100, f"Param {kind}.{given[0]} must be a string.")
    if given == ["link"] and (not re.match(r"https?://", source) or len(source) > LONGEST_LINK):
        raise Refused(100, f"Param {kind}.link must be a valid URL.")
    if "caption" in node:
        if kind not in CAPTIONED:
            raise Refused(100, message=f'Unexpected key "caption" on param "{kind}".')
        words(node, "caption", f"{kind}.caption", 1024, least=0)
