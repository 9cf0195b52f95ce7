"""One call of the API, described once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from handoff.openapi.schemas import Schema, maybe
from handoff.refusals import STATUS_OF
from handoff.roles import Scope

BY_FLASK = {"no_token": 401, "not_found": 404, "service_unavailable": 503}
STATUSES = {word: status for status, word in STATUS_OF.values()} | BY_FLASK
MEANINGS = {
    400: "Something in it can't be used; the message says what.",
    401: "No token, or one that is good for nothing any more.",
    403: "The account's role, or the token's scopes, do not allow it; or somebody else has the conversation.",
    404: "There is no such thing.",
    409: "Not as things stand now.",
    413: "The body is too large.",
    422: "It can be read, but not be done.",
    503: "The database is away and nothing was changed; try again in a few seconds.",
}


@dataclass(frozen=True)
class Operation:
    """One call: what it takes, what it answers, what it refuses."""

    method: str
    path: str  # under /api/v1
    summary: str
    tag: str
    scope: Scope | None  # None: anybody may call it
    answers: Mapping[int, Schema | None]  # None: without a body
    body: Schema | None = None
    errors: tuple[str, ...] = ()  # words; those that every call has are not named
    query: dict[str, Schema] = field(default_factory=dict)
    keyed: bool = False  # it takes an Idempotency-Key
    headers: dict[str, str] = field(default_factory=dict)  # of its answer, and what they say
    also: dict[str, Schema] = field(default_factory=dict)  # other media types of its answer
    says: str = ""

    @property
    def id(self) -> str:
        """Return a name for programs that are made from the document."""
        parts = [one.strip("{}") for one in self.path.strip("/").replace(".json", "").split("/")]
        return "_".join([self.method, *parts])

    def described(self) -> dict[str, Any]:
        """Return it as OpenAPI has it."""
        told: dict[str, Any] = {
            "operationId": self.id,
            "summary": self.summary,
            "tags": [self.tag],
            "security": [] if self.scope is None else [{"token": [self.scope.value]}],
            "responses": self._responses(),
        }
        if self.says:
            told["description"] = self.says
        parameters = self._parameters()
        if parameters:
            told["parameters"] = parameters
        if self.body is not None:
            told["requestBody"] = {"required": True, "content": {"application/json": {"schema": self.body}}}
        return told

    def _parameters(self) -> list[dict[str, Any]]:
        names = [one.strip("{}") for one in self.path.split("/") if one.startswith("{")]
        found: list[dict[str, Any]] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
        found += [{"name": name, "in": "query", "schema": schema} for name, schema in self.query.items()]
        if self.keyed:
            key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
            said = "the same key again does nothing twice and answers the same"
            found.append({"name": "Idempotency-Key", "in": "header", "schema": key, "description": said})
        return found

    def _responses(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for status, schema in self.answers.items():
            told[str(status)] = {"description": self.summary}
            contents = ({"application/json": schema} if schema is not None else {}) | self.also
            if contents:
                told[str(status)]["content"] = {kind: {"schema": one} for kind, one in contents.items()}
            if self.headers:
                headers = {
                    name: {"description": says, "schema": {"type": "string"}} for name, says in self.headers.items()
                }
                told[str(status)]["headers"] = headers
        for status, words in sorted(self.refusals().items()):
            error = _refusal(words, status)
            told[str(status)] = {"description": MEANINGS[status], "content": {"application/json": {"schema": error}}}
            if status == 503:
                told["503"]["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}
        return told

    def refusals(self) -> dict[int, list[str]]:
        """Return the words it may refuse with, by status."""
        words = [*self.errors, "service_unavailable"]
        if self.scope is not None:
            words += ["no_token", "scope_missing"]
        if self.body is not None:
            words.append("bad_body")
        found: dict[int, list[str]] = {413: ["too_long"]} if self.body is not None else {}
        for word in words:
            found.setdefault(STATUSES[word], []).append(word)
        return found


def _refusal(words: list[str], status: int) -> Schema:
    """A word for programs, a sentence for people; and where somebody else has the conversation, who."""
    holder: dict[str, Schema] = {}
    if status in {403, 409}:
        holder = {"holder": {"type": "string"}, "holder_name": maybe({"type": "string"})}
    return {
        "type": "object",
        "properties": {
            "error": {"type": "string", "enum": sorted(set(words))},
            "message": {"type": "string"},
            **holder,
        },
        "required": ["error", "message"],
        "additionalProperties": False,
    }
