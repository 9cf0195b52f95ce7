"""The API, to read: every call with an example for the command line, from the same description programs get."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, render_template, request

from handoff import guard
from handoff.openapi.document import ABOUT, BASE, OPERATIONS, document
from handoff.openapi.operation import MEANINGS, Operation
from handoff.openapi.schemas import SCHEMAS, Schema

blueprint = Blueprint("reference", __name__)

EXAMPLES: dict[str, Any] = {
    "post_conversations_key_snooze": {"until": "2026-12-01T09:00:00+00:00", "tell": True},
    "put_conversations_key_tags": {"tags": ["refund", "vip"]},
    "post_conversations_key_file": {"file": "lamp.jpg", "caption": "The new one"},
    "post_conversations_key_give_back": {"outcome": "solved", "summary": "A new parcel goes out."},
    "post_handoffs": {
        "channel": "webchat",
        "conversation_id": "c-4711",
        "name": "Mia Turner",
        "reason": "asked",
        "wish": "My lamp came broken",
        "slots": {"order_number": "FH10482"},
        "transcript": [
            {"author": "contact", "text": "My lamp came broken"},
            {"author": "bot", "text": "I am sorry. Shall I pass you to a person?"},
            {"author": "contact", "text": "yes please"},
        ],
    },
    "post_handoffs_id_messages": {"id": "m-17", "text": "It is the green one"},
    "post_hooks": {"url": "https://bot.example/baton", "events": ["message.created", "handoff.closed"]},
    "post_availability": {"available": False},
    "post_conversations_key_transfer": {"to": "ben@fernhill.example", "note": "She needs the Leeds store"},
    "post_conversations_key_template": {"name": "answer_ready", "language": "en", "blanks": ["Mia"]},
}


@dataclass(frozen=True)
class Field:
    """One key of what is sent or answered."""

    name: str
    what: str
    must: bool
    says: str


@dataclass(frozen=True)
class Shown:
    """One call, as the page shows it."""

    id: str
    method: str
    path: str
    summary: str
    says: str
    scope: str
    keyed: bool
    query: list[Field]
    body: list[Field]
    answers: list[tuple[int, str]]
    refusals: list[tuple[int, str, str]]
    example: str


@blueprint.get("/api")
@guard.for_everybody
def page() -> str:
    """Show every call."""
    tags: dict[str, list[Shown]] = {}
    for one in OPERATIONS:
        tags.setdefault(one.tag, []).append(_shown(one))
    things = {name: _fields(schema) for name, schema in SCHEMAS.items()}
    return render_template("api.html", about=ABOUT, tags=tags, things=things, base=BASE, told=list(_told()))


def _told() -> list[str]:
    return list(document()["webhooks"])


def _shown(one: Operation) -> Shown:
    return Shown(
        id=one.id,
        method=one.method.upper(),
        path=one.path,
        summary=one.summary,
        says=one.says,
        scope=one.scope.value if one.scope else "",
        keyed=one.keyed,
        query=[Field(name, _kind(schema), False, _says(schema)) for name, schema in one.query.items()],
        body=_fields(one.body) if one.body is not None else [],
        answers=[(status, _kind(schema) if schema else "") for status, schema in one.answers.items()],
        refusals=[
            (status, ", ".join(sorted(set(words))), MEANINGS[status])
            for status, words in sorted(one.refusals().items())
            if status not in {401, 503}
        ],
        example=_example(one),
    )


def _fields(schema: Schema) -> list[Field]:
    must = set(schema.get("required", ()))
    return [
        Field(name, _kind(one), name in must, _says(one)) for name, one in schema.get("properties", {}).items()
    ]  # fmt: skip


def _says(schema: Schema) -> str:
    return str(schema.get("description", ""))


def _kind(schema: Schema) -> str:
    """Say in a few words what it is."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _sent(one: Operation, body: dict[str, Any]) -> list[str]:
    if one.body_type == "application/json":
        return ["-H 'Content-Type: application/json'", f"-d '{json.dumps(body, ensure_ascii=False)}'"]
    return [f"-F '{name}={'@' if name == 'file' else ''}{value}'" for name, value in body.items()]


def _example(one: Operation) -> str:
    """Return a command line that does it."""
    lines = ["curl"]
    if one.method != "get":
        lines = [f"curl -X {one.method.upper()}"]
    if one.scope is not None:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if one.keyed:
        lines.append('-H "Idempotency-Key: $(uuidgen)"')
    if one.body is not None:
        lines += _sent(one, EXAMPLES.get(one.id, {"text": "Hello"}))
    path = re.sub(r"{(\w+?)(?:_id|_)?}", lambda found: f"${found[1].upper()}", one.path)
    lines.append(f'"{request.host_url.rstrip("/")}{BASE}{path}"')
    return " \\\n  ".join(lines)
