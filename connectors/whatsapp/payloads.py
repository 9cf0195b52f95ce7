"""Messages → Cloud API JSON (docs: messages/*). Pure."""

from __future__ import annotations

from typing import Any

from bot import messages as says
from bot.ledger.outbox import Outgoing


def render(outgoing: Outgoing) -> dict[str, Any]:
    """Return the body of POST /{version}/{phone_number_id}/messages."""
    content = outgoing.content
    # Meta refuses a quote with a reaction, and does not show one with a template.
    quotes = bool(outgoing.reply_to) and not isinstance(content, (says.Reaction, says.Template))
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **_addressee(outgoing.phone, outgoing.bsuid),
        **({"context": {"message_id": outgoing.reply_to}} if quotes else {}),
        **render_content(content, outgoing.media_id),
        "biz_opaque_callback_data": outgoing.callback,
    }


def render_seen(wamid: str, *, typing: bool) -> dict[str, Any]:
    """Return the read receipt of what a contact wrote; WhatsApp knows no "typing…" without one."""
    indicator = {"typing_indicator": {"type": "text"}} if typing else {}
    return {"messaging_product": "whatsapp", "status": "read", "message_id": wamid, **indicator}


def render_block(phone: str | None, bsuid: str | None) -> dict[str, Any]:
    """Return the body that blocks or unblocks one contact."""
    who = {"user": f"+{phone}"} if phone else {"user_id": bsuid or ""}
    return {"messaging_product": "whatsapp", "block_users": [who]}


def _addressee(phone: str | None, bsuid: str | None) -> dict[str, str]:
    """Address by phone where we know it. A BSUID in `to` would be accepted and silently lost."""
    return {"to": f"+{phone}"} if phone else {"recipient": bsuid or ""}


def render_content(content: says.Outbound, media_id: str = "") -> dict[str, Any]:  # noqa: C901  # one case for each
    """Return `type` and the node of that name; `media_id` is Meta's for a file of ours, once it is uploaded."""
    match content:
        case says.Text():
            return {"type": "text", "text": {"preview_url": False, "body": content.text}}
        case says.Media():
            return {"type": content.kind, content.kind: _media(content, media_id)}
        case says.Place():
            return {"type": "location", "location": _place(content)}
        case says.Cards():
            return {"type": "contacts", "contacts": [_card(card) for card in content.cards]}
        case says.Reaction():
            return {"type": "reaction", "reaction": {"message_id": content.wamid, "emoji": content.emoji}}
        case says.Template():
            return {"type": "template", "template": _template(content, media_id)}
        case says.Buttons():
            buttons = [{"type": "reply", "reply": {"id": r.id, "title": r.title}} for r in content.replies]
            return _interactive("button", content, {"buttons": buttons}, media_id)
        case says.Menu():
            rows = [
                {"id": r.id, "title": r.title, **({"description": r.description} if r.description else {})}
                for r in content.replies
            ]
            return _interactive("list", content, {"button": content.button, "sections": [{"rows": rows}]}, media_id)
        case says.Link():
            return _interactive("cta_url", content, _action("cta_url", _link(content)), media_id)
        case says.Flow():
            return _interactive("flow", content, _action("flow", _flow(content)), media_id)
        case says.AskPlace():
            return _interactive("location_request_message", content, _action("send_location"))
        case says.AskNumber():
            return _interactive("request_contact_info", content, _action("request_contact_info"))


Interactive = says.Buttons | says.Menu | says.Link | says.Flow | says.AskPlace | says.AskNumber


def _interactive(kind: str, content: Interactive, action: dict[str, Any], media_id: str = "") -> dict[str, Any]:
    node: dict[str, Any] = {"type": kind}
    if isinstance(content, (says.Buttons, says.Link)) and content.picture is not None:
        picture = content.picture
        node["header"] = {"type": picture.kind, picture.kind: _media(picture, media_id)}
    elif not isinstance(content, (says.AskPlace, says.AskNumber)) and content.header:
        node["header"] = {"type": "text", "text": content.header}
    node["body"] = {"text": content.text}
    if not isinstance(content, (says.AskPlace, says.AskNumber)) and content.footer:
        node["footer"] = {"text": content.footer}
    return {"type": "interactive", "interactive": {**node, "action": action}}


def _action(name: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, **({"parameters": parameters} if parameters else {})}


def _link(link: says.Link) -> dict[str, Any]:
    return {"display_text": link.title, "url": link.url}


def _flow(flow: says.Flow) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "flow_message_version": says.FLOW_VERSION,
        "flow_id": flow.flow_id,
        "flow_cta": flow.button,
        "flow_token": flow.token,
        "flow_action": "navigate" if flow.screen else "data_exchange",
    }
    if flow.draft:
        parameters["mode"] = "draft"
    if flow.screen:  # an empty `data` would be refused
        parameters["flow_action_payload"] = {"screen": flow.screen, **({"data": flow.values} if flow.values else {})}
    return parameters


def _media(media: says.Media, media_id: str) -> dict[str, Any]:
    """Return where it is and what stands under it. A file of ours goes by the id it was uploaded under."""
    node: dict[str, Any] = {"link": media.link} if media.link else {"id": media.media_id or media_id}
    if media.caption:
        node["caption"] = media.caption
    if media.kind == "document" and (media.filename or media.file):
        node["filename"] = media.filename or media.file
    if media.kind == "audio" and media.voice:
        node["voice"] = True
    return node


def _place(place: says.Place) -> dict[str, Any]:
    words = {"name": place.name, "address": place.address}
    return {"latitude": place.latitude, "longitude": place.longitude, **{k: v for k, v in words.items() if v}}


def _card(card: says.Card) -> dict[str, Any]:
    # Meta wants a second part of the name beside the whole.
    node: dict[str, Any] = {"name": {"formatted_name": card.name, "first_name": card.first_name or card.name}}
    phones: list[dict[str, str]] = [{"phone": phone} for phone in card.phones]
    if phones and card.wa_id:
        phones[0]["wa_id"] = card.wa_id
    if phones:
        node["phones"] = phones
    if card.emails:
        node["emails"] = [{"email": email} for email in card.emails]
    if card.organisation:
        node["org"] = {"company": card.organisation}
    return node


def _template(template: says.Template, media_id: str) -> dict[str, Any]:
    """Return name, language and what fills the gaps; each button by its place, those left as approved not at all."""
    components: list[dict[str, Any]] = []
    if template.picture is not None:
        kind = template.picture.kind
        shown = {"type": kind, kind: _media(template.picture, media_id)}
        components.append({"type": "header", "parameters": [shown]})
    elif template.header is not None:
        components.append({"type": "header", "parameters": [_blank(template.header)]})
    if template.blanks:
        components.append({"type": "body", "parameters": [_blank(blank) for blank in template.blanks]})
    for index, payload in enumerate(template.payloads):
        if payload:
            components.append(_button("quick_reply", index, {"type": "payload", "payload": payload}))
    for index, ending in enumerate(template.url_endings, start=len(template.payloads)):
        if ending:
            components.append(_button("url", index, {"type": "text", "text": ending}))
    node: dict[str, Any] = {"name": template.name, "language": {"code": template.language}}
    return {**node, "components": components} if components else node


def _button(kind: str, index: int, parameter: dict[str, str]) -> dict[str, Any]:
    return {"type": "button", "sub_type": kind, "index": str(index), "parameters": [parameter]}


def _blank(blank: says.Blank) -> dict[str, str]:
    return {"type": "text", **({"parameter_name": blank.name} if blank.name else {}), "text": blank.text}
