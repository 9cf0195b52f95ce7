"""The rows of the simulator in SQLite: what either side said, and what the business has not heard yet."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from connectors.whatsapp.simulator.rows import INBOUND, OUTBOUND, RANK, Call, Contact, Delivery, Media, Message

SCHEMA = """
CREATE TABLE IF NOT EXISTS contacts (
    phone TEXT PRIMARY KEY, name TEXT NOT NULL, user_id TEXT NOT NULL UNIQUE, hides_number INTEGER NOT NULL DEFAULT 0,
    hides_user_id INTEGER NOT NULL DEFAULT 0, username TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY, wamid TEXT NOT NULL UNIQUE, number TEXT NOT NULL, phone TEXT NOT NULL,
    direction TEXT NOT NULL, type TEXT NOT NULL, content TEXT NOT NULL, at REAL NOT NULL, status TEXT NOT NULL,
    context TEXT, callback TEXT, shown_at REAL, seen_at REAL, fault TEXT, failure INTEGER, taken_at REAL,
    place INTEGER);
CREATE INDEX IF NOT EXISTS messages_of ON messages (number, phone, id);
CREATE INDEX IF NOT EXISTS messages_with ON messages (phone, id);
CREATE TABLE IF NOT EXISTS windows (
    number TEXT NOT NULL, phone TEXT NOT NULL, ends REAL NOT NULL, PRIMARY KEY (number, phone));
CREATE TABLE IF NOT EXISTS media (
    id TEXT PRIMARY KEY, mime_type TEXT NOT NULL, filename TEXT NOT NULL, content BLOB NOT NULL,
    number TEXT NOT NULL DEFAULT '', at REAL NOT NULL DEFAULT 0, phone TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, lane TEXT NOT NULL, body BLOB, wamid TEXT, status TEXT, copies INTEGER NOT NULL,
    due REAL NOT NULL, applied INTEGER NOT NULL DEFAULT 0, number TEXT NOT NULL DEFAULT '',
    again INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, body TEXT NOT NULL,
    http INTEGER NOT NULL, answer TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS blocked (
    number TEXT NOT NULL, phone TEXT NOT NULL, PRIMARY KEY (number, phone));
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
VERSION = 2

# A state file of the first version knows neither places nor times of acceptance: they are made up once, from ids.
FROM_VERSION_0 = """
ALTER TABLE contacts ADD COLUMN hides_user_id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN username TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN taken_at REAL;
ALTER TABLE messages ADD COLUMN place INTEGER;
UPDATE messages SET taken_at = at WHERE direction = 'in' AND status != 'waiting';
UPDATE messages SET place = id WHERE direction = 'in' OR shown_at IS NOT NULL;
ALTER TABLE media ADD COLUMN number TEXT NOT NULL DEFAULT '';
ALTER TABLE media ADD COLUMN at REAL NOT NULL DEFAULT 0;
ALTER TABLE media ADD COLUMN phone TEXT NOT NULL DEFAULT '';
UPDATE media SET at = strftime('%s', 'now');
DROP INDEX IF EXISTS deliveries_waiting; DROP INDEX IF EXISTS deliveries_coming;
DELETE FROM deliveries WHERE done = 1 AND applied = 1;
UPDATE deliveries SET body = NULL WHERE done = 1;
ALTER TABLE deliveries DROP COLUMN done;
ALTER TABLE deliveries ADD COLUMN number TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN again INTEGER NOT NULL DEFAULT 0;
"""


class Store:
    """One SQLite connection behind one lock: in a file it survives being killed, without one it is forgotten."""

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.RLock()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None, timeout=10)
        self._db.row_factory = sqlite3.Row
        # A commit reaches the file before the answer goes out; only a power cut, not a kill, could take it back.
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;")
        self._bring_up_to_date()
        self._places = int(self._rows("SELECT COALESCE(MAX(place), 0) AS n FROM messages")[0]["n"])
        self._fresh: list[Delivery] = []
        self.committed: Callable[[list[Delivery]], None] = lambda _: None
        """Is told of the deliveries that have just become durable."""

    def _bring_up_to_date(self) -> None:
        if self._rows("PRAGMA user_version")[0][0] < VERSION:
            is_old = bool(self._rows("SELECT 1 FROM sqlite_master WHERE name = 'messages'"))
            changes = FROM_VERSION_0 if is_old else ""
            self._db.executescript(f"BEGIN; {changes} {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")

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
                self._fresh = []
                raise
            self._db.execute("COMMIT")
            fresh, self._fresh = self._fresh, []
        if fresh:
            self.committed(fresh)

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
        """Remember a contact; one known already keeps its phone and BSUID and gets all else anew."""
        self._rows(
            "INSERT INTO contacts (phone, name, user_id, hides_number, hides_user_id, username)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (phone) DO UPDATE SET name = excluded.name,"
            " hides_number = excluded.hides_number, hides_user_id = excluded.hides_user_id,"
            " username = excluded.username",
            contact.phone, contact.name, contact.user_id, contact.hides_number, contact.hides_user_id,
            contact.username,
        )  # fmt: skip

    def move_contact(self, old: Contact, new: Contact) -> None:
        """Give a contact another phone and BSUID; the conversation moves along, as on the phone."""
        with self.writing():
            self._free(old.phone)
            if self.contact(new.phone):  # somebody had it, and has it no longer
                self._free(new.phone)
            self._rows("DELETE FROM contacts WHERE phone = ? AND phone != ?", new.phone, old.phone)
            self._rows("UPDATE contacts SET phone = ?, user_id = ? WHERE phone = ?", new.phone, new.user_id, old.phone)
            for table in ("messages", "windows", "blocked"):
                self._rows(f"UPDATE OR REPLACE {table} SET phone = ? WHERE phone = ?", new.phone, old.phone)  # noqa: S608

    def times_freed(self, phone: str) -> int:
        """Return how many people had this number before: whoever gets it next is none of them."""
        return int((self.kept("freed") or {}).get(phone, 0))

    def _free(self, phone: str) -> None:
        self.keep("freed", {**(self.kept("freed") or {}), phone: self.times_freed(phone) + 1})

    # Messages

    def add_message(self, message: Message) -> None:
        """Keep what was said; what a contact wrote stands on the phone from now on."""
        place = self._next_place() if message.direction == INBOUND else None
        self._rows(
            "INSERT INTO messages (wamid, number, phone, direction, type, content, at, status, context, callback,"
            " fault, failure, place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            message.wamid, message.number, message.phone, message.direction, message.type,
            json.dumps(message.content), message.at, message.status, message.context, message.callback, message.fault,
            message.failure, place,
        )  # fmt: skip

    def _next_place(self) -> int:
        with self._lock:
            self._places += 1
            return self._places

    def message(self, wamid: str) -> Message | None:
        return next(map(_message, self._rows("SELECT * FROM messages WHERE wamid = ?", wamid)), None)

    def messages(self, number: str | None = None, phone: str | None = None, limit: int = -1) -> list[Message]:
        """Return what was said, oldest first; with a limit, the newest of it."""
        given = {"number": number, "phone": phone}
        where = " AND ".join([f"{name} = :{name}" for name, value in given.items() if value is not None] or ["1"])
        rows = self._rows(
            f"SELECT * FROM messages WHERE {where} ORDER BY id DESC LIMIT :limit",  # noqa: S608 - our own names
            **given, limit=limit,
        )  # fmt: skip
        return [_message(row) for row in reversed(rows)]

    def people(self, after: str, limit: int) -> list[str]:
        """Return the phones of whoever said or was sent anything, in order, behind `after`."""
        rows = self._rows("SELECT DISTINCT phone FROM messages WHERE phone > ? ORDER BY phone LIMIT ?", after, limit)
        return [row["phone"] for row in rows]

    def on_phone(self, phone: str) -> list[Message]:
        """Return everything with this contact in the order the phone showed it; what it never showed stands last."""
        rows = self._rows("SELECT * FROM messages WHERE phone = ? ORDER BY place IS NULL, place, id", phone)
        return [_message(row) for row in rows]

    def last_messages(self, number: str) -> dict[str, Message]:
        """Return each phone's newest message that has a bubble: what edits or deletes another has none."""
        rows = self._rows(
            "SELECT * FROM messages WHERE id IN (SELECT MAX(id) FROM messages WHERE number = ?"
            " AND type NOT IN ('reaction', 'edit', 'revoke', 'system', 'request_welcome')"
            ' AND NOT (type = \'unsupported\' AND content LIKE \'%"unsupported": {"type": "edit"}%\')'
            ' AND NOT (type = \'unsupported\' AND content LIKE \'%"unsupported": {"type": "revoke"}%\')'
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

    def rewrite(self, wamid: str, content: dict[str, Any]) -> None:
        """Change what a message says: it was edited, or deleted for everyone."""
        self._rows(
            "UPDATE messages SET content = ?, type = ? WHERE wamid = ?", json.dumps(content), content["type"], wamid
        )

    def advance(self, wamid: str, status: str, now: float) -> None:
        """Move an outbound message's status forward, never back; what is delivered or read is on the phone."""
        rows = self._rows("SELECT direction, status, shown_at FROM messages WHERE wamid = ?", wamid)
        if not rows or rows[0]["direction"] != OUTBOUND:
            return
        before, shown_at = rows[0]["status"], rows[0]["shown_at"]
        if status == "failed":
            if before in ("accepted", "sent"):
                self._rows("UPDATE messages SET status = 'failed' WHERE wamid = ?", wamid)
            return
        forward = status if RANK[status] > RANK.get(before, -1) else before
        if status != "sent" and shown_at is None:
            self._rows(
                "UPDATE messages SET status = ?, shown_at = ?, place = ? WHERE wamid = ?",
                forward, now, self._next_place(), wamid,
            )  # fmt: skip
        elif forward != before:
            self._rows("UPDATE messages SET status = ? WHERE wamid = ?", forward, wamid)
        if status == "read":
            self._rows("UPDATE messages SET seen_at = COALESCE(seen_at, ?) WHERE wamid = ?", now, wamid)

    def mark_read_up_to(self, message: Message) -> None:
        """Turn the contact's ticks blue up to this message: a read receipt counts for all before it."""
        self._rows(
            "UPDATE messages SET status = 'read' WHERE number = ? AND phone = ? AND direction = ? AND id <= ?",
            message.number, message.phone, INBOUND, message.id,
        )  # fmt: skip

    # Windows and blocks

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

    def blocked(self, number: str) -> list[str]:
        """Return the phones this number has blocked, in the order in which that happened."""
        return [row["phone"] for row in self._rows("SELECT phone FROM blocked WHERE number = ? ORDER BY rowid", number)]

    def is_blocked(self, number: str, phone: str) -> bool:
        return bool(self._rows("SELECT 1 FROM blocked WHERE number = ? AND phone = ?", number, phone))

    def block(self, number: str, phone: str) -> None:
        self._rows("INSERT OR IGNORE INTO blocked VALUES (?, ?)", number, phone)

    def unblock(self, number: str, phone: str) -> None:
        self._rows("DELETE FROM blocked WHERE number = ? AND phone = ?", number, phone)

    # Media

    def add_media(self, media: Media) -> None:
        self._rows(
            "INSERT INTO media (id, mime_type, filename, content, number, at, phone) VALUES (?, ?, ?, ?, ?, ?, ?)",
            media.id, media.mime_type, media.filename, media.content, media.number, media.at, media.phone,
        )  # fmt: skip

    def media(self, media_id: str) -> Media | None:
        rows = self._rows("SELECT * FROM media WHERE id = ?", media_id)
        return Media(**dict(rows[0])) if rows else None

    def drop_media(self, media_id: str) -> None:
        self._rows("DELETE FROM media WHERE id = ?", media_id)

    # Deliveries

    def add_delivery(self, delivery: Delivery) -> None:
        """Keep what the business shall hear; `committed` hears of it once it cannot be lost any more."""
        with self.writing():
            added = self._db.execute(
                "INSERT INTO deliveries (lane, body, wamid, status, copies, due, number, again)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    delivery.lane, delivery.body, delivery.wamid, delivery.status, delivery.copies, delivery.due,
                    delivery.number, delivery.again,
                ),
            )  # fmt: skip
            self._fresh.append(replace(delivery, id=int(added.lastrowid or 0)))

    def deliveries(self) -> list[Delivery]:
        """Return everything that is still to come or to be brought; a status that has moved is only to be brought."""
        return [_delivery(row) for row in self._rows("SELECT * FROM deliveries ORDER BY due, id")]

    def apply(self, due: Iterable[Delivery], now: float) -> None:
        """Move the statuses whose moment has come. Without a body that was all, and the row is done with."""
        with self.writing():
            for delivery in due:
                if delivery.wamid and delivery.status:
                    self.advance(delivery.wamid, delivery.status, now)
                if delivery.body is None:
                    self._rows("DELETE FROM deliveries WHERE id = ?", delivery.id)
                elif delivery.status:
                    self._rows("UPDATE deliveries SET applied = 1 WHERE id = ?", delivery.id)

    def reroute(self, delivery: Delivery) -> None:
        """Let a delivery travel at another time or in another lane."""
        self._rows("UPDATE deliveries SET lane = ?, due = ? WHERE id = ?", delivery.lane, delivery.due, delivery.id)

    def taken(self, deliveries: Iterable[Delivery], now: float) -> None:
        """The business said 200: what a contact wrote has arrived there."""
        with self.writing():
            for delivery in deliveries:
                if delivery.wamid and delivery.status is None:
                    self._rows(
                        "UPDATE messages SET taken_at = COALESCE(taken_at, ?),"
                        " status = CASE status WHEN 'waiting' THEN 'delivered' ELSE status END"
                        " WHERE wamid = ? AND direction = 'in'",
                        now, delivery.wamid,
                    )  # fmt: skip

    def settle(self, deliveries: Iterable[Delivery], now: float) -> None:
        """The business has these for good."""
        with self.writing():
            self.taken(deliveries, now)
            for delivery in deliveries:
                self._rows("DELETE FROM deliveries WHERE id = ?", delivery.id)

    def forget(self, delivery: Delivery) -> None:
        """Give a delivery up."""
        self._rows("DELETE FROM deliveries WHERE id = ?", delivery.id)

    # Calls

    def add_call(self, call: Call) -> None:
        self._rows(
            "INSERT INTO calls (at, method, path, body, http, answer) VALUES (?, ?, ?, ?, ?, ?)",
            call.at, call.method, call.path, json.dumps(call.body), call.http, json.dumps(call.answer),
        )  # fmt: skip

    def calls(self, limit: int = -1) -> list[Call]:
        """Return the calls of the business, oldest first; with a limit, the newest of them."""
        return [
            Call(
                row["at"],
                row["method"],
                row["path"],
                json.loads(row["body"]),
                row["http"],
                json.loads(row["answer"]),
            )
            for row in reversed(self._rows("SELECT * FROM calls ORDER BY id DESC LIMIT ?", limit))
        ]

    # What else outlives a kill: settings, templates, planned faults

    def keep(self, name: str, value: Any) -> None:
        self._rows("INSERT OR REPLACE INTO kept VALUES (?, ?)", name, json.dumps(value))

    def kept(self, name: str) -> Any:
        """Return what was kept under this name, or None."""
        rows = self._rows("SELECT value FROM kept WHERE name = ?", name)
        return json.loads(rows[0]["value"]) if rows else None


def _contact(row: sqlite3.Row) -> Contact:
    return Contact(
        row["phone"], row["name"], row["user_id"], bool(row["hides_number"]), bool(row["hides_user_id"]),
        row["username"],
    )  # fmt: skip


def _message(row: sqlite3.Row) -> Message:
    return Message(**{**dict(row), "content": json.loads(row["content"])})


def _delivery(row: sqlite3.Row) -> Delivery:
    return Delivery(
        id=row["id"], lane=row["lane"], body=row["body"], due=row["due"], wamid=row["wamid"],
        status=None if row["applied"] else row["status"], copies=row["copies"], number=row["number"],
        again=bool(row["again"]),
    )  # fmt: skip
