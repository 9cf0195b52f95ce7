"""connectors/whatsapp/payloads.py: the whole JSON of what we send; its validity is tests/connectors/openapi's."""

from __future__ import annotations

from typing import Any

import pytest

from bot.ledger.outbox import Outgoing
from bot.messages import (
    AskNumber,
    AskPlace,
    Blank,
    Buttons,
    Card,
    Cards,
    Flow,
    Link,
    Media,
    Outbound,
    Place,
    Reaction,
    Reply,
    Template,
    Text,
)
from connectors.whatsapp import payloads

YES = (Reply("/yes", "Yes"),)


def an_outgoing(content: Outbound, **more: Any) -> Outgoing:
    known: dict[str, Any] = {"phone": "447700900101", "bsuid": "GB.1", **more}
    return Outgoing(id=7, conversation_id=1, phone_number_id="1", content=content, attempts=1, **known)


def interactive(content: Outbound, media_id: str = "") -> Any:
    return payloads.render_content(content, media_id)["interactive"]


def test_a_message_carries_its_address_and_our_id() -> None:
    assert payloads.render(an_outgoing(Text("hi"))) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+447700900101",
        "type": "text",
        "text": {"preview_url": False, "body": "hi"},
        "biz_opaque_callback_data": "baton:7",
    }


def test_a_contact_who_hides_the_number_is_addressed_by_id() -> None:
    body = payloads.render(an_outgoing(Text("hi"), phone=None))
    assert body["recipient"] == "GB.1" and "to" not in body


def test_a_quote_names_what_it_quotes() -> None:
    assert payloads.render(an_outgoing(Text("hi"), reply_to="wamid.1"))["context"] == {"message_id": "wamid.1"}


@pytest.mark.parametrize("content", [Reaction("wamid.2", "👍"), Template("hello_world", "en_US")])
def test_reactions_and_templates_quote_nothing(content: Outbound) -> None:
    assert "context" not in payloads.render(an_outgoing(content, reply_to="wamid.1"))


def test_a_file_of_ours_goes_by_the_id_it_was_uploaded_under() -> None:
    body = payloads.render(an_outgoing(Media("document", file="terms.pdf", caption="c"), media_id="900"))
    assert body["document"] == {"id": "900", "caption": "c", "filename": "terms.pdf"}


def test_a_picture_stands_above_buttons() -> None:
    linked = interactive(Buttons("?", YES, picture=Media("image", link="https://x.example/a.png")))
    assert linked["header"] == {"type": "image", "image": {"link": "https://x.example/a.png"}}
    uploaded = interactive(Buttons("?", YES, picture=Media("video", file="a.mp4")), "900")
    assert uploaded["header"] == {"type": "video", "video": {"id": "900"}}


def test_a_voice_note_says_so() -> None:
    assert payloads.render_content(Media("audio", media_id="1", voice=True))["audio"] == {"id": "1", "voice": True}


def test_links_and_requests_have_their_actions() -> None:
    link = interactive(Link("Our shop", "Open", "https://x.example", header="h", footer="f"))
    assert link == {
        "type": "cta_url",
        "header": {"type": "text", "text": "h"},
        "body": {"text": "Our shop"},
        "footer": {"text": "f"},
        "action": {"name": "cta_url", "parameters": {"display_text": "Open", "url": "https://x.example"}},
    }
    assert interactive(AskPlace("Where?"))["action"] == {"name": "send_location"}
    assert interactive(AskNumber("Which?"))["action"] == {"name": "request_contact_info"}


def test_a_form_begins_on_its_screen_or_asks_its_server() -> None:
    on_screen = interactive(Flow("t", "Open", "5", "token", "FIRST", {"a": 1}))["action"]["parameters"]
    assert on_screen == {
        "flow_message_version": "3", "flow_id": "5", "flow_cta": "Open", "flow_token": "token",
        "flow_action": "navigate", "flow_action_payload": {"screen": "FIRST", "data": {"a": 1}},
    }  # fmt: skip
    by_server = interactive(Flow("t", "Open", "5"))["action"]["parameters"]
    assert by_server["flow_action"] == "data_exchange" and "flow_action_payload" not in by_server


def test_a_place_and_a_card_say_only_what_is_known() -> None:
    assert payloads.render_content(Place(1.5, 2.5))["location"] == {"latitude": 1.5, "longitude": 2.5}
    (bare,) = payloads.render_content(Cards((Card("Ann"),)))["contacts"]
    assert bare == {"name": {"formatted_name": "Ann", "first_name": "Ann"}}
    (full,) = payloads.render_content(Cards((Card("Ann B", "Ann", ("+44 1", "+44 2"), ("a@x",), "F", "441"),)))[
        "contacts"
    ]
    assert full == {
        "name": {"formatted_name": "Ann B", "first_name": "Ann"},
        "phones": [{"phone": "+44 1", "wa_id": "441"}, {"phone": "+44 2"}],
        "emails": [{"email": "a@x"}],
        "org": {"company": "F"},
    }


def test_a_templates_buttons_keep_their_places() -> None:
    template = Template(
        "t", "en", (Blank("Ann", "who"),), Blank("Order 5"), payloads=("", "/no"), url_endings=("", "5")
    )
    assert payloads.render_content(template)["template"]["components"] == [
        {"type": "header", "parameters": [{"type": "text", "text": "Order 5"}]},
        {"type": "body", "parameters": [{"type": "text", "parameter_name": "who", "text": "Ann"}]},
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": "1",
            "parameters": [{"type": "payload", "payload": "/no"}],
        },
        {"type": "button", "sub_type": "url", "index": "3", "parameters": [{"type": "text", "text": "5"}]},
    ]


def test_a_block_names_the_contact_by_phone_or_by_id() -> None:
    assert payloads.render_block("44", "GB.1")["block_users"] == [{"user": "+44"}]
    assert payloads.render_block(None, "GB.1")["block_users"] == [{"user_id": "GB.1"}]
