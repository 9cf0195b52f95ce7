"""Starting: what can't start says so in a sentence and leaves nothing running; what runs ends when told to."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from bot.settings import ROOT, Settings
from connectors.whatsapp.simulator.app import Simulator, serving
from tests.journeys.house import House, lend_model
from tests.parts import eventually, free_port

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("WHATSAPP_", "BATON_", "DATABASE_"))}
SECRETS = {
    "WHATSAPP_PHONE_NUMBER_ID": "100200300",
    "WHATSAPP_APP_SECRET": "the app secret",
    "WHATSAPP_ACCESS_TOKEN": "the token",
    "WHATSAPP_VERIFY_TOKEN": "the phrase",
}


def run(command: str, home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    ports = {name: str(free_port()) for name in ("RASA_PORT", "ACTIONS_PORT", "DESK_PORT", "SIMULATOR_PORT")}
    return subprocess.run(
        [sys.executable, "-m", "bot", command], cwd=ROOT, env={**CLEAN, **ports, "BATON_HOME": str(home), **env},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def left_running(home: Path) -> list[str]:
    """Every process that still has this home in its environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if str(home).encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_a_port_in_use_is_named_with_the_cure(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = run("up", tmp_path, DESK_PORT=str(port))
    assert said.returncode == 1
    assert f"port {port} is in use" in said.stderr and f"DESK_PORT={port + 1}" in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1
    assert left_running(tmp_path) == []


@pytest.mark.parametrize("missing", list(SECRETS))
def test_a_missing_secret_is_named_before_anything_starts(tmp_path: Path, missing: str) -> None:
    said = run("serve", tmp_path, **{name: value for name, value in SECRETS.items() if name != missing})
    assert said.returncode == 1
    assert re.findall(r"^  (WHATSAPP_\w+):", said.stderr, re.M) == [missing]
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("name", "value"), [("DESK_PORT", "eighty"), ("DATABASE_URL", "mysql://x"), ("WHATSAPP_API_URL", "x")]
)
def test_a_setting_that_can_not_be_used_is_named(tmp_path: Path, name: str, value: str) -> None:
    said = run("up", tmp_path, **{name: value})
    assert said.returncode == 1 and name in said.stderr and "Traceback" not in said.stderr


def test_a_process_that_can_not_start_stops_everything_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "simulator.db").write_text("this is no database" * 100)
    lend_model(tmp_path)
    said = run("up", tmp_path)
    assert said.returncode == 1 and "simulator" in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1
    assert eventually(lambda: left_running(tmp_path) == []), left_running(tmp_path)


def test_serve_answers_on_the_cloud_api_it_is_given_and_stops_within_15_s_of_sigterm(tmp_path: Path) -> None:
    house = House(tmp_path, command="serve", **SECRETS)
    simulator = Simulator(("100200300",), "the app secret", "the token", house.webhook_url)
    with serving(simulator) as url:
        house.env["WHATSAPP_API_URL"] = house.phone_url = url
        house.start("Baton is serving")
        challenge = {"hub.mode": "subscribe", "hub.verify_token": "the phrase", "hub.challenge": "42"}
        assert requests.get(house.webhook_url, params=challenge, timeout=10).text == "42"
        calls = requests.get(f"{url}/api/requests", timeout=5).json()
        assert calls == [], "starting makes no call to Meta"
        house.writes("447700900103", "hello")
        house.hears("447700900103", "bot")
        house.writes("447700900103", "where is my order FH10482")
        house.hears("447700900103", "person|people|colleague|team", after=1)
        assert requests.get(f"{house.desk_url}/health", timeout=5).status_code == 200
        took = house.stop(signal.SIGTERM)
    assert took < 15
    assert house.process.returncode == 0
    assert left_running(tmp_path) == []


def test_everything_ends_with_the_one_that_started_it_even_if_that_is_killed(tmp_path: Path) -> None:
    house = House(tmp_path).start()
    assert len(left_running(tmp_path)) > 5
    assert oct((tmp_path / "demo.json").stat().st_mode)[-3:] == "600"
    passwords = house.accounts()
    house.stop(signal.SIGKILL)
    assert eventually(lambda: left_running(tmp_path) == [], within_s=20), left_running(tmp_path)

    started = time.monotonic()
    again = House(tmp_path).start()
    assert time.monotonic() - started < 120
    assert again.accounts() == passwords, "the second start shows the same accounts"
    assert "Training" not in again.words, "the trained model is reused"
    assert again.stop(signal.SIGINT) < 15
    assert left_running(tmp_path) == []


def test_told_to_stop_while_it_trains_it_stops_at_once(tmp_path: Path) -> None:
    ports = {name: str(free_port()) for name in ("RASA_PORT", "ACTIONS_PORT", "DESK_PORT", "SIMULATOR_PORT")}
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "up"], cwd=ROOT, env={**CLEAN, **ports, "BATON_HOME": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        assert any("Training" in line for line in iter(process.stdout.readline, ""))
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        said = process.stdout.read()
    assert process.wait(20) == 0 and time.monotonic() - started < 15
    assert said.strip().endswith("Stopped")
    assert left_running(tmp_path) == []


def test_a_training_that_fails_says_why_in_a_sentence(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".baton", ".git", "__pycache__", ".*_cache"))
    (copy / "data" / "rules" / "stores.yml").write_text('version: "3.1"\nrules:\n- rule: broken\n  steps: nonsense\n')
    said = subprocess.run(
        [sys.executable, "-m", "bot", "train"], cwd=copy, env={**CLEAN, "BATON_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert said.returncode == 1
    assert "Traceback" not in said.stderr and "stores.yml" in said.stderr, said.stderr
    assert len(said.stderr.strip().splitlines()) == 1


def test_a_database_that_does_not_answer_is_a_sentence(tmp_path: Path) -> None:
    said = run("up", tmp_path, DATABASE_URL=f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere")
    assert said.returncode == 1 and "database" in said.stderr and "Traceback" not in said.stderr, said.stderr
    assert len(said.stderr.strip().splitlines()) == 1


def test_every_setting_is_in_the_example_file_and_nothing_else_is() -> None:
    source = (ROOT / "bot" / "settings.py").read_text()
    read = set(re.findall(r'(?:text|many|port|url|yes|number|mail|emails?|template)\("([A-Z0-9_]+)"', source))
    written = set(re.findall(r"^([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.M))
    assert read == written


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("DESK_PORT=8123\nRASA_PORT=5123\n")
    settings = Settings.from_env({"DESK_PORT": "9123"}, file)
    assert (settings.desk_port, settings.rasa_port) == (9123, 5123)
