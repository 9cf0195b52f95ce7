"""What a delivery can tell us: somebody said something, a message of ours moved on, or something else."""

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


@dataclass(frozen=True)
class Received:
    """A contact wrote to one of our numbers."""

    wamid: str
    phone_number_id: str
    contact: ContactRef
    content: Inbound
    sent_at: datetime | None  # Meta's clock; None where it does not say
    reply_to: str | None = None
    wants_answer: bool = True  # a reaction is kept and shown, but nobody owes it an answer


@dataclass(frozen=True)
class Reported:
    """Meta says how far a message of ours got."""

    wamid: str
    status: Status
    at: datetime
    callback: str = ""  # our own id, which travelled with the message
    error: str = ""
    pricing: dict[str, Any] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Unsupported:
    """Anything else: kept, acknowledged, and an alarm where it could not even be read."""

    kind: str
    remark: str = ""
    unreadable: bool = False


Update = Received | Reported | Unsupported
