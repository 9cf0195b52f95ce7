"""What every blueprint stands on, put together once in app.py."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, current_app

from bot.clock import Clock
from bot.content.catalogue import Catalogue
from bot.ledger.transaction import Ledger
from bot.messages import Outbound
from bot.settings import Settings


@dataclass(frozen=True)
class Parts:
    """The desk's parts."""

    settings: Settings
    ledger: Ledger
    catalogue: Catalogue
    now: Clock

    def goodbye(self) -> Outbound:
        """Return the desk's last words to a contact whom the bot has again."""
        return self.catalogue.say("utter_handoff_finished")


def install(app: Flask, made: Parts) -> None:
    """Give an app its parts."""
    app.extensions["baton"] = made


def parts() -> Parts:
    """Return the parts of the app that answers this request."""
    found: Parts = current_app.extensions["baton"]
    return found
