"""Accounts, passwords, sessions and tokens. Secrets leave this room once; the database keeps hashes."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from bot.errors import BotError, NotYours
from bot.ledger import handoffs
from bot.ledger.tables import conversations
from bot.ledger.transaction import Ledger, Transaction
from bot.vocabulary import Holder, Role
from handoff.roles import Account, Deed, Scope
from handoff.tables import accounts, sessions, sign_ins, tokens

SESSION_LASTS = timedelta(days=7)
SESSION_IDLES = timedelta(hours=12)
SEEN_EVERY = timedelta(minutes=1)  # a session's `seen_at` is written this often at most
TRIES_KEPT = timedelta(minutes=15)
TRIES_PER_EMAIL = 8
TRIES_PER_ADDRESS = 60  # an office shares one address
PASSWORD_MIN = 10
PASSWORD_MAX = 200  # argon2 is slow on purpose; nobody makes it hash a novel
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike

TOKEN_ID = 12  # characters of a token's hash, to name it by

SIGN_IN_LOCK = 0x7369676E  # any number nobody else uses on this database

_few_at_once = threading.Semaphore(4)  # argon2 takes 64 MiB a try, and anybody may try
_hasher = PasswordHasher()
_nobody = _hasher.hash(secrets.token_urlsafe(16))  # an unknown e-mail costs as much time as a wrong password


class AccountExists(BotError):
    """There is an account with this e-mail already."""


class UnknownAccount(BotError):
    """There is no account with this e-mail."""


class BadAccount(BotError):
    """This account can't be made."""


class WrongPassword(BotError):
    """E-mail and password don't belong together."""


class UnknownToken(BotError):
    """There is no such token."""


class TooManyTries(BotError):
    """Too many tries."""


class WeakPassword(BotError):
    """Please choose another password."""


@dataclass(frozen=True)
class SignedIn:
    """A new session: the cookie's value, shown once, and how long it lasts."""

    cookie: str
    account: Account
    ends_at: datetime


def add(tx: Transaction, email: str, role: Role, name: str, *, keep_password: bool, now: datetime) -> str:
    """Make an account; return its generated password."""
    email = _clean(email)
    if tx.execute(sa.select(accounts.c.id).where(accounts.c.email == email)).first():
        raise AccountExists(f"({email}; `python -m handoff account reset {email}` gives it a new password)")
    password = new_password()
    tx.execute(
        sa.insert(accounts).values(
            email=email,
            name=(name.strip() or name_from(email))[:200],
            role=role,
            password_hash=_hasher.hash(password),
            must_change_password=not keep_password,
            created_at=now,
        )
    )
    return password


def reset(tx: Transaction, email: str, *, keep_password: bool) -> str:
    """Give an account a new password, sign it out everywhere and let it in again if it was disabled."""
    row = _row(tx, email)
    password = new_password()
    tx.execute(
        sa.update(accounts)
        .where(accounts.c.id == row.id)
        .values(password_hash=_hasher.hash(password), must_change_password=not keep_password, disabled_at=None)
    )
    tx.execute(sa.delete(sessions).where(sessions.c.account_id == row.id))
    tx.execute(sa.delete(sign_ins).where(sign_ins.c.email == row.email))
    return password


def disable(tx: Transaction, email: str, now: datetime) -> str:
    """Let an account in no more: sessions and tokens end, what it holds waits for a colleague. Return its e-mail."""
    row = _row(tx, email)
    held = sa.select(conversations.c.key).where(
        conversations.c.holder == Holder.AGENT, conversations.c.agent_id == row.id
    )
    for key in tx.execute(held.order_by(conversations.c.id)).scalars().all():  # as everybody locks them
        with suppress(NotYours):  # it was given back or passed on in this very moment
            handoffs.requeue(tx, key, agent_id=row.id, now=now)
    tx.execute(sa.update(accounts).where(accounts.c.id == row.id).values(disabled_at=now))
    tx.execute(sa.delete(sessions).where(sessions.c.account_id == row.id))
    tx.execute(sa.delete(tokens).where(tokens.c.account_id == row.id))
    return str(row.email)


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
) -> str:
    """Make a bearer token that acts as this account, within these scopes; it is shown once."""
    row = _row(tx, email)
    if row.disabled_at is not None:
        raise UnknownAccount(f"({row.email} is disabled)")
    token = "baton_" + secrets.token_urlsafe(32)
    told = {"name": name.strip()[:80], "scopes": ",".join(one.value for one in Scope if one in scopes)}
    tx.execute(sa.insert(tokens).values(hash=_hash(token), account_id=row.id, created_at=now, ends_at=ends_at, **told))
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


def end_token(tx: Transaction, token_id: str) -> Token:
    """Let a token be good for nothing any more; return what it was."""
    found = next((one for one in tokens_of(tx) if one.id == token_id), None)
    if found is None:
        raise UnknownToken(f"({token_id}; `python -m handoff token list` has them)")
    tx.execute(sa.delete(tokens).where(tokens.c.hash.startswith(token_id, autoescape=True)))
    return found


def bearer(tx: Transaction, token: str, now: datetime | None = None) -> Account | None:
    """Return whom a token acts as, and for what."""
    alive = () if now is None else (tokens.c.ends_at.is_(None) | (tokens.c.ends_at > now),)
    account = _account_of(tx, tokens, token, *alive)
    words = tx.execute(sa.select(tokens.c.scopes).where(tokens.c.hash == _hash(token))).scalar()
    if account is None or not words:
        return account
    return replace(account, scopes=frozenset(_scopes(words)))


def token_used(tx: Transaction, token: str, now: datetime) -> None:
    """Remember when a token was last used, to the minute."""
    stale = tokens.c.used_at.is_(None) | (tokens.c.used_at < now - SEEN_EVERY)
    tx.execute(sa.update(tokens).where(tokens.c.hash == _hash(token), stale).values(used_at=now))
    _is_here(tx, tokens, token, now)


def token_is_fresh(tx: Transaction, token: str, now: datetime) -> bool:
    """Say whether the token's last use is written down already, so that most requests write nothing."""
    used = tx.execute(sa.select(tokens.c.used_at).where(tokens.c.hash == _hash(token))).scalar()
    return used is not None and used >= now - SEEN_EVERY


def sign_in(ledger: Ledger, email: str, password: str, *, address: str, now: datetime) -> SignedIn:
    """Begin a session. A try is written down before the password is looked at: parallel ones count."""
    email, address = email.strip().lower()[:200], address[:64]
    with ledger.writing() as tx:
        if not ledger.is_sqlite:  # one try at a time is counted and written; SQLite has one writer in any case
            tx.execute(sa.select(sa.func.pg_advisory_xact_lock(SIGN_IN_LOCK)))
        _require_few_tries(tx, email, address, now)
        tx.execute(sa.insert(sign_ins).values(email=email, address=address, at=now))
        row = tx.execute(sa.select(accounts).where(accounts.c.email == email)).first()
    # argon2 takes its time, and no transaction is open meanwhile.
    right = _matches(row.password_hash if row is not None else _nobody, password)
    if row is None or not right or row.disabled_at is not None:
        raise WrongPassword("(check both and try again)")
    with ledger.writing() as tx:
        tx.execute(sa.delete(sign_ins).where(sign_ins.c.email == email))
        tx.execute(sa.delete(sessions).where(sessions.c.ends_at < now))
        return _begin_session(tx, row, now)


def signed_in(tx: Transaction, cookie: str, now: datetime) -> Account | None:
    """Return whose session a cookie is, unless it ended or idled too long."""
    alive = (sessions.c.ends_at > now) & (sessions.c.seen_at > now - SESSION_IDLES)
    return _account_of(tx, sessions, cookie, alive)


def is_seen(tx: Transaction, cookie: str, now: datetime) -> bool:
    """Say whether the session was seen within the minute, so that most requests write nothing."""
    seen = tx.execute(sa.select(sessions.c.seen_at).where(sessions.c.hash == _hash(cookie))).scalar()
    return seen is not None and seen > now - SEEN_EVERY


def see(tx: Transaction, cookie: str, now: datetime) -> None:
    """Remember that somebody still works in this session."""
    tx.execute(sa.update(sessions).where(sessions.c.hash == _hash(cookie)).values(seen_at=now))
    _is_here(tx, sessions, cookie, now)


def _is_here(tx: Transaction, table: sa.Table, secret: str, now: datetime) -> None:
    whose = sa.select(table.c.account_id).where(table.c.hash == _hash(secret)).scalar_subquery()
    tx.execute(sa.update(accounts).where(accounts.c.id == whose).values(seen_at=now))


def last_seen(tx: Transaction, ids: set[int]) -> dict[int, datetime]:
    """Return when each of these accounts last did anything at the desk or by a token."""
    rows = tx.execute(sa.select(accounts.c.id, accounts.c.seen_at).where(accounts.c.id.in_(ids))) if ids else []
    return {row.id: row.seen_at for row in rows if row.seen_at is not None}


def sign_out(tx: Transaction, cookie: str) -> None:
    """End a session."""
    tx.execute(sa.delete(sessions).where(sessions.c.hash == _hash(cookie)))


def change_password(ledger: Ledger, account: Account, old: str, new: str, *, now: datetime) -> SignedIn:
    """Set a password of one's own; every session of the account ends but the new one this returns."""
    with ledger.reading() as tx:
        row = tx.execute(sa.select(accounts).where(accounts.c.id == account.id)).one()
    if not _matches(row.password_hash, old):
        raise WrongPassword("(the present password is another one)")
    require_strong(new, old=old, email=account.email)
    hashed = _hasher.hash(new)
    with ledger.writing() as tx:
        tx.execute(
            sa.update(accounts)
            .where(accounts.c.id == account.id)
            .values(password_hash=hashed, must_change_password=False)
        )
        tx.execute(sa.delete(sessions).where(sessions.c.account_id == account.id))
        row = tx.execute(sa.select(accounts).where(accounts.c.id == account.id)).one()
        return _begin_session(tx, row, now)


def require_strong(new: str, *, old: str, email: str) -> None:
    """Refuse what is guessed first. Length beats symbols."""
    if len(new) < PASSWORD_MIN:
        raise WeakPassword(f"(at least {PASSWORD_MIN} characters; a few words are easiest to remember)")
    if len(new) > PASSWORD_MAX:
        raise WeakPassword(f"(at most {PASSWORD_MAX} characters)")
    if new == old:
        raise WeakPassword("(this is the one you have)")
    if email.split("@", maxsplit=1)[0] in new.lower() or len(set(new)) < 4:
        raise WeakPassword("(this one is guessed too easily)")


def new_password() -> str:
    """Return a strong password that can be read out on the phone: four groups of five, 99 bits."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(5)) for _ in range(4))


def name_from(email: str) -> str:
    """Guess a name: ann.lee@… is Ann Lee."""
    return (
        " ".join(part.capitalize() for part in re.split(r"[._+-]+", email.split("@", maxsplit=1)[0]) if part) or email
    )


def _begin_session(tx: Transaction, row: Any, now: datetime) -> SignedIn:
    cookie, ends = secrets.token_urlsafe(32), now + SESSION_LASTS
    tx.execute(
        sa.insert(sessions).values(hash=_hash(cookie), account_id=row.id, created_at=now, seen_at=now, ends_at=ends)
    )
    tx.execute(sa.update(accounts).where(accounts.c.id == row.id).values(seen_at=now))
    return SignedIn(cookie, _account(row), ends)


def _require_few_tries(tx: Transaction, email: str, address: str, now: datetime) -> None:
    tx.execute(sa.delete(sign_ins).where(sign_ins.c.at < now - TRIES_KEPT))
    for column, value, most in (
        (sign_ins.c.email, email, TRIES_PER_EMAIL),
        (sign_ins.c.address, address, TRIES_PER_ADDRESS),
    ):
        tries, first = tx.execute(sa.select(sa.func.count(), sa.func.min(sign_ins.c.at)).where(column == value)).one()
        if tries >= most:
            minutes = max(1, -(-int((first + TRIES_KEPT - now).total_seconds()) // 60))
            raise TooManyTries(f"Please wait {minutes} minute{'s' * (minutes > 1)} and try again.")


def _account_of(tx: Transaction, table: sa.Table, secret: str, *also: Any) -> Account | None:
    row = tx.execute(
        sa.select(accounts)
        .join(table, table.c.account_id == accounts.c.id)
        .where(table.c.hash == _hash(secret), accounts.c.disabled_at.is_(None), *also)
    ).first()
    return None if row is None else _account(row)


def _account(row: Any) -> Account:
    return Account(row.id, row.email, row.name, row.role, row.must_change_password)


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


def _matches(hashed: str, password: str) -> bool:
    if len(password) > PASSWORD_MAX:
        return False
    try:
        with _few_at_once:
            return _hasher.verify(hashed, password)
    except (VerifyMismatchError, InvalidHashError):
        return False


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def colleague(tx: Transaction, email: str) -> Account:
    """Return who has this e-mail, and may hold conversations."""
    account = _account(_row(tx, email))
    if not account.may(Deed.SPEAK) or account not in colleagues(tx):
        raise UnknownAccount(f"({email} can't hold conversations)")
    return account


def everybody(tx: Transaction) -> list[Account]:
    """Return everybody who may sign in, by name."""
    rows = tx.execute(sa.select(accounts).where(accounts.c.disabled_at.is_(None)).order_by(accounts.c.name))
    return [_account(row) for row in rows]


def colleagues(tx: Transaction) -> list[Account]:
    """Return everybody who may hold conversations, by name."""
    rows = tx.execute(sa.select(accounts).where(accounts.c.disabled_at.is_(None)).order_by(accounts.c.name))
    return [account for account in map(_account, rows) if account.may(Deed.SPEAK)]


def names(tx: Transaction, ids: set[int]) -> dict[int, str]:
    """Return the names of accounts."""
    rows = tx.execute(sa.select(accounts.c.id, accounts.c.name).where(accounts.c.id.in_(ids))) if ids else []
    return {row.id: row.name for row in rows}
