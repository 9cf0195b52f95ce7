"""The whole description, put together."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from bot.vocabulary import Happening
from handoff.openapi.operation import Operation
from handoff.openapi.operations import CONVERSATIONS, DESK, MESSAGES
from handoff.openapi.outside import HANDOFFS, HOOKS
from handoff.openapi.schemas import SCHEMAS, ref

BASE = "/api/v1"
OPERATIONS: list[Operation] = [*CONVERSATIONS, *MESSAGES, *HANDOFFS, *HOOKS, *DESK]
ABOUT = (
    "The desk from a script. Send a token: Authorization: Bearer …. What is refused is said as a word for programs "
    "and a sentence for people. Ids are opaque, times ISO 8601 in UTC."
)


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """Return it as OpenAPI 3.1."""
    paths: dict[str, Any] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method] = one.described()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Baton", "version": "1", "description": ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": BASE}],
        "paths": paths,
        "webhooks": {one.value: {"post": _told(one)} for one in Happening},
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _told(kind: Happening) -> dict[str, Any]:
    return {
        "summary": f"A hook is told of {kind.value}",
        "requestBody": {"content": {"application/json": {"schema": ref("Happening")}}},
        "responses": {"2XX": {"description": "You have it; anything else, and it is told again."}},
    }
