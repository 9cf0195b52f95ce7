"""The desk's pages: the lists, a conversation, and what an agent does with it."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bot.ledger import teams, transcript
from bot.ledger.transaction import Transaction
from handoff import agents, assignments, endings, feed, guard, members, pages, snoozing, words
from handoff import opened as opening
from handoff.board import Board, boards
from handoff.filters import Filters
from handoff.gate import Gate
from handoff.opened import Part
from handoff.pages import Chosen, Show
from handoff.parts import parts
from handoff.roles import Deed
from handoff.sight import sight
from handoff.viewing import Viewer

blueprint = Blueprint("desk", __name__)

TEAM = re.compile(r"team:(\d{1,18})")  # no e-mail looks like it
GATE = Gate()
ZONE_COOKIE = "baton_zone"  # zone.js writes the browser's time zone there


@blueprint.get("/")
@guard.agents_only
def home() -> str:
    """Show the lists, with no conversation open."""
    return page(None)


@blueprint.get("/conversations/<key>")
@guard.agents_only
def conversation(key: str) -> AnyResponse:
    """Show a conversation beside the lists; alone, when htmx asks. One that was merged leads to the other."""
    with parts().ledger.reading() as tx:
        kept = transcript.conversation(tx, key).key
    if kept != key:
        return guard.go_to(url_for("desk.conversation", key=kept, show=request.args.get("show")))
    body = _conversation(key) if guard.wants_fragment() else page(key)
    return Response(body, headers={"Vary": "HX-Request"})


@blueprint.get("/list")
@guard.agents_only
@guard.runs_by_itself
def rows() -> str:
    """Show the chosen list and the counts of all."""
    began, board = time.thread_time(), _board()
    with GATE.passed(urgent=False), parts().ledger.reading() as tx:
        looks = viewer()
        found = pages.rows(tx, looks, _chosen(tx, looks), board)
        drawn = render_template("_rows.html", rows=found)
        seen = members.is_seen(tx, guard.who().id, parts().now())
    if not seen:
        with parts().ledger.writing(lightly=True) as tx:
            members.see(tx, guard.who().id, parts().now())
    feed.feed().list_took(time.thread_time() - began)
    return drawn


@blueprint.route("/availability", methods=["GET"])
@guard.agents_only
@guard.runs_by_itself
def availability() -> str:
    """Show whether one can be given conversations."""
    with parts().ledger.reading() as tx:
        return render_template("_available.html", away=members.is_away(tx, guard.who().id))


@blueprint.post("/availability")
@guard.agents_only
def be() -> AnyResponse:
    """Step away, or come back."""
    guard.who().require(Deed.SPEAK)
    available = request.form.get("available") == "yes"
    with parts().ledger.writing() as tx:
        members.be(tx, guard.who().id, available=available, now=parts().now())
    if not guard.wants_fragment():
        return guard.go_to(url_for("desk.home"))
    return Response(render_template("_available.html", away=not available))


@blueprint.get("/alarms")
@guard.agents_only
@guard.runs_by_itself
def alarms() -> str:
    """Show what somebody must look at."""
    with parts().ledger.reading() as tx:
        return render_template("_alarms.html", frame=pages.frame(tx, viewer()))


@blueprint.get("/conversations/<key>/live")
@guard.agents_only
@guard.runs_by_itself
def live(key: str) -> str:
    """Show everything of a conversation that changes by itself."""
    return _live(key)


@blueprint.post("/conversations/<key>/take")
@guard.agents_only
def take(key: str) -> AnyResponse:
    """Take the conversation; the bot is mute from here on."""
    with parts().ledger.writing() as tx:
        assignments.take(tx, key, guard.who(), parts().now())
    return done(key, "taken")


@blueprint.post("/conversations/<key>/requeue")
@guard.agents_only
def requeue(key: str) -> AnyResponse:
    """Put the conversation back into the queue."""
    with parts().ledger.writing() as tx:
        assignments.requeue(tx, key, guard.who(), parts().now(), tell=parts().requeued())
    return done(key, "requeued")


@blueprint.post("/conversations/<key>/give_back")
@guard.agents_only
def give_back(key: str) -> AnyResponse:
    """Return the conversation to the bot, with a last word to the contact, and say how it went."""
    goodbye, ends = parts().goodbye(), endings.read(request.form)
    with parts().ledger.writing() as tx:
        assignments.give_back(tx, key, guard.who(), goodbye, parts().now(), ends=ends, ask=parts().ask_csat())
    return done(key, "given_back")


@blueprint.post("/conversations/<key>/snooze")
@guard.agents_only
def snooze(key: str) -> AnyResponse:
    """Put it aside until later, or until the contact writes."""
    guard.who().require(Deed.SPEAK)
    form, looks = request.form, viewer()
    with parts().ledger.writing() as tx:
        hours = assignments.hours_of(tx, key)
        wanted = snoozing.chosen(
            form.get("until", ""), form.get("at", ""), tells="tell" in form, now=looks.now, tz=looks.tz, hours=hours
        )
        assignments.snooze(tx, key, guard.who(), wanted, words=parts().snoozed(wanted.when), now=looks.now)
    return done(key, "snoozed")


@blueprint.post("/conversations/<key>/wake")
@guard.agents_only
def wake(key: str) -> AnyResponse:
    """Take it up again before its time."""
    with parts().ledger.writing() as tx:
        assignments.wake(tx, key, guard.who(), parts().now())
    return done(key, "woken")


@blueprint.post("/conversations/<key>/transfer")
@guard.agents_only
def transfer(key: str) -> AnyResponse:
    """Pass it on to a colleague or a team, with a note."""
    to, who, now = request.form.get("to", ""), guard.who(), parts().now()
    team, beyond = TEAM.fullmatch(to), "beyond" in request.form
    with parts().ledger.writing() as tx:
        if team is not None:
            name = teams.team(tx, int(team[1])).name
            key = assignments.transfer_to_team(
                tx, key, who, name, _text(), client_key=_client_key(), now=now, tell=parts().requeued()
            )  # fmt: skip
        else:
            key = assignments.transfer(
                tx, key, who, to, _text(), client_key=_client_key(), now=now, beyond=beyond
            )  # fmt: skip
    return done(key, "transferred")


@blueprint.post("/conversations/<key>/reply")
@guard.agents_only
def reply(key: str) -> AnyResponse:
    """Queue an agent's words to the contact."""
    to = _number(request.form.get("to"))
    with parts().ledger.writing() as tx:
        assignments.reply(tx, key, guard.who(), _text(), client_key=_client_key(), to=to, now=parts().now())
    return done(key, "replied")


@blueprint.post("/messages/<int:message_id>/again")
@guard.agents_only
def again(message_id: int) -> AnyResponse:
    """Queue what failed once more, whatever it was."""
    with parts().ledger.writing() as tx:
        _, key = assignments.send_again(tx, message_id, guard.who(), parts().now())
    return done(key, "replied")


@blueprint.post("/conversations/<key>/note")
@guard.agents_only
def note(key: str) -> AnyResponse:
    """Write something down for agents' eyes only."""
    with parts().ledger.writing() as tx:
        assignments.note(tx, key, guard.who(), _text(), client_key=_client_key(), now=parts().now())
    return done(key, "noted")


def viewer() -> Viewer:
    """Return who looks, when and in which zone."""
    return Viewer(guard.who(), parts().now(), words.zone(request.cookies.get(ZONE_COOKIE)))


def page(key: str | None, **found: Any) -> str:
    """Draw the whole page: the lists, or what was found in their place, and a conversation."""
    looks, board = viewer(), _board()
    with parts().ledger.reading() as tx:
        frame, offered = pages.frame(tx, looks), pages.offered(tx)
        listed = pages.rows(tx, looks, _chosen(tx, looks), board)
        opened = opening.read(tx, looks, key, part(opens=True), board.staff) if key is not None else None
        greet = not agents.has_been_greeted(tx, looks.account.id)
    drawn: dict[str, Any] = {"frame": frame, "offered": offered, "rows": listed, "opened": opened, "greet": greet}
    return render_template("desk.html", **drawn, lookers=lookers(opened.key) if opened else "", **found)


def _conversation(key: str) -> str:
    staff = boards().staff()
    with parts().ledger.reading() as tx:
        opened = opening.read(tx, viewer(), key, part(opens=True), staff)
    return render_template("_conversation.html", opened=opened, lookers=lookers(opened.key))


def _live(key: str) -> str:
    staff = boards().staff()
    with GATE.passed(urgent=True):
        with parts().ledger.reading() as tx:
            opened = opening.read(tx, viewer(), key, part(), staff)
        return render_template("_live.html", opened=opened, asked=key, lookers=lookers(opened.key))


def part(*, opens: bool = False) -> Part:
    """Return which part of the transcript the page shows, or wants to."""
    since, at, new_after = (_number(request.values.get(name)) for name in ("since", "at", "new_after"))
    return Part(since, at, new_after, opens)


def lookers(key: str) -> str:
    """Say who else looks at a conversation."""
    found = sight().at(key, besides=guard.who().id)
    return words.lookers([one.name for one in found], [one.name for one in found if one.types])


def done(key: str, what: str) -> AnyResponse:
    """Answer a verb with what the conversation looks like now."""
    if not guard.wants_fragment():
        return guard.go_to(url_for("desk.conversation", key=key))
    return Response(_live(key), headers={"HX-Trigger": json.dumps({f"baton:{what}": key})})


def _chosen(tx: Transaction, looks: Viewer) -> Chosen:
    chosen = pages.chosen(tx, looks.account, request.args.get("show", ""), Filters.read(request.args))
    return replace(chosen, all_teams=_all_teams())


def _board() -> Board:
    return boards().get(held=request.args.get("show") == Show.OTHERS.value)


def _number(words_: str | None) -> int | None:
    return int(words_) if words_ and words_.isascii() and words_.isdigit() and len(words_) < 19 else None


def _all_teams() -> bool:
    return request.args.get("teams") == "all"


def _text() -> str:
    return request.form.get("text", "").replace("\r\n", "\n").strip()


def _client_key() -> str | None:
    return request.form.get("client_key") or None
