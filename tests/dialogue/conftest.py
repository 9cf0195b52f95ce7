"""One bot for all transcripts: the trained model in this process, the real action server beside it, a real ledger."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from bot.ledger.transaction import Ledger
from bot.settings import ROOT
from tests.dialogue.stage import Shop, Stage
from tests.trained import model


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Stage]:
    """Everything a transcript needs, started once; each transcript has contacts of its own."""
    home = tmp_path_factory.mktemp("stage")
    database = home / "ledger.db"
    database.write_bytes(sqlite_template.read_bytes())
    shop = Shop(home / "shop.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "DATABASE_URL": f"sqlite:///{database}",
        "BATON_HOME": str(home),
        "BACKOFFICE_URL": shop.url,
        "ACTIONS_PORT": str(port),
    }
    path = model()  # before the home changes: models are kept in the real one
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    log = (home / "actions.log").open("w")
    actions = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "rasa_sdk", "--actions", "actions", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "SANIC_HOST": "127.0.0.1"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        ledger = Ledger(settings["DATABASE_URL"])
        found = Stage(path, ledger, shop, home)
        _wait_for(f"http://127.0.0.1:{port}/health", actions)
        yield found
        found.close()
        ledger.close()
    finally:
        actions.terminate()
        actions.wait(20)
        log.close()
        shop.close()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture
def salt() -> str:
    """Something of its own for each transcript."""
    return secrets.token_hex(4)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if process.poll() is not None:
            pytest.fail("the action server ended")
        try:
            if requests.get(url, timeout=1).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    pytest.fail("the action server did not begin")
