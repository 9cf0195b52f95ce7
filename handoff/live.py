"""Server-sent events: which conversations changed, never what was said. Browsers ask for what they show."""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as AnyResponse

from bot.ledger import changes, transcript
from bot.ledger.transaction import Transaction
from handoff import guard
from handoff.feed import Feed, Mailbox, Signals, feed
from handoff.parts import parts
from handoff.sight import sight

blueprint = Blueprint("live", __name__)

HEARTBEAT_S = 15.0
PACE_S = 0.4  # two to three batches a second at most
LASTS_S = 600.0  # then the browser comes again by itself, and the guard looks at its session anew
CATCH_UP_MAX = 200  # changes; beyond it, looking at everything is cheaper


@blueprint.get("/live")
@guard.agents_only
@guard.runs_by_itself
def stream() -> AnyResponse:
    """Tell what changed since Last-Event-ID, or since the page was drawn, for as long as the tab is open."""
    tail = feed()
    box, account_id = tail.subscribe(), guard.who().id
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


def _catch_up(tx: Transaction, box: Mailbox, since: int) -> None:
    missed = changes.after(tx, since, CATCH_UP_MAX + 1)
    if not missed:
        return
    if len(missed) > CATCH_UP_MAX or changes.were_forgotten(tx, since):
        box.everything(changes.latest(tx))
        return
    keys = transcript.keys_of(tx, {change.conversation_id for change in missed})
    box.put(missed[-1].id, [(keys[change.conversation_id], change.kind) for change in missed])


def _events(tail: Feed, box: Mailbox) -> Iterator[str]:
    yield "retry: 1000\n\n: hello\n\n"
    ends = time.monotonic() + LASTS_S
    while not tail.stopping.is_set() and time.monotonic() < ends:
        signals = box.take(timeout=HEARTBEAT_S)
        if tail.stopping.is_set():
            return
        yield ": still here\n\n" if signals is None else render(signals)
        if signals is not None:
            tail.stopping.wait(PACE_S)


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
    if signals.kinds:
        lines.append(f"event: changed\ndata: {len(signals.kinds)}\n\n")
    number = f"id: {signals.cursor}\n" if signals.cursor else ""  # who looks has no place in the feed
    return number + "".join(lines)
