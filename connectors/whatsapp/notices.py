"""What Meta tells of templates, of the account and of our numbers → updates, in words for whoever must act. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from bot.updates import TemplatesChanged, Unsupported, Update, Warned
from connectors.whatsapp import loose
from connectors.whatsapp.reading import Around

WORRYING = re.compile("BAN|BLOCK|DELET|DISABL|FLAGGED|PAYMENT|REJECT|RESTRICT|SUSPEND|VIOLAT")
KEPT = {  # fields we know and have no use for
    "automatic_events": "leads and purchases that Meta guessed from what was said",
    "business_username_update": "our own username changed",
    "calls": "a call; calls are not served",
    "history": "older messages from the WhatsApp Business app",
    "messaging_handovers": "a conversation changed hands between us and Meta's Business Agent",
    "partner_solutions": "a matter between Meta's partners",
    "smb_app_state_sync": "the address book of the WhatsApp Business app",
}


def read(value: dict[str, Any], around: Around) -> Update:
    """Read the value of a field that is about no conversation."""
    if around.came_in in READERS:
        return READERS[around.came_in](value)
    if around.came_in.startswith("group_"):
        return Unsupported(around.came_in, "groups are not served")
    return Unsupported(around.came_in, KEPT.get(around.came_in, "a field we don't know"))


def _template(what: Callable[[dict[str, Any]], str]) -> Callable[[dict[str, Any]], Update]:
    def read_template(value: dict[str, Any]) -> Update:
        name = loose.line(value.get("message_template_name"), 512)
        return TemplatesChanged(name, loose.line(value.get("message_template_language"), 32), what(value).strip())

    return read_template


def _shout(value: Any) -> str:
    """Return one of Meta's words in capitals."""
    return loose.line(value, 64).upper()


def _calmly(value: Any) -> str:
    """Return one of Meta's words as people write it."""
    return loose.line(value, 64).replace("_", " ").lower()


def _account(value: dict[str, Any]) -> Update:
    event = _shout(value.get("event"))
    words = _account_words(event, value)
    if words:
        return Warned("account_update", words)
    state = _shout(loose.node(value.get("ban_info")).get("waba_ban_state"))
    return Unsupported("account_update", f"{event} {state}".strip())


def _account_words(event: str, value: dict[str, Any]) -> str:
    match event:
        case "ACCOUNT_DELETED":
            return "Our WhatsApp Business account was deleted: nothing is sent or received any more."
        case "ACCOUNT_OFFBOARDED":
            return "Our WhatsApp Business account was disconnected from the Cloud API: nothing is sent or received."
        case "ACCOUNT_RESTRICTION":
            return f"Meta restricted our account: {_restrictions(value)}. What may be done stands in WhatsApp Manager."
        case "ACCOUNT_VIOLATION":
            kind = _calmly(loose.node(value.get("violation_info")).get("violation_type")) or "no reason given"
            return f"Meta says that our account broke its policy ({kind}); an appeal begins in Business Support Home."
        case "DISABLED_UPDATE":
            return _ban(loose.node(value.get("ban_info")))
        case "PARTNER_REMOVED" | "PARTNER_APP_UNINSTALLED":
            why = _calmly(loose.node(value.get("disconnection_info")).get("reason"))
            return f"Our app lost its access to the WhatsApp Business account{f' ({why})' if why else ''}."
        case "PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE":
            outcome = _shout(loose.node(value.get("partner_client_certification_info")).get("status"))
            return "" if outcome in {"APPROVED", "PENDING"} else f"Our business was not verified ({_calmly(outcome)})."
        case _ if WORRYING.search(event):
            return f"Meta tells of our account: {_calmly(event)}. Look in WhatsApp Manager."
        case _:
            return ""


def _ban(info: dict[str, Any]) -> str:
    state, date = _shout(info.get("waba_ban_state")), loose.line(info.get("waba_ban_date"), 40)
    since = f" ({date})" if date else ""
    match state:
        case "REINSTATE":
            return ""
        case "SCHEDULE_FOR_DISABLE":
            return f"Meta is about to disable our account{since}; an appeal begins in Business Support Home."
        case _:
            return f"Meta disabled our account{since}; an appeal begins in Business Support Home."


def _restrictions(value: dict[str, Any]) -> str:
    found = []
    for info in loose.dicts(value.get("restriction_info"))[:5]:
        ends = loose.moment(info.get("expiration"))
        found.append(_calmly(info.get("restriction_type")) + (f" until {ends:%d %B %Y %H:%M} UTC" if ends else ""))
    return "; ".join(found) or "it does not say how"


def _alert(value: dict[str, Any]) -> Update:
    info = loose.node(value.get("alert_info"))
    severity, kind = _shout(info.get("alert_severity")), _calmly(info.get("alert_type"))
    if severity == "INFORMATIONAL" or _shout(info.get("alert_status")) == "NONE":
        return Unsupported("account_alerts", kind)
    return Warned("account_alerts", loose.line(info.get("alert_description"), 400) or f"Meta warns: {kind}.")


def _review(value: dict[str, Any]) -> Update:
    decision = _shout(value.get("decision"))
    if decision == "APPROVED":
        return Unsupported("account_review_update", decision)
    words = f"Meta reviewed our account and has not approved it ({_calmly(decision)}): it can't be used as yet."
    return Warned("account_review_update", words)


def _quality(value: dict[str, Any]) -> Update:
    event, number = _shout(value.get("event")), loose.line(value.get("display_phone_number"), 40)
    limit = loose.line(value.get("max_daily_conversations_per_business") or value.get("current_limit"), 40)
    rating = _shout(value.get("new_quality_score") or value.get("quality_rating"))
    if event in {"FLAGGED", "DOWNGRADE"} or rating == "RED":
        said = _calmly(event) or "red"
        words = f"The quality of our number {number} is low ({said}): people block or report us, and limits may shrink."
        return Warned("phone_number_quality_update", words)
    return Unsupported("phone_number_quality_update", f"{event} {limit}".strip())


def _name(value: dict[str, Any]) -> Update:
    decision, name = _shout(value.get("decision")), loose.line(value.get("requested_verified_name"), 100)
    if decision != "REJECTED":
        return Unsupported("phone_number_name_update", decision)
    why = _calmly(value.get("rejection_reason")) or "no reason given"
    return Warned("phone_number_name_update", f"Meta refused the display name “{name}” ({why}).")


def _security(value: dict[str, Any]) -> Update:
    event, number = _calmly(value.get("event")), loose.line(value.get("display_phone_number"), 40)
    return Warned(
        "security", f"Two-step verification of our number {number}: {event}. If that was none of us, act now."
    )


def _capability(value: dict[str, Any]) -> Update:
    names = ("max_daily_conversations_per_business", "max_daily_conversation_per_phone", "max_phone_numbers_per_waba")
    found = loose.scalars(value, names, 40)
    return Unsupported("business_capability_update", ", ".join(f"{name}: {most}" for name, most in found.items()))


def _payment(value: dict[str, Any]) -> Update:
    state = _shout(value.get("status"))
    if state == "ACTIVE":
        return Unsupported("payment_configuration_update", state)
    name = loose.line(value.get("configuration_name"), 100)
    return Warned(
        "payment_configuration_update", f"The payment configuration {name} is not in order ({_calmly(state)})."
    )


READERS: dict[str, Callable[[dict[str, Any]], Update]] = {
    "message_template_status_update": _template(lambda value: _shout(value.get("event"))),
    "message_template_quality_update": _template(lambda value: f"QUALITY {_shout(value.get('new_quality_score'))}"),
    "message_template_components_update": _template(lambda _value: "COMPONENTS"),
    "template_category_update": _template(
        lambda value: f"CATEGORY {_shout(value.get('new_category') or value.get('correct_category'))}"
    ),
    "account_update": _account,
    "account_alerts": _alert,
    "account_review_update": _review,
    "phone_number_quality_update": _quality,
    "phone_number_name_update": _name,
    "security": _security,
    "business_capability_update": _capability,
    "payment_configuration_update": _payment,
}
