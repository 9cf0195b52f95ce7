"""Opening hours and the nearest store."""

from __future__ import annotations

from rasa_sdk import Tracker
from rasa_sdk.events import EventType
from rasa_sdk.executor import CollectingDispatcher

from actions.polite import PoliteAction
from actions.surroundings import Surroundings
from actions.turn import entity_of
from bot.places import Places, Point, Store

TOO_FAR = 400  # miles; nobody in the country is this far from all stores


class ActionOpeningHours(PoliteAction):
    """When the stores are open."""

    def name(self) -> str:
        """Return the name rules use."""
        return "action_opening_hours"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Answer for the place that was named last; for all stores when there is none."""
        place = place_in(tracker, around.places) or _town_spoken_of(tracker, around.places)
        if place is None:
            lines = "\n".join(
                f"*{store.name}* {store.weekdays}, {store.saturday}, {store.sunday}" for store in around.places.stores
            )
            dispatcher.utter_message(response="utter_opening_hours_all", lines=lines)
            return []
        words, point = place
        own = around.places.store_in(words)
        store, miles = (own, 0.0) if own else around.places.nearest(point)
        dispatcher.utter_message(
            response="utter_opening_hours" if own else "utter_opening_hours_nearest",
            place=words,
            distance=distance(miles),
            **_hours(store),
        )
        return []


class ActionNearestStore(PoliteAction):
    """Which store is near."""

    def name(self) -> str:
        """Return the name rules use."""
        return "action_nearest_store"

    def act(self, around: Surroundings, dispatcher: CollectingDispatcher, tracker: Tracker) -> list[EventType]:
        """Answer for a town, a postcode or a shared location; ask for one otherwise."""
        places = around.places
        towns = listed([store.name for store in places.stores])
        place = place_in(tracker, places)
        if place is None:
            dispatcher.utter_message(response="utter_nearest_store_ask", towns=towns)
            return []
        words, point = place
        own = places.store_in(words)
        store, miles = (own, 0.0) if own else places.nearest(point)
        if miles > TOO_FAR:
            dispatcher.utter_message(response="utter_nearest_store_far", towns=towns)
            return []
        dispatcher.utter_message(
            response="utter_store_in_town" if own else "utter_nearest_store",
            place=words,
            distance=distance(miles),
            address=store.address,
            **_hours(store),
        )
        return []


def place_in(tracker: Tracker, places: Places) -> tuple[str, Point] | None:
    """Return the place the message names, in words and on the map."""
    latitude, longitude = entity_of(tracker, "latitude"), entity_of(tracker, "longitude")
    if latitude is not None and longitude is not None:
        return "you", Point(float(latitude), float(longitude))
    town = places.town(str(entity_of(tracker, "town") or ""))
    # A whole postcode says more than a town; half of one says less, and may be slang: "sheffield m8".
    district = None if town else entity_of(tracker, "postcode_district")
    postcode = entity_of(tracker, "postcode") or district
    point = places.of_postcode(str(postcode)) if postcode else None
    if point is not None:
        return str(postcode), point
    return (town.name, town.point) if town else None


def _town_spoken_of(tracker: Tracker, places: Places) -> tuple[str, Point] | None:
    town = places.town(str(tracker.get_slot("town") or ""))
    return (town.name, town.point) if town else None


def _hours(store: Store) -> dict[str, str]:
    return {"store": store.name, "weekdays": store.weekdays, "saturday": store.saturday, "sunday": store.sunday}


def distance(miles: float) -> str:
    """Return a distance as people say it."""
    return "less than a mile" if miles < 1 else "about a mile" if round(miles) == 1 else f"about {round(miles)} miles"


def listed(names: list[str]) -> str:
    """Return names as a sentence lists them."""
    return f"{', '.join(names[:-1])} and {names[-1]}"
