"""Tokens for Rasa's featurizers: clean words with lemmas, and one placeholder for each entity."""

from __future__ import annotations

from typing import Any

from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.nlu.tokenizers.tokenizer import Token, Tokenizer
from rasa.shared.nlu.constants import TEXT
from rasa.shared.nlu.training_data.message import Message
from spacy.tokens import Doc, Span

from bot.nlu.language import PLACEHOLDERS, fingerprint, lemma_of, read
from bot.nlu.normalise import Clean, clean

DOC = "baton_doc"
CLEAN = "baton_clean"
NOTHING = "∅"  # stands for a message without words; no feature knows it, so the fallback takes it


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.MESSAGE_TOKENIZER, is_trainable=False)
class BatonTokenizer(Tokenizer):  # type: ignore[misc]
    """Reads each message once with spaCy and leaves the Doc on it for the entities."""

    @staticmethod
    def get_default_config() -> dict[str, Any]:
        """Intent names stay whole."""
        return {"intent_tokenization_flag": False, "intent_split_symbol": "_"}

    @staticmethod
    def required_packages() -> list[str]:
        """What Rasa should check for."""
        return ["spacy"]

    @classmethod
    def fingerprint_addon(cls, config: dict[str, Any]) -> str | None:
        """Make the training cache see our patterns and data/lookups."""
        return fingerprint()

    def process(self, messages: list[Message]) -> list[Message]:
        """Tokenize what contacts wrote and keep the Doc."""
        for message in messages:
            if isinstance(message.get(TEXT), str):
                words = clean(message.get(TEXT))
                message.set(CLEAN, words)
                message.set(DOC, read(words.text))
        tokenized: list[Message] = super().process(messages)
        return tokenized

    def tokenize(self, message: Message, attribute: str) -> list[Token]:
        """Return the tokens; never none, for the classifier can't count nothing."""
        words: Clean = message.get(CLEAN) if message.get(CLEAN) and attribute == TEXT else clean(message.get(attribute))
        doc: Doc = message.get(DOC) if message.get(DOC) is not None and attribute == TEXT else read(words.text)
        tokens = list(_tokens(doc, words))
        return tokens or [Token(NOTHING, 0, max(1, words.length))]


def _tokens(doc: Doc, words: Clean) -> list[Token]:
    entities = {entity.start: entity for entity in doc.ents}
    tokens: list[Token] = []
    n = 0
    while n < len(doc):
        entity = entities.get(n)
        piece: Span = entity if entity is not None else doc[n : n + 1]
        n = piece.end
        if not any(character.isalnum() for character in piece.text):
            continue
        start, end = words.span(piece.start_char, piece.end_char)
        if entity is not None:
            tokens.append(Token(PLACEHOLDERS[entity.label_], start, end))
        else:
            tokens.append(Token(piece.text.lower(), start, end, lemma=lemma_of(piece[0])))
    return tokens
