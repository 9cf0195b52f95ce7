"""The ways Meta says no: its codes, its wording, its JSON."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

TITLES = {
    0: "AuthException",
    1: "An unknown error has occurred.",
    2: "Service temporarily unavailable.",
    4: "Application request limit reached",
    33: "Business phone number has been deleted.",
    100: "Invalid parameter",
    190: "Error validating access token: the session is invalid.",
    368: "Temporarily blocked for policies violations",
    130429: "Rate limit hit",
    130472: "User's number is part of an experiment",
    131000: "Something went wrong",
    131005: "Access denied",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131016: "Service unavailable",
    131021: "Recipient cannot be sender",
    131026: "Message undeliverable",
    131031: "Business Account locked",
    131042: "Business eligibility payment issue",
    131047: "Re-engagement message",
    131048: "Spam rate limit hit",
    131049: "This message was not delivered to maintain healthy ecosystem engagement.",
    131051: "Unsupported message type",
    131053: "Media upload error",
    131056: "(Business Account, Consumer Account) pair rate limit hit",
    131057: "Account in maintenance mode",
    131030: "Recipient phone number not in allowed list",
    131050: "Unable to deliver the message. This recipient has chosen to stop receiving marketing messages.",
    131052: "Media download error",
    131062: "Business-scoped user ID recipients are not supported for this message",
    132000: "Number of parameters does not match the expected number of params",
    132001: "Template name does not exist in the translation",
    132005: "Translated text too long",
    132012: "Parameter format does not match format in the created template",
    132015: "Template is paused",
    132016: "Template is disabled",
    133004: "Server temporarily unavailable",
    139100: "Failed to block/unblock users",
    139102: "Blocklist concurrent update",
}

DETAILS = {
    130429: "Message failed to send because there were too many messages sent from this phone number in a short time.",
    131026: "Message Undeliverable.",
    131047: "Message failed to send because more than 24 hours have passed since the last reply to this number.",
    131030: "Recipient phone number not in allowed list: Add recipient phone number to recipient list and try again.",
    131021: "Sender and recipient phone number can not be the same.",
    132015: "This template is paused because of low quality and cannot be sent.",
    132016: "This template was paused too many times and is now disabled for good.",
    139100: "Some users could not be blocked or unblocked; see failed_users.",
    131053: "The media could not be downloaded from the link, or its type is not supported.",
    131056: "Message failed to send because there were too many messages from this number to the same contact.",
}

HTTP = {
    0: 401, 190: 401, 2: 503, 3: 500, 10: 403, 368: 403, 131000: 500, 131005: 403, 131016: 500, 131031: 403,
    131045: 500, 131057: 500, 132001: 404, 133004: 503,
}  # fmt: skip

PLAIN = {0, 190, 2500}
"""Errors of the Graph API itself, whose message carries no code."""

TRANSIENT = {2, 4, 130429, 131000, 131016, 131056, 131057, 133004}


@dataclass(eq=False)
class Refused(Exception):
    """Meta would answer this call with an error of this code."""

    code: int
    details: str = ""
    message: str = ""
    subcode: int | None = None
    type: str = "OAuthException"

    @property
    def http(self) -> int:
        return HTTP.get(self.code, 400)

    def body(self) -> dict[str, Any]:
        """Return the error as Meta words it; `error_data` is there when there are details."""
        title = self.message or TITLES.get(self.code, "Unknown error")
        error: dict[str, Any] = {
            "message": title if self.code in PLAIN or self.subcode == 33 else f"(#{self.code}) {title}",
            "type": self.type,
            "code": self.code,
            "fbtrace_id": "A" + secrets.token_urlsafe(17),
        }
        details = self.details or DETAILS.get(self.code, "")
        if details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": details}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.code in TRANSIENT:
            error["is_transient"] = True
        return {"error": error}


def report_error(code: int) -> dict[str, Any]:
    """Return the item of `statuses[].errors[]` which says why a message failed after it was accepted."""
    title = TITLES.get(code, "Unknown error")
    return {
        "code": code,
        "title": title,
        "message": title,
        "error_data": {"details": DETAILS.get(code, title)},
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
    }


def missing(name: str) -> Refused:
    return Refused(131008, f"The parameter {name} is required.")


def invalid(details: str) -> Refused:
    return Refused(131009, details)


def unknown_object(name: str, method: str = "get") -> Refused:
    """An id in the URL that Meta does not know, or that this token may not see."""
    return Refused(
        100,
        message=f"Unsupported {method.lower()} request. Object with ID '{name}' does not exist, cannot be loaded due to"
        " missing permissions, or does not support this operation. Please read the Graph API documentation at"
        " https://developers.facebook.com/docs/graph-api",
        subcode=33,
        type="GraphMethodException",
    )


def unknown_path(path: str) -> Refused:
    """An address that no version of the Graph API has."""
    return Refused(2500, message=f"Unknown path components: {path}")
