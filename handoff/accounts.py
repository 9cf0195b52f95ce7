"""The admin's pages of accounts: who may sign in, as what; and what to do when somebody can't, or must not any more."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bot.errors import BotError
from bot.ledger.transaction import Transaction
from bot.vocabulary import Role
from handoff import agents, browsers, guard, pages, second, sessions, words
from handoff.agents import AccountExists, BadAccount, Person
from handoff.desk import viewer
from handoff.parts import parts
from handoff.roles import Account, Deed
from handoff.viewing import Viewer

blueprint = Blueprint("accounts", __name__, url_prefix="/accounts")

ROLES: dict[Role, str] = {
    Role.AGENT: "takes conversations and answers",
    Role.SUPERVISOR: "does what an agent does, and steps into colleagues' conversations",
    Role.CONTENT: "reads along and writes notes; never to contacts",
    Role.ADMIN: "does all of that, and looks after accounts, deliveries and settings",
}
HAS_ONE = "There is an account with this e-mail already. Open it in the list to give it a new password."
DONE = {
    "name": "The name is changed.",
    "role": "The role is changed, from their next click on.",
    "disabled": "Disabled. They are signed out, their tokens have ended, and who they had waits in the queue.",
    "enabled": "Enabled. They can sign in with the password they had.",
    "signed_out": "They are signed out everywhere.",
    "factor": "Their second factor is gone: the password alone lets them in until they set up another.",
    "required": "Saved. Who lacks a second factor is asked to set it up before anything else.",
}


@dataclass(frozen=True)
class Row:
    """One account in the list."""

    id: int
    name: str
    email: str
    role: Role
    seen: str
    state: str
    is_off: bool
    has_factor: bool
    is_me: bool


@dataclass(frozen=True)
class Choice:
    """A role to choose."""

    role: Role
    meaning: str
    chosen: bool


@dataclass(frozen=True)
class Listed:
    """The list, and what may be done with it."""

    rows: list[Row]
    choices: list[Choice]
    required: list[Choice]
    said: str
    error: str
    email: str  # what was typed, where it could not be used
    name: str


@dataclass(frozen=True)
class Opened:
    """One account."""

    row: Row
    since: str
    holds: int
    places: list[str]
    choices: list[Choice]
    said: str


@blueprint.get("")
@guard.agents_only
def page() -> str:
    """List everybody."""
    guard.who().require(Deed.ADMIT)
    return _list(role=Role.AGENT)


@blueprint.post("")
@guard.agents_only
def add() -> AnyResponse:
    """Make an account and show its password, once."""
    guard.who().require(Deed.ADMIT)
    email, name, role = request.form.get("email", ""), request.form.get("name", ""), _role()
    try:
        with parts().ledger.writing() as tx:
            password = agents.add(tx, email, role, name, keep_password=False, now=parts().now(), by=guard.who())
            added = agents.by_email(tx, email)
    except (AccountExists, BadAccount) as error:
        return Response(_list(role=role, error=error), 409 if isinstance(error, AccountExists) else 400)
    return _show_password(added, password, is_new=True)


@blueprint.post("/factor")
@guard.agents_only
def require_factor() -> AnyResponse:
    """Say which roles must have a second factor."""
    guard.who().require(Deed.ADMIT)
    roles = {role for role in Role if role.value in request.form.getlist("role")}
    with parts().ledger.writing() as tx:
        second.require_for(tx, roles, guard.who(), parts().now())
    return guard.go_to(url_for("accounts.page", done="required"))


@blueprint.get("/<int:number>")
@guard.agents_only
def account(number: int) -> str:
    """Show one."""
    guard.who().require(Deed.ADMIT)
    with parts().ledger.reading() as tx:
        opened = _opened(tx, agents.person(tx, number), viewer())
        return render_template("colleague.html", frame=pages.frame(tx, viewer()), opened=opened)


@blueprint.post("/<int:number>/name")
@guard.agents_only
def rename(number: int) -> AnyResponse:
    """Give it another name."""
    with parts().ledger.writing() as tx:
        agents.rename(tx, _email(tx, number), request.form.get("name", ""), parts().now(), guard.who())
    return _done(number, "name")


@blueprint.post("/<int:number>/role")
@guard.agents_only
def change_role(number: int) -> AnyResponse:
    """Give it another role."""
    with parts().ledger.writing() as tx:
        agents.change_role(tx, _email(tx, number), _role(), parts().now(), guard.who())
    return _done(number, "role")


@blueprint.post("/<int:number>/password")
@guard.agents_only
def reset(number: int) -> AnyResponse:
    """Give it a new password and show that, once."""
    with parts().ledger.writing() as tx:
        password = agents.reset(tx, _email(tx, number), keep_password=False, now=parts().now(), by=guard.who())
        whose = agents.by_id(tx, number)
    return _show_password(whose, password, is_new=False)


@blueprint.post("/<int:number>/disable")
@guard.agents_only
def disable(number: int) -> AnyResponse:
    """Let it in no more."""
    with parts().ledger.writing() as tx:
        agents.disable(tx, _email(tx, number), parts().now(), guard.who())
    return _done(number, "disabled")


@blueprint.post("/<int:number>/enable")
@guard.agents_only
def enable(number: int) -> AnyResponse:
    """Let it in again."""
    with parts().ledger.writing() as tx:
        agents.enable(tx, _email(tx, number), parts().now(), guard.who())
    return _done(number, "enabled")


@blueprint.post("/<int:number>/signout")
@guard.agents_only
def sign_out(number: int) -> AnyResponse:
    """Sign it out everywhere."""
    with parts().ledger.writing() as tx:
        agents.sign_out_everywhere(tx, _email(tx, number), parts().now(), guard.who())
    return _done(number, "signed_out")


@blueprint.post("/<int:number>/factor")
@guard.agents_only
def remove_factor(number: int) -> AnyResponse:
    """Take away the second factor of who lost their phone."""
    with parts().ledger.writing() as tx:
        whose = agents.by_email(tx, _email(tx, number))
        second.remove(tx, whose, guard.who(), parts().now())
    return _done(number, "factor")


def _email(tx: Transaction, number: int) -> str:
    """Return whose account this is, to who looks after accounts."""
    guard.who().require(Deed.ADMIT)
    return agents.by_id(tx, number).email


def _role() -> Role:
    asked = request.form.get("role", "")
    if asked not in {role.value for role in Role}:
        raise BadAccount("(choose a role)")
    return Role(asked)


def _done(number: int, what: str) -> AnyResponse:
    return guard.go_to(url_for("accounts.account", number=number, done=what))


def _show_password(whose: Account, password: str, *, is_new: bool) -> AnyResponse:
    with parts().ledger.reading() as tx:
        frame = pages.frame(tx, viewer())
    desk = request.host_url
    shown = {"whose": whose, "password": password, "is_new": is_new, "desk": desk}
    return Response(render_template("passed_on.html", frame=frame, **shown))


def _list(*, role: Role, error: BotError | None = None) -> str:
    looks = viewer()
    with parts().ledger.reading() as tx:
        frame, everybody = pages.frame(tx, looks), agents.everybody(tx)
        having, required = second.having(tx, {one.account.id for one in everybody}), second.required(tx)
    listed = Listed(
        rows=[_row(one, looks, has_factor=one.account.id in having) for one in everybody],
        choices=[Choice(each, meaning, each is role) for each, meaning in ROLES.items()],
        required=[Choice(each, meaning, each in required) for each, meaning in ROLES.items()],
        said=DONE.get(request.args.get("done", ""), ""),
        error="" if error is None else HAS_ONE if isinstance(error, AccountExists) else words.plainly(str(error)),
        email=request.form.get("email", ""),
        name=request.form.get("name", ""),
    )
    return render_template("accounts.html", frame=frame, listed=listed)


def _opened(tx: Transaction, one: Person, looks: Viewer) -> Opened:
    found = sessions.of_account(tx, one.account.id, looks.now)
    return Opened(
        row=_row(one, looks, has_factor=second.is_on(tx, one.account.id)),
        since=words.moment(one.created_at, looks.now, looks.tz),
        holds=agents.holding(tx, one.account.id),
        places=[
            f"{browsers.called(each.browser)}, last seen {words.moment(each.seen_at, looks.now, looks.tz)}"
            for each in found
        ],
        choices=[Choice(role, meaning, role is one.account.role) for role, meaning in ROLES.items()],
        said=DONE.get(request.args.get("done", ""), ""),
    )


def _row(one: Person, looks: Viewer, *, has_factor: bool) -> Row:
    if one.disabled_at is not None:
        state = f"Disabled since {words.moment(one.disabled_at, looks.now, looks.tz)}"
    elif one.account.must_change_password:
        state = "Invited" if one.seen_at is None else "Must choose a password"
    else:
        state = "Active"
    return Row(
        id=one.account.id,
        name=one.account.name,
        email=one.account.email,
        role=one.account.role,
        seen="never" if one.seen_at is None else words.moment(one.seen_at, looks.now, looks.tz),
        state=state,
        is_off=one.disabled_at is not None,
        has_factor=has_factor,
        is_me=one.account.id == looks.account.id,
    )
