"""Live updates under the real server: gunicorn, many tabs, and a quick end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from flask.testing import FlaskClient

from bot import clock, launch
from bot.ledger import changes
from bot.ledger.transaction import Ledger
from bot.vocabulary import Change
from handoff import live
from tests import parts
from tests.handoff import seeding


@contextmanager
def a_server(url: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The desk as the launcher starts it."""
    base = f"http://127.0.0.1:{parts.free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-m", *launch.DESK.split(), "-b", base.removeprefix("http://"),
         "--log-level", "warning", "handoff.app:create_app()"],
        env=os.environ | {"DATABASE_URL": url},
    )  # fmt: skip
    try:
        ends = time.monotonic() + 30
        while True:
            try:
                if requests.get(f"{base}/health", timeout=2).status_code == 200:
                    break
            except requests.RequestException:
                pass
            assert time.monotonic() < ends and process.poll() is None
            time.sleep(0.1)
        yield base, process
    finally:
        process.kill()
        process.wait()


def sign_in(base: str, ledger: Ledger) -> requests.Session:
    _, password = seeding.an_account_with_password(ledger)
    session = requests.Session()
    session.headers["Origin"] = base
    session.post(f"{base}/signin", data={"email": "ann@fernhill.example", "password": password}, timeout=10)
    return session


def test_changes_reach_open_tabs_and_open_tabs_do_not_delay_the_end(quick_url: str, quick_ledger: Ledger) -> None:
    story = seeding.a_conversation(quick_ledger, clock.now())
    with a_server(quick_url) as (base, process):
        session = sign_in(base, quick_ledger)
        tabs = [session.get(f"{base}/live", stream=True, timeout=30) for _ in range(30)]
        assert all(tab.headers["Content-Type"].startswith("text/event-stream") for tab in tabs)
        lines = [tab.iter_lines(chunk_size=1, decode_unicode=True) for tab in tabs]
        with quick_ledger.writing() as tx:
            changes.note(tx, story.id, Change.NOTE, clock.now())
        said = time.monotonic()
        for tab in lines:
            assert (
                next(line for line in tab if line.startswith("event: conversation"))
                == f"event: conversation-{story.key}"
            )
        assert time.monotonic() - said < 3
        for tab in tabs[:10]:
            tab.close()  # vanished: costs nothing
        assert session.get(f"{base}/", timeout=10).status_code == 200
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(15)
        assert time.monotonic() - told < 6
        assert process.returncode == 0


def test_a_tab_that_comes_again_hears_what_it_missed(browser: FlaskClient, quick_ledger: Ledger) -> None:
    story = seeding.a_conversation(quick_ledger, clock.now())
    with quick_ledger.reading() as tx:
        seen = changes.latest(tx)
    with quick_ledger.writing() as tx:
        changes.note(tx, story.id, Change.MOVE, clock.now())
    told = _first_event(browser, headers={"Last-Event-ID": str(seen)})
    assert (
        told
        == f"id: {seen + 1}\nevent: conversation-{story.key}\ndata: {story.key} move\n\nevent: changed\ndata: 1\n\n"
    )
    assert _first_event(browser, query_string={"since": seen}) == told


def test_a_tab_that_missed_very_much_looks_at_everything(browser: FlaskClient, quick_ledger: Ledger) -> None:
    story = seeding.a_conversation(quick_ledger, clock.now())
    with quick_ledger.writing() as tx:
        for _ in range(live.CATCH_UP_MAX + 1):
            changes.note(tx, story.id, Change.STATUS, clock.now())
    assert "event: everything" in _first_event(browser, query_string={"since": 0})


def test_a_tab_that_was_away_for_longer_than_changes_are_kept_looks_at_everything(
    browser: FlaskClient, quick_ledger: Ledger
) -> None:
    story = seeding.a_conversation(quick_ledger, clock.now())
    with quick_ledger.writing() as tx:
        seen = changes.latest(tx)
        for _ in range(3):
            changes.note(tx, story.id, Change.MOVE, clock.now())
        changes.prune(tx, clock.now() + timedelta(days=1))
    assert "event: everything" in _first_event(browser, query_string={"since": seen})
    assert "event: everything" not in _first_event(browser, query_string={"since": seen + 2})


def test_a_quiet_stream_has_a_heartbeat(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live.HEARTBEAT_S <= 20
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.05)
    assert _first_event(browser).startswith(": still here")


def test_every_signal_a_page_waits_for_is_sent_under_that_name() -> None:
    templates = (Path(live.__file__).parent / "templates").glob("*.html")
    waited = {name for path in templates for name in re.findall(r"sse:([a-z]+)", path.read_text())}
    assert waited == {"changed", "everything", "alarms", "conversation", "looking"}


def _first_event(browser: FlaskClient, **asked: object) -> str:
    answer = browser.get("/live", **asked)  # type: ignore[arg-type]
    stream = iter(answer.response)
    assert b"hello" in next(stream)  # type: ignore[operator]
    told = next(stream)
    answer.close()
    return told.decode() if isinstance(told, bytes) else told
