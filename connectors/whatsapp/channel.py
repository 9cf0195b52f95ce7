"""Our channel in Rasa's server: what waits in the ledger gets its turn. Knows Rasa and Sanic.

Rasa's channels usually take their messages from a route of their own. Ours takes them from the ledger, where `door.py`,
the webhook, writes them down in a process that no bot can keep busy. So the only route is the one that says how we are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from rasa.core.channels.channel import InputChannel, UserMessage
from sanic import Blueprint, Sanic, response
from sanic.request import Request
from sanic.response import HTTPResponse

from bot import clock
from bot.content.catalogue import Catalogue
from bot.content.telling import telling
from bot.ledger.transaction import Ledger
from bot.ledger.turns import Manners
from bot.settings import ROOT, Settings
from connectors.whatsapp.rasa_bot import NAME, Bot
from connectors.whatsapp.tracker_store import keep_forgetting
from connectors.whatsapp.turns import Turns

log = logging.getLogger(__name__)

DRAIN_S = 5.0  # how long turns at work may still take when we are told to stop


class WhatsAppInput(InputChannel):  # type: ignore[misc]
    """What contacts say on WhatsApp, as Rasa hears it."""

    def __init__(self, settings: Settings) -> None:
        self._ledger = Ledger(settings.database_url)
        self._catalogue = Catalogue.load(ROOT / "data" / "responses")
        self._manners = manners_of(settings, self._catalogue)
        self._turns: Turns | None = None
        self._working: asyncio.Task[None] | None = None
        self._forgetting: asyncio.Task[None] | None = None

    @classmethod
    def name(cls) -> str:
        """Return the name in the channel's address."""
        return NAME

    @classmethod
    def from_credentials(cls, credentials: dict[str, Any] | None) -> WhatsAppInput:
        """Make the channel from the settings; the credentials file only names this class."""
        return cls(Settings.from_env())

    def blueprint(self, on_new_message: Callable[[UserMessage], Awaitable[Any]]) -> Blueprint:
        """Return the one route, /webhooks/whatsapp/ready, and have the turns begin and end with the server."""
        self._on_new_message = on_new_message
        blueprint = Blueprint("whatsapp_webhook")
        # Sanic writes on its handlers, which a bound method does not allow.
        blueprint.add_route(lambda request: self._ready(request), "/ready", methods=["GET"], name="ready")  # noqa: PLW0108
        blueprint.listener("after_server_start")(self._begin)
        blueprint.listener("before_server_stop")(self._end)
        return blueprint

    async def _ready(self, _request: Request) -> HTTPResponse:
        """Say 200 only once a model answers."""
        return response.json({"model": self._turns is not None}, status=503 if self._turns is None else 200)

    async def _begin(self, app: Sanic, _loop: Any) -> None:
        """Wake the bot, then see to whatever waits."""
        agent = getattr(app.ctx, "agent", None)
        if agent is None or not agent.is_ready():
            log.error("no model is loaded; messages are kept and wait", extra={"action": "no_model"})
            return
        stale = self._catalogue.say("utter_old_button")
        bot = await Bot.awake(agent, self._on_new_message, stale)
        self._turns = Turns(self._ledger, self._manners, clock.now, bot.run)
        self._working = asyncio.create_task(self._turns.work())
        self._forgetting = asyncio.create_task(keep_forgetting(self._ledger, bot.memory))

    async def _end(self, _app: Sanic, _loop: Any) -> None:
        """Let the turns at work finish."""
        if self._forgetting is not None:
            self._forgetting.cancel()
        if self._turns is not None:
            await self._turns.stop(DRAIN_S)


def manners_of(settings: Settings, catalogue: Catalogue) -> Manners:
    """Return how the bot behaves: what it says is written by content staff, the rest are settings."""
    return Manners(
        excuse=catalogue.say("utter_turn_failed"),
        passing_on=telling(catalogue, "utter_turn_failed_twice", heard=settings.bot_invited),
        enough=telling(catalogue, "utter_too_many_messages", heard=False),
        invited=settings.bot_invited,
        quiet=timedelta(seconds=settings.pause_s),
        answers_in_10_minutes=settings.answers_in_10_minutes,
        answers_in_a_day=settings.answers_in_a_day,
        notices_machines=settings.notice_machines,
        shows_typing=settings.show_typing,
    )
