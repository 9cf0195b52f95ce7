"""Who may come in: sessions for pages, tokens for the API, nobody from another site. Every view is marked.

A view without a mark does not run at all: `check` refuses it, and a test finds it first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, redirect, request, url_for
from werkzeug.exceptions import Forbidden, InternalServerError, Unauthorized
from werkzeug.wrappers import Response as AnyResponse

from handoff import agents
from handoff.entry import SignedIn
from handoff.parts import parts
from handoff.roles import Account, Scope
from handoff.sessions import From

COOKIE = "baton_session"
SECURE_COOKIE = f"__Host-{COOKIE}"  # which no other host of the domain, and no page without TLS, can set in our place
SAFE = {"GET", "HEAD", "OPTIONS"}
View = TypeVar("View", bound=Callable[..., Any])

EVERYBODY, AGENTS, NEWCOMERS, TOKENS = "everybody", "agents", "newcomers", "tokens"


class NoToken(Unauthorized):
    """The API was asked without a token, or with one that is not (or no longer) ours."""


def for_everybody(view: View) -> View:
    """Let anyone see it."""
    return _mark(view, EVERYBODY)


def agents_only(view: View) -> View:
    """Let in who is signed in with a password of their own."""
    return _mark(view, AGENTS)


def newcomers_too(view: View) -> View:
    """Let in who is signed in, even if a password of their own or a second factor must be set up first."""
    return _mark(view, NEWCOMERS)


def with_token(view: View) -> View:
    """Let in who brings a bearer token."""
    return _mark(view, TOKENS)


def needs(scope: Scope) -> Callable[[View], View]:
    """Mark what a token must have a scope for other than read, to look, or write, to change something."""

    def mark(view: View) -> View:
        view.scope = scope  # type: ignore[attr-defined]
        return view

    return mark


def scope_of(view: Callable[..., Any], method: str) -> Scope:
    """Return what a token must have to call this."""
    marked: Scope | None = getattr(view, "scope", None)
    return marked or (Scope.READ if method in SAFE else Scope.WRITE)


def runs_by_itself(view: View) -> View:
    """Mark what browsers ask for unasked: it does not keep a session from idling out."""
    view.runs_by_itself = True  # type: ignore[attr-defined]
    return view


def mark_of(view: Callable[..., Any]) -> str | None:
    """Return who may use a view."""
    return getattr(view, "guard", None)


def who() -> Account:
    """Return who asks."""
    return cast(Account, g.account)


def install(app: Flask) -> None:
    """Put the guard in front of every request."""
    app.before_request(refuse_cross_site)
    app.before_request(check)


def refuse_cross_site() -> None:
    """Refuse what another site makes a signed-in browser do: browsers tell, in headers pages can't forge."""
    view = _view()
    if request.method in SAFE or view is None or mark_of(view) == "tokens":
        return  # there is nothing to do here, or it takes a token, which no browser sends along on its own
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in {"same-origin", "none"}:
            raise Forbidden("This came from another site.")
        return
    origin = request.headers.get("Origin")
    if origin is None or urlsplit(origin).netloc != request.host:
        raise Forbidden("This came from another site.")


def check() -> AnyResponse | None:
    """Let the request through, or send it where it belongs."""
    view = _view()
    if view is None:
        return None  # no such page: Flask says 404
    match mark_of(view):
        case "everybody":
            return None
        case "tokens":
            _check_token(view)
            return None
        case "agents" | "newcomers" as mark:
            return _check_session(view, mark)
        case _:
            raise InternalServerError(f"{request.endpoint} is not guarded")


def _view() -> Callable[..., Any] | None:
    """Return the view this request is for."""
    if request.endpoint is None:
        return None
    return current_app.view_functions.get(request.endpoint)


def cookie() -> str:
    """Return the secret of the session this browser has, whether or not it is still one."""
    return request.cookies.get(_cookie_name(), "")


def came() -> From:
    """Return where this request came from, as far as it tells."""
    return From(request.remote_addr or "", request.headers.get("User-Agent", ""))


def remember(response: AnyResponse, session: SignedIn) -> AnyResponse:
    """Give the browser its session."""
    response.set_cookie(
        _cookie_name(), session.cookie, expires=session.ends_at, httponly=True, samesite="Lax", secure=request.is_secure
    )
    return response


def forget(response: AnyResponse) -> AnyResponse:
    """Take the session from the browser."""
    response.delete_cookie(_cookie_name(), httponly=True, samesite="Lax", secure=request.is_secure)
    return response


def _cookie_name() -> str:
    return SECURE_COOKIE if request.is_secure else COOKIE


def wants_fragment() -> bool:
    """Say whether htmx asks; it gets fragments, a browser gets pages."""
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def go_to(url: str) -> AnyResponse:
    """Send the whole browser tab somewhere, whoever asked."""
    if wants_fragment():
        return Response(status=200, headers={"HX-Redirect": url})
    return redirect(url, 303)


def _check_token(view: Callable[..., Any]) -> None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token:
        raise NoToken
    ledger, now = parts().ledger, parts().now()
    with ledger.reading() as tx:
        account = agents.bearer(tx, token, now)
        fresh = account is None or agents.token_is_fresh(tx, token, now)
    if account is None:
        raise NoToken
    if not fresh:
        with ledger.writing() as tx:
            agents.token_used(tx, token, now)
    account.require_scope(scope_of(view, request.method))
    g.account = replace(account, address=request.remote_addr or "")


def _check_session(view: Callable[..., Any], mark: str) -> AnyResponse | None:
    secret = cookie()
    ledger, now = parts().ledger, parts().now()
    with ledger.reading() as tx:
        found = agents.signed_in(tx, secret, now) if secret else None
    if found is None:
        # Back to where they were, unless that was no page.
        where = request.full_path.rstrip("?") if request.method == "GET" and not wants_fragment() else None
        return forget(go_to(url_for("signin.page", next=where if where != "/" else None)))
    account, is_fresh = found
    if not is_fresh and not getattr(view, "runs_by_itself", False):
        with ledger.writing() as tx:
            agents.see(tx, secret, now)
    g.account = replace(account, address=request.remote_addr or "")
    if mark == NEWCOMERS:
        return None
    if account.must_change_password:
        return go_to(url_for("signin.password"))
    return go_to(url_for("account.factor")) if account.must_add_factor else None


def _mark(view: View, mark: str) -> View:
    view.guard = mark  # type: ignore[attr-defined]
    return view
