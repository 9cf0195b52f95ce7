"""A template as Meta approved it, and what somebody wants in its gaps → one ready to be sent. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bot.errors import BotError
from bot.messages import GAP, Blank, Media, MessageTemplate, Template

FILLABLE = {"QUICK_REPLY", "URL", "PHONE_NUMBER", "VOICE_CALL"}  # buttons that need nothing we can't be told


class BadTemplate(BotError):
    """The template can't be sent like this."""


@dataclass(frozen=True)
class Wanted:
    """A template somebody wants to send: its gaps in order or by name, and what its header and buttons need."""

    name: str
    language: str
    blanks: tuple[str, ...] | dict[str, str] = ()
    header: str = ""
    picture: str = ""  # a link, where the header is a picture, a film or a file
    payloads: tuple[str, ...] = ()  # what its quick replies send back, in order
    url_endings: tuple[str, ...] = ()  # of its link buttons, in order


def filled(template: MessageTemplate, wanted: Wanted) -> Template:
    """Return a template with every gap filled: its text, its header, its buttons. Refuse what Meta would refuse."""
    parts = {str(part.get("type")).upper() for part in template.components}
    if not parts <= {"HEADER", "BODY", "FOOTER", "BUTTONS"}:
        raise BadTemplate(f"(it has {', '.join(sorted(parts)).lower()}; the desk can't fill all of that)")
    payloads, url_endings = _buttons(template, wanted)
    header, picture = _header(template, wanted)
    ready = template.filled(*_blanks(template, wanted), header=header, picture=picture)
    return replace(ready, payloads=payloads, url_endings=url_endings)


def _blanks(template: MessageTemplate, wanted: Wanted) -> list[str]:
    """Return what fills the gaps of the text, in the order in which they stand there."""
    gaps = template.gaps
    if isinstance(wanted.blanks, dict):
        if set(wanted.blanks) != set(gaps):
            raise BadTemplate(f"(its gaps are {', '.join(gaps) or 'none'}; blanks names {', '.join(wanted.blanks)})")
        return [wanted.blanks[gap] for gap in gaps]
    if len(wanted.blanks) != len(gaps):
        raise BadTemplate(f"(it has {len(gaps)} gaps, blanks has {len(wanted.blanks)})")
    in_order = sorted(gaps, key=int) if all(gap.isdigit() for gap in gaps) else gaps
    said = dict(zip(in_order, wanted.blanks, strict=True))
    return [said[gap] for gap in gaps]


def _header(template: MessageTemplate, wanted: Wanted) -> tuple[Blank | None, Media | None]:
    part = template.part("HEADER")
    kind = str(part.get("format") or "TEXT").lower() if part else ""
    gaps = GAP.findall(str(part.get("text") or "")) if kind == "text" else []
    if bool(wanted.header) != bool(gaps):
        raise BadTemplate("(its header has a gap: send it as header)" if gaps else "(its header has no gap to fill)")
    if bool(wanted.picture) != (kind in {"image", "video", "document"}):
        raise BadTemplate(
            "(there is no file in its header)"
            if wanted.picture
            else f'(its header is a {kind}: {{"link": "https://…"}})'
        )
    if kind == "location":
        raise BadTemplate("(its header is a place; the desk can't fill that)")
    name = gaps[0] if gaps and not gaps[0].isdigit() else ""
    return (
        Blank(wanted.header, name) if gaps else None,
        Media(kind, link=wanted.picture) if wanted.picture else None,
    )


def _buttons(template: MessageTemplate, wanted: Wanted) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return payloads and endings by their buttons' places: Meta counts all buttons, whatever they do."""
    buttons = template.part("BUTTONS").get("buttons") or []
    kinds = [str(button.get("type")).upper() for button in buttons]
    if not set(kinds) <= FILLABLE:
        raise BadTemplate(f"(it has a button of the kind {', '.join(sorted(set(kinds) - FILLABLE)).lower()})")
    taps = [place for place, kind in enumerate(kinds) if kind == "QUICK_REPLY"]
    links = [place for place, button in enumerate(buttons) if GAP.search(str(button.get("url") or ""))]
    if len(wanted.payloads) > len(taps) or len(wanted.url_endings) != len(links):
        raise BadTemplate(f"(it takes up to {len(taps)} payloads and {len(links)} url_endings)")
    payloads = {place: payload for place, payload in zip(taps, wanted.payloads, strict=False) if payload}
    endings = dict(zip(links, wanted.url_endings, strict=True))
    first = min(endings, default=max(payloads, default=-1) + 1)
    if any(place >= first for place in payloads):
        raise BadTemplate("(its link stands before its quick replies: leave out payloads)")
    last = max(endings, default=first - 1)
    return (
        tuple(payloads.get(place, "") for place in range(first)),
        tuple(endings.get(place, "") for place in range(first, last + 1)),
    )
