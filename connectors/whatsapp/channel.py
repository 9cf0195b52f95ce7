"""The only file that knows Rasa and Sanic: the webhook, and the bot behind it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from rasa.core.agent import Agent
from rasa.core.channels.channel import InputChannel, OutputChannel, UserMessage
from rasa.shared.core.events import ActionExecuted, BotUttered, SessionStarted, UserUttered
from rasa.shared.core.trackers import DialogueStateTracker
from sanic import Blueprint, Sanic, response
from sanic.request import Request
from sanic.response import HTTPResponse
from sqlalchemy.exc import SQLAlchemyError

from bot import clock
from bot import messages as says
from bot.content.catalogue import Catalogue
from bot.ledger import inbox
from bot.ledger.inbox import Turn, Understood
from bot.ledger.transaction import Ledger
from bot.settings import ROOT, Settings
from connectors.whatsapp import speech, webhook
from connectors.whatsapp.tracker_store import BatonTrackerStore
from connectors.whatsapp.turns import Answer, Turns, Words

log = logging.getLogger(__name__)

NAME = "whatsapp"
INTRODUCTION = "utter_introduction"  # a new contact's first answer begins with it, whatever they wrote
DRAIN_S = 5.0  # how long turns at work may still take when we are told to stop
TAPPED = re.compile(r"^/(?P<intent>\w+)(?P<entities>\{.*\})?$", re.DOTALL)
NOT_UNDERSTOOD = {"intent": {"name": "nlu_fallback", "confidence": 1.0}, "entities": [], "intent_ranking": []}


class WhatsAppOutput(OutputChannel):  # type: ignore[misc]  # Rasa has no types
    """Collects what one turn says. It never sends and never raises: an exception here would cost the whole turn."""

    def __init__(self) -> None:
        self.said: list[says.Outbound] = []
        self._introduction: list[says.Outbound] = []
        self.may_be_silent = False

    @classmethod
    def name(cls) -> str:
        """Return the name responses can be written for."""
        return NAME

    async def send_response(self, recipient_id: str, message: dict[str, Any]) -> None:
        """Keep one utterance of the bot's."""
        self.keep(message)

    def keep(self, message: dict[str, Any]) -> None:
        """Read one utterance. What is not for the contact comes as `json_message`: `{"silence": True}` says that a
        silence is wanted, `{"introduced": True}` that the introduction left with the hand off's own sentence.
        """
        custom = message.get("custom")
        custom = custom if isinstance(custom, dict) else {}
        self.may_be_silent = self.may_be_silent or bool(custom.get("silence"))
        if custom.get("introduced"):
            self._introduction.clear()
        try:
            introduces = message.get("utter_action") == INTRODUCTION
            (self._introduction if introduces else self.said).extend(speech.from_rasa(message))
        except Exception:  # what can't be shown must not cost the contact the rest of the answer
            log.exception("an utterance can't be shown on WhatsApp", extra={"action": "unspeakable"})

    def answer(self, parsed: dict[str, Any]) -> Answer:
        """Return what the turn said, merged into as few messages as WhatsApp can show."""
        intent = parsed.get("intent") or {}
        ranking = [item for item in parsed.get("intent_ranking") or [] if item.get("name") != "nlu_fallback"]
        best = ranking[0] if intent.get("name") == "nlu_fallback" and ranking else intent
        understood = Understood(str(best.get("name") or ""), float(best.get("confidence") or 0.0))
        return Answer(speech.merge([*self._introduction, *self.said]), understood, self.may_be_silent)


class WhatsAppInput(InputChannel):  # type: ignore[misc]
    """Meta's webhook: verify, write down, say yes; the work comes after."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ledger = Ledger(settings.database_url)
        catalogue = Catalogue.load(ROOT / "data" / "responses")
        words = Words(catalogue.say("utter_turn_failed"), catalogue.say("utter_turn_failed_twice"))
        self._turns = Turns(self._ledger, words, clock.now, invited=settings.bot_invited)
        self._bot: Bot | None = None
        self._sweep: asyncio.Task[None] | None = None

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
        agent = getattr(app.ctx, "agent", None)
        if agent is None or not agent.is_ready():
            log.error("no model is loaded; messages are kept and wait", extra={"action": "no_model"})
            return
        self._bot = await Bot.awake(agent, self._on_new_message)
        self._sweep = asyncio.create_task(self._turns.sweep(self._bot.run))

    async def _end(self, _app: Sanic, _loop: Any) -> None:
        """Let the turns at work finish."""
        if self._sweep is not None:
            self._sweep.cancel()
        await self._turns.stop(DRAIN_S)

    async def _receive(self, request: Request) -> HTTPResponse:
        """Verify, write down, say yes."""
        if not webhook.is_signed(
            request.body, request.headers.get("X-Hub-Signature-256"), self._settings.whatsapp_app_secrets
        ):
            log.warning("a delivery without our signature was refused", extra={"action": "unsigned"})
            return response.text("signature", status=401)
        try:
            waiting = await asyncio.to_thread(self._record, request.body)
        except SQLAlchemyError:
            # Anything but 200 makes Meta send it again: while we can't write, that is what we want.
            log.exception("a delivery could not be written down", extra={"action": "record_failed"})
            return response.text("try again", status=503)
        if self._bot is not None:
            for conversation_id in waiting:
                self._turns.wake(conversation_id, self._bot.run)
        return response.text("ok")

    def _record(self, body: bytes) -> set[int]:
        updates = webhook.read(body, self._settings.whatsapp_phone_number_ids)
        with self._ledger.writing() as tx:
            return inbox.record(tx, body, updates, clock.now())


class Bot:
    """Rasa, as a function from a turn to an answer."""

    def __init__(self, agent: Agent, on_new_message: Callable[[UserMessage], Awaitable[Any]]) -> None:
        self._agent = agent
        self._on_new_message = on_new_message

    @classmethod
    async def awake(cls, agent: Agent, on_new_message: Callable[[UserMessage], Awaitable[Any]]) -> Bot:
        """Make Rasa fail loudly where it would lose a turn in silence, and warm the model up."""
        kept = getattr(agent.tracker_store, "_tracker_store", agent.tracker_store)
        if not isinstance(kept, BatonTrackerStore):
            # Rasa falls back to memory when it can't make the store, and says so only in a warning.
            raise RuntimeError("the tracker store of endpoints.yml is not in use; conversations would be forgotten")

        def reraise(error: Exception) -> None:
            # Rasa would go on with an empty tracker and drop the turn's events; so the turn fails, and is done again.
            raise error

        agent.tracker_store._on_tracker_store_error = reraise
        await agent.parse_message("hello")
        return cls(agent, on_new_message)

    async def run(self, turn: Turn) -> Answer:
        """Let Rasa answer one turn. A turn that was answered before a crash is read back, not done again."""
        if turn.attempt > 1:
            done = await self._answer_before_the_crash(turn)
            if done is not None:
                return done
        if turn.returned:
            await self._begin_clean(turn.key)
        output = WhatsAppOutput()
        parsed = await self._understand(turn.heard.content)
        await self._on_new_message(
            UserMessage(
                text=parsed["text"],
                output_channel=output,
                sender_id=turn.key,
                parse_data=parsed,
                input_channel=NAME,
                message_id=str(turn.id),
                metadata={
                    "turn_id": turn.id,
                    "new_contact": turn.new_contact,
                    "holder": turn.holder.value,
                    "returned": turn.returned,
                },
            )
        )
        return output.answer(parsed)

    async def _understand(self, content: says.Inbound) -> dict[str, Any]:
        """Return Rasa's parse data. Only free text is guessed at; what is certain is said with certainty."""
        match content:
            case says.Text():
                return await self._understand_text(content.text)
            case says.Tap():
                return self._tapped(content) or await self._understand_text(content.text)
            case says.Place():
                entities = {"latitude": content.latitude, "longitude": content.longitude}
                return _certain("sent_location", content.text or "(location)", entities)
            case says.Media():
                kind = "voice" if content.voice else content.kind
                return _certain("sent_media", content.text or f"({kind})", {"media_kind": kind})
            case says.Other():
                return _certain("sent_media", content.text or f"({content.kind})", {"media_kind": content.kind})

    async def _understand_text(self, text: str) -> dict[str, Any]:
        """Parse free text. A leading slash is Rasa's command language, open to anybody: here it is only text."""
        words = text.lstrip("/ \t\r\n\f\v")
        if not words.strip():
            return {**NOT_UNDERSTOOD, "text": text.strip("/ \t\r\n\f\v") or "(nothing)"}
        parsed: dict[str, Any] = await self._agent.parse_message(words)
        return {**parsed, "text": words}

    def _tapped(self, tap: says.Tap) -> dict[str, Any] | None:
        """Read a button's payload, `/intent{"entity": "value"}`; an old button's unknown intent is only its title."""
        found = TAPPED.match(tap.id)
        if found is None or found["intent"] not in self._agent.domain.intents:
            return None
        try:
            entities = json.loads(found["entities"] or "{}")
        except ValueError:
            return None
        return _certain(found["intent"], tap.title or found["intent"], entities)

    async def _begin_clean(self, key: str) -> None:
        """Begin a new session after a person held the conversation: what was open before is settled now."""
        async with self._agent.lock_store.lock(key):
            tracker = await self._agent.tracker_store.retrieve(key)
            if tracker is None:
                return
            for event in (
                ActionExecuted("action_session_start"),
                SessionStarted(),
                ActionExecuted("action_listen"),
            ):
                tracker.update(event, self._agent.domain)
            await self._agent.tracker_store.save(tracker)

    async def _answer_before_the_crash(self, turn: Turn) -> Answer | None:
        """Return what Rasa answered to this very turn, if it got as far as keeping it."""
        tracker: DialogueStateTracker | None = await self._agent.tracker_store.retrieve(turn.key)
        output: WhatsAppOutput | None = None
        parsed: dict[str, Any] = {}
        for event in tracker.events if tracker is not None else ():
            if isinstance(event, UserUttered):
                mine = event.message_id == str(turn.id)
                output = WhatsAppOutput() if mine else output
                parsed = dict(event.parse_data) if mine else parsed
            elif isinstance(event, BotUttered) and output is not None:
                output.keep(event.message())
        return None if output is None else output.answer(parsed)


def _certain(intent: str, text: str, entities: dict[str, Any]) -> dict[str, Any]:
    return {
        "text": text,
        "intent": {"name": intent, "confidence": 1.0},
        "intent_ranking": [{"name": intent, "confidence": 1.0}],
        "entities": [
            {"entity": name, "value": value, "start": 0, "end": len(text), "extractor": "WhatsApp"}
            for name, value in entities.items()
        ],
    }
