"""What can be said, as values that refuse what WhatsApp would refuse.

The lengths are WhatsApp's (docs: messages/*, November 2026). They live here, on the ground floor, because the
content tools must refuse what the sender could never send.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from bot.errors import TooLong

TEXT_MAX = 4096  # characters of a text
BODY_MAX = 1024  # characters of a text above buttons or a list, and of a caption
BUTTON_TITLE_MAX = 20
BUTTONS_MAX = 3
ROW_TITLE_MAX = 24
ROW_DESCRIPTION_MAX = 72
ROWS_MAX = 10
ID_MAX = 200  # of a reply; WhatsApp allows 256 on buttons, 200 on rows
CALLBACK_MAX = 512


def can_be_kept(text: str) -> bool:
    """Say whether every database can hold it: NUL and lone surrogates are in nobody's alphabet."""
    return "\x00" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)


def require(fits: bool, otherwise: str) -> None:
    """Raise TooLong unless it fits."""
    if not fits:
        raise TooLong(otherwise)


@dataclass(frozen=True)
class Text:
    """Plain words, 1 to 4096 characters."""

    text: str

    def __post_init__(self) -> None:
        require(bool(self.text.strip()), "(a text needs words)")
        require(can_be_kept(self.text), "(it holds a character that can't be kept)")
        require(len(self.text) <= TEXT_MAX, f"(a text has at most {TEXT_MAX} characters)")


@dataclass(frozen=True)
class Reply:
    """Something to tap. `id` comes back to us; `title` is what the contact reads and seems to say."""

    id: str
    title: str
    description: str = ""

    def __post_init__(self) -> None:
        require(0 < len(self.id) <= ID_MAX, f"(the id {self.id!r} has 1 to {ID_MAX} characters)")
        require(bool(self.title.strip()), "(a reply needs a title)")
        require(
            len(self.title) <= ROW_TITLE_MAX,
            f"(the choice {self.title!r} is longer than {ROW_TITLE_MAX} characters)",
        )
        require(len(self.description) <= ROW_DESCRIPTION_MAX, f"(the line under {self.title!r} is too long)")


def _require_choices(text: str, replies: tuple[Reply, ...], most: int) -> None:
    require(bool(text.strip()), "(choices need a text above them)")
    require(len(text) <= BODY_MAX, f"(a text above choices has at most {BODY_MAX} characters)")
    require(1 <= len(replies) <= most, f"(there are one to {most} choices here)")
    require(len({reply.id for reply in replies}) == len(replies), "(two choices have the same id)")
    require(len({reply.title for reply in replies}) == len(replies), "(two choices have the same title)")


@dataclass(frozen=True)
class Buttons:
    """A text with one to three replies to tap."""

    text: str
    replies: tuple[Reply, ...]

    def __post_init__(self) -> None:
        _require_choices(self.text, self.replies, BUTTONS_MAX)
        for reply in self.replies:
            require(
                len(reply.title) <= BUTTON_TITLE_MAX,
                f"(the button {reply.title!r} is longer than {BUTTON_TITLE_MAX} characters)",
            )


@dataclass(frozen=True)
class Menu:
    """A text with a list of one to ten rows behind a button."""

    text: str
    replies: tuple[Reply, ...]
    button: str = "Choose"

    def __post_init__(self) -> None:
        _require_choices(self.text, self.replies, ROWS_MAX)
        require(
            0 < len(self.button) <= BUTTON_TITLE_MAX,
            f"(the list's button has 1 to {BUTTON_TITLE_MAX} characters)",
        )


@dataclass(frozen=True)
class Media:
    """A picture, film, sound or file: by link when we send it, by Meta's id when a contact does."""

    kind: str  # image, video, audio, document, sticker
    link: str = ""
    media_id: str = ""
    caption: str = ""
    mime_type: str = ""
    filename: str = ""
    voice: bool = False

    def __post_init__(self) -> None:
        require(bool(self.link) != bool(self.media_id), "(media come by link or by id, one of the two)")
        require(len(self.caption) <= BODY_MAX, f"(a caption has at most {BODY_MAX} characters)")

    @property
    def text(self) -> str:
        """What can be read of it."""
        return self.caption


@dataclass(frozen=True)
class Place:
    """A point on the map, in degrees."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""

    @property
    def text(self) -> str:
        """What can be read of it."""
        return ", ".join(part for part in (self.name, self.address) if part)


@dataclass(frozen=True)
class Tap:
    """A contact tapped a button or a row of ours."""

    id: str
    title: str

    @property
    def text(self) -> str:
        """What the contact seems to say."""
        return self.title


@dataclass(frozen=True)
class Other:
    """Anything else a contact can send: kept whole, shown by its kind."""

    kind: str
    body: str = ""

    @property
    def text(self) -> str:
        """What can be read of it."""
        return self.body


Outbound = Text | Buttons | Menu | Media
Inbound = Text | Media | Place | Tap | Other
Content = Text | Buttons | Menu | Media | Place | Tap | Other

KINDS: dict[str, type[Any]] = {
    "text": Text,
    "buttons": Buttons,
    "menu": Menu,
    "media": Media,
    "place": Place,
    "tap": Tap,
    "other": Other,
}
NAMES = {kind: name for name, kind in KINDS.items()}


def type_of(content: Content) -> str:
    """Return the word the ledger and the API use: text, buttons, menu, image, location, tap, sticker …"""
    match content:
        case Media() | Other():
            return content.kind
        case Place():
            return "location"
        case _:
            return NAMES[type(content)]


def to_json(content: Content) -> dict[str, Any]:
    """Return the content as plain JSON, for a row."""
    return {"kind_of": NAMES[type(content)], **asdict(content)}


def from_row(type_: str, text: str, row: dict[str, Any]) -> Content:
    """Return the content a row holds, or what can be read of it: a limit may have been lowered since."""
    try:
        return from_json(row)
    except (TooLong, KeyError, TypeError):
        return Other(type_, text)


def from_json(row: dict[str, Any]) -> Content:
    """Return the content a row holds; the inverse of to_json."""
    kind = KINDS[row["kind_of"]]
    values = {field.name: row[field.name] for field in fields(kind) if field.name in row}
    if "replies" in values:
        values["replies"] = tuple(Reply(**reply) for reply in values["replies"])
    content: Content = kind(**values)
    return content
