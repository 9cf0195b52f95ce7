"""What Rasa says → messages of ours, as few as WhatsApp can show. Pure.

Every delivered message is billed since October 2026, so the utterances of a turn are merged. What WhatsApp can't show
is degraded so that nothing gets lost: more than three choices become a list, long titles move into the row's
description, a long text is cut at a paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bot import messages as says

CUT_AT = 4000  # WhatsApp counts characters in a way it does not document; stay below its 4096
LEAD_IN = "Please choose:"


def from_rasa(message: dict[str, Any]) -> list[says.Outbound]:
    """Return what one bot utterance of Rasa's says: its text, its choices, its picture."""
    said: list[says.Outbound] = []
    text = markup(str(message.get("text") or "")).strip()
    choices = [button for button in message.get("buttons") or message.get("quick_replies") or [] if button.get("title")]
    pieces = split(text)
    if choices:
        said.extend(says.Text(piece) for piece in pieces[:-1])
        body = pieces[-1] if pieces else LEAD_IN
        if len(body) > says.BODY_MAX:
            said.append(says.Text(body))
            body = LEAD_IN
        said.append(_with_choices(body, choices))
    else:
        said.extend(says.Text(piece) for piece in pieces)
    image = message.get("image")
    if isinstance(image, str) and image:
        said.append(says.Media(kind="image", link=image))
    return said


def merge(said: Iterable[says.Outbound]) -> list[says.Outbound]:
    """Join what one turn says into as few messages as WhatsApp can show, in its order."""
    merged: list[says.Outbound] = []
    for content in said:
        joined = _joined(merged[-1], content) if merged else None
        if joined is None:
            merged.append(content)
        else:
            merged[-1] = joined
    return merged


def _joined(first: says.Outbound, second: says.Outbound) -> says.Outbound | None:
    """Return one message that shows both, or None where there is none."""
    both = f"{first.text}\n\n{second.text}"
    match first, second:
        case says.Text(), says.Text() if len(both) <= CUT_AT:
            return says.Text(both)
        case says.Text(), says.Buttons() | says.Menu() if len(both) <= says.BODY_MAX:
            return replace(second, text=both)
        case says.Buttons() | says.Menu(), says.Text() if len(both) <= says.BODY_MAX:
            return replace(first, text=both)
        case says.Text(), says.Media(caption="", kind="image") if len(first.text) <= says.BODY_MAX:
            return replace(second, caption=first.text)
        case says.Media(caption="", kind="image"), says.Text() if len(second.text) <= says.BODY_MAX:
            return replace(first, caption=second.text)
        case _:
            return None


def _with_choices(text: str, choices: list[dict[str, Any]]) -> says.Buttons | says.Menu:
    """Return buttons where they fit, else a list; the list shows ten at most."""
    titles = [str(choice["title"]).strip() for choice in choices]
    ids = [str(choice.get("payload") or title)[: says.ID_MAX] for choice, title in zip(choices, titles, strict=True)]
    unique = list(dict(zip(ids, titles, strict=True)).items())
    if len(unique) <= says.BUTTONS_MAX and all(len(title) <= says.BUTTON_TITLE_MAX for _, title in unique):
        return says.Buttons(text, tuple(says.Reply(payload, title) for payload, title in unique))
    return says.Menu(text, tuple(_row(payload, title) for payload, title in unique[: says.ROWS_MAX]))


def _row(payload: str, title: str) -> says.Reply:
    if len(title) <= says.ROW_TITLE_MAX:
        return says.Reply(payload, title)
    return says.Reply(payload, title[: says.ROW_TITLE_MAX - 1].rstrip() + "…", title[: says.ROW_DESCRIPTION_MAX])


def split(text: str) -> list[str]:
    """Cut a text into pieces WhatsApp takes, at a paragraph, a line or a word where there is one."""
    pieces = []
    rest = text
    while len(rest) > CUT_AT:
        at = max(rest.rfind(mark, CUT_AT // 2, CUT_AT) for mark in ("\n\n", "\n", " "))
        at = CUT_AT if at < 0 else at
        pieces.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*pieces, rest] if rest else pieces


def markup(text: str) -> str:
    """Turn Markdown, which some answers are written in, into WhatsApp's own marks."""
    text = re.sub(r"\*\*(.+?)\*\*", r"*\1*", text)
    text = re.sub(r"^#{1,6}\s+(.+)$", r"*\1*", text, flags=re.MULTILINE)
    return re.sub(r"\[([^\]]+)\]\((https?://[^)\s]+)\)", r"\1: \2", text)
