"""What a list may be narrowed to: as a value, as a database's condition, and as what is kept of it in a view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa

from bot.ledger.tables import contacts, conversations, handoffs, messages
from bot.messages import can_be_kept
from bot.vocabulary import Reason, Status
from handoff import tags, unread

CLOSING = timedelta(hours=2)
FIND_MAX = 200


class Window(str, Enum):
    """Whether free text may still be sent."""

    OPEN = "open"
    CLOSING = "closing"  # for two hours at most
    CLOSED = "closed"


@dataclass(frozen=True)
class Filters:
    """What is looked for in a list; nothing of it: all."""

    find: str = ""
    reason: str = ""
    tag: str = ""
    team: str = ""
    window: str = ""
    unread: bool = False
    failed: bool = False

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Filters:
        """Read what a form or a view says; what means nothing (any more) narrows nothing."""
        find, reason, team, window = (
            str(said.get(name) or "").strip() for name in ("find", "reason", "team", "window")
        )
        return cls(
            find=find[:FIND_MAX] if can_be_kept(find) else "",
            reason=reason if reason in {one.value for one in Reason} else "",
            tag=str(said.get("tag") or "").strip().lower()[:24],
            team=team if team.isascii() and team.isdigit() and len(team) < 10 else "",
            window=window if window in {one.value for one in Window} else "",
            unread=bool(said.get("unread")),
            failed=bool(said.get("failed")),
        )

    def kept(self) -> dict[str, Any]:
        """Return what a view keeps: only what narrows."""
        return {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name)}

    def is_narrow(self) -> bool:
        """Say whether it looks for more than words."""
        return bool(set(self.kept()) - {"find"})

    def beside(self, other: Filters) -> Filters:
        """Return both at once; where they differ, the other's."""
        return replace(self, **other.kept())


def conditions(filters: Filters, account_id: int, now: datetime) -> list[Any]:
    """Return what must be true of a conversation, its contact and its open handoff, but for `find`."""
    must: list[Any] = []
    if filters.reason:
        must.append(handoffs.c.reason == Reason(filters.reason))
    if filters.team:
        must.append(handoffs.c.team_id == int(filters.team))
    if filters.tag:
        must.append(conversations.c.id.in_(tags.on(filters.tag)))
    if filters.unread:
        must.append(unread.is_unread(account_id))
    if filters.failed:
        must.append(conversations.c.id.in_(_with_failed()))
    if filters.window:
        must.append(_window(Window(filters.window), now))
    return must


def held_by_another(account_id: int) -> Any:
    """Return the condition that it is not this account that holds it; who answers from the phone has no account."""
    return sa.or_(conversations.c.agent_id.is_(None), conversations.c.agent_id != account_id)


def found_by(find: str, said: list[int]) -> Any:
    """Return the condition that a name, number, wish, agent or tag holds these words; those who `said` them do, too."""
    words = f"%{_plain(find.lower())}%"
    digits = find.lstrip("+").replace(" ", "")
    columns = (contacts.c.name, contacts.c.username, handoffs.c.wish, conversations.c.agent_name)
    some = [sa.func.lower(column).like(words, escape="\\") for column in columns]
    some.append(conversations.c.id.in_(tags.on(find.lower())))
    some.append(conversations.c.id.in_(said))
    if digits.isascii() and digits.isdigit():
        some.append(contacts.c.phone.like(f"%{digits}%"))
    return sa.or_(*some)


def _plain(words: str) -> str:
    """Take from a text what LIKE would read as anything."""
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _with_failed() -> Any:
    """Return where a message of ours failed, and nobody has sent it again or set it aside."""
    again = messages.alias("again")
    return sa.select(messages.c.conversation_id).where(
        # As words, so that SQLite uses the index of what failed.
        sa.text("messages.status = 'failed'"),
        messages.c.set_aside_at.is_(None),
        ~sa.exists().where(again.c.again_of == messages.c.id),
        messages.c.status == Status.FAILED,
    )


def _window(which: Window, now: datetime) -> Any:
    ends = conversations.c.window_ends
    match which:
        case Window.OPEN:
            return ends > now
        case Window.CLOSING:
            return sa.and_(ends > now, ends <= now + CLOSING)
        case Window.CLOSED:
            return sa.or_(ends.is_(None), ends <= now)
