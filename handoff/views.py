"""A list and filters under a name: an agent's own, or shared by who leads. The only writer of views."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot.errors import BotError
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.messages import can_be_kept
from handoff.filters import Filters
from handoff.roles import Account, Deed
from handoff.tables_desk import views

NAME_MAX = 40
MOST = 12  # of one account


class BadView(BotError):
    """This view can't be kept."""


class UnknownView(BotError):
    """There is no such view, or it is not yours."""


@dataclass(frozen=True)
class View:
    """One of the views an account sees."""

    id: int
    name: str
    list: str
    filters: Filters
    shared: bool
    mine: bool


def save(
    tx: Transaction, account: Account, name: str, list_: str, filters: Filters, *, shared: bool, now: datetime
) -> int:
    """Keep a view; one of the same name is that one from now on. Return its id."""
    account.require(Deed.LEAD if shared else Deed.READ)
    name = " ".join(name.split())
    if not name or len(name) > NAME_MAX or not can_be_kept(name):
        raise BadView(f"(give it a name of at most {NAME_MAX} characters)")
    mine = views.c.account_id == account.id
    known = tx.execute(sa.select(views.c.id).where(mine, views.c.name == name)).scalar()
    values = {"filters": {"list": list_} | filters.kept(), "shared": shared}
    if known is not None:
        tx.execute(sa.update(views).where(views.c.id == known).values(values))
        return int(known)
    if (tx.execute(sa.select(sa.func.count()).where(mine)).scalar() or 0) >= MOST:
        raise BadView(f"(you have {MOST} already; forget one first)")
    made = insert_new(tx, views, account_id=account.id, name=name, made_at=now, **values)
    if made is None:  # somebody else with the same account was quicker
        raise BadView("(there is one of this name now; try again)")
    return int(made)


def forget(tx: Transaction, account: Account, view_id: int) -> None:
    """Forget a view of one's own; who leads may forget shared ones."""
    may = views.c.account_id == account.id
    if account.may(Deed.LEAD):
        may = sa.or_(may, views.c.shared)
    if tx.execute(sa.delete(views).where(views.c.id == view_id, may)).rowcount == 0:
        raise UnknownView


def of(tx: Transaction, account: Account) -> list[View]:
    """Return the views an account sees: shared ones first, each in the order in which they were made."""
    seen = sa.or_(views.c.account_id == account.id, views.c.shared)
    rows = tx.execute(sa.select(views).where(seen).order_by(views.c.shared.desc(), views.c.id))
    return [_view(row, account) for row in rows]


def _view(row: Any, account: Account) -> View:
    list_ = str(row.filters.get("list") or "queue")
    return View(row.id, row.name, list_, Filters.read(row.filters), row.shared, row.account_id == account.id)
