"""What our own rules refuse. The docstring of an error is its message."""

from __future__ import annotations


class BotError(Exception):
    """Our own rules do not allow this."""

    def __init__(self, detail: str = "") -> None:
        reason = (type(self).__doc__ or "").strip()
        super().__init__(f"{reason} {detail}".strip())


class BadSettings(BotError):
    """The settings can't be used."""


class BadContent(BotError):
    """A file in data/ can't be used."""


class TooLong(BotError):
    """WhatsApp would refuse this message."""


class ToldToStop(BotError):
    """Stopped before it was ready."""


class UnknownConversation(BotError):
    """There is no such conversation."""


class NotAllowed(BotError):
    """The conversation can't make this move now."""


class Overtaken(NotAllowed):
    """A person has it, or has had it since this was said; it is not sent again. Reply instead."""


class AlreadyTaken(BotError):
    """Another agent took this conversation first."""

    def __init__(self, detail: str = "", *, holder_name: str = "") -> None:
        super().__init__(detail)
        self.holder_name = holder_name


class NotYours(BotError):
    """Only the agent who holds this conversation can do that."""


class WindowClosed(BotError):
    """The contact last wrote more than 24 hours ago; only a template may be sent."""


class Blocked(BotError):
    """This contact is blocked, so WhatsApp delivers nothing to them; unblock them first."""


class LeaseLost(BotError):
    """Another process has taken this turn over."""


class BadHours(BotError):
    """These opening hours can't be read."""


class BadSnooze(BotError):
    """Until when it is put aside can't be that."""


class BadOutcome(BotError):
    """A handoff can't end like that."""


class UnknownTeam(BotError):
    """There is no such team."""


class BadTeam(BotError):
    """The team can't be like this."""


class TeamBusy(BotError):
    """This team can't be retired yet."""


class BadNeed(BotError):
    """This rule can't be kept."""


class AtCapacity(BotError):
    """No more conversations at once."""


class TrainingFailed(BotError):
    """The bot could not be trained."""


class UnknownHook(BotError):
    """There is no such hook."""


class UnknownHandoff(BotError):
    """There is no such handoff, or it was not you who brought it."""


class KeyUsed(BotError):
    """This Idempotency-Key, or id, was used for another text."""


class Closed(BotError):
    """This handoff is closed: the bot that brought it has the conversation again."""
