"""Who an account is, and what its role may do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bot.errors import BotError
from bot.vocabulary import Role


class RoleForbids(BotError):
    """Your role can't do this."""


class Deed(Enum):
    """What somebody can do at the desk."""

    READ = "read conversations"
    NOTE = "write notes"
    SPEAK = "take conversations or reply"
    LEAD = "act in conversations that are not yours"
    ARRANGE = "arrange teams"
    OVERSEE = "see the live floor and the reports"
    LOOK_AFTER = "look after deliveries"


MAY: dict[Role, frozenset[Deed]] = {
    Role.AGENT: frozenset({Deed.READ, Deed.NOTE, Deed.SPEAK}),
    Role.SUPERVISOR: frozenset(Deed) - {Deed.LOOK_AFTER},
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

    def may(self, deed: Deed) -> bool:
        """Say whether the role allows it."""
        return deed in MAY[self.role]

    def require(self, deed: Deed) -> None:
        """Raise RoleForbids unless the role allows it."""
        if not self.may(deed):
            raise RoleForbids(f"(as {self.role.value} you can't {deed.value}; ask an admin for another role)")
