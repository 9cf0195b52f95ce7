"""What all actions share: one ledger, one catalogue, one backoffice, one map, made when first needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import requests

from actions.backoffice import Backoffice, HttpBackoffice, NoBackoffice, SqlBackoffice
from actions.demo_shop import open_demo_shop
from bot.content.catalogue import Catalogue
from bot.ledger.transaction import Ledger
from bot.places import Places
from bot.settings import ROOT, Settings


@dataclass(frozen=True)
class Surroundings:
    """What an action may reach."""

    ledger: Ledger
    catalogue: Catalogue
    backoffice: Backoffice
    places: Places
    bot_invited: bool = True  # it hears contacts who wait for a person


@lru_cache(maxsize=1)
def surroundings() -> Surroundings:
    """Return the process's surroundings, as the environment names them."""
    settings = Settings.from_env()
    return Surroundings(
        ledger=Ledger(settings.database_url),
        catalogue=Catalogue.load(ROOT / "data" / "responses"),
        backoffice=backoffice_of(settings),
        places=Places.load(ROOT / "data" / "lookups"),
        bot_invited=settings.bot_invited,
    )


def backoffice_of(settings: Settings) -> Backoffice:
    """Return the shop the settings name: a real one, the demo shop, or none."""
    if settings.backoffice_url:
        return HttpBackoffice(settings.backoffice_url, requests.Session())
    if settings.demo_shop:
        return SqlBackoffice(open_demo_shop(settings.home / "shop.db"))
    return NoBackoffice()
