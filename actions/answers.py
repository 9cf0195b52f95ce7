"""Yes, no and stop: what they mean depends on what was asked."""

from __future__ import annotations

from rasa_sdk import Tracker
from rasa_sdk.events import EventType
from rasa_sdk.executor import CollectingDispatcher

from actions.polite import PoliteAction, leave_form, pass_on, pass_on_unreadable, take_back
from actions.surroundings import Surroundings
from actions.turn import intent_of, is_waiting, said_before
from bot.vocabulary import Reason

PARTING = {"goodbye": "utter_goodbye", "what_can_you_do": "utter_what_can_you_do"}


class ActionAffirm(PoliteAction):
    """Yes."""

    def name(self) -> str:
        """Return the name rules use."""
        return "action_affirm"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Take yes for an answer to an offer; otherwise ask what for."""
        asked = said_before(tracker)
        if "utter_media_unreadable" in asked:
            return pass_on_unreadable(around, dispatcher, tracker)
        if "utter_other_service" in asked:
            return pass_on(around, dispatcher, tracker, Reason.ASKED, "utter_handoff_waiting")
        if not tracker.active_loop.get("name"):  # inside a form its question is asked again
            dispatcher.utter_message(response="utter_yes_to_what")
        return []


class ActionDeny(PoliteAction):
    """No."""

    def name(self) -> str:
        """Return the name rules use."""
        return "action_deny"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Leave it at that; to a form's question, no means stop."""
        return _leave(dispatcher, tracker, "utter_no_to_what")


class ActionLeave(PoliteAction):
    """Stop, goodbye, show me the menu: whatever was going on is over."""

    def name(self) -> str:
        """Return the name rules use."""
        return "action_leave"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Leave a form, with the words that fit how it was left."""
        words = PARTING.get(intent_of(tracker))
        if words is None and is_waiting(tracker) and not tracker.active_loop.get("name"):
            return take_back(around, dispatcher, tracker, otherwise="utter_no_to_what")
        if words is None:
            return _leave(dispatcher, tracker, "utter_no_to_what")
        dispatcher.utter_message(response=words)
        return leave_form()


def _leave(dispatcher: CollectingDispatcher, tracker: Tracker, otherwise: str) -> list[EventType]:
    busy = bool(tracker.active_loop.get("name"))
    dispatcher.utter_message(response="utter_cancelled" if busy else otherwise)
    return leave_form() if busy else []
