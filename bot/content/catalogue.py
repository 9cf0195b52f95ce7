"""The sentences of data/responses as values that can be queued: for words that belong to a database transaction."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bot.content import kinds
from bot.content.markup import markup
from bot.errors import BadContent, TooLong
from bot.messages import BUTTONS_MAX, CAPTIONED, Buttons, Link, Media, Menu, Outbound, Reply, Text, sendable

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
    image: str = ""
    custom: dict[str, Any] = field(default_factory=dict)  # what Rasa has no word for; see kinds

    @property
    def placeholders(self) -> set[str]:
        """Return the names of the values it needs."""
        rows = [[choice.title, choice.payload] for choice in self.choices]
        said = _strings([self.text, self.image, self.custom, rows])
        return {name for words in said for name in PLACEHOLDER.findall(words)}


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
        try:
            return sendable(_value(response, values))
        except TooLong as error:
            raise BadContent(f"{response.path}: {name}: {error}") from error


def _value(response: Response, values: dict[str, object]) -> Outbound:
    """Return the one message a response is; refuse one that WhatsApp could only show as several."""
    text = _filled(response.text, values)
    custom = _filled(response.custom, values)
    unknown = set(custom) - kinds.KEYS
    if unknown:
        raise TooLong(f"(nobody knows what {', '.join(sorted(unknown))} under `custom:` is)")
    header, footer = str(custom.get("header") or ""), str(custom.get("footer") or "")
    picture = Media("image", link=_filled(response.image, values)) if response.image else None
    asked = [name for name in (*kinds.CARRIERS, *kinds.ALONE) if custom.get(name)]
    if len(asked) + bool(response.choices) > 1:
        both = [*asked, *(["buttons"] if response.choices else [])]
        raise TooLong(f"(one message can't be all of this: {', '.join(both)})")
    if response.choices:
        replies = tuple(Reply(_filled(row.payload, values), _filled(row.title, values)) for row in response.choices)
        return _choosing(replies, text, picture, custom)
    if asked and asked[0] in kinds.CARRIERS:
        carrier = kinds.carrier(asked[0], custom[asked[0]], text, header, footer)
        return _under(picture, carrier)
    if asked:
        return _under(picture, _above(text, kinds.alone(asked[0], custom[asked[0]])))
    if header or footer:
        raise TooLong("(a header or a footer needs buttons, a list, a link or a form)")
    return Text(text) if picture is None else Media("image", link=picture.link, caption=text)


def _choosing(replies: tuple[Reply, ...], text: str, picture: Media | None, custom: dict[str, Any]) -> Outbound:
    header, footer, button = (str(custom.get(name) or "") for name in kinds.FRAME)
    if len(replies) <= BUTTONS_MAX:
        return Buttons(text, replies, header, footer, picture)
    return _under(picture, Menu(text, replies, button or Menu.button, header, footer))


def _under(picture: Media | None, content: Outbound) -> Outbound:
    """Put a picture above what can have one."""
    if picture is None:
        return content
    if not isinstance(content, Link):
        raise TooLong("(a picture stands above one to three buttons, a link, or its own text)")
    return Link(content.text, content.title, content.url, content.header, content.footer, picture)


def _above(text: str, content: Outbound) -> Outbound:
    """Put a text under a picture, film or file; nothing else that stands alone has one."""
    if not text:
        return content
    if not isinstance(content, Media) or content.kind not in CAPTIONED or content.caption:
        raise TooLong("(it has no text of its own; say the text as another response)")
    return Media(content.kind, content.link, caption=text, filename=content.filename, file=content.file)


def _strings(node: Any) -> Iterator[str]:
    match node:
        case str():
            yield node
        case dict():
            for part in node.values():
                yield from _strings(part)
        case list():
            for part in node:
                yield from _strings(part)


def _filled(node: Any, values: dict[str, object]) -> Any:
    """Return it with its values filled in, wherever they stand."""
    match node:
        case str():
            return PLACEHOLDER.sub(lambda found: str(values[found.group(1)]), node)
        case dict():
            return {key: _filled(part, values) for key, part in node.items()}
        case list():
            return [_filled(part, values) for part in node]
        case _:
            return node


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
    said = first if isinstance(first, dict) else {}
    text, image, custom = said.get("text", ""), said.get("image") or "", said.get("custom") or {}
    if not isinstance(text, str) or not (text.strip() or image or custom):
        raise BadContent(f"{path}: {name} needs `- text:` with words")
    if not isinstance(image, str) or not isinstance(custom, dict):
        raise BadContent(f"{path}: {name}: `image:` is a link, `custom:` has names and values under it")
    try:
        choices = tuple(Choice(str(row["title"]), str(row["payload"])) for row in said.get("buttons") or ())
    except (KeyError, TypeError) as error:
        raise BadContent(f"{path}: each button of {name} needs a title and a payload") from error
    return Response(name, markup(text).strip(), choices, path, image, custom)
