"""What is an agent's own: saved views, and browsers that are told when no desk is open in them."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from handoff import guard, mentions, pages, push, views
from handoff.filters import Filters
from handoff.parts import parts
from handoff.push import Browser

blueprint = Blueprint("own", __name__)

WORKER = Path(__file__).resolve().parent / "static" / "push-worker.js"


@blueprint.post("/views")
@guard.agents_only
def save() -> AnyResponse:
    """Keep the list as it is narrowed now, under a name."""
    said, now = request.form, parts().now()
    with parts().ledger.writing() as tx:
        chosen = pages.chosen(tx, guard.who(), said.get("show", ""), Filters.read(said))
        filters = chosen.view.filters.beside(chosen.filters) if chosen.view else chosen.filters
        shared = bool(said.get("shared"))
        made = views.save(tx, guard.who(), said.get("name", ""), chosen.show.value, filters, shared=shared, now=now)
    return guard.go_to(url_for("desk.home", show=f"view-{made}"))


@blueprint.post("/views/<int:view_id>/forget")
@guard.agents_only
def forget(view_id: int) -> AnyResponse:
    """Forget a view."""
    with parts().ledger.writing() as tx:
        views.forget(tx, guard.who(), view_id)
    return guard.go_to(url_for("desk.home"))


@blueprint.get("/colleagues")
@guard.agents_only
@guard.runs_by_itself
def colleagues() -> AnyResponse:
    """List who can be mentioned in a note, for the field that completes names."""
    with parts().ledger.reading() as tx:
        found = mentions.colleagues(tx)
    return Response(
        "\n".join(f"{one.handle}\t{one.name}" for one in found if one.id != guard.who().id), mimetype="text/plain"
    )


@blueprint.get("/push")
@guard.agents_only
def push_key() -> AnyResponse:
    """Return the public key a browser needs to let us tell it something."""
    with parts().ledger.writing() as tx:
        return Response(push.key(tx, parts().now()).public, mimetype="text/plain")


@blueprint.get("/push-worker.js")
@guard.for_everybody
def worker() -> AnyResponse:
    """Serve the script that runs while no desk is open; from the top, for a script answers for what lies below it."""
    return Response(WORKER.read_text(encoding="utf-8"), mimetype="text/javascript")


@blueprint.post("/push")
@guard.agents_only
def subscribe() -> tuple[str, int]:
    """Tell this browser when somebody waits and no desk is open."""
    with parts().ledger.writing() as tx:
        push.subscribe(tx, guard.who(), push.from_browser(_browser()), parts().now())
    return "", 204


@blueprint.post("/push/end")
@guard.agents_only
def unsubscribe() -> tuple[str, int]:
    """Tell this browser nothing any more."""
    with parts().ledger.writing() as tx:
        push.unsubscribe(tx, _browser().endpoint)
    return "", 204


def _browser() -> Browser:
    return Browser(*(request.form.get(name, "") for name in ("endpoint", "p256dh", "auth")))
