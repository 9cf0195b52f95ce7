"""Messages → Cloud API JSON (docs: messages/*). Pure."""

from __future__ import annotations

from typing import Any

from bot import messages as says
from bot.ledger.outbox import Outgoing


def render(outgoing: Outgoing) -> dict[str, Any]:
    """Return the body of POST /{version}/{phone_number_id}/messages."""
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **_addressee(outgoing),
        **render_content(outgoing.content),
        "biz_opaque_callback_data": outgoing.callback,
    }


def _addressee(outgoing: Outgoing) -> dict[str, str]:
    """Address by phone where we know it. A BSUID in `to` would be accepted and silently lost."""
    if outgoing.phone:
        return {"to": f"+{outgoing.phone}"}
    return {"recipient": outgoing.bsuid or ""}


def render_content(content: says.Outbound) -> dict[str, Any]:
    """Return `type` and the node of that name."""
    match content:
        case says.Text():
            return {"type": "text", "text": {"preview_url": False, "body": content.text}}
        case says.Buttons():
            buttons = [{"type": "reply", "reply": {"id": r.id, "title": r.title}} for r in content.replies]
            return _interactive("button", content.text, {"buttons": buttons})
        case says.Menu():
            rows = [
                {"id": r.id, "title": r.title, **({"description": r.description} if r.description else {})}
                for r in content.replies
            ]
            return _interactive("list", content.text, {"button": content.button, "sections": [{"rows": rows}]})
        case says.Media():
            node = {"link": content.link} if content.link else {"id": content.media_id}
            if content.caption and content.kind in {"image", "video", "document"}:
                node["caption"] = content.caption
            if content.filename and content.kind == "document":
                node["filename"] = content.filename
            return {"type": content.kind, content.kind: node}


def _interactive(kind: str, text: str, action: dict[str, Any]) -> dict[str, Any]:
    return {"type": "interactive", "interactive": {"type": kind, "body": {"text": text}, "action": action}}
