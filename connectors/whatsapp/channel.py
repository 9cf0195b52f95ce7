"""Meta's webhook behind Rasa's server: verify, write down, say yes; the work comes after. Knows Rasa and Sanic."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from rasa.core.channels.channel import InputChannel, UserMessage
from sanic import Blueprint, Sanic, response
from sanic.request import Request
from sanic.response import HTTPResponse
from sqlalchemy.exc import SQLAlchemyError

from bot import clock
from bot.content.catalogue import Catalogue
from bot.ledger.transaction import Ledger
from bot.ledger.turns import Manners
from bot.settings import ROOT, Settings
from connectors.whatsapp import webhook
from connectors.whatsapp.rasa_bot import NAME, Bot
from connectors.whatsapp.recorder import Recorder
from connectors.whatsapp.turns import Turns

log = logging.getLogger(__name__)

READ_AGAIN_S = 3.0
SWITCH_S = 0.0005  # a thread that writes deliveries down waits this long for Rasa's, at every statement
BUSY = 8  # deliveries waiting to be written down; turns give way to them
DRAIN_S = 5.0  # how long turns at work may still take when we are told to stop


class WhatsAppInput(InputChannel):  # type: ignore[misc]
    """The webhook's routes, and the turns behind them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ledger = Ledger(settings.database_url)
        self._catalogue = Catalogue.load(ROOT / "data" / "responses")
        quiet = timedelta(minutes=settings.phone_quiet_min)
        self._recorder = Recorder(self._ledger, clock.now, settings.whatsapp_phone_number_ids, quiet)
        manners = manners_of(settings, self._catalogue)
        self._turns = Turns(self._ledger, manners, clock.now, lambda: self._recorder.backlog > BUSY)
        self._bot: Bot | None = None
        self._background: list[asyncio.Task[None]] = []

    @classmethod
    def name(cls) -> str:
        """Return the name in the webhook's address."""
        return NAME

    @classmethod
    def from_credentials(cls, credentials: dict[str, Any] | None) -> WhatsAppInput:
        """Make the channel from the settings; the credentials file only names this class."""
        return cls(Settings.from_env())

    def blueprint(self, on_new_message: Callable[[UserMessage], Awaitable[Any]]) -> Blueprint:
        """Return the routes under /webhooks/whatsapp."""
        self._on_new_message = on_new_message
        blueprint = Blueprint("whatsapp_webhook")
        # Sanic writes on its handlers, which a bound method does not allow.
        blueprint.add_route(lambda request: self._verify(request), "/webhook", methods=["GET"], name="verify")  # noqa: PLW0108
        blueprint.add_route(lambda request: self._receive(request), "/webhook", methods=["POST"], name="receive")  # noqa: PLW0108
        blueprint.add_route(lambda request: self._ready(request), "/ready", methods=["GET"], name="ready")  # noqa: PLW0108
        blueprint.listener("after_server_start")(self._begin)
        blueprint.listener("before_server_stop")(self._end)
        return blueprint

    async def _verify(self, request: Request) -> HTTPResponse:
        """Echo Meta's challenge when the address is registered."""
        query = {name: values[0] for name, values in request.args.items() if values}
        challenge = webhook.answer_challenge(query, self._settings.whatsapp_verify_token)
        return response.text("forbidden", status=403) if challenge is None else response.text(challenge)

    async def _ready(self, _request: Request) -> HTTPResponse:
        """Say 200 only once a model answers and the ledger can be written."""
        model = self._bot is not None
        ledger = await asyncio.to_thread(self._ledger.can_be_written)
        return response.json({"model": model, "ledger": ledger}, status=200 if model and ledger else 503)

    async def _begin(self, app: Sanic, _loop: Any) -> None:
        """Wake the bot, then whatever waited while we were away."""
        sys.setswitchinterval(SWITCH_S)
        agent = getattr(app.ctx, "agent", None)
        if agent is None or not agent.is_ready():
            log.error("no model is loaded; messages are kept and wait", extra={"action": "no_model"})
            return
        stale = self._catalogue.say("utter_old_button")
        self._bot = await Bot.awake(agent, self._on_new_message, stale)
        self._background = [
            asyncio.create_task(self._turns.sweep(self._bot.run)),
            asyncio.create_task(self._read_again(self._bot)),
        ]

    async def _end(self, _app: Sanic, _loop: Any) -> None:
        """Let the turns at work finish."""
        for task in self._background:
            task.cancel()
        await self._turns.stop(DRAIN_S)

    async def _read_again(self, bot: Bot) -> None:
        """Look for deliveries somebody asked to read again."""
        while True:
            try:
                self._wake(await self._recorder.read_again(), bot)
            except Exception:  # the database may be away for a while
                log.exception("reading deliveries again failed", extra={"action": "read_again_failed"})
            await asyncio.sleep(READ_AGAIN_S)

    async def _receive(self, request: Request) -> HTTPResponse:
        """Verify, write down, say yes."""
        if not webhook.is_signed(
            request.body, request.headers.get("X-Hub-Signature-256"), self._settings.whatsapp_app_secrets
        ):
            log.warning("a delivery without our signature was refused", extra={"action": "unsigned"})
            return response.text("signature", status=401)
        try:
            waiting = await self._recorder.record(request.body)
        except SQLAlchemyError:
            # Anything but 200 makes Meta send it again: while we can't write, that is what we want.
            log.exception("a delivery could not be written down", extra={"action": "record_failed"})
            return response.text("try again", status=503)
        if self._bot is not None:
            self._wake(waiting, self._bot)
        return response.text("ok")

    def _wake(self, waiting: set[int], bot: Bot) -> None:
        for conversation_id in waiting:
            self._turns.wake(conversation_id, bot.run)


def manners_of(settings: Settings, catalogue: Catalogue) -> Manners:
    """Return how the bot behaves: what it says is written by content staff, the rest are settings."""
    return Manners(
        excuse=catalogue.say("utter_turn_failed"),
        passing_on=catalogue.say("utter_turn_failed_twice"),
        enough=catalogue.say("utter_too_many_messages"),
        invited=settings.bot_invited,
        quiet=timedelta(seconds=settings.pause_s),
        answers_in_10_minutes=settings.answers_in_10_minutes,
        answers_in_a_day=settings.answers_in_a_day,
        notices_machines=settings.notice_machines,
        shows_typing=settings.show_typing,
    )
