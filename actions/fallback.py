"""What the bot does when it does not understand: choices once, then a person."""

from __future__ import annotations

from rasa_sdk import Tracker
from rasa_sdk.events import ActiveLoop, EventType, FollowupAction, SlotSet
from rasa_sdk.executor import CollectingDispatcher

from actions.polite import PoliteAction, pass_on, say_nothing
from actions.surroundings import Surroundings
from actions.turn import entity_of, guess_of, has_returned, is_waiting, misses, said_before
from bot.vocabulary import Reason

IN_FORM = {"order_number": "utter_fallback_order_number", "delivery_postcode": "utter_fallback_postcode"}
ABOUT_ORDERS = {"order_status", "give_order_number"}
NOT_UNDERSTOOD = {"utter_fallback", "utter_out_of_scope", *IN_FORM.values()}


class ActionFallback(PoliteAction):
    """The message was not understood.

    There is no counter to reset: whether this is the second time is read off what the bot said last. One sentence
    understood in between, or a person, and the count begins again.
    """

    def name(self) -> str:
        """Return the name rules use."""
        return "action_fallback"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Help once, then pass on. While the contact waits for a person anyway, be silent.

        What comes next is said here: Rasa also runs this where no rule fits, so none says what follows it, and Rasa
        would run it again and again until it gives up.
        """
        form = tracker.active_loop.get("name")
        if entity_of(tracker, "order_number") and not form and guess_of(tracker) in ABOUT_ORDERS:
            return [FollowupAction("order_form")]  # the words are strange, the number is clear
        if is_waiting(tracker):
            say_nothing(dispatcher)
            return [FollowupAction(form or "action_listen")]
        if NOT_UNDERSTOOD & set(said_before(tracker)) and not has_returned(tracker):
            return [*_give_up(around, dispatcher, tracker), FollowupAction("action_listen")]
        asked = tracker.get_slot("requested_slot") if form else None
        dispatcher.utter_message(response=IN_FORM.get(asked or "", "utter_fallback"))
        return [FollowupAction(form or "action_listen")]  # a form asks its question again


class ActionOutOfScope(PoliteAction):
    """Nothing to do with the shop, as far as the bot can tell: help once, and the second time a person decides."""

    def name(self) -> str:
        """Return the name rules use."""
        return "action_out_of_scope"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Say what the bot is for; not to somebody who waits for a person."""
        if is_waiting(tracker):
            say_nothing(dispatcher)
            return []
        if NOT_UNDERSTOOD & set(said_before(tracker)) and not has_returned(tracker):
            return _give_up(around, dispatcher, tracker)
        dispatcher.utter_message(response="utter_out_of_scope")
        return []


class ActionOtherService(PoliteAction):
    """A matter for the shop's people: a complaint, a change, a question about a product."""

    def name(self) -> str:
        """Return the name rules use."""
        return "action_other_service"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Offer a person, unless one is coming anyway."""
        if is_waiting(tracker):
            say_nothing(dispatcher)
        else:
            dispatcher.utter_message(response="utter_other_service")
        # Out of a form, but with the order number: whoever takes over will want it.
        return [ActiveLoop(None), SlotSet("requested_slot", None)]


def _give_up(around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
    """Pass on who was not understood twice, with both messages as evidence."""
    reason, evidence = Reason.NOT_UNDERSTOOD, misses(tracker)
    return pass_on(around, dispatcher, tracker, reason, "utter_handoff_not_understood", evidence=evidence)
