"""A vCard, read as far as it goes: whatever is odd in it costs its own line. Pure."""

from __future__ import annotations

import quopri
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from bot import messages as says
from connectors.whatsapp import loose

LONGEST = 256 * 1024  # signs of a vCard; a portrait in it has most of them
MANY = 20  # numbers, addresses … of one person
WANTED = {"FN", "N", "ORG", "TITLE", "TEL", "EMAIL", "ADR", "URL", "BDAY"}
HEAD = re.compile(r'((?:[^":]|"[^"]*"){1,500}):')  # a colon in quotes belongs to a parameter


def read(text: str) -> says.Card:
    """Return who it speaks of. Which number is on WhatsApp it is not believed: whoever sends a card writes it."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, value in _properties(text):
        found[name].append(value)
    names, work = (_parts(found[name][0]) if found[name] else [] for name in ("N", "ORG"))
    last, first = (*names, "", "")[:2]
    return says.Card(
        name=_first(found["FN"], 200) or f"{first} {last}".strip()[:200],
        first_name=first[:100],
        phones=_all(found["TEL"], 40, "tel:"),
        emails=_all(found["EMAIL"], 254, "mailto:"),
        organisation=(work or [""])[0][:200],
        title=_first(found["TITLE"], 200),
        department=", ".join(filter(None, work[1:]))[:200],
        addresses=several(", ".join(filter(None, _parts(value)))[:300] for value in found["ADR"]),
        urls=_all(found["URL"], says.URL_MAX),
        birthday=_first(found["BDAY"], 40),
    )


def several(values: Iterable[str]) -> tuple[str, ...]:
    """Return what there is of them, each once, and not without end."""
    return tuple(dict.fromkeys(filter(None, values)))[:MANY]


def _properties(text: str) -> Iterator[tuple[str, str]]:
    lines = iter(re.sub(r"\n[ \t]", "", re.sub(r"\r\n?", "\n", text)).split("\n"))
    for line in lines:
        head = HEAD.match(line)
        if head is None:
            continue
        name, *how = head[1].upper().split(";")
        name, value = name.rpartition(".")[2].strip(), line[head.end() :]  # "item1.TEL" is a TEL
        if name == "END":
            return
        if any("QUOTED-PRINTABLE" in one for one in how):
            parts = [value]
            while parts[-1].endswith("=") and (following := next(lines, None)) is not None:
                parts[-1] = parts[-1][:-1]
                parts.append(following)
            value = _unquoted("".join(parts))
        if name in WANTED:
            yield name, value


def _unquoted(value: str) -> str:
    found = quopri.decodestring(value.encode("utf-8", "replace")).replace(b"\x00", b"")
    try:
        return found.decode()
    except UnicodeDecodeError:
        return found.decode("latin-1")


def _parts(value: str) -> list[str]:
    return [_plain(part, 300) for part in re.split(r"(?<!\\);", value[:3000])]


def _plain(value: str, most: int) -> str:
    words = re.sub(r"\\(.)", lambda found: " " if found[1] in "nN" else found[1], value[:3000])
    return loose.line(words, most)


def _first(values: list[str], most: int) -> str:
    return next(filter(None, (_plain(value, most) for value in values)), "")


def _all(values: list[str], most: int, scheme: str = "") -> tuple[str, ...]:
    plain = (_plain(value, most + len(scheme)) for value in values)
    bare = (words[len(scheme) :] if words.lower().startswith(scheme) else words for words in plain)
    return several(bare)
