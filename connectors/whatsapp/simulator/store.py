"""The rows of the simulator in SQLite: what either side said, and what the business has not heard yet."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connectors.whatsapp.simulator.rows import (
    INBOUND,
    OUTBOUND,
    RANK,
    Call,
    Contact,
    Delivery,
    Media,
    Message,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS contacts (
    phone TEXT PRIMARY KEY, name TEXT NOT NULL, user_id TEXT NOT NULL UNIQUE, hides_number INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY, wamid TEXT NOT NULL UNIQUE, number TEXT NOT NULL, phone TEXT NOT NULL,
    direction TEXT NOT NULL, type TEXT NOT NULL, content TEXT NOT NULL, at REAL NOT NULL, status TEXT NOT NULL,
    context TEXT, callback TEXT, shown_at REAL, seen_at REAL, fault TEXT, failure INTEGER);
CREATE INDEX IF NOT EXISTS messages_of ON messages (number, phone, id);
CREATE TABLE IF NOT EXISTS windows (
    number TEXT NOT NULL, phone TEXT NOT NULL, ends REAL NOT NULL, PRIMARY KEY (number, phone));
CREATE TABLE IF NOT EXISTS media (
    id TEXT PRIMARY KEY, mime_type TEXT NOT NULL, filename TEXT NOT NULL, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, lane TEXT NOT NULL, body BLOB, wamid TEXT, status TEXT, copies INTEGER NOT NULL,
    due REAL NOT NULL, applied INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
    next_try REAL NOT NULL DEFAULT 0, trouble TEXT, done INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (lane, due, id) WHERE done = 0;
CREATE INDEX IF NOT EXISTS deliveries_coming ON deliveries (due) WHERE applied = 0;
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, body TEXT NOT NULL,
    http INTEGER NOT NULL, answer TEXT NOT NULL);
"""

# A lane's next delivery waits for all earlier ones: that is what keeps the order of one contact.
READY = """
SELECT * FROM deliveries AS d WHERE d.done = 0 AND d.due <= :now AND d.next_try <= :now AND NOT EXISTS (
    SELECT 1 FROM deliveries AS e WHERE e.lane = d.lane AND e.done = 0 AND (e.due, e.id) < (d.due, d.id))
ORDER BY d.due, d.id
"""


class Store:
    """One SQLite connection behind one lock: in a file it survives being killed, without one it is forgotten."""

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.RLock()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None, timeout=10)
        self._db.row_factory = sqlite3.Row
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + SCHEMA)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Do everything inside or nothing. May be nested: the outermost one decides."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _rows(self, sql: str, *values: Any, **named: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(sql, named or values).fetchall()

    # Contacts

    def contacts(self) -> list[Contact]:
        return [_contact(row) for row in self._rows("SELECT * FROM contacts ORDER BY rowid")]

    def contact(self, phone: str) -> Contact | None:
        return next(map(_contact, self._rows("SELECT * FROM contacts WHERE phone = ?", phone)), None)

    def contact_by_user_id(self, user_id: str) -> Contact | None:
        return next(map(_contact, self._rows("SELECT * FROM contacts WHERE user_id = ?", user_id)), None)

    def add_contact(self, contact: Contact) -> None:
        """Remember a contact; one known already keeps its phone and gets the new name."""
        self._rows(
            "INSERT INTO contacts (phone, name, user_id, hides_number) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (phone) DO UPDATE SET name = excluded.name, hides_number = excluded.hides_number",
            contact.phone, contact.name, contact.user_id, contact.hides_number,
        )  # fmt: skip

    # Messages

    def add_message(self, message: Message) -> None:
        self._rows(
            "INSERT INTO messages (wamid, number, phone, direction, type, content, at, status, context, callback,"
            " fault, failure) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            message.wamid, message.number, message.phone, message.direction, message.type,
            json.dumps(message.content), message.at, message.status, message.context, message.callback, message.fault,
            message.failure,
        )  # fmt: skip

    def message(self, wamid: str) -> Message | None:
        return next(map(_message, self._rows("SELECT * FROM messages WHERE wamid = ?", wamid)), None)

    def messages(self, number: str | None = None, phone: str | None = None, limit: int = -1) -> list[Message]:
        """Return what was said, oldest first; with a limit, the newest of it."""
        rows = self._rows(
            "SELECT * FROM messages WHERE (:number IS NULL OR number = :number) AND (:phone IS NULL OR phone = :phone)"
            " ORDER BY id DESC LIMIT :limit",
            number=number, phone=phone, limit=limit,
        )  # fmt: skip
        return [_message(row) for row in reversed(rows)]

    def last_messages(self, number: str) -> dict[str, Message]:
        """Return each phone's newest message that can be seen on it."""
        rows = self._rows(
            "SELECT * FROM messages WHERE id IN (SELECT MAX(id) FROM messages WHERE number = ? AND type != 'reaction'"
            " AND (direction = 'in' OR shown_at IS NOT NULL) GROUP BY phone)",
            number,
        )
        return {row["phone"]: _message(row) for row in rows}

    def unread(self, number: str) -> dict[str, int]:
        """Return how many messages each phone got and has not looked at."""
        rows = self._rows(
            "SELECT phone, COUNT(*) AS n FROM messages WHERE number = ? AND direction = 'out' AND type != 'reaction'"
            " AND shown_at IS NOT NULL AND seen_at IS NULL GROUP BY phone",
            number,
        )
        return {row["phone"]: row["n"] for row in rows}

    def see(self, number: str, phone: str, now: float) -> list[Message]:
        """Note that the phone shows the conversation; return what it shows for the first time."""
        where = "number = ? AND phone = ? AND direction = 'out' AND shown_at IS NOT NULL AND seen_at IS NULL"
        with self.writing():
            fresh = self._rows(f"SELECT * FROM messages WHERE {where} ORDER BY id", number, phone)  # noqa: S608
            if fresh:
                self._rows(f"UPDATE messages SET seen_at = ? WHERE {where}", now, number, phone)  # noqa: S608
        return [_message(row) for row in fresh]

    def advance(self, wamid: str, status: str, now: float) -> None:
        """Move an outbound message's status forward, never back."""
        message = self.message(wamid)
        if message is None or message.direction != OUTBOUND:
            return
        if status == "failed":
            if message.status in ("accepted", "sent"):
                self._rows("UPDATE messages SET status = 'failed' WHERE wamid = ?", wamid)
            return
        if status == "delivered" and message.shown_at is None:
            self._rows("UPDATE messages SET shown_at = ? WHERE wamid = ?", now, wamid)
        if RANK[status] > RANK.get(message.status, -1):
            self._rows("UPDATE messages SET status = ? WHERE wamid = ?", status, wamid)

    def mark_read_up_to(self, message: Message) -> None:
        """Turn the contact's ticks blue up to this message: a read receipt counts for all before it."""
        self._rows(
            "UPDATE messages SET status = 'read' WHERE number = ? AND phone = ? AND direction = ? AND id <= ?",
            message.number, message.phone, INBOUND, message.id,
        )  # fmt: skip

    # Windows

    def open_window(self, number: str, phone: str, ends: float) -> None:
        self._rows(
            "INSERT INTO windows VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET ends = MAX(ends, excluded.ends)",
            number, phone, ends,
        )  # fmt: skip

    def close_window(self, number: str, phone: str, ends: float) -> None:
        self._rows(
            "INSERT INTO windows VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET ends = excluded.ends",
            number,
            phone,
            ends,
        )

    def window_ends(self, number: str, phone: str) -> float:
        rows = self._rows("SELECT ends FROM windows WHERE number = ? AND phone = ?", number, phone)
        return float(rows[0]["ends"]) if rows else 0.0

    # Media

    def add_media(self, media: Media) -> None:
        self._rows("INSERT INTO media VALUES (?, ?, ?, ?)", media.id, media.mime_type, media.filename, media.content)

    def media(self, media_id: str) -> Media | None:
        rows = self._rows("SELECT * FROM media WHERE id = ?", media_id)
        return Media(**dict(rows[0])) if rows else None

    def drop_media(self, media_id: str) -> None:
        self._rows("DELETE FROM media WHERE id = ?", media_id)

    # Deliveries

    def add_delivery(self, delivery: Delivery) -> None:
        self._rows(
            "INSERT INTO deliveries (lane, body, wamid, status, copies, due, applied, done) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            delivery.lane, delivery.body, delivery.wamid, delivery.status, delivery.copies, delivery.due,
            delivery.status is None, delivery.body is None,
        )  # fmt: skip

    def apply_due(self, now: float) -> list[str]:
        """Move every status whose moment has come; return the lanes where something moved."""
        with self.writing():
            due = self._rows("SELECT * FROM deliveries WHERE applied = 0 AND due <= ? ORDER BY due, id", now)
            for row in due:
                self.advance(row["wamid"], row["status"], now)
                self._rows("UPDATE deliveries SET applied = 1 WHERE id = ?", row["id"])
        return [row["lane"] for row in due]

    def ready(self, now: float) -> list[Delivery]:
        """Return each lane's first delivery, if it may be tried now."""
        return [_delivery(row) for row in self._rows(READY, now=now)]

    def next_moment(self) -> float | None:
        """Return when something will be due next."""
        rows = self._rows(
            "SELECT MIN(moment) AS moment FROM (SELECT MIN(due) AS moment FROM deliveries WHERE applied = 0 "
            "UNION ALL SELECT MIN(MAX(due, next_try)) FROM deliveries WHERE done = 0)"
        )
        return rows[0]["moment"] if rows else None

    def settle(self, delivery: Delivery) -> None:
        """The business said 200: it has this delivery for good."""
        with self.writing():
            self._rows("UPDATE deliveries SET done = 1, trouble = NULL WHERE id = ?", delivery.id)
            if delivery.wamid and delivery.status is None:
                self._rows(
                    "UPDATE messages SET status = 'delivered' WHERE wamid = ? AND status = 'waiting'",
                    delivery.wamid,
                )
            if delivery.id % 1000 == 0:  # what the business has needs no keeping; a load test would fill the disk
                self._rows("DELETE FROM deliveries WHERE done = 1 AND applied = 1 AND id < ?", delivery.id - 1000)

    def postpone(self, delivery: Delivery, until: float, trouble: str) -> None:
        self._rows(
            "UPDATE deliveries SET tries = tries + 1, next_try = ?, trouble = ? WHERE id = ?",
            until,
            trouble,
            delivery.id,
        )

    def trouble(self, lane: str) -> str | None:
        """Return why the business has not taken this lane's first delivery, if it was tried."""
        rows = self._rows(
            "SELECT trouble FROM deliveries WHERE lane = ? AND done = 0 AND trouble IS NOT NULL ORDER BY due, id",
            lane,
        )
        return rows[0]["trouble"] if rows else None

    def waiting(self) -> int:
        return int(self._rows("SELECT COUNT(*) AS n FROM deliveries WHERE done = 0")[0]["n"])

    # Calls

    def add_call(self, call: Call) -> None:
        self._rows(
            "INSERT INTO calls (at, method, path, body, http, answer) VALUES (?, ?, ?, ?, ?, ?)",
            call.at, call.method, call.path, json.dumps(call.body), call.http, json.dumps(call.answer),
        )  # fmt: skip

    def calls(self) -> list[Call]:
        return [
            Call(
                row["at"],
                row["method"],
                row["path"],
                json.loads(row["body"]),
                row["http"],
                json.loads(row["answer"]),
            )
            for row in self._rows("SELECT * FROM calls ORDER BY id")
        ]


def _contact(row: sqlite3.Row) -> Contact:
    return Contact(row["phone"], row["name"], row["user_id"], bool(row["hides_number"]))


def _message(row: sqlite3.Row) -> Message:
    return Message(**{**dict(row), "content": json.loads(row["content"])})


def _delivery(row: sqlite3.Row) -> Delivery:
    return Delivery(
        id=row["id"], lane=row["lane"], body=row["body"], due=row["due"], wamid=row["wamid"], status=row["status"],
        copies=row["copies"], tries=row["tries"],
    )  # fmt: skip
