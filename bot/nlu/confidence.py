"""How sure are we, where the classifier can't know: a message without a single word."""

from __future__ import annotations

from typing import Any

from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.shared.constants import DEFAULT_NLU_FALLBACK_INTENT_NAME
from rasa.shared.nlu.constants import INTENT
from rasa.shared.nlu.training_data.message import Message

from bot.nlu.normalise import Clean
from bot.nlu.tokens import CLEAN, BatonTokenizer


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.INTENT_CLASSIFIER, is_trainable=False)
class NothingSaid(GraphComponent):  # type: ignore[misc]
    """Sends emoji, dots and empty texts to the fallback; a guess from nothing would be the most frequent topic."""

    @classmethod
    def required_components(cls) -> list[type]:
        """The tokenizer leaves the clean words on the message."""
        return [BatonTokenizer]

    @classmethod
    def create(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
    ) -> NothingSaid:
        """Nothing to set up."""
        return cls()

    def process(self, messages: list[Message]) -> list[Message]:
        """Overrule the classifier where there are no words; its ranking stays, for whoever looks into it."""
        for message in messages:
            words: Clean | None = message.get(CLEAN)
            if words is not None and not any(character.isalnum() for character in words.text):
                nothing = {"name": DEFAULT_NLU_FALLBACK_INTENT_NAME, "confidence": 1.0}
                message.set(INTENT, nothing, add_to_output=True)
        return messages
