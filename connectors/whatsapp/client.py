"""The only file that calls Meta: one pooled session, a time-out on every call, answers sorted into errors."""

from __future__ import annotations

from typing import Any

import requests

from connectors.whatsapp.errors import NotConnected, Unreachable, error_of

TIMEOUT_S = (2.5, 8)  # to connect, and between two bytes; see outbox.LEASE


class CloudApi:
    """Meta's WhatsApp Cloud API, or whatever WHATSAPP_API_URL names."""

    def __init__(self, url: str, version: str, access_token: str) -> None:
        self._base = f"{url}/{version}"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {access_token}"

    def send(self, phone_number_id: str, body: dict[str, Any]) -> str:
        """Send one message and return its wamid; raises a WhatsAppError by kind."""
        answer = self._post(f"/{phone_number_id}/messages", body)
        try:
            return str(answer["messages"][0]["id"])
        except (KeyError, IndexError, TypeError) as problem:
            raise Unreachable("HTTP 200 without a message id") from problem

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            response = self._session.post(self._base + path, json=body, timeout=TIMEOUT_S, allow_redirects=False)
        except (requests.ConnectTimeout, requests.exceptions.SSLError) as problem:
            raise NotConnected(f"can't connect ({type(problem).__name__})") from problem
        except requests.ConnectionError as problem:
            raise _connection_lost(problem) from problem
        except requests.RequestException as problem:
            raise Unreachable(f"no answer ({type(problem).__name__})") from problem
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.status_code != 200 or not isinstance(answer, dict) or "error" in answer:
            raise error_of(response.status_code, answer)
        return answer


def _connection_lost(problem: requests.ConnectionError) -> NotConnected | Unreachable:
    """Tell a refused connection, where nothing was sent, from one that broke in the middle."""
    if "NewConnectionError" in repr(problem) or "NameResolutionError" in repr(problem):
        return NotConnected("can't connect")
    return Unreachable("the connection broke before the answer came")
