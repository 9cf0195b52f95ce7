"""Words as search compares them: no capitals, no accents, letters and digits apart. Pure.

PostgreSQL folds by itself what comes in (see the migration 0018_search), SQLite calls `folded`; the two agree for every
script whose letters Unicode can take apart.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

# Letters Unicode does not take apart, though people type them without.
LETTERS = {
    "ß": "ss", "ẞ": "ss", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l",
    "đ": "d", "Đ": "d", "ı": "i",
}  # fmt: skip
_TOKEN = re.compile(r"[0-9]+|[^\W0-9_]+")
# Without these a search would be no search: so much of what somebody typed is read.
TERMS_MAX, TOKENS_MAX, TOKEN_MAX = 12, 12, 60
ASKED_MAX = 300  # characters


@dataclass(frozen=True)
class Token:
    """One word or number, and where it stands in the text it was read from."""

    word: str
    begins: int
    ends: int


@dataclass(frozen=True)
class Term:
    """One thing to be found: words that follow each other, of which the last may go on."""

    words: tuple[str, ...]
    goes_on: bool

    def ends_at(self, tokens: list[Token], at: int) -> int | None:
        """Return the index behind this term if it begins at that token."""
        if at + len(self.words) > len(tokens):
            return None
        *first, last = (token.word for token in tokens[at : at + len(self.words)])
        fits = last.startswith(self.words[-1]) if self.goes_on else last == self.words[-1]
        return at + len(self.words) if fits and tuple(first) == self.words[:-1] else None


@lru_cache(maxsize=4096)
def _letter(one: str) -> str:
    apart = unicodedata.normalize("NFKD", LETTERS.get(one, one))
    return "".join(c for c in apart if not unicodedata.combining(c)).lower()


def tokens(text: str) -> list[Token]:
    """Return the words and numbers of a text."""
    letters = [(letter, n) for n, one in enumerate(text) for letter in _letter(one)]
    plain = "".join(letter for letter, _ in letters)
    return [
        Token(found.group(), letters[found.start()][1], letters[found.end() - 1][1] + 1)
        for found in _TOKEN.finditer(plain)
    ]


def folded(text: str | None) -> str:
    """Return a text as its words and numbers, with spaces between."""
    return " ".join(_TOKEN.findall("".join(map(_letter, text or ""))))


def terms(asked: str) -> tuple[Term, ...]:
    """Read what somebody typed: each word, and what stands in quotes as one. Half a word is enough outside of quotes.

    `F-20418` and `FH20418` are a word and a number that follow each other, however the contact wrote them. A quote that
    is not closed is still being typed.
    """
    found: list[Term] = []
    parts = re.split('["“”„«»]', asked[:ASKED_MAX])
    for n, part in enumerate(parts):
        quoted, last = n % 2 == 1, n == len(parts) - 1
        for piece in [part] if quoted else part.split():
            words = tuple(word[:TOKEN_MAX] for word in folded(piece).split()[:TOKENS_MAX])
            if words:
                found.append(Term(words, goes_on=(not quoted or last) and len(words[-1]) > 1))
    return tuple(dict.fromkeys(found))[:TERMS_MAX]


def has(text: str, wanted: tuple[Term, ...]) -> bool:
    """Say whether a text has all that was wanted, as the databases' own search says it."""
    read = tokens(text)
    return all(any(term.ends_at(read, at) is not None for at in range(len(read))) for term in wanted)


def marked(text: str, wanted: tuple[Term, ...]) -> list[tuple[int, int]]:
    """Return where a text has what was wanted: begins and ends, in their order, none within another."""
    read = tokens(text)
    spans = [
        (read[at].begins, read[ends - 1].ends)
        for at in range(len(read))
        for term in wanted
        if (ends := term.ends_at(read, at)) is not None
    ]
    found: list[tuple[int, int]] = []
    for begins, ends in sorted(spans):
        if found and begins <= found[-1][1]:
            found[-1] = (found[-1][0], max(ends, found[-1][1]))
        else:
            found.append((begins, ends))
    return found
