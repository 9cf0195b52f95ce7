"""The main job: a contact asks, the bot answers, a person takes over, the bot resumes. Over HTTP only."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from tests.journeys.later import LaterHouse
from tests.parts import eventually


def test_the_whole_story(house: LaterHouse, phone: str) -> None:
    # The bot answers, and says at the first word that it is one.
    house.writes(phone, "hi, when do you open in Leeds?")
    first = house.hears(phone, r"\bbot\b.*(open|9|8)")
    assert "person" in first.lower() or "people" in first.lower()

    # The contact wants a person.
    house.writes(phone, "can I talk to a human please")
    house.hears(phone, r"person|people|team|colleague", after=1)
    waiting = house.conversation_with(phone, "queue")
    assert waiting["reason"] == "asked"
    key = waiting["key"]

    # The transcript stands in the desk from the first second.
    said = house.messages(key)
    assert [message["author"] for message in said] == ["contact", "bot", "contact", "bot"]
    assert said[0]["text"] == "hi, when do you open in Leeds?"
    assert said[0]["intent"] == "opening_hours" and 0 < said[0]["confidence"] <= 1
    assert all(message["at"] for message in said)

    # An agent takes it, once; the other is told who has it.
    assert house.api("POST", f"/conversations/{key}/reply", json={"text": "too early"}).status_code == 403
    assert house.api("POST", f"/conversations/{key}/take").status_code == 200
    lost = house.api("POST", f"/conversations/{key}/take", who="ben@fernhill.example")
    assert lost.status_code == 409 and lost.json()["holder_name"] == "Ann"

    # She replies, once however often the button is pressed, and it is delivered.
    for _ in range(3):
        answer = house.api(
            "POST", f"/conversations/{key}/reply", json={"text": "Hello, Ann here."}, headers={"Idempotency-Key": "r1"}
        )
        assert answer.status_code in {200, 201}
    house.hears(phone, "^Hello, Ann here.$")
    assert eventually(lambda: house.messages(key)[-1]["status"] == "delivered")
    house.api("POST", f"/conversations/{key}/note", json={"text": "a regular"}, headers={"Idempotency-Key": "n1"})

    # While she holds it the bot has no word.
    before = house.heard(phone)
    for words in ("what are your opening hours?", "hello?", "where is my order FH10482"):
        house.writes(phone, words)
    assert eventually(lambda: sum(m["author"] == "contact" for m in house.messages(key)) == 5)
    time.sleep(2.5)  # longer than a turn takes: what should not come has had its chance
    assert house.heard(phone) == before
    assert before.count("Hello, Ann here.") == 1
    assert "a regular" not in " ".join(before)

    # She gives it back, and the bot answers again.
    assert house.api("POST", f"/conversations/{key}/give_back").status_code == 200
    house.hears(phone, "back", after=len(before))
    house.writes(phone, "what is your return policy?")
    house.hears(phone, "return", after=len(before) + 1)
    house.conversation_with(phone, "bot")
    assert house.heard(phone)[len(before) + 1 :] == house.heard(phone)[-1:], "one answer, and only to the last question"


def test_a_stranger_learns_nothing_by_guessing_numbers(house: LaterHouse, phone: str) -> None:
    house.writes(phone, "where is my order FH10482?")
    house.hears(phone, "postcode")
    house.writes(phone, "LS1 1AA")
    wrong = house.hears(phone, "can't find|could not find|couldn't find|no order|don't match|doesn't match", after=1)
    assert "BS1" not in wrong and "ship" not in wrong.lower()


def test_the_owner_of_the_number_is_told_at_once(house: LaterHouse) -> None:
    mia = "447700900101"
    house.writes(mia, "where's my order FH10482")
    house.hears(mia, r"FH10482")


def test_what_the_bot_does_not_understand_is_asked_back_once_then_a_person_comes(house: LaterHouse, phone: str) -> None:
    house.writes(phone, "asdf jklö qwertz")
    house.hears(phone, ".")
    house.writes(phone, "xyzzy plugh frobnicate")
    assert house.conversation_with(phone, "queue")["reason"] == "not_understood"


def a_text(house: LaterHouse, phone: str, wamid: str, words: str) -> dict[str, Any]:
    return {"from": phone, "id": wamid, "timestamp": seconds(house), "type": "text", "text": {"body": words}}


def seconds(house: LaterHouse) -> str:
    """The time there, as Meta writes it."""
    return str(int(house.now().timestamp()))


def deliver(house: LaterHouse, value: dict[str, Any]) -> int:
    """Sign and post a body of our own making, as Meta would."""
    secret = json.loads((house.home / "demo.json").read_text())["secrets"]["app_secret"]
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "100000000000001"}, **value}
    body = json.dumps(
        {
            "object": "whatsapp_business_account",
            "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}],
        }
    ).encode()
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    answer = requests.post(house.webhook_url, data=body, headers={"X-Hub-Signature-256": signature}, timeout=15)
    return answer.status_code


def test_one_body_with_two_contacts_and_a_status_three_times_at_once_and_again(house: LaterHouse, phone: str) -> None:
    other = str(int(phone) + 1)
    for number in (phone, other):  # so that the simulator knows their windows to be open
        house.writes(number, "hello")
        house.hears(number, ".")
    key = house.conversation_with(phone, "bot")["key"]
    wamid = next(m["wamid"] for m in house.chat(phone) if m["direction"] == "out")
    value = {
        "messages": [
            a_text(house, phone, f"wamid.{phone}.b", "thanks"),
            a_text(house, other, f"wamid.{other}.b", "hello"),
        ],
        "statuses": [{"id": wamid, "status": "read", "timestamp": seconds(house), "recipient_id": phone}],
    }
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: deliver(house, value), range(3))) == [200] * 3
    assert [deliver(house, value) for _ in range(3)] == [200] * 3
    assert eventually(lambda: len(house.heard(phone)) == len(house.heard(other)) == 2)
    assert next(m for m in house.messages(key) if m["author"] == "bot")["status"] == "read"
    time.sleep(2.5)  # a second answer has had its chance
    assert (len(house.heard(phone)), len(house.heard(other))) == (2, 2)


def test_health_says_that_all_is_well(house: LaterHouse) -> None:
    answer = requests.get(f"{house.desk_url}/health", timeout=10)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) >= {
        "database",
        "oldest_waiting_turn_s",
        "oldest_unsent_message_s",
        "feed_age_s",
        "alarms",
    }


def test_nothing_without_our_signature_is_let_in(house: LaterHouse) -> None:
    assert requests.post(house.webhook_url, data=b"{}", timeout=10).status_code in {401, 403}
    assert (
        requests.get(
            house.webhook_url, params={"hub.mode": "subscribe", "hub.verify_token": "x"}, timeout=10
        ).status_code
        == 403
    )


def test_no_log_holds_what_was_said_or_who_said_it(house: LaterHouse, phone: str) -> None:
    secret = "blauregenduft"
    house.writes(phone, f"hello {secret}")
    house.hears(phone, ".")
    house.writes(phone, f"a person please, {secret}")
    key = house.conversation_with(phone, "queue")["key"]
    house.api("POST", f"/conversations/{key}/take")
    house.api("POST", f"/conversations/{key}/reply", json={"text": f"yes, {secret}"}, headers={"Idempotency-Key": "s"})
    house.hears(phone, f"^yes, {secret}$")
    logs = {path.name: path.read_text(errors="replace") for path in (house.home / "logs").glob("*.log")}
    assert {"rasa.log", "actions.log", "desk.log", "sender.log"} <= set(logs)
    assert not [name for name, text in logs.items() if secret in text or phone in text]
