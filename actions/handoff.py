"""Passing a conversation to the people at the desk."""

from __future__ import annotations

from rasa_sdk import Tracker
from rasa_sdk.events import EventType
from rasa_sdk.executor import CollectingDispatcher

from actions.polite import PoliteAction, pass_on, pass_on_unreadable, say_nothing, take_back
from actions.surroundings import Surroundings
from actions.turn import entity_of, is_waiting, said_before
from bot.vocabulary import Reason

KINDS = {  # what Meta calls it, and what people do
    "image": "photos",
    "audio": "voice notes",
    "voice": "voice notes",
    "video": "videos",
    "document": "documents",
    "sticker": "stickers",
    "contacts": "contact cards",
    "order": "orders from the catalogue",
    "answers": "forms",
    "media_too_large": "files as large as that",
    "unsupported": "this kind of message",
    "interactive": "this kind of message",
}


class ActionHandOff(PoliteAction):
    """The contact wants a person."""

    def name(self) -> str:
        """Return the name rules use."""
        return "action_hand_off"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Always hand off, whatever else is going on."""
        if "utter_media_unreadable" in said_before(tracker):
            return pass_on_unreadable(around, dispatcher, tracker)
        return pass_on(around, dispatcher, tracker, Reason.ASKED, "utter_handoff_waiting")


class ActionCancelRequest(PoliteAction):
    """The contact would rather not wait for a person any more."""

    def name(self) -> str:
        """Return the name rules use."""
        return "action_cancel_request"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Take them out of the queue; an old button changes nothing for who does not wait."""
        return take_back(around, dispatcher, tracker, otherwise="utter_no_to_what")


class ActionSentMedia(PoliteAction):
    """A photo, a voice note, a document: the bot can't read it, a person can."""

    def name(self) -> str:
        """Return the name rules use."""
        return "action_sent_media"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Offer a person, unless one is coming anyway."""
        if is_waiting(tracker):
            say_nothing(dispatcher)
        else:
            kind = KINDS.get(str(entity_of(tracker, "media_kind")), "photos or voice notes")
            dispatcher.utter_message(response="utter_media_unreadable", kind=kind)
        return []
