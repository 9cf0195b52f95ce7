"""A whole running Baton for tests: what a newcomer starts, on free ports and in a home of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import requests

from bot.settings import ROOT
from tests import discreet, trained
from tests.connectors.openapi import recorder
from tests.parts import eventually, free_port

READY_WITHIN_S = 240
NOT_OURS = ("WHATSAPP_", "DATABASE_URL", "BACKOFFICE_URL", "ALERT_WEBHOOK_URL", "BATON_")


class House:
    """Everything `make up` starts, driven over HTTP only."""

    def __init__(self, home: Path, database_url: str = "", *, command: str = "up", **env: str) -> None:
        self.home = home
        ports = {name: free_port() for name in ("RASA_PORT", "ACTIONS_PORT", "DESK_PORT", "SIMULATOR_PORT")}
        self.webhook_url = f"http://127.0.0.1:{ports['RASA_PORT']}/webhooks/whatsapp/webhook"
        self.ready_url = f"http://127.0.0.1:{ports['RASA_PORT']}/webhooks/whatsapp/ready"
        self.desk_url = f"http://127.0.0.1:{ports['DESK_PORT']}"
        self.phone_url = f"http://127.0.0.1:{ports['SIMULATOR_PORT']}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)}
        self.env = {
            **clean,
            **{name: str(port) for name, port in ports.items()},
            "BATON_HOME": str(home),
            **({"DATABASE_URL": database_url} if database_url else {}),
            **env,
        }
        self.env.pop("MAKELEVEL", None)
        self._command = command
        self.said: list[str] = []
        self._tokens: dict[str, str] = {}

    def start(self, ready: str = "Baton is ready") -> House:
        """Start, and wait until it says that it is ready."""
        lend_model(self.home)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bot", self._command],
            env=self.env, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        started = eventually(
            lambda: ready in self.words or self.process.poll() is not None, within_s=READY_WITHIN_S, every_s=0.2
        )
        if not started or ready not in self.words:
            self.stop()
            raise AssertionError(f"Baton did not start:\n{self.words}\n{self.last_words()}")
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)

    @property
    def words(self) -> str:
        """What the command has printed so far."""
        return "".join(self.said)

    def last_words(self) -> str:
        """The ends of the logs, for a failing test."""
        logs = sorted((self.home / "logs").glob("*.log"))
        ends = (f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)
        return "\n".join((self.health(), *ends))

    def health(self) -> str:
        """What the desk says of how everybody is, for a failing test."""
        try:
            return requests.get(f"{self.desk_url}/health", timeout=10).text
        except OSError as error:
            return f"the desk does not say: {error}"

    def stop(self, signum: int = signal.SIGTERM) -> float:
        """Stop; return the seconds it took. What was sent must have been as Meta wants it, and no log tells of it."""
        complaints, said = list[str](), set[str]()
        if self._has_phones():
            complaints = recorder.complaints_of(self.phone_url)
            found = requests.get(f"{self.phone_url}/api/messages", timeout=20).json()
            said = {message["text"] for message in found if message["text"]}
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signum)
            self.process.wait(60)
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        assert not complaints, complaints
        indiscreet = discreet.indiscretions_in(self.home / "logs", said)
        assert not indiscreet, f"a log line names a contact or quotes a message: {indiscreet[0][:600]}"
        return time.monotonic() - started

    def _has_phones(self) -> bool:
        try:
            return requests.get(f"{self.phone_url}/health", timeout=5).status_code == 200
        except OSError:
            return False

    def accounts(self) -> dict[str, str]:
        """The demo accounts and their passwords, as printed."""
        return dict(re.findall(r"(\S+@fernhill\.example)\s+(\S+)", self.words))

    def token(self, email: str = "ann@fernhill.example") -> str:
        """A bearer token that acts as this account."""
        if email not in self._tokens:
            said = subprocess.run(
                [sys.executable, "-m", "handoff", "token", "add", email],
                env=self.env, cwd=ROOT, text=True, capture_output=True, check=True,
            )  # fmt: skip
            self._tokens[email] = said.stdout.strip()
        return self._tokens[email]

    # --- the contact

    def new_contact(self, phone: str, name: str) -> None:
        """Give the simulator one more phone."""
        requests.post(
            f"{self.phone_url}/api/contacts", json={"phone": phone, "name": name}, timeout=10
        ).raise_for_status()

    def writes(self, phone: str, words: str) -> str:
        """A contact writes; return the wamid."""
        return self._phone(phone, {"text": words})

    def _phone(self, phone: str, body: dict[str, Any]) -> str:
        answer = requests.post(f"{self.phone_url}/api/contacts/{phone}/messages", json=body, timeout=10)
        answer.raise_for_status()
        return str(answer.json()["wamid"])

    def taps(self, phone: str, title: str) -> str:
        """A contact taps the button or row of this title, on the newest message that has it."""
        for message in reversed(self.chat(phone)):
            for reply in message["replies"] if message["direction"] == "out" else ():
                if reply["title"] == title:
                    return self._phone(phone, {"tap": reply["id"], "title": title, "to": message["wamid"]})
        raise AssertionError(f"nothing to tap says {title!r}")

    def chat(self, phone: str) -> list[dict[str, Any]]:
        """What the phone shows, oldest first."""
        return list(requests.get(f"{self.phone_url}/api/messages", params={"phone": phone}, timeout=10).json())

    def heard(self, phone: str) -> list[str]:
        """What the contact got from the business."""
        return [message["text"] for message in self.chat(phone) if message["direction"] == "out"]

    def hears(self, phone: str, pattern: str, *, after: int = 0, within_s: float = 30) -> str:
        """Wait for a message that matches, behind the first `after` ones; return it."""

        def look() -> str | None:
            return next((text for text in self.heard(phone)[after:] if re.search(pattern, text, re.I | re.S)), None)

        found = eventually(look, within_s)
        assert found, f"never heard {pattern!r}; the phone has {self.heard(phone)}\n{self.last_words()}"
        return str(found)

    # --- the agent

    def api(self, method: str, path: str, *, who: str = "ann@fernhill.example", **more: Any) -> requests.Response:
        """Call the desk's API as this account."""
        headers = {"Authorization": f"Bearer {self.token(who)}", **more.pop("headers", {})}
        answers: list[requests.Response] = []
        eventually(lambda: _ask(answers, method, f"{self.desk_url}/api/v1{path}", headers=headers, **more), 30, 0.3)
        assert answers, "the desk does not answer"
        return answers[0]

    def conversations(self, holder: str) -> list[dict[str, Any]]:
        """The desk's list."""
        return list(self.api("GET", "/conversations", params={"holder": holder}).json())

    def conversation_with(self, phone: str, holder: str, within_s: float = 20) -> dict[str, Any]:
        """Wait until this contact's conversation is with that holder."""

        def look() -> dict[str, Any] | None:
            return next((c for c in self.conversations(holder) if c["contact"]["phone"] == phone), None)

        found = eventually(look, within_s)
        assert isinstance(found, dict), f"{phone} is not with the {holder}"
        return found

    def messages(self, key: str) -> list[dict[str, Any]]:
        """The transcript."""
        return list(self.api("GET", f"/conversations/{key}/messages").json())

    # --- the machine

    def pid_of(self, name: str) -> int:
        """The process of that name, found by what it runs and whose child it is; its runner may just bring it back."""
        found = eventually(lambda: self._pid_of(name), 30)
        assert found, f"{name} does not run"
        return int(found)

    def _pid_of(self, name: str) -> int:
        marks = {
            "door": "whatsapp receive", "rasa": "-m rasa run", "actions": "-m rasa_sdk", "desk": "-m gunicorn",
            "sender": "whatsapp send", "watch": "handoff watch", "simulator": "whatsapp simulate",
        }  # fmt: skip
        runner = _children(self.process.pid)
        assert runner, "there is no process runner"
        for pid in _children(runner[0]):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if marks[name] in command:
                return pid
        return 0

    def kill(self, name: str) -> int:
        """kill -9; return the pid that was."""
        pid = self.pid_of(name)
        os.kill(pid, signal.SIGKILL)
        return pid


def _ask(answers: list[requests.Response], method: str, url: str, **more: Any) -> bool:
    """Call once; say whether anybody answered: nobody does in the seconds after a kill. A refusal is an answer."""
    try:
        answers.append(requests.request(method, url, timeout=15, **more))
    except (requests.ConnectionError, requests.Timeout):
        return False
    return True


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()]


def lend_model(home: Path) -> None:
    """Train once for all tests (and for `make up`), and give each house a copy."""
    model = trained.model()
    there = home / "models" / model.name
    if not there.exists():
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(model, there)
