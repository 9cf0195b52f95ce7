"""The books: what every contact wrote and saw, in the order of the phone. A fault run counts from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from connectors.whatsapp.simulator.contents import words_of
from connectors.whatsapp.simulator.rows import INBOUND, Message
from connectors.whatsapp.simulator.store import Store

PEOPLE_AT_ONCE = 500


def entry(message: Message) -> dict[str, Any]:
    """Return one line of the books."""
    known = {"wamid": message.wamid, "phone_number_id": message.number, "type": message.type, "text": words_of(message)}
    if message.direction == INBOUND:
        return {"direction": "in", **known, "written_at": message.at, "accepted_at": message.taken_at}
    return {
        "direction": "out", **known, "callback": message.callback, "accepted_at": message.at,
        "shown_at": message.shown_at, "status": message.status, "failure": message.failure,
    }  # fmt: skip


def page(store: Store, after: str, limit: int) -> Iterator[str]:
    """Yield the books as one JSON object, contact by contact, so that nobody else has to wait for it."""
    yield '{"contacts": ['
    left, last, separator = limit, after, ""
    while left > 0:
        phones = store.people(last, min(left, PEOPLE_AT_ONCE))
        for phone in phones:
            yield separator + json.dumps(person(store, phone))
            separator, last = ",\n", phone
        left -= len(phones)
        if not phones:
            break
    following = last if left <= 0 and store.people(last, 1) else None
    yield f'], "next": {json.dumps(following)}}}'


def person(store: Store, phone: str) -> dict[str, Any]:
    """Return one contact's page: what the phone showed, in that order, and what it was never shown."""
    contact, messages = store.contact(phone), store.on_phone(phone)
    return {
        "phone": phone,
        "user_id": contact.user_id if contact else None,
        "name": contact.name if contact else None,
        "seen": [entry(message) for message in messages if message.place is not None],
        "not_shown": [entry(message) for message in messages if message.place is None],
    }
