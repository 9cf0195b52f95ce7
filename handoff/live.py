"""Server-sent events: which conversations changed, never what was said. Browsers ask for what they show."""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as AnyResponse

from bot.ledger import changes
from bot.ledger.transaction import Transaction
from handoff import guard
from handoff.feed import Feed, Mailbox, Signals, feed, news_of
from handoff.interest import Interest
from handoff.parts import parts
from handoff.sight import sight

blueprint = Blueprint("live", __name__)

HEARTBEAT_S = 15.0
PACE_S = 0.4  # two to three signals a second at most, of a conversation and of the lists each
SHOWN_MAX = 8  # conversations in one tab
LASTS_S = 600.0  # then the browser comes again by itself, and the guard looks at its session anew
CATCH_UP_MAX = 200  # changes; beyond it, looking at everything is cheaper


@blueprint.get("/live")
@guard.agents_only
@guard.runs_by_itself
def stream() -> AnyResponse:
    """Tell what changed since Last-Event-ID, or since the page was drawn, for as long as the tab is open."""
    tail = feed()
    box, account_id = tail.subscribe(_interest()), guard.who().id
    since = request.headers.get("Last-Event-ID") or request.args.get("since", "")
    try:
        if since.isdigit() and len(since) < 19:
            with parts().ledger.reading() as tx:
                _catch_up(tx, box, int(since))
    except BaseException:
        tail.unsubscribe(box)
        raise
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = Response(_events(tail, box), mimetype="text/event-stream", headers=headers)
    seen = sight()
    seen.opens(account_id)
    response.call_on_close(lambda: tail.unsubscribe(box))
    response.call_on_close(lambda: seen.closes(account_id))
    return response


def _interest() -> Interest | None:
    """Return what the tab says it shows; stream.js comes again whenever that changes."""
    show, keys = request.args.get("show"), request.args.getlist("key")
    if show is None or len(keys) > SHOWN_MAX:
        return None
    return Interest(guard.who().id, show, frozenset(keys))


def _catch_up(tx: Transaction, box: Mailbox, since: int) -> None:
    missed = changes.after(tx, since, CATCH_UP_MAX + 1)
    if not missed:
        return
    if len(missed) > CATCH_UP_MAX or changes.were_forgotten(tx, since):
        box.everything(changes.latest(tx))
        return
    box.hear(missed[-1].id, news_of(tx, missed))


def _events(tail: Feed, box: Mailbox) -> Iterator[str]:
    yield "retry: 1000\n\n: hello\n\n"
    ends = time.monotonic() + LASTS_S
    while not tail.stopping.is_set() and time.monotonic() < ends:
        signals = box.take(timeout=HEARTBEAT_S, pace=PACE_S)
        if tail.stopping.is_set():
            return
        yield ": still here\n\n" if signals is None else render(signals)


def render(signals: Signals) -> str:
    """Write signals as events: one per conversation for whoever shows it, and one for the lists."""
    lines = [
        f"event: conversation-{key}\ndata: {key} {','.join(kind.value for kind in kinds)}\n\n"
        for key, kinds in signals.kinds.items()
    ]
    lines += [f"event: looking-{key}\ndata: {key}\n\n" for key in signals.looking]
    if signals.everything:
        lines.append("event: everything\ndata: everything\n\n")
    if signals.alarms:
        lines.append("event: alarms\ndata: alarms\n\n")
    if signals.lists or (signals.lists is None and signals.kinds):
        lines.append(f"event: changed\ndata: {len(signals.kinds)}\n\n")
    number = f"id: {signals.cursor}\n" if signals.cursor else ""  # who looks has no place in the feed
    return number + "".join(lines)
