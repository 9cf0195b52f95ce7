"""The 74 bodies that pywa's tests read, and what each of them means here. They lie beside the project, or nowhere."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from functools import lru_cache
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
from tests import parts

SHELF = Path(__file__).parents[2].parent / "shared" / "data" / "pywa-webhooks"
NUMBER = "1122334455667"
SOMEBODY = ContactRef("972987654321", "US.13491208655302741918", "Test Name")
CALL = Unsupported("calls", "a call; calls are not served")
ANSWERS = {
    "comment_text": "Comment Text",
    "delivery_rating": "4",
    "purchase_rating": "2",
    "recommend_radio": "0",
    "cs_rating": "0",
}
REFERRAL = {
    "source_url": "AD_OR_POST_FB_URL",
    "source_id": "ADID",
    "source_type": "ad or post",
    "headline": "AD_TITLE",
    "body": "AD_DESCRIPTION",
    "media_type": "image or video",
    "image_url": "RAW_IMAGE_URL",
    "video_url": "RAW_VIDEO_URL",
    "thumbnail_url": "RAW_THUMBNAIL_URL",
    "ctwa_clid": "CTWA_CLID",
}


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)


def said(content: Inbound, seconds: int, wamid: str = "wamid.xyzxyz", **more: Any) -> Received:
    return Received(wamid, NUMBER, SOMEBODY, content, at(seconds), **more)


def permission(answer: str) -> Received:
    return said(Other("call_permission_reply", answer), 1752582182, "wamid.x", reply_to="wamid.y==", wants_answer=False)


def flow(token: str) -> Received:
    content = Answers("flow", ANSWERS, token)
    return said(content, 1702502473, "wamid.wegrchytvwcggt==", reply_to="wamid.gvwegfretge==")


def reacted(emoji: str) -> Received:
    return said(Reaction("wamid.yzxyzx=", emoji), 1697044456, reply_to="wamid.yzxyzx=", wants_answer=False)


def reported(status: Status, seconds: int = 1689380458, **more: Any) -> Reported:
    return Reported("wamid.xyzxyz", status, at(seconds), **more)


def account(event: str) -> Unsupported:
    return Unsupported("account_update", event)


def warned(words: str) -> Warned:
    return Warned("account_update", words)


FORWARDED = Origin(forwarded=True)
LOST = "Our app lost its access to the WhatsApp Business account"
UNTIL = "until 04 January 2022 21:08 UTC"

EXPECTED: dict[str, list[Update]] = {
    "account_update/account_deleted": [
        warned("Our WhatsApp Business account was deleted: nothing is sent or received any more.")
    ],
    "account_update/account_restriction": [
        warned(
            f"Meta restricted our account: restricted biz initiated messaging {UNTIL}; "
            f"restricted add phone number action {UNTIL}. What may be done stands in WhatsApp Manager."
        )
    ],
    "account_update/account_violation": [
        warned("Meta says that our account broke its policy (adult); an appeal begins in Business Support Home.")
    ],
    "account_update/ad_account_linked": [account("AD_ACCOUNT_LINKED")],
    "account_update/authentication_international_eligibility": [account("AUTH_INTL_PRICE_ELIGIBILITY_UPDATE")],
    "account_update/account_disabled": [account("DISABLED_UPDATE REINSTATE")],
    "account_update/mm_api_for_wa_terms_of_service": [account("MM_LITE_TERMS_SIGNED")],
    "account_update/partner_added": [account("PARTNER_ADDED")],
    "account_update/partner_app_installed": [account("PARTNER_APP_INSTALLED")],
    "account_update/partner_app_uninstalled": [warned(f"{LOST}.")],
    "account_update/partner_led_business_verification_status": [account("PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE")],
    "account_update/partner_removed": [warned(f"{LOST}.")],
    "account_update/partner_removed_wa_app_disconnection": [warned(f"{LOST} (primary inactivity).")],
    "account_update/primary_business_location_set": [account("BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE")],
    "account_update/pricing_tiering_update": [account("VOLUME_BASED_PRICING_TIER_UPDATE")],
    "account_update/account_offboarded": [
        warned("Our WhatsApp Business account was disconnected from the Cloud API: nothing is sent or received.")
    ],
    "account_update/account_reconnected": [account("ACCOUNT_RECONNECTED")],
    "call_connect/business_initiated": [CALL],
    "call_connect/user_initiated": [CALL],
    "call_permission_update/accept": [permission("accept")],
    "call_permission_update/reject": [permission("reject")],
    "call_status/call_status": [CALL],
    "call_terminate/call_terminate": [CALL],
    "callback_button/button": [said(Tap("callback_data", "title"), 1698266730, reply_to="wamid.xyzxyz")],
    "callback_button/quick_reply": [
        said(Tap("callback_data", "title"), 1698269027, "wamid.xsidjw", reply_to="wamid.xyzxyz==")
    ],
    "callback_button/quick_reply_without_context": [said(Tap("callback_data", "title"), 1698269027, "wamid.xsidjx")],
    "callback_selection/callback": [
        said(Tap("callback_data", "title"), 1698266905, "wamid.zyzxyz", reply_to="wamid.xyzxyz")
    ],
    "callback_selection/description": [
        said(Tap("callback_data", "title", "description"), 1698266905, "wamid.zyzxyz", reply_to="wamid.xyzxyz")
    ],
    "deleted_message/revoke": [Deleted("<WHATSAPP_MESSAGE_ID>", "<ORIGINAL_WHATSAPP_MESSAGE_ID>", at(1697043223))],
    "edited_message/image": [
        Edited(
            "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQUFERjg0NDEzNDdFODU3MUMxMAA=",
            "wamid.HBgLMTQxMjU1NTA4MjkVAgASGBQzQUNCNjk5RDUwNUZGMUZEM0VBRAA=",
            Media("image", media_id="1234567890", caption="Updated image caption", mime_type="image/jpeg"),
            at(1749854575),
        )
    ],
    "flow_completion/completion": [flow("AQAAAAACS5FpgQ_cAAAAAD0QI3s.")],
    "flow_completion/without_flow_token": [flow("")],
    "message/text": [said(Text("Body Text"), 1697043223)],
    # Its sum is no SHA-256, like most on this shelf: then there is none.
    "message/image": [said(Media("image", media_id="65463453", mime_type="image/jpeg"), 1697043379)],
    "message/media_with_url": [
        said(
            Media("image", media_id="65463453", mime_type="image/jpeg"),
            1697043379,
            media_url="https://lookaside.fbsbx.com/whatsapp_business/attachments/"
            "?mid=65463453&source=webhook&ext=487r9re&hash=heiwchueowbcew-dnedcw",
        )
    ],
    "message/video": [
        said(
            Media("video", media_id="765756756", caption="caption", mime_type="video/mp4"),
            1697044362,
            origin=FORWARDED,
        )
    ],
    "message/document": [
        said(
            Media(
                "document",
                media_id="1234567890987654321",
                caption="caption",
                mime_type="application/pdf",
                filename="filename.pdf",
            ),
            1697043666,
            origin=FORWARDED,
        )
    ],
    "message/audio": [
        said(Media("audio", media_id="1234567890987654321", mime_type="audio/ogg"), 1697043509, origin=FORWARDED)
    ],
    "message/voice": [
        said(
            Media("audio", media_id="1234567890987654321", mime_type="audio/ogg", voice=True),
            1697043473,
            media_sha256="9b4e2915fd8445d6a8a53c859063c0d3e6d7de2f986367588151703a00cb4832",
        )
    ],
    "message/static_sticker": [
        said(
            Media("sticker", media_id="1234567890987654321", mime_type="image/webp"),
            1697043760,
            media_sha256="3a64f89e18d48423083cd9a3ede78e65e0988d35e42f1a0ebfce4e3021704ae7",
        )
    ],
    "message/animated_sticker": [
        said(Media("sticker", media_id="1234567890987654321", mime_type="image/webp"), 1697043785)
    ],
    "message/reaction": [reacted("😮")],
    "message/unreaction_empty": [reacted("")],
    "message/unreaction_no_emoji": [reacted("")],
    "message/current_location": [said(Place(12.25089, 43.90539), 1697044557, origin=FORWARDED)],
    "message/chosen_location": [
        said(
            Place(
                37.4611978,
                -122.2164385,
                "Facebook HQ",
                "1 Hacker Way, Menlo Park, CA 94025",
                "https://maps.google.com/?cid=2000000000000000000",
            ),
            1697044557,
            origin=FORWARDED,
        )
    ],
    "message/contacts": [
        said(
            Cards(
                (
                    Card("Chandler Bing", "Chandler", ("+1 555-555-5555",), wa_id="972987654321"),
                    Card("Monica", "Monica", ("+1 666-666-6666",), wa_id="972987654321"),
                    Card("Rachel Green", "Rachel", ("+1 777-777-7777",), wa_id="972987654321"),
                )
            ),
            1697044621,
        )
    ],
    "message/order": [
        said(
            Order(
                "354160437058781",
                (
                    Item("HAMBURGER", 3, 30, "ILS"),
                    Item("FRENCH_FRIES", 2, 35, "ILS"),
                    Item("SODA", 2, 10, "ILS"),
                ),
            ),
            1697044668,
        )
    ],
    "message/unsupported": [said(Other("unsupported"), 1697044706)],
    "message/unsupported_with_type": [said(Other("unsupported", "pool"), 1697044706)],
    "message/reply": [said(Text("replied text"), 1697044746, reply_to="wamid.xyzxyz==")],
    "message/forwarded": [said(Text("forwarded text"), 1697044815, origin=FORWARDED)],
    "message/forwarded_many_times": [
        said(Text("text forwarded many times"), 1697044968, origin=Origin(forwarded=True, forwarded_often=True))
    ],
    "message/interactive_message_with_err": [
        said(Other("interactive"), 1700505494, "wamid.wegrchytvwcggt=", reply_to="wamid.gvwegfretge=="),
        Unsupported("error", "131000: Unsupported webhook payload"),
    ],
    "message/referral": [said(Text("BODY"), 1697045000, "wamid.ID", origin=Origin(referral=REFERRAL))],
    "message_status/sent": [reported(Status.SENT, 1698266945)],
    "message_status/delivered": [reported(Status.DELIVERED, 1698266945)],
    "message_status/read": [reported(Status.READ)],
    "message_status/played": [reported(Status.PLAYED)],
    "message_status/failed": [reported(Status.FAILED, error=in_words(130472, "in an experiment"), code=130472)],
    "message_status/with_tracker": [reported(Status.SENT, 1698266945, callback="some data")],
    "message_status/group": [Unsupported("group", "status read of a message in a group; groups are not served")],
    # The card beside it names another id, so the number on it is not taken for this contact's.
    "outgoing_message/text": [
        Echoed(
            "<WHATSAPP_MESSAGE_ID>", NUMBER, ContactRef(None, "<BSUID>"), Text("Test message"), sent_at=at(1697043223)
        )
    ],
    "outgoing_message/delete": [Deleted("wamid.yyyyyy", "wamid.zzzzzz", at(1697044968))],
    "outgoing_message/edit": [Edited("wamid.yyyyyy", "wamid.zzzzzz", Text("Text was edited"), at(1697044968))],
    "system/phone_number_change": [
        Renumbered(
            "wamid.xyzxyz==",
            "1122334455667",
            ContactRef("972987654321", None),
            ContactRef("972912345678", None),
            at(1753851315),
        )
    ],
    "system/identity_change": [
        IdentityChanged("wamid.xyzxyz", NUMBER, ContactRef("972987654321", None, "User A"), at(1697044706))
    ],
    "template_category_update/marketing": [TemplatesChanged("my_message_template", "he", "CATEGORY MARKETING")],
    "template_components_update/element": [TemplatesChanged("my_message_template", "he", "COMPONENTS")],
    "template_quality_update/yellow": [TemplatesChanged("welcome_template", "en_US", "QUALITY YELLOW")],
    "template_status_update/approved": [TemplatesChanged("order_confirmation", "en_US", "APPROVED")],
    "template_status_update/rejected": [TemplatesChanged("abandoned_cart", "en", "REJECTED")],
    # Here, too, the card is another's.
    "user_marketing_preferences/resume": [
        Preferred("106540352242922", ContactRef("16505551234", None), marketing=True, at=at(1731705721))
    ],
    "user_marketing_preferences/signup": [
        Preferred("106540352242922", ContactRef("16505551234", None), marketing=True, at=at(1731705721))
    ],
}


@lru_cache
def shelf() -> dict[str, Any]:
    return {
        f"{path.stem}/{case}": body
        for path in sorted(SHELF.glob("*.json"))
        for case, body in json.loads(path.read_text()).items()
    }


@pytest.mark.parametrize("case", EXPECTED)
def test_each_of_pywas_bodies_means_the_right_thing(case: str) -> None:
    if not SHELF.exists():
        parts.skip(f"the shelf of webhook bodies is not here ({SHELF})", needed=False)
    assert webhook.read(json.dumps(shelf()[case]).encode(), webhook.Numbers()) == EXPECTED[case]


def test_no_body_on_the_shelf_is_left_out() -> None:
    if not SHELF.exists():
        parts.skip(f"the shelf of webhook bodies is not here ({SHELF})", needed=False)
    assert shelf().keys() == EXPECTED.keys()
    assert len(EXPECTED) == 74
