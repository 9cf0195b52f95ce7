"""What Meta answers, sorted into the few kinds the sender can act on (Meta's codes as of November 2026)."""

from __future__ import annotations


class WhatsAppError(Exception):
    """The Cloud API refused, or could not be asked."""

    def __init__(self, words: str, code: int = 0) -> None:
        super().__init__(f"{words} ({code})" if code else words)
        self.code = code


class Throttled(WhatsAppError):
    """Too fast, or Meta is unwell: the same message may go later."""


class Unreachable(WhatsAppError):
    """No readable answer: Meta may have accepted the message, so wait and listen before sending again."""


class NotConnected(WhatsAppError):
    """The request never left: nothing was sent, so it may be sent again at once."""


class WindowShut(WhatsAppError):
    """The contact last wrote more than 24 hours ago; only a template may be sent."""


class SignedOut(WhatsAppError):
    """The token, the number or the account may not send at all; nothing is wrong with the message."""


class Refused(WhatsAppError):
    """Meta will never take this message as it is."""


PAIR_LIMIT = 131056  # too many messages to one contact; nobody else is affected

KIND_OF: dict[int, type[WhatsAppError]] = {
    **dict.fromkeys((2, 4, 80007, 130429, 131016, 131048, PAIR_LIMIT, 131057, 133004), Throttled),
    **dict.fromkeys((1, 131000), Throttled),  # unknown faults of theirs: a few more tries, then it fails
    **dict.fromkeys((0, 3, 10, 33, 190, 368, 131005, 131031, 131037, 131042, 131044, 131045, 131064), SignedOut),
    **dict.fromkeys((133000, 133005, 133006, 133008, 133009, 133010, 133015, 133016), SignedOut),
    **dict.fromkeys(range(200, 300), SignedOut),
    131047: WindowShut,
}

IN_WORDS = {
    131026: "WhatsApp could not deliver it: the number is not on WhatsApp, or uses a very old version",
    131047: "more than 24 hours since the contact last wrote; only a template may be sent",
    131050: "the contact has stopped marketing messages",
    131051: "WhatsApp does not support this type of message",
    131053: "WhatsApp could not load the picture or file",
    131056: "too many messages to this contact in a short time",
    130472: "the contact is in an experiment of Meta's; nothing can be sent",
    131049: "Meta withheld it to protect the contact from too many messages",
}


# What something between us and Meta says: after a 2xx, a 5xx or a time-out the message may have been accepted; a proxy
# that does not know us is no reason to give a message up.
_CODELESS: dict[int, type[WhatsAppError]] = {
    200: Unreachable,
    408: Unreachable,
    429: Throttled,
    **dict.fromkeys((301, 302, 307, 308, 401, 403, 407), SignedOut),
}


def in_words(code: int, otherwise: str) -> str:
    """Return why a message failed, in words an agent understands."""
    return f"{IN_WORDS.get(code, otherwise)} ({code})" if code else otherwise


def error_of(status_code: int, body: object) -> WhatsAppError:
    """Sort Meta's answer by its code; where it has none (a proxy's HTML page), by HTTP status."""
    problem = body.get("error") if isinstance(body, dict) else None
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), int):
        words = f"HTTP {status_code} without a readable error"
        return _CODELESS.get(status_code, Unreachable if status_code >= 500 else Refused)(words)
    code = problem["code"]
    data = problem.get("error_data")
    details = data.get("details", "") if isinstance(data, dict) else ""
    words = in_words(code, str(details or problem.get("message", "no reason given"))).removesuffix(f" ({code})")
    return KIND_OF.get(code, Refused)(words, code)
