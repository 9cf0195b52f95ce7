"""Questions to Rasa's tracker about this turn and the one before. Pure; nothing here speaks or writes."""

from __future__ import annotations

from typing import Any

from rasa_sdk import Tracker

from bot.evidence import Fact
from bot.vocabulary import Clue, Holder

# After one of these the contact's next word is an answer to it, so the wish is what was said before.
OFFERS = {"utter_other_service", "utter_media_unreadable", "utter_fallback", "utter_out_of_scope"}
KEPT_FOR_AGENTS = ("order_number", "delivery_postcode", "order_shown", "town", "media_kind")
WISH_MAX = 500


def metadata_of(tracker: Tracker) -> dict[str, Any]:
    """Return what our channel sent along with the message."""
    return (tracker.latest_message or {}).get("metadata") or {}


def turn_id_of(tracker: Tracker) -> int | None:
    """Return the ledger's id of this turn."""
    turn_id = metadata_of(tracker).get("turn_id")
    return int(turn_id) if turn_id is not None else None


def is_waiting(tracker: Tracker) -> bool:
    """Say whether the contact waits for a person, and the bot is only invited to help meanwhile."""
    return metadata_of(tracker).get("holder") == Holder.QUEUE.value


def has_returned(tracker: Tracker) -> bool:
    """Say whether a person held the conversation since the bot's last turn."""
    return bool(metadata_of(tracker).get("returned"))


def intent_of(tracker: Tracker) -> str:
    """Return what the contact wants, as the bot understood it."""
    return str(((tracker.latest_message or {}).get("intent") or {}).get("name") or "")


def guess_of(tracker: Tracker) -> str:
    """Return what the contact most likely wants when the bot is not sure enough to say it understood."""
    ranking = (tracker.latest_message or {}).get("intent_ranking") or []
    return next((str(item["name"]) for item in ranking if item.get("name") != "nlu_fallback"), "")


def entity_of(tracker: Tracker, name: str) -> Any:
    """Return the first entity of this kind in the message, or None."""
    found = (tracker.latest_message or {}).get("entities") or []
    return next((entity.get("value") for entity in found if entity.get("entity") == name), None)


def acted_already(tracker: Tracker, *actions: str) -> bool:
    """Say whether this turn's message was dealt with by an action other than these."""
    return any(event.get("event") == "action" and event.get("name") not in actions for event in _since(tracker, 1))


def said_before(tracker: Tracker) -> list[str]:
    """Return the names of the bot's sentences between the last two messages of the contact, and so what was asked."""
    return [name for event in _since(tracker, 2) if (name := _utter_action(event))]


def introduces_itself(tracker: Tracker) -> bool:
    """Say whether this turn's answer begins with the introduction: it is the contact's first message ever."""
    messages = sum(event.get("event") == "user" for event in tracker.events)
    return messages == 1 and "utter_introduction" in said_before(tracker)


def wish_of(tracker: Tracker) -> str:
    """Return what the contact wants from a person, in their own words."""
    words = [event for event in tracker.events if event.get("event") == "user"]
    if len(words) > 1 and OFFERS & set(said_before(tracker)):
        words.pop()
    return _words(words[-1])[:WISH_MAX] if words else ""


def slots_for_agents(tracker: Tracker) -> dict[str, Any]:
    """Return the slots a person will want to see."""
    return {name: tracker.get_slot(name) for name in KEPT_FOR_AGENTS if tracker.get_slot(name)}


def said(tracker: Tracker) -> Fact:
    """Return what the contact has just said, as evidence."""
    return Fact(Clue.SAID, turn_id=turn_id_of(tracker))


def misses(tracker: Tracker, count: int = 2) -> list[Fact]:
    """Return the contact's last messages as evidence that the bot did not understand: its guess, and how sure."""
    heard = [event for event in tracker.events if event.get("event") == "user"][-count:]
    return [_miss(event) for event in heard]


def _miss(event: dict[str, Any]) -> Fact:
    ranking = (event.get("parse_data") or {}).get("intent_ranking") or []
    guess: dict[str, Any] = next((item for item in ranking if item.get("name") != "nlu_fallback"), {})
    turn_id = (event.get("metadata") or {}).get("turn_id")
    score = guess.get("confidence")
    return Fact(
        Clue.MISSED,
        str(guess.get("name") or ""),
        turn_id=int(turn_id) if turn_id is not None else None,
        score=round(float(score), 3) if score is not None else None,
    )


def _since(tracker: Tracker, messages: int) -> list[dict[str, Any]]:
    """Return the events since the contact's latest message, or, with 2, between that one and the one before."""
    places = [n for n, event in enumerate(tracker.events) if event.get("event") == "user"]
    if not places:
        return []
    # What a first message is greeted with stands before it.
    begin = places[-messages] + 1 if len(places) >= messages else 0
    end = places[-messages + 1] if messages > 1 else len(tracker.events)
    return list(tracker.events[begin:end])


def _utter_action(event: dict[str, Any]) -> str:
    return str((event.get("metadata") or {}).get("utter_action") or "") if event.get("event") == "bot" else ""


def _words(event: dict[str, Any]) -> str:
    text = str(event.get("text") or "").strip()
    if text and not text.startswith("/"):
        return text
    entities = (event.get("parse_data") or {}).get("entities") or []
    kind = next((entity.get("value") for entity in entities if entity.get("entity") == "media_kind"), None)
    return f"({kind})" if kind else ""
