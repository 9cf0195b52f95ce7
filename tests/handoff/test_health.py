"""/health tells probes the truth."""

from __future__ import annotations

import time

import sqlalchemy as sa
from flask import Flask

from bot.ledger.transaction import Ledger
from handoff import feed
from tests.factories import NOW, a_text, heard, later
from tests.handoff import seeding
from tests.handoff.conftest import Clock


def test_a_healthy_desk_says_ok_with_numbers_or_null(app: Flask, ledger: Ledger) -> None:
    answer = app.test_client().get("/health")
    assert answer.status_code == 200
    assert 0 <= answer.json.pop("feed_age_s") < 10
    assert answer.json == {
        "database": "ok",
        "oldest_waiting_turn_s": None,
        "oldest_unsent_message_s": None,
        "alarms": [],
    } | {"feed_age_s": answer.json["feed_age_s"]}


def test_what_waits_is_measured(app: Flask, ledger: Ledger, clock: Clock) -> None:
    seeding.a_conversation(ledger, NOW, phone="1")  # its answer is queued, at four minutes before now
    heard(ledger, a_text("hello?"))
    clock.now = later(30)
    found = app.test_client().get("/health").json
    assert (found["oldest_waiting_turn_s"], found["oldest_unsent_message_s"]) == (30.0, 228.0)


def test_an_alarm_makes_it_503(quick_app: Flask, quick_ledger: Ledger) -> None:
    seeding.an_alarm(quick_ledger, NOW)
    answer = quick_app.test_client().get("/health")
    assert (answer.status_code, answer.json["alarms"][0]["name"]) == (503, "signed_out")
    assert set(answer.json["alarms"][0]) == {"name", "words", "since"}


def test_a_feed_that_does_not_look_makes_it_503(quick_app: Flask) -> None:
    with quick_app.app_context():
        feed.feed().stop()
        time.sleep(0.3)
        feed.feed()._looked_at = time.monotonic() - 11
    assert quick_app.test_client().get("/health").status_code == 503


def test_a_database_that_is_not_migrated_or_away_makes_it_503(quick_app: Flask, quick_ledger: Ledger) -> None:
    with quick_ledger.writing() as tx:
        tx.execute(sa.text("DELETE FROM alembic_version"))
    answer = quick_app.test_client().get("/health")
    assert (answer.status_code, "python -m handoff migrate" in answer.json["database"]) == (503, True)
    with quick_ledger.writing() as tx:
        tx.execute(sa.text("DROP TABLE alembic_version"))
        tx.execute(sa.text("ALTER TABLE messages RENAME TO gone"))
    answer = quick_app.test_client().get("/health")
    assert (answer.status_code, answer.json["oldest_waiting_turn_s"]) == (503, None)
