"""Where an order is, told only to those it concerns.

An order is shown to the phone that ordered it, or to whoever knows its number and the postcode it goes to. A stranger
learns nothing by guessing: the postcode is asked for whether or not there is such an order, a wrong number and a wrong
postcode get the same words, and after three wrong pairs a person looks.
"""

from __future__ import annotations

from datetime import date

from rasa_sdk import Tracker
from rasa_sdk.events import ActionExecutionRejected, EventType, FollowupAction, SlotSet
from rasa_sdk.executor import CollectingDispatcher

from actions.backoffice import BackofficeDown, Order
from actions.polite import PoliteAction, leave_form, pass_on
from actions.surroundings import Surroundings
from actions.turn import acted_already, entity_of, intent_of
from bot.evidence import Fact
from bot.ledger import transcript
from bot.vocabulary import Clue, Reason

FORM = "order_form"
TRIES = 3
OFFERED = 3  # own orders as buttons; WhatsApp shows no more
# What is not an answer to the form, whatever numbers and postcodes it mentions.
NOT_FOR_THE_FORM = {"talk_to_person", "cancel", "nearest_store", "opening_hours", "other_service", "return_policy"}


class ValidateOrderForm(PoliteAction):
    """Decides after each message what the form still needs.

    Written as a plain action: rasa_sdk's FormValidationAction would ask the shop three times for one message.
    """

    def name(self) -> str:
        """Return the name Rasa uses for the form's check."""
        return f"validate_{FORM}"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Take number and postcode from the message, check them, and say what to ask for next, or end the form."""
        # Else the form only comes back after another question. The fallback sends clear numbers in strange words here.
        fresh = not acted_already(tracker, FORM, "action_fallback")
        if fresh and tracker.get_slot("requested_slot") and intent_of(tracker) in NOT_FOR_THE_FORM:
            return [ActionExecutionRejected(FORM)]
        number = tracker.get_slot("order_number")
        postcode = entity_of(tracker, "postcode") if fresh else None
        try:
            return self._next(around, dispatcher, tracker, number, postcode)
        except BackofficeDown:
            return [SlotSet("requested_slot", None)]  # the form ends, and action_order_status passes on

    def _next(
        self,
        around: Surroundings,
        dispatcher: CollectingDispatcher,
        tracker: Tracker,
        number: str | None,
        postcode: str | None,
    ) -> list[EventType]:
        phone = phone_of(around, tracker)
        if number is None:
            around.backoffice.orders_of(phone or "")  # don't ask for a number nobody can look up
            return [*_kept(postcode), SlotSet("requested_slot", "order_number")]
        order = around.backoffice.order(number)
        tries = int(tracker.get_slot("order_tries") or 0)
        if order is not None and order.belongs_to(phone):
            return [SlotSet("requested_slot", None)]
        if tries >= TRIES:
            return [SlotSet("requested_slot", None)]
        postcode = postcode or tracker.get_slot("delivery_postcode")
        if postcode is None:
            return [SlotSet("requested_slot", "delivery_postcode")]
        if order is not None and order.goes_to(postcode):
            return [*_kept(postcode), SlotSet("requested_slot", None)]
        counted = SlotSet("order_tries", tries + 1)
        if tries + 1 >= TRIES:
            return [*_kept(postcode), counted, SlotSet("requested_slot", None)]
        dispatcher.utter_message(response="utter_order_not_found")
        again = [SlotSet("order_number", None), SlotSet("delivery_postcode", None)]
        return [*again, counted, SlotSet("requested_slot", "order_number")]


class ActionAskOrderNumber(PoliteAction):
    """Ask for the number; with buttons for the orders of the phone that writes."""

    def name(self) -> str:
        """Return the name the form looks for."""
        return "action_ask_order_number"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Spare the contact the typing where we can."""
        phone = phone_of(around, tracker)
        own = around.backoffice.orders_of(phone)[:OFFERED] if phone else []
        buttons = [
            {"title": order.number, "payload": f'/give_order_number{{"order_number": "{order.number}"}}'}
            for order in own
        ]
        if buttons:
            dispatcher.utter_message(response="utter_ask_order_number_known", buttons=buttons)
        else:
            dispatcher.utter_message(response="utter_ask_order_number")
        return []


class ActionOrderStatus(PoliteAction):
    """Say where the order is, once it is clear that it may be said."""

    def name(self) -> str:
        """Return the name rules use."""
        return "action_order_status"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Check again, for the form also ends when the shop is down or too much was guessed."""
        number = tracker.get_slot("order_number")
        phone = phone_of(around, tracker)
        if number is None:
            raise BackofficeDown("(it was down a moment ago)")
        order = around.backoffice.order(number)
        if order is not None and (order.belongs_to(phone) or self._is_proven(order, tracker)):
            dispatcher.utter_message(
                response=f"utter_order_{order.status.value}",
                number=order.number,
                items=order.items,
                day=day_in_words(order.day),
                store=order.store,
            )
            return [*leave_form(), SlotSet("order_shown", order.number)]
        if int(tracker.get_slot("order_tries") or 0) >= TRIES:
            failed = [Fact(Clue.FORM, FORM), Fact(Clue.SLOT, "order_number"), Fact(Clue.SLOT, "delivery_postcode")]
            words = "utter_handoff_order_not_found"
            return pass_on(around, dispatcher, tracker, Reason.FORM_FAILED, words, evidence=failed)
        return [FollowupAction(FORM)]

    @staticmethod
    def _is_proven(order: Order, tracker: Tracker) -> bool:
        """Say whether the contact named its postcode, within the tries they have."""
        return int(tracker.get_slot("order_tries") or 0) < TRIES and order.goes_to(
            tracker.get_slot("delivery_postcode")
        )


def phone_of(around: Surroundings, tracker: Tracker) -> str | None:
    """Return the phone that writes; Rasa itself never knows it."""
    with around.ledger.reading() as tx:
        return transcript.contact_of(tx, tracker.sender_id).phone


def day_in_words(day: date) -> str:
    """Return a day as people say it."""
    return f"{day:%A} {day.day} {day:%B}"


def _kept(postcode: str | None) -> list[EventType]:
    return [SlotSet("delivery_postcode", postcode)] if postcode else []
