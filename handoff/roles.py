"""Who an account is, and what its role may do. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from bot.errors import BotError
from bot.vocabulary import Role


class RoleForbids(BotError):
    """Your role can't do this."""


class ScopeMissing(BotError):
    """This token may not be used for that."""


class Scope(str, Enum):
    """What a token may be used for, besides what its account's role allows; without any, for all of that."""

    READ = "read"  # conversations, messages, files, transcripts
    WRITE = "write"  # an agent's verbs
    HANDOFFS = "handoffs"  # bring another bot's contacts, and speak for them
    WEBHOOKS = "webhooks"  # make hooks and look after them
    ADMIN = "admin"  # look after deliveries


class Deed(Enum):
    """What somebody can do at the desk."""

    READ = "read conversations"
    NOTE = "write notes"
    SPEAK = "take conversations or reply"
    LEAD = "act in conversations that are not yours"
    ARRANGE = "arrange teams"
    OVERSEE = "see the live floor and the reports"
    LOOK_AFTER = "look after deliveries"
    ADMIT = "look after accounts"
    AUDIT = "read the audit log"


ADMINS_ONLY = frozenset({Deed.LOOK_AFTER, Deed.ADMIT, Deed.AUDIT})


MAY: dict[Role, frozenset[Deed]] = {
    Role.AGENT: frozenset({Deed.READ, Deed.NOTE, Deed.SPEAK}),
    Role.SUPERVISOR: frozenset(Deed) - ADMINS_ONLY,
    Role.ADMIN: frozenset(Deed),
    Role.CONTENT: frozenset({Deed.READ, Deed.NOTE}),
}


@dataclass(frozen=True)
class Account:
    """Somebody who may sign in."""

    id: int
    email: str
    name: str
    role: Role
    must_change_password: bool = False
    scopes: frozenset[Scope] = field(default=frozenset(Scope), compare=False)  # of the token they came with
    must_add_factor: bool = False  # an admin says that who has this role needs a second one
    address: str = field(default="", compare=False)  # where this request of theirs came from, for the audit log

    def may(self, deed: Deed) -> bool:
        """Say whether the role allows it."""
        return deed in MAY[self.role]

    def require(self, deed: Deed) -> None:
        """Raise RoleForbids unless the role allows it."""
        if not self.may(deed):
            raise RoleForbids(f"(as {self.role.value} you can't {deed.value}; ask an admin for another role)")

    def require_scope(self, scope: Scope) -> None:
        """Raise ScopeMissing unless the token they came with has it."""
        if scope not in self.scopes:
            raise ScopeMissing(f"(it lacks the scope {scope.value}; an admin can make one that has it)")
