"""Coming in: a password, perhaps a code, then a session; and the first account of all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from bot.errors import BotError
from bot.ledger import teams
from bot.ledger.transaction import Ledger, Transaction
from bot.vocabulary import Role
from handoff import agents, passwords, second, sessions, trail
from handoff.acts import Act
from handoff.passwords import fingerprint
from handoff.roles import Account
from handoff.second import WrongCode
from handoff.sessions import Begun, From
from handoff.tables import setup_codes

SETUP_LASTS = timedelta(days=1)
SETUP_LOCK = 0x73657475  # any number nobody else uses on this database


class WrongPassword(BotError):
    """E-mail and password don't belong together."""


class TooLate(BotError):
    """That took too long; please sign in again."""


class SetUpAlready(BotError):
    """This desk is set up already."""


class WrongSetupCode(BotError):
    """This is not the set-up code."""


@dataclass(frozen=True)
class SignedIn:
    """A new session, and whether it is one yet: a second factor may be asked for first."""

    cookie: str
    account: Account
    ends_at: datetime
    awaits_code: bool = False


@dataclass(frozen=True)
class First:
    """What the first admin says of themselves and of the team."""

    email: str
    name: str
    password: str
    zone: str
    hours: str


def sign_in(ledger: Ledger, email: str, password: str, *, came: From, now: datetime, instead_of: str = "") -> SignedIn:
    """Begin a session. A try is written down before the password is looked at: parallel ones count.

    `instead_of` is the cookie this browser had: one browser has one session.
    """
    email = email.strip().lower()[:200]
    with ledger.writing() as tx:
        sessions.count_try(tx, email, came.address, now)
        known = agents.password_hash_of(tx, email)
    # argon2 takes its time, and no transaction is open meanwhile.
    right = passwords.matches(known[1] if known is not None else None, password)
    with ledger.writing() as tx:
        # Looked up again: in the meantime the account may have been disabled, or given another password.
        still = agents.password_hash_of(tx, email)
        if right and still is not None and still == known and still[2]:
            return _password_was_right(tx, still[0], came, now, instead_of)
        _failed(tx, still[0] if still is not None else None, came, now)
    raise WrongPassword("(check both and try again)")


def _password_was_right(tx: Transaction, account: Account, came: From, now: datetime, instead_of: str) -> SignedIn:
    if instead_of:
        sessions.end(tx, instead_of)
    if second.is_on(tx, account.id):  # the tries stay counted: who has the password may still guess codes
        begun = sessions.begin(tx, account.id, came, now, awaits_code=True)
        return SignedIn(begun.cookie, account, begun.ends_at, awaits_code=True)
    return _in(tx, account, came, now)


def give_code(ledger: Ledger, cookie: str, code: str, *, came: From, now: datetime) -> SignedIn:
    """End the half session and begin a whole one, with a new secret, if the code is right. Tries are counted."""
    with ledger.writing() as tx:
        account = agents.half_signed_in(tx, cookie, now)
        if account is None:
            raise TooLate
        sessions.count_try(tx, account.email, came.address, now)
        if second.passes(tx, account, code, now):
            sessions.end(tx, cookie)
            return _in(tx, account, came, now)
        _failed(tx, account, came, now, code=True)
    raise WrongCode("(type the six digits the app shows now, or one of your recovery codes; each is good once)")


def sign_out(tx: Transaction, account: Account, cookie: str, now: datetime) -> None:
    """End this session."""
    sessions.end(tx, cookie)
    trail.write(tx, Act.SIGNED_OUT, account, subject=trail.of_account(account.email), now=now)


def require_password(ledger: Ledger, account: Account, password: str, *, came: From, now: datetime) -> None:
    """Ask for the password again before something that a stranger at an open desk must not do; tries are counted."""
    with ledger.writing() as tx:
        sessions.count_try(tx, account.email, came.address, now)
        known = agents.password_hash_of(tx, account.email)
    if not passwords.matches(known[1] if known is not None else None, password):
        raise WrongPassword("(the present password is another one)")
    with ledger.writing() as tx:
        sessions.forget_tries(tx, account.email)


def change_password(
    ledger: Ledger, account: Account, old: str, new: str, *, now: datetime, came: From | None = None
) -> SignedIn:
    """Set a password of one's own; every session of the account ends but the new one this returns."""
    came = came or From()
    require_password(ledger, account, old, came=came, now=now)
    passwords.require_strong(new, old=old, email=account.email)
    hashed = passwords.hashed(new)
    with ledger.writing() as tx:
        agents.set_password(tx, account, hashed)
        sessions.end_all(tx, account.id)
        trail.write(tx, Act.PASSWORD_CHANGED, account, subject=trail.of_account(account.email), now=now)
        begun = sessions.begin(tx, account.id, came, now)
        return SignedIn(begun.cookie, account, begun.ends_at)


def new_setup_code(tx: Transaction, now: datetime) -> str:
    """Make the code that lets the first admin in, for a day; those before it are void."""
    if agents.are_there_any(tx):
        raise SetUpAlready("(sign in, or: python -m handoff account add EMAIL --role admin)")
    code = passwords.grouped(3)
    tx.execute(sa.delete(setup_codes))
    tx.execute(sa.insert(setup_codes).values(hash=fingerprint(code), ends_at=now + SETUP_LASTS))
    return code


def set_up(ledger: Ledger, code: str, first: First, *, came: From, now: datetime) -> SignedIn:
    """Make the first admin and say when the team is there, once; whoever comes second is told so."""
    with ledger.reading() as tx:
        _require_code(tx, code, now)  # nobody guesses it, so tries need no counting; hashing is for who has it
    passwords.require_strong(first.password, old="", email=first.email)
    hashed = passwords.hashed(first.password)
    with ledger.writing() as tx:
        _require_code(tx, code, now)
        account = agents.create(
            tx, first.email, Role.ADMIN, first.name, password_hash=hashed, must_change=False, now=now
        )
        team = teams.team(tx)
        within = int(team.within.total_seconds() // 60)
        teams.change(tx, team.id, zone=first.zone, week=first.hours, exceptions=team.exceptions, within_min=within)
        tx.execute(sa.delete(setup_codes))
        trail.write(tx, Act.SET_UP, account, subject=trail.of_account(account.email), now=now, address=came.address)
        return _in(tx, account, came, now)


def _require_code(tx: Transaction, code: str, now: datetime) -> None:
    if tx.dialect.name == "postgresql":  # two at once: one is the first
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(SETUP_LOCK)))
    if agents.are_there_any(tx):
        raise SetUpAlready("(sign in)")
    good = (setup_codes.c.hash == fingerprint(code.strip().lower())) & (setup_codes.c.ends_at > now)
    if tx.execute(sa.select(setup_codes.c.hash).where(good)).first() is None:
        raise WrongSetupCode("(`python -m handoff setup-code`, on the machine Baton runs on, prints a fresh one)")


def _in(tx: Transaction, account: Account, came: From, now: datetime) -> SignedIn:
    sessions.forget_tries(tx, account.email)
    begun: Begun = sessions.begin(tx, account.id, came, now)
    agents.came_in(tx, account, now)
    trail.write(tx, Act.SIGNED_IN, account, subject=trail.of_account(account.email), now=now, address=came.address)
    return SignedIn(begun.cookie, account, begun.ends_at)


def _failed(tx: Transaction, account: Account | None, came: From, now: datetime, *, code: bool = False) -> None:
    """Write down a failed try. An e-mail nobody has is not kept: people type passwords there."""
    subject = "an unknown e-mail" if account is None else trail.of_account(account.email)
    at = "code" if code else "password"
    trail.write(tx, Act.SIGN_IN_FAILED, None, subject=subject, now=now, address=came.address, at=at)
