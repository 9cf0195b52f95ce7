"""What every action owes the contact: words within a few seconds, or a person."""

from __future__ import annotations

import asyncio
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from rasa_sdk import Action, Tracker
from rasa_sdk.events import ActiveLoop, EventType, SlotSet
from rasa_sdk.executor import CollectingDispatcher

from actions.backoffice import BackofficeDown
from actions.surroundings import Surroundings, surroundings
from actions.turn import introduces_itself, said, slots_for_agents, turn_id_of, wish_of
from bot import clock
from bot.content.telling import telling
from bot.errors import AlreadyTaken
from bot.evidence import Fact
from bot.ledger import handoffs
from bot.messages import Text
from bot.vocabulary import Clue, Reason

log = logging.getLogger(__name__)

PATIENCE = 10  # seconds; Rasa itself would wait for five minutes


class PoliteAction(Action, ABC):  # type: ignore[misc]  # rasa_sdk has no types
    """An action that can't leave the contact without an answer. Its work runs in a thread and may block."""

    @abstractmethod
    def name(self) -> str:
        """Return the name rules use."""

    @abstractmethod
    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Do it."""

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]) -> list[EventType]:
        """Do it in time, pass the contact on when the shop is down, apologise when something else breaks."""
        spoken = CollectingDispatcher()  # of its own: words of a thread we gave up on must not follow later
        try:
            events = await asyncio.wait_for(asyncio.to_thread(self._act, spoken, tracker), PATIENCE)
        except Exception:  # Rasa would swallow it and say nothing
            log.exception("an action failed", extra={"action": self.name(), "conversation": tracker.sender_id})
            dispatcher.utter_message(response="utter_turn_failed")
            return []
        dispatcher.messages.extend(spoken.messages)
        return events

    def _act(self, spoken: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        around = surroundings()
        try:
            return self.act(around, spoken, tracker)
        except BackofficeDown as error:
            log.warning("the backoffice is down", extra={"action": self.name(), "why": str(error)})
            asked = Fact(Clue.CALL, _call(tracker, error))
            return pass_on(
                around, spoken, tracker, Reason.BACKOFFICE_DOWN, "utter_handoff_backoffice_down", evidence=[asked]
            )  # fmt: skip


def pass_on(
    around: Surroundings,
    dispatcher: CollectingDispatcher,
    tracker: Tracker,
    reason: Reason,
    sentence: str,
    *,
    evidence: Sequence[Fact] = (),
) -> list[EventType]:
    """Hand the conversation to the people at the desk and leave everything the bot was at.

    The sentence is queued with the move itself and not said through Rasa: so it arrives even when an agent takes
    the conversation within the same second.
    """
    key = tracker.sender_id
    try:
        with around.ledger.writing() as tx:
            waiting = handoffs.is_waiting(tx, key)
            result = handoffs.hand_off(
                tx,
                key,
                turn_id=turn_id_of(tracker),
                reason=reason,
                wish=wish_of(tracker),
                slots=slots_for_agents(tracker),
                tell=telling(
                    around.catalogue,
                    "utter_handoff_still_waiting" if waiting else sentence,
                    before=_introduction(around, dispatcher, tracker),
                    heard=around.bot_invited,
                ),
                evidence=evidence or [said(tracker)],
                now=clock.now(),
            )
    except AlreadyTaken:
        say_nothing(dispatcher)  # an agent came first and is speaking already
        return leave_form()
    # Guesses at other people's orders are not forgiven while nobody has looked.
    return leave_form() if result.merged else [*leave_form(), SlotSet("order_tries", 0)]


def _call(tracker: Tracker, error: BackofficeDown) -> str:
    """Say what was asked of the shop, and what came instead of an answer."""
    asked = "an order by its number" if tracker.get_slot("order_number") else "the orders of this phone"
    why = re.search(r"\((.+)\)$", str(error))
    return f"{asked}: {why[1]}" if why else asked


def pass_on_unreadable(around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
    """Hand on what the bot could not read, saying what it was."""
    kind = Fact(Clue.KIND, str(tracker.get_slot("media_kind") or ""))
    return pass_on(
        around, dispatcher, tracker, Reason.UNREADABLE, "utter_handoff_unreadable", evidence=[kind, said(tracker)]
    )  # fmt: skip


def take_back(
    around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker, *, otherwise: str
) -> list[EventType]:
    """Take the contact out of the queue, as they wish; say `otherwise` if they were not in it."""
    words = around.catalogue.say("utter_request_cancelled")
    try:
        with around.ledger.writing() as tx:
            waited = handoffs.cancel(
                tx, tracker.sender_id, words=words, turn_id=turn_id_of(tracker), now=clock.now()
            )  # fmt: skip
    except AlreadyTaken:
        say_nothing(dispatcher)  # a person is speaking already, and sees what the contact said
        return leave_form()
    if not waited:
        dispatcher.utter_message(response=otherwise)
    return leave_form()


def _introduction(around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> str:
    """Return the introduction if this is the first a new contact hears of us.

    What the session began with would otherwise follow as a message of its own, after the hand off's.
    """
    if not introduces_itself(tracker):
        return ""
    dispatcher.utter_message(json_message={"introduced": True})
    words = around.catalogue.say("utter_introduction")
    return words.text if isinstance(words, Text) else ""


def leave_form() -> list[EventType]:
    """Return the events after which the bot starts clean."""
    return [
        ActiveLoop(None),
        SlotSet("requested_slot", None),
        SlotSet("order_number", None),
        SlotSet("delivery_postcode", None),
        SlotSet("media_kind", None),
    ]


def say_nothing(dispatcher: CollectingDispatcher) -> None:
    """Be silent on purpose; a turn without a word counts as a failure otherwise."""
    dispatcher.utter_message(json_message={"silence": True})
