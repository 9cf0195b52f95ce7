"""The demo shop: a few people with orders, in an SQLite file of its own. Every name and number is invented."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Engine
from sqlalchemy.schema import CreateIndex, CreateTable

from actions.backoffice import orders

MIA, SAM, PRIYA, LEO = "447700900101", "447700900102", "447700900103", "447700900104"  # Priya has not ordered yet

# number, phone, postcode, what, status, in how many days from today, store
ORDERS = [
    ("FH10482", MIA, "BS1 4QA", "a Boston fern and a blue pot", "shipped", 1, ""),
    ("FH10517", MIA, "BS1 4QA", "an oak bench", "delivered", -3, ""),
    ("FH10533", SAM, "M1 2WD", "two raised beds", "packing", 3, ""),
    ("FH10460", LEO, "EH3 9GU", "a garden parasol", "delayed", 6, ""),
    ("FH10401", "447700900111", "LS6 3HN", "a watering can", "delivered", -12, ""),
    ("FH10415", "447700900112", "N1 7GU", "a set of herb pots", "delivered", -9, ""),
    ("FH10428", "447700900113", "CF10 1EP", "a wool rug", "cancelled", -8, ""),
    ("FH10439", "447700900114", "S1 2HE", "string lights", "delivered", -6, ""),
    ("FH10447", "447700900115", "EH1 1YZ", "a floor lamp", "delivered", -5, ""),
    ("FH10455", "447700900116", "B2 4QA", "a compost bin", "delayed", 4, ""),
    ("FH10471", "447700900117", "BS8 1TH", "three lavender plants", "shipped", 0, ""),
    ("FH10488", "447700900118", "M20 2RN", "a bird table", "shipped", 2, ""),
    ("FH10495", "447700900119", "SW4 7AA", "a monstera", "collectable", 5, "London"),
    ("FH10502", "447700900120", "G12 8QQ", "a fire pit", "packing", 4, ""),
    ("FH10526", "447700900121", "NE1 4ST", "a linen duvet set", "placed", 5, ""),
    ("FH10540", "447700900122", "LS1 4AP", "a hedge trimmer", "collectable", 6, "Leeds"),
    ("FH10548", "447700900123", "OX1 2JD", "a bistro table and two chairs", "placed", 7, ""),
]


def open_demo_shop(path: Path) -> Engine:
    """Open the shop, and fill it where it is empty; what is there stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(f"sqlite:///{path}", future=True, connect_args={"timeout": 5, "check_same_thread": False})
    names = [column.name for column in orders.columns]
    with engine.begin() as connection:
        # Two may open it at once, so SQLite itself looks what is there: create_all asks first and makes it then.
        connection.execute(CreateTable(orders, if_not_exists=True))
        for index in orders.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
        rows = [dict(zip(names, order, strict=True)) for order in ORDERS]
        connection.execute(insert(orders).on_conflict_do_nothing(), rows)
    return engine
