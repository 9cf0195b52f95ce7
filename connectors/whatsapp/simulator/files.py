"""Which files Meta takes and sends on: their types and sizes. Fetches linked ones."""

from __future__ import annotations

import requests

from connectors.whatsapp.simulator.refusals import Refused

MB = 1024 * 1024
DOCUMENTS = (
    "application/pdf", "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation", "text/plain",
)  # fmt: skip
TYPES: dict[str, tuple[str, ...]] = {
    "image": ("image/jpeg", "image/png"),
    "video": ("video/mp4", "video/3gpp"),
    "audio": ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/opus"),
    "document": DOCUMENTS,
    "sticker": ("image/webp",),
}
OTHER_DOCUMENTS = ("application/", "text/")
"""Not on Meta's list, but they pass as documents."""
LARGEST_STILL_STICKER = 100 * 1024
LARGEST = {"image": 5 * MB, "video": 16 * MB, "audio": 16 * MB, "document": 100 * MB, "sticker": 500 * 1024}


def plain_type(mime_type: str) -> str:
    """Return a type without its parameters: `audio/ogg; codecs=opus` is `audio/ogg`."""
    return mime_type.partition(";")[0].strip().lower()


def kind_of(mime_type: str) -> str | None:
    """Return as what a file of this type can be sent, or None."""
    plain = plain_type(mime_type)
    kind = next((kind for kind, types in TYPES.items() if plain in types), None)
    return kind or ("document" if plain.startswith(OTHER_DOCUMENTS) else None)


def check_upload(content: bytes, mime_type: str) -> None:
    """Refuse a file of a type or size that Meta does not take."""
    kind = kind_of(mime_type)
    if kind is None:
        known = ", ".join(sorted({one for types in TYPES.values() for one in types}))
        raise Refused(
            100,
            message=f"Param file must be a file with one of the following types: {known}. "
            f"Received file of type '{plain_type(mime_type)}'.",
        )
    if not content:
        raise Refused(100, message="Param file must not be empty.")
    if len(content) > _largest(kind, content):
        raise Refused(131053, f"{kind} file size exceeded: {len(content)} bytes, at most {_largest(kind, content)}.")


def can_be_sent(kind: str, content: bytes, mime_type: str, *, voice: bool = False) -> bool:
    """Say whether a file reaches a phone as this kind of message; if not, the send fails later with 131053."""
    plain = plain_type(mime_type)
    fits = kind_of(mime_type) is not None if kind == "document" else plain in TYPES[kind]
    if voice:
        fits = plain in ("audio/ogg", "audio/opus")
    return fits and 0 < len(content) <= _largest(kind, content)


def _largest(kind: str, content: bytes) -> int:
    """Return how large this file may be: a sticker that does not move may be a fifth of one that does."""
    return LARGEST_STILL_STICKER if kind == "sticker" and b"ANIM" not in content[:64] else LARGEST[kind]


def fetch(link: str, kind: str) -> tuple[bytes, str] | None:
    """Return what a link holds and its type, or None when it does not load or is too large."""
    try:
        with requests.get(link, timeout=5, stream=True) as answer:
            content = answer.raw.read(LARGEST[kind] + 1, decode_content=True)
    except (requests.RequestException, OSError):
        return None
    if answer.status_code != requests.codes.ok:
        return None
    return content, answer.headers.get("Content-Type", "application/octet-stream")
