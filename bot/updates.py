"""What a delivery can tell us: somebody said something, took it back, a message of ours moved on, or something else."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.messages import Inbound
from bot.vocabulary import Status


@dataclass(frozen=True)
class ContactRef:
    """A contact as a delivery names them. Since 2026 either id may be missing, never both."""

    phone: str | None  # digits, no plus
    bsuid: str | None
    name: str = ""
    username: str = ""


@dataclass(frozen=True)
class Origin:
    """How a message came about, where WhatsApp says so."""

    forwarded: bool = False
    forwarded_often: bool = False
    referral: dict[str, Any] = field(default_factory=dict)  # the ad or post it came from, in Meta's own keys
    product: dict[str, Any] = field(default_factory=dict)  # the catalogue item it asks about


@dataclass(frozen=True)
class Received:
    """A contact wrote to one of our numbers."""

    wamid: str
    phone_number_id: str
    contact: ContactRef
    content: Inbound
    sent_at: datetime | None  # Meta's clock; None where it does not say
    reply_to: str | None = None  # the wamid that was quoted, or tapped on
    wants_answer: bool = True  # a reaction is kept and shown, but nobody owes it an answer
    origin: Origin = Origin()
    media_url: str = ""  # where the file lies, for five minutes
    media_sha256: str = ""  # of the file: hex
    standby: bool = False  # Meta's own Business Agent has the conversation; we only overhear it


@dataclass(frozen=True)
class Echoed:
    """Somebody at the business answered from the WhatsApp Business app: a person has taken over."""

    wamid: str
    phone_number_id: str
    contact: ContactRef  # to whom
    content: Inbound
    sent_at: datetime | None
    reply_to: str | None = None
    media_url: str = ""
    media_sha256: str = ""
    standby: bool = False  # it was Meta's own Business Agent that answered: nobody took over


@dataclass(frozen=True)
class Edited:
    """A message was changed by who wrote it; contact or, from the phone, the business."""

    wamid: str  # of the edit itself
    original: str
    content: Inbound
    at: datetime | None


@dataclass(frozen=True)
class Deleted:
    """A message was taken back by who wrote it."""

    wamid: str  # of the deletion itself
    original: str
    at: datetime | None


@dataclass(frozen=True)
class Renumbered:
    """One and the same person now has another number, another id, or both."""

    wamid: str
    phone_number_id: str
    old: ContactRef
    new: ContactRef
    at: datetime | None


@dataclass(frozen=True)
class IdentityChanged:
    """The contact's security code changed: a new phone, or somebody else with their number."""

    wamid: str
    phone_number_id: str
    contact: ContactRef
    at: datetime | None


@dataclass(frozen=True)
class Preferred:
    """A contact stopped marketing messages, or wants them again. Replies stay allowed."""

    phone_number_id: str
    contact: ContactRef
    marketing: bool
    at: datetime | None


@dataclass(frozen=True)
class Reported:
    """Meta says how far a message of ours got."""

    wamid: str
    status: Status
    at: datetime
    callback: str = ""  # our own id, which travelled with the message
    error: str = ""
    code: int = 0  # Meta's, of the error
    pricing: dict[str, Any] | None = field(default=None, compare=False)
    passes: bool = False  # it failed for a reason that passes by itself
    stops: bool = False  # it failed for a reason that no message of this number gets past


@dataclass(frozen=True)
class TemplatesChanged:
    """A template was approved, refused, paused or changed: our list is out of date."""

    name: str
    language: str
    what: str  # APPROVED, REJECTED, PAUSED …


@dataclass(frozen=True)
class Warned:
    """Meta tells of the account or a number: somebody must look. The words are for them."""

    kind: str  # the field it came in
    words: str


@dataclass(frozen=True)
class Misdirected:
    """A contact wrote to a number of this account that Baton does not look after, as far as it was told."""

    kind: str
    phone_number_id: str


@dataclass(frozen=True)
class Unsupported:
    """Anything else: kept, acknowledged, and an alarm where it could not even be read."""

    kind: str
    remark: str = ""
    unreadable: bool = False


Update = (
    Received
    | Echoed
    | Edited
    | Deleted
    | Renumbered
    | IdentityChanged
    | Preferred
    | Reported
    | TemplatesChanged
    | Warned
    | Misdirected
    | Unsupported
)
