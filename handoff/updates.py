"""The admin's page: what Meta brought and what became of it, what could not be sent; for either: again, or aside."""

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
from bot.ledger.outbox import Dead, Rest
from bot.ledger.transaction import Transaction
from bot.vocabulary import UpdateState
from handoff import assignments, guard, pages, words
from handoff.assignments import UnknownDelivery
from handoff.desk import viewer
from handoff.pages import Frame
from handoff.parts import parts
from handoff.roles import Deed
from handoff.viewing import Choice, Viewer, short

blueprint = Blueprint("updates", __name__, url_prefix="/updates")
log = logging.getLogger(__name__)

LISTED = 100
WATCHED = 50  # deliveries whose outcome one page waits for
ASKED = "Asked for; read within seconds."

RESTS: dict[Rest, str] = {
    Rest.FAILED: "Waits for you",
    Rest.SET_ASIDE: "Set aside",
    Rest.OVERTAKEN: "A person took over",
}


@dataclass(frozen=True)
class Count:
    """One number of the tally."""

    label: str
    number: int
    meaning: str
    bad: bool = False


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
    tried: str  # when it was last read again, and that it failed again; "" if nobody tried
    may_read_again: bool  # once for each delivery
    may_set_aside: bool
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
    waits: bool  # for somebody to see to it
    may_send_again: bool


@dataclass(frozen=True)
class Looked:
    """The page, as its reader sees it now."""

    counts: list[Count]
    choices: list[Choice]
    state: str
    rows: list[Row]
    failed: int
    letter_choices: list[Choice]
    rest: str
    letters: list[Letter]
    watched: str  # deliveries whose reader waits to hear what became of them
    said: str  # for the live region; "" leaves it as it is


@blueprint.get("")
@guard.agents_only
def page() -> str:
    """Show all of it."""
    guard.who().require(Deed.LOOK_AFTER)
    with parts().ledger.reading() as tx:
        return render_template("updates.html", frame=_frame(tx), looked=_look(tx, set()))


@blueprint.get("/live")
@guard.agents_only
@guard.runs_by_itself
def live() -> str:
    """Show what changes by itself."""
    guard.who().require(Deed.LOOK_AFTER)
    return _fragment(_watched())


@blueprint.post("/again")
@guard.agents_only
def read_all_again() -> AnyResponse:
    """Have everything that failed read once more."""
    with parts().ledger.writing() as tx:
        assignments.read_again(tx, guard.who(), now=parts().now())
        failed = {line.delivery_id for line in inbox.lines(tx, UpdateState.FAILED, LISTED)}
    return _done(ASKED, watched=failed)


@blueprint.post("/<int:delivery>/again")
@guard.agents_only
def read_again(delivery: int) -> AnyResponse:
    """Have one delivery read once more."""
    with parts().ledger.writing() as tx:
        assignments.read_again(tx, guard.who(), _known(delivery), now=parts().now())
    return _done(ASKED, watched=_watched() | {delivery})


@blueprint.post("/aside")
@guard.agents_only
def set_all_aside() -> AnyResponse:
    """Let everything that failed rest."""
    with parts().ledger.writing() as tx:
        assignments.set_updates_aside(tx, guard.who(), now=parts().now())
    return _done("Set aside. All of it is still found under “Set aside”.", watched=set())


@blueprint.post("/<int:delivery>/aside")
@guard.agents_only
def set_aside(delivery: int) -> AnyResponse:
    """Let what failed in one delivery rest."""
    with parts().ledger.writing() as tx:
        assignments.set_updates_aside(tx, guard.who(), _known(delivery), now=parts().now())
    return _done(f"Delivery {delivery} is set aside.", watched=_watched() - {delivery})


@blueprint.post("/unsent/<int:message>/again")
@guard.agents_only
def send_again(message: int) -> AnyResponse:
    """Queue what failed once more."""
    guard.who().require(Deed.LOOK_AFTER)
    with parts().ledger.writing() as tx:
        again, _ = assignments.send_again(tx, _message(message), guard.who(), parts().now())
    return _done(f"Queued once more, as message {again}.", watched=_watched())


@blueprint.post("/unsent/<int:message>/aside")
@guard.agents_only
def set_message_aside(message: int) -> AnyResponse:
    """Let what could not be sent rest."""
    guard.who().require(Deed.LOOK_AFTER)
    with parts().ledger.writing() as tx:
        assignments.set_aside(tx, _message(message), guard.who(), parts().now())
    return _done(f"Message {message} is set aside.", watched=_watched())


def _message(message: int) -> int:
    """Return an id any database has room for; 0 is nobody's."""
    return message if message < 2**63 else 0


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
    with parts().ledger.writing() if shown else parts().ledger.reading() as tx:
        known = _known(delivery)
        body = assignments.body_of(tx, guard.who(), known, parts().now()) if shown else inbox.body_of(tx, known)
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


def _done(said: str, *, watched: set[int]) -> AnyResponse:
    """Answer a verb with what the page looks like now, and with words for who can't see it."""
    if guard.wants_fragment():
        return Response(_fragment(watched, said))
    rest = _rest()
    return guard.go_to(url_for("updates.page", state=_state(), unsent=None if rest is Rest.FAILED else rest.value))


def _fragment(watched: set[int], said: str = "") -> str:
    with parts().ledger.reading() as tx:
        return render_template("_updates.html", looked=_look(tx, watched, said))


def _frame(tx: Transaction) -> Frame:
    return pages.frame(tx, viewer())


def _state() -> str:
    """Return which updates are asked for: one state's, or "" for all; what failed unless told."""
    asked = request.args.get("state", UpdateState.FAILED.value)
    return asked if asked in {state.value for state in UpdateState} else ""


def _rest() -> Rest:
    """Return which unsent messages are asked for."""
    asked = request.args.get("unsent")
    return Rest(asked) if asked in {rest.value for rest in Rest} else Rest.FAILED


def _watched() -> set[int]:
    """Return the deliveries whose outcome this page waits for; they travel in its own addresses."""
    asked = request.args.get("watched", "").split("-")
    return {int(one) for one in asked if one.isascii() and one.isdigit() and len(one) <= 18}


def _outcome(tx: Transaction, watched: set[int], looks: Viewer) -> str:
    """Say what became of deliveries once all of them were read again; "" while one still waits, or there are none."""
    lines = [line for one in sorted(watched) for line in inbox.lines(tx, delivery_id=one)]
    if not lines or any(line.again for line in lines):
        return ""
    tried = {line.delivery_id for line in lines}
    failed = {line.delivery_id for line in lines if line.state is UpdateState.FAILED}
    at = max((line.tried_at for line in lines if line.tried_at), default=looks.now)
    if not failed:
        return f"Tried again {_when(at, looks)}: it could be read."
    which = "still can't be read" if failed == tried else f"{len(failed)} of {len(tried)} still can't be read"
    return f"Tried again {_when(at, looks)}: {which}."


def _look(tx: Transaction, watched: set[int], said: str = "") -> Looked:
    looks, state, rest = viewer(), _state(), _rest()
    tally = inbox.tally(tx)
    lines = inbox.lines(tx, UpdateState(state) if state else None, LISTED)
    dead = outbox.dead_letters(tx, LISTED, rest)
    windows = transcript.windows_of(tx, {one.key for one in dead})
    failed = tally.by_state[UpdateState.FAILED]
    seen: set[int] = set()
    if not said:
        said = _outcome(tx, watched, looks)
        watched = set() if said else watched
    return Looked(
        counts=[
            Count("Received", tally.received, "everything Meta brought, and that is still kept"),
            *(_count(each, number) for each, number in tally.by_state.items()),
            Count("Open", tally.open, "messages that wait for their turn, and what failed"),
        ],
        choices=[
            *(Choice(each.value, words.UPDATES[each], state == each.value) for each in _FAILED_FIRST),
            Choice("all", "All", not state),
        ],
        state=state or "all",
        rows=[_row(line, looks, seen) for line in lines],
        failed=failed,
        letter_choices=[Choice(each.value, label, rest is each) for each, label in RESTS.items()],
        rest=rest.value,
        letters=[
            _letter(one, looks, rest, may_go=one.type == "template" or window_is_open(windows[one.key], looks.now))
            for one in dead
        ],
        watched="-".join(str(one) for one in sorted(watched)[-WATCHED:]),
        said=said,
    )


_FAILED_FIRST = sorted(UpdateState, key=lambda state: (state not in inbox.EVER_FAILED, state is UpdateState.SET_ASIDE))


def _count(state: UpdateState, number: int) -> Count:
    return Count(words.UPDATES[state], number, words.UPDATE_MEANINGS[state], state is UpdateState.FAILED and number > 0)


def _row(line: Line, looks: Viewer, seen: set[int]) -> Row:
    unread = line.state in inbox.EVER_FAILED
    first = unread and line.delivery_id not in seen
    if unread:
        seen.add(line.delivery_id)
    failed = line.state is UpdateState.FAILED
    tried = f"Tried again {_when(line.tried_at, looks)}: still can't be read" if failed and line.tried_at else ""
    return Row(
        delivery=line.delivery_id,
        n=line.n,
        when=_when(line.received_at, looks),
        at=line.received_at.isoformat(),
        kind=line.kind,
        state=line.state,
        state_words=words.UPDATES[line.state],
        remark=line.remark,
        tried=tried,
        may_read_again=first and not line.again,
        may_set_aside=first and failed,
        again=first and line.again,
    )


def _letter(one: Dead, looks: Viewer, rest: Rest, *, may_go: bool) -> Letter:
    return Letter(
        id=one.id,
        key=one.key,
        when=_when(one.at, looks),
        at=one.at.isoformat(),
        what=f"{words.author(one.author, 'Agent')} · {words.kind(one.type)}",
        reason=short(one.error) + (f" ({one.code})" if one.code and str(one.code) not in one.error else ""),
        waits=rest is Rest.FAILED,
        may_send_again=may_go,
    )


def _when(at: datetime, looks: Viewer) -> str:
    day, clock = words.when(at, looks.now, looks.tz), words.clock(at, looks.tz)
    return clock if day == clock else f"{day} {clock}"
