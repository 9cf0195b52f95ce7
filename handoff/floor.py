"""The supervisors' live floor: who waits, who is at work, how today goes; and from here: listen, assign, take over,
put back.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bot.errors import AlreadyTaken, NotAllowed
from bot.ledger import handoffs
from bot.vocabulary import Holder
from handoff import assignments, flooring, guard, pages
from handoff.desk import viewer
from handoff.flooring import PHONE
from handoff.parts import parts
from handoff.roles import Deed

blueprint = Blueprint("floor", __name__, url_prefix="/floor")


@blueprint.get("")
@guard.agents_only
def page() -> str:
    """Show the floor."""
    guard.who().require(Deed.OVERSEE)
    looks = viewer()
    with parts().ledger.reading() as tx:
        found = flooring.floor(tx, looks, _team())
        return render_template("floor.html", frame=pages.frame(tx, looks), floor=found, said="")


@blueprint.get("/live")
@guard.agents_only
@guard.runs_by_itself
def live() -> str:
    """Show what changes by itself."""
    guard.who().require(Deed.OVERSEE)
    return _fragment()


@blueprint.post("/<key>/assign")
@guard.agents_only
def assign(key: str) -> AnyResponse:
    """Give a conversation to somebody; to oneself: take it, or take it over. Not if somebody else has it by now."""
    who, to, now = guard.who(), request.form.get("to", ""), parts().now()
    who.require(Deed.LEAD)
    with parts().ledger.writing() as tx:
        _require_seen(handoffs.locked(tx, key), request.form.get("of", ""))
        beyond = "beyond" in request.form
        assignments.transfer(tx, key, who, to or who.email, "", client_key=None, now=now, beyond=beyond)
    if not to:
        return guard.go_to(url_for("desk.conversation", key=key, show="mine"))
    return _done("Assigned.")


@blueprint.post("/<key>/put_back")
@guard.agents_only
def put_back(key: str) -> AnyResponse:
    """Put what somebody has back into the queue. Not if somebody else has it by now."""
    guard.who().require(Deed.LEAD)
    with parts().ledger.writing() as tx:
        _require_seen(handoffs.locked(tx, key), request.form.get("of", ""))
        assignments.put_back(tx, key, guard.who(), parts().now(), tell=parts().requeued())
    return _done("Put back into the queue.")


def _require_seen(row: Any, of: str) -> None:
    """Refuse to act on what the floor showed when somebody else has it by now. `row` is the conversation's, locked."""
    if row.holder is Holder.BOT:
        raise NotAllowed("(the bot has it again)")
    if row.holder is Holder.AGENT and of != str(row.agent_id or PHONE):
        raise AlreadyTaken(f"({row.agent_name} has it)", holder_name=row.agent_name)


def _done(said: str) -> AnyResponse:
    """Answer a verb with the floor as it is now, and with words for who can't see it."""
    if guard.wants_fragment():
        return Response(_fragment(said))
    return guard.go_to(url_for("floor.page", team=_team()))


def _fragment(said: str = "") -> str:
    with parts().ledger.reading() as tx:
        return render_template("_floor.html", floor=flooring.floor(tx, viewer(), _team()), said=said)


def _team() -> int | None:
    asked = request.args.get("team", "")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 19 else None
