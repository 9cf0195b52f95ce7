"""Every body the tests send is validated: what goes through our client, and what reached a simulator.

`listening` and `every_body_is_valid` are fixtures for every test: tests/conftest.py imports both. The journeys, whose
sender is another process, call `complaints_of` with the simulator's address before it goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator

from connectors.whatsapp.client import CloudApi
from tests.connectors.openapi.ours import OURS
from tests.connectors.openapi.patches import patched

_complaints: list[str] = []
_seen: set[str] = set()  # validated already, so that a bench of one message costs one validation


def complaints(body: Any) -> list[str]:
    """Return what either schema has against a body; nothing if it is valid."""
    schemas = {"ours": OURS, "Meta's": patched()}
    return [
        f"{whose}: {_why(schema, body)}\n  in {json.dumps(body)[:600]}"
        for whose, schema in schemas.items()
        if schema is not None and not schema.is_valid(body)
    ]


def _why(schema: Draft202012Validator, body: Any) -> str:
    """Return the complaint that lies deepest: a message may be of many kinds, and is none of the others either."""
    found = list(schema.iter_errors(body))
    for error in found:
        found.extend(error.context or ())
    error = max(found, key=lambda cause: (len(cause.absolute_path), cause.validator not in {"oneOf", "anyOf", "const"}))
    return f"{error.json_path}: {error.message[-200:]}"


def _note(body: Any) -> None:
    said = json.dumps({**body, "biz_opaque_callback_data": ""} if isinstance(body, dict) else body, sort_keys=True)
    if said not in _seen:
        _complaints.extend(complaints(body))
        _seen.add(said)


@contextmanager
def listened_to() -> Iterator[None]:
    """Validate what the client sends, in whatever thread."""
    asked = CloudApi._asked

    def ask_listened_to(self: CloudApi, method: str, path: str, **more: Any) -> Any:
        if method == "POST" and path.endswith("/messages"):
            _note(more.get("json"))
        return asked(self, method, path, **more)

    CloudApi._asked = ask_listened_to  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        CloudApi._asked = asked  # type: ignore[method-assign]


@pytest.fixture(scope="session", autouse=True)
def listening() -> Iterator[None]:
    """Listen from the first test to the last; what came after its test's end is found at the last."""
    with listened_to():
        yield
    assert not _complaints, "\n".join(_complaints)


@pytest.fixture(autouse=True)
def every_body_is_valid(listening: None) -> Iterator[None]:
    """Fail the test in which a body was sent that WhatsApp would refuse."""
    yield
    found, _complaints[:] = list(_complaints), []
    assert not found, "\n".join(found)


def bodies_sent_to(simulator_url: str) -> list[Any]:
    """Return every body that Baton posted as a message to a simulator."""
    calls = requests.get(f"{simulator_url}/api/requests", timeout=10).json()
    return [call["body"] for call in calls if call["method"] == "POST" and call["path"].endswith("/messages")]


def complaints_of(simulator_url: str) -> list[str]:
    """Return what is wrong with what was sent to a simulator."""
    return [complaint for body in bodies_sent_to(simulator_url) for complaint in complaints(body)]
