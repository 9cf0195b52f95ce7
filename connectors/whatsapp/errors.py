"""What Meta answers, sorted into the few kinds the sender can act on (Meta's codes as of November 2026). Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from enum import Enum

WAIT_MAX_S = 3600.0  # however long Meta asks us to wait, look again after an hour


class Scope(str, Enum):
    """What has to go slower."""

    MESSAGE = "message"  # a fault of Meta's own; others may get through
    CONTACT = "contact"  # messages to this contact; nobody else is affected
    NUMBER = "number"  # everything from this business number
    ACCOUNT = "account"  # every call of this app or account


class WhatsAppError(Exception):
    """The Cloud API refused, or could not be asked."""

    def __init__(self, words: str, code: int = 0, *, subcode: int = 0, retry_after_s: float | None = None) -> None:
        super().__init__(f"{words} ({code})" if code else words)
        self.words = words
        self.code = code
        self.subcode = subcode
        self.retry_after_s = retry_after_s  # as Meta asks, if it does

    @property
    def scope(self) -> Scope:
        """What has to go slower."""
        return SCOPE_OF.get(self.code, Scope.MESSAGE if self.code else Scope.NUMBER)

    @property
    def attempts_max(self) -> int | None:
        """After how many attempts it is given up; None if it is worth waiting however long it takes."""
        return ATTEMPTS_MAX_OF.get(self.code)


class Throttled(WhatsAppError):
    """Too fast, or Meta is unwell: the same message may go later. `scope` says what has to go slower."""


class Unreachable(WhatsAppError):
    """No readable answer: Meta may have accepted the message, so wait and listen before sending again."""


class NotConnected(WhatsAppError):
    """The request never left, or not whole: nothing was sent, so it may be sent again at once."""


class TooSlow(NotConnected):
    """It could not leave in time, though we are connected: it may be too large for this line."""


class WindowShut(WhatsAppError):
    """The contact last wrote more than 24 hours ago; only a template may be sent."""


class SignedOut(WhatsAppError):
    """The token, the number or the account may not send at all; nothing is wrong with the message."""


class Refused(WhatsAppError):
    """Meta will never take this message as it is."""


class UserStopped(Refused):
    """The contact wants no marketing messages; replies are still allowed."""


class NumberNeeded(Refused):
    """It can't be addressed by a user id: the contact's phone number is needed."""


class TemplateGone(Refused):
    """The template, or the form, is missing, paused or blocked; another one may go, and somebody has to look at it."""


class MediaGone(Refused):
    """The file is not there, or not there any more: look its address up again, or upload it again."""


class TooBig(Refused):
    """The file is larger than we or WhatsApp take."""


PAIR_LIMIT = 131056  # too many messages to one contact; nobody else is affected
UNKNOWN_OBJECT = 33  # the subcode of 100 that says: no such number or file, for this token

KIND_OF: dict[int, type[WhatsAppError]] = {
    **dict.fromkeys((2, 4, 80007, 130429, 131016, PAIR_LIMIT, 131057, 133004), Throttled),
    **dict.fromkeys((1, 131000), Throttled),  # unknown faults of theirs: a few more tries, then it fails
    **dict.fromkeys((137000, 139102, 139103), Throttled),
    **dict.fromkeys((0, 3, 10, 33, 190, 368, 131005, 131031, 131037, 131042, 131044, 131045, 131064), SignedOut),
    **dict.fromkeys((133000, 133005, 133006, 133008, 133009, 133010, 133015, 133016), SignedOut),
    131048: SignedOut,  # many have reported this number: sending on makes it worse
    **dict.fromkeys(range(200, 300), SignedOut),
    131047: WindowShut,
    131050: UserStopped,
    131062: NumberNeeded,
    131053: MediaGone,
    **dict.fromkeys((132001, 132015, 132016, 132068, 132069), TemplateGone),
    **dict.fromkeys((100, 130472, 130497, 131008, 131009, 131021, 131026, 131030, 131049, 131051, 131052), Refused),
    **dict.fromkeys((131055, 131059, 131063, 132000, 132005, 132007, 132012, 134011, 135000), Refused),
    **dict.fromkeys((134100, 134101, 134102, 139100, 139101), Refused),
    **dict.fromkeys(range(147001, 147006), Refused),
}

SCOPE_OF: dict[int, Scope] = {
    PAIR_LIMIT: Scope.CONTACT,
    **dict.fromkeys((130429, 131048, 131057), Scope.NUMBER),
    **dict.fromkeys((4, 80007), Scope.ACCOUNT),
}

ATTEMPTS_MAX_OF = {1: 3, 131000: 3, 137000: 2, 139102: 3, 139103: 3}

LEAST_WAIT_S = {131057: 60.0, 131048: 600.0}  # what Meta asks for in its documentation, not in its answer

IN_WORDS = {
    1: "WhatsApp had a fault of its own",
    2: "WhatsApp is not available at the moment",
    4: "we ask WhatsApp too often at the moment",
    100: "WhatsApp did not understand this message; please tell whoever looks after Baton",
    190: "WhatsApp does not accept our access token any more",
    368: "WhatsApp has restricted our account",
    80007: "we ask WhatsApp too often at the moment",
    130429: "too many messages from our number at the moment",
    130472: "the contact is in an experiment of Meta's; nothing can be sent",
    130497: "we may not write to contacts in this country",
    131000: "WhatsApp had a fault of its own",
    131005: "we may not do this; a permission is missing",
    131008: "something is missing in this message; please tell whoever looks after Baton",
    131009: "something in this message is not as WhatsApp wants it; please tell whoever looks after Baton",
    131016: "WhatsApp is not available at the moment",
    131021: "this is our own number",
    131026: "WhatsApp could not deliver it: the number is not on WhatsApp, or uses a very old version",
    131030: "this is a test number, which may only write to the numbers on its list",
    131031: "WhatsApp has locked our account",
    131037: "WhatsApp has not approved the name of our number yet",
    131042: "there is a problem with how we pay for messages",
    131044: "there is a problem with how we pay for messages",
    131045: "our number is not registered properly",
    131047: "more than 24 hours since the contact last wrote; only a template may be sent",
    131048: "too many people have blocked or reported our number; WhatsApp has stopped it for now",
    131049: "Meta withheld it to protect the contact from too many messages; try again tomorrow at the earliest",
    131050: "the contact has stopped marketing messages",
    131051: "WhatsApp does not support this type of message",
    131052: "WhatsApp could not fetch what the contact sent; ask them to send it again, smaller",
    131053: "WhatsApp could not load the picture or file",
    131056: "too many messages to this contact in a short time",
    131057: "our number is being upgraded; this takes a minute",
    131062: "the contact hides their phone number, and this kind of message needs it; ask for the number first",
    131063: "marketing templates are switched off for our account",
    131064: "WhatsApp has limited our account because of its templates",
    132000: "the template got more or fewer texts than it has gaps",
    132001: "there is no approved template of this name in this language",
    132005: "the template is too long with these texts in it",
    132007: "WhatsApp does not allow what this template says",
    132012: "a text of the template is not in the right form",
    132015: "WhatsApp has paused this template because contacts did not like it",
    132016: "WhatsApp has switched this template off for good",
    132068: "WhatsApp has blocked this form",
    132069: "this form is sent too often at the moment",
    133004: "WhatsApp is not available at the moment",
    133010: "our number is not registered with WhatsApp",
    135000: "WhatsApp did not understand this message; please tell whoever looks after Baton",
    137000: "the contact's security code has changed",
    139100: "WhatsApp could not block or unblock this contact",
    139101: "our list of blocked contacts is full",
    139102: "the list of blocked contacts changed in between; please try again",
    139103: "WhatsApp could not block or unblock this contact just now; please try again",
    **dict.fromkeys((0, 3, 10, *range(200, 300)), "WhatsApp does not let us in; a permission is missing"),
    **dict.fromkeys((134011, *range(134100, 134103)), "our account may not send this kind of message"),
    **dict.fromkeys((33, *(code for code in KIND_OF if 133000 <= code < 134000 and code not in {133004, 133010})),
                    "our number is not registered properly"),
}  # fmt: skip


# What something between us and Meta says: after a 2xx, a 5xx or a time-out the message may have been accepted; a proxy
# that does not know us, or an address that leads elsewhere, is no reason to give a message up.
_CODELESS: dict[int, type[WhatsAppError]] = {
    200: Unreachable,
    408: Unreachable,
    429: Throttled,
    **dict.fromkeys((301, 302, 307, 308, 401, 403, 404, 405, 407), SignedOut),
}


def in_words(code: int, otherwise: str) -> str:
    """Return why a message failed, in words an agent understands."""
    return f"{IN_WORDS.get(code, otherwise)} ({code})" if code else otherwise


def error_of(status_code: int, body: object, headers: Mapping[str, str] | None = None) -> WhatsAppError:
    """Sort Meta's answer by its code; where it has none (a proxy's HTML page), by HTTP status."""
    asked = waiting_s(headers or {})
    problem = body.get("error") if isinstance(body, dict) else None
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), int):
        words = f"HTTP {status_code} without a readable error"
        kind = _CODELESS.get(status_code, Unreachable if status_code >= 500 else Refused)
        return kind(words, retry_after_s=asked)
    code, subcode = problem["code"], problem.get("error_subcode")
    data = problem.get("error_data")
    details = data.get("details", "") if isinstance(data, dict) else ""
    words = IN_WORDS.get(code, str(details or problem.get("message", "no reason given")))
    # A code nobody has heard of: Meta's own word for whether it will pass.
    unheard_of = Throttled if problem.get("is_transient") is True else Refused
    kind = KIND_OF.get(code, unheard_of)
    least = LEAST_WAIT_S.get(code)
    waits = [wait for wait in (asked, least) if wait is not None] if issubclass(kind, (Throttled, SignedOut)) else []
    return kind(words, code, subcode=subcode if isinstance(subcode, int) else 0, retry_after_s=max(waits, default=None))


def waiting_s(headers: Mapping[str, str]) -> float | None:
    """Return how long Meta asks us to wait, in either of its two ways; None if it does not, one hour at the most."""
    waits = [_retry_after_s(headers.get("Retry-After", "")), _usage_s(headers.get("X-Business-Use-Case-Usage", ""))]
    asked = [min(wait, WAIT_MAX_S) for wait in waits if wait is not None and math.isfinite(wait) and wait > 0]
    return max(asked, default=None)


def _retry_after_s(words: str) -> float | None:
    """Read seconds, or the date of RFC 9110."""
    if re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", words, re.ASCII):
        return float(words)
    try:
        at = parsedate_to_datetime(words)
    except (TypeError, ValueError, IndexError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    return (at - datetime.now(timezone.utc)).total_seconds()


def _usage_s(words: str) -> float | None:
    """Read `{"<account>": [{"estimated_time_to_regain_access": <minutes>, …}]}`."""
    try:
        usage = json.loads(words)
        rows = [row for rows in usage.values() for row in rows]
        return max((60.0 * float(row.get("estimated_time_to_regain_access") or 0) for row in rows), default=None)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
