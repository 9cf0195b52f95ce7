"""The sentences of data/responses as values that can be queued: for words that belong to a database transaction."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bot.errors import BadContent, TooLong
from bot.messages import BUTTONS_MAX, Buttons, Menu, Outbound, Reply, Text

PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Choice:
    """A choice under a sentence, as the file has it."""

    title: str
    payload: str


@dataclass(frozen=True)
class Response:
    """One sentence the bot, or the desk by itself, can say."""

    name: str
    text: str
    choices: tuple[Choice, ...]
    path: Path

    @property
    def placeholders(self) -> set[str]:
        """Return the names of the values it needs."""
        return set(PLACEHOLDER.findall(self.text))


@dataclass(frozen=True)
class Catalogue:
    """Every sentence by its name; of several variants the first."""

    responses: dict[str, Response]

    @classmethod
    def load(cls, folder: Path) -> Catalogue:
        """Read every file of the folder; refuse what can't be read, naming the file."""
        responses: dict[str, Response] = {}
        for path in sorted(folder.glob("*.yml")):
            for response in _read(path):
                if response.name in responses:
                    raise BadContent(f"{path}: {response.name} is also in {responses[response.name].path.name}")
                responses[response.name] = response
        return cls(responses)

    def say(self, name: str, **values: object) -> Outbound:
        """Return the sentence with its values filled in."""
        response = self.responses.get(name)
        if response is None:
            raise BadContent(f"data/responses has no {name}")
        missing = response.placeholders - set(values)
        if missing:
            raise BadContent(f"{response.path}: {name} needs a value for {{{'}, {'.join(sorted(missing))}}}")
        text = PLACEHOLDER.sub(lambda found: str(values[found.group(1)]), response.text)
        try:
            return _value(text, response.choices)
        except TooLong as error:
            raise BadContent(f"{response.path}: {name}: {error}") from error


def _value(text: str, choices: tuple[Choice, ...]) -> Outbound:
    replies = tuple(Reply(choice.payload, choice.title) for choice in choices)
    if not replies:
        return Text(text)
    return Buttons(text, replies) if len(replies) <= BUTTONS_MAX else Menu(text, replies)


def _read(path: Path) -> Iterator[Response]:
    try:
        content = YAML(typ="safe").load(path)
    except (OSError, YAMLError) as error:
        raise BadContent(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("responses"), dict):
        raise BadContent(f"{path} has no `responses:`")
    for name, variants in content["responses"].items():
        yield _response(path, str(name), variants)


def _response(path: Path, name: str, variants: Any) -> Response:
    first = variants[0] if isinstance(variants, list) and variants else None
    if not isinstance(first, dict) or not isinstance(first.get("text"), str):
        raise BadContent(f"{path}: {name} needs `- text:` with words")
    try:
        choices = tuple(Choice(str(row["title"]), str(row["payload"])) for row in first.get("buttons") or ())
    except (KeyError, TypeError) as error:
        raise BadContent(f"{path}: each button of {name} needs a title and a payload") from error
    return Response(name, first["text"].strip(), choices, path)
