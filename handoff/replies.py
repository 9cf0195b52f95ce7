"""The page of quick replies: make, edit, retire, find."""

from __future__ import annotations

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from handoff import guard, pages, quick_replies
from handoff.desk import viewer
from handoff.parts import parts
from handoff.quick_replies import BadQuickReply, QuickReply, Wanted
from handoff.roles import Deed

blueprint = Blueprint("replies", __name__, url_prefix="/quick-replies")


@blueprint.get("")
@guard.agents_only
def page() -> str:
    """Show them all, and a form for a new one."""
    return _page(None, Wanted("", ""))


@blueprint.get("/<int(max=999999999999):id_>")
@guard.agents_only
def one(id_: int) -> str:
    """Show one in the form."""
    with parts().ledger.reading() as tx:
        found = quick_replies.get(tx, id_, guard.who())
    return _page(found, Wanted(found.name, found.text, _whose(found)))


@blueprint.post("")
@guard.agents_only
def make() -> AnyResponse | tuple[str, int]:
    """Make one."""
    wanted = _wanted()
    try:
        with parts().ledger.writing() as tx:
            made = quick_replies.make(tx, guard.who(), wanted, parts().now())
    except BadQuickReply as problem:
        return _page(None, wanted, str(problem)), 422
    return guard.go_to(url_for("replies.page", done=f"/{made.name} is ready to use."))


@blueprint.post("/<int(max=999999999999):id_>")
@guard.agents_only
def change(id_: int) -> AnyResponse | tuple[str, int]:
    """Change one."""
    wanted = _wanted()
    try:
        with parts().ledger.writing() as tx:
            found = quick_replies.change(tx, id_, guard.who(), wanted, parts().now())
    except BadQuickReply as problem:
        with parts().ledger.reading() as tx:
            was = quick_replies.get(tx, id_, guard.who())
        return _page(was, wanted, str(problem)), 422
    return guard.go_to(url_for("replies.page", done=f"/{found.name} is changed."))


@blueprint.post("/<int(max=999999999999):id_>/retire")
@guard.agents_only
def retire(id_: int) -> AnyResponse:
    """Offer it no more."""
    with parts().ledger.writing() as tx:
        quick_replies.retire(tx, id_, guard.who(), parts().now())
    return guard.go_to(url_for("replies.page", done="It is retired; below, under Retired, it can be brought back."))


@blueprint.post("/<int(max=999999999999):id_>/back")
@guard.agents_only
def bring_back(id_: int) -> AnyResponse | tuple[str, int]:
    """Offer it again."""
    try:
        with parts().ledger.writing() as tx:
            quick_replies.bring_back(tx, id_, guard.who(), parts().now())
    except BadQuickReply as problem:
        return _page(None, Wanted("", ""), str(problem)), 422
    return guard.go_to(url_for("replies.page", done="It is offered again."))


def _page(edited: QuickReply | None, wanted: Wanted, problem: str = "") -> str:
    account, find = guard.who(), request.args.get("find", "")
    with parts().ledger.reading() as tx:
        frame = pages.frame(tx, viewer())
        found = quick_replies.of(tx, account, find=find)
        retired = [one for one in quick_replies.of(tx, account, retired=True) if one.may_be_changed_by(account)]
        teams = quick_replies.every_team(tx)
    return render_template(
        "quick_replies.html",
        frame=frame,
        edited=edited,
        wanted=wanted,
        problem=problem,
        done=request.args.get("done", ""),
        find=find,
        found=found,
        retired=retired,
        teams=teams,
        leads=account.may(Deed.LEAD),
        speaks=account.may(Deed.SPEAK),
    )


def _whose(found: QuickReply) -> str:
    if found.account_id is not None:
        return quick_replies.OWN
    return f"{quick_replies.TEAM} {found.team_id}" if found.team_id is not None else quick_replies.ALL


def _wanted() -> Wanted:
    form = request.form
    return Wanted(form.get("name", ""), form.get("text", ""), form.get("whose", quick_replies.OWN))
