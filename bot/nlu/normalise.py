"""What phone keyboards do to words, undone before anything looks at them: wide letters, emoji, stretched words."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# Emoji that answer a question. All others are ornament, and 👋 alone is not yet a wish to be served.
SPOKEN = {"👍": "yes", "👌": "yes", "✅": "yes", "👎": "no", "❌": "no", "🙏": "thanks"}
PLAIN = str.maketrans({"’": "'", "‘": "'", "`": "'", "´": "'", "“": '"', "”": '"', "–": "-", "—": "-"})
ORNAMENT = {"So", "Sk", "Cf", "Cc", "Cs", "Co", "Cn", "Mn"}
STRETCHED = re.compile(r"([^\W\d_])\1{2,}", re.IGNORECASE)


@dataclass(frozen=True)
class Clean:
    """Words as the understanding sees them; `origin[i]` is where character i stood in what was written."""

    text: str
    origin: tuple[int, ...]
    length: int  # of what was written

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a stretch of the clean text stood in what was written."""
        if not self.origin or start >= len(self.origin):
            return 0, self.length
        return self.origin[start], self.origin[min(end, len(self.origin)) - 1] + 1


def clean(written: str) -> Clean:
    """Return the words without ornament. Letters keep their case: Bath is a town, a bath is not."""
    letters: list[tuple[str, int]] = []
    for place, character in enumerate(written):
        letters.extend((plain, place) for plain in _plain(character))
    text = "".join(letter for letter, _ in letters)
    dropped: set[int] = set()
    for stretch in STRETCHED.finditer(text):
        dropped.update(range(stretch.start() + 1, stretch.end()))
    kept = [letter for n, letter in enumerate(letters) if n not in dropped]
    return Clean("".join(letter for letter, _ in kept), tuple(place for _, place in kept), len(written))


def _plain(character: str) -> str:
    """Return what one written character says: itself, other characters, a word between spaces, or a space."""
    if character in SPOKEN:
        return f" {SPOKEN[character]} "
    # NFKC alone would turn ´ into a space and a combining accent, so quotes come first.
    composed = unicodedata.normalize("NFKC", character.translate(PLAIN))
    return "".join(_worded(part) for part in composed)


def _worded(part: str) -> str:
    if part.isspace():
        return " "
    return " " if unicodedata.category(part) in ORNAMENT else part
