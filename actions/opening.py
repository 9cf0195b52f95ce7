"""How a conversation begins, and begins again the next day."""

from __future__ import annotations

from rasa_sdk import Tracker
from rasa_sdk.events import ActionExecuted, EventType, SessionStarted, SlotSet
from rasa_sdk.executor import CollectingDispatcher

from actions.polite import PoliteAction
from actions.surroundings import Surroundings
from actions.turn import is_waiting, said_before

CARRIED_OVER = ("order_tries",)  # everything else is yesterday's; without a list Rasa's tracker grows for ever


class ActionSessionStart(PoliteAction):
    """Begin a session; the very first one with who is speaking."""

    def name(self) -> str:
        """Return the name Rasa uses."""
        return "action_session_start"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Introduce the bot once in a contact's life."""
        if (tracker.get_slot("session_started_metadata") or {}).get("new_contact"):
            dispatcher.utter_message(response="utter_introduction")
        carried = [SlotSet(name, tracker.get_slot(name)) for name in CARRIED_OVER if tracker.get_slot(name)]
        return [SessionStarted(), *carried, ActionExecuted("action_listen")]


class ActionGreet(PoliteAction):
    """Answer a hello."""

    def name(self) -> str:
        """Return the name rules use."""
        return "action_greet"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Say hello back, unless the introduction just did, or a person is on the way."""
        if is_waiting(tracker):
            dispatcher.utter_message(response="utter_handoff_still_waiting")
        elif "utter_introduction" in said_before(tracker):
            dispatcher.utter_message(response="utter_what_can_you_do")
        else:
            dispatcher.utter_message(response="utter_greet")
        return []
