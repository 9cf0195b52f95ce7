"""Quick replies: an agent's prepared texts, a team's, or everybody's. The only writer of quick_replies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from bot.errors import BotError
from bot.ledger.tables import handoffs, teams
from bot.ledger.transaction import Transaction
from bot.messages import TEXT_MAX, can_be_kept, length
from handoff.roles import Account, Deed
from handoff.tables import quick_replies

NAME = re.compile(r"[a-z0-9äöüßáéíóúñç][a-z0-9äöüßáéíóúñç_-]{0,31}")
OWN, ALL, TEAM = "own", "all", "team"


class BadQuickReply(BotError):
    """This quick reply can't be kept."""


class UnknownQuickReply(BotError):
    """There is no such quick reply."""


@dataclass(frozen=True)
class QuickReply:
    """A prepared text, and for whom it is."""

    id: int
    name: str
    text: str
    account_id: int | None
    team_id: int | None
    team: str
    changed_by: str
    changed_at: datetime
    retired: bool

    @property
    def whose(self) -> str:
        """Say in words for whom it is."""
        return "Mine" if self.account_id is not None else self.team or "Everybody"

    def may_be_changed_by(self, account: Account) -> bool:
        """Say whether this account may edit it: its own, or any that is shared if it leads."""
        if self.account_id is not None:
            return self.account_id == account.id and account.may(Deed.SPEAK)
        return account.may(Deed.LEAD)


@dataclass(frozen=True)
class Wanted:
    """What somebody wrote into the form. `whose` is own, all, or team and its id ("team 3")."""

    name: str
    text: str
    whose: str = OWN


def make(tx: Transaction, account: Account, wanted: Wanted, now: datetime) -> QuickReply:
    """Make one; a name is taken once among those for the same people."""
    columns = _columns(tx, account, wanted, now)
    made = _written(tx, sa.insert(quick_replies).values(columns), wanted.name)
    return get(tx, int(made.inserted_primary_key[0]), account)


def change(tx: Transaction, id_: int, account: Account, wanted: Wanted, now: datetime) -> QuickReply:
    """Change its words, its name, or for whom it is."""
    _require_may_change(tx, id_, account)
    columns = _columns(tx, account, wanted, now)
    _written(tx, sa.update(quick_replies).where(quick_replies.c.id == id_).values(columns), wanted.name)
    return get(tx, id_, account)


def retire(tx: Transaction, id_: int, account: Account, now: datetime) -> None:
    """Offer it no more; its name is free again. Twice is as good as once."""
    _require_may_change(tx, id_, account)
    going = (quick_replies.c.id == id_) & quick_replies.c.retired_at.is_(None)
    values = {"retired_at": now, "changed_by": account.name, "changed_at": now}
    tx.execute(sa.update(quick_replies).where(going).values(values))


def bring_back(tx: Transaction, id_: int, account: Account, now: datetime) -> None:
    """Offer it again, unless another one has its name by now."""
    one = _require_may_change(tx, id_, account)
    values = {"retired_at": None, "changed_by": account.name, "changed_at": now}
    _written(tx, sa.update(quick_replies).where(quick_replies.c.id == id_).values(values), one.name)


def get(tx: Transaction, id_: int, account: Account) -> QuickReply:
    """Return one that this account may see."""
    found = _read(tx, quick_replies.c.id == id_, _seen_by(account))
    if not found:
        raise UnknownQuickReply(f"({id_})")
    return found[0]


def of(tx: Transaction, account: Account, *, find: str = "", retired: bool = False) -> list[QuickReply]:
    """Return what this account may see, own first; `find` is part of a name or of the words."""
    which = quick_replies.c.retired_at.is_not(None) if retired else quick_replies.c.retired_at.is_(None)
    wanted = find.strip().lower().lstrip("/")
    found = _read(tx, _seen_by(account), which)
    return [one for one in found if wanted in one.name or wanted in one.text.lower()]


def offered(tx: Transaction, account: Account, conversation_id: int) -> list[QuickReply]:
    """Return what may be used in a conversation: own, everybody's, and those of the team it is with.

    Of one name the own one wins, then the team's.
    """
    newest = sa.select(handoffs.c.team_id).where(handoffs.c.conversation_id == conversation_id)
    team_id = tx.execute(newest.order_by(handoffs.c.id.desc()).limit(1)).scalar()
    found: dict[str, QuickReply] = {}
    for one in of(tx, account):
        if one.team_id in (None, team_id):
            found.setdefault(one.name, one)
    return sorted(found.values(), key=lambda one: one.name)


def every_team(tx: Transaction) -> list[tuple[int, str]]:
    """Return the teams one may be for."""
    return [(row.id, row.name) for row in tx.execute(sa.select(teams.c.id, teams.c.name).order_by(teams.c.name))]


def _read(tx: Transaction, *which: object) -> list[QuickReply]:
    rows = tx.execute(
        sa.select(quick_replies, teams.c.name.label("team"))
        .outerjoin(teams, teams.c.id == quick_replies.c.team_id)
        .where(*which)
        .order_by(quick_replies.c.account_id.is_(None), quick_replies.c.team_id.is_(None), quick_replies.c.name, "id")
    )
    return [
        QuickReply(
            id=row.id,
            name=row.name,
            text=row.text,
            account_id=row.account_id,
            team_id=row.team_id,
            team=row.team or "",
            changed_by=row.changed_by,
            changed_at=row.changed_at,
            retired=row.retired_at is not None,
        )
        for row in rows
    ]


def _seen_by(account: Account) -> object:
    return quick_replies.c.account_id.is_(None) | (quick_replies.c.account_id == account.id)


def _require_may_change(tx: Transaction, id_: int, account: Account) -> QuickReply:
    one = get(tx, id_, account)
    if not one.may_be_changed_by(account):
        account.require(Deed.LEAD)
    return one


def _columns(tx: Transaction, account: Account, wanted: Wanted, now: datetime) -> dict[str, object]:
    name, text = wanted.name.strip().lower().lstrip("/"), wanted.text.replace("\r\n", "\n").strip()
    if not NAME.fullmatch(name):
        raise BadQuickReply("(a name has 1 to 32 letters, digits, - or _, and no blanks)")
    if not text:
        raise BadQuickReply("(it needs words)")
    if length(text) > TEXT_MAX or not can_be_kept(text):
        raise BadQuickReply(f"(a text has at most {TEXT_MAX} characters)")
    kind, _, team = wanted.whose.partition(" ")
    account.require(Deed.SPEAK if kind == OWN else Deed.LEAD)
    team_id = next((id_ for id_, _ in every_team(tx) if str(id_) == team), None)
    if kind not in (OWN, ALL, TEAM) or (kind == TEAM and team_id is None):
        raise BadQuickReply("(it is your own, everybody's, or one team's)")
    return {
        "name": name,
        "text": text,
        "account_id": account.id if kind == OWN else None,
        "team_id": team_id if kind == TEAM else None,
        "changed_by": account.name,
        "changed_at": now,
    }


def _written(tx: Transaction, statement: Any, name: str) -> Any:
    try:
        with tx.begin_nested():
            return tx.execute(statement)
    except IntegrityError as problem:
        plain = name.strip().lower().lstrip("/")
        raise BadQuickReply(f"(there is one called /{plain} already; change that one, or choose another name)") from (
            problem
        )
