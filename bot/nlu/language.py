"""The one spaCy pipeline, built in code: tokens, lemmas from a table, and patterns for what we look for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span, Token

from bot.places import Places, Town
from bot.settings import ROOT

LOOKUPS = ROOT / "data" / "lookups"
OWN_FILES = tuple(
    Path(__file__).with_name(name)
    for name in ("language.py", "normalise.py", "tokens.py", "entities.py", "confidence.py")
)

ORDER_NUMBER = "order_number"
POSTCODE = "postcode"
POSTCODE_DISTRICT = "postcode_district"
TOWN = "town"

# What stands in an entity's place for the classifier: which number it is says nothing about what is wanted.
PLACEHOLDERS = {
    ORDER_NUMBER: "ordernumber",
    POSTCODE: "postalcode",
    POSTCODE_DISTRICT: "postalcode",
    TOWN: "townname",
}

LONG_ENOUGH_FOR_A_SLIP = 6  # "leeds" one letter off is "seeds" and "needs"
LONG_ENOUGH_FOR_TWO = 9


@lru_cache(maxsize=1)
def language() -> Language:
    """Return the pipeline; building it takes a moment, so a process does it once."""
    nlp = spacy.blank("en")
    nlp.add_pipe("lemmatizer", config={"mode": "lookup"})
    nlp.initialize()
    ruler = nlp.add_pipe("entity_ruler", config={"phrase_matcher_attr": "LOWER"})
    ruler.add_patterns(list(_patterns(Places.load(LOOKUPS))))  # type: ignore[attr-defined]
    return nlp


def lemma_of(token: Token) -> str:
    """Return the lower-case lemma; the table knows words only as they stand inside a sentence."""
    table = language().get_pipe("lemmatizer").lookups.get_table("lemma_lookup")  # type: ignore[attr-defined]
    return str(table.get(token.lower_, token.lower_))


def value_of(entity: Span) -> str:
    """Return an entity the way the shop writes it: FH10482, BS1 4QA, Leeds."""
    match entity.label_:
        case "order_number":
            return "FH" + "".join(c for c in entity.text.upper().replace("O", "0") if c.isdigit())
        case "postcode":
            letters = re.sub(r"\W", "", entity.text).upper()
            return f"{letters[:-3]} {letters[-3:]}"
        case "postcode_district":
            return entity.text.upper()
        case _:
            return entity.ent_id_ or entity.text


def fingerprint() -> str:
    """Return a hash of everything the tokens and entities depend on, for Rasa's training cache."""
    digest = hashlib.sha256(version("spacy").encode())
    for path in (*OWN_FILES, *sorted(LOOKUPS.glob("*.yml"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read(text: str) -> Doc:
    """Run the pipeline over clean text."""
    return language()(text)


def _patterns(places: Places) -> Iterator[dict[str, Any]]:
    yield from _order_numbers()
    yield from _postcodes("|".join(sorted(places.postcode_areas, key=len, reverse=True)).lower())
    for town in places.towns:
        yield from _town(town, has_store=places.store_in(town.name) is not None)


def _order_numbers() -> Iterator[dict[str, Any]]:
    digits = {"LOWER": {"REGEX": r"^\d[\do]{4}$"}}
    for pattern in (
        [{"LOWER": {"REGEX": r"^(fh|order)[-_.#:]?\d[\do]{4}$"}}],
        [{"LOWER": {"REGEX": r"^#\d{5}$"}}],
        [{"LOWER": "fh"}, {"IS_PUNCT": True, "OP": "?"}, digits],
        [{"TEXT": "#"}, {"LOWER": {"REGEX": r"^(fh)?\d[\do]{4}$"}}],
        [{"TEXT": {"REGEX": r"^\d{5}$"}}],
    ):
        yield {"label": ORDER_NUMBER, "pattern": pattern}


def _postcodes(areas: str) -> Iterator[dict[str, Any]]:
    outward, inward = rf"({areas})\d[a-z\d]?", r"\d[abd-hjlnp-uw-z]{2}"
    yield {"label": POSTCODE, "pattern": [{"LOWER": {"REGEX": f"^{outward}[-.]?{inward}$"}}]}
    halves = [{"LOWER": {"REGEX": f"^{half}$"}} for half in (outward, inward)]
    yield {"label": POSTCODE, "pattern": [halves[0], {"IS_PUNCT": True, "OP": "?"}, halves[1]]}
    yield {"label": POSTCODE_DISTRICT, "pattern": [{"LOWER": {"REGEX": f"^{outward}$"}}]}


def _town(town: Town, *, has_store: bool) -> Iterator[dict[str, Any]]:
    for name in (town.name, *town.also):
        if town.only_capitalised and name == town.name:
            yield {"label": TOWN, "id": town.name, "pattern": [{"TEXT": name}]}
            yield {"label": TOWN, "id": town.name, "pattern": [{"TEXT": name.upper()}]}
            continue
        yield {"label": TOWN, "id": town.name, "pattern": name}
        if " " not in name and len(name) >= LONG_ENOUGH_FOR_A_SLIP:
            # Two slips only where most people ask from: "manchster" is two letters away from Lancaster too.
            slips = "FUZZY2" if has_store and len(name) >= LONG_ENOUGH_FOR_TWO else "FUZZY1"
            yield {"label": TOWN, "id": town.name, "pattern": [{"LOWER": {slips: name.lower()}}]}
