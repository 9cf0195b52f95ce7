"""kill -9 of each process in the middle of the story: nothing is lost, nothing is answered twice, the story goes on."""

from __future__ import annotations

import time

import pytest
import requests

from tests.journeys.house import House
from tests.parts import eventually

WITHIN_S = 120  # Rasa alone needs 20 s to come back; a loaded machine more


def is_back(house: House, name: str, old: int) -> bool:
    doors = (house.ready_url, f"{house.desk_url}/signin", f"{house.phone_url}/health")
    try:
        return house.pid_of(name) != old and all(requests.get(door, timeout=5).status_code == 200 for door in doors)
    except (AssertionError, OSError):
        return False


@pytest.mark.parametrize("name", ["door", "rasa", "actions", "sender", "watch", "desk", "simulator"])
def test_the_story_survives_the_death_of(house: House, phone: str, name: str) -> None:
    # A held conversation and one with the bot, both in the middle of something.
    held = str(int(phone) + 500)
    house.new_contact(held, "Held Contact")
    house.writes(held, "a person please")
    key = house.conversation_with(held, "queue")["key"]
    house.api("POST", f"/conversations/{key}/take")
    house.writes(phone, "hello")
    house.hears(phone, ".")

    house.writes(phone, "what are your opening hours in Leeds?")
    house.writes(held, "are you there?")
    old = house.kill(name)
    assert eventually(lambda: is_back(house, name, old), WITHIN_S), f"{name} did not come back"

    house.hears(phone, "Leeds", after=1, within_s=WITHIN_S)
    assert eventually(lambda: house.conversation_with(held, "agent")["key"] == key, WITHIN_S)
    assert eventually(lambda: house.messages(key)[-1]["text"] == "are you there?", WITHIN_S)
    answer = house.api(
        "POST", f"/conversations/{key}/reply", json={"text": "Yes, here."}, headers={"Idempotency-Key": name}
    )
    assert answer.status_code in {200, 201}
    house.hears(held, "^Yes, here.$", within_s=WITHIN_S)

    house.writes(phone, "thanks")
    assert eventually(lambda: len(house.heard(phone)) == 3, WITHIN_S), house.heard(phone)
    time.sleep(3)  # a second answer has had its chance
    assert len(house.heard(phone)) == 3, "one answer to each of three messages"
    assert house.heard(held).count("Yes, here.") == 1
    assert len(house.heard(held)) == 2, "the hand off's sentence and the agent's reply, nothing of the bot's"
    house.api("POST", f"/conversations/{key}/give_back")
