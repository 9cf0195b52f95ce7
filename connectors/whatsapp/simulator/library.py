"""The library: the files of both sides, where they may be fetched, and how long they live."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Any

from connectors.whatsapp.simulator import files
from connectors.whatsapp.simulator.bodies import sign
from connectors.whatsapp.simulator.nodes import MEDIA_TYPES
from connectors.whatsapp.simulator.refusals import Refused
from connectors.whatsapp.simulator.rows import Media, Message
from connectors.whatsapp.simulator.settings import Settings
from connectors.whatsapp.simulator.store import Store

DAY = 24 * 3600.0


class Library:
    """Keeps files as Meta does: by id, for a while, each belonging to the number it was uploaded to."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._url_key = secrets.token_hex(16)
        self.base_url = ""

    def add(self, content: bytes, mime_type: str, filename: str, number: str = "", *, phone: str = "") -> Media:
        """Keep a file: a contact's, or one of a number of the business."""
        media_id = str(secrets.randbelow(9 * 10**15) + 10**15)
        media = Media(media_id, mime_type, filename, content, number, time.time(), phone)
        self._store.add_media(media)
        return media

    def get(self, media_id: str) -> Media | None:
        """Return a file, as long as Meta would keep it."""
        media = self._store.media(media_id)
        if media is None:
            return None
        days = self._settings.uploaded_media_days if media.number else self._settings.inbound_media_days
        return media if media.at > time.time() - days * DAY else None

    def url(self, media_id: str, base_url: str = "") -> str:
        """Return where a file may be fetched for the next five minutes."""
        expires = int(time.time() + self._settings.media_url_seconds)
        return f"{base_url or self.base_url}/lookaside/{media_id}?ext={expires}&hash={self.url_hash(media_id, expires)}"

    def url_hash(self, media_id: str, expires: int) -> str:
        return sign(f"{media_id}:{expires}".encode(), self._url_key).removeprefix("sha256=")[:32]

    def with_url(self, message: Message) -> Message:
        """Add the short-lived `url` that Meta gives beside a media id."""
        node = message.content.get(message.type)
        if message.type not in MEDIA_TYPES or not isinstance(node, dict) or not self.base_url or "id" not in node:
            return message
        return replace(message, content={**message.content, message.type: {**node, "url": self.url(node["id"])}})

    def fetched(self, number: str, payload: dict[str, Any], kind: str) -> tuple[dict[str, Any], int | None]:
        """Fetch a linked file as Meta does; return the send with its id, or the code with which it will fail."""
        node = payload.get(kind)
        if kind not in MEDIA_TYPES or not isinstance(node, dict):
            return payload, None
        voice = bool(node.get("voice"))
        if "id" in node:
            media = self.get(str(node["id"]))
            fits = media is not None and files.can_be_sent(kind, media.content, media.mime_type, voice=voice)
            return payload, None if fits else 131053
        found = files.fetch(node["link"], kind)
        if found is None or not files.can_be_sent(kind, *found, voice=voice):
            return payload, 131053
        media = self.add(*found, node.get("filename") or node["link"].rsplit("/", 1)[-1], number)
        return {**payload, kind: {**node, "id": media.id}}, None

    def check_owner(self, number: str, payload: dict[str, Any], kind: str) -> None:
        """Refuse a send that names a file this number does not have."""
        for name, node in _files_of(payload, kind):
            media = self.get(str(node["id"])) if node.get("id") else None
            if node.get("id") and (media is None or media.number != number):
                raise Refused(100, f"Param {name}['id'] is not a valid whatsapp business account media attachment ID")


def _files_of(payload: dict[str, Any], kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return every place of a send where a file may be named."""
    node = payload[kind]
    if kind in MEDIA_TYPES:
        return [(kind, node)]
    if kind == "interactive":
        header = node.get("header") or {}
        return [(header["type"], header[header["type"]])] if header.get("type") in MEDIA_TYPES else []
    if kind == "template":
        given = [one for part in node.get("components") or [] for one in part.get("parameters") or []]
        return [(one["type"], one[one["type"]]) for one in given if one.get("type") in MEDIA_TYPES]
    return []
