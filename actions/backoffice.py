"""The shop's order system: one port; over SQL, over HTTP, or nobody there.

The HTTP adapter speaks to BACKOFFICE_URL, which needs two answers, both JSON within four seconds:

    GET {BACKOFFICE_URL}/orders/FH10482           200 one order, or 404
    GET {BACKOFFICE_URL}/orders?phone=4477009001  200 {"orders": [order, …]}, newest first, perhaps empty

    order = {"number": "FH10482", "phone": "447700900101", "postcode": "BS1 4QA", "items": "a fern and a pot",
             "status": placed|packing|shipped|delivered|delayed|collectable|cancelled, "day": "2026-11-24", "store": ""}

`day` is the day the status speaks of: expected, delivered, cancelled, or the last one to collect it in `store`.
`phone` and `postcode` are for comparing and are never said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Any, Protocol
from urllib.parse import quote

import requests
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bot.errors import BotError

TIMEOUT = (2, 4)  # seconds to connect, to answer

metadata = sa.MetaData()
orders = sa.Table(
    "orders",
    metadata,
    sa.Column("number", sa.String(16), primary_key=True),
    sa.Column("phone", sa.String(32), nullable=False, index=True),
    sa.Column("postcode", sa.String(10), nullable=False),
    sa.Column("items", sa.String(200), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("in_days", sa.Integer, nullable=False),  # from today, so that a demo never ages
    sa.Column("store", sa.String(40), nullable=False, server_default=""),
)


class BackofficeDown(BotError):
    """The shop's order system gives no answer."""


class OrderStatus(str, Enum):
    """How far an order is. Each has a sentence, utter_order_<status>."""

    PLACED = "placed"
    PACKING = "packing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    DELAYED = "delayed"
    COLLECTABLE = "collectable"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Order:
    """What the shop knows of one order."""

    number: str
    phone: str
    postcode: str
    items: str
    status: OrderStatus
    day: date
    store: str = ""

    def belongs_to(self, phone: str | None) -> bool:
        """Say whether this phone ordered it."""
        return bool(phone) and digits(self.phone) == digits(phone or "")

    def goes_to(self, postcode: str | None) -> bool:
        """Say whether it is delivered to this postcode."""
        return bool(postcode) and squeezed(self.postcode) == squeezed(postcode or "")


class Backoffice(Protocol):
    """What the bot asks the shop. Every question may raise BackofficeDown."""

    def order(self, number: str) -> Order | None:
        """Return the order with this number, whoever's it is."""

    def orders_of(self, phone: str) -> list[Order]:
        """Return the orders of a phone, newest first."""


class NoBackoffice:
    """There is no order system: every order topic goes to a person."""

    def order(self, number: str) -> Order | None:
        """Say so."""
        raise BackofficeDown("(none is set up)")

    def orders_of(self, phone: str) -> list[Order]:
        """Say so."""
        raise BackofficeDown("(none is set up)")


class SqlBackoffice:
    """Orders in a database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def order(self, number: str) -> Order | None:
        """Return the order with this number."""
        found = self._read(orders.c.number == number.upper())
        return found[0] if found else None

    def orders_of(self, phone: str) -> list[Order]:
        """Return the orders of a phone, newest first."""
        return self._read(orders.c.phone == digits(phone))

    def _read(self, which: Any) -> list[Order]:
        try:
            with self.engine.connect() as connection:
                rows = connection.execute(sa.select(orders).where(which).order_by(orders.c.number.desc())).all()
        except sa.exc.SQLAlchemyError as error:
            raise BackofficeDown(f"({type(error).__name__})") from error
        today = date.today()  # noqa: DTZ011  # a day as the shop and its contacts count it
        return [
            Order(
                number=row.number,
                phone=row.phone,
                postcode=row.postcode,
                items=row.items,
                status=OrderStatus(row.status),
                day=today + timedelta(days=row.in_days),
                store=row.store,
            )
            for row in rows
        ]


class HttpBackoffice:
    """Orders behind a small HTTP API; see the top of this file."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url.rstrip("/")
        self.session = session

    def order(self, number: str) -> Order | None:
        """Return the order with this number."""
        answer = self._get(f"/orders/{quote(number, safe='')}", {})
        return None if answer is None else _order(answer)

    def orders_of(self, phone: str) -> list[Order]:
        """Return the orders of a phone, newest first."""
        answer = self._get("/orders", {"phone": digits(phone)}) or {}
        rows = answer.get("orders", [])
        if not isinstance(rows, list):
            raise BackofficeDown("(it answers in a way we can't read)")
        return [_order(row) for row in rows]

    def _get(self, path: str, query: dict[str, str]) -> dict[str, Any] | None:
        try:
            response = self.session.get(self.url + path, params=query, timeout=TIMEOUT)
            if response.status_code == requests.codes.not_found:
                return None
            response.raise_for_status()
            answer = response.json()
        except (requests.RequestException, ValueError) as error:
            raise BackofficeDown(f"({type(error).__name__})") from error
        if not isinstance(answer, dict):
            raise BackofficeDown("(it answers in a way we can't read)")
        return answer


def digits(phone: str) -> str:
    """Return a phone number as digits only, so that +44 7700 and 447700 are the same."""
    return re.sub(r"\D", "", phone)


def squeezed(postcode: str) -> str:
    """Return a postcode without the ways people write it."""
    return re.sub(r"[^A-Z0-9]", "", postcode.upper())


def _order(row: Any) -> Order:
    try:
        return Order(
            number=str(row["number"]),
            phone=str(row["phone"]),
            postcode=str(row["postcode"]),
            items=str(row["items"]),
            status=OrderStatus(row["status"]),
            day=date.fromisoformat(row["day"]),
            store=str(row.get("store", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BackofficeDown("(it answers in a way we can't read)") from error
