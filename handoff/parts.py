"""What every blueprint stands on, put together once in app.py."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, current_app

from bot.clock import Clock
from bot.content.catalogue import Catalogue
from bot.content.telling import telling
from bot.ledger.promises import Tell
from bot.ledger.ratings import Ask
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

    def ask_csat(self) -> Ask | None:
        """Return what makes the question how a contact found the people; None where nobody is asked."""
        if not self.settings.ask_csat:
            return None
        return lambda handoff_id: self.catalogue.say("utter_csat_ask", handoff=handoff_id)

    def requeued(self) -> Tell:
        """Return what tells a contact that somebody else will see to them, and when."""
        return telling(self.catalogue, "utter_handoff_requeued", heard=self.settings.bot_invited)

    def snoozed(self, when: str) -> Outbound:
        """Return what tells a contact that they are not forgotten, and when they hear of us."""
        return self.catalogue.say("utter_handoff_snoozed", when=when)


def install(app: Flask, made: Parts) -> None:
    """Give an app its parts."""
    app.extensions["baton"] = made


def parts() -> Parts:
    """Return the parts of the app that answers this request."""
    found: Parts = current_app.extensions["baton"]
    return found
