"""What can be said, as values that refuse what WhatsApp would refuse.

The lengths are WhatsApp's (docs: messages/*, November 2026). They live here, on the ground floor, because the
content tools must refuse what the sender could never send. Whether Meta counts characters or UTF-16 units is not
documented, so what only we say is measured in the longer of the two; what is also heard is checked by `sendable`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from bot.errors import TooLong

TEXT_MAX = 4096  # characters of a text
NAME_MAX = 100  # of an answer's name in a form
READ_MAX = 4 * TEXT_MAX  # of what can be read of cards and forms
BODY_MAX = 1024  # characters of a text above buttons or a list, and of a caption
BUTTON_TITLE_MAX = 20
BUTTONS_MAX = 3
ROW_TITLE_MAX = 24
ROW_DESCRIPTION_MAX = 72
ROWS_MAX = 10
ID_MAX = 200  # of a reply; WhatsApp allows 256 on buttons, 200 on rows
CALLBACK_MAX = 512
HEADER_MAX = 60
FOOTER_MAX = 60
URL_MAX = 2000
CARDS_MAX = 5  # Meta's documentation says 257, its schema 5
EMOJI_MAX = 32
FLOW_BUTTON_MAX = 20  # 30 says Meta, 20 without emoji say its clients
FLOW_VERSION = "3"
BLANK_MAX = 1024
TEMPLATE_BUTTONS_MAX = 10
GAP = re.compile(r"\{\{\s*(\w+)\s*\}\}")  # in a template's text
TEMPLATE_NAME = re.compile(r"[a-z0-9_]{1,512}")
LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Za-z]{2,4})?")
CAPTIONED = {"image", "video", "document"}
MEDIA_MAX_BYTES = {  # what WhatsApp carries of each kind
    "image": 5 * 2**20,
    "video": 16 * 2**20,
    "audio": 16 * 2**20,
    "document": 100 * 2**20,
    "sticker": 500 * 2**10,
}


def can_be_kept(text: str) -> bool:
    """Say whether every database can hold it: NUL and lone surrogates are in nobody's alphabet."""
    return "\x00" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)


def length(text: str) -> int:
    """Return how long WhatsApp may say it is: most emoji count twice."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


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
        require(0 < length(self.id) <= ID_MAX, f"(the id {self.id!r} has 1 to {ID_MAX} characters)")
        require(self.id == self.id.strip(), f"(the id {self.id!r} begins or ends with a blank)")
        require(bool(self.title.strip()), "(a reply needs a title)")
        require(can_be_kept(self.id + self.title + self.description), "(it holds a character that can't be kept)")
        require(
            length(self.title) <= ROW_TITLE_MAX,
            f"(the choice {self.title!r} is longer than {ROW_TITLE_MAX} characters)",
        )
        require(
            length(self.description) <= ROW_DESCRIPTION_MAX,
            f"(the line under {self.title!r} is longer than {ROW_DESCRIPTION_MAX} characters)",
        )


def _require_choices(text: str, replies: tuple[Reply, ...], most: int) -> None:
    require(bool(text.strip()), "(choices need a text above them)")
    require(can_be_kept(text), "(it holds a character that can't be kept)")
    require(length(text) <= BODY_MAX, f"(a text above choices has at most {BODY_MAX} characters)")
    require(1 <= len(replies) <= most, f"(there are one to {most} choices here)")
    require(len({reply.id for reply in replies}) == len(replies), "(two choices have the same id)")
    require(len({reply.title for reply in replies}) == len(replies), "(two choices have the same title)")


@dataclass(frozen=True)
class Media:
    """A picture, film, sound or file. When a contact sends one, `media_id` is Meta's; when we do, it is a `link` Meta
    fetches, or a `file` of our media folder that is uploaded first.
    """

    kind: str  # image, video, audio, document, sticker
    link: str = ""
    media_id: str = ""
    caption: str = ""
    mime_type: str = ""
    filename: str = ""
    voice: bool = False
    file: str = ""  # its name in the media folder

    def __post_init__(self) -> None:
        require(self.kind in MEDIA_MAX_BYTES, f"(media are {', '.join(MEDIA_MAX_BYTES)}, not {self.kind!r})")
        sources = [source for source in (self.link, self.media_id, self.file) if source]
        require(len(sources) == 1, "(media come by link, by id or by file, one of the three)")
        require(not self.link or is_web_address(self.link), "(a link begins with https:// or http://)")
        require(
            self.file not in {".", ".."} and not set(self.file) & set("/\\"), "(a file is named without its folder)"
        )
        require(len(self.caption) <= BODY_MAX, f"(a caption has at most {BODY_MAX} characters)")
        require(not self.caption or self.kind in CAPTIONED, f"(there is no caption under {self.kind})")

    @property
    def text(self) -> str:
        """What can be read of it."""
        return self.caption


def is_web_address(link: str) -> bool:
    """Say whether WhatsApp would take this for a link."""
    return bool(re.fullmatch(r"https?://[^\s/]\S*", link)) and len(link) <= URL_MAX


def _require_frame(header: str, footer: str) -> None:
    require(can_be_kept(header + footer), "(it holds a character that can't be kept)")
    require(not header or bool(header.strip()), "(a header needs words)")
    require(not footer or bool(footer.strip()), "(a footer needs words)")
    require(length(header) <= HEADER_MAX, f"(a header has at most {HEADER_MAX} characters)")
    require(length(footer) <= FOOTER_MAX, f"(a footer has at most {FOOTER_MAX} characters)")


def _require_body(text: str) -> None:
    require(bool(text.strip()), "(it needs a text)")
    require(can_be_kept(text), "(it holds a character that can't be kept)")
    require(length(text) <= BODY_MAX, f"(its text has at most {BODY_MAX} characters)")


def _require_button(words: str, most: int) -> None:
    require(bool(words.strip()), "(a button needs words)")
    require(can_be_kept(words), "(it holds a character that can't be kept)")
    require(length(words) <= most, f"(the button {words!r} is longer than {most} characters)")


def _require_picture(picture: Media | None, header: str) -> None:
    if picture is not None:
        require(not header, "(a header is a text or a picture, not both)")
        require(
            picture.kind in CAPTIONED and not picture.caption, "(above buttons: a picture, film or file, no caption)"
        )


@dataclass(frozen=True)
class Buttons:
    """A text with one to three replies to tap, perhaps under a picture, a film or a file."""

    text: str
    replies: tuple[Reply, ...]
    header: str = ""
    footer: str = ""
    picture: Media | None = None

    def __post_init__(self) -> None:
        _require_choices(self.text, self.replies, BUTTONS_MAX)
        _require_frame(self.header, self.footer)
        _require_picture(self.picture, self.header)
        for reply in self.replies:
            _require_button(reply.title, BUTTON_TITLE_MAX)
            require(not reply.description, f"(there is no line under the button {reply.title!r}; a list has one)")


@dataclass(frozen=True)
class Menu:
    """A text with a list of one to ten rows behind a button."""

    text: str
    replies: tuple[Reply, ...]
    button: str = "Choose"
    header: str = ""
    footer: str = ""

    def __post_init__(self) -> None:
        _require_choices(self.text, self.replies, ROWS_MAX)
        _require_frame(self.header, self.footer)
        _require_button(self.button, BUTTON_TITLE_MAX)


@dataclass(frozen=True)
class Link:
    """A text with one button that opens a web page. A tap on it is never reported."""

    text: str
    title: str
    url: str
    header: str = ""
    footer: str = ""
    picture: Media | None = None

    def __post_init__(self) -> None:
        _require_body(self.text)
        _require_frame(self.header, self.footer)
        _require_picture(self.picture, self.header)
        _require_button(self.title, BUTTON_TITLE_MAX)
        require(is_web_address(self.url), "(a link begins with https:// or http://)")


@dataclass(frozen=True)
class AskPlace:
    """A text with the button that sends where the contact is."""

    text: str

    def __post_init__(self) -> None:
        _require_body(self.text)


@dataclass(frozen=True)
class AskNumber:
    """A text with the button that shares the contact's phone number, for those who hide it."""

    text: str

    def __post_init__(self) -> None:
        _require_body(self.text)


@dataclass(frozen=True)
class Flow:
    """A text with a button that opens a form of Meta's, made and published in their console."""

    text: str
    button: str
    flow_id: str
    token: str = "unused"  # noqa: S105  # comes back with the answers
    screen: str = ""  # where it begins; without one the form asks its own server
    values: dict[str, Any] = field(default_factory=dict)
    header: str = ""
    footer: str = ""
    draft: bool = False

    def __post_init__(self) -> None:
        _require_body(self.text)
        _require_frame(self.header, self.footer)
        _require_button(self.button, FLOW_BUTTON_MAX)
        require(bool(self.flow_id.strip()), "(which form? it has an id in Meta's console)")
        require(bool(self.token.strip()), "(a form needs a token, to know its answers by)")
        require(bool(self.screen) or not self.values, "(values need a screen to be shown on)")


@dataclass(frozen=True)
class Blank:
    """A gap of a template, filled: its text, and its name where the template names its gaps."""

    text: str
    name: str = ""

    def __post_init__(self) -> None:
        require(bool(self.text.strip()), "(a template's gap can't stay empty)")
        require(can_be_kept(self.text), "(it holds a character that can't be kept)")
        require(length(self.text) <= BLANK_MAX, f"(a template's gap takes at most {BLANK_MAX} characters)")
        require(not re.search(r"[\n\t]| {5}", self.text), "(no line breaks, tabs or five blanks in a template's gap)")


@dataclass(frozen=True)
class Template:
    """A text Meta approved, with its gaps filled: the only thing that may be sent when the window is closed."""

    name: str
    language: str
    blanks: tuple[Blank, ...] = ()
    header: Blank | None = None
    picture: Media | None = None  # in its header
    payloads: tuple[str, ...] = ()  # what its quick-reply buttons send back, in order; "" leaves one as approved
    url_endings: tuple[str, ...] = ()  # of its link buttons, in order, behind the quick replies; "" is a fixed link
    text: str = ""  # how it reads, for the desk

    def __post_init__(self) -> None:
        require(bool(TEMPLATE_NAME.fullmatch(self.name)), f"({self.name!r} is no template's name)")
        require(bool(LANGUAGE.fullmatch(self.language)), f"({self.language!r} is no language code)")
        require(self.header is None or self.picture is None, "(a header is a text or a picture, not both)")
        _require_picture(self.picture, "")
        require(len({blank.name != "" for blank in self.blanks}) <= 1, "(either all gaps have names, or none)")
        buttons = (*self.payloads, *self.url_endings)
        require(len(buttons) <= TEMPLATE_BUTTONS_MAX, f"(a template has at most {TEMPLATE_BUTTONS_MAX} buttons)")
        require(all(length(payload) <= ID_MAX for payload in self.payloads), f"(payloads have at most {ID_MAX} signs)")
        require(all(length(end) <= URL_MAX for end in self.url_endings), "(the end of a link is too long)")
        require(can_be_kept("".join((self.text, *buttons))), "(it holds a character that can't be kept)")


@dataclass(frozen=True)
class MessageTemplate:
    """A template as the account has it: approved or not, with its gaps still open."""

    name: str
    language: str
    category: str  # MARKETING, UTILITY, AUTHENTICATION
    status: str  # APPROVED, PENDING, REJECTED, PAUSED, DISABLED …
    components: tuple[dict[str, Any], ...] = ()  # as Meta tells them
    id: str = ""

    @property
    def approved(self) -> bool:
        """Say whether it may be sent."""
        return self.status == "APPROVED"

    @property
    def body(self) -> str:
        """Its text, with `{{1}}` or `{{first_name}}` where something is missing."""
        return str(self.part("BODY").get("text") or "")

    @property
    def gaps(self) -> tuple[str, ...]:
        """What its text has to be given, in order: numbers, or names."""
        return tuple(dict.fromkeys(GAP.findall(self.body)))

    def part(self, type_: str) -> dict[str, Any]:
        """Return its HEADER, BODY, FOOTER or BUTTONS as Meta tells it; empty if it has none."""
        return next((part for part in self.components if str(part.get("type")).upper() == type_), {})

    def filled(self, *words: str, header: Blank | None = None, picture: Media | None = None) -> Template:
        """Return it ready to be sent, its gaps filled in their order."""
        require(len(words) == len(self.gaps), f"({self.name} has {len(self.gaps)} gaps, not {len(words)})")
        blanks = [Blank(word, "" if gap.isdigit() else gap) for gap, word in zip(self.gaps, words, strict=True)]
        if all(blank.name == "" for blank in blanks):  # by number, not by where they stand
            blanks = [blank for _, blank in sorted(zip(map(int, self.gaps), blanks, strict=True), key=lambda it: it[0])]
        said = dict(zip(self.gaps, words, strict=True))
        text = GAP.sub(lambda gap: said[gap.group(1)], self.body)
        return Template(self.name, self.language, tuple(blanks), header, picture, text=text)


@dataclass(frozen=True)
class Card:
    """Somebody's name and numbers. As a contact sent it, it may be anybody's."""

    name: str
    first_name: str = ""
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    organisation: str = ""
    wa_id: str = ""  # of the first number, if it is on WhatsApp
    title: str = ""  # this and what follows is heard, never sent
    department: str = ""
    addresses: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()  # as they were written; not every one is a link
    birthday: str = ""

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is on it beside the name, each with what it is."""
        work = ", ".join(part for part in (self.title, self.department) if part)
        found = [("Work", work), ("Company", self.organisation if self.organisation != self.name else "")]
        found += [("Phone", phone) for phone in self.phones] + [("E-mail", email) for email in self.emails]
        found += [("Address", address) for address in self.addresses] + [("Web", url) for url in self.urls]
        return tuple((what, fact) for what, fact in [*found, ("Birthday", self.birthday)] if fact)

    @property
    def text(self) -> str:
        """What can be read of it, a line for each fact."""
        return "\n".join([*([self.name] if self.name else []), *(f"{what}: {fact}" for what, fact in self.facts)])


@dataclass(frozen=True)
class Cards:
    """Contact cards. `asked` says that it answers our own request for the contact's number, so it is theirs."""

    cards: tuple[Card, ...]
    asked: bool = False

    @property
    def text(self) -> str:
        """What can be read of it."""
        return "\n\n".join(card.text for card in self.cards if card.text)[:READ_MAX]


@dataclass(frozen=True)
class Reaction:
    """An emoji under a message; an empty one takes it away."""

    wamid: str
    emoji: str

    def __post_init__(self) -> None:
        require(bool(self.wamid), "(a reaction needs a message to stand under)")
        require(len(self.emoji) <= EMOJI_MAX, "(that is more than one emoji)")
        require(can_be_kept(self.emoji), "(it holds a character that can't be kept)")

    @property
    def text(self) -> str:
        """What can be read of it."""
        return self.emoji


@dataclass(frozen=True)
class Place:
    """A point on the map, in degrees."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""
    url: str = ""  # as it was heard; not every one is a link, and it is never sent

    @property
    def text(self) -> str:
        """What can be read of it."""
        return ", ".join(part for part in (self.name, self.address) if part)


@dataclass(frozen=True)
class Tap:
    """A contact tapped a button or a row of ours."""

    id: str
    title: str
    description: str = ""  # the line under a row's title

    @property
    def text(self) -> str:
        """What the contact seems to say."""
        return "\n".join(part for part in (self.title, self.description) if part)


@dataclass(frozen=True)
class Item:
    """One line of an order from the catalogue; of a line that came incomplete, what there is of it."""

    product: str  # the retailer's own id
    quantity: float | None
    price: float | None
    currency: str

    @property
    def text(self) -> str:
        """What can be read of it."""
        many = "" if self.quantity is None else f"{self.quantity:g} × "
        each = "" if self.price is None else f", {f'{self.price:g} {self.currency}'.strip()} each"
        whole = self.product and self.quantity is not None and self.price is not None
        return f"{many}{self.product or 'a product without a name'}{each}{'' if whole else ' (came incomplete)'}"


@dataclass(frozen=True)
class Order:
    """What a contact put into the basket of our WhatsApp catalogue."""

    catalogue: str
    items: tuple[Item, ...]
    note: str = ""

    @property
    def text(self) -> str:
        """What can be read of it."""
        return "\n".join([*(item.text for item in self.items), *([self.note] if self.note else [])])


@dataclass(frozen=True)
class Answers:
    """What a contact filled into a form (a flow, an address). `token` is the one we sent along."""

    form: str
    values: dict[str, Any]
    token: str = ""

    @property
    def text(self) -> str:
        """What can be read of it, a line for each answer."""
        return "\n".join(_lines("", self.values))[:READ_MAX]


def _lines(name: str, value: Any) -> Iterator[str]:
    """Say a form's answers, also those inside others: "city: Mumbai"; `values` is only Meta's envelope."""
    if isinstance(value, list) and not any(isinstance(part, (dict, list)) for part in value):
        value = ", ".join(map(_plain, value))
    if isinstance(value, dict):
        for key, inner in value.items():
            own = "" if key == "values" and isinstance(inner, dict) else key.replace("_", " ")
            yield from _lines(", ".join(filter(None, (name, own)))[:NAME_MAX], inner)
    elif isinstance(value, list):
        for part in value:
            yield from _lines(name, part)
    else:
        yield f"{name}: {_plain(value)}" if name else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value in (None, "") else str(value)


@dataclass(frozen=True)
class Other:
    """Anything else a contact can send: kept whole, shown by its kind."""

    kind: str
    body: str = ""

    @property
    def text(self) -> str:
        """What can be read of it."""
        return self.body


Outbound = Text | Buttons | Menu | Link | Media | Place | Cards | AskPlace | AskNumber | Flow | Template | Reaction
Inbound = Text | Media | Place | Cards | Tap | Order | Answers | Reaction | Other
Content = Outbound | Tap | Order | Answers | Other

KINDS: dict[str, type[Any]] = {
    "text": Text,
    "buttons": Buttons,
    "menu": Menu,
    "link": Link,
    "media": Media,
    "place": Place,
    "contacts": Cards,
    "ask_place": AskPlace,
    "ask_number": AskNumber,
    "flow": Flow,
    "template": Template,
    "reaction": Reaction,
    "tap": Tap,
    "order": Order,
    "answers": Answers,
    "other": Other,
}
NAMES = {kind: name for name, kind in KINDS.items()}
INSIDE: dict[str, type[Any]] = {  # the values inside values, by the name of their field
    "replies": Reply,
    "picture": Media,
    "header": Blank,
    "blanks": Blank,
    "cards": Card,
    "items": Item,
}


def sendable(content: Content) -> Outbound:
    """Return what can also be heard, once it is sure that WhatsApp would take it from us; else raise TooLong."""
    match content:
        case Tap() | Order() | Answers() | Other():
            raise TooLong("(this can only be heard, never said)")
        case Text():
            require(length(content.text) <= TEXT_MAX, f"(a text has at most {TEXT_MAX} characters)")
        case Media():
            require(length(content.caption) <= BODY_MAX, f"(a caption has at most {BODY_MAX} characters)")
        case Place():
            right = math.isfinite(content.latitude) and math.isfinite(content.longitude)
            require(right and abs(content.latitude) <= 90, "(a latitude is between -90 and 90)")
            require(abs(content.longitude) <= 180, "(a longitude is between -180 and 180)")
        case Cards():
            require(1 <= len(content.cards) <= CARDS_MAX, f"(there are one to {CARDS_MAX} contact cards)")
            require(all(card.name.strip() for card in content.cards), "(a contact card needs a name)")
    return content


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
    content: Content = kind(
        **{part.name: _inside(part.name, row[part.name]) for part in fields(kind) if part.name in row}
    )
    return content


def _inside(name: str, value: Any) -> Any:
    match value:
        case dict() if name in INSIDE:
            return _made(INSIDE[name], value)
        case list():
            return tuple(_made(INSIDE[name], part) if name in INSIDE else part for part in value)
        case _:
            return value


def _made(kind: type[Any], row: dict[str, Any]) -> Any:
    return kind(**{part.name: _inside(part.name, row[part.name]) for part in fields(kind) if part.name in row})
