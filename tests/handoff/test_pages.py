"""The pages show what is, in words, and nothing a contact writes becomes markup."""

from __future__ import annotations

import re
from datetime import timedelta, timezone
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bot.ledger import contacts, outbox, transcript
from bot.ledger.handoffs import THE_PHONE
from bot.ledger.outbox import Kind, Outcome
from bot.ledger.transaction import Ledger
from bot.messages import KINDS, Buttons, Card, Cards, Media, Other, Place, Reply, Tap
from bot.vocabulary import RANK, Holder, Reason, Role, Status
from connectors.whatsapp import contents
from handoff import agents, words
from handoff.roles import Account
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.conftest import Clock, signed_in

FRAGMENT = {"HX-Request": "true"}


def account_of(ledger: Ledger, email: str = "ann@fernhill.example") -> Account:
    with ledger.writing() as tx:
        account = agents.bearer(tx, agents.add_token(tx, email, NOW))
    assert account is not None
    return account


def text_of(page: str) -> str:
    """What can be read of it."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_an_empty_desk_teaches(browser: FlaskClient) -> None:
    page = browser.get("/").text
    assert "Nobody is waiting" in page
    said = {show: text_of(browser.get(f"/list?show={show}").text) for show in ("queue", "mine", "others", "bot")}
    assert "The queue is empty." in said["queue"]
    assert "You hold no conversation." in said["mine"]
    assert "No colleague holds one." in said["others"]
    assert "The first message to your WhatsApp number" in said["bot"]
    assert "matches “zebra”" in text_of(browser.get("/list?find=zebra").text)


def test_every_list_shows_its_own_and_the_counts_of_all(browser: FlaskClient, quick_ledger: Ledger) -> None:
    ann = account_of(quick_ledger)
    ben = seeding.an_account(quick_ledger, "ben@fernhill.example", Role.AGENT, "Ben Okoro")
    seeding.a_busy_afternoon(quick_ledger, NOW, ann, ben)
    found = {show: browser.get(f"/list?show={show}").text for show in ("queue", "mine", "others", "bot")}
    names = {show: re.findall(r'class="name">([^<]+)', page) for show, page in found.items()}
    assert names == {
        "queue": ["Maya Lindqvist", "Tom Achterberg", "+48601234567"],
        "mine": ["Inês Carvalho"],
        "others": ["Joe Mbeki"],
        "bot": ["Priya Raman", "Luca Ferri", "Hanna Weiß"],
    }
    assert all('data-queue="3" data-mine="1" data-others="1" data-bot="3"' in page for page in found.values())
    queue = text_of(found["queue"])
    assert "waits long: 16 min" in queue and "The bot didn&#39;t understand, twice" in queue
    assert "Ben Okoro has it" in text_of(found["others"])
    assert "You: Anything else I can do?" in text_of(found["mine"])
    assert re.findall(r'class="name">([^<]+)', browser.get("/list?find=4860").text) == ["+48601234567"]
    assert re.findall(r'class="name">([^<]+)', browser.get("/list?find=CARPET").text) == ["Tom Achterberg"]


def test_a_transcript_shows_everything_that_can_be_said(browser: FlaskClient, quick_ledger: Ledger) -> None:
    ann, ben = account_of(quick_ledger), seeding.an_account(quick_ledger, "ben@fernhill.example", name="Ben Okoro")
    stories = seeding.a_busy_afternoon(quick_ledger, NOW, ann, ben)
    page = browser.get(f"/conversations/{stories['ines'].key}")
    said = text_of(page.text)
    for words_ in (
        "Inês Carvalho", "+351912345678", "You have it", "Window open for 23 h", "Put back into queue",
        "and can somebody hold a tent", "Store Bristol", "What the bot tried", "reserve item 62 %",
        "opening hours 91 %",
        "Ann took it; the bot is silent", "note, colleagues only", "Kim", "Open on the map", "Not delivered.",
        "The number can&#39;t be reached", "Try again", "Waiting to be sent", "Read", "Delivered", "Today",
    ):  # fmt: skip
        assert words_ in said or words_.replace("Ann ", "Ann Lee ") in said, words_
    assert 'class="quote"' in page.text
    assert "openstreetmap.org/?mlat=51.454500" in page.text
    maya = text_of(browser.get(f"/conversations/{stories['maya'].key}").text)
    for words_ in (
        "Yesterday",
        "Tapped Talk to a person",
        "Order status Returns Talk to a person",
        "Photo",
        "Order belongs to contact yes",
    ):
        assert words_ in maya, words_
    assert "Requested slot" not in maya
    ola = text_of(browser.get(f"/conversations/{stories['ola'].key}").text)
    assert "Voice note" in ola and "Sent something the bot can&#39;t read" in ola


NOT_PASSED_ON = [
    ({"type": "unsupported", "unsupported": {"type": "revoke"}}, "Deleted a message; WhatsApp does not say which"),
    ({"type": "unsupported", "unsupported": {"type": "edit"}}, "Edited a message; WhatsApp does not say which"),
    ({"type": "unsupported", "unsupported": {"type": "poll_creation"}}, f"{words.NOT_PASSED_ON} (a poll)"),
    ({"type": "unsupported", "unsupported": {"type": "live_location"}}, f"{words.NOT_PASSED_ON} (live location)"),
    ({"type": "unsupported"}, words.NOT_PASSED_ON),
    ({"type": "hologram"}, f"{words.NOT_PASSED_ON} (hologram)"),
    ({"type": "ephemeral"}, f"{words.NOT_PASSED_ON} (a message that disappears)"),
    ({}, words.NOT_PASSED_ON),
    ({"type": "request_welcome"}, "Opened the chat"),
    ({"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {"response_json": "?"}}},
     "Filled in a form"),
    ({"type": "interactive", "interactive": {"call_permission_reply": {"response": "reject"}}},
     "Does not allow us to call"),
    ({"type": "image", "image": {}, "errors": [{"code": contents.UNFETCHABLE}]}, "A file WhatsApp could not bring"),
    ({"type": "location", "location": {}}, "Place, but it came unreadable"),
    ({"type": "text", "text": {"body": "  "}}, "An empty message"),
]  # fmt: skip


@pytest.mark.parametrize(("item", "in_words"), NOT_PASSED_ON)
def test_what_whatsapp_does_not_pass_on_is_told_in_words_a_person_would_use(
    browser: FlaskClient, quick_ledger: Ledger, item: dict[str, Any], in_words: str
) -> None:
    content = contents.read(contents.kind_of(item), item).content
    story = seeding.a_conversation(quick_ledger, NOW)
    wamid = story.says(content, "Sorry, I can't read that.", intent=("sent_media", 1.0))
    story.hands_off(Reason.UNREADABLE, f"({content.kind})", media_kind=content.kind)  # type: ignore[union-attr]
    story.says("well?", intent=None, reply_to=wamid)
    told = text_of(browser.get(f"/conversations/{story.key}").text + browser.get("/list").text)
    assert told.count(in_words) >= 2  # in the transcript, and where it is quoted
    raw = {"revoke", "edit", "poll_creation", "nfm_reply", "request_welcome", "call_permission_reply", "unsupported"}
    assert not {word for word in raw if re.search(rf"\b{word}\b", told)}


def test_the_last_thing_in_a_list_is_never_a_word_of_metas(browser: FlaskClient, quick_ledger: Ledger) -> None:
    for n, content in enumerate((Other("unsupported", "revoke"), Other("hologram"), Other("text"), Tap("a", "Yes"))):
        story = seeding.a_conversation(quick_ledger, NOW, f"Contact {n}", str(700 + n))
        story.taken_by(seeding.an_account(quick_ledger, f"{n}@fernhill.example"))
        story.says(content, intent=None)
    last = re.findall(r'class="last">([^<]*)', browser.get("/list?show=others").text)
    assert set(last) == {
        "[Deleted a message; WhatsApp does not say which]",
        f"[{words.NOT_PASSED_ON} (hologram)]",
        "[An empty or deleted message]",
        "Yes",
    }


def test_every_kind_of_message_we_know_has_a_name_of_its_own() -> None:
    known = (KINDS.keys() - {"media", "place", "other"}) | contents.READERS.keys() - {"unsupported"}
    assert {kind for kind in known if words.NOT_PASSED_ON in words.kind(kind)} == set()
    assert words.DOINGS.keys() == contents.SILENT  # what nobody is owed an answer for is something that was done


def test_words_the_bot_never_got_to_say_are_struck_and_explained(browser: FlaskClient, quick_ledger: Ledger) -> None:
    story = seeding.a_conversation(quick_ledger, NOW)
    story.taken_by(account_of(quick_ledger))
    story.sent()
    page = browser.get(f"/conversations/{story.key}").text
    assert "bubble bot first withdrawn" in page
    assert "Not sent: a person took over before it was sent" in text_of(page)


def test_every_holder_and_reason_has_its_words(browser: FlaskClient, quick_ledger: Ledger) -> None:
    assert set(words.REASONS) == set(Reason) and set(words.STATUSES) == set(Status)
    assert {words.holder(holder, "Ben", mine) for holder in Holder for mine in (True, False)} == {
        "The bot is answering", "Waiting for a person", "You have it", "Ben has it",
    }  # fmt: skip
    assert words.holder(Holder.AGENT, THE_PHONE, mine=False) == "Somebody answers from the phone"
    for reason in Reason:
        story = seeding.a_conversation(quick_ledger, NOW, reason.value, str(100 + len(reason.value)) + reason.value[:2])
        story.hands_off(reason, "")
        said = text_of(browser.get(f"/conversations/{story.key}").text).replace("&#39;", "'")
        assert words.REASONS[reason] in said  # in the packet
        queued = reason not in {Reason.STEPPED_IN, Reason.PHONE}
        assert (f"{words.REASONS[reason]}, into the queue" in said) is queued  # in the transcript


def test_a_closed_window_and_a_colleagues_conversation_can_not_be_replied_to(
    browser: FlaskClient, quick_ledger: Ledger, clock: Clock
) -> None:
    ben = seeding.an_account(quick_ledger, "ben@fernhill.example", name="Ben Okoro")
    held, mine = seeding.a_handoff(quick_ledger, NOW), seeding.a_handoff(quick_ledger, NOW, "Sam", "2")
    held.taken_by(ben)
    mine.taken_by(account_of(quick_ledger))
    assert 'data-may-reply="yes"' in browser.get(f"/conversations/{mine.key}/live").text
    colleague = browser.get(f"/conversations/{held.key}").text
    assert 'data-may-reply="no"' in colleague and "Ben Okoro has this conversation. You can write notes." in colleague
    clock.forward(hours=25)
    browser.get("/")  # the session is older than its idle time now
    _, password = seeding.an_account_with_password(quick_ledger, "eve@fernhill.example", Role.CONTENT)
    eve = signed_in(browser.application, "eve@fernhill.example", password)
    assert "Window closed" in eve.get(f"/conversations/{mine.key}").text
    assert 'name="mode" value="reply"' not in eve.get(f"/conversations/{mine.key}").text


def test_nothing_a_contact_writes_becomes_markup(browser: FlaskClient, quick_ledger: Ledger) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(1)</script>\"'{{7*7}}"
    story = seeding.a_conversation(quick_ledger, NOW, evil, "666")
    story.says(evil, Buttons(evil, (Reply("a", "<b>tap</b>"),)), intent=("<i>x</i>", 0.5))
    story.says(Tap("a", "<b>tap</b>"), evil)
    story.says(Media("image", media_id="1", caption=evil), evil)
    story.says(Place(1.0, 2.0, name=evil, address=evil), evil)
    story.says(Other("sys<b>tem", evil), evil)
    story.hands_off(Reason.ASKED, evil, **{"<b>slot": evil})
    story.notes(account_of(quick_ledger), evil)
    for path in (
        "/",
        f"/conversations/{story.key}",
        f"/conversations/{story.key}/live",
        "/list",
        f"/list?find={evil}",
        f"/?find={evil}",
    ):
        page = browser.get(path).text
        assert "<img src=x" not in page and "<script>alert" not in page and "<b>" not in page and "<i>x" not in page
        assert "49" not in re.sub(r"\d\d:\d\d", "", text_of(page)).replace("{{7*7}}", "")
    assert "&lt;script&gt;" in browser.get(f"/conversations/{story.key}").text
    assert "<script>alert" not in browser.get("/signin", query_string={"next": '/"><script>alert(1)'}).text


def test_a_verb_answers_htmx_with_the_new_state_and_a_browser_with_the_page(
    browser: FlaskClient, quick_ledger: Ledger
) -> None:
    key = seeding.a_handoff(quick_ledger, NOW).key
    taken = browser.post(f"/conversations/{key}/take", headers=FRAGMENT)
    assert "You have it" in taken.text and "<html" not in taken.text
    assert "baton:taken" in taken.headers["HX-Trigger"]
    plain = browser.post(f"/conversations/{key}/reply", data={"text": "Hello", "client_key": "k"})
    assert (plain.status_code, plain.headers["Location"]) == (303, f"/conversations/{key}")
    twice = browser.post(f"/conversations/{key}/reply", data={"text": "Hello", "client_key": "k"}, headers=FRAGMENT)
    assert twice.text.count(">Hello</p>") == 1
    back = browser.post(f"/conversations/{key}/give_back", headers=FRAGMENT)
    assert "The bot is answering" in back.text and "Given back to the bot" in back.text


def test_what_was_not_delivered_is_sent_once_more_by_its_button(browser: FlaskClient, quick_ledger: Ledger) -> None:
    story = seeding.a_handoff(quick_ledger, NOW)
    story.sent(Status.DELIVERED)
    story.taken_by(account_of(quick_ledger))
    story.replies(account_of(quick_ledger), "Hello Mia")
    story.sent(refuse="try later")
    page = browser.get(f"/conversations/{story.key}").text
    (again,) = re.findall(r'hx-post="(/messages/\d+/again)"', page)
    for _ in range(2):  # whoever presses twice has pressed once
        after = browser.post(again, headers=FRAGMENT).text
        assert after.count(">Hello Mia</p>") == 2
        assert "Sent once more below." in text_of(after) and "Try again" not in text_of(after)


def test_once_whatsapp_says_that_the_window_is_closed_nothing_on_the_page_says_otherwise(
    browser: FlaskClient, quick_ledger: Ledger
) -> None:
    story = seeding.a_handoff(quick_ledger, NOW)
    story.sent(Status.DELIVERED)
    story.taken_by(account_of(quick_ledger))
    story.replies(account_of(quick_ledger), "Hello Mia")
    fails(story, "more than 24 hours since the contact last wrote (131047)", outbox.SHUT)
    page = browser.get(f"/conversations/{story.key}").text
    said = text_of(page)
    assert "More than 24 hours since the contact last wrote" in said and "Window closed, says WhatsApp" in said
    assert "Try again" not in said and "Window open" not in said and 'data-may-reply="no"' in page
    assert "delivers a reply only after the contact writes again" in said
    story.says("are you there?", intent=None)
    page = browser.get(f"/conversations/{story.key}").text
    assert "Try again" in page and "Window open" in page and 'data-may-reply="yes"' in page


def test_a_contact_we_blocked_is_shown_as_blocked_and_can_not_be_replied_to(
    browser: FlaskClient, quick_ledger: Ledger
) -> None:
    story = seeding.a_handoff(quick_ledger, NOW)
    story.sent(Status.DELIVERED)
    story.taken_by(account_of(quick_ledger))
    story.replies(account_of(quick_ledger), "Hello Mia")
    story.sent(refuse="try later")
    path = f"/conversations/{story.key}"
    assert "Blocked" not in browser.get(path).text
    with quick_ledger.writing() as tx:
        contact_id = transcript.contact_of(tx, story.key).id
        contacts.mark_blocked(tx, contact_id, NOW)
    page = browser.get(path).text
    assert text_of(page).count("Blocked: WhatsApp delivers nothing either way") == 2  # the header, and over the reply
    assert 'data-may-reply="no"' in page and "Try again" not in page and "Window open" not in page
    with quick_ledger.writing() as tx:
        contacts.mark_blocked(tx, contact_id, None)
    assert 'data-may-reply="yes"' in browser.get(path).text


@pytest.mark.parametrize("reports", [(Status.DELIVERED, Status.FAILED), (Status.FAILED, Status.READ)])
def test_a_message_that_arrived_and_failed_says_both(
    browser: FlaskClient, quick_ledger: Ledger, reports: tuple[Status, ...]
) -> None:
    story = seeding.a_handoff(quick_ledger, NOW)
    story.sent(Status.DELIVERED)
    story.taken_by(account_of(quick_ledger))
    story.replies(account_of(quick_ledger), "Hello Mia")
    story.sent(*reports)
    said = text_of(browser.get(f"/conversations/{story.key}").text)
    arrived = words.STATUSES[max(reports, key=RANK.__getitem__)]
    assert f"{arrived}, and reported as not delivered, too. WhatsApp does not say why" in said


def test_a_contact_card_shows_all_that_is_on_it(browser: FlaskClient, quick_ledger: Ledger) -> None:
    joe = Card("Joe Mbeki", "Joe", ("+27 82 123 4567",), ("joe@tents.example", "j@home.example"), "Tents & Co", "27821")
    shop = Card("Tents & Co", organisation="Tents & Co", emails=("shop@tents.example",))
    story = seeding.a_conversation(quick_ledger, NOW)
    story.says(Cards((joe, shop)), intent=None)
    story.says(Cards((Card("Mia", phones=("447700900101",)),), asked=True), intent=None)
    said = text_of(browser.get(f"/conversations/{story.key}").text)
    assert (
        "Contact card Name Joe Mbeki Company Tents &amp; Co Phone +27 82 123 4567 "
        "E-mail joe@tents.example E-mail j@home.example Name Tents &amp; Co E-mail shop@tents.example"
    ) in said
    assert "Shared their own number Name Mia Phone 447700900101" in said
    bob = Card(
        "Bob", title="Boss", department="Sales", addresses=("1 Lane, Leeds",), birthday="1990-01-01",
        urls=("https://bob.example/?a=<b>", "javascript:alert(1)"),
    )  # fmt: skip
    story.says(Cards((bob,)), intent=None)
    page = browser.get(f"/conversations/{story.key}").text
    for fact in ("Work Boss, Sales", "Address 1 Lane, Leeds", "Web javascript:alert(1)", "Birthday born 1990-01-01"):
        assert fact in text_of(page)
    assert 'href="https://bob.example/?a=&lt;b&gt;"' in page and 'href="javascript' not in page


def test_a_place_and_a_tapped_row_show_all_that_is_in_them(browser: FlaskClient, quick_ledger: Ledger) -> None:
    story = seeding.a_conversation(quick_ledger, NOW)
    story.says(Place(1.0, 2.0, url="https://maps.example/?a=<b>"), intent=None)
    story.says(Place(1.0, 2.0, url="javascript:alert(1)"), intent=None)
    story.says(Tap("row_7", "Refund", "for order FH1"), intent=None)
    page = browser.get(f"/conversations/{story.key}").text
    assert 'href="https://maps.example/?a=&lt;b&gt;"' in page
    assert "javascript:alert(1)" in text_of(page) and 'href="javascript' not in page
    assert "Tapped Refund for order FH1" in text_of(page)


def test_who_stopped_marketing_messages_is_shown_so(browser: FlaskClient, quick_ledger: Ledger) -> None:
    story = seeding.a_conversation(quick_ledger, NOW)
    for wants in (True, False, True):
        with quick_ledger.writing() as tx:
            contacts.prefer(tx, transcript.contact_of(tx, story.key).id, marketing=wants, at=NOW)
        said = text_of(browser.get(f"/conversations/{story.key}/live").text)
        assert ("Does not want marketing messages" in said) is not wants


def fails(story: seeding.Story, why: str, code: int) -> None:
    """Meta refuses what waits to be sent."""
    with story.ledger.writing() as tx:
        message = outbox.claim(tx, story.at)
        assert message is not None
        outbox.settle(tx, message.id, Outcome(Kind.REFUSED, words=why, code=code), story.at)


def test_a_lost_race_is_a_toast_that_names_the_winner(browser: FlaskClient, quick_ledger: Ledger) -> None:
    story = seeding.a_handoff(quick_ledger, NOW)
    story.taken_by(seeding.an_account(quick_ledger, "ben@fernhill.example", name="Ben Okoro"))
    lost = browser.post(f"/conversations/{story.key}/take", headers=FRAGMENT)
    assert (lost.status_code, lost.headers["HX-Retarget"], lost.headers["HX-Reswap"]) == (409, "#toasts", "beforeend")
    assert "Ben Okoro took it first." in lost.text
    assert "Ben Okoro took it first." in browser.post(f"/conversations/{story.key}/take").text


def test_an_alarm_is_red_on_every_page(browser: FlaskClient, quick_ledger: Ledger) -> None:
    key = seeding.a_handoff(quick_ledger, NOW).key
    seeding.an_alarm(quick_ledger, NOW)
    for path in ("/", f"/conversations/{key}", "/alarms"):
        assert "WhatsApp refuses our access token" in browser.get(path).text


def test_a_long_transcript_begins_near_its_end_and_can_be_had_whole(browser: FlaskClient, quick_ledger: Ledger) -> None:
    story = seeding.a_conversation(quick_ledger, NOW)
    story.taken_by(account_of(quick_ledger))
    for n in range(305):
        story.says(f"message number {n}", intent=None)
    page = browser.get(f"/conversations/{story.key}").text
    assert "Show earlier messages" in page and ">message number 2</p>" not in page and ">message number 304</p>" in page
    (since,) = re.findall(r'data-since="(\d+)"', page)
    more = browser.get(f"/conversations/{story.key}?since={since}").text
    assert ">message number 2</p>" in more and "data-since" not in more
    assert (
        ">message number 2</p>" in browser.get(f"/conversations/{story.key}/live?since={since}", headers=FRAGMENT).text
    )


def test_unknown_pages_say_so_in_words(browser: FlaskClient) -> None:
    for path in ("/nonesuch", "/conversations/nonesuch"):
        answer = browser.get(path)
        assert answer.status_code == 404 and "There is no such" in answer.text


def test_times_are_told_in_the_zone_of_the_browser(browser: FlaskClient, quick_ledger: Ledger) -> None:
    story = seeding.a_conversation(quick_ledger, NOW)
    browser.set_cookie("baton_zone", "Asia/Kolkata")
    assert ">17:26</time>" in browser.get(f"/conversations/{story.key}").text
    browser.set_cookie("baton_zone", "../../etc/passwd")
    assert ">11:56</time>" in browser.get(f"/conversations/{story.key}").text


def test_spans_and_days_read_like_speech() -> None:
    said = [words.span(timedelta(minutes=n)) for n in (0, 1, 59, 60, 125, 23 * 60 + 55, 24 * 60, 72 * 60)]
    assert said == ["now", "1 min", "59 min", "1 h", "2 h 5 min", "23 h", "1 day", "3 days"]
    days = [words.day(NOW - timedelta(days=n), NOW, timezone.utc) for n in (0, 1, 6, 400)]
    assert days == ["Today", "Yesterday", "Monday 16 November", "Saturday 18 October 2025"]


def test_the_database_away_is_told_and_nothing_pretends_to_be_saved(
    browser: FlaskClient, quick_app: Flask, quick_ledger: Ledger
) -> None:
    with quick_ledger.writing() as tx:
        tx.exec_driver_sql("ALTER TABLE conversations RENAME TO gone")
    answer = browser.post("/conversations/x/note", data={"text": "hi"}, headers=FRAGMENT)
    assert (answer.status_code, "doesn&#39;t answer" in answer.text) == (503, True)
