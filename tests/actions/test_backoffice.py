"""actions/backoffice.py and the demo shop: over SQL, over HTTP, and nobody there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests
import sqlalchemy as sa

from actions.backoffice import BackofficeDown, HttpBackoffice, NoBackoffice, Order, OrderStatus, SqlBackoffice, orders
from actions.demo_shop import MIA, ORDERS, PRIYA, SAM, open_demo_shop
from actions.surroundings import backoffice_of
from bot.content.catalogue import Catalogue
from bot.settings import ROOT, Settings

TODAY = date.today()  # noqa: DTZ011  # as the shop counts
FERN = Order("FH10482", MIA, "BS1 4QA", "a fern", OrderStatus.SHIPPED, date(2026, 11, 24))


def test_the_demo_shop_never_ages(tmp_path: Path) -> None:
    shop = SqlBackoffice(open_demo_shop(tmp_path / "shop.db"))
    order = shop.order("fh10482")
    assert order is not None
    assert (order.status, order.day) == (OrderStatus.SHIPPED, TODAY + timedelta(days=1))
    assert [order.number for order in shop.orders_of("+44 7700 900101")] == ["FH10517", "FH10482"]
    assert shop.orders_of(PRIYA) == []
    assert shop.order("FH99999") is None


def test_opening_the_demo_shop_again_changes_nothing_in_it(tmp_path: Path) -> None:
    engine = open_demo_shop(tmp_path / "shop.db")
    with engine.begin() as connection:
        connection.execute(sa.update(orders).where(orders.c.number == "FH10533").values(status="shipped"))
    found = SqlBackoffice(open_demo_shop(tmp_path / "shop.db")).order("FH10533")
    assert found is not None and found.status is OrderStatus.SHIPPED


def test_two_first_orders_at_once_open_one_demo_shop(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def opens(path: Path) -> int:
        together.wait(10)
        with open_demo_shop(path).connect() as connection:
            return len(connection.execute(sa.select(orders)).all())

    with ThreadPoolExecutor(8) as pool:
        for n in range(10):
            assert set(pool.map(opens, [tmp_path / f"{n}.db"] * 8)) == {len(ORDERS)}


def test_a_broken_shop_is_a_shop_that_is_down(tmp_path: Path) -> None:
    engine = open_demo_shop(tmp_path / "shop.db")
    orders.drop(engine)
    with pytest.raises(BackofficeDown):
        SqlBackoffice(engine).order("FH10482")


def test_an_order_belongs_to_a_phone_however_it_is_written() -> None:
    assert FERN.belongs_to("+44 7700 900101")
    assert not FERN.belongs_to(SAM)
    assert not FERN.belongs_to(None)
    assert not FERN.belongs_to("")


def test_an_order_goes_to_a_postcode_however_it_is_written() -> None:
    assert FERN.goes_to("bs14qa")
    assert not FERN.goes_to("BS1 4QB")
    assert not FERN.goes_to(None)


@pytest.mark.parametrize("status", OrderStatus)
def test_every_status_has_its_sentence(status: OrderStatus) -> None:
    response = Catalogue.load(ROOT / "data" / "responses").responses[f"utter_order_{status.value}"]
    assert response.placeholders <= {"number", "items", "day", "store"}


class Answers(BaseHTTPRequestHandler):
    """Says what the test told it to."""

    answers: ClassVar[dict[str, tuple[int, str]]] = {}

    def do_GET(self) -> None:
        status, body = self.answers[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def http() -> Iterator[HttpBackoffice]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with requests.Session() as session:
        yield HttpBackoffice(f"http://127.0.0.1:{server.server_port}/", session)
    server.shutdown()
    server.server_close()


ROW = {
    "number": "FH10482",
    "phone": MIA,
    "postcode": "BS1 4QA",
    "items": "a fern",
    "status": "shipped",
    "day": "2026-11-24",
}


def test_an_order_is_read_over_http(http: HttpBackoffice) -> None:
    Answers.answers = {
        "/orders/FH10482": (200, json.dumps(ROW)),
        "/orders/FH99999": (404, ""),
        f"/orders?phone={MIA}": (200, json.dumps({"orders": [ROW]})),
    }
    assert http.order("FH10482") == FERN
    assert http.order("FH99999") is None
    assert http.orders_of("+" + MIA) == [FERN]


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, ""), (401, "{}"), (200, "<html>"), (200, "[]"), (200, "{}"), (200, json.dumps({**ROW, "status": "lost"})),
     (200, json.dumps({**ROW, "day": "soon"}))],
)  # fmt: skip
def test_whatever_else_it_answers_it_is_down(http: HttpBackoffice, status: int, body: str) -> None:
    Answers.answers = {"/orders/FH10482": (status, body)}
    with pytest.raises(BackofficeDown):
        http.order("FH10482")


def test_a_shop_that_is_not_there_is_down() -> None:
    with requests.Session() as session, pytest.raises(BackofficeDown):
        HttpBackoffice("http://127.0.0.1:9", session).order("FH10482")


def test_the_settings_name_the_shop(tmp_path: Path) -> None:
    assert isinstance(backoffice_of(Settings(home=tmp_path)), NoBackoffice)
    assert isinstance(backoffice_of(Settings(home=tmp_path, demo_shop=True)), SqlBackoffice)
    assert isinstance(backoffice_of(Settings(home=tmp_path, demo_shop=True, backoffice_url="http://x")), HttpBackoffice)
    with pytest.raises(BackofficeDown):
        NoBackoffice().orders_of(MIA)
