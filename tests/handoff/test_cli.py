"""The commands print one line, or one sentence why not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from flask import Flask

from tests.handoff.conftest import signed_in


def run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "handoff", *arguments],
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_commands_keep_their_contract(quick_url: str, quick_app: Flask) -> None:
    added = run(
        quick_url, "account", "add", "Ann@Fernhill.example", "--role", "agent", "--name", "Ann Lee", "--keep-password"
    )
    assert (added.returncode, added.stderr) == (0, "")
    found = re.fullmatch(r"(ann@fernhill\.example) (\S{20,})\n", added.stdout)
    assert found
    assert "Ann Lee" in signed_in(quick_app, found[1], found[2]).get("/").text

    again = run(quick_url, "account", "add", "ann@fernhill.example", "--role", "agent")
    assert (again.returncode, again.stdout) == (1, "")
    assert "account reset ann@fernhill.example" in again.stderr

    reset = run(quick_url, "account", "reset", "ann@fernhill.example")
    assert reset.returncode == 0
    email, password = reset.stdout.split()
    assert signed_in(quick_app, email, password).get("/").headers["Location"] == "/password"

    token = run(quick_url, "token", "add", "ann@fernhill.example")
    assert re.fullmatch(r"baton_\S{40,}\n", token.stdout)
    headers = {"Authorization": f"Bearer {token.stdout.strip()}"}
    assert quick_app.test_client().get("/api/v1/conversations", headers=headers).status_code == 200

    assert run(quick_url, "token", "add", "nobody@fernhill.example").returncode == 1
    assert run(quick_url, "account", "disable", "ann@fernhill.example").returncode == 0
    assert quick_app.test_client().get("/api/v1/conversations", headers=headers).status_code == 401


def test_an_unmigrated_database_is_named_with_the_cure_and_then_migrated(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    early = run(url, "account", "add", "ann@fernhill.example", "--role", "agent")
    assert (early.returncode, early.stdout) == (1, "")
    assert early.stderr.count("\n") == 1
    assert "python -m handoff migrate" in early.stderr
    assert run(url, "migrate").returncode == 0
    assert run(url, "migrate").returncode == 0
    assert run(url, "account", "add", "ann@fernhill.example", "--role", "agent").returncode == 0


def test_a_database_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    answer = run("postgresql://nobody@127.0.0.1:1/nothing", "token", "add", "x@y")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("The database can't be used")
    assert answer.stderr.count("\n") == 1


def test_opening_hours_are_shown_changed_and_refused_with_the_way_to_write_them(quick_url: str) -> None:
    assert run(quick_url, "team").stdout == "Service: always (UTC), within 15 minutes, then 30; there now.\n"
    changed = run(
        quick_url, "team", "--zone", "Europe/London", "--hours", "Mon-Fri 9:00-17:30", "--exceptions", "12-25 closed",
        "--within", "20",
    )  # fmt: skip
    told = "Service: Mon-Fri 9:00-17:30, except 12-25 closed (Europe/London), within 20 minutes, then 30; "
    assert changed.stdout.startswith(told)
    wrong = run(quick_url, "team", "--hours", "nine to five")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "Mon-Fri 9:00-17:30" in wrong.stderr and wrong.stderr.count("\n") == 1
    assert run(quick_url, "team").stdout.startswith(told), "nothing was changed"


def test_accounts_are_listed_changed_and_let_in_again(quick_url: str) -> None:
    assert re.fullmatch(r"[a-z0-9]{5}(-[a-z0-9]{5}){2}\n", run(quick_url, "setup-code").stdout)
    run(quick_url, "account", "add", "ada@fernhill.example", "--role", "admin", "--name", "Ada Kim")
    late = run(quick_url, "setup-code")
    assert (late.returncode, "set up already" in late.stderr) == (1, True)
    assert run(quick_url, "account", "list").stdout == "ada@fernhill.example admin active - never Ada Kim\n"
    last = run(quick_url, "account", "role", "ada@fernhill.example", "agent")
    assert (last.returncode, "make somebody else admin first" in last.stderr) == (1, True)
    run(quick_url, "account", "add", "eve@fernhill.example", "--role", "admin", "--name", "Eve")
    assert run(quick_url, "account", "role", "ada@fernhill.example", "agent").returncode == 0
    assert run(quick_url, "account", "disable", "ada@fernhill.example").returncode == 0
    assert "ada@fernhill.example agent disabled - never Ada Kim\n" in run(quick_url, "account", "list").stdout
    assert run(quick_url, "account", "enable", "ada@fernhill.example").returncode == 0
    assert run(quick_url, "account", "totp-off", "ada@fernhill.example").stdout.endswith("it was not on\n")


def test_a_team_is_made_routed_staffed_and_retired_from_the_command_line(quick_url: str) -> None:
    run(quick_url, "account", "add", "ann@fernhill.example", "--role", "agent")
    made = run(
        quick_url, "team", "--name", "Returns", "--add", "--routing", "round_robin", "--capacity", "4",
        "--join", "ann@fernhill.example",
    )  # fmt: skip
    line = "Returns: always (UTC), within 15 minutes, then 30; round robin; at most 4 at once; there now.\n"
    assert (made.stdout, made.stderr) == (line, "")
    assert run(quick_url, "team").stdout.splitlines()[1:] == [line.strip()], "without a name all of them are shown"
    sits = run(quick_url, "account", "seat", "ann@fernhill.example", "--skills", "German, returns", "--capacity", "2")
    assert sits.stdout == "ann@fernhill.example: Returns; 2 at once, has 0; knows german, returns.\n"
    for words, why in (
        (("team", "--name", "Returns", "--capacity", "any"), "say how many"),
        (("team", "--name", "Returns", "--capacity", "lots"), "say a number"),
        (("team", "--name", "returns", "--add"), "there is a team named Returns"),
        (("team", "--name", "Nowhere"), "there is Service, Returns"),
        (("team", "--retire"), "rename it instead"),
    ):
        refused = run(quick_url, *words)
        assert (refused.returncode, refused.stdout) == (1, "") and why in refused.stderr, words
    assert run(quick_url, "team", "--name", "Returns", "--retire").stdout == "Returns is retired.\n"
