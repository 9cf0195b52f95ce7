"""Long lists of the API in pieces: who asks for `limit`, `after` or `agent` gets a page, and where the next begins."""

from __future__ import annotations

from datetime import datetime, timezone

from flask import Response, jsonify

from bot.ledger import files, transcript
from bot.messages import MEDIA_MAX_BYTES
from bot.vocabulary import Holder
from handoff import agents, assignments, bodies, guard, shapes
from handoff.parts import parts
from handoff.refusals import BadBody
from handoff.roles import Deed

MOST = 1000
USUAL = 100
NEXT = "Baton-After"  # the header that says where the next page begins, where there is one
LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


def conversations(holder: Holder | None) -> Response:
    """Answer with a page of the conversations, the newest first, whoever holds them."""
    limit, after, agent = bodies.limit(MOST) or USUAL, _place(), bodies.argument("agent")
    with parts().ledger.reading() as tx:
        guard.who().require(Deed.READ)
        agent_id = None
        if agent is not None:
            agent_id = guard.who().id if agent == "me" else agents.colleague(tx, agent).id
        found = transcript.page_of(tx, holder, agent_id, after=after, limit=limit + 1)
    answer = jsonify([shapes.conversation(one) for one in found[:limit]])
    if len(found) > limit:
        last = found[limit - 1]
        micros = round((last.last_message_at - LONG_AGO).total_seconds() * 1_000_000)
        answer.headers[NEXT] = f"{micros}-{last.id}"
    return answer


def _place() -> tuple[datetime, int] | None:
    """Return the place in the list that is asked for: what a page's header said."""
    words = bodies.argument("after")
    if words is None:
        return None
    micros, _, id_ = words.partition("-")
    at, number = bodies.number(micros), bodies.number(id_)
    if at is None or number is None or at > 10**17:
        raise BadBody(f"(after is what the header {NEXT} of the last page said)")
    return datetime.fromtimestamp(at // 1_000_000, timezone.utc).replace(microsecond=at % 1_000_000), number


def messages(key: str) -> Response:
    """Answer with what was said and noted behind an item of the list, oldest first."""
    limit, (after, noted) = bodies.limit(MOST) or USUAL, _item()
    with parts().ledger.reading() as tx:
        guard.who().require(Deed.READ)
        one = transcript.conversation(tx, key)
        notes = assignments.notes_of(tx, transcript.merged_into(tx, one.id))
        if noted is not None:
            under = next((note.after_message_id for note in notes if note.id == noted), None)
            if under is None:
                raise BadBody("(after is the id of a message or a note of this conversation)")
            after = under
        said = transcript.messages_after(tx, one.id, after, limit + 1)
        by_wamid = transcript.quoted_by(tx, one.id, said)
        sent = files.of(tx, [message.id for message in said if message.type in MEDIA_MAX_BYTES])
    ends = said[limit - 1].id if len(said) > limit else None
    ordered = [((message.id, 0, 0), shapes.message(message, by_wamid, sent.get(message.id))) for message in said]
    ordered += [
        ((note.after_message_id, 1, note.id), shapes.note(note))
        for note in notes
        if _is_behind(note.after_message_id, note.id, after, noted) and (ends is None or note.after_message_id <= ends)
    ]
    shown = [item for _, item in sorted(ordered, key=lambda item: item[0])]
    answer = jsonify(shown[:limit])
    if len(shown) > limit:
        answer.headers[NEXT] = shown[limit - 1]["id"]
    return answer


def _is_behind(under: int, note_id: int, after: int, noted: int | None) -> bool:
    """Say whether a note stands behind the item that was named: a message's own notes do."""
    return under > after or (under == after and (noted is None or note_id > noted))


def _item() -> tuple[int, int | None]:
    """Return the message, or the note, behind which the page begins."""
    words = bodies.argument("after")
    if words is None:
        return 0, None
    number = bodies.number(words.removeprefix("note-"))
    if number is None:
        raise BadBody("(after is the id of a message or a note of this conversation)")
    return (0, number) if words.startswith("note-") else (number, None)
