"""Rasa, as a function from a turn to an answer. With channel.py the only code that knows Rasa's server."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import aiohttp
from jsonschema.validators import validator_for
from rasa.core.actions.action import RemoteAction
from rasa.core.agent import Agent
from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.shared.core.constants import DEFAULT_INTENTS
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import (
    ActionExecuted,
    ActiveLoop,
    BotUttered,
    Event,
    Restarted,
    SessionStarted,
    SlotSet,
    UserUtteranceReverted,
    UserUttered,
)
from rasa.shared.core.trackers import DialogueStateTracker
from rasa.utils.endpoints import ClientResponseError, EndpointConfig
from sqlalchemy.engine import Engine

from bot import messages as says
from bot.ledger.turns import Heard, Turn, Understood
from connectors.whatsapp import speech
from connectors.whatsapp.tracker_store import BatonTrackerStore
from connectors.whatsapp.turns import Answer

log = logging.getLogger(__name__)

NAME = "whatsapp"
HANDBACK = "returned_from_handoff"  # the slot that says how a person's part went
INTRODUCTION = "utter_introduction"  # a new contact's first answer begins with it, whatever they wrote
TAPPED = re.compile(r"^/(?P<intent>\w+)(?P<entities>\{.*\})?$", re.DOTALL)
ANSWERS_TO_A_QUESTION = {"affirm", "deny"}  # mean nothing without it; an old button may answer another one
NOT_UNDERSTOOD = {"intent": {"name": "nlu_fallback", "confidence": 1.0}, "entities": [], "intent_ranking": []}
ACTION_S = 15.0  # how long one action may take; Rasa itself would wait five minutes
PATIENCE_S = 15.0  # how long a turn that is done again waits for the action server to come back
REJECTED = 400  # what an action answers on purpose, to let another one act

# What went wrong with actions in the turn at hand; Rasa itself only logs it and goes on without a word.
_action_faults: ContextVar[list[str] | None] = ContextVar("action_faults", default=None)


class ActionsDown(Exception):
    """The action server could not be asked, or broke off; the turn is to be done again."""


class WhatsAppOutput(OutputChannel):  # type: ignore[misc]  # Rasa has no types
    """Collects what one turn says. It never sends and never raises: an exception here would cost the whole turn."""

    def __init__(self, heard_wamid: str = "") -> None:
        self.said: list[says.Outbound] = []
        self._introduction: list[says.Outbound] = []
        self._heard_wamid = heard_wamid
        self.may_be_silent = False
        self.quotes = False

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
            said = speech.from_rasa(message, self._heard_wamid)
            (self._introduction if introduces else self.said).extend(said)
            self.quotes = self.quotes or speech.quotes(message)
        except Exception:  # what can't be shown must not cost the contact the rest of the answer
            log.exception("an utterance can't be shown on WhatsApp", extra={"action": "unspeakable"})

    def answer(self, parsed: dict[str, Any]) -> Answer:
        """Return what the turn said, merged into as few messages as WhatsApp can show."""
        intent = parsed.get("intent") or {}
        ranking = [item for item in parsed.get("intent_ranking") or [] if item.get("name") != "nlu_fallback"]
        best = ranking[0] if intent.get("name") == "nlu_fallback" and ranking else intent
        understood = Understood(str(best.get("name") or ""), float(best.get("confidence") or 0.0))
        said = speech.merge([*self._introduction, *self.said])
        return Answer(said, understood, self.may_be_silent, self.quotes)


class Bot:
    """Rasa, as a function from a turn to an answer."""

    def __init__(
        self, agent: Agent, on_new_message: Callable[[UserMessage], Awaitable[Any]], old_button: says.Outbound
    ) -> None:
        self._agent = agent
        self._on_new_message = on_new_message
        self._old_button = old_button

    @classmethod
    async def awake(
        cls, agent: Agent, on_new_message: Callable[[UserMessage], Awaitable[Any]], old_button: says.Outbound
    ) -> Bot:
        """Make Rasa fail loudly where it would lose a turn in silence, and warm the model up."""
        found = cls(agent, on_new_message, old_button)
        if not isinstance(found._store, BatonTrackerStore):
            # Rasa falls back to memory when it can't make the store, and says so only in a warning.
            raise RuntimeError("the tracker store of endpoints.yml is not in use; conversations would be forgotten")

        def reraise(error: Exception) -> None:
            # Rasa would go on with an empty tracker and drop the turn's events; so the turn fails, and is done again.
            raise error

        agent.tracker_store._on_tracker_store_error = reraise
        if agent.action_endpoint is not None:
            _watch(agent.action_endpoint)
        if agent.processor is not None:
            agent.processor.on_circuit_break = lambda tracker, *_: _stop_and_listen(tracker, agent.domain)
        _check_the_schema_once()
        await agent.parse_message("hello")
        return found

    @property
    def memory(self) -> Engine:
        """Return the database of Rasa's tracker."""
        return self._store.engine

    @property
    def _store(self) -> Any:
        """Return the tracker store itself; Rasa wraps it into one that is to be safe from faults."""
        return getattr(self._agent.tracker_store, "_tracker_store", self._agent.tracker_store)

    async def run(self, turn: Turn) -> Answer:
        """Let Rasa answer one turn. A turn that was answered before a crash is read back, not done again; one whose
        action failed is undone and done again, once.
        """
        if turn.attempt > 1:
            done = await self._answer_before_the_crash(turn)
            if done is not None:
                return done
            await self._actions_are_back()
        if turn.returned:
            await self._begin_clean(turn)
        more = await self._next_page(turn)
        if more is not None:
            return more
        output, faults = WhatsAppOutput(turn.heard[-1].wamid), list[str]()
        _action_faults.set(faults)
        parsed = await self._understand(turn.heard)
        intent = str(parsed["intent"]["name"])
        if turn.heard[0].stale and intent in ANSWERS_TO_A_QUESTION:
            return Answer([self._old_button], Understood(intent, 1.0))
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
                    "wamids": [one.wamid for one in turn.heard],  # by which they are found should they be taken back
                    "new_contact": turn.new_contact,
                    "holder": turn.holder.value,
                    "returned": turn.returned,
                },
            )
        )
        if faults and turn.attempt == 1:
            await self._undo(turn)
            raise ActionsDown("; ".join(faults))
        return output.answer(parsed)

    async def _next_page(self, turn: Turn) -> Answer | None:
        """Answer a tap on "More…" under a long list. Rasa is not asked: nothing was said that it would understand."""
        content = turn.heard[0].content
        if not (isinstance(content, says.Tap) and speech.asks_for_more(content.id)):
            return None
        tracker: DialogueStateTracker | None = await self._agent.tracker_store.retrieve_full_tracker(turn.key)
        events = reversed(tracker.events) if tracker is not None else ()
        page = speech.next_page(content.id, (event.message() for event in events if isinstance(event, BotUttered)))
        return Answer(page or [self._old_button])

    async def _understand(self, heard: tuple[Heard, ...]) -> dict[str, Any]:
        """Return Rasa's parse data of what the contact said. Only free text is guessed at; what is certain is said so.

        A burst is one message of several lines. If there is anything in it the bot can't read, that is what it is
        about: the words are its caption.
        """
        if len(heard) == 1:
            return await self._understand_one(heard[0].content)
        words = "\n".join(one.content.text for one in heard if one.content.text.strip())
        for one in heard:
            if isinstance(one.content, says.Media) or (
                isinstance(one.content, says.Other) and one.content.kind != "text"
            ):
                parsed = await self._understand_one(one.content)
                return {**parsed, "text": words or parsed["text"]}
        return await self._understand_one(says.Text(words) if words else says.Other("text"))

    async def _understand_one(self, content: says.Inbound) -> dict[str, Any]:
        match content:
            case says.Text():
                return await self._understand_text(content.text)
            case says.Tap():
                return self._tapped(content) or await self._understand_text(content.title)
            case says.Place():
                entities = {"latitude": content.latitude, "longitude": content.longitude}
                return _certain("sent_location", content.text or "(location)", entities)
            case says.Media():
                kind = "voice" if content.voice else content.kind
                return _certain("sent_media", content.text or f"({kind})", {"media_kind": kind})
            case says.Other(kind="text"):  # no words in it
                return {**NOT_UNDERSTOOD, "text": "(nothing)"}
            case says.Other():
                return _certain("sent_media", f"({content.kind})", {"media_kind": content.kind})
            case says.Cards() | says.Order() | says.Answers() | says.Reaction():
                kind = says.type_of(content)
                return _certain("sent_media", content.text or f"({kind})", {"media_kind": kind})

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
        known = set(self._agent.domain.intents) - set(DEFAULT_INTENTS)  # Rasa's own would restart the conversation
        if found is None or found["intent"] not in known:
            return None
        try:
            entities = json.loads(found["entities"] or "{}")
        except ValueError:
            return None
        return _certain(found["intent"], tap.title or found["intent"], entities)

    async def _begin_clean(self, turn: Turn) -> None:
        """Begin a new session after a person held the conversation: what was open before is settled now. Who had it and
        how it went is the first thing in it.
        """
        told = [] if turn.handback is None else [SlotSet(HANDBACK, turn.handback.to_json())]
        await self._append(
            turn.key, ActionExecuted("action_session_start"), SessionStarted(), *told, ActionExecuted("action_listen")
        )  # fmt: skip

    async def _undo(self, turn: Turn) -> None:
        """Take a turn out of Rasa's memory; of a new contact's first, the beginning of the session as well."""
        # Reverting takes the listening before the message along, without which Rasa would go on talking by itself.
        undone = [Restarted()] if turn.new_contact else [UserUtteranceReverted(), ActionExecuted("action_listen")]
        await self._append(turn.key, *undone)

    async def _append(self, key: str, *events: Event) -> None:
        async with self._agent.lock_store.lock(key):
            tracker = await self._agent.tracker_store.retrieve(key)
            if tracker is None:
                return
            for event in events:
                tracker.update(event, self._agent.domain)
            await self._agent.tracker_store.save(tracker)

    async def _actions_are_back(self) -> None:
        """Wait until the action server answers; if it does not, the turn itself will tell."""
        if self._agent.action_endpoint is None:
            return
        address = self._agent.action_endpoint.url.removesuffix("/webhook") + "/health"
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while asyncio.get_running_loop().time() < deadline:
                if await _answers(session, address):
                    return
                await asyncio.sleep(0.3)

    async def _answer_before_the_crash(self, turn: Turn) -> Answer | None:
        """Return what Rasa answered to this very turn, if it got as far as keeping it."""
        tracker: DialogueStateTracker | None = await self._agent.tracker_store.retrieve(turn.key)
        output: WhatsAppOutput | None = None
        parsed: dict[str, Any] = {}
        for event in tracker.applied_events() if tracker is not None else ():  # without what was undone
            if isinstance(event, UserUttered):
                mine = event.message_id == str(turn.id)
                output = WhatsAppOutput(turn.heard[-1].wamid) if mine else output
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


async def _answers(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(address) as answer:
            return bool(answer.status == 200)
    except (aiohttp.ClientError, asyncio.TimeoutError):
        return False


def _stop_and_listen(tracker: DialogueStateTracker, domain: Domain) -> None:
    """End a turn that goes round in circles. Rasa stops it after ten actions in the middle of everything; whatever the
    contact wrote next would be read as its continuation.
    """
    for event in (ActiveLoop(None), ActionExecuted("action_listen")):
        tracker.update(event, domain)


def _check_the_schema_once() -> None:
    """Rasa checks at every answer of an action that its own schema of answers is a schema: a quarter of a turn's time,
    in which its event loop does nothing else. The answers themselves are checked as before.
    """
    spec = RemoteAction.action_response_format_spec()
    answers = validator_for(spec)(spec)

    def validate(_action: RemoteAction, result: dict[str, Any]) -> bool:
        answers.validate(result)
        return True

    RemoteAction._validate_action_result = validate


def _watch(endpoint: EndpointConfig) -> None:
    """Note what goes wrong with actions: Rasa swallows it, and the contact would get half an answer, or none."""
    ask = endpoint.request

    async def request(*args: Any, **kwargs: Any) -> Any:
        try:
            return await asyncio.wait_for(ask(*args, **kwargs), ACTION_S)
        except Exception as problem:
            faults = _action_faults.get()
            if faults is not None and not (isinstance(problem, ClientResponseError) and problem.status == REJECTED):
                faults.append(type(problem).__name__)
            raise

    endpoint.request = request
