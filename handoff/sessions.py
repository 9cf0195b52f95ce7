"""Where accounts are signed in, and the tries to. The only writer of `sessions` and `sign_ins`."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.errors import BotError
from bot.ledger.transaction import Transaction
from handoff.passwords import fingerprint
from handoff.tables import sessions, sign_ins

LASTS = timedelta(days=7)
IDLES = timedelta(hours=12)
CODE_WITHIN = timedelta(minutes=10)  # from the right password to the code of the second factor
SEEN_EVERY = timedelta(minutes=1)  # a session's `seen_at` is written this often at most
HANDLE = 16  # so many digits of a session's hash name it on the page; they open nothing

TRIES_KEPT = timedelta(minutes=15)
TRIES_PER_EMAIL = 8
TRIES_PER_ADDRESS = 60  # an office shares one address
SIGN_IN_LOCK = 0x7369676E  # any number nobody else uses on this database


class TooManyTries(BotError):
    """Too many tries."""


class UnknownSession(BotError):
    """This session has ended already."""


@dataclass(frozen=True)
class From:
    """Where somebody signs in from, as far as a request tells."""

    address: str = ""
    browser: str = ""


@dataclass(frozen=True)
class Begun:
    """A new session: the cookie's value, shown once, and how long it lasts."""

    cookie: str
    ends_at: datetime


@dataclass(frozen=True)
class Session:
    """One browser somebody is signed in with."""

    handle: str
    browser: str
    address: str
    created_at: datetime
    seen_at: datetime
    is_this: bool


def begin(tx: Transaction, account_id: int, came: From, now: datetime, *, awaits_code: bool = False) -> Begun:
    """Begin a session, with a secret of its own."""
    cookie, ends = secrets.token_urlsafe(32), now + (CODE_WITHIN if awaits_code else LASTS)
    tx.execute(sa.delete(sessions).where(sessions.c.ends_at < now))
    tx.execute(
        sa.insert(sessions).values(
            hash=fingerprint(cookie),
            account_id=account_id,
            created_at=now,
            seen_at=now,
            ends_at=ends,
            browser=came.browser[:300],
            address=came.address[:64],
            awaits_code=awaits_code,
        )
    )
    return Begun(cookie, ends)


def is_alive(now: datetime) -> Any:
    """Return the condition under which a session is one: it neither ended nor idled too long."""
    return (sessions.c.ends_at > now) & (sessions.c.seen_at > now - IDLES)


def see(tx: Transaction, cookie: str, now: datetime) -> None:
    """Remember that somebody still works in this session."""
    tx.execute(sa.update(sessions).where(sessions.c.hash == fingerprint(cookie)).values(seen_at=now))


def end(tx: Transaction, cookie: str) -> None:
    """End a session."""
    tx.execute(sa.delete(sessions).where(sessions.c.hash == fingerprint(cookie)))


def end_all(tx: Transaction, account_id: int, *, but: str | None = None) -> int:
    """End an account's sessions, perhaps all but the one with this cookie; return how many."""
    theirs = sessions.c.account_id == account_id
    if but is not None:
        theirs &= sessions.c.hash != fingerprint(but)
    return int(tx.execute(sa.delete(sessions).where(theirs)).rowcount)


def end_one(tx: Transaction, account_id: int, handle: str) -> None:
    """End one of an account's sessions, by the name it has on the page."""
    if not re.fullmatch(rf"[0-9a-f]{{{HANDLE}}}", handle):
        raise UnknownSession
    named = (sessions.c.account_id == account_id) & sessions.c.hash.startswith(handle)
    if not tx.execute(sa.delete(sessions).where(named)).rowcount:
        raise UnknownSession


def of_account(tx: Transaction, account_id: int, now: datetime, *, cookie: str = "") -> list[Session]:
    """Return where an account is signed in, this very session first, then the last seen."""
    mine = sa.select(sessions).where(
        sessions.c.account_id == account_id, is_alive(now), sessions.c.awaits_code.is_(False)
    )
    this = fingerprint(cookie)
    found = [
        Session(row.hash[:HANDLE], row.browser or "", row.address or "", row.created_at, row.seen_at, row.hash == this)
        for row in tx.execute(mine.order_by(sessions.c.seen_at.desc()))
    ]
    return sorted(found, key=lambda one: not one.is_this)


def count_try(tx: Transaction, email: str, address: str, now: datetime) -> None:
    """Write a try down before its secret is looked at, so that parallel ones count; refuse it after too many."""
    if tx.dialect.name == "postgresql":  # one try at a time is counted and written; SQLite has one writer in any case
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(SIGN_IN_LOCK)))
    address = address[:64]
    tx.execute(sa.delete(sign_ins).where(sign_ins.c.at < now - TRIES_KEPT))
    for column, value, most in (
        (sign_ins.c.email, email, TRIES_PER_EMAIL),
        (sign_ins.c.address, address, TRIES_PER_ADDRESS),
    ):
        tries, first = tx.execute(sa.select(sa.func.count(), sa.func.min(sign_ins.c.at)).where(column == value)).one()
        if tries >= most:
            minutes = max(1, -(-int((first + TRIES_KEPT - now).total_seconds()) // 60))
            raise TooManyTries(f"Please wait {minutes} minute{'s' * (minutes > 1)} and try again.")
    tx.execute(sa.insert(sign_ins).values(email=email, address=address, at=now))


def forget_tries(tx: Transaction, email: str) -> None:
    """Open the door again for this e-mail."""
    tx.execute(sa.delete(sign_ins).where(sign_ins.c.email == email))
