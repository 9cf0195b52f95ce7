"""The pages beside the desk, each with who may see it: what the navigation shows. A new page is one line here. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from handoff.roles import Account, Deed


@dataclass(frozen=True)
class Place:
    """One page in the navigation."""

    label: str
    endpoint: str
    deed: Deed

    def is_here(self, endpoint: str | None) -> bool:
        """Say whether a request is for this page, or one below it: of its blueprint, unless that has several here."""
        room = self.endpoint.split(".")[0]
        alone = sum(one.endpoint.startswith(f"{room}.") for one in PLACES) == 1
        return endpoint == self.endpoint or (alone and (endpoint or "").split(".")[0] == room)


PLACES = (
    Place("Desk", "desk.home", Deed.READ),
    Place("Floor", "floor.page", Deed.OVERSEE),
    Place("Reports", "reports.page", Deed.OVERSEE),
    Place("Teams", "teaming.page", Deed.ARRANGE),
    Place("Updates", "updates.page", Deed.LOOK_AFTER),
    Place("Tokens", "integrations.tokens", Deed.LOOK_AFTER),
    Place("Hooks", "integrations.every_hook", Deed.LOOK_AFTER),
    Place("Accounts", "accounts.page", Deed.ADMIT),
    Place("Audit log", "audit.page", Deed.AUDIT),
)


def places(account: Account) -> list[Place]:
    """Return what this account may see."""
    return [place for place in PLACES if account.may(place.deed)]
