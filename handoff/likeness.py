"""How like two texts are, by their words: an index that names the nearest. Pure, and small enough for a process.

Issue 6's sentence vectors can take this place: whatever has `add` and `nearest` will do.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Protocol

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
ENDINGS = ("ingly", "edly", "ings", "ing", "ies", "ied", "ed", "es", "ly", "s", "e", "y")
STEM_LEAST = 3
LIKE = {  # words that ask the same; "" says nothing
    "dont": "not", "doesnt": "not", "didnt": "not", "isnt": "not", "hasnt": "not", "havent": "not", "wont": "not",
    "cant": "not", "cannot": "not", "wasnt": "not", "arent": "not", "couldnt": "not", "im": "", "ive": "", "id": "",
    "please": "", "pls": "", "thanks": "", "thank": "", "hello": "", "hi": "", "hey": "", "a": "", "an": "", "the": "",
    "thx": "", "you": "", "your": "", "is": "", "are": "", "be": "", "to": "", "of": "", "and": "", "my": "", "i": "",
    "me": "", "it": "", "u": "", "ur": "", "do": "", "does": "", "in": "", "for": "", "so": "", "just": "", "was": "",
}  # fmt: skip


@dataclass(frozen=True)
class Near:
    """One entry of an index, and how near it is: 1 is the same words, 0 none in common."""

    id: int
    nearness: float


class Likeness(Protocol):
    """What suggests: an index of texts by their ids."""

    def add(self, id_: int, text: str) -> None: ...
    def nearest(self, text: str, most: int) -> list[Near]: ...


def words_of(text: str) -> list[str]:
    """Return the words that say what a text is about, cut to their stems, and each pair of neighbours."""
    found = []
    for word in WORD.findall(text.lower()):
        plain = word.replace("'", "").replace("’", "")
        plain = LIKE.get(plain, plain)
        if plain:
            found.append(_stem(plain))
    return found + [f"{a} {b}" for a, b in itertools.pairwise(found)]


def _stem(word: str) -> str:
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= STEM_LEAST:
            return word[: -len(ending)]
    return word


class ByWords:
    """Cosine over words weighed by how rare they are."""

    def __init__(self) -> None:
        self._counts: dict[int, Counter[str]] = {}
        self._having: dict[str, list[int]] = defaultdict(list)
        self._lengths: dict[int, float] = {}
        self._measured_at = 0

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, id_: int, text: str) -> None:
        """Put a text in; the same id again is ignored."""
        if id_ in self._counts:
            return
        self._counts[id_] = Counter(words_of(text))
        for word in self._counts[id_]:
            self._having[word].append(id_)

    def nearest(self, text: str, most: int) -> list[Near]:
        """Return what is like it, the nearest first."""
        self._measure()
        asked = {word: self._weight(word) * (1 + math.log(n)) for word, n in Counter(words_of(text)).items()}
        length = math.sqrt(sum(weight * weight for weight in asked.values()))
        if not length:
            return []
        sums: dict[int, float] = defaultdict(float)
        for word, weight in asked.items():
            own = weight * self._weight(word)
            for id_ in self._having.get(word, ()):
                sums[id_] += own * (1 + math.log(self._counts[id_][word]))
        found = [Near(id_, total / (length * self._length(id_))) for id_, total in sums.items()]
        return sorted(found, key=lambda near: (-near.nearness, -near.id))[:most]

    def _weight(self, word: str) -> float:
        having = len(self._having.get(word, ()))
        pair = 0.6 if " " in word else 1.0
        return pair * math.log(1 + (len(self._counts) + 1) / (having + 0.5))

    def _length(self, id_: int) -> float:
        known = self._lengths.get(id_)
        if known is None:
            weights = (self._weight(word) * (1 + math.log(n)) for word, n in self._counts[id_].items())
            known = self._lengths[id_] = math.sqrt(sum(weight * weight for weight in weights)) or 1.0
        return known

    def _measure(self) -> None:
        """Lengths hold while the index is about as large as when they were taken."""
        if not self._measured_at * 0.9 <= len(self._counts) <= self._measured_at * 1.1:
            self._measured_at = len(self._counts)
            self._lengths.clear()
