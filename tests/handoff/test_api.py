"""The REST API keeps its contract: every field, every code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from bot.ledger import transcript
from bot.ledger.tables import contacts, messages
from bot.ledger.transaction import Ledger
from bot.messages import Media, Place, Tap
from bot.vocabulary import Role, Status
from handoff import agents, api
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.conftest import Api, Clock, an_api


def test_the_list_has_every_promised_field(ledger: Ledger, ann: Api) -> None:
    story = seeding.a_handoff(ledger, NOW)
    (one,) = ann.get("/conversations?holder=queue").json
    assert one["waiting_since"] == story.at.isoformat()
    assert one["due_at"] == (story.at + timedelta(minutes=15)).isoformat()
    assert {
        key: one[key] for key in one if key not in ("waiting_since", "due_at", "last_message_at", "window_ends")
    } == {
        "key": story.key,
        "holder": "queue",
        "contact": {
            "id": "1",
            "phone": "447700900101",
            "user_id": None,
            "name": "Mia Turner",
            "username": None,
            "blocked": False,
            "marketing": True,
        },
        "reason": "asked",
        "late": False,
        "last_message": "I'm passing you to a person.",
        "agent": None,
        "slots": {"order_number": "F-20418"},
        "wish": "I want to talk to a person",
        "team": "Service",
        "needs": [],
        "evidence": [],
        "came_back": 0,
        "snoozed_until": None,
    }


def test_the_list_can_be_asked_for_one_holder(ledger: Ledger, ann: Api) -> None:
    waits = seeding.a_handoff(ledger, NOW)
    talks = seeding.a_conversation(ledger, NOW, "Sam", "447700900102")
    held = seeding.a_handoff(ledger, NOW, "Kim", "447700900103")
    held.taken_by(ann.account)
    keys = {
        holder: [one["key"] for one in ann.get(f"/conversations?holder={holder}").json]
        for holder in ("bot", "queue", "agent")
    }
    assert keys == {"bot": [talks.key], "queue": [waits.key], "agent": [held.key]}
    assert len(ann.get("/conversations").json) == 3
    assert ann.get("/conversations?holder=agent").json[0]["agent"] == "Ann"
    refused = ann.get("/conversations?holder=nobody")
    assert (refused.status_code, refused.json["error"]) == (400, "bad_body")


def test_messages_come_oldest_first_with_notes_in_their_place(ledger: Ledger, ann: Api) -> None:
    story = seeding.a_handoff(ledger, NOW)
    story.sent(Status.DELIVERED)
    story.taken_by(ann.account)
    story.notes(ann.account, "Sounds upset")
    story.replies(ann.account, "Hello Mia")
    story.sent(Status.DELIVERED)
    found = ann.get(f"/conversations/{story.key}/messages").json
    assert [(one["author"], one["type"], one["text"], one["status"]) for one in found] == [
        ("contact", "text", "hello", None),
        ("bot", "text", "Hello! I'm Fern, the bot of Fernhill.", "delivered"),
        ("bot", "text", "I'm passing you to a person.", "delivered"),
        ("agent", "note", "Sounds upset", None),
        ("agent", "text", "Hello Mia", "delivered"),
    ]
    assert (found[0]["intent"], found[0]["confidence"]) == ("greet", 0.99)
    assert len({one["id"] for one in found}) == 5
    assert all(datetime.fromisoformat(one["at"]).utcoffset().total_seconds() == 0 for one in found)  # type: ignore[union-attr]


def test_take_reply_note_and_give_back_play_the_whole_story(ledger: Ledger, ann: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    taken = ann.post(f"/conversations/{key}/take")
    assert (taken.status_code, taken.json["holder"], taken.json["agent"]) == (200, "agent", "Ann")
    replied = ann.post(f"/conversations/{key}/reply", {"text": "Hello Mia"}, key="k1")
    assert (replied.status_code, replied.json["text"], replied.json["type"]) == (200, "Hello Mia", "text")
    noted = ann.post(f"/conversations/{key}/note", {"text": "VIP"}, key="k2")
    assert (noted.status_code, noted.json["type"]) == (200, "note")
    back = ann.post(f"/conversations/{key}/give_back")
    assert (back.status_code, back.json["holder"], back.json["agent"], back.json["reason"]) == (200, "bot", None, None)
    last = ann.get(f"/conversations/{key}/messages").json[-1]
    assert last["author"] == "desk"
    assert "back with you" in last["text"]


def test_requeue_puts_it_back_for_others(ledger: Ledger, ann: Api, ben: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    assert ann.post(f"/conversations/{key}/requeue").json["holder"] == "queue"
    assert ben.post(f"/conversations/{key}/take").status_code == 200


def test_passing_it_on_gives_it_to_a_colleague_with_a_note_and_once(ledger: Ledger, ann: Api, ben: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    path = f"/conversations/{key}/transfer"
    early = ann.post(path, {"to": "ben@fernhill.example"})
    assert (early.status_code, early.json["error"]) == (403, "not_yours")
    ann.post(f"/conversations/{key}/take")
    for _ in range(2):
        passed = ann.post(path, {"to": "Ben@Fernhill.example", "note": "She needs the Leeds store"}, key="p1")
        assert (passed.status_code, passed.json["holder"], passed.json["agent"]) == (200, "agent", "Ben")
    said = ben.get(f"/conversations/{key}/messages").json
    assert [one["text"] for one in said if one["type"] == "note"] == ["She needs the Leeds store"]
    assert ben.post(f"/conversations/{key}/reply", {"text": "Hello, Ben here."}, key="r1").status_code == 200


def test_a_supervisor_assigns_and_takes_over_and_others_may_not(ledger: Ledger, ann: Api, ben: Api, sue: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    path = f"/conversations/{key}/transfer"
    assert sue.post(path, {"to": "ben@fernhill.example"}).json["agent"] == "Ben"
    assert ann.post(path, {"to": "ann@fernhill.example"}).status_code == 403
    assert sue.post(path, {"to": "sue@fernhill.example"}).json["agent"] == "Sue"
    assert ben.post(f"/conversations/{key}/reply", {"text": "still me?"}, key="r1").status_code == 403
    with ledger.reading() as tx:
        (episode,) = transcript.episodes_of(tx, transcript.conversation(tx, key).id)
    assert episode.taken_by == sue.account.id, "one handoff, whoever has it"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"to": "nobody@fernhill.example"}, 404, "unknown_account"),
        ({"to": "cleo@fernhill.example"}, 404, "unknown_account"),  # content staff hold nothing
        ({"to": "gone@fernhill.example"}, 404, "unknown_account"),  # disabled
        ({}, 400, "bad_body"),
        ({"to": ["ben@fernhill.example"]}, 400, "bad_body"),
        ({"to": "ben@fernhill.example", "note": 5}, 400, "bad_body"),
        ({"to": "ben@fernhill.example", "note": "x" * 5000}, 422, "too_long"),
    ],
)
def test_what_can_not_be_passed_on_stays_where_it_is(
    app: Flask, ledger: Ledger, ann: Api, ben: Api, cleo: Api, body: dict[str, object], status: int, error: str
) -> None:
    an_api(app, ledger, "gone@fernhill.example", Role.AGENT)
    with ledger.writing() as tx:
        agents.disable(tx, "gone@fernhill.example", NOW)
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    refused = ann.post(f"/conversations/{key}/transfer", body)
    assert (refused.status_code, refused.json["error"]) == (status, error)
    assert ann.get(f"/conversations/{key}").json["agent"] == "Ann"
    assert all(one["type"] != "note" for one in ann.get(f"/conversations/{key}/messages").json)


def test_taking_what_one_holds_changes_nothing(ledger: Ledger, ann: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    first = ann.post(f"/conversations/{key}/take").json
    second = ann.post(f"/conversations/{key}/take")
    assert (second.status_code, second.json) == (200, first)


def test_the_second_to_take_is_told_who_was_first(ledger: Ledger, ann: Api, ben: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    lost = ben.post(f"/conversations/{key}/take")
    assert lost.status_code == 409
    assert {name: lost.json[name] for name in ("error", "holder", "holder_name")} == {
        "error": "already_taken",
        "holder": "agent",
        "holder_name": "Ann",
    }


def test_of_twenty_who_take_at_once_one_wins_and_the_others_are_told_who(app: Flask, ledger: Ledger) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    agents = [an_api(app, ledger, f"agent{n}@fernhill.example", Role.AGENT) for n in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda agent: agent.post(f"/conversations/{key}/take"), agents))
    (winner,) = [agent for agent, answer in zip(agents, answers, strict=True) if answer.status_code == 200]
    losers = [answer for answer in answers if answer.status_code != 200]
    assert [answer.status_code for answer in losers] == [409] * 19
    assert {answer.json["holder_name"] for answer in losers} == {winner.account.name}


def test_the_same_key_twice_is_one_message_and_one_answer(ledger: Ledger, ann: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    for verb in ("reply", "note"):
        answers = [ann.post(f"/conversations/{key}/{verb}", {"text": verb}, key="same") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert answers[0].json == answers[1].json == answers[2].json
        other = ann.post(f"/conversations/{key}/{verb}", {"text": "another"}, key="same")
        assert (other.status_code, other.json["error"]) == (422, "key_used")
    said = [one["text"] for one in ann.get(f"/conversations/{key}/messages").json]
    assert (said.count("reply"), said.count("note"), said.count("another")) == (1, 1, 0)


def test_the_same_key_at_the_same_moment_is_one_message(ledger: Ledger, ann: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    asked = [f"/conversations/{key}/{verb}" for verb in ["reply", "note"] * 8]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda path: ann.post(path, {"text": "hi"}, key="k" * 200), asked))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json["id"] for answer in answers}) == 2


def test_an_answer_that_was_lost_can_be_asked_for_again_after_giving_back(ledger: Ledger, ann: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    first = ann.post(f"/conversations/{key}/reply", {"text": "bye"}, key="k").json
    ann.post(f"/conversations/{key}/give_back")
    assert ann.post(f"/conversations/{key}/reply", {"text": "bye"}, key="k").json == first


def test_two_agents_may_think_of_the_same_key(ledger: Ledger, ann: Api, ben: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ids = {one.post(f"/conversations/{key}/note", {"text": "hi"}, key="1").json["id"] for one in (ann, ben)}
    assert len(ids) == 2


def test_only_the_holder_may_reply_or_let_go(ledger: Ledger, ann: Api, ben: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    for verb in ("reply", "give_back", "requeue"):
        nobody = ben.post(f"/conversations/{key}/{verb}", {"text": "hi"})
        assert (nobody.status_code, nobody.json["error"], nobody.json["holder"]) == (403, "not_yours", "queue")
    ann.post(f"/conversations/{key}/take")
    for verb in ("reply", "give_back", "requeue"):
        other = ben.post(f"/conversations/{key}/{verb}", {"text": "hi"})
        assert (other.status_code, other.json["holder"], other.json["holder_name"]) == (403, "agent", "Ann")


def test_a_note_needs_no_holding(ledger: Ledger, ben: Api, cleo: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    assert ben.post(f"/conversations/{key}/note", {"text": "known"}).status_code == 200
    assert cleo.post(f"/conversations/{key}/note", {"text": "the bot's sentence is odd"}).status_code == 200


def test_content_staff_may_not_take_or_reply(ledger: Ledger, cleo: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    for verb in ("take", "reply", "give_back", "requeue"):
        refused = cleo.post(f"/conversations/{key}/{verb}", {"text": "hi"})
        assert (refused.status_code, refused.json["error"]) == (403, "role_forbids"), verb
    assert cleo.get(f"/conversations/{key}/messages").status_code == 200


def test_an_unknown_conversation_is_404(ann: Api) -> None:
    answers = [ann.get(f"/conversations/nonesuch{path}") for path in ("", "/messages")]
    answers += [
        ann.post(f"/conversations/nonesuch/{verb}", {"text": "hi"})
        for verb in ("take", "reply", "note", "give_back", "requeue")
    ]
    assert {(answer.status_code, answer.json["error"]) for answer in answers} == {(404, "unknown_conversation")}


def test_an_unknown_address_answers_in_json_too(ann: Api) -> None:
    assert ann.get("/nonesuch").json["error"] == "not_found"
    assert ann.post("/conversations").status_code == 405


def test_without_a_good_token_there_is_nothing(app: Flask) -> None:
    for authorization in (None, "", "Bearer", "Bearer nonsense", "Basic YTpi"):
        headers = {"Authorization": authorization} if authorization is not None else {}
        for method, path in (("GET", ""), ("POST", "/x/take")):
            answer = app.test_client().open(
                f"/api/v1/conversations{path}", method=method, headers=headers | {"Sec-Fetch-Site": "same-origin"}
            )
            assert (answer.status_code, answer.json["error"]) == (401, "no_token")
            assert answer.headers["WWW-Authenticate"] == "Bearer"


BAD_BODIES = (b"", b"nonsense", b"[]", b"{}", b'{"text": 7}', b'{"text": "  "}', b'{"text": "\\u0000"}', b"[" * 50_000)


def test_a_bad_body_is_400_with_a_sentence(ledger: Ledger, ann: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    for verb in ("reply", "note", "template"):
        for body in BAD_BODIES:
            path = f"/api/v1/conversations/{key}/{verb}"
            answer = ann.client.post(path, headers=ann.headers(), data=body)
            assert answer.status_code == 400, body[:20]
            assert answer.json["message"].startswith("The body can't be used.")


def test_a_text_longer_than_whatsapp_takes_is_refused_with_the_number(ledger: Ledger, ann: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    assert ann.post(f"/conversations/{key}/reply", {"text": "x" * 4096}).status_code == 200
    answer = ann.post(f"/conversations/{key}/reply", {"text": "x" * 4097})
    assert (answer.status_code, answer.json["error"]) == (422, "too_long")
    assert "4096" in answer.json["message"]
    assert ann.post(f"/conversations/{key}/reply", {"text": "x" * 90_000}).status_code == 413


def test_a_closed_window_is_409_and_nothing_is_queued(ledger: Ledger, ann: Api, clock: Clock) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    clock.forward(hours=24)
    answer = ann.post(f"/conversations/{key}/reply", {"text": "still there?"})
    assert (answer.status_code, answer.json["error"]) == (409, "window_closed")
    back = ann.post(f"/conversations/{key}/give_back")
    assert (back.status_code, back.json["holder"]) == (200, "bot")
    with ledger.reading() as tx:
        said = tx.execute(sa.select(messages.c.text).where(messages.c.author.in_(("agent", "desk")))).all()
    assert said == []  # nor a goodbye that WhatsApp would refuse


def test_nothing_is_written_to_a_blocked_contact_and_giving_back_still_works(
    ledger: Ledger, ann: Api, clock: Clock
) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    with ledger.writing() as tx:
        tx.execute(sa.update(contacts).values(blocked_at=NOW))
    answer = ann.post(f"/conversations/{key}/reply", {"text": "still there?"})
    assert (answer.status_code, answer.json["error"]) == (409, "blocked")
    back = ann.post(f"/conversations/{key}/give_back")
    assert (back.status_code, back.json["holder"]) == (200, "bot")
    with ledger.reading() as tx:
        said = tx.execute(sa.select(messages.c.text).where(messages.c.author.in_(("agent", "desk")))).all()
    assert said == []


def test_a_disabled_account_and_its_token_are_out(app: Flask, ledger: Ledger, ann: Api) -> None:
    assert ann.get("/conversations").status_code == 200
    with ledger.writing() as tx:
        tx.execute(sa.text("UPDATE accounts SET disabled_at = '2026-01-01'"))
    assert ann.get("/conversations").status_code == 401


def test_a_voice_note_a_place_and_a_tapped_row_say_all_that_came(ledger: Ledger, ann: Api) -> None:
    story = seeding.a_conversation(ledger, NOW)
    story.says(Media("audio", media_id="1", voice=True), intent=None)
    story.says(Media("audio", media_id="2"), intent=None)
    story.says(Place(1.0, 2.0, url="https://a.example"), intent=None)
    story.says(Tap("row_7", "Refund", "for order FH1"), intent=None)
    found = ann.get(f"/conversations/{story.key}/messages").json
    voice, sound, place, tap = [one for one in found if one["type"] in ("audio", "location", "tap")]
    assert voice["voice"] is True and "voice" not in sound
    assert place["place"] == {"latitude": 1.0, "longitude": 2.0, "name": "", "address": "", "url": "https://a.example"}
    assert tap["text"] == "Refund\nfor order FH1"


def test_who_waits_or_is_held_is_listed_however_many_came_after(
    ledger: Ledger, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = [seeding.a_handoff(ledger, NOW, f"Q{n}", f"44770090010{n}").key for n in range(3)]
    held = seeding.a_handoff(ledger, NOW, "Kim", "447700900103")
    held.taken_by(ann.account)
    later = NOW + timedelta(hours=1)
    talk = [
        seeding.a_conversation(ledger, later + timedelta(minutes=n), f"B{n}", f"44770090020{n}").key for n in range(3)
    ]
    whole = ann.get("/conversations")
    assert len(whole.json) == 7 and "Baton-More" not in whole.headers
    monkeypatch.setattr(api, "LISTED", 2)
    cut = ann.get("/conversations")
    keys = [one["key"] for one in cut.json]
    assert keys[:2] == [talk[2], talk[1]] and set(keys[2:]) == {*waits, held.key}
    assert cut.headers["Baton-More"] == "true"
    assert {one["key"] for one in ann.get("/conversations?holder=queue").json} == set(waits)
    bots = ann.get("/conversations?holder=bot")
    assert ([one["key"] for one in bots.json], bots.headers["Baton-More"]) == ([talk[2], talk[1]], "true")
