"""Another bot brings its contacts to this desk: they queue, are answered, and go back, like everybody else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from bot.ledger import handoffs, outbox, promises, turns
from bot.ledger.tables import contacts, conversations, messages
from bot.ledger.tables import handoffs as handoffs_table
from bot.ledger.transaction import Ledger
from bot.vocabulary import Role
from tests.factories import MANNERS, NOW, says_only
from tests.handoff import seeding
from tests.handoff.conftest import Api, Clock, an_api, signed_in

MIA = {
    "channel": "webchat",
    "conversation_id": "c-1",
    "name": "Mia Turner",
    "reason": "not_understood",
    "wish": "My lamp came broken",
    "slots": {"order_number": "FH10482", "tries": 2, "vip": True},
    "evidence": "understood twice below 0.4",
    "language": "en",
    "transcript": [
        {"id": "1", "author": "contact", "text": "My lamp came broken", "at": "2026-11-22T11:50:00Z"},
        {"id": "2", "author": "bot", "text": "Sorry, I didn't get that.", "at": "2026-11-22T11:50:01+00:00"},
    ],
}


@pytest.fixture
def bot(app: Flask, ledger: Ledger) -> Api:
    """Another bot, with an account of its own."""
    return an_api(app, ledger, "webchat@fernhill.example", Role.AGENT)


def brought(bot: Api, **also: object) -> dict:  # type: ignore[type-arg]
    answer = bot.post("/handoffs", MIA | also)
    assert answer.status_code == 201, answer.json
    return answer.json  # type: ignore[no-any-return]


def test_a_guest_queues_with_a_promise_and_everything_that_was_said(bot: Api, ann: Api) -> None:
    told = brought(bot)
    assert (told["state"], told["place"], told["sentence"]) == ("waiting", 1, "You're next in line.")
    assert told["due_at"] == (NOW + timedelta(minutes=15)).isoformat()
    (one,) = ann.get("/conversations?holder=queue").json
    assert (one["key"], one["channel"], one["window_ends"]) == (told["conversation"], "webchat", None)
    assert (one["contact"]["name"], one["contact"]["phone"], one["reason"]) == ("Mia Turner", None, "not_understood")
    assert one["slots"] == {"order_number": "FH10482", "tries": 2, "vip": True, "evidence": MIA["evidence"]}
    said = ann.get(f"/conversations/{one['key']}/messages").json
    assert [(line["author"], line["text"], line["status"]) for line in said] == [
        ("contact", "My lamp came broken", None),
        ("bot", "Sorry, I didn't get that.", None),
    ]


def test_the_whole_story_to_and_fro(bot: Api, ann: Api) -> None:
    told = brought(bot)
    id_, key = told["id"], told["conversation"]
    wrote = bot.post(f"/handoffs/{id_}/messages", {"id": "3", "text": "are you there?"})
    assert (wrote.status_code, wrote.json["author"]) == (201, "contact")
    ann.post(f"/conversations/{key}/take")
    assert bot.get(f"/handoffs/{id_}").json["agent"] == "Ann"
    ann.post(f"/conversations/{key}/note", {"text": "sounds upset"})
    ann.post(f"/conversations/{key}/reply", {"text": "Hello Mia", "to": wrote.json["id"]}, key="r1")
    news = bot.get(f"/handoffs/{id_}/messages?after={wrote.json['id']}").json
    assert [(one["author"], one["text"], one["quotes"]["text"]) for one in news] == [
        ("agent", "Hello Mia", "are you there?")
    ]
    assert ann.get(f"/conversations/{key}/messages").json[-1]["status"] == "sent"
    bot.get(f"/handoffs/{id_}/messages?after={news[-1]['id']}")
    assert ann.get(f"/conversations/{key}/messages").json[-1]["status"] == "delivered"
    back = ann.post(f"/conversations/{key}/give_back").json
    assert back["holder"] == "bot"
    ended = bot.get(f"/handoffs/{id_}").json
    assert (ended["state"], ended["outcome"], ended["sentence"]) == ("closed", "given_back", None)
    late = bot.post(f"/handoffs/{id_}/messages", {"id": "4", "text": "thanks"})
    assert (late.status_code, late.json["error"]) == (409, "closed")
    said = [one["text"] for one in ann.get(f"/conversations/{key}/messages").json]
    assert said[-1] == "Hello Mia", "our bot's goodbye is not for who has another bot"


def test_the_same_again_is_once_and_a_later_one_is_new(bot: Api, ann: Api) -> None:
    first = bot.post("/handoffs", MIA, key="h1")
    again = bot.post("/handoffs", MIA, key="h1")
    unkeyed = bot.post("/handoffs", MIA | {"transcript": [*MIA["transcript"], {"author": "contact", "text": "hm"}]})
    assert {one.json["id"] for one in (first, again, unkeyed)} == {first.json["id"]}
    key = first.json["conversation"]
    for _ in range(2):
        bot.post(f"/handoffs/{first.json['id']}/messages", {"id": "3", "text": "hello?"})
    said = [one["text"] for one in ann.get(f"/conversations/{key}/messages").json]
    assert said == ["My lamp came broken", "Sorry, I didn't get that.", "hm", "hello?"]
    ann.post(f"/conversations/{key}/take")
    assert bot.post("/handoffs", MIA).json["state"] == "taken"
    ann.post(f"/conversations/{key}/give_back")
    late = bot.post("/handoffs", MIA, key="h1")
    assert (late.json["id"], late.json["state"]) == (first.json["id"], "closed")
    anew = bot.post("/handoffs", MIA, key="h2")
    assert anew.json["id"] != first.json["id"] and anew.json["conversation"] == key


def test_what_is_said_on_a_later_visit_is_kept_though_the_words_are_the_same(bot: Api, ann: Api) -> None:
    plain = MIA | {"transcript": [{"author": one["author"], "text": one["text"]} for one in MIA["transcript"]]}  # type: ignore[attr-defined]
    told = bot.post("/handoffs", plain).json
    assert bot.post("/handoffs", plain).json["id"] == told["id"]
    assert len(ann.get(f"/conversations/{told['conversation']}/messages").json) == 2
    ann.post(f"/conversations/{told['conversation']}/take")
    ann.post(f"/conversations/{told['conversation']}/give_back")
    before = len(ann.get(f"/conversations/{told['conversation']}/messages").json)
    for _ in range(2):
        again = bot.post("/handoffs", plain).json
        said = ann.get(f"/conversations/{told['conversation']}/messages").json
        assert again["id"] != told["id"] and len(said) == before + 2
        assert [one["text"] for one in said[-2:]] == ["My lamp came broken", "Sorry, I didn't get that."]


def test_an_id_that_comes_again_with_other_words_is_refused_and_so_nothing_is_lost_unseen(bot: Api, ann: Api) -> None:
    told = brought(bot)
    path = f"/handoffs/{told['id']}/messages"
    assert bot.post(path, {"id": "m1", "text": "the green one"}).status_code == 201
    assert bot.post(path, {"id": "m1", "text": "the green one"}).status_code == 201
    refused = bot.post(path, {"id": "m1", "text": "no, the blue one"})
    assert (refused.status_code, refused.json["error"]) == (422, "key_used")
    assert bot.post(path, {"text": "hello?"}, key="k1").status_code == 201
    assert bot.post(path, {"text": "anybody?"}, key="k1").status_code == 422
    said = [one["text"] for one in ann.get(f"/conversations/{told['conversation']}/messages").json]
    assert said[-2:] == ["the green one", "hello?"]


def test_twenty_at_once_make_one_guest(app: Flask, ledger: Ledger, bot: Api) -> None:
    def bring(_: int) -> str:
        return str(app.test_client().post("/api/v1/handoffs", headers=bot.headers(), json=MIA).json["id"])

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(bring, range(20)))
    assert len(ids) == 1
    with ledger.reading() as tx:
        counts = [
            tx.execute(sa.select(sa.func.count()).select_from(table)).scalar()
            for table in (contacts, conversations, handoffs_table, messages)
        ]
    assert counts == [1, 1, 1, 2]


def test_whatsapp_has_nothing_to_do_with_guests(ledger: Ledger, bot: Api, ann: Api, clock: Clock) -> None:
    told = brought(bot)
    key = told["conversation"]
    ann.post(f"/conversations/{key}/take")
    ann.post(f"/conversations/{key}/reply", {"text": "Hello Mia"})
    with ledger.writing() as tx:
        assert not outbox.is_due(tx, NOW)
        assert outbox.claim(tx, NOW) is None
        assert outbox.expire(tx, NOW + timedelta(days=1)) == 0
    clock.forward(days=3)
    assert ann.post(f"/conversations/{key}/reply", {"text": "still there"}).status_code == 200, "it has no window"
    for verb, body in (("block", {}), ("unblock", {}), ("template", {"name": "a", "language": "en"})):
        refused = ann.post(f"/conversations/{key}/{verb}", body)
        assert (refused.status_code, refused.json["error"]) == (409, "not_allowed"), verb
        assert "webchat" in refused.json["message"]


def test_our_bot_never_answers_a_guest(ledger: Ledger, bot: Api, ann: Api) -> None:
    told = brought(bot)
    bot.post(f"/handoffs/{told['id']}/messages", {"id": "3", "text": "where is my order?"})
    ann.post(f"/conversations/{told['conversation']}/take")
    ann.post(f"/conversations/{told['conversation']}/give_back")
    with ledger.writing() as tx:
        assert turns.due(tx, timedelta(0), NOW + timedelta(hours=1)) == []
        conversation_id = tx.execute(sa.select(conversations.c.id)).scalar_one()
        assert turns.begin_turn(tx, conversation_id, owner="x", manners=MANNERS, now=NOW) is None


def test_a_broken_promise_is_admitted_to_a_guest_and_no_window_is_asked_for(
    ledger: Ledger, bot: Api, clock: Clock
) -> None:
    told = brought(bot)
    clock.forward(minutes=16)
    with ledger.writing() as tx:
        assert promises.keep_windows_open(tx, clock.now, says_only("still?")) == 0
        assert promises.admit_broken(tx, clock.now, says_only("Sorry, it takes longer.")) == 1
    assert bot.get(f"/handoffs/{told['id']}").json["late"] is True
    news = bot.get(f"/handoffs/{told['id']}/messages").json[-1]
    assert (news["author"], news["text"]) == ("desk", "Sorry, it takes longer.")


def test_a_guest_may_change_their_mind(bot: Api, ann: Api) -> None:
    told = brought(bot)
    for _ in range(2):
        cancelled = bot.post(f"/handoffs/{told['id']}/cancel").json
        assert (cancelled["state"], cancelled["outcome"]) == ("closed", "cancelled")
    again = bot.post("/handoffs", MIA).json
    ann.post(f"/conversations/{told['conversation']}/take")
    refused = bot.post(f"/handoffs/{again['id']}/cancel")
    assert (refused.status_code, refused.json["error"]) == (409, "already_taken")


def test_one_bot_does_not_see_anothers_guests(app: Flask, ledger: Ledger, bot: Api, sue: Api) -> None:
    told = brought(bot)
    other = an_api(app, ledger, "mail@fernhill.example", Role.AGENT)
    for answer in (
        other.get(f"/handoffs/{told['id']}"),
        other.get(f"/handoffs/{told['id']}/messages"),
        other.post(f"/handoffs/{told['id']}/messages", {"id": "9", "text": "hi"}),
        other.post(f"/handoffs/{told['id']}/cancel"),
        other.get("/handoffs/999"),
        other.get("/handoffs/x"),
    ):
        assert (answer.status_code, answer.json["error"]) == (404, "unknown_handoff")
    assert sue.get(f"/handoffs/{told['id']}").status_code == 200
    assert other.post("/handoffs", MIA).json["conversation"] != told["conversation"], "its c-1 is another one"


@pytest.mark.parametrize(
    "wrong",
    [
        {"channel": "Web Chat"},
        {"channel": None},
        {"conversation_id": ""},
        {"reason": "bored"},
        {"reason": "phone"},
        {"slots": {"a": [1]}},
        {"slots": "x"},
        {"transcript": [{"author": "agent", "text": "hi"}]},
        {"transcript": [{"author": "contact"}]},
        {"transcript": [{"author": "contact", "text": "hi", "at": "2026-11-22T10:00:00"}]},
        {"transcript": "hi"},
        {"wish": "a\x00b"},
        {"name": 7},
    ],
    ids=str,
)
def test_what_cant_be_used_is_named(quick_app: Flask, quick_ledger: Ledger, wrong: dict) -> None:  # type: ignore[type-arg]
    bot = an_api(quick_app, quick_ledger, "webchat@fernhill.example", Role.AGENT)
    answer = bot.post("/handoffs", MIA | wrong)
    assert (answer.status_code, answer.json["error"]) == (400, "bad_body")
    assert next(iter(wrong)) in answer.json["message"]


def test_the_desk_shows_where_a_guest_is_and_nothing_of_whatsapp(quick_app: Flask, quick_ledger: Ledger) -> None:
    bot = an_api(quick_app, quick_ledger, "webchat@fernhill.example", Role.AGENT)
    key = brought(bot)["conversation"]
    _, password = seeding.an_account_with_password(quick_ledger, "ann@fernhill.example")
    browser = signed_in(quick_app, "ann@fernhill.example", password)
    assert '<span class="channel">webchat</span>' in browser.get("/").text
    page = browser.get(f"/conversations/{key}").text
    assert "On webchat: no 24-hour window" in page and "brought by its bot" in page
    assert "Mia Turner" in page and "My lamp came broken" in page
    browser.post(f"/conversations/{key}/take")
    page = browser.get(f"/conversations/{key}").text
    assert "WhatsApp" not in page.split('id="live"')[1]


def test_a_guest_whose_agent_leaves_is_in_the_queue_again(ledger: Ledger, bot: Api, ann: Api) -> None:
    told = brought(bot)
    ann.post(f"/conversations/{told['conversation']}/take")
    with ledger.writing() as tx:
        (waits,) = handoffs.kept_waiting(tx, NOW)
        assert handoffs.leave(tx, waits, tell=says_only("It takes longer."), now=NOW + timedelta(minutes=11))
    assert bot.get(f"/handoffs/{told['id']}").json["state"] == "waiting"
    assert bot.get(f"/handoffs/{told['id']}/messages").json[-1]["text"] == "It takes longer."
