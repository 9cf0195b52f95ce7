"""A sentence of data/responses with what is promised under it: the words a hand off tells the contact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from bot.content.catalogue import Catalogue
from bot.hours import Hours
from bot.messages import Buttons, Outbound, Text
from bot.promises import Promise

CANCELS = "/cancel_request"


def telling(
    catalogue: Catalogue, sentence: str, *, before: str = "", heard: bool = True
) -> Callable[[Promise, Hours, datetime], Outbound]:
    """Return what makes the words of a promise: `before`, the sentence, when a person will be there; in one message.

    Where the bot does not hear what the contact answers, `heard` is false: then there is no button to take it back.
    """

    def tell(made: Promise, hours: Hours, now: datetime) -> Outbound:
        values = made.words(now, hours)
        said = catalogue.say(sentence, **values)
        promised = catalogue.say(f"utter_promise_{made.telling.value}", **values)
        if not isinstance(promised, (Text, Buttons)) or not isinstance(said, (Text, Buttons)):
            return said  # somebody made a picture or a list of it, which nothing can stand under
        text = "\n\n".join(filter(None, (before, said.text, promised.text)))
        words = replace(said if isinstance(said, Buttons) else promised, text=text)
        return words if heard else _without_cancelling(words)

    return tell


def _without_cancelling(words: Text | Buttons) -> Text | Buttons:
    if isinstance(words, Text):
        return words
    kept = tuple(reply for reply in words.replies if reply.id != CANCELS)
    return replace(words, replies=kept) if kept else Text(words.text)
