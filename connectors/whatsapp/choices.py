"""Choices of any number and length → buttons, lists, and pages of lists. Pure.

What WhatsApp can't show is degraded so that nothing is lost and every choice can be tapped:

| there are | WhatsApp shows |
|---|---|
| 1–3 choices of up to 20 characters | buttons |
| up to 10 choices, or a title of more than 20 | a list |
| a title of more than 24 characters | it is shortened, and whole in the row's second line |
| a title of more than 72 characters | the same, and whole in the text above the list |
| more than 10 choices | nine, and "More…" for the next nine: a message more only for those who ask |
| the same title twice | "Yes" and "Yes (2)" |
| the same payload under two titles | both; the payload says the same in another spelling |
| a payload longer than an id may be | a tap says its title, as if the contact had typed it; never a cut payload |
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bot import messages as says
from bot.content.markup import plain

MORE = "More…"
LEAD_IN = "Please choose:"
COMMAND = re.compile(r"^(?P<intent>/\w+)(?P<values>\{.*\})?$", re.DOTALL)
MORE_ID = re.compile(r'^/more\{"of":"(?P<of>[0-9a-f]{12})","from":(?P<start>\d{1,4})\}$', re.ASCII)


@dataclass(frozen=True)
class Choice:
    """One choice as Rasa has it: its whole title, what a tap means, and perhaps a second line."""

    title: str
    payload: str
    description: str = ""


def read(rows: Any) -> list[Choice]:
    """Return the choices among Rasa's buttons; the same one twice is one. A link is no choice."""
    found = []
    for row in rows if isinstance(rows, (list, tuple)) else ():
        if isinstance(row, dict) and not row.get("url"):
            title = plain(kept(str(row.get("title") or "")))
            payload = kept(str(row.get("payload") or "")).strip() or title
            found.append(Choice(title, payload, plain(kept(str(row.get("description") or "")))))
    return list(dict.fromkeys(choice for choice in found if choice.title))


def shown(choices: list[Choice], *, button: str = "", start: int = 0) -> tuple[says.Buttons | says.Menu, str]:
    """Return the buttons or the list from a choice on, and what of the titles must be read above it."""
    page = choices[start:]
    more = len(page) > says.ROWS_MAX
    page = page[: says.ROWS_MAX - 1] if more else page
    titles, ids = [choice.title for choice in page], _ids(page, taken=set())
    as_buttons = _distinct(titles, says.BUTTON_TITLE_MAX, taken=set())
    whole = all(says.length(title) <= says.BUTTON_TITLE_MAX for title in titles)
    if not start and len(page) <= says.BUTTONS_MAX and whole and not any(choice.description for choice in page):
        replies = tuple(says.Reply(id_, title) for id_, title in zip(ids, as_buttons, strict=True))
        return says.Buttons(LEAD_IN, replies), ""
    rows, above = [], []
    short = _distinct(titles, says.ROW_TITLE_MAX, taken={MORE})
    for choice, id_, title in zip(page, ids, short, strict=True):
        second, rest = _second_line(choice)
        rows.append(says.Reply(id_, title, second))
        above.extend([f"• {rest}"] if rest else [])
    if more:
        left = len(choices) - start - len(page)
        following = json.dumps({"of": digest(choices), "from": start + len(page)}, separators=(",", ":"))
        rows.append(says.Reply(f"/more{following}", MORE, f"{left} more to choose from"))
    menu = says.Menu(LEAD_IN, tuple(rows), **({"button": shorten(button, says.BUTTON_TITLE_MAX)} if button else {}))
    return menu, "\n".join(above)


def asks_for_more(tap_id: str) -> bool:
    """Say whether somebody tapped "More…"."""
    return MORE_ID.match(tap_id) is not None


def page_asked_for(tap_id: str, choices: list[Choice]) -> int | None:
    """Return where the page begins that this tap asks for; None if it is not of these choices."""
    found = MORE_ID.match(tap_id)
    if found is None or found["of"] != digest(choices) or not 0 < int(found["start"]) < len(choices):
        return None
    return int(found["start"])


def digest(choices: Iterable[Choice]) -> str:
    """Return a name for exactly these choices."""
    said = json.dumps([[choice.title, choice.payload] for choice in choices])
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def kept(text: str) -> str:
    """Return the text without what no database holds."""
    return re.sub("[\x00\ud800-\udfff]", "", text)


def shorten(text: str, most: int) -> str:
    """Return the text within a length, cut at a word where that leaves most of it."""
    if says.length(text) <= most:
        return text
    cut = text[:most]
    while says.length(cut) > most - 1:
        cut = cut[:-1]
    word = cut.rfind(" ") if text[len(cut)] != " " else len(cut)
    return (cut[:word] if word > most // 2 else cut).rstrip() + "…"


def _second_line(choice: Choice) -> tuple[str, str]:
    """Return a row's second line, and what does not fit there either."""
    cut = says.length(choice.title) > says.ROW_TITLE_MAX
    whole = " – ".join(part for part in (choice.title if cut else "", choice.description) if part)
    if says.length(whole) <= says.ROW_DESCRIPTION_MAX:
        return whole, ""
    return shorten(whole, says.ROW_DESCRIPTION_MAX), whole if cut else f"{choice.title} – {choice.description}"


def _distinct(titles: list[str], most: int, *, taken: set[str]) -> list[str]:
    """Return the titles within a length, no two alike."""
    found = []
    for title in titles:
        candidate, n = shorten(title, most), 1
        while candidate in taken:
            n += 1
            candidate = shorten(title, most - len(f" ({n})")) + f" ({n})"
        taken.add(candidate)
        found.append(candidate)
    return found


def _ids(choices: list[Choice], *, taken: set[str]) -> list[str]:
    """Return an id for each choice, no two alike, that says what its payload says."""
    found = []
    for choice in choices:
        id_ = _within(choice)
        while id_ in taken:
            id_ = _respelled(id_)
            id_ = id_ if says.length(id_) <= says.ID_MAX else _said(choice, len(taken))
        taken.add(id_)
        found.append(id_)
    return found


def _within(choice: Choice) -> str:
    """Return the payload if it fits, without its blanks if that helps, else an id that only says the title."""
    command = COMMAND.match(choice.payload)
    spellings = [choice.payload]
    if command and command["values"]:
        try:
            compact = json.dumps(json.loads(command["values"]), separators=(",", ":"), ensure_ascii=False)
            spellings.append(command["intent"] + compact)
        except (ValueError, RecursionError):
            pass
    fitting = (spelling for spelling in spellings if says.length(spelling) <= says.ID_MAX)
    return next(fitting, _said(choice))


def _respelled(id_: str) -> str:
    """Return the same command written differently, or another id that is no command."""
    command = COMMAND.match(id_)
    if command is None:
        return f"{id_} ·"
    return f"{id_[:-1]} }}" if command["values"] else f"{id_}{{}}"


def _said(choice: Choice, n: int = 0) -> str:
    """Return an id that is no command, so that a tap is understood by its title."""
    return "said:" + hashlib.sha256(f"{n} {choice.payload}".encode()).hexdigest()[:24]
