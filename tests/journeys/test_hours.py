"""A request for a person through nights, weekends and people who leave. Over HTTP only, under a clock that moves."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests

from tests.journeys.later import LaterHouse
from tests.parts import eventually

ANN, BEN, SUE = "ann@fernhill.example", "ben@fernhill.example", "sue@fernhill.example"
MONDAY, SATURDAY = 0, 5


@pytest.fixture(autouse=True)
def nobody_is_left_waiting(house: LaterHouse) -> Iterator[None]:
    """Somebody is always there, unless a journey says otherwise; afterwards nobody waits any more."""
    house.team_is_there()
    yield
    house.team_is_there()
    for one in house.conversations("queue"):
        takes(house, one["key"])
    for one in house.conversations("agent"):
        who = next((email for email in (ANN, BEN, SUE) if email.startswith(one["agent"].lower())), None)
        if who is not None:
            house.api("POST", f"/conversations/{one['key']}/give_back", who=who)


def asks_for_a_person(house: LaterHouse, phone: str) -> dict[str, Any]:
    house.writes(phone, "can I talk to a human please")
    house.hears(phone, "person|nobody is here")
    return house.conversation_with(phone, "queue")


def takes(house: LaterHouse, key: str, who: str = ANN) -> None:
    answer = house.api("POST", f"/conversations/{key}/take", who=who)
    assert answer.status_code == 200, answer.text


def replies(house: LaterHouse, key: str, words: str, who: str = ANN) -> requests.Response:
    return house.api("POST", f"/conversations/{key}/reply", who=who, json={"text": words})


def reads(house: LaterHouse, key: str, who: str = ANN) -> None:
    """Somebody does something at the desk, and so is there."""
    assert house.api("GET", f"/conversations/{key}", who=who).status_code == 200


def count(house: LaterHouse, phone: str, words: str) -> int:
    return sum(words in said for said in house.heard(phone))


def test_asked_at_midnight_and_answered_in_the_morning_inside_the_window(house: LaterHouse, phone: str) -> None:
    house.until(0)
    house.team_is_there("Mon-Sun 9:00-17:00")
    waiting = asks_for_a_person(house, phone)
    assert "back today at 9:00" in house.hears(phone, "Nobody is here right now")
    due = datetime.fromisoformat(waiting["due_at"])
    assert (due.hour, due.date()) == (9, house.now().date())
    heard = len(house.heard(phone))
    house.until(9)
    assert len(house.heard(phone)) == heard, "nobody is written to in the night for nothing"
    takes(house, waiting["key"])
    assert replies(house, waiting["key"], "Good morning, Ann here.").status_code == 200
    house.hears(phone, "^Good morning, Ann here.$")
    assert house.heard(phone)[heard:] == ["Good morning, Ann here."]


def test_asked_at_midnight_and_the_window_closes_first(house: LaterHouse, phone: str) -> None:
    house.until(0, weekday=SATURDAY)
    house.team_is_there("Mon-Fri 9:00-17:00")
    waiting = asks_for_a_person(house, phone)
    house.hears(phone, "back on Monday at 9:00")
    house.later(hours=22, minutes=5)
    asked = house.hears(phone, "tap below")
    assert "Monday" in asked, "what was promised stands above it"
    house.until(9, weekday=MONDAY)
    assert count(house, phone, "tap below") == 1, "they are asked once"
    takes(house, waiting["key"])
    refused = replies(house, waiting["key"], "Good morning")
    assert (refused.status_code, refused.json()["error"]) == (409, "window_closed")
    template = {"name": "reopen_case", "language": "en_US", "blanks": {"first_name": "Robin"}}
    answer = house.api("POST", f"/conversations/{waiting['key']}/template", json=template)
    assert answer.status_code == 200, answer.text
    house.hears(phone, "we have an answer for you")
    house.writes(phone, "yes please")  # and so it is open again
    assert eventually(lambda: replies(house, waiting["key"], "Good morning, Ann here.").status_code == 200)
    house.hears(phone, "^Good morning, Ann here.$")


def test_who_taps_in_time_keeps_the_window_open_over_a_weekend(house: LaterHouse, phone: str) -> None:
    house.until(0, weekday=SATURDAY)
    house.team_is_there("Mon-Fri 9:00-17:00")
    waiting = asks_for_a_person(house, phone)
    for asked in (1, 2):
        house.later(hours=22, minutes=5)
        assert eventually(lambda asked=asked: count(house, phone, "tap below") == asked, 20), house.heard(phone)
        house.taps(phone, "Still waiting")
        house.hears(phone, "kept your place")
    house.until(9, weekday=MONDAY)
    takes(house, waiting["key"])
    assert replies(house, waiting["key"], "Good morning, Ann here.").status_code == 200
    house.hears(phone, "^Good morning, Ann here.$")


def test_nobody_ever_comes_and_nobody_is_forgotten(house: LaterHouse, phone: str) -> None:
    waiting = asks_for_a_person(house, phone)
    due = datetime.fromisoformat(waiting["due_at"])
    house.later(seconds=(due - house.now()).total_seconds() + 5)
    house.hears(phone, "taking longer than it should")
    late = house.conversation_with(phone, "queue")
    assert late["late"] is True and late["due_at"] == waiting["due_at"], "the promise that broke is the one that counts"
    assert eventually(lambda: "promises" in alarms(house), 20), "somebody must look"
    for _ in range(3):
        house.later(hours=20)
        assert eventually(lambda: house.conversation_with(phone, "queue")["late"])
    assert count(house, phone, "taking longer than it should") == 1, "an apology is made once"
    assert "promises" in alarms(house), "and it stands until somebody has taken them"
    takes(house, waiting["key"])
    assert eventually(lambda: "promises" not in alarms(house), 20)


def alarms(house: LaterHouse) -> set[str]:
    found = requests.get(f"{house.desk_url}/health", timeout=10).json()["alarms"]
    return {alarm["name"] for alarm in found}


def test_the_agent_leaves_in_mid_conversation_and_comes_back(house: LaterHouse, phone: str) -> None:
    key = asks_for_a_person(house, phone)["key"]
    takes(house, key)
    assert replies(house, key, "One moment, I look it up.").status_code == 200
    house.hears(phone, "^One moment")
    house.writes(phone, "thanks, it is order FH10482, can you see it?")
    assert eventually(lambda: len(house.messages(key)) >= 4)
    house.later(minutes=12)
    house.hears(phone, "taking longer than it should")
    back = house.conversation_with(phone, "queue")
    assert back["due_at"], "nobody waits without a due time"
    takes(house, key)  # she is back before a colleague took it
    assert replies(house, key, "Here I am again.").status_code == 200
    house.hears(phone, "^Here I am again.$")


def test_the_agent_comes_back_too_late(house: LaterHouse, phone: str) -> None:
    key = asks_for_a_person(house, phone)["key"]
    takes(house, key)
    replies(house, key, "One moment, I look it up.")
    house.hears(phone, "^One moment")
    house.writes(phone, "hello? is anybody there?")
    assert eventually(lambda: len(house.messages(key)) >= 4)
    house.later(minutes=12)
    house.hears(phone, "taking longer than it should")  # only the phone is looked at: whoever asks the desk is there
    takes(house, key, BEN)
    late = replies(house, key, "Sorry for the wait")
    assert (late.status_code, late.json()["error"]) == (403, "not_yours")
    lost = house.api("POST", f"/conversations/{key}/take")
    assert (lost.status_code, lost.json()["holder_name"]) == (409, "Ben")
    assert replies(house, key, "Ben here.", BEN).status_code == 200
    house.hears(phone, "^Ben here.$")
    assert count(house, phone, "Sorry for the wait") == 0


def test_who_comes_back_two_days_later_with_the_same_matter_is_one_conversation(house: LaterHouse, phone: str) -> None:
    key = asks_for_a_person(house, phone)["key"]
    takes(house, key)
    replies(house, key, "Your parcel comes on Friday.")
    house.hears(phone, "Friday")
    house.api("POST", f"/conversations/{key}/give_back")
    house.conversation_with(phone, "bot")
    house.later(days=2)
    before = len(house.heard(phone))
    house.writes(phone, "it still has not come, I want a real person please")
    house.hears(phone, "person", after=before)
    again = house.conversation_with(phone, "queue")
    assert again["key"] == key and again["due_at"], "one conversation, promised anew"
    said = [message["text"] for message in house.messages(key)]
    assert "Your parcel comes on Friday." in said, "whoever takes it sees what was said before"
    assert len(house.heard(phone)) == before + 1, "one answer"


def test_who_comes_back_two_days_later_with_another_matter_is_the_bots(house: LaterHouse, phone: str) -> None:
    key = asks_for_a_person(house, phone)["key"]
    takes(house, key)
    replies(house, key, "Your parcel is on its way.")
    house.hears(phone, "parcel")
    house.api("POST", f"/conversations/{key}/give_back")
    house.conversation_with(phone, "bot")
    house.later(days=2)
    before = len(house.heard(phone))
    house.writes(phone, "what are your opening hours in Leeds?")
    house.hears(phone, "Leeds", after=before)
    assert house.conversation_with(phone, "bot")["key"] == key
    assert not any("parcel" in said for said in house.heard(phone)[before:]), "nothing old is repeated"


def test_two_supervisors_and_one_conversation(house: LaterHouse, phone: str) -> None:
    key = asks_for_a_person(house, phone)["key"]
    takes(house, key)
    second = f"tom{secrets.token_hex(3)}@fernhill.example"
    house.handoff("account", "add", second, "--role", "supervisor", "--name", "Tom", "--keep-password")

    def takes_over(who: str) -> int:
        return house.api("POST", f"/conversations/{key}/transfer", who=who, json={"to": who}).status_code

    house.token(second)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(takes_over, (SUE, second)))
    assert set(answers) == {200}, "each may; the later one has it"
    holder = house.conversation_with(phone, "agent")["agent"]
    winner, loser = (SUE, second) if holder == "Sue" else (second, SUE)
    assert replies(house, key, "I look after this now.", winner).status_code == 200
    refused = replies(house, key, "So do I.", loser)
    assert (refused.status_code, refused.json()["holder_name"]) == (403, holder)
    assert replies(house, key, "And I.", ANN).status_code == 403
    house.hears(phone, "^I look after this now.$")
    house.api("POST", f"/conversations/{key}/give_back", who=winner)


def test_the_agent_replies_when_the_window_has_just_closed(house: LaterHouse, phone: str) -> None:
    key = asks_for_a_person(house, phone)["key"]
    takes(house, key)
    replies(house, key, "One moment.")
    house.hears(phone, "^One moment.$")
    house.later(hours=23, minutes=59, seconds=58)
    heard = len(house.heard(phone))
    reads(house, key)
    late = replies(house, key, "It comes tomorrow.")
    if late.status_code == 200:  # in the last second: WhatsApp itself may say no, and then everybody sees that
        assert eventually(lambda: house.messages(key)[-1]["status"] in {"delivered", "failed"})
    else:
        assert late.json()["error"] == "window_closed" and "24" in late.json()["message"]
        assert len(house.heard(phone)) == heard
    house.later(seconds=30)
    refused = replies(house, key, "Are you there?")
    assert (refused.status_code, refused.json()["error"]) == (409, "window_closed")
    answer = house.api("POST", f"/conversations/{key}/template", json={"name": "hello_world", "language": "en_US"})
    assert answer.status_code == 200, answer.text
    house.hears(phone, "Welcome")


def test_people_work_while_the_bot_is_down(house: LaterHouse, phone: str) -> None:
    key = asks_for_a_person(house, phone)["key"]
    rasa = house.pid_of("rasa")
    os.kill(rasa, signal.SIGSTOP)
    try:
        takes(house, key)
        assert replies(house, key, "Ann here, how can I help?").status_code == 200
        house.hears(phone, "^Ann here")
        house.writes(phone, "my parcel is wet")
        assert eventually(lambda: house.messages(key)[-1]["text"] == "my parcel is wet", 20)
        assert replies(house, key, "I'll send another one.").status_code == 200
        house.hears(phone, "^I'll send another")
        house.api("POST", f"/conversations/{key}/give_back")
        before = len(house.heard(phone))
        house.writes(phone, "what is your return policy?")
        house.conversation_with(phone, "bot")
    finally:
        os.kill(rasa, signal.SIGCONT)
    house.hears(phone, "return", after=before, within_s=60)
    assert len([said for said in house.heard(phone)[before:] if "return" in said.lower()]) == 1


def test_the_bot_works_while_the_desk_is_down(house: LaterHouse, phone: str) -> None:
    house.writes(phone, "what are your opening hours in Leeds?")
    house.hears(phone, "Leeds")
    house.kill("desk")  # and once more when it is there again: its runner brings it back each time
    house.writes(phone, "can I talk to a human please")
    house.hears(phone, "in line")
    waiting = house.conversation_with(phone, "queue", within_s=60)
    house.kill("desk")
    house.writes(phone, "what is your return policy?")
    house.hears(phone, "return")
    assert eventually(
        lambda: [one["text"] for one in house.messages(waiting["key"])][-1].lower().find("return") >= 0, 60
    )
    takes(house, waiting["key"])


def test_what_was_promised_counts_in_opening_time_alone(house: LaterHouse, phone: str) -> None:
    house.until(16)
    house.team_is_there("Mon-Sun 9:00-16:10")
    waiting = asks_for_a_person(house, phone)
    due = datetime.fromisoformat(waiting["due_at"])
    assert due - house.now() > timedelta(hours=16), "ten minutes today are not the fifteen that were promised"
    house.until(8)
    assert house.conversation_with(phone, "queue")["late"] is False
