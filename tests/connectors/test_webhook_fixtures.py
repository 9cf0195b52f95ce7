"""Our own bodies, one for each thing Meta says and pywa's shelf lacks. A new file needs a line here: what it means."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from bot.messages import Answers, Card, Cards, Inbound, Item, Media, Order, Other, Place, Reaction, Tap, Text
from bot.updates import (
    ContactRef,
    Deleted,
    Echoed,
    Edited,
    IdentityChanged,
    Misdirected,
    Origin,
    Preferred,
    Received,
    Renumbered,
    Reported,
    TemplatesChanged,
    Unsupported,
    Update,
    Warned,
)
from bot.vocabulary import Status
from connectors.whatsapp import webhook
from connectors.whatsapp.errors import in_words

FOLDER = Path(__file__).parents[1] / "fixtures" / "webhooks"
NUMBER = "100000000000001"
OURS = webhook.Numbers((NUMBER,))
AT = datetime.fromtimestamp(1795000000, tz=timezone.utc)
A_SECOND_LATER = datetime.fromtimestamp(1795000001, tz=timezone.utc)
PHONE, BSUID = "447700900101", "GB.81c5Wn3Hq7"
MIA = ContactRef(PHONE, BSUID, "Mia Turner")
HIDDEN = ContactRef(None, BSUID, "Mia Turner", "mia.turner")
SAM = ContactRef("447700900102", "GB.Sam1", "Sam Okafor")
SUM = "e2c67f1527d5838f1b4666d75877b1bddc4d368101ad5e236128412f8be83354"
LOOKASIDE = "https://lookaside.fbsbx.com"
NOT_SERVED = "groups are not served"
TO_APPEAL = "an appeal begins in Business Support Home."


def said(content: Inbound, contact: ContactRef = MIA, wamid: str = "wamid.IN1", **more: Any) -> Received:
    return Received(wamid, NUMBER, contact, content, AT, **more)


def quiet(content: Inbound, **more: Any) -> Received:
    return said(content, wants_answer=False, **more)


def echoed(content: Inbound, contact: ContactRef, **more: Any) -> Echoed:
    return Echoed("wamid.ECHO1", NUMBER, contact, content, AT, **more)


def renumbered(old: ContactRef, new: ContactRef) -> Renumbered:
    return Renumbered("wamid.IN1", NUMBER, old, new, AT)


def batched(n: int) -> list[Update]:
    return [
        said(Text(f"one of {n}"), MIA, f"wamid.B{n}.1"),
        said(Text(f"two of {n}"), SAM, f"wamid.B{n}.2"),
        said(Media("image", media_id=f"m{n}"), SAM, f"wamid.B{n}.3"),
        Reported(f"wamid.OUT{n}", Status.DELIVERED, AT),
    ]


EXPECTED: dict[str, list[Update]] = {
    # who: since 2026 either id may be missing
    "text_without_phone_number": [said(Text("hello"), HIDDEN)],
    "text_with_both_ids": [said(Text("hello"))],
    "text_without_ids_of_2026": [said(Text("hello"), replace(MIA, bsuid=None))],
    "text_without_card": [said(Text("hello"), replace(MIA, name=""))],
    "number_changed": [renumbered(ContactRef(PHONE, BSUID), ContactRef("447700900199", "GB.Zx91"))],
    "number_changed_old_words": [renumbered(ContactRef(PHONE, None), ContactRef("447700900199", None))],
    "id_changed": [renumbered(ContactRef(None, BSUID), ContactRef(None, "GB.Zx91"))],
    "id_changed_to_nothing": [Unsupported("system", "user_changed_user_id, but not from what to what")],
    "security_code_changed": [IdentityChanged("wamid.IN1", NUMBER, MIA, AT)],
    "system_nobody_knows": [Unsupported("system", "user_changed_hat")],
    # what is said
    "text_without_words": [said(Other("text"))],
    "text_with_unknown_keys": [said(Text("hello"))],
    "text_quoting": [said(Text("this one"), reply_to="wamid.OUT1")],
    "text_forwarded_often": [said(Text("pass it on"), origin=Origin(forwarded=True, forwarded_often=True))],
    "text_about_a_product": [
        said(
            Text("is it in stock?"),
            reply_to="wamid.OUT1",
            origin=Origin(product={"catalog_id": "194836987003835", "product_retailer_id": "KETTLE-2"}),
        )
    ],
    "text_from_an_ad": [
        said(
            Text("tell me more"),
            origin=Origin(
                referral={
                    "source_url": "https://fb.me/3cr4Wqqkv",
                    "source_id": "120226305854810726",
                    "source_type": "ad",
                    "headline": "Kettles",
                    "body": "Now in blue",
                    "media_type": "image",
                    "image_url": "https://scontent.example/1.jpg",
                    "welcome_message": {"text": "Hi! Ask us about kettles."},
                }
            ),
        )
    ],
    "voice_note": [
        said(
            Media("audio", media_id="1908647269898587", mime_type="audio/ogg", voice=True),
            media_url=f"{LOOKASIDE}/whatsapp_business/attachments/?mid=1908647269898587",
            media_sha256=SUM,
        )
    ],
    "document_with_a_bad_name": [
        said(
            Media(
                "document",
                media_id="1908647269898588",
                caption="the bill",
                mime_type="application/pdf",
                filename="passfdp.exe .pdf",
            ),
            media_sha256=SUM,
        )
    ],
    "image_without_id": [said(Other("image", "look"))],
    "video_too_large": [said(Other("media_too_large"))],
    "location": [said(Place(51.5007, -0.1246, "Big Ben", "London SW1A 0AA"))],
    "contact_asked_for": [
        said(Cards((Card("", phones=("+447700900101",), wa_id=PHONE),), asked=True), HIDDEN, reply_to="wamid.OUT1")
    ],
    "contact_asked_for_on_message": [
        said(Cards((Card("Mia", "Mia", phones=("+447700900101",), wa_id=PHONE),), asked=True))
    ],
    "contact_by_hand": [
        said(
            Cards(
                (
                    Card(
                        "Sam Okafor",
                        "Sam",
                        ("+44 7700 900102", "020 7946 0000"),
                        ("sam@example.org",),
                        "Okafor & Daughters",
                        "447700900102",
                    ),
                )
            )
        )
    ],
    "reaction": [quiet(Reaction("wamid.OUT1", "👩‍🚀"), reply_to="wamid.OUT1")],
    "reaction_taken_away": [quiet(Reaction("wamid.OUT1", ""), reply_to="wamid.OUT1")],
    "button_reply": [said(Tap("/track", "Track it"), reply_to="wamid.OUT1")],
    "list_reply": [said(Tap("/refund", "Refund", "within 30 days"), reply_to="wamid.OUT1")],
    "template_button_without_payload": [said(Tap("Yes, please", "Yes, please"))],
    "flow_answer": [
        said(
            Answers("flow", {"order": "A1007", "items": ["kettle", 2], "size": 1.5}, "return-7"), reply_to="wamid.OUT1"
        )
    ],
    "flow_answer_not_json": [said(Other("nfm_reply", '{"order": A1007'))],
    "address_answer": [
        said(Answers("address_message", {"saved_address_id": "a1", "values": {"in_pin_code": "400063"}}))
    ],
    "product_reply": [said(Other("product_reply"))],
    "interactive_without_node": [
        said(Other("interactive")),
        Unsupported("error", "131000: Unsupported webhook payload"),
    ],
    "call_permission": [quiet(Other("call_permission_reply", "accept"))],
    "order": [
        said(
            Order(
                "194836987003835", (Item("KETTLE-2", 1, 39.9, "GBP"), Item("CUP-1", 6, 4, "GBP")), "as a gift, please"
            )
        )
    ],
    "edit": [Edited("wamid.EDIT1", "wamid.IN1", Text("hello, I meant"), AT)],
    "revoke": [Deleted("wamid.REVOKE1", "wamid.IN1", AT)],
    "unsupported_poll": [said(Other("unsupported", "poll_creation"))],
    "unsupported_pin": [quiet(Other("unsupported", "pin"))],
    "request_welcome": [quiet(Other("request_welcome"))],
    "ephemeral": [quiet(Other("ephemeral"))],
    "type_nobody_knows": [said(Other("hologram"))],
    "group_message": [Unsupported("group", f"a message in a group; {NOT_SERVED}")],
    # what became of ours
    "statuses_mixed": [
        Reported("wamid.OUT1", Status.SENT, AT, callback="m:41"),
        Reported("wamid.OUT1", Status.DELIVERED, A_SECOND_LATER),
        Reported("wamid.OUT2", Status.READ, AT),
        Reported("wamid.OUT3", Status.PLAYED, AT),
        Reported("wamid.OUT4", Status.FAILED, AT, error=in_words(131047, "too late"), code=131047),
        Reported("wamid.OUT5", Status.FAILED, AT, error="WhatsApp could not deliver it"),
        Unsupported("status deleted", "a status we don't know"),
        Unsupported("status pondered", "a status we don't know"),
        Unsupported("read", "it has no usable id", unreadable=True),
        Unsupported("read", "a report without its moment", unreadable=True),
        Unsupported("group", f"status delivered of a message in a group; {NOT_SERVED}"),
    ],
    # Meta's own agent has the conversation
    "standby_message": [quiet(Text("hello"), standby=True)],
    "standby_echo": [Echoed("wamid.MBA1", NUMBER, MIA, Text("I am Meta's agent"), AT, standby=True)],
    "standby_status": [Reported("wamid.MBA1", Status.READ, AT)],
    "handover": [
        Unsupported("messaging_handovers", "a conversation changed hands between us and Meta's Business Agent")
    ],
    # somebody answered on the phone
    "echo_text": [echoed(Text("Ann here, I'm on my way"), ContactRef(None, BSUID), reply_to="wamid.IN1")],
    "echo_image": [
        echoed(
            Media("image", media_id="1908647269898589", mime_type="image/jpeg"),
            ContactRef(PHONE, BSUID),
            media_url=f"{LOOKASIDE}/y",
            media_sha256=SUM,
        )
    ],
    "echo_edit": [Edited("wamid.ECHO2", "wamid.ECHO1", Text("Ann here, nearly there"), AT)],
    "echo_revoke": [Deleted("wamid.ECHO3", "wamid.ECHO1", AT)],
    "history": [Unsupported("history", "older messages from the WhatsApp Business app")],
    # wishes
    "marketing_stopped": [Preferred(NUMBER, MIA, marketing=False, at=AT)],
    "marketing_unknown_wish": [Unsupported("user_preferences", "marketing_messages: mondays_only")],
    # templates
    "template_paused": [TemplatesChanged("order_update", "en_GB", "PAUSED")],
    "template_quality_red": [TemplatesChanged("order_update", "en_GB", "QUALITY RED")],
    "template_category_soon": [TemplatesChanged("order_update", "en_GB", "CATEGORY MARKETING")],
    # the account and our numbers
    "account_disabled": [Warned("account_update", f"Meta disabled our account (November 20, 2026); {TO_APPEAL}")],
    "account_to_be_disabled": [
        Warned("account_update", f"Meta is about to disable our account (November 30, 2026); {TO_APPEAL}")
    ],
    "account_payment_event": [
        Warned("account_update", "Meta tells of our account: payment method missing. Look in WhatsApp Manager.")
    ],
    "account_verification_failed": [Warned("account_update", "Our business was not verified (failed).")],
    "account_alert": [Warned("account_alerts", "Limits cannot be increased yet.")],
    "account_alert_good_news": [Unsupported("account_alerts", "oba approved")],
    "account_review_rejected": [
        Warned(
            "account_review_update",
            "Meta reviewed our account and has not approved it (rejected): it can't be used as yet.",
        )
    ],
    "account_review_approved": [Unsupported("account_review_update", "APPROVED")],
    "number_flagged": [
        Warned(
            "phone_number_quality_update",
            "The quality of our number 447700900000 is low (flagged): "
            "people block or report us, and limits may shrink.",
        )
    ],
    "number_faster": [Unsupported("phone_number_quality_update", "THROUGHPUT_UPGRADE TIER_UNLIMITED")],
    "name_rejected": [
        Warned("phone_number_name_update", "Meta refused the display name “Kettles Ltd” (name not consistent).")
    ],
    "name_approved": [Unsupported("phone_number_name_update", "APPROVED")],
    "pin_reset": [
        Warned(
            "security",
            "Two-step verification of our number 447700900000: pin reset request. If that was none of us, act now.",
        )
    ],
    "capability": [
        Unsupported(
            "business_capability_update",
            "max_daily_conversations_per_business: 2000, max_phone_numbers_per_waba: 25",
        )
    ],
    "payments_not_connected": [
        Warned("payment_configuration_update", "The payment configuration test-pay is not in order (needs connecting).")
    ],
    "username_approved": [Unsupported("business_username_update", "our own username changed")],
    # errors that belong to no message
    "error_of_the_system": [Unsupported("error", "130429: Cloud API message throughput has been reached.")],
    "error_of_the_account": [
        Warned("errors 131031", f"WhatsApp says that we may not send: {in_words(131031, 'Account has been locked')}")
    ],
    # nothing for us
    "call": [Unsupported("calls", "a call; calls are not served")],
    "group_left": [Unsupported("group_participants_update", NOT_SERVED)],
    "field_nobody_knows": [Unsupported("hologram_update", "a field we don't know")],
    "another_number": [
        Misdirected("messages", "999999999999999"),
        Unsupported("statuses", "for a number that is not ours (999999999999999)"),
    ],
    "no_number": [Unsupported("messages", "it does not say for which of our numbers", unreadable=True)],
    "empty_value": [Unsupported("messages", "nothing in it that we know")],
    # all at once
    "batch": [
        *batched(1),
        Unsupported("hologram_update", "a field we don't know"),
        *batched(2),
        Unsupported("messages", "not an object", unreadable=True),
        Unsupported("messages", "not an object", unreadable=True),
        Unsupported("text", "it has no usable id", unreadable=True),
        said(Text("after the broken ones"), replace(MIA, name=""), "wamid.B3.1"),
        Unsupported("messages", "not an object", unreadable=True),
        Unsupported("error", "131016: Service unavailable"),
    ],
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_each_of_our_bodies_means_the_right_thing(path: Path) -> None:
    assert path.stem in EXPECTED, f"say what {path.name} means"
    assert webhook.read(path.read_bytes(), OURS) == EXPECTED[path.stem]


def test_every_meaning_has_its_body() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == EXPECTED.keys()


def test_the_price_is_kept_with_the_report() -> None:
    sent, *_ = webhook.read((FOLDER / "statuses_mixed.json").read_bytes(), OURS)
    assert isinstance(sent, Reported)
    assert sent.pricing == {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "service"}
