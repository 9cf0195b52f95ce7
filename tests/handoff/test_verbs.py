"""What the API can do beside talking: once more, block, templates, quotes, deliveries; and merged conversations."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from bot.ledger import contacts, errands, handoffs, inbox, outbox, transcript
from bot.ledger.tables import conversations, messages
from bot.ledger.transaction import Ledger
from bot.messages import Media, MessageTemplate, Template, Text, from_json
from bot.updates import ContactRef, Echoed, Unsupported
from bot.vocabulary import Author, Errand, Holder, Status
from handoff import filling
from handoff.filling import BadTemplate, Wanted
from tests.factories import MIA, NOW, NUMBER, a_text, a_wamid, heard, later
from tests.handoff import seeding
from tests.handoff.conftest import Api, Clock
from tests.handoff.seeding import Story

READY = MessageTemplate(
    "answer_ready", "en", "UTILITY", "APPROVED", ({"type": "BODY", "text": "Hi {{1}}, we have an answer to {{2}}."},)
)
NAMED = MessageTemplate(
    "reopen_case", "en_US", "UTILITY", "APPROVED", ({"type": "BODY", "text": "Hi {{first_name}}, an answer is here."},)
)
OFFER = MessageTemplate("offer", "en", "MARKETING", "APPROVED", ({"type": "BODY", "text": "20 % off"},))
PAUSED = MessageTemplate("late", "en", "UTILITY", "PAUSED", ({"type": "BODY", "text": "It is late"},))
SHIPPED = MessageTemplate(
    "order_shipped",
    "en",
    "UTILITY",
    "APPROVED",
    (
        {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"},
        {"type": "BODY", "text": "It comes on {{1}}."},
        {
            "type": "BUTTONS",
            "buttons": [
                {"type": "URL", "text": "Track", "url": "https://fernhill.example/track/{{1}}"},
                {"type": "QUICK_REPLY", "text": "Ask us"},
            ],
        },
    ),
)


def with_templates(ledger: Ledger, *found: MessageTemplate) -> None:
    with ledger.writing() as tx:
        errands.keep_templates(tx, list(found), NOW)


def a_failed_reply(ledger: Ledger, agent: Api) -> tuple[Story, str]:
    """Ann holds the conversation; what she wrote was refused."""
    story = seeding.a_handoff(ledger, NOW)
    story.sent(Status.DELIVERED)
    story.taken_by(agent.account)
    story.replies(agent.account, "Hello Mia")
    story.sent(refuse="try later")
    return story, agent.get(f"/conversations/{story.key}/messages").json[-1]["id"]


def test_the_agent_who_holds_it_sends_what_failed_once_more_and_only_once(ledger: Ledger, ann: Api, ben: Api) -> None:
    story, failed = a_failed_reply(ledger, ann)
    refused = ben.post(f"/messages/{failed}/again")
    assert (refused.status_code, refused.json["error"]) == (403, "not_yours")
    first, second = ann.post(f"/messages/{failed}/again"), ann.post(f"/messages/{failed}/again")
    assert (first.status_code, first.json) == (200, second.json)
    assert (first.json["again_of"], first.json["conversation"]) == (failed, story.key)
    last = ann.get(f"/conversations/{story.key}/messages").json[-1]
    assert (last["id"], last["text"], last["status"], last["agent"]) == (first.json["id"], "Hello Mia", "queued", "Ann")


def test_while_the_bot_holds_it_only_who_leads_sends_again(ledger: Ledger, ann: Api, cleo: Api, sue: Api) -> None:
    story = seeding.a_conversation(ledger, NOW)
    story.sent(refuse="try later")
    failed = ann.get(f"/conversations/{story.key}/messages").json[-1]["id"]
    answers = {who.account.name: who.post(f"/messages/{failed}/again") for who in (ann, cleo)}
    assert {name: (answer.status_code, answer.json["error"]) for name, answer in answers.items()} == {
        "Ann": (403, "not_yours"), "Cleo": (403, "role_forbids"),
    }  # fmt: skip
    assert sue.post(f"/messages/{failed}/again").status_code == 200


def test_what_did_not_fail_what_is_unknown_and_what_is_too_late_is_not_sent_again(
    ledger: Ledger, ann: Api, clock: Clock
) -> None:
    story, failed = a_failed_reply(ledger, ann)
    hers, ours = (one["id"] for one in ann.get(f"/conversations/{story.key}/messages").json[:2])
    for id_, status, word in (
        (hers, 409, "not_allowed"), (ours, 409, "not_allowed"),
        ("999", 404, "unknown_message"), ("note-1", 404, "unknown_message"), ("9" * 30, 404, "unknown_message"),
    ):  # fmt: skip
        answer = ann.post(f"/messages/{id_}/again")
        assert (answer.status_code, answer.json["error"]) == (status, word), id_
    clock.forward(hours=25)
    late = ann.post(f"/messages/{failed}/again")
    assert (late.status_code, late.json["error"]) == (409, "window_closed")


def test_the_bots_failed_answer_is_refused_once_a_person_has_taken_over(ledger: Ledger, ann: Api, sue: Api) -> None:
    story = seeding.a_conversation(ledger, NOW)
    story.sent(refuse="try later")
    failed = sue.get(f"/conversations/{story.key}/messages").json[-1]["id"]
    story.taken_by(ann.account)
    story.replies(ann.account, "Ann here, I'll see to it.")
    for who in (ann, sue):
        refused = who.post(f"/messages/{failed}/again")
        assert (refused.status_code, refused.json["error"]) == (409, "overtaken")
        assert "Reply instead" in refused.json["message"]
    said = [one["text"] for one in ann.get(f"/conversations/{story.key}/messages").json]
    assert said[-1] == "Ann here, I'll see to it."


def test_what_failed_is_set_aside_by_who_holds_the_conversation_or_leads(
    ledger: Ledger, ann: Api, ben: Api, sue: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    story, failed = a_failed_reply(ledger, ann)
    refused = ben.post(f"/messages/{failed}/aside")
    assert (refused.status_code, refused.json["error"]) == (403, "not_yours")
    for who in (ann, sue):  # twice is as good as once
        done = who.post(f"/messages/{failed}/aside")
        assert (done.status_code, done.json) == (200, {"id": failed, "set_aside": True, "conversation": story.key})
    who_did = {vars(record).get("account") for record in caplog.records if vars(record).get("action") == "set_aside"}
    assert who_did == {ann.account.id, sue.account.id}
    with ledger.reading() as tx:
        assert outbox.dead_letters(tx) == []
        assert [str(one.id) for one in outbox.dead_letters(tx, rest=outbox.Rest.SET_ASIDE)] == [failed]
    hers = ann.get(f"/conversations/{story.key}/messages").json[0]["id"]
    for id_, word in ((hers, "not_allowed"), ("999", "unknown_message"), ("note-1", "unknown_message")):
        assert ann.post(f"/messages/{id_}/aside").json["error"] == word


def test_only_admins_set_deliveries_aside(ledger: Ledger, sue: Api, ada: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with ledger.writing() as tx:
        inbox.record(tx, b"{}", [Unsupported("text", "no body", unreadable=True), a_text("aubergine")], NOW)
    assert sue.post("/updates/1/aside").status_code == 403
    done = ada.post("/updates/1/aside")
    assert (done.status_code, done.json) == (200, {"delivery": "1", "set_aside": True})
    assert ada.account.id in {vars(one).get("account") for one in caplog.records if vars(one).get("delivery") == 1}
    found = ada.get("/updates?state=set_aside").json
    assert (found["tally"]["failed"], found["tally"]["set_aside"], found["tally"]["open"]) == (0, 1, 1)
    assert [one["remark"] for one in found["updates"]] == ["no body"]
    for path in ("/updates/1/aside", "/updates/2/aside", "/updates/x/aside", f"/updates/{'9' * 30}/aside"):
        assert ada.post(path).json["error"] == "unknown_delivery"


def test_a_contact_is_blocked_by_who_holds_the_conversation_or_leads(
    ledger: Ledger, ann: Api, ben: Api, sue: Api, cleo: Api
) -> None:
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(ann.account)
    assert [who.post(f"/conversations/{story.key}/block").status_code for who in (ben, cleo)] == [403, 403]
    asked = ann.post(f"/conversations/{story.key}/block")
    assert (asked.status_code, asked.json["contact"]["blocked"]) == (202, False)
    with ledger.writing() as tx:
        (errand,) = errands.claim(tx, later(1))
        assert errand.kind is Errand.BLOCK
        errands.done(tx, errand, later(2))
    assert ann.get(f"/conversations/{story.key}").json["contact"]["blocked"] is True
    assert sue.post(f"/conversations/{story.key}/unblock").status_code == 202
    assert ann.post("/conversations/nonesuch/block").status_code == 404


def test_a_reply_may_quote_a_message_of_its_conversation(ledger: Ledger, ann: Api) -> None:
    story = seeding.a_handoff(ledger, NOW)
    other = seeding.a_conversation(ledger, NOW, "Sam", "447700900102")
    story.taken_by(ann.account)
    said = ann.get(f"/conversations/{story.key}/messages").json
    elsewhere = ann.get(f"/conversations/{other.key}/messages").json[0]["id"]
    path = f"/conversations/{story.key}/reply"
    quoted = ann.post(path, {"text": "This one?", "to": said[0]["id"]}, key="k")
    assert quoted.status_code == 200
    with ledger.reading() as tx:
        find = sa.select(messages.c.wamid).where(messages.c.id == int(said[0]["id"]))
        wamid = tx.execute(find).scalar_one()
        reply_to = tx.execute(sa.select(messages.c.reply_to).where(messages.c.text == "This one?")).scalar_one()
    assert reply_to == wamid
    for to in (elsewhere, "999", "note-1", quoted.json["id"], 12):  # the last but one never reached WhatsApp yet
        refused = ann.post(path, {"text": "hm", "to": to})
        assert (refused.status_code, refused.json["error"]) == (404, "unknown_message"), to


def test_a_template_opens_a_closed_window_again(ledger: Ledger, ann: Api, ben: Api, clock: Clock) -> None:
    with_templates(ledger, READY, NAMED, OFFER, PAUSED)
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(ann.account)
    clock.forward(hours=30)
    path = f"/conversations/{story.key}/template"
    wanted = {"name": "answer_ready", "language": "en", "blanks": ["Mia", "F-1"]}
    assert ben.post(path, wanted).status_code == 403
    first, second = ann.post(path, wanted, key="k"), ann.post(path, wanted, key="k")
    assert (first.status_code, first.json) == (200, second.json)
    assert (first.json["type"], first.json["text"]) == ("template", "Hi Mia, we have an answer to F-1.")
    assert ann.post(path, wanted | {"blanks": ["Mia", "F-2"]}, key="k").json["error"] == "key_used"
    named = {"name": "reopen_case", "language": "en_US", "blanks": {"first_name": "Mia"}}
    assert ann.post(path, named).json["text"] == "Hi Mia, an answer is here."
    said = [one["text"] for one in ann.get(f"/conversations/{story.key}/messages").json]
    assert said.count("Hi Mia, we have an answer to F-1.") == 1


def test_a_template_that_meta_would_refuse_is_refused_here_with_the_reason(ledger: Ledger, ann: Api, cleo: Api) -> None:
    with_templates(ledger, READY, NAMED, PAUSED)
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(ann.account)
    path = f"/conversations/{story.key}/template"
    ready = {"name": "answer_ready", "language": "en"}
    for body, status, word in (
        (ready | {"blanks": ["one"]}, 422, "bad_template"),
        (ready | {"blanks": {"1": "a", "3": "b"}}, 422, "bad_template"),
        (ready | {"blanks": ["a", " "]}, 422, "too_long"),
        (ready | {"blanks": ["a", "b"], "header": "x"}, 422, "bad_template"),
        (ready | {"blanks": ["a", "b"], "payloads": ["x"]}, 422, "bad_template"),
        (ready | {"language": "de", "blanks": ["a", "b"]}, 404, "unknown_template"),
        ({"name": "late", "language": "en"}, 422, "bad_template"),
        ({"name": "nonesuch", "language": "en"}, 404, "unknown_template"),
        (ready | {"blanks": [1, 2]}, 400, "bad_body"),
        (ready | {"blanks": "ab"}, 400, "bad_body"),
        (ready | {"blanks": ["a", "b"], "header": 7}, 400, "bad_body"),
        ({"name": 7, "language": "en"}, 400, "bad_body"),
        ([], 400, "bad_body"),
    ):
        answer = ann.post(path, body)
        assert (answer.status_code, answer.json["error"]) == (status, word), body
    assert cleo.post(path, ready).status_code == 403


def test_who_stopped_marketing_gets_none_and_everything_else(ledger: Ledger, ann: Api) -> None:
    with_templates(ledger, OFFER, READY)
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(ann.account)
    with ledger.writing() as tx:
        contacts.prefer(tx, transcript.conversation(tx, story.key).contact.id, marketing=False, at=NOW)
    assert ann.get(f"/conversations/{story.key}").json["contact"]["marketing"] is False
    path = f"/conversations/{story.key}/template"
    refused = ann.post(path, {"name": "offer", "language": "en"})
    assert (refused.status_code, refused.json["error"]) == (409, "not_wanted")
    assert ann.post(path, {"name": "answer_ready", "language": "en", "blanks": ["a", "b"]}).status_code == 200


def test_templates_are_listed_with_what_they_have_to_be_given(ledger: Ledger, cleo: Api) -> None:
    with_templates(ledger, PAUSED, SHIPPED)
    shipped, paused = cleo.get("/templates").json
    assert paused["approved"] is False and paused["header"] is None and paused["buttons"] == []
    assert shipped == {
        "name": "order_shipped", "language": "en", "category": "UTILITY", "status": "APPROVED", "approved": True,
        "body": "It comes on {{1}}.", "gaps": ["1"],
        "header": {"format": "text", "text": "Order {{1}}", "gaps": ["1"]}, "footer": "",
        "buttons": [
            {"type": "url", "text": "Track", "url": "https://fernhill.example/track/{{1}}"},
            {"type": "quick_reply", "text": "Ask us", "url": None},
        ],
    }  # fmt: skip


def test_buttons_are_filled_by_their_places_whatever_stands_between() -> None:
    wanted = Wanted("order_shipped", "en", ("Friday",), header="F-1", url_endings=("F-1",))
    ready = filling.filled(SHIPPED, wanted)
    assert (ready.text, ready.header and ready.header.text) == ("It comes on Friday.", "F-1")
    assert (ready.payloads, ready.url_endings) == ((), ("F-1",))
    with pytest.raises(BadTemplate, match="before its quick replies"):
        filling.filled(SHIPPED, Wanted("order_shipped", "en", ("Friday",), "F-1", "", ("ask",), ("F-1",)))
    turned = MessageTemplate("x", "en", "UTILITY", "APPROVED", (
        {"type": "BODY", "text": "{{2}} {{1}}"},
        {"type": "BUTTONS", "buttons": [
            {"type": "QUICK_REPLY", "text": "A"}, {"type": "QUICK_REPLY", "text": "B"},
            {"type": "PHONE_NUMBER", "text": "Call"}, {"type": "URL", "text": "C", "url": "https://a.example/{{1}}"},
        ]},
    ))  # fmt: skip
    ready = filling.filled(turned, Wanted("x", "en", ("one", "two"), payloads=("", "b"), url_endings=("c",)))
    assert (ready.text, [blank.text for blank in ready.blanks]) == ("two one", ["one", "two"])
    assert (ready.payloads, ready.url_endings) == (("", "b", ""), ("c",))
    code = MessageTemplate("y", "en", "MARKETING", "APPROVED", (
        {"type": "BODY", "text": "z"}, {"type": "BUTTONS", "buttons": [{"type": "COPY_CODE", "text": "Copy"}]},
    ))  # fmt: skip
    with pytest.raises(BadTemplate, match="copy_code"):
        filling.filled(code, Wanted("y", "en"))


def test_a_header_that_is_a_picture_wants_a_link() -> None:
    parts = ({"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Look"})
    shown = MessageTemplate("look", "en", "UTILITY", "APPROVED", parts)
    ready = filling.filled(shown, Wanted("look", "en", picture="https://a.example/a.jpg"))
    assert ready == Template("look", "en", picture=Media("image", link="https://a.example/a.jpg"), text="Look")
    for wanted in (Wanted("look", "en"), Wanted("look", "en", header="words")):
        with pytest.raises(BadTemplate):
            filling.filled(shown, wanted)


def test_only_admins_see_the_deliveries_and_have_them_read_again(ledger: Ledger, ann: Api, sue: Api, ada: Api) -> None:
    with ledger.writing() as tx:
        odd = Unsupported("text", "no body", unreadable=True)
        inbox.record(tx, b'{"a": "aubergine"}', [odd, a_text("aubergine")], NOW)
    for who in (ann, sue):
        assert {who.get("/updates").status_code, who.post("/updates/1/again").status_code} == {403}
    found = ada.get("/updates?state=failed&limit=5")
    assert found.json == {
        "tally": {"received": 2, "handled": 1, "repeated": 0, "kept": 0, "failed": 1, "set_aside": 0,
                  "waiting": 1, "open": 2},
        "updates": [{"delivery": "1", "n": 0, "at": NOW.isoformat(), "kind": "text", "state": "failed",
                     "remark": "no body", "again": False, "tried_at": None}],
    }  # fmt: skip
    assert "aubergine" not in ada.get("/updates").text
    assert ada.post("/updates/1/again").status_code == 202
    assert ada.get("/updates?state=failed").json["updates"][0]["again"] is True
    for path in ("/updates/2/again", "/updates/x/again", f"/updates/{'9' * 30}/again"):
        assert ada.post(path).json["error"] == "unknown_delivery"
    assert [ada.get(f"/updates?{query}").status_code for query in ("state=lost", "limit=0", "limit=x")] == [400] * 3


def merged(ledger: Ledger, agent: Api) -> tuple[Story, Story]:
    """Two conversations that turn out to be one: Ann holds the first and has noted something in the other."""
    first = Story(ledger, ContactRef(phone="447700900101", bsuid=None, name="Mia"), later(-300))
    first.says("hello", "Hello!")
    first.taken_by(agent.account)
    other = Story(ledger, ContactRef(phone=None, bsuid="GB.77", name="Mia"), later(-200))
    other.says("it's me again", "Hello!")
    other.notes(agent.account, "the same person?")
    both = Story(ledger, ContactRef(phone="447700900101", bsuid="GB.77", name="Mia"), later(-60))
    both.says("and now with my number")
    return first, other


def test_of_two_conversations_that_became_one_only_that_one_is_listed_and_both_keys_lead_to_it(
    ledger: Ledger, ann: Api, ben: Api
) -> None:
    kept, gone = merged(ledger, ann)
    assert [one["key"] for one in ann.get("/conversations").json] == [kept.key]
    assert ann.get("/conversations?holder=bot").json == []
    one = ann.get(f"/conversations/{gone.key}").json
    assert (one["key"], one["holder"], one["contact"]["phone"]) == (kept.key, "agent", "447700900101")
    assert one["contact"]["user_id"] == "GB.77"
    said = [message["text"] for message in ann.get(f"/conversations/{gone.key}/messages").json]
    assert {"hello", "it's me again", "the same person?", "and now with my number"} <= set(said)
    assert said.index("the same person?") == said.index("it's me again") + 2, "where it was written"
    assert ann.post(f"/conversations/{gone.key}/reply", {"text": "Welcome back"}).status_code == 200
    assert ann.post(f"/conversations/{gone.key}/note", {"text": "it is"}).status_code == 200
    assert ben.post(f"/conversations/{gone.key}/take").json["holder_name"] == "Ann"
    assert ann.get(f"/conversations/{kept.key}/messages").json[-1]["text"] in {"Welcome back", "it is"}
    with ledger.reading() as tx:
        assert transcript.count_by_holder(tx) == {Holder.BOT: 0, Holder.QUEUE: 0, Holder.AGENT: 1}
    assert ann.post(f"/conversations/{gone.key}/give_back").json["holder"] == "bot"


def test_the_page_of_a_merged_conversation_leads_to_the_other(browser: FlaskClient, quick_ledger: Ledger) -> None:
    kept = seeding.a_conversation(quick_ledger, NOW)
    gone = seeding.a_conversation(quick_ledger, NOW, "Sam", "447700900102")
    with quick_ledger.writing() as tx:
        tx.execute(sa.update(conversations).where(conversations.c.key == gone.key).values(merged_into=kept.id))
    led = browser.get(f"/conversations/{gone.key}?show=bot")
    assert (led.status_code, led.headers["Location"]) == (303, f"/conversations/{kept.key}?show=bot")
    assert browser.get("/list?show=bot").text.count('class="name"') == 1
    # Who has it open writes on, and hears what is said in the other.
    live = browser.get(f"/conversations/{gone.key}/live", headers={"HX-Request": "true"}).text
    assert f"sse:conversation-{kept.key}" in live and f"/conversations/{kept.key}/take" in live
    assert "sse:conversation" not in browser.get(f"/conversations/{kept.key}/live", headers={"HX-Request": "true"}).text


def test_what_somebody_answers_from_the_phone_an_agent_may_take(browser: FlaskClient, quick_ledger: Ledger) -> None:
    heard(quick_ledger, a_text("hello"))
    with quick_ledger.writing() as tx:
        inbox.record(tx, b"{}", [Echoed(a_wamid(), NUMBER, MIA, Text("Hi, Tom here"), NOW)], NOW)
        key = transcript.list_of(tx)[0].key
        assert transcript.conversation(tx, key).agent_name == handoffs.THE_PHONE
    page = browser.get(f"/conversations/{key}").text
    assert "Somebody answers from the phone. Take it to reply from here." in page and 'id="do-take"' in page
    assert "Somebody answered from the phone; the bot is silent" in page and ", into the queue" not in page
    assert "Somebody answers from the phone" in browser.get("/list?show=others").text
    taken = browser.post(f"/conversations/{key}/take", headers={"HX-Request": "true"}).text
    assert "You have it" in taken and "Ann Lee took it; the bot is silent" in taken


def test_a_template_that_failed_goes_again_when_the_window_is_closed(ledger: Ledger, ann: Api, clock: Clock) -> None:
    with_templates(ledger, READY)
    story = seeding.a_handoff(ledger, NOW)
    story.sent(Status.DELIVERED)
    story.taken_by(ann.account)
    body = {"name": "answer_ready", "language": "en", "blanks": ["Mia", "F-1"]}
    failed = ann.post(f"/conversations/{story.key}/template", body).json["id"]
    story.sent(refuse="try later")
    clock.forward(hours=40)
    again = ann.post(f"/messages/{failed}/again").json["id"]
    with ledger.reading() as tx:
        row = tx.execute(sa.select(messages).where(messages.c.id == int(again))).one()
        assert isinstance(from_json(row.content), Template) and row.author is Author.AGENT
        assert outbox.dead_letters(tx) == []
