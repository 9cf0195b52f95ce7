"""The stage of a fault run: a whole Baton on a database of its own, what is watched in it, and the books at the end."""

from __future__ import annotations

import secrets
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa

from actions.backoffice import orders
from actions.demo_shop import open_demo_shop
from bot.ledger.outbox import DOUBTFUL
from bot.ledger.tables import contacts, conversations, handoffs, messages, turns
from bot.ledger.transaction import Ledger
from bot.settings import ROOT
from tests.chaos.books import Episode, Got, Heard, Row, Step
from tests.journeys.house import House
from tests.parts import Postgres

BREAKING = Path(__file__).parent / "breaking"
OURS = "chaos_steps"

# The database's own witness of every status and every holder, in the order of the transactions that hold the
# conversation's lock. It is what tells a request that was on its way at a take from one that was made after it.
TRACE = {
    "sqlite": (
        f"CREATE TABLE {OURS} (n INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, message_id INTEGER,"
        " conversation_id INTEGER, value TEXT)",
        "CREATE TRIGGER chaos_status AFTER UPDATE OF status ON messages WHEN OLD.status IS NOT NEW.status BEGIN"
        f" INSERT INTO {OURS} (at, message_id, value)"
        " VALUES ((julianday('now') - 2440587.5) * 86400.0, NEW.id, NEW.status); END",
        "CREATE TRIGGER chaos_holder AFTER UPDATE OF holder ON conversations WHEN OLD.holder IS NOT NEW.holder BEGIN"
        f" INSERT INTO {OURS} (at, conversation_id, value)"
        " VALUES ((julianday('now') - 2440587.5) * 86400.0, NEW.id, NEW.holder); END",
    ),
    "postgresql": (
        f"CREATE TABLE {OURS} (n BIGSERIAL PRIMARY KEY, at DOUBLE PRECISION, message_id BIGINT, conversation_id BIGINT,"
        " value TEXT)",
        "CREATE FUNCTION chaos_status() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" INSERT INTO {OURS} (at, message_id, value)"
        " VALUES (extract(epoch from clock_timestamp()), NEW.id, NEW.status); RETURN NULL; END $$",
        "CREATE FUNCTION chaos_holder() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" INSERT INTO {OURS} (at, conversation_id, value)"
        " VALUES (extract(epoch from clock_timestamp()), NEW.id, NEW.holder); RETURN NULL; END $$",
        "CREATE TRIGGER chaos_status AFTER UPDATE OF status ON messages FOR EACH ROW"
        " WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION chaos_status()",
        "CREATE TRIGGER chaos_holder AFTER UPDATE OF holder ON conversations FOR EACH ROW"
        " WHEN (OLD.holder IS DISTINCT FROM NEW.holder) EXECUTE FUNCTION chaos_holder()",
    ),
}


class Stage:
    """A running Baton, with a second sender beside the supervised one."""

    def __init__(self, house: House, database_url: str, admin_url: str | None) -> None:
        self.house = house
        self.admin_url = admin_url
        self.ledger = Ledger(database_url)
        self.tokens = {email: house.token(email) for email in sorted(house.accounts())}
        self._name = sa.engine.make_url(database_url).database or ""
        self._second: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._closing = threading.Event()
        with self.ledger.engine.begin() as connection:
            for statement in TRACE[self.ledger.engine.dialect.name]:
                connection.exec_driver_sql(statement)

    @property
    def database(self) -> str:
        """Say which database this runs on."""
        return str(self.ledger.engine.dialect.name)

    # --- the shop

    def sell(self, numbers: dict[str, str]) -> None:
        """Give each order number to its phone, so that the bot's answer to its owner names it at once."""
        engine = open_demo_shop(self.house.home / "shop.db")
        rows = [
            {"number": number, "phone": phone, "postcode": "LS1 4AP", "items": "a fern", "status": "shipped",
             "in_days": 2, "store": ""}
            for number, phone in numbers.items()
        ]  # fmt: skip
        with engine.begin() as connection:
            connection.execute(sa.insert(orders), rows)
        engine.dispose()

    # --- the second sender: several at once must be safe

    def second_sender(self) -> None:
        """Start it with the environment of the first, and start it again whenever it dies."""
        pairs = Path(f"/proc/{self.house.pid_of('sender')}/environ").read_bytes().split(b"\0")
        env = dict(pair.decode().split("=", 1) for pair in pairs if b"=" in pair)

        def keep() -> None:
            with (self.house.home / "logs" / "sender2.log").open("ab") as log:
                while not self._closing.is_set():
                    self._second = subprocess.Popen(
                        [sys.executable, "-m", "connectors.whatsapp", "send"],
                        env=env, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
                    )  # fmt: skip
                    self._second.wait()
                    self._closing.wait(1.0)

        self._keeper = threading.Thread(target=keep, daemon=True, name="second sender")
        self._keeper.start()

    def pid_of(self, name: str) -> int:
        """Return the process of that name; AssertionError while it does not run."""
        if name != "sender2":
            return self.house.pid_of(name)
        assert self._second is not None and self._second.poll() is None, "the second sender does not run"
        return self._second.pid

    def is_well(self) -> bool:
        """Say whether every door answers."""
        doors = (self.house.ready_url, f"{self.house.desk_url}/signin", f"{self.house.phone_url}/health")
        try:
            return all(requests.get(door, timeout=5).status_code == 200 for door in doors)
        except requests.RequestException:
            return False

    def close(self) -> None:
        """End the second sender and our own connections."""
        self._closing.set()
        if self._keeper is not None:
            if self._second is not None and self._second.poll() is None:
                self._second.terminate()
            self._keeper.join(30)
        self.ledger.close()

    # --- cuts

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Take the database away while the block lasts: nobody is let in, or (SQLite) nobody may write."""
        if self.admin_url is None:
            with sqlite3.connect(self._name, timeout=20, isolation_level=None) as connection:
                connection.execute("BEGIN EXCLUSIVE")
                try:
                    yield
                finally:
                    connection.execute("ROLLBACK")
            connection.close()
            return
        engine = sa.create_engine(self.admin_url, isolation_level="AUTOCOMMIT", future=True)
        with engine.connect() as connection:
            connection.exec_driver_sql(f'ALTER DATABASE "{self._name}" ALLOW_CONNECTIONS false')
            try:
                others = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
                connection.execute(others, {"name": self._name})
                yield
            finally:
                connection.exec_driver_sql(f'ALTER DATABASE "{self._name}" ALLOW_CONNECTIONS true')
        engine.dispose()

    # --- the end

    def is_settled(self) -> bool:
        """Say whether nothing is under way any more, on either side."""
        with suppress(requests.RequestException, sa.exc.SQLAlchemyError):
            if requests.get(f"{self.house.phone_url}/health", timeout=20).json()["waiting"]:
                return False
            open_rows = messages.c.waiting | messages.c.status.in_(("queued", "sending"))
            with self.ledger.reading() as tx:
                waiting = tx.execute(sa.select(sa.func.count()).select_from(messages).where(open_rows)).scalar()
                running = tx.execute(
                    sa.select(sa.func.count()).select_from(turns).where(turns.c.state == "running")
                ).scalar()
            return not waiting and not running
        return False

    def phone_books(self) -> tuple[list[Heard], list[Got]]:
        """Return the simulator's books: what it took from contacts, and what it accepted for them, in order."""
        heard: list[Heard] = []
        got: list[Got] = []
        after: str | None = ""
        while after is not None:
            answer = requests.get(f"{self.house.phone_url}/api/books", params={"after": after}, timeout=120)
            answer.raise_for_status()
            page = answer.json()
            after = page["next"]
            for person in page["contacts"]:
                for one in person["seen"] + person["not_shown"]:
                    known = person["phone"], one["wamid"], one["text"] or ""
                    if one["direction"] == "in":
                        heard.append(Heard(*known, one["written_at"]))
                    elif one["type"] != "reaction":
                        got.append(Got(*known, one["accepted_at"], one["callback"] or ""))
        return sorted(heard, key=lambda one: one.at), sorted(got, key=lambda one: one.at)

    def ledger_books(self) -> dict[str, Any]:
        """Return the ledger's books, as the fields of Books."""
        phones = (
            sa.select(conversations.c.id, contacts.c.phone)
            .select_from(conversations.join(contacts, contacts.c.id == conversations.c.contact_id))
            .subquery()
        )
        with self.ledger.reading() as tx:
            phone_of = {row.id: row.phone or "" for row in tx.execute(sa.select(phones))}
            rows = [
                Row(row.id, phone_of[row.conversation_id], row.author.value, row.text,
                    # the sabotage of `unique` makes every delivery a message of its own
                    row.wamid.split("#")[0] if row.wamid else None,
                    row.turn_id, row.status.value if row.status else None, row.epoch, bool(row.waiting),
                    row.error == DOUBTFUL)
                for row in tx.execute(sa.select(messages).order_by(messages.c.id))
            ]  # fmt: skip
            episodes = [
                Episode(phone_of[row.conversation_id], row.reason.value, row.asked_at.timestamp(),
                        row.closed_at.timestamp() if row.closed_at else None)
                for row in tx.execute(sa.select(handoffs).order_by(handoffs.c.id))
            ]  # fmt: skip
            steps = [
                Step(row.n, row.at, row.value, row.message_id, phone_of.get(row.conversation_id))
                for row in tx.exec_driver_sql(f"SELECT * FROM {OURS} ORDER BY n")
            ]
            running = sa.select(sa.func.count()).select_from(turns).where(turns.c.state == "running")
            unfinished = int(tx.execute(running).scalar() or 0)
        return {"rows": rows, "episodes": episodes, "steps": steps, "unfinished_turns": unfinished}


@contextmanager
def staged(home: Path, database: str, sabotage: str) -> Iterator[Stage]:
    """Start Baton for a run: on PostgreSQL with two senders, or on SQLite; `sabotage` takes one guarantee out."""
    env = {"BATON_NOTICE_MACHINES": "no"}  # these contacts are some: they write whole sentences, at once
    if sabotage:
        env |= {"CHAOS_BREAK": sabotage, "PYTHONPATH": str(BREAKING)}
    if database == "sqlite":
        house = House(home, "", **env)
        house.start()
        try:
            stage = Stage(house, f"sqlite:///{home / 'baton.db'}", None)
            yield stage
            stage.close()
        finally:
            house.stop()
        return
    server = Postgres()
    try:
        if server.url is None:
            raise RuntimeError(server.why_not)
        name = f"baton_chaos_{secrets.token_hex(6)}"
        url = server.make(name)
        house = House(home, url, **env)
        try:
            house.start()
            stage = Stage(house, url, server.url)
            stage.second_sender()
            yield stage
            stage.close()
        finally:
            house.stop()
            server.drop(name)
    finally:
        server.stop()


def until(look: Any, within_s: float, every_s: float = 0.5) -> bool:
    """Look again and again; say whether it came true in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if look():
            return True
        time.sleep(every_s)
    return bool(look())
