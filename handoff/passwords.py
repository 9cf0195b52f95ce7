"""Passwords and codes: made, hashed, compared, and refused where they are guessed too easily."""

from __future__ import annotations

import hashlib
import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from bot.errors import BotError

PASSWORD_MIN = 10
PASSWORD_MAX = 200  # argon2 is slow on purpose; nobody makes it hash a novel
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike

_few_at_once = threading.Semaphore(4)  # argon2 takes 64 MiB a try, and anybody may try
_hasher = PasswordHasher()
_nobody = _hasher.hash(secrets.token_urlsafe(16))  # an unknown e-mail costs as much time as a wrong password


class WeakPassword(BotError):
    """Please choose another password."""


def hashed(password: str) -> str:
    """Return what the database keeps of a password."""
    with _few_at_once:
        return _hasher.hash(password)


def matches(kept: str | None, password: str) -> bool:
    """Say whether it is the password; where there is no account it takes as long, and never is."""
    if len(password) > PASSWORD_MAX:
        return False
    try:
        with _few_at_once:
            return _hasher.verify(_nobody if kept is None else kept, password) and kept is not None
    except (VerifyMismatchError, InvalidHashError):
        return False


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
    return grouped(4)


def grouped(groups: int) -> str:
    """Return that many groups of five random letters that can be told apart."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(5)) for _ in range(groups))


def fingerprint(secret: str) -> str:
    """Return what the database keeps of a secret nobody can guess: cookies, tokens, recovery codes."""
    return hashlib.sha256(secret.encode()).hexdigest()
