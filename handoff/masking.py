"""What one contact wrote, made fit to be shown to another: names, numbers and addresses become gaps. Pure.

It rather takes too much: what is no word we know, and may be somebody's name, goes. Issue 6 brings a finer mask.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

GAP = re.compile(r"\{([a-z][a-z_ ]{0,39})\}")
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
WEB = re.compile(r"\b(?:https?://|www\.)\S+")
SECRET_IN_WEB = re.compile(r"[?#@=]|\d{3}")
PHONE = re.compile(r"(?<![\w£$€])\+?\d[\d ()/.-]{6,}\d(?!\w)")
CODE = re.compile(r"(?<![\w{])(?=[\w-]*\d)[\w][\w/-]*(?:\.\d+)*(?![\w}])")  # anything with a digit in it
HARMLESS = re.compile(
    r"\d{1,2}(?:st|nd|rd|th|am|pm|h|x|kg|g|cm|mm|m|l|days?|mins?|hrs?)?|\d{1,2}(?:[-–/]\d{1,2})?|24/7", re.IGNORECASE
)
CLOCK = re.compile(r"\d{1,2}[:.]\d{2}(?:\s?[ap]m)?(?:\s?[-–]\s?\d{1,2}[:.]\d{2}(?:\s?[ap]m)?)?", re.IGNORECASE)
NAME = re.compile(r"(?<![\w{'’])[^\W\d_a-z][^\W\d_]*(?:['’-][^\W\d_]+)*(?![\w}])")
HANDLE = re.compile(r"(?<!\w)@\w+")
SHORT = 2  # letters: I, OK, PS

_COMMON = """
a about absolutely actually after again all also although always am an and any anything apologies are as at back
because been before best but by bye can certainly cheers come contact could dear did do does done don't each
either enjoy even every everything excellent feel few first for fortunately from further give glad go good great
had happy has have having hello here hey hi hope how however i i'd i'll i'm i've if in indeed instead is isn't
it it's its just keep kind kindly last leave let lets let's like look looking lovely many may maybe might more
most much my need never next nice no normally not note nothing now of off oh ok okay on once one only or orders
other our out over perfect perhaps please pleasure possibly probably quite really regarding regards right said
see send shall she should since so some someone something soon sorry still sure take tell thank thanks that
that's the their them then there there's therefore these they they're this those through to today tomorrow
tonight too try under understood unfortunately until up usually very wait was we we'd we'll we're we've welcome
well were what what's when where which while who why will wish with within without would wow write yes yesterday
yet you you'd you'll you're you've your yours monday tuesday wednesday thursday friday saturday sunday january
february march april june july august september october november december morning afternoon evening christmas
easter delivery returns refund order refunds returning ordering open opening closed call ring email reply pay
payment card cards account whatsapp
"""
COMMON = frozenset(_COMMON.split())


def masked(text: str, known: Mapping[str, str], words: Collection[str] = ()) -> str:
    """Return a text without what is anybody's own.

    `known` are values and the gap each becomes ("Mia Turner": "name"); `words` are lower-case words that are nobody's
    name: the shop's own.
    """
    for value, gap in sorted(known.items(), key=lambda item: -len(item[0])):
        if len(value.strip()) > 1:
            text = re.sub(rf"(?<![\w{{]){re.escape(value.strip())}(?![\w}}])", f"{{{gap}}}", text, flags=re.IGNORECASE)
    text = EMAIL.sub("{email}", text)
    text = WEB.sub(lambda found: "{link}" if SECRET_IN_WEB.search(found[0]) else found[0], text)
    text = HANDLE.sub("{someone}", text)
    text = _outside_gaps(PHONE, text, lambda found: found[0] if CLOCK.fullmatch(found[0].strip()) else "{number}")
    text = _clocks_kept(text)
    return _without_names(text, words)


def _clocks_kept(text: str) -> str:
    """Mask whatever has digits in it, but for times of day and small counts."""
    parts, end = [], 0
    for clock in CLOCK.finditer(text):
        parts += [_codes(text[end : clock.start()]), clock[0]]
        end = clock.end()
    return "".join([*parts, _codes(text[end:])])


def _codes(text: str) -> str:
    return _outside_gaps(CODE, text, lambda found: found[0] if HARMLESS.fullmatch(found[0]) else "{number}")


def _outside_gaps(pattern: re.Pattern[str], text: str, put: object) -> str:
    """Substitute, and leave web addresses that were kept alone."""
    parts, end = [], 0
    for web in WEB.finditer(text):
        parts += [pattern.sub(put, text[end : web.start()]), web[0]]  # type: ignore[call-overload]
        end = web.end()
    return "".join([*parts, pattern.sub(put, text[end:])])  # type: ignore[call-overload]


def _without_names(text: str, words: Collection[str]) -> str:
    """Mask what is written with a capital and is no word we know: a name, or a place."""

    def put(found: re.Match[str]) -> str:
        word = found[0]
        plain = word.lower().replace("’", "'")
        known = plain in COMMON or plain in words or plain.removesuffix("'s") in words
        shouted = word.isupper() and len(word) <= SHORT
        return word if known or shouted else "{someone}"

    return re.sub(r"\{someone\}(?:[ -]\{someone\})+", "{someone}", _outside_gaps(NAME, text, put))


def gaps_of(text: str) -> list[str]:
    """Return what is still to be filled in, each once, in order."""
    return list(dict.fromkeys(GAP.findall(text)))


def filled(text: str, values: Mapping[str, str]) -> str:
    """Fill what is known; what is not stays to be seen."""
    return GAP.sub(lambda gap: values.get(gap[1].strip().replace(" ", "_")) or gap[0], text)
