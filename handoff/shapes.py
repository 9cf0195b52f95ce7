"""What the API shows, as plain JSON: conversations, messages, notes, templates, updates. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from bot.evidence import Fact
from bot.ledger.files import File
from bot.ledger.guests import Visit
from bot.ledger.inbox import Line, Tally
from bot.ledger.teams import Team
from bot.ledger.transcript import Conversation, Episode, Said
from bot.messages import GAP, Media, MessageTemplate, Place, Reaction
from bot.vocabulary import Author, Holder
from handoff import pages
from handoff.assignments import Note


def conversation(one: Conversation) -> dict[str, Any]:
    """Return a conversation as the API shows it. Where it is not on WhatsApp it says so, and has no window."""
    elsewhere = {"channel": one.channel, "window_ends": None} if one.channel else {}
    return {
        "key": one.key,
        "holder": one.holder.value,
        "contact": {
            "id": str(one.contact.id),
            "phone": one.contact.phone,  # None for who hides it
            "user_id": one.contact.bsuid,
            "name": one.contact.name,
            "username": one.contact.username or None,
            "blocked": one.contact.blocked,
            "marketing": one.contact.marketing,
        },
        "reason": one.reason.value if one.reason else None,
        "last_message": pages.last_words(one),
        "last_message_at": moment(one.last_message_at),
        "agent": one.agent_name if one.holder is Holder.AGENT else None,
        "waiting_since": moment(one.asked_at) if one.holder is Holder.QUEUE else None,
        "due_at": moment(one.due_at) if one.holder is Holder.QUEUE else None,
        "late": one.holder is Holder.QUEUE and one.broken_at is not None,
        "team": one.team or None,
        "needs": list(one.needs),
        "window_ends": moment(one.window_ends),
        "slots": one.slots,
        "wish": one.wish,
        "evidence": evidence(one.evidence),
        "came_back": one.returns,
        "snoozed_until": moment(one.snoozed_until),
    } | elsewhere


def evidence(facts: Sequence[Fact]) -> list[dict[str, Any]]:
    """Return what speaks for a reason as the API shows it."""
    return [
        {
            "clue": one.clue.value,
            "value": one.value or None,
            "turn": None if one.turn_id is None else str(one.turn_id),
            "score": one.score,
        }
        for one in facts
    ]


def episode(one: Episode) -> dict[str, Any]:
    """Return one handoff as the API shows it, from its reason to its end."""
    return {
        "id": str(one.id),
        "reason": one.reason.value,
        "evidence": evidence(one.evidence),
        "wish": one.wish,
        "asked_at": moment(one.asked_at),
        "due_at": moment(one.due_at),
        "taken_at": moment(one.taken_at),
        "agent": one.agent_name or None,
        "first_answer_at": moment(one.first_answer_at),
        "longest_wait_s": one.next_wait_s,
        "late": {"first": one.first_late, "next": one.next_late, "close": one.close_late},
        "closed_at": moment(one.closed_at),
        "outcome": one.outcome.value if one.outcome else None,
        "summary": one.summary,
        "joined_to": None if one.joined_to is None else str(one.joined_to),
        "came_back": one.returns,
        "snoozed_until": moment(one.snoozed_until),
        "csat": one.csat.value if one.csat else None,
        "csat_at": moment(one.csat_at),
    }


def handoff(visit: Visit, *, place: int | None, sentence: str | None) -> dict[str, Any]:
    """Return a guest's handoff as the bot that brought them sees it."""
    waits = visit.closed_at is None and visit.taken_at is None
    state = "closed" if visit.closed_at else "waiting" if waits else "taken"
    return {
        "id": str(visit.id),
        "conversation": visit.key,
        "channel": visit.channel,
        "conversation_id": visit.own_id,
        "state": state,
        "reason": visit.reason.value,
        "agent": visit.agent or None,
        "place": place,
        "due_at": moment(visit.due_at) if waits else None,
        "late": waits and visit.broken_at is not None,
        "sentence": sentence,
        "asked_at": moment(visit.asked_at),
        "taken_at": moment(visit.taken_at),
        "closed_at": moment(visit.closed_at),
        "outcome": visit.outcome.value if visit.outcome else None,
    }


def message(message: Said, by_wamid: Mapping[str, Said], file: File | None = None) -> dict[str, Any]:
    """Return a message as the API shows it, with what became of the file it carries.

    `by_wamid` are the messages of its conversation, for what it quotes or reacts to.
    """
    shown: dict[str, Any] = {
        "id": str(message.id),
        "author": message.author.value,
        "text": message.text,
        "type": message.type,
        "at": moment(message.at),
        "status": message.status.value if message.status else None,
    }
    if message.author is Author.CONTACT:
        shown |= {"intent": message.intent, "confidence": message.confidence}
    if message.author is Author.AGENT:
        shown["agent"] = message.agent_name
    if message.error:
        shown["error"] = message.error
    if message.edited_at is not None or message.deleted_at is not None:
        shown |= {"edited_at": moment(message.edited_at), "deleted_at": moment(message.deleted_at)}
    if file is not None:
        name = message.content.filename if isinstance(message.content, Media) else ""
        shown["file"] = {"state": file.state.value, "mime_type": file.mime_type, "size": file.size, "name": name}
    return shown | _beside(message, by_wamid)


def _beside(message: Said, by_wamid: Mapping[str, Said]) -> dict[str, Any]:
    """Return what there is to a message beside its words: only what is there."""
    shown: dict[str, Any] = {}
    if message.reply_to:
        quoted = by_wamid.get(message.reply_to)
        shown["quotes"] = {
            "id": str(quoted.id) if quoted else None,  # None where we never heard of it
            "wamid": message.reply_to,
            "author": quoted.author.value if quoted else None,
            "text": quoted.text if quoted else None,
        }
    if isinstance(message.content, Reaction):
        under = by_wamid.get(message.content.wamid)
        to = str(under.id) if under else None
        shown["reaction"] = {"emoji": message.content.emoji, "to": to, "wamid": message.content.wamid}
    if isinstance(message.content, Place):
        place = message.content
        shown["place"] = {
            "latitude": place.latitude,
            "longitude": place.longitude,
            "name": place.name,
            "address": place.address,
            "url": place.url,
        }
    if isinstance(message.content, Media) and message.content.voice:
        shown["voice"] = True
    if message.origin:
        shown["origin"] = message.origin
    return shown


def note(note: Note) -> dict[str, Any]:
    """Return a note as the API shows it."""
    return {
        "id": f"note-{note.id}",
        "author": Author.AGENT.value,
        "text": note.text,
        "type": "note",
        "at": moment(note.at),
        "status": None,
        "agent": note.name,
    }


def template(one: MessageTemplate) -> dict[str, Any]:
    """Return a template as the API shows it, with all that has to be filled."""
    header, buttons = one.part("HEADER"), one.part("BUTTONS").get("buttons") or []
    return {
        "name": one.name,
        "language": one.language,
        "category": one.category,
        "status": one.status,
        "approved": one.approved,
        "body": one.body,
        "gaps": list(one.gaps),
        "header": {
            "format": str(header.get("format") or "TEXT").lower(),
            "text": str(header.get("text") or ""),
            "gaps": GAP.findall(str(header.get("text") or "")),
        }
        if header
        else None,
        "footer": str(one.part("FOOTER").get("text") or ""),
        "buttons": [
            {
                "type": str(button.get("type")).lower(),
                "text": str(button.get("text") or ""),
                "url": str(button.get("url") or "") or None,
            }
            for button in buttons
        ],
    }


def tally(tally: Tally) -> dict[str, int]:
    """Return the counts as the API shows them."""
    counts = {state.value: number for state, number in tally.by_state.items()}
    return {"received": tally.received, **counts, "waiting": tally.waiting, "open": tally.open}


def line(line: Line) -> dict[str, Any]:
    """Return one update as the API shows it."""
    return {
        "delivery": str(line.delivery_id),
        "n": line.n,
        "at": moment(line.received_at),
        "kind": line.kind,
        "state": line.state.value,
        "remark": line.remark,
        "again": line.again,
        "tried_at": moment(line.tried_at),
    }


def team(one: Team, now: datetime) -> dict[str, Any]:
    """Return a team as the API shows it."""
    opens = one.hours.opens(now)
    return {
        "name": one.name,
        "zone": one.zone,
        "hours": one.week,
        "exceptions": one.exceptions,
        "within_min": int(one.within.total_seconds() // 60),
        "routing": one.routing.value,
        "capacity": one.capacity,
        "open": opens == now,
        "opens_at": moment(opens) if opens != now else None,
    }


def moment(at: datetime | None) -> str | None:
    """Write a moment as ISO 8601 in UTC."""
    return None if at is None else at.astimezone(timezone.utc).isoformat()
