"""Accounts and tokens: who may sign in, as what. Secrets leave this room once; the database keeps hashes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot.errors import BotError, NotYours
from bot.ledger import handoffs
from bot.ledger.tables import conversations
from bot.ledger.transaction import Transaction
from bot.vocabulary import Holder, Role
from handoff import second, sessions, trail
from handoff.acts import Act
from handoff.passwords import fingerprint, hashed, new_password
from handoff.roles import MAY, Account, Deed, Scope
from handoff.sessions import SEEN_EVERY
from handoff.tables import accounts, tokens
from handoff.tables import sessions as session_rows

NAME_MAX = 200

TOKEN_ID = 12  # characters of a token's hash, to name it by


@dataclass(frozen=True)
class Person:
    """An account as admins see it."""

    account: Account
    created_at: datetime
    seen_at: datetime | None
    disabled_at: datetime | None


class AccountExists(BotError):
    """There is an account with this e-mail already."""


class UnknownAccount(BotError):
    """There is no account with this e-mail."""


class BadAccount(BotError):
    """This account can't be made."""


class LastAdmin(BotError):
    """Somebody has to be admin."""


class UnknownToken(BotError):
    """There is no such token."""


class NotYourself(BotError):
    """You can't do this to your own account."""


def add(
    tx: Transaction, email: str, role: Role, name: str, *, keep_password: bool, now: datetime, by: Account | None = None
) -> str:
    """Make an account; return its generated password."""
    password = new_password()
    create(tx, email, role, name, password_hash=hashed(password), must_change=not keep_password, now=now)
    trail.write(tx, Act.ACCOUNT_ADDED, by, subject=trail.of_account(_clean(email)), now=now, role=role.value)
    return password


def create(
    tx: Transaction, email: str, role: Role, name: str, *, password_hash: str, must_change: bool, now: datetime
) -> Account:
    """Make an account with a password that is hashed already."""
    email = _clean(email)
    if tx.execute(sa.select(accounts.c.id).where(accounts.c.email == email)).first():
        raise AccountExists(f"({email}; `python -m handoff account reset {email}` gives it a new password)")
    tx.execute(
        sa.insert(accounts).values(
            email=email,
            name=_name(name or name_from(email)),
            role=role,
            password_hash=password_hash,
            must_change_password=must_change,
            created_at=now,
        )
    )
    return _account(_row(tx, email))


def reset(tx: Transaction, email: str, *, keep_password: bool, now: datetime, by: Account | None = None) -> str:
    """Give an account a new password, sign it out everywhere and let it in again if it was disabled."""
    row = _row(tx, email)
    _refuse_yourself(row, by, "change your password under “Your account”")
    password = new_password()
    tx.execute(
        sa.update(accounts)
        .where(accounts.c.id == row.id)
        .values(password_hash=hashed(password), must_change_password=not keep_password, disabled_at=None)
    )
    sessions.end_all(tx, row.id)
    sessions.forget_tries(tx, row.email)
    trail.write(tx, Act.PASSWORD_RESET, by, subject=trail.of_account(row.email), now=now)
    return password


def disable(tx: Transaction, email: str, now: datetime, by: Account | None = None) -> str:
    """Let an account in no more: sessions and tokens end, what it holds waits for a colleague. Return its e-mail."""
    row = _row(tx, email)
    _refuse_yourself(row, by, "another admin can")
    _require_another_admin(tx, row)
    waiting = _requeue_all(tx, row.id, now)
    tx.execute(sa.update(accounts).where(accounts.c.id == row.id).values(disabled_at=now))
    sessions.end_all(tx, row.id)
    tx.execute(sa.delete(tokens).where(tokens.c.account_id == row.id))
    trail.write(tx, Act.ACCOUNT_DISABLED, by, subject=trail.of_account(row.email), now=now, requeued=waiting)
    return str(row.email)


def enable(tx: Transaction, email: str, now: datetime, by: Account | None = None) -> None:
    """Let an account in again, with the password it had; its tokens are gone. Twice is as good as once."""
    row = _row(tx, email)
    if row.disabled_at is not None:
        tx.execute(sa.update(accounts).where(accounts.c.id == row.id).values(disabled_at=None))
        trail.write(tx, Act.ACCOUNT_ENABLED, by, subject=trail.of_account(row.email), now=now)


def change_role(tx: Transaction, email: str, role: Role, now: datetime, by: Account | None = None) -> None:
    """Give an account another role, from its next request on; what it may not hold any more waits for a colleague."""
    row = _row(tx, email)
    if row.role is role:
        return
    _refuse_yourself(row, by, "another admin can; so nobody locks themselves out")
    _require_another_admin(tx, row)
    tx.execute(sa.update(accounts).where(accounts.c.id == row.id).values(role=role))
    requeued = 0 if _account(_row(tx, email)).may(Deed.SPEAK) else _requeue_all(tx, row.id, now)
    subject = trail.of_account(row.email)
    was = row.role.value
    trail.write(tx, Act.ROLE_CHANGED, by, subject=subject, now=now, was=was, role=role.value, requeued=requeued)


def rename(tx: Transaction, email: str, name: str, now: datetime, by: Account | None = None) -> None:
    """Change how colleagues and contacts read an account's name, from now on; what was said keeps the old one."""
    row, name = _row(tx, email), _name(name)
    if row.name != name:
        tx.execute(sa.update(accounts).where(accounts.c.id == row.id).values(name=name))
        trail.write(tx, Act.ACCOUNT_RENAMED, by, subject=trail.of_account(row.email), now=now, was=row.name, name=name)


def sign_out_everywhere(tx: Transaction, email: str, now: datetime, by: Account | None = None) -> int:
    """End every session of an account; return how many. Its tokens go on."""
    row = _row(tx, email)
    ended = sessions.end_all(tx, row.id)
    trail.write(tx, Act.SESSIONS_ENDED, by, subject=trail.of_account(row.email), now=now, ended=ended)
    return ended


def greet(tx: Transaction, account: Account, now: datetime) -> None:
    """Remember that they have read the first-visit guide."""
    tx.execute(sa.update(accounts).where(accounts.c.id == account.id).values(greeted_at=now))


def set_password(tx: Transaction, account: Account, password_hash: str) -> None:
    """Write down a password of one's own."""
    own = {"password_hash": password_hash, "must_change_password": False}
    tx.execute(sa.update(accounts).where(accounts.c.id == account.id).values(own))


def _requeue_all(tx: Transaction, account_id: int, now: datetime) -> int:
    held = sa.select(conversations.c.key).where(
        conversations.c.holder == Holder.AGENT, conversations.c.agent_id == account_id
    )
    requeued = 0
    for key in tx.execute(held.order_by(conversations.c.id)).scalars().all():  # as everybody locks them
        with suppress(NotYours):  # it was given back or passed on in this very moment
            handoffs.requeue(tx, key, agent_id=account_id, now=now)
            requeued += 1
    return requeued


def _refuse_yourself(row: Any, by: Account | None, instead: str) -> None:
    if by is not None and by.id == row.id:
        raise NotYourself(f"({instead})")


def _require_another_admin(tx: Transaction, row: Any) -> None:
    """Refuse to take the last admin away; two who would take each other's role wait for one another here."""
    admins = sa.select(accounts.c.id).where(accounts.c.role == Role.ADMIN, accounts.c.disabled_at.is_(None))
    ids = set(tx.execute(admins.order_by(accounts.c.id).with_for_update()).scalars())
    if ids == {row.id}:
        raise LastAdmin(f"({row.email} is the only one; make somebody else admin first)")


@dataclass(frozen=True)
class Token:
    """A bearer token, without its secret."""

    id: str  # the beginning of its hash
    name: str
    email: str
    scopes: tuple[Scope, ...]  # empty: all of its account's role
    created_at: datetime
    used_at: datetime | None
    ends_at: datetime | None


def add_token(
    tx: Transaction,
    email: str,
    now: datetime,
    *,
    name: str = "",
    scopes: Collection[Scope] = (),
    ends_at: datetime | None = None,
    by: Account | None = None,
) -> str:
    """Make a bearer token that acts as this account, within these scopes; it is shown once."""
    row = _row(tx, email)
    if row.disabled_at is not None:
        raise UnknownAccount(f"({row.email} is disabled)")
    token = "baton_" + secrets.token_urlsafe(32)
    told = {"name": name.strip()[:80], "scopes": ",".join(one.value for one in Scope if one in scopes)}
    hashed_token = fingerprint(token)
    tx.execute(sa.insert(tokens).values(hash=hashed_token, account_id=row.id, created_at=now, ends_at=ends_at, **told))
    trail.write(tx, Act.TOKEN_ADDED, by, subject=trail.of_account(row.email), now=now, token=hashed_token[:TOKEN_ID])
    return token


def tokens_of(tx: Transaction, email: str | None = None) -> list[Token]:
    """Return the tokens of an account, or of all, the newest first; those that ended by themselves too."""
    query = sa.select(tokens, accounts.c.email).join(accounts, accounts.c.id == tokens.c.account_id)
    if email is not None:
        query = query.where(accounts.c.id == _row(tx, email).id)
    rows = tx.execute(query.order_by(tokens.c.created_at.desc(), tokens.c.hash))
    return [
        Token(row.hash[:TOKEN_ID], row.name, row.email, _scopes(row.scopes), row.created_at, row.used_at, row.ends_at)
        for row in rows
    ]


def _scopes(words: str) -> tuple[Scope, ...]:
    return tuple(Scope(one) for one in words.split(",") if one)


def end_token(tx: Transaction, token_id: str, now: datetime, by: Account | None = None) -> Token:
    """Let a token be good for nothing any more; return what it was."""
    found = next((one for one in tokens_of(tx) if one.id == token_id), None)
    if found is None:
        raise UnknownToken(f"({token_id}; `python -m handoff token list` has them)")
    tx.execute(sa.delete(tokens).where(tokens.c.hash.startswith(token_id, autoescape=True)))
    trail.write(tx, Act.TOKEN_ENDED, by, subject=trail.of_account(found.email), now=now, token=token_id)
    return found


def bearer(tx: Transaction, token: str, now: datetime | None = None) -> Account | None:
    """Return whom a token acts as, and for what."""
    alive = () if now is None else (tokens.c.ends_at.is_(None) | (tokens.c.ends_at > now),)
    row = _row_of(tx, tokens, token, also=alive)
    account = None if row is None else _signed(row)
    words = tx.execute(sa.select(tokens.c.scopes).where(tokens.c.hash == fingerprint(token))).scalar()
    if account is None or not words:
        return account
    return replace(account, scopes=frozenset(_scopes(words)))


def token_used(tx: Transaction, token: str, now: datetime) -> None:
    """Remember when a token was last used, to the minute."""
    stale = tokens.c.used_at.is_(None) | (tokens.c.used_at < now - SEEN_EVERY)
    tx.execute(sa.update(tokens).where(tokens.c.hash == fingerprint(token), stale).values(used_at=now))
    _is_here(tx, tokens, token, now)


def token_is_fresh(tx: Transaction, token: str, now: datetime) -> bool:
    """Say whether the token's last use is written down already, so that most requests write nothing."""
    used = tx.execute(sa.select(tokens.c.used_at).where(tokens.c.hash == fingerprint(token))).scalar()
    return used is not None and used >= now - SEEN_EVERY


def signed_in(tx: Transaction, cookie: str, now: datetime) -> tuple[Account, bool] | None:
    """Return whose session a cookie is, unless it ended, idled too long or still waits for its code; and whether it is
    written down that it was seen within the minute, so that most requests write nothing.
    """
    alive = sessions.is_alive(now), session_rows.c.awaits_code.is_(False)
    row = _row_of(tx, session_rows, cookie, session_rows.c.seen_at.label("last_seen_at"), also=alive)
    return None if row is None else (_signed(row), row.last_seen_at > now - sessions.SEEN_EVERY)


def half_signed_in(tx: Transaction, cookie: str, now: datetime) -> Account | None:
    """Return who gave the right password and not yet the code."""
    row = _row_of(tx, session_rows, cookie, also=(sessions.is_alive(now), session_rows.c.awaits_code.is_(True)))
    return None if row is None else _signed(row)


def see(tx: Transaction, cookie: str, now: datetime) -> None:
    """Remember that somebody still works in this session."""
    sessions.see(tx, cookie, now)
    _is_here(tx, session_rows, cookie, now)


def came_in(tx: Transaction, account: Account, now: datetime) -> None:
    """Remember that they signed in just now."""
    tx.execute(sa.update(accounts).where(accounts.c.id == account.id).values(seen_at=now))


def _is_here(tx: Transaction, table: sa.Table, secret: str, now: datetime) -> None:
    whose = sa.select(table.c.account_id).where(table.c.hash == fingerprint(secret)).scalar_subquery()
    tx.execute(sa.update(accounts).where(accounts.c.id == whose).values(seen_at=now))


def last_seen(tx: Transaction, ids: set[int]) -> dict[int, datetime]:
    """Return when each of these accounts last did anything at the desk or by a token."""
    rows = tx.execute(sa.select(accounts.c.id, accounts.c.seen_at).where(accounts.c.id.in_(ids))) if ids else []
    return {row.id: row.seen_at for row in rows if row.seen_at is not None}


def name_from(email: str) -> str:
    """Guess a name: ann.lee@… is Ann Lee."""
    return (
        " ".join(part.capitalize() for part in re.split(r"[._+-]+", email.split("@", maxsplit=1)[0]) if part) or email
    )


def password_hash_of(tx: Transaction, email: str) -> tuple[Account, str, bool] | None:
    """Return who has this e-mail, what is kept of their password, and whether they may come in."""
    row = tx.execute(sa.select(accounts).where(accounts.c.email == email)).first()
    return None if row is None else (_account(row), row.password_hash, row.disabled_at is None)


def everybody(tx: Transaction) -> list[Person]:
    """Return all accounts, those that may sign in first, by name."""
    rows = sa.select(accounts).order_by(accounts.c.disabled_at.is_not(None), sa.func.lower(accounts.c.name))
    return [_person(row) for row in tx.execute(rows)]


def person(tx: Transaction, account_id: int) -> Person:
    """Return one account as admins see it."""
    return _person(_row(tx, by_id(tx, account_id).email))


def holding(tx: Transaction, account_id: int) -> int:
    """Return how many conversations an account holds."""
    theirs = (conversations.c.holder == Holder.AGENT) & (conversations.c.agent_id == account_id)
    return int(tx.execute(sa.select(sa.func.count()).where(theirs)).scalar_one())


def has_been_greeted(tx: Transaction, account_id: int) -> bool:
    """Say whether they have put the first-visit guide away."""
    return tx.execute(sa.select(accounts.c.greeted_at).where(accounts.c.id == account_id)).scalar() is not None


def by_id(tx: Transaction, account_id: int) -> Account:
    """Return an account, disabled or not."""
    row = tx.execute(sa.select(accounts).where(accounts.c.id == account_id)).first() if account_id < 2**63 else None
    if row is None:
        raise UnknownAccount(f"(number {account_id})")
    return _account(row)


def by_email(tx: Transaction, email: str) -> Account:
    """Return an account, disabled or not."""
    return _account(_row(tx, email))


def are_there_any(tx: Transaction) -> bool:
    """Say whether anybody can sign in here at all, or the desk is still to be set up."""
    return tx.execute(sa.select(accounts.c.id).limit(1)).first() is not None


def _row_of(tx: Transaction, table: sa.Table, secret: str, *columns: Any, also: Sequence[Any] = ()) -> Any:
    return tx.execute(
        sa.select(accounts, second.is_lacking().label("must_add_factor"), *columns)
        .join(table, table.c.account_id == accounts.c.id)
        .where(table.c.hash == fingerprint(secret), accounts.c.disabled_at.is_(None), *also)
    ).first()


def _signed(row: Any) -> Account:
    return _account(row, must_add_factor=bool(row.must_add_factor))


def _person(row: Any) -> Person:
    return Person(_account(row), row.created_at, row.seen_at, row.disabled_at)


def _account(row: Any, *, must_add_factor: bool = False) -> Account:
    return Account(row.id, row.email, row.name, row.role, row.must_change_password, must_add_factor=must_add_factor)


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise BadAccount(f"(a name has 1 to {NAME_MAX} characters)")
    return name


def _row(tx: Transaction, email: str) -> Any:
    row = tx.execute(sa.select(accounts).where(accounts.c.email == email.strip().lower())).first()
    if row is None:
        raise UnknownAccount(f"({email}; `python -m handoff account add {email} --role agent` makes one)")
    return row


def _clean(email: str) -> str:
    email = email.strip().lower()
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", email) or len(email) > 200:
        raise BadAccount(f"({email!r} is no e-mail address)")
    return email


def colleague(tx: Transaction, email: str) -> Account:
    """Return who has this e-mail, and may hold conversations."""
    account = _account(_row(tx, email))
    if not account.may(Deed.SPEAK) or account not in colleagues(tx):
        raise UnknownAccount(f"({email} can't hold conversations)")
    return account


def active(tx: Transaction) -> list[Account]:
    """Return everybody who may sign in, by name."""
    rows = tx.execute(sa.select(accounts).where(accounts.c.disabled_at.is_(None)).order_by(accounts.c.name))
    return [_account(row) for row in rows]


def colleagues(tx: Transaction) -> list[Account]:
    """Return everybody who may hold conversations, by name."""
    return [account for account, _ in colleagues_seen(tx)]


_COLLEAGUES = (
    sa.select(
        accounts.c.id, accounts.c.email, accounts.c.name, accounts.c.role, accounts.c.must_change_password,
        accounts.c.seen_at,
    )
    .where(accounts.c.disabled_at.is_(None), accounts.c.role.in_([role for role in Role if Deed.SPEAK in MAY[role]]))
    .order_by(accounts.c.name)
)  # fmt: skip


def colleagues_seen(tx: Transaction) -> list[tuple[Account, datetime | None]]:
    """Return everybody who may hold conversations, by name, and when they last did anything."""
    return [(_account(row), row.seen_at) for row in tx.execute(_COLLEAGUES)]


def names(tx: Transaction, ids: set[int]) -> dict[int, str]:
    """Return the names of accounts."""
    rows = tx.execute(sa.select(accounts.c.id, accounts.c.name).where(accounts.c.id.in_(ids))) if ids else []
    return {row.id: row.name for row in rows}
