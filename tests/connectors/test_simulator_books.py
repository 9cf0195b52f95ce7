"""The books of the simulator: what a fault run counts from."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.connectors.stage import (
    MIA,
    Business,
    Stage,
    a_business,
    a_stage,
    wait_for,
    wamid_of,
)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with a_business() as business, a_stage(business) as one:
        yield one


def test_the_books_tell_both_sides_in_the_order_of_the_phone(stage: Stage) -> None:
    asked = stage.write(text="Where is it?")
    wait_for(lambda: stage.message(asked)["status"] == "delivered")
    first = wamid_of(stage.send(text={"body": "On its way"}, biz_opaque_callback_data="outbox:1"))
    wait_for(lambda: stage.message(first)["shown"])
    stage.write(text="Thanks")
    wait_for(lambda: len(stage.business.messages()) == 2)
    (person,) = stage.get("/api/books")["contacts"]
    assert (person["phone"], person["name"], person["not_shown"]) == (MIA, "Mia Turner", [])
    lines = person["seen"]
    assert [(line["direction"], line["text"]) for line in lines] == [
        ("in", "Where is it?"),
        ("out", "On its way"),
        ("in", "Thanks"),
    ]
    assert lines[0]["wamid"] == asked
    assert lines[0]["written_at"] <= lines[0]["accepted_at"]
    assert (lines[1]["wamid"], lines[1]["callback"], lines[1]["status"]) == (first, "outbox:1", "delivered")
    assert lines[1]["accepted_at"] <= lines[1]["shown_at"]


def test_what_was_accepted_and_never_shown_stands_apart(stage: Stage) -> None:
    stage.write()
    stage.fault("never_delivered")
    lost = wamid_of(stage.send(biz_opaque_callback_data="lost"))
    shown = wamid_of(stage.send(biz_opaque_callback_data="shown"))
    wait_for(lambda: stage.message(shown)["shown"])
    book = stage.book()
    assert [line["wamid"] for line in book["seen"] if line["direction"] == "out"] == [shown]
    assert [(line["wamid"], line["callback"], line["shown_at"]) for line in book["not_shown"]] == [(lost, "lost", None)]


def test_what_the_business_has_not_taken_has_no_time_of_acceptance(business_down: Stage) -> None:
    business_down.write()
    (line,) = business_down.book()["seen"]
    assert (line["direction"], line["accepted_at"]) == ("in", None)


@pytest.fixture
def business_down() -> Iterator[Stage]:
    with a_stage(Business("http://127.0.0.1:9/")) as one:
        yield one


def test_the_books_come_page_by_page_if_asked(stage: Stage) -> None:
    requests.post(
        f"{stage.base}/api/messages", json=[{"phone": f"44770070{n:04}", "text": "x"} for n in range(7)], timeout=5
    )
    phones, after = [], ""
    while after is not None:
        page = stage.get("/api/books", after=after, limit="3")
        phones += [person["phone"] for person in page["contacts"]]
        after = page["next"]
    assert phones == [f"44770070{n:04}" for n in range(7)]


def test_every_accepted_send_is_in_the_books_of_a_killed_simulator(tmp_path: Path) -> None:
    state = tmp_path / "simulator.sqlite"
    program = (
        "import sys; from pathlib import Path; from connectors.whatsapp.simulator.app import *;"
        "s = Simulator(('100200300',), 'wa-test-secret', 'a-token', 'http://127.0.0.1:9/', Path(sys.argv[1]));\n"
        "with serving(s) as base: print(base, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        there = Stage(process.stdout.readline().strip(), Business())
        there.write()
        accepted = [wamid_of(there.send(biz_opaque_callback_data=str(n))) for n in range(20)]
        os.kill(process.pid, signal.SIGKILL)
    with a_business() as business, a_stage(business, state) as stage:
        wait_for(lambda: len(business.reports()) == 40)
        found = [line for line in stage.book()["seen"] if line["direction"] == "out"]
        assert [line["wamid"] for line in found] == accepted
        assert [line["callback"] for line in found] == [str(n) for n in range(20)]


def test_a_contact_reads_by_itself_when_told_to(stage: Stage) -> None:
    stage.settings(read_after=0.05)
    stage.write()
    stage.send()
    wait_for(lambda: stage.business.statuses() == ["sent", "delivered", "read"])


def test_a_state_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    state = tmp_path / "old.sqlite"
    old = sqlite3.connect(state)
    old.executescript(OLD_SCHEMA)
    old.execute("INSERT INTO contacts VALUES ('447700900101', 'Mia', 'GB.1', 0)")
    old.execute(
        "INSERT INTO messages VALUES (1, 'wamid.1', '100200300', '447700900101', 'in', 'text', ?, 1.0, 'delivered',"
        " NULL, NULL, NULL, NULL, NULL, NULL)",
        (json.dumps({"type": "text", "text": {"body": "before"}}),),
    )
    old.execute("INSERT INTO deliveries VALUES (1, '447700900101', x'7b7d', NULL, NULL, 1, 1.0, 1, 0, 0, NULL, 0)")
    old.commit()
    old.close()
    with a_business() as business, a_stage(business, state) as stage:
        assert [line["text"] for line in stage.book()["seen"]] == ["before"]
        wait_for(lambda: business.bodies == [b"{}"])


OLD_SCHEMA = """
CREATE TABLE contacts (
    phone TEXT PRIMARY KEY, name TEXT NOT NULL, user_id TEXT NOT NULL UNIQUE, hides_number INTEGER NOT NULL DEFAULT 0);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY, wamid TEXT NOT NULL UNIQUE, number TEXT NOT NULL, phone TEXT NOT NULL,
    direction TEXT NOT NULL, type TEXT NOT NULL, content TEXT NOT NULL, at REAL NOT NULL, status TEXT NOT NULL,
    context TEXT, callback TEXT, shown_at REAL, seen_at REAL, fault TEXT, failure INTEGER);
CREATE TABLE windows (
    number TEXT NOT NULL, phone TEXT NOT NULL, ends REAL NOT NULL, PRIMARY KEY (number, phone));
CREATE TABLE media (
    id TEXT PRIMARY KEY, mime_type TEXT NOT NULL, filename TEXT NOT NULL, content BLOB NOT NULL);
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY, lane TEXT NOT NULL, body BLOB, wamid TEXT, status TEXT, copies INTEGER NOT NULL,
    due REAL NOT NULL, applied INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
    next_try REAL NOT NULL DEFAULT 0, trouble TEXT, done INTEGER NOT NULL DEFAULT 0);
CREATE INDEX deliveries_waiting ON deliveries (lane, due, id) WHERE done = 0;
CREATE INDEX deliveries_coming ON deliveries (due) WHERE applied = 0;
"""
