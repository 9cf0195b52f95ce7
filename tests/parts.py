"""The parts a test may need and a machine may lack: Chromium, PostgreSQL. Found, fetched or started here."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import subprocess
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import pytest
import sqlalchemy as sa
from playwright.sync_api import sync_playwright
from sqlalchemy.exc import OperationalError

LOOPBACK = "postgresql://postgres@127.0.0.1:5432/postgres"
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def skip(reason: str, *, needed: bool = True) -> NoReturn:
    """Skip in one line; in CI, where every part must be, fail. Data beside the project is nobody's part."""
    if needed and os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"CI must have this: {reason}", pytrace=False)
    pytest.skip(reason)


@lru_cache
def chromium() -> str | None:
    """Return the path of a Chromium, or None."""
    for name in BROWSERS:
        path = shutil.which(name)
        if path:
            return path
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


class Postgres:
    """A PostgreSQL server to make databases on: named, found, or started for these tests."""

    def __init__(self) -> None:
        self.why_not = ""
        self._own: tuple[str, Path] | None = None
        self.url = self._find()

    def _find(self) -> str | None:
        named = os.environ.get("TEST_DATABASE_URL")
        if named:
            if _answers(named):
                return named
            self.why_not = "TEST_DATABASE_URL names a PostgreSQL that does not answer"
            return None
        # Our own first: it is there in a second, and makes databases five times as fast, for it never waits for a disk.
        return self._start() or (LOOPBACK if _answers(LOOPBACK) else None)

    def _start(self) -> str | None:
        """Start a server of our own in a temporary folder; as nobody if we are root, which initdb refuses."""
        found = shutil.which("initdb") or next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))), None)
        if found is None:
            self.why_not = "no PostgreSQL: none on 127.0.0.1:5432, none in TEST_DATABASE_URL, no initdb to start one"
            return None
        tools = Path(found).parent
        folder = Path(tempfile.mkdtemp(prefix="baton-pg-"))
        user = "nobody" if os.getuid() == 0 else None
        if user:
            shutil.chown(folder, user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        data = folder / "data"
        try:
            subprocess.run(
                [tools / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"],
                check=True,
                user=user,
                cwd=folder,
                capture_output=True,
            )
            options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
            subprocess.run(
                [tools / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start"],
                check=True,
                user=user,
                cwd=folder,
                stdout=subprocess.DEVNULL,
            )
        except (subprocess.CalledProcessError, OSError) as problem:
            self.why_not = f"PostgreSQL is here but would not start ({problem})"
            return None
        self._own = (str(tools / "pg_ctl"), data)
        return f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def stop(self) -> None:
        """End the server, if it is ours."""
        if self._own is not None:
            tool, data = self._own
            user = "nobody" if os.getuid() == 0 else None
            subprocess.run(
                [tool, "-D", data, "-m", "immediate", "stop"],
                user=user,
                cwd=data.parent,
                check=False,
                stdout=subprocess.DEVNULL,
            )
            crashed = [line for line in (data.parent / "log").read_text().splitlines() if "terminated by" in line]
            shutil.rmtree(data.parent, ignore_errors=True)
            assert not crashed, f"PostgreSQL itself went down: {crashed}"

    def make(self, name: str, template: str = "template0") -> str:
        """Make a database, empty or a copy, and return its URL."""
        assert self.url is not None
        self._say(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return str(sa.engine.make_url(self.url).set(database=name).render_as_string(hide_password=False))

    def drop(self, name: str) -> None:
        """Drop it, whoever is still connected."""
        self._say(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _say(self, words: str) -> None:
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", future=True)
        with engine.connect() as connection:
            connection.exec_driver_sql(words)
        engine.dispose()


def _answers(url: str) -> bool:
    engine = sa.create_engine(url, connect_args={"connect_timeout": 3}, future=True)
    try:
        with engine.connect():
            return True
    except OperationalError:
        return False
    finally:
        engine.dispose()


_GIVEN: set[int] = set()


def free_port() -> int:
    """Return a port nobody listens on just now; never the same one twice."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


def eventually(look: object, within_s: float = 10.0, every_s: float = 0.05) -> object:
    """Call `look` until what it returns is true, and return that; the last falsy answer when time is up."""
    assert callable(look)
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(every_s)
