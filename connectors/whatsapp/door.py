"""Meta's webhook, a process of its own: verify, write down, say yes. It never thinks, so it never makes Meta wait.

The bot takes seconds of both cores when many write at once, and half a minute to come back after a crash. What Meta
brings meanwhile is written down all the same; the bot finds it in the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import aiohttp
from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from bot import clock
from bot.ledger import alarms
from bot.ledger.transaction import Ledger
from bot.settings import Settings
from connectors.whatsapp import webhook
from connectors.whatsapp.recorder import Overloaded, Recorder

log = logging.getLogger(__name__)

PATH = "/webhooks/whatsapp"
LARGEST_BODY = 4 * 2**20  # bytes; Meta's deliveries go up to 3 MB
SEEN_S = 2.0  # how often it is written down that the door is open
READ_AGAIN_S = 3.0
ASK_THE_BOT_S = 5.0
UNSIGNED_IN_A_ROW = 10  # deliveries; strangers who knock now and then are nobody's matter
UNSIGNED = (
    "What comes to the webhook is not signed with our app secret, so we refuse it, and Meta gives it up within days. "
    "Is WHATSAPP_APP_SECRET that of the app whose webhook this is?"
)
DRAIN_S = 5.0  # how long requests at work may still take when we are told to stop


class Door:
    """The webhook's routes, and what is done beside them while it is open."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        quiet = timedelta(minutes=settings.phone_quiet_min)
        numbers = webhook.Numbers(settings.whatsapp_phone_number_ids, settings.whatsapp_other_number_ids)
        self._recorder = Recorder(ledger, clock.now, numbers, quiet)
        self._unsigned = 0  # deliveries in a row
        self._alarmed: bool | None = None  # not known: whoever was here before us may have raised it

    def app(self) -> web.Application:
        """Return the routes under /webhooks/whatsapp."""
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_get(f"{PATH}/webhook", self._verify)
        app.router.add_post(f"{PATH}/webhook", self._receive)
        app.router.add_get(f"{PATH}/ready", self._ready)
        return app

    async def stay_open(self) -> None:
        """Write down that we are open, and read again what somebody asked for, until cancelled."""
        await asyncio.gather(
            _again_and_again(self._say_open, SEEN_S, "door_not_seen"),
            _again_and_again(self._watch_signatures, SEEN_S, "signatures_not_watched"),
            _again_and_again(self._recorder.read_again, READ_AGAIN_S, "read_again_failed"),
        )

    async def _say_open(self) -> None:
        """Write down that the door is open; it is not while it refuses whatever comes, reports included."""
        if self._unsigned < UNSIGNED_IN_A_ROW:
            await self._recorder.say_open()

    async def _watch_signatures(self) -> None:
        """Raise an alarm when nothing that comes bears our signature: Meta drops what we refuse within days."""
        wrong = self._unsigned >= UNSIGNED_IN_A_ROW
        if wrong is not self._alarmed:
            await asyncio.to_thread(self._tell_of_signatures, wrong)
            self._alarmed = wrong

    def _tell_of_signatures(self, wrong: bool) -> None:
        with self._ledger.writing() as tx:
            if wrong:
                alarms.raise_alarm(tx, "unsigned", UNSIGNED, clock.now())
            else:
                alarms.clear(tx, "unsigned")

    async def _verify(self, request: web.Request) -> web.Response:
        """Echo Meta's challenge when the address is registered."""
        challenge = webhook.answer_challenge(dict(request.query), self._settings.whatsapp_verify_token)
        return web.Response(text="forbidden", status=403) if challenge is None else web.Response(text=challenge)

    async def _receive(self, request: web.Request) -> web.Response:
        """Verify, write down, say yes."""
        body = await request.read()
        signature = request.headers.get("X-Hub-Signature-256")
        if not webhook.is_signed(body, signature, self._settings.whatsapp_app_secrets):
            self._unsigned += 1
            log.warning("a delivery without our signature was refused", extra={"action": "unsigned"})
            return web.Response(text="signature", status=401)
        self._unsigned = 0
        try:
            await self._recorder.record(body)
        except (SQLAlchemyError, Overloaded):
            # Anything but 200 makes Meta send it again: while we can't write, that is what we want.
            log.exception("a delivery could not be written down", extra={"action": "record_failed"})
            return web.Response(text="try again", status=503)
        return web.Response(text="ok")

    async def _ready(self, _request: web.Request) -> web.Response:
        """Say 200 only once a model answers and the ledger can be written."""
        ledger = await asyncio.to_thread(self._ledger.can_be_written)
        model = await self._bot_is_awake()
        return web.json_response({"model": model, "ledger": ledger}, status=200 if model and ledger else 503)

    async def _bot_is_awake(self) -> bool:
        address = f"http://127.0.0.1:{self._settings.bot_port}{PATH}/ready"
        with suppress(aiohttp.ClientError, asyncio.TimeoutError):
            timeout = aiohttp.ClientTimeout(total=ASK_THE_BOT_S)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(address) as answer:
                return answer.status == 200
        return False


async def receive(settings: Settings) -> None:
    """Open the door, and keep it open until told to stop."""
    told = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, told.set)
    ledger = Ledger(settings.database_url, hurried=True)
    door = Door(settings, ledger)
    # No access log: its lines would hold the verify token.
    runner = web.AppRunner(door.app(), access_log=None, shutdown_timeout=DRAIN_S)
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.rasa_port).start()
    log.info("the door is open", extra={"action": "open"})
    staying = asyncio.create_task(door.stay_open())
    await told.wait()
    staying.cancel()
    await runner.cleanup()
    ledger.close()


async def _again_and_again(job: Callable[[], Awaitable[object]], every_s: float, action: str) -> None:
    """Do a job for ever; the database may be away for a while."""
    while True:
        try:
            await job()
        except Exception:
            log.exception("what the door does by the side failed", extra={"action": action})
        await asyncio.sleep(every_s)
