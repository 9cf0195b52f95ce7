"""A file an agent wants to send → what WhatsApp would carry it as, or why it would not. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.errors import BotError
from bot.messages import MEDIA_MAX_BYTES

HEAD = 1024  # bytes that tell what a file is
NAME_MAX = 150
MB = 2**20
AT_MOST = max(MEDIA_MAX_BYTES.values())
TAKEN = "WhatsApp takes photos (JPEG, PNG), films (MP4, 3GP), sound (MP3, M4A, AAC, AMR, OGG) and documents (PDF, \
Word, Excel, PowerPoint, text)"
KINDS = {"image": "photo", "video": "film", "audio": "sound", "document": "document"}
SIGNS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb".{4}ftypM4A", re.DOTALL), "audio/mp4"),
    (re.compile(rb".{4}ftyp3g", re.DOTALL), "video/3gpp"),
    (re.compile(rb".{4}ftyp(?!qt|heic|heix|mif1|avif)", re.DOTALL), "video/mp4"),
    (re.compile(rb"OggS.{0,80}OpusHead", re.DOTALL), "audio/ogg"),
    (re.compile(rb"#!AMR"), "audio/amr"),
    (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), "audio/aac"),
    (re.compile(rb"ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]"), "audio/mpeg"),
    (re.compile(rb"%PDF-"), "application/pdf"),
)
OFFICE = "application/vnd.openxmlformats-officedocument."
DOCUMENTS = {  # by the end of their names, and how such a file begins
    "docx": (f"{OFFICE}wordprocessingml.document", b"PK"),
    "xlsx": (f"{OFFICE}spreadsheetml.sheet", b"PK"),
    "pptx": (f"{OFFICE}presentationml.presentation", b"PK"),
    "doc": ("application/msword", b"\xd0\xcf\x11\xe0"),
    "xls": ("application/vnd.ms-excel", b"\xd0\xcf\x11\xe0"),
    "ppt": ("application/vnd.ms-powerpoint", b"\xd0\xcf\x11\xe0"),
    "txt": ("text/plain", b""),
    "csv": ("text/plain", b""),
}

LIMITS = {  # what a browser can tell before it sends anything; the desk looks again
    "kinds": {
        kind: {"most": MEDIA_MAX_BYTES[kind], "types": sorted({type_ for _, type_ in SIGNS if type_.startswith(kind)})}
        for kind in ("image", "video", "audio")
    },
    "documents": sorted([*DOCUMENTS, "pdf"]),
    "most": AT_MOST,
    "taken": TAKEN,
}


class BadFile(BotError):
    """This file can't be sent."""


@dataclass(frozen=True)
class Kind:
    """What WhatsApp would carry a file as."""

    kind: str  # image, video, audio, document
    mime_type: str


def kind_of(filename: str, head: bytes, size: int, *, as_document: bool = False) -> Kind:
    """Say what a file goes as: told by how it begins, not by what it is called. Raise BadFile, with what to do."""
    if not size:
        raise BadFile("(it is empty; choose another)")
    mime_type = _type_of(filename, head[:HEAD])
    if not mime_type:
        raise BadFile(f"({TAKEN}; this is none of them)")
    plain = mime_type.split("/")[0]
    kind = plain if plain in KINDS and not as_document else "document"
    if size > MEDIA_MAX_BYTES[kind]:
        instead = "; send it as a document" if kind != "document" and size <= MEDIA_MAX_BYTES["document"] else ""
        raise BadFile(f"(a {KINDS[kind]} has at most {MEDIA_MAX_BYTES[kind] // MB} MB, this has {_mb(size)}{instead})")
    return Kind(kind, mime_type)


def _type_of(filename: str, head: bytes) -> str:
    found = next((type_ for sign, type_ in SIGNS if sign.match(head)), "")
    if found:
        return found
    type_, begins = DOCUMENTS.get(filename.rpartition(".")[2].lower(), ("", b""))
    is_text = type_ == "text/plain" and b"\0" not in head
    return type_ if is_text or (begins and head.startswith(begins)) else ""


def name_of(given: str) -> str:
    """Return a file's name as the contact sees it: without a path, and without signs that mislead."""
    plain = given.replace("\\", "/").rpartition("/")[2]
    plain = "".join(sign for sign in plain if sign.isprintable() and sign not in ':*?"<>|').strip(". ")
    stem, dot, end = plain.rpartition(".")
    return f"{(stem or end)[: NAME_MAX - len(end) - 1]}{dot}{end}" if stem and len(end) < 12 else plain[:NAME_MAX]


def _mb(size: int) -> str:
    return f"{size / MB:.1f} MB"
