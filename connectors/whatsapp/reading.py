"""One item of a delivery → one update: messages, echoes, statuses, preferences, errors. Pure.

A reader may raise what `contents.MALFORMED` names; `guarded` turns that into an update too, so that every item leaves
one, and none harms its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bot import messages as says
from bot.updates import (
    ContactRef,
    Deleted,
    Echoed,
    Edited,
    IdentityChanged,
    Origin,
    Preferred,
    Received,
    Renumbered,
    Reported,
    Unsupported,
    Update,
    Warned,
)
from bot.vocabulary import Status
from connectors.whatsapp import contents, loose
from connectors.whatsapp.errors import KIND_OF, SignedOut, Throttled, in_words

NAME_MAX = 200
ERROR_MAX = 400  # the ledger's column has 500
STATUSES = {
    status.value: status for status in (Status.SENT, Status.DELIVERED, Status.READ, Status.PLAYED, Status.FAILED)
}
MARKETING = {"stop": False, "resume": True, "signup": True}
NEW_NUMBER = {"user_changed_number", "customer_changed_number", "user_changed_user_id"}  # the second until 2026
NEW_CODE = {"customer_identity_changed", "user_identity_changed"}
PRICING = ("billable", "pricing_model", "type", "category")
PRODUCT = ("catalog_id", "product_retailer_id")
REFERRAL = (
    "source_url",
    "source_id",
    "source_type",
    "headline",
    "body",
    "media_type",
    "image_url",
    "video_url",
    "thumbnail_url",
    "ctwa_clid",
)


@dataclass(frozen=True)
class Around:
    """What stands around the items of one change, and counts for all of them."""

    came_in: str  # the field
    number: str = ""  # the phone number id of ours it came for
    by_bsuid: dict[str, dict[str, Any]] = field(default_factory=dict)  # the contacts' cards, by either id
    by_phone: dict[str, dict[str, Any]] = field(default_factory=dict)
    only: dict[str, Any] = field(default_factory=dict)  # the card, where there is one card and one item

    @property
    def standby(self) -> bool:
        """Say whether Meta's Business Agent has the conversation."""
        return self.came_in == "standby"


def around(name: str, value: dict[str, Any], many: bool) -> Around:
    """Return what stands around the items of a value; `many` says that there are several."""
    cards = loose.dicts(value.get("contacts"))
    found = Around(
        name,
        loose.line(loose.node(value.get("metadata")).get("phone_number_id"), 64),
        only=cards[0] if len(cards) == 1 and not many else {},
    )
    for card in cards:
        phone, bsuid = _ids(card.get("wa_id"), card.get("user_id"))
        if phone:
            found.by_phone.setdefault(phone, card)
        if bsuid:
            found.by_bsuid.setdefault(bsuid, card)
    return found


Reader = Callable[[dict[str, Any], Around], Update]


def guarded(read_item: Reader, item: dict[str, Any] | None, around: Around) -> Update:
    """Read one item; a malformed one is said to be so and harms no other."""
    if item is None:
        return Unsupported(around.came_in, "not an object", unreadable=True)
    try:
        return read_item(item, around)
    except contents.MALFORMED as problem:
        kind = loose.line(item.get("type") or item.get("status"), 64) or around.came_in
        # Python's own words may quote what was said.
        why = str(problem) if isinstance(problem, loose.Unusable) else f"malformed: {type(problem).__name__}"
        return Unsupported(kind, why, unreadable=True)


def message(item: dict[str, Any], around: Around) -> Update:
    """Read what a contact said, or did to what they had said."""
    wamid, kind, at = _wamid(item.get("id")), contents.kind_of(item), loose.moment(item.get("timestamp"))
    special = _special(kind, item, around)
    if special is not None:
        return special
    said = contents.read(kind, item)
    return Received(
        wamid=wamid,
        phone_number_id=around.number,
        contact=_named(item.get("from"), item.get("from_user_id"), around),
        content=said.content,
        sent_at=at,
        reply_to=said.reply_to,
        wants_answer=said.wants_answer and not around.standby,
        origin=_origin(item),
        media_url=said.media_url,
        media_sha256=said.media_sha256,
        standby=around.standby,
    )


def echo(item: dict[str, Any], around: Around) -> Update:
    """Read what the business said elsewhere: on the phone, or, while we stand by, Meta's Business Agent."""
    wamid, kind, at = _wamid(item.get("id")), contents.kind_of(item), loose.moment(item.get("timestamp"))
    special = _special(kind, item, around)
    if special is not None:
        return special
    said = contents.read(kind, item)
    return Echoed(
        wamid=wamid,
        phone_number_id=around.number,
        contact=_named(item.get("to"), item.get("to_user_id"), around),
        content=said.content,
        sent_at=at,
        reply_to=said.reply_to,
        media_url=said.media_url,
        media_sha256=said.media_sha256,
        standby=around.standby,
    )


def _special(kind: str, item: dict[str, Any], around: Around) -> Update | None:
    """Return the update of a message that says nothing of its own, None for all others."""
    if item.get("group_id"):
        return Unsupported("group", "a message in a group; groups are not served")
    match kind:
        case "edit":
            return _edited(item)
        case "revoke":
            original = _wamid(item["revoke"].get("original_message_id"))
            return Deleted(_wamid(item["id"]), original, loose.moment(item.get("timestamp")))
        case "system":
            return _system(item, around)
        case _:
            return None


def _edited(item: dict[str, Any]) -> Update:
    now_says = item["edit"]["message"]
    return Edited(
        wamid=_wamid(item["id"]),
        original=_wamid(item["edit"].get("original_message_id")),
        content=contents.read(contents.kind_of(now_says), now_says).content,
        at=loose.moment(item.get("timestamp")),
    )


def _system(item: dict[str, Any], around: Around) -> Update:
    wamid, at = _wamid(item["id"]), loose.moment(item.get("timestamp"))
    node = item["system"]
    kind = loose.line(node.get("type"), 64)
    if kind in NEW_CODE:
        contact = _named(item.get("from"), item.get("from_user_id"), around)
        return IdentityChanged(wamid, around.number, contact, at)
    if kind not in NEW_NUMBER:
        return Unsupported("system", kind)
    # Which of the two ids `from_user_id` is, Meta does not say; beside one of them it can only be the other.
    sender = loose.word(item.get("from_user_id"), loose.BSUID_MAX)
    before = loose.word(node.get("previous_user_id"), loose.BSUID_MAX)
    after = loose.word(node.get("user_id"), loose.BSUID_MAX)
    if before is None and after is not None and sender != after:
        before = sender
    elif after is None and before is not None and sender != before:
        after = sender
    old = ContactRef(loose.digits(item.get("from")), before)
    new = ContactRef(loose.digits(node.get("wa_id")) or loose.digits(node.get("new_wa_id")), after)
    if not (old.phone or old.bsuid) or not (new.phone or new.bsuid) or old == new:
        return Unsupported("system", f"{kind}, but not from what to what")
    return Renumbered(wamid, around.number, old, new, at)


def status(item: dict[str, Any], _around: Around) -> Update:
    """Read how far a message of ours got."""
    named = loose.line(item.get("status"), 40)
    if item.get("recipient_type") == "group":
        return Unsupported("group", f"status {named} of a message in a group; groups are not served")
    if named not in STATUSES:
        return Unsupported(f"status {named}", "a status we don't know")
    heard = STATUSES[named]
    at = loose.moment(item.get("timestamp"))
    if at is None:
        raise loose.Unusable("a report without its moment")
    error, code = _why(item) if heard is Status.FAILED else ("", 0)
    return Reported(
        wamid=_wamid(item.get("id")),
        status=heard,
        at=at,
        callback=loose.text(item.get("biz_opaque_callback_data"), says.CALLBACK_MAX),
        error=error,
        code=code,
        pricing=loose.scalars(item.get("pricing"), PRICING, 64) or None,
        passes=code != 0 and KIND_OF.get(code) is Throttled,
        stops=code != 0 and KIND_OF.get(code) is SignedOut,
    )


def preference(item: dict[str, Any], around: Around) -> Update:
    """Read whether a contact still wants marketing messages."""
    category, value = loose.line(item.get("category"), 64), loose.line(item.get("value"), 64)
    if category != "marketing_messages" or value not in MARKETING:
        return Unsupported("user_preferences", f"{category}: {value}")
    contact = _named(item.get("wa_id"), item.get("user_id"), around)
    return Preferred(around.number, contact, MARKETING[value], loose.moment(item.get("timestamp")))


def fault(item: dict[str, Any], _around: Around) -> Update:
    """Read an error that belongs to no message: the system's, the app's or the account's."""
    code, words = loose.whole(item.get("code")), _details(item)
    is_said = type(item.get("code")) is int  # 0 is a code, too
    if is_said and KIND_OF.get(code) is SignedOut:
        return Warned(f"errors {code}", f"WhatsApp says that we may not send: {in_words(code, words)}")
    return Unsupported("error", f"{code}: {words}")


def _why(item: dict[str, Any]) -> tuple[str, int]:
    for problem in loose.dicts(item.get("errors")):
        code = loose.whole(problem.get("code"))
        return in_words(code, _details(problem))[:ERROR_MAX], code
    return "WhatsApp could not deliver it", 0


def _details(problem: dict[str, Any]) -> str:
    details = loose.node(problem.get("error_data")).get("details")
    words = (loose.line(said, 200) for said in (details, problem.get("title"), problem.get("message")))
    return next(filter(None, words), "no reason given")


def _wamid(value: Any) -> str:
    wamid = loose.word(value, loose.ID_MAX)
    if wamid is None:
        raise loose.Unusable("it has no usable id")
    return wamid


def _ids(phone: Any, bsuid: Any) -> tuple[str | None, str | None]:
    return loose.digits(phone), loose.word(bsuid, loose.BSUID_MAX)


def _named(phone: Any, bsuid: Any, around: Around) -> ContactRef:
    """Join what the item and its card say of a contact; either may lack either id."""
    digits, user_id = _ids(phone, bsuid)
    card = _card(digits, user_id, around)
    their_digits, their_id = _ids(card.get("wa_id"), card.get("user_id"))
    digits, user_id = digits or their_digits, user_id or their_id
    if digits is None and user_id is None:
        raise loose.Unusable("nobody is named as its contact")
    profile = loose.node(card.get("profile"))
    name, username = loose.line(profile.get("name"), NAME_MAX), loose.line(profile.get("username"), NAME_MAX)
    return ContactRef(digits, user_id, name, username)


def _card(digits: str | None, user_id: str | None, around: Around) -> dict[str, Any]:
    """Find a contact's card. One that shares no id is theirs where it is the only one and does not contradict."""
    if user_id and user_id in around.by_bsuid:
        return around.by_bsuid[user_id]
    if digits and digits in around.by_phone:
        return around.by_phone[digits]
    their_digits, their_id = _ids(around.only.get("wa_id"), around.only.get("user_id"))
    contradicts = (digits and their_digits) or (user_id and their_id)
    return {} if contradicts else around.only


def _origin(item: dict[str, Any]) -> Origin:
    context = loose.node(item.get("context"))
    often = context.get("frequently_forwarded") is True
    referral = loose.scalars(item.get("referral"), REFERRAL, says.URL_MAX)
    welcome = loose.text(loose.node(loose.node(item.get("referral")).get("welcome_message")).get("text"), says.BODY_MAX)
    if welcome:
        referral["welcome_message"] = {"text": welcome}
    return Origin(
        forwarded=often or context.get("forwarded") is True,
        forwarded_often=often,
        referral=referral,
        product=loose.scalars(context.get("referred_product"), PRODUCT, 200),
    )
