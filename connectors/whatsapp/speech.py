"""What Rasa says → messages of ours, as few as WhatsApp can show. Pure.

Every delivered message is billed since October 2026, so the utterances of a turn are merged. What WhatsApp can't show
is degraded so that nothing gets lost: choices as `choices.py` says; a long text is cut at a paragraph, and its end
stands above the buttons; what is too long for a header, a footer or a button is read in the text; Markdown becomes
WhatsApp's own marks. What is wrong beyond that is left out, and logged: the rest of the answer still goes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from bot import messages as says
from bot.content import kinds
from bot.content.markup import markup, plain
from bot.errors import TooLong
from connectors.whatsapp import choices
from connectors.whatsapp.choices import LEAD_IN, kept, shorten

log = logging.getLogger(__name__)

CUT_AT = 4000  # WhatsApp counts characters in a way it does not document; stay below its 4096
SENTENCE_MAX = CUT_AT // 4  # no piece of a longer text is shorter, so two that are alike are the bot repeating itself
WITHOUT_A_TEXT = {"ask_place": "Where are you?", "ask_number": "What is your phone number?"}
MEDIA_KINDS = {
    "image": (".jpg", ".jpeg", ".png"),
    "video": (".mp4", ".3gp"),
    "audio": (".mp3", ".ogg", ".aac", ".amr", ".m4a"),
}
Carrier = says.Buttons | says.Menu | says.Link | says.AskPlace | says.AskNumber | says.Flow
AnyCarrier = TypeVar("AnyCarrier", bound=Carrier)


def from_rasa(message: dict[str, Any], heard_wamid: str = "") -> list[says.Outbound]:
    """Return what one bot utterance of Rasa's says: its text, its choices, its picture, and what is `custom` in it.

    `heard_wamid` is what the contact said, for a reaction to stand under. What nobody knows is not shown.
    """
    custom = message.get("custom")
    custom = custom if isinstance(custom, dict) else {}
    rows = [row for key in ("buttons", "quick_replies") for row in _list(message.get(key))]
    text = _text(message)
    for row in rows:  # WhatsApp has no links among choices
        if isinstance(row, dict) and row.get("url"):
            text = _below(text, f"{plain(kept(str(row.get('title') or '')))}: {row['url']}".removeprefix(": "))
    said = list(_media(message))
    said += _carried(text, choices.read(rows), custom)
    for element in _list(message.get("elements")):
        said += from_rasa(_utterance(element))
    for name in kinds.ALONE:
        if name in custom:
            said += _tried(name, lambda name=name: kinds.alone(name, custom[name]))
    if heard_wamid and isinstance(custom.get("react"), str):
        said += _tried("react", lambda: says.Reaction(heard_wamid, custom["react"]))
    return merge(said)


def quotes(message: dict[str, Any]) -> bool:
    """Say whether the first message of this turn is to quote what the contact said."""
    custom = message.get("custom")
    return isinstance(custom, dict) and bool(custom.get("quote"))


def asks_for_more(tap_id: str) -> bool:
    """Say whether a contact tapped "More…" under choices."""
    return choices.asks_for_more(tap_id)


def next_page(tap_id: str, said: Iterable[dict[str, Any]]) -> list[says.Outbound] | None:
    """Return the choices a tap on "More…" asks for, looked up in what the bot has said, newest first.

    None if it is another tap, or if the bot never said it: nothing is guessed.
    """
    if not asks_for_more(tap_id):
        return None
    for message in said:
        rows = choices.read([row for key in ("buttons", "quick_replies") for row in _list(message.get(key))])
        start = choices.page_asked_for(tap_id, rows)
        if start is not None:
            custom = message.get("custom")
            return _choosing("", rows, custom if isinstance(custom, dict) else {}, start)
    return None


def merge(said: Iterable[says.Outbound]) -> list[says.Outbound]:
    """Join what one turn says into as few messages as WhatsApp can show, in its order.

    What is said twice in a row is said once. Reactions stand under another message, so they have no place in the
    order: they go first, one for each.
    """
    reactions: dict[str, says.Outbound] = {}
    merged: list[says.Outbound] = []
    before: says.Outbound | None = None
    for content in said:
        if isinstance(content, says.Reaction):
            reactions[content.wamid] = content
            continue
        if content == before and says.length(content.text) <= SENTENCE_MAX:
            continue
        before = content
        joined = _joined(merged[-1], content) if merged else None
        if joined is None:
            merged.append(content)
        else:
            merged[-1] = joined
    return [*reactions.values(), *merged]


def _joined(first: says.Outbound, second: says.Outbound) -> says.Outbound | None:
    """Return one message that shows both, or None where there is none."""
    match first, second:
        case says.Text(), says.Text():
            both = _below(first.text, second.text)
            return says.Text(both) if says.length(both) <= CUT_AT else None
        case says.Text(), says.Buttons() | says.Menu() | says.Link() | says.Flow() | says.AskPlace() | says.AskNumber():
            second = _without_header(second)
            return _with_text(second, _below(first.text, second.text))
        case says.Buttons() | says.Menu() | says.Link() | says.Flow() | says.AskPlace() | says.AskNumber(), says.Text():
            return _with_text(first, _below(first.text, second.text))
        case says.Text(), says.Media() if second.kind in says.CAPTIONED:
            return _captioned(second, _below(first.text, second.caption))
        case says.Media(), says.Text() if first.kind in says.CAPTIONED:
            return _captioned(first, _below(first.caption, second.text))
        case says.Media(), (says.Buttons(picture=None) | says.Link(picture=None)) if first.kind in says.CAPTIONED:
            second = _without_header(second)
            return _pictured(second, first, _below(first.caption, second.text))
        case ((says.Buttons(picture=None) | says.Link(picture=None)), says.Media()) if second.kind in says.CAPTIONED:
            first = _without_header(first)
            return _pictured(first, second, _below(first.text, second.caption))
        case _:
            return None


def _below(first: str, second: str) -> str:
    return "\n\n".join(part for part in (first, second) if part)


def _with_text(content: Carrier, text: str) -> Carrier | None:
    return replace(content, text=text) if says.length(text) <= says.BODY_MAX else None


def _captioned(media: says.Media, caption: str) -> says.Media | None:
    return replace(media, caption=caption) if says.length(caption) <= says.BODY_MAX else None


def _pictured(content: says.Buttons | says.Link, media: says.Media, text: str) -> says.Outbound | None:
    fits = says.length(text) <= says.BODY_MAX and not content.header
    return replace(content, text=text, picture=replace(media, caption="")) if fits else None


def _without_header(content: AnyCarrier) -> AnyCarrier:
    """Put a header into the text, for something is going to stand above it; unless that is too long."""
    if isinstance(content, (says.AskPlace, says.AskNumber)) or not content.header:
        return content
    text = f"*{content.header}*\n{content.text}"
    return replace(content, text=text, header="") if says.length(text) <= says.BODY_MAX else content


def _list(rows: Any) -> list[Any]:
    return list(rows) if isinstance(rows, (list, tuple)) else []


def _text(message: dict[str, Any]) -> str:
    return markup(kept(str(message.get("text") or ""))).strip()


def _carried(text: str, rows: list[choices.Choice], custom: dict[str, Any]) -> list[says.Outbound]:
    """Return the text, above the choices or the button that come with it."""
    said: list[says.Outbound] = []
    if rows:
        said += _choosing(text, rows, custom)
        text = ""
    for name in kinds.CARRIERS:
        if custom.get(name):
            carried = _carrier(name, custom[name], text, custom if not said else {})
            text = "" if carried else text
            said += carried
    if said:
        return said
    framed = _below(_framed("*", custom.get("header")), _below(text, _framed("_", custom.get("footer"))))
    return [says.Text(piece) for piece in split(framed)]


def _choosing(text: str, rows: list[choices.Choice], custom: dict[str, Any], start: int = 0) -> list[says.Outbound]:
    content, above = choices.shown(rows, button=plain(kept(str(custom.get("button") or ""))), start=start)
    header, footer, text = _frame(_below(text, above), custom)
    before, body = _ending(text, LEAD_IN)
    return [*before, replace(content, text=body, header=header, footer=footer)]


def _carrier(name: str, node: Any, text: str, custom: dict[str, Any]) -> list[says.Outbound]:
    """Return a button of this kind under the text; what is too long for the button is read in the text."""
    key = {"link": "title", "flow": "button"}.get(name)
    title = plain(kept(str(node.get(key) or ""))) if key and isinstance(node, dict) else ""
    if name == "link" and isinstance(node, dict) and not says.is_web_address(str(node.get("url") or "")):
        line = f"{title}: {kept(str(node.get('url') or ''))}".strip(": ")
        return [says.Text(piece) for piece in split(_below(text, line))]
    if key and title:
        node = {**node, key: shorten(title, says.BUTTON_TITLE_MAX)}
        if says.length(title) > says.BUTTON_TITLE_MAX:
            text = _below(text, title)
    header, footer, text = _frame(text, custom) if key else ("", "", _unframed(text, custom))
    before, body = _ending(text, title or WITHOUT_A_TEXT.get(name, LEAD_IN))
    carried = _tried(name, lambda: kinds.carrier(name, node, body, header, footer))
    return [*before, *carried] if carried else []


def _frame(text: str, custom: dict[str, Any]) -> tuple[str, str, str]:
    """Return header, footer and text; what is too long for its place is in the text."""
    header, footer = (plain(kept(str(custom.get(name) or ""))) for name in ("header", "footer"))
    if says.length(header) > says.HEADER_MAX:
        header, text = "", _below(f"*{header}*", text)
    if says.length(footer) > says.FOOTER_MAX:
        footer, text = "", _below(text, f"_{footer}_")
    return header, footer, text


def _unframed(text: str, custom: dict[str, Any]) -> str:
    """Return the text with header and footer in it, for what has no place for them."""
    return _below(_framed("*", custom.get("header")), _below(text, _framed("_", custom.get("footer"))))


def _framed(mark: str, words: Any) -> str:
    shown = plain(kept(str(words or "")))
    return f"{mark}{shown}{mark}" if shown else ""


def _ending(text: str, otherwise: str) -> tuple[list[says.Outbound], str]:
    """Return what goes ahead as messages of its own, and the end of the text, which fits above a button."""
    if says.length(text) <= says.BODY_MAX:
        return [], text or otherwise
    for mark in ("\n\n", "\n"):
        at = text.find(mark, _fitting_from(text, says.BODY_MAX))
        if at >= 0 and text[at:].strip():
            return [says.Text(piece) for piece in split(text[:at].rstrip())], text[at:].strip()
    return [says.Text(piece) for piece in split(text)], otherwise


def _media(message: dict[str, Any]) -> Iterator[says.Outbound]:
    """Return the picture, and what Rasa calls an attachment, if they are links."""
    image = message.get("image")
    if isinstance(image, str) and image:
        yield from _tried("image", lambda: says.Media("image", link=image))
    attached = message.get("attachment")
    payload = attached.get("payload") if isinstance(attached, dict) else None
    payload = payload if isinstance(payload, dict) else {}
    link = attached if isinstance(attached, str) else payload.get("src") or payload.get("url")
    if isinstance(link, str) and link:
        ending = re.sub(r"[?#].*", "", link).lower()
        guessed = next((kind for kind, endings in MEDIA_KINDS.items() if ending.endswith(endings)), "document")
        named = attached.get("type") if isinstance(attached, dict) else None
        kind = named if named in says.MEDIA_MAX_BYTES else guessed
        yield from _tried("attachment", lambda: says.Media(str(kind), link=link))
    for element in _list(payload.get("elements")):
        yield from from_rasa(_utterance(element))


def _utterance(element: Any) -> dict[str, Any]:
    """Return a card of Rasa's carousels as an utterance: WhatsApp shows one below the other."""
    card = element if isinstance(element, dict) else {}
    title, subtitle = (str(card.get(key) or "").strip() for key in ("title", "subtitle"))
    text = "\n".join(part for part in (f"*{title}*" if title else "", subtitle) if part)
    return {"text": text, "image": card.get("image_url"), "buttons": card.get("buttons")}


def _tried(name: str, made: Any) -> list[says.Outbound]:
    """Return what was asked for, or nothing and a line in the log: the contact gets the rest."""
    try:
        return [made()]
    except (TooLong, TypeError, ValueError, AttributeError) as problem:
        # Not in its own words, which may quote what was said.
        log.warning(
            "%s of an utterance can't be shown: %s", name, type(problem).__name__, extra={"action": "unspeakable"}
        )
        return []


def split(text: str, most: int = CUT_AT) -> list[str]:
    """Cut a text into pieces WhatsApp takes, at a paragraph, a line or a word where there is one."""
    pieces = []
    rest = text.strip()
    while says.length(rest) > most:
        end = _fitting(rest, most)
        at = next((at for mark in ("\n\n", "\n", " ") if (at := rest.rfind(mark, end // 2, end)) > 0), end)
        pieces.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*pieces, rest] if rest else pieces


def _fitting(text: str, most: int) -> int:
    """Return how many characters of the beginning are no longer than that."""
    end = min(len(text), most)
    while says.length(text[:end]) > most:
        end -= (says.length(text[:end]) - most + 1) // 2
    return end


def _fitting_from(text: str, most: int) -> int:
    """Return where the longest end begins that is no longer than that."""
    start = max(len(text) - most, 0)
    while says.length(text[start:]) > most:
        start += (says.length(text[start:]) - most + 1) // 2
    return start
