"""What a desk shows, and which changes concern that: of the others it need not hear. Pure.

Whoever does not say what they show hears of everything. In doubt a change concerns a list: a look too many costs a
little, one too few would leave a page behind.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.vocabulary import Change, Holder


@dataclass(frozen=True)
class News:
    """One change, and whose conversation it is by now."""

    key: str
    kind: Change
    holder: Holder
    agent_id: int | None


@dataclass(frozen=True)
class Interest:
    """What one browser tab shows."""

    account_id: int
    show: str  # the list; one we don't know may have anything in it
    keys: frozenset[str]  # the conversations

    def is_listed(self, news: News) -> bool:
        """Say whether the lists of this tab, or the numbers above them, may look different now."""
        match news.kind:
            case Change.STATUS:
                return False  # ticks stand in transcripts alone
            case Change.MESSAGE:
                return self._shows(news)
            case _:
                return True  # who moves from list to list changes every number; notes may mention anybody

    def _shows(self, news: News) -> bool:
        match news.holder:
            case Holder.QUEUE:
                return self.show not in {"mine", "others", "bot"}
            case Holder.BOT:
                return self.show not in {"queue", "mine", "others"}
            case Holder.AGENT:  # an agent's own ring for them whatever they look at
                return news.agent_id == self.account_id or self.show not in {"queue", "mine", "bot"}
