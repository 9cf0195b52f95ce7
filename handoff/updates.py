"""The admin's page: what Meta brought and what became of it, what could not be sent, and once more for either."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bot.conversation import window_is_open
from bot.ledger import inbox, outbox, transcript
from bot.ledger.inbox import Line
from bot.ledger.outbox import Dead
from bot.ledger.transaction import Transaction
from bot.vocabulary import UpdateState
from handoff import assignments, guard, pages, words
from handoff.assignments import UnknownDelivery
from handoff.desk import viewer
from handoff.pages import Frame
from handoff.parts import parts
from handoff.roles import Deed
from handoff.viewing import Viewer, short

blueprint = Blueprint("updates", __name__, url_prefix="/updates")
log = logging.getLogger(__name__)

LISTED = 100


@dataclass(frozen=True)
class Count:
    """One number of the tally."""

    label: str
    number: int
    meaning: str
    bad: bool = False


@dataclass(frozen=True)
class Choice:
    """One way to filter the list."""

    state: str
    label: str
    chosen: bool


@dataclass(frozen=True)
class Row:
    """One update; never what was in it."""

    delivery: int
    n: int
    when: str
    at: str
    kind: str
    state: UpdateState
    state_words: str
    remark: str
    may_read_again: bool  # once for each delivery
    again: bool


@dataclass(frozen=True)
class Letter:
    """A message that did not get out."""

    id: int
    key: str
    when: str
    at: str
    what: str
    reason: str
    may_send_again: bool


@dataclass(frozen=True)
class Looked:
    """The page, as its reader sees it now."""

    counts: list[Count]
    choices: list[Choice]
    state: str
    rows: list[Row]
    failed: int
    letters: list[Letter]


@blueprint.get("")
@guard.agents_only
def page() -> str:
    """Show all of it."""
    guard.who().require(Deed.LOOK_AFTER)
    with parts().ledger.reading() as tx:
        return render_template("updates.html", frame=_frame(tx), looked=_look(tx))


@blueprint.get("/live")
@guard.agents_only
@guard.runs_by_itself
def live() -> str:
    """Show what changes by itself."""
    guard.who().require(Deed.LOOK_AFTER)
    return _fragment()


@blueprint.post("/again")
@guard.agents_only
def read_all_again() -> AnyResponse:
    """Have everything that failed read once more."""
    with parts().ledger.writing() as tx:
        assignments.read_again(tx, guard.who())
    return _done()


@blueprint.post("/<int:delivery>/again")
@guard.agents_only
def read_again(delivery: int) -> AnyResponse:
    """Have one delivery read once more."""
    with parts().ledger.writing() as tx:
        assignments.read_again(tx, guard.who(), _known(delivery))
    return _done()


@blueprint.post("/unsent/<int:message>/again")
@guard.agents_only
def send_again(message: int) -> AnyResponse:
    """Queue what failed once more."""
    guard.who().require(Deed.LOOK_AFTER)
    with parts().ledger.writing() as tx:
        assignments.send_again(tx, message if message < 2**63 else 0, guard.who(), parts().now())
    return _done()


@blueprint.get("/<int:delivery>/body")
@guard.agents_only
def ask_for_body(delivery: int) -> str:
    """Say what one is about to see, before it is seen."""
    return _body(delivery, shown=False)


@blueprint.post("/<int:delivery>/body")
@guard.agents_only
def show_body(delivery: int) -> str:
    """Show a delivery as it came, and write down who looked."""
    return _body(delivery, shown=True)


def _body(delivery: int, *, shown: bool) -> str:
    guard.who().require(Deed.LOOK_AFTER)
    with parts().ledger.reading() as tx:
        body = inbox.body_of(tx, _known(delivery))
        frame = _frame(tx)
    if body is None:
        raise UnknownDelivery(f"({delivery}; what was dealt with is forgotten after a while)")
    if shown:
        extra = {"action": "body_shown", "delivery": delivery, "account": guard.who().id}
        log.info("somebody looked at a delivery as it came", extra=extra)
    return render_template(
        "delivery.html", frame=frame, delivery=delivery, size=len(body), body=_indented(body) if shown else None
    )


def _known(delivery: int) -> int:
    """Refuse numbers no database has room for."""
    if not 0 < delivery < 2**63:
        raise UnknownDelivery(f"({delivery})")
    return delivery


def _indented(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text  # not JSON: that may be why it failed


def _done() -> AnyResponse:
    """Answer a verb with what the page looks like now."""
    if guard.wants_fragment():
        return Response(_fragment())
    return guard.go_to(url_for("updates.page", state=_state()))


def _fragment() -> str:
    with parts().ledger.reading() as tx:
        return render_template("_updates.html", looked=_look(tx))


def _frame(tx: Transaction) -> Frame:
    return pages.frame(tx, viewer())


def _state() -> str:
    """Return which updates are asked for: one state's, or "" for all; what failed unless told."""
    asked = request.args.get("state", UpdateState.FAILED.value)
    return asked if asked in {state.value for state in UpdateState} else ""


def _look(tx: Transaction) -> Looked:
    looks, state = viewer(), _state()
    tally = inbox.tally(tx)
    lines = inbox.lines(tx, UpdateState(state) if state else None, LISTED)
    dead = outbox.dead_letters(tx, LISTED)
    windows = transcript.windows_of(tx, {one.key for one in dead})
    failed = tally.by_state[UpdateState.FAILED]
    seen: set[int] = set()
    return Looked(
        counts=[
            Count("Received", tally.received, "everything Meta brought, and that is still kept"),
            *(_count(each, number) for each, number in tally.by_state.items()),
            Count("Open", tally.open, "messages that wait for their turn, and what failed"),
        ],
        choices=[
            *(Choice(each.value, words.UPDATES[each], state == each.value) for each in reversed(UpdateState)),
            Choice("all", "All", not state),
        ],
        state=state or "all",
        rows=[_row(line, looks, seen) for line in lines],
        failed=failed,
        letters=[
            _letter(one, looks, may_go=one.type == "template" or window_is_open(windows[one.key], looks.now))
            for one in dead
        ],
    )


def _count(state: UpdateState, number: int) -> Count:
    return Count(words.UPDATES[state], number, words.UPDATE_MEANINGS[state], state is UpdateState.FAILED and number > 0)


def _row(line: Line, looks: Viewer, seen: set[int]) -> Row:
    failed = line.state is UpdateState.FAILED
    first = failed and line.delivery_id not in seen
    if failed:
        seen.add(line.delivery_id)
    return Row(
        delivery=line.delivery_id,
        n=line.n,
        when=_when(line.received_at, looks),
        at=line.received_at.isoformat(),
        kind=line.kind,
        state=line.state,
        state_words=words.UPDATES[line.state],
        remark=line.remark,
        may_read_again=first and not line.again,
        again=first and line.again,
    )


def _letter(one: Dead, looks: Viewer, *, may_go: bool) -> Letter:
    return Letter(
        id=one.id,
        key=one.key,
        when=_when(one.at, looks),
        at=one.at.isoformat(),
        what=f"{words.author(one.author, 'Agent')} · {words.kind(one.type)}",
        reason=short(one.error) + (f" ({one.code})" if one.code and str(one.code) not in one.error else ""),
        may_send_again=may_go,
    )


def _when(at: datetime, looks: Viewer) -> str:
    day, clock = words.when(at, looks.now, looks.tz), words.clock(at, looks.tz)
    return clock if day == clock else f"{day} {clock}"
