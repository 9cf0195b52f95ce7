"""Searching everything said: a page, its fragments, and the API's call."""

from __future__ import annotations

from datetime import date, timezone
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request, url_for

from bot.vocabulary import Author
from handoff import api, desk, found, guard, shapes
from handoff.found import NOTE, Asked, Found, Match
from handoff.pages import Show
from handoff.parts import parts
from handoff.refusals import BadBody
from handoff.viewing import Viewer

blueprint = Blueprint("finding", __name__)

AUTHORS = (*(author.value for author in Author), NOTE)
LIMIT, LIMIT_MAX = 30, 100


@blueprint.get("/search")
@guard.agents_only
def page() -> str:
    """Show what was found, in the place of the lists; the rest of it, when htmx asks for that."""
    looks, asked = desk.viewer(), _asked()
    with parts().ledger.reading() as tx:
        shown = found.read(tx, looks, asked)
        agents = found.agents_to_choose(tx)
    around = {"found": shown, "agents": agents, "viewer": looks, "authors": AUTHORS, "further": _further(shown)}
    if not guard.wants_fragment():
        return desk.page(None, **around)
    return render_template("_matches.html" if asked.cursor else "_found.html", **around)


def _asked() -> Asked:
    """Read what is asked for; on a page, what can't be read does not matter."""
    said = request.args
    show, author, cursor = said.get("show", ""), said.get("author", ""), said.get("cursor", "")
    return Asked(
        text=said.get("q", ""),
        within=said.get("in", ""),
        author=author if author in AUTHORS else "",
        agent=said.get("agent", ""),
        after=_day(said.get("after", "")),
        before=_day(said.get("before", "")),
        show=Show(show) if show in {one.value for one in Show} else None,
        cursor=cursor if found.is_cursor(cursor) else "",
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _further(shown: Found) -> str:
    """Return the address of the next page; "" if this was all."""
    asked = shown.asked
    narrowed = {"author": asked.author, "agent": asked.agent, "after": asked.after, "before": asked.before}
    narrowed |= {"in": asked.within, "show": asked.show.value if asked.show else ""}
    kept: dict[str, Any] = {name: str(value) for name, value in narrowed.items() if value}
    return url_for("finding.page", q=asked.text, cursor=shown.next, **kept) if shown.next else ""


@api.blueprint.get("/search")
@guard.with_token
def search() -> Response:
    """Find what was said, the newest first: `q`, perhaps `in`, `author`, `agent`, `after`, `before`, `list`."""
    asked, limit = _asked_by_program(), _limit()
    with parts().ledger.reading() as tx:
        shown = found.read(tx, Viewer(guard.who(), parts().now(), timezone.utc), asked, limit=limit)
    return jsonify(
        {
            "results": [_match(one) for one in shown.matches],
            "contacts": [shapes.conversation(one.one) for one in shown.people],
            "next": shown.next or None,
            "complete": not shown.behind,
        }
    )


def _asked_by_program() -> Asked:
    """Read what is asked for; a program hears of what can't be read."""
    said = request.args
    for name, choices in (("author", AUTHORS), ("list", tuple(one.value for one in Show))):
        if said.get(name, "") and said[name] not in choices:
            raise BadBody(f"({name} is {said[name]!r}; it must be one of {', '.join(choices)})")
    for name in ("after", "before"):
        if said.get(name, "") and _day(said[name]) is None:
            raise BadBody(f"({name} is {said[name]!r}; it must be a day like 2026-11-23)")
    if not found.is_cursor(said.get("cursor", "")):
        raise BadBody("(cursor must be the `next` of an answer)")
    return Asked(
        text=said.get("q", ""),
        within=said.get("in", ""),
        author=said.get("author", ""),
        agent=said.get("agent", ""),
        after=_day(said.get("after", "")),
        before=_day(said.get("before", "")),
        show=Show(said["list"]) if said.get("list") else None,
        cursor=said.get("cursor", ""),
    )


def _limit() -> int:
    asked = request.args.get("limit", "")
    if not asked:
        return LIMIT
    if not (asked.isascii() and asked.isdigit() and 0 < len(asked) < 9 and 1 <= int(asked) <= LIMIT_MAX):
        raise BadBody(f"(limit must be a number from 1 to {LIMIT_MAX})")
    return int(asked)


def _match(one: Match) -> dict[str, Any]:
    return {
        "conversation": one.key,
        "id": f"note-{one.id}" if one.note else str(one.id),
        "message": str(one.message_id),
        "author": NOTE if one.note else one.author.value,
        "agent": one.agent_name or None,
        "type": one.type,
        "at": shapes.moment(one.at),
        "text": one.text,
        "snippet": [{"text": piece.text, "marked": piece.marked} for piece in one.pieces],
    }
