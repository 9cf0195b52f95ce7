"""Entities from the Doc the tokenizer left on the message: nothing is read twice."""

from __future__ import annotations

from typing import Any

from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.nlu.extractors.extractor import EntityExtractorMixin
from rasa.shared.nlu.constants import ENTITIES
from rasa.shared.nlu.training_data.message import Message

from bot.nlu.language import fingerprint, value_of
from bot.nlu.normalise import Clean
from bot.nlu.tokens import CLEAN, DOC, BatonTokenizer


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.ENTITY_EXTRACTOR, is_trainable=False)
class DocEntities(GraphComponent, EntityExtractorMixin):  # type: ignore[misc]
    """Order numbers, postcodes and towns, as the shop writes them."""

    @classmethod
    def required_components(cls) -> list[type]:
        """The tokenizer reads the message."""
        return [BatonTokenizer]

    @classmethod
    def create(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
    ) -> DocEntities:
        """Nothing to set up."""
        return cls()

    @classmethod
    def fingerprint_addon(cls, config: dict[str, Any]) -> str | None:
        """Make the training cache see our patterns and data/lookups."""
        return fingerprint()

    def process(self, messages: list[Message]) -> list[Message]:
        """Add the entities of each message."""
        for message in messages:
            doc, words = message.get(DOC), message.get(CLEAN)
            if doc is None:
                continue
            found = self.add_extractor_name([_entity(entity, words) for entity in doc.ents])
            message.set(ENTITIES, message.get(ENTITIES, []) + found, add_to_output=True)
        return messages


def _entity(entity: Any, words: Clean) -> dict[str, Any]:
    start, end = words.span(entity.start_char, entity.end_char)
    return {"entity": entity.label_, "value": value_of(entity), "start": start, "end": end}
