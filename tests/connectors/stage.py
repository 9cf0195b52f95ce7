"""What the tests of the simulator share: a tiny server plays the business, the control API plays the contacts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from connectors.whatsapp.simulator.app import Simulator, serving
from connectors.whatsapp.simulator.exchange import Delays

NUMBER, SECRET, TOKEN = "100200300", "wa-test-secret", "a-token"
MIA, SAM = "447700900101", "447700900102"
HELLO = {"name": "hello_world", "language": {"code": "en_US"}}
QUICK = Delays(sent=0.01, delivered=0.03)
SHORT_PAUSE = 0.25


def wait_for(seen: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Return what `seen` returns as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = seen()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


@dataclass
class Business:
    """Stands where Baton's webhook would: keeps every POST as it came, answers what it is told."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    signatures: list[str | None] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def take(self, body: bytes, signature: str | None) -> int:
        self.bodies.append(body)
        self.signatures.append(signature)
        self.moments.append(time.monotonic())
        return self.answers.pop(0) if self.answers else 200

    def changes(self) -> list[dict[str, Any]]:
        entries = [entry for body in list(self.bodies) for entry in json.loads(body)["entry"]]
        return [change for entry in entries for change in entry["changes"]]

    def values(self) -> list[dict[str, Any]]:
        return [change["value"] for change in self.changes()]

    def messages(self) -> list[dict[str, Any]]:
        return [message for value in self.values() for message in value.get("messages", [])]

    def reports(self) -> list[dict[str, Any]]:
        return [report for value in self.values() for report in value.get("statuses", [])]

    def statuses(self) -> list[str]:
        return [report["status"] for report in self.reports()]


@contextmanager
def a_business() -> Iterator[Business]:
    business = Business()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(business.take(body, self.headers.get("X-Hub-Signature-256")))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            right = asked.get("hub.verify_token") == ["right"] and asked.get("hub.mode") == ["subscribe"]
            body = asked["hub.challenge"][0].encode() if right else b""
            self.send_response(200 if right else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    business.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/whatsapp/webhook"
    try:
        yield business
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Stage:
    """A simulator that runs, and the calls both sides make."""

    base: str
    business: Business

    def send(self, kind: str = "text", to: str = MIA, token: str = TOKEN, **keys: Any) -> requests.Response:
        payload: dict[str, Any] = {"messaging_product": "whatsapp", "to": f"+{to}", "type": kind, **keys}
        if kind == "text":
            payload.setdefault("text", {"body": "Hello"})
        return self.post(payload, token)

    def post(self, payload: Any, token: str = TOKEN, number: str = NUMBER) -> requests.Response:
        return requests.post(
            f"{self.base}/v25.0/{number}/messages",
            json=payload,
            headers={"Authorization": f"Bearer {token}"},
            timeout=5,
        )

    def get(self, path: str, **parameters: str) -> Any:
        return requests.get(f"{self.base}{path}", params=parameters, timeout=5).json()

    def control(self, path: str, body: Any = None) -> requests.Response:
        return requests.post(f"{self.base}/api{path}", json=body or {}, timeout=5)

    def settings(self, **changed: Any) -> None:
        assert self.control("/settings", changed).status_code == 200

    def fault(self, kind: str, **more: Any) -> None:
        answer = self.control("/faults", {"kind": kind, **more})
        assert answer.status_code == 201, answer.text

    def book(self, phone: str = MIA) -> dict[str, Any]:
        return dict(self.get("/api/books", phone=phone)["contacts"][0])

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """A call of the Graph API, with the token."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return requests.request(method, f"{self.base}/v25.0/{path}", headers=headers, timeout=5, **more)

    def upload(self, content: bytes, mime_type: str, number: str = NUMBER) -> requests.Response:
        form, files = {"messaging_product": "whatsapp", "type": mime_type}, {"file": ("file", content, mime_type)}
        return self.call("POST", f"{number}/media", data=form, files=files)

    def write(self, phone: str = MIA, **asked: Any) -> str:
        answer = self.control(f"/contacts/{phone}/messages", asked or {"text": "Hi"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["wamid"])

    def messages(self, phone: str = MIA) -> list[dict[str, Any]]:
        return list(self.get("/api/messages", phone=phone))

    def message(self, wamid: str) -> dict[str, Any]:
        return next(message for message in self.get("/api/messages") if message["wamid"] == wamid)


@contextmanager
def a_stage(business: Business, state: Path | None = None, numbers: tuple[str, ...] = (NUMBER,)) -> Iterator[Stage]:
    simulator = Simulator(numbers, SECRET, TOKEN, business.url, state, delays=QUICK)
    with serving(simulator) as base:
        yield Stage(base, business)


def wamid_of(answer: requests.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["messages"][0]["id"])


def code_of(answer: requests.Response) -> int:
    return int(answer.json()["error"]["code"])


def buttons(titles: list[str], **more: Any) -> dict[str, Any]:
    made = [{"type": "reply", "reply": {"id": f"id-{n}", "title": title}} for n, title in enumerate(titles)]
    return {"type": "button", "body": {"text": "What next?"}, "action": {"buttons": made}, **more}


def a_list(rows: list[dict[str, str]], button: str = "Choose") -> dict[str, Any]:
    return {
        "type": "list",
        "body": {"text": "Pick"},
        "action": {"button": button, "sections": [{"title": "All", "rows": rows}]},
    }


def rows(count: int) -> list[dict[str, str]]:
    return [{"id": f"r{n}", "title": f"Row {n}"} for n in range(count)]


def a_link(text: str = "Open", url: str = "https://fernhill.example") -> dict[str, Any]:
    parameters = {"display_text": text, "url": url}
    return {"type": "cta_url", "body": {"text": "Look"}, "action": {"name": "cta_url", "parameters": parameters}}
