"""Every answer of the API in every test is what its description says, or the test fails."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask, Response, request
from jsonschema import Draft202012Validator
from jsonschema.validators import RefResolver

from handoff.openapi.document import BASE, document
from handoff.openapi.schemas import Schema

UNSAID = {405}  # for what is no call at all; a file's ranges are the server's matter


def path_of(rule: str) -> str:
    """Flask's rule as OpenAPI writes it."""
    return re.sub(r"<(?:\w+:)?(\w+?)_?>", r"{\1}", rule.removeprefix(BASE))


def watch(app: Flask) -> None:
    """Look at every answer of the API."""
    app.extensions["undescribed"] = []

    @app.after_request
    def look(response: Response) -> Response:
        if request.path.startswith(f"{BASE}/") and request.url_rule is not None:
            found = wrong_with(request.url_rule.rule, request.method, response)
            if found:
                app.extensions["undescribed"].append(f"{request.method} {request.path} {response.status_code}: {found}")
        return response


def wrong_with(rule: str, method: str, response: Response) -> str:
    """Say what an answer has that its description has not; "" for nothing."""
    if method in {"HEAD", "OPTIONS"} or response.status_code in UNSAID:
        return ""
    operation = document()["paths"].get(path_of(rule), {}).get(method.lower())
    if operation is None:
        return "there is no such call in the description"
    told = operation["responses"].get(str(response.status_code))
    if told is None:
        is_a_file = "*/*" in operation["responses"].get("200", {}).get("content", {})
        return "" if is_a_file and response.status_code in {206, 304, 416} else "it has no such status"
    contents = told.get("content", {})
    if not contents:
        return "" if not response.get_data() else "it should have no body"
    if "*/*" in contents:
        return ""
    if response.mimetype not in contents:
        return f"it is {response.mimetype}"
    if response.mimetype != "application/json":
        return ""
    return broken(contents["application/json"]["schema"], response.get_json())


def broken(schema: Schema, value: Any) -> str:
    """Say in which way a value is not what a schema says."""
    validator = Draft202012Validator(schema, resolver=RefResolver("", document()))
    problem = next(iter(validator.iter_errors(value)), None)
    return "" if problem is None else f"{list(problem.absolute_path)}: {problem.message}"
