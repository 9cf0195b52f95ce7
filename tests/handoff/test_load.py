"""The load run in small: contacts, agents and the watch through a real desk, watched by the database itself."""

from __future__ import annotations

import pytest

from tests.bench import queue


def test_agents_who_do_as_they_like_break_no_promise_and_share_no_contact(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    size = queue.Size(contacts=40, people=6, rivals=8, seconds=4, desks=1)
    assert queue.run("small", database_url, size), capsys.readouterr().out
