"""The second factor: codes an app on the phone makes anew every half minute, and recovery codes for who lost it.

The only writer of `second_factors`, `recovery_codes` and `second_factor_roles`.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyotp
import segno
import sqlalchemy as sa

from bot.errors import BotError
from bot.ledger.transaction import Transaction
from bot.ledger.upsert import insert_new
from bot.vocabulary import Role
from handoff import trail
from handoff.acts import Act
from handoff.passwords import fingerprint, grouped
from handoff.roles import Account
from handoff.tables import accounts, recovery_codes, second_factor_roles, second_factors

STEP_S = 30
DRIFT = 1  # steps a phone's clock may be off, either way
RECOVERY_CODES = 8


class WrongCode(BotError):
    """This code is not right."""


class NoFactor(BotError):
    """There is no second factor here."""


@dataclass(frozen=True)
class Pending:
    """A second factor that is being set up: what the phone has to be given."""

    secret: str  # in groups of four, to be typed
    link: str  # otpauth://…, to be scanned

    def square(self) -> str:
        """Return the QR code as an SVG of nothing but paths: no style, so it is fine under our policy."""
        code = segno.make(self.link, error="m", micro=False)
        return str(code.svg_inline(scale=5, border=3, omitsize=True, svgclass=None, lineclass=None, light="#fff"))


def is_lacking() -> Any:
    """Return the condition, beside `accounts`, under which an account must have a second factor and has none."""
    must = sa.exists().where(second_factor_roles.c.role == accounts.c.role)
    has = sa.exists().where(second_factors.c.account_id == accounts.c.id, second_factors.c.confirmed_at.is_not(None))
    return must & ~has


def is_on(tx: Transaction, account_id: int) -> bool:
    """Say whether signing in asks for a code."""
    return bool(having(tx, {account_id}))


def having(tx: Transaction, ids: set[int]) -> set[int]:
    """Return which of these accounts have a second factor."""
    theirs = second_factors.c.account_id.in_(ids) & second_factors.c.confirmed_at.is_not(None)
    return set(tx.execute(sa.select(second_factors.c.account_id).where(theirs)).scalars())


def codes_left(tx: Transaction, account_id: int) -> int:
    """Return how many recovery codes were not used."""
    mine = recovery_codes.c.account_id == account_id
    return int(tx.execute(sa.select(sa.func.count()).where(mine)).scalar_one())


def pending(tx: Transaction, account: Account, *, issuer: str, now: datetime) -> Pending:
    """Return the secret to be confirmed, made on the first look and the same until then."""
    insert_new(
        tx, second_factors, account_id=account.id, secret=pyotp.random_base32(), made_at=now, confirmed_at=None,
        last_step=0,
    )  # fmt: skip
    row = tx.execute(sa.select(second_factors).where(second_factors.c.account_id == account.id)).one()
    if row.confirmed_at is not None:
        raise NoFactor("(it is set up already; remove it first to set up another)")
    link = pyotp.TOTP(row.secret, interval=STEP_S).provisioning_uri(name=account.email, issuer_name=issuer)
    return Pending(" ".join(re.findall(".{1,4}", row.secret)), link)


def confirm(tx: Transaction, account: Account, code: str, now: datetime) -> list[str]:
    """Turn the second factor on, now that the phone has shown that it works; return the recovery codes, once."""
    if is_on(tx, account.id) or not _accept(tx, account.id, code, now):
        raise WrongCode("(type the six digits the app shows now; if they are never right, check the phone's clock)")
    mine = second_factors.c.account_id == account.id
    tx.execute(sa.update(second_factors).where(mine).values(confirmed_at=now))
    trail.write(tx, Act.FACTOR_ADDED, account, subject=trail.of_account(account.email), now=now)
    return _new_recovery_codes(tx, account.id)


def renew_recovery_codes(tx: Transaction, account: Account, now: datetime) -> list[str]:
    """Make new recovery codes; the old ones are void."""
    if not is_on(tx, account.id):
        raise NoFactor
    trail.write(tx, Act.RECOVERY_RENEWED, account, subject=trail.of_account(account.email), now=now)
    return _new_recovery_codes(tx, account.id)


def passes(tx: Transaction, account: Account, code: str, now: datetime) -> bool:
    """Say whether this code, of the app or a recovery code, lets the account in; neither is good twice."""
    if _accept(tx, account.id, code, now):
        return True
    kept = fingerprint("-".join(re.findall(r"[a-z0-9]{1,5}", re.sub(r"[^a-z0-9]", "", code.lower()))))
    mine = (recovery_codes.c.account_id == account.id) & (recovery_codes.c.hash == kept)
    if not tx.execute(sa.delete(recovery_codes).where(mine)).rowcount:
        return False
    left = codes_left(tx, account.id)
    trail.write(tx, Act.RECOVERY_USED, account, subject=trail.of_account(account.email), now=now, left=left)
    return True


def remove(tx: Transaction, whose: Account, by: Account | None, now: datetime) -> bool:
    """Take an account's second factor away, with its recovery codes; say whether there was one."""
    tx.execute(sa.delete(recovery_codes).where(recovery_codes.c.account_id == whose.id))
    was_on = is_on(tx, whose.id)
    tx.execute(sa.delete(second_factors).where(second_factors.c.account_id == whose.id))
    if was_on:
        trail.write(tx, Act.FACTOR_REMOVED, by, subject=trail.of_account(whose.email), now=now)
    return was_on


def required(tx: Transaction) -> set[Role]:
    """Return the roles that must have a second factor."""
    return set(tx.execute(sa.select(second_factor_roles.c.role)).scalars())


def require_for(tx: Transaction, roles: set[Role], by: Account | None, now: datetime) -> None:
    """Say which roles must have a second factor; who lacks it sets it up before anything else."""
    before = required(tx)
    for role in sorted(roles - before):
        insert_new(tx, second_factor_roles, role=role, since=now)
        trail.write(tx, Act.FACTOR_REQUIRED, by, subject=f"role {role.value}", now=now)
    for role in sorted(before - roles):
        tx.execute(sa.delete(second_factor_roles).where(second_factor_roles.c.role == role))
        trail.write(tx, Act.FACTOR_OPTIONAL, by, subject=f"role {role.value}", now=now)


def _accept(tx: Transaction, account_id: int, code: str, now: datetime) -> bool:
    """Say whether the app shows this code now, and see to it that it is not accepted again, by anybody at once."""
    code = re.sub(r"\s", "", code)
    mine = second_factors.c.account_id == account_id
    row = tx.execute(sa.select(second_factors).where(mine)).first()
    if row is None or not re.fullmatch(r"[0-9]{6}", code):
        return False
    made = pyotp.TOTP(row.secret, interval=STEP_S)
    this = int(now.timestamp()) // STEP_S
    steps = [step for step in range(this - DRIFT, this + DRIFT + 1)
             if hmac.compare_digest(str(made.generate_otp(step)), code)]  # fmt: skip
    if not steps:
        return False
    unused = mine & (second_factors.c.last_step < steps[-1])
    return bool(tx.execute(sa.update(second_factors).where(unused).values(last_step=steps[-1])).rowcount)


def _new_recovery_codes(tx: Transaction, account_id: int) -> list[str]:
    codes = [grouped(3) for _ in range(RECOVERY_CODES)]
    tx.execute(sa.delete(recovery_codes).where(recovery_codes.c.account_id == account_id))
    tx.execute(sa.insert(recovery_codes), [{"hash": fingerprint(code), "account_id": account_id} for code in codes])
    return codes
