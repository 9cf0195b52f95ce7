"""What agents write with: files, quick replies, templates, drafts from what was answered before. On both databases."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from bot.ledger import errands, outbox, transcript, uploads
from bot.ledger.tables import messages, templates
from bot.ledger.transaction import Ledger
from bot.messages import Media, MessageTemplate
from bot.settings import Settings
from bot.vocabulary import Role, Status
from connectors.whatsapp.simulator.contents import PARCEL
from handoff import feed, quick_replies, suggesting
from handoff.app import create_app
from handoff.quick_replies import BadQuickReply, UnknownQuickReply, Wanted
from handoff.roles import RoleForbids
from handoff.tables import past_answers
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.conftest import Api, Clock, an_api, signed_in

PHOTO = PARCEL.read_bytes()
LARGE = b"\xff\xd8\xff" + b"." * (5 * 2**20)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return tmp_path / "home" / "media"


@pytest.fixture
def app(database_url: str, clock: Clock, media: Path) -> Iterator[Flask]:
    made = create_app(Settings(database_url=database_url, home=media.parent), now=clock)
    yield made
    with made.app_context():
        feed.feed().stop()


@pytest.fixture
def story(ledger: Ledger, ann: Api) -> seeding.Story:
    """Ann has Mia."""
    told = seeding.a_handoff(ledger, NOW)
    told.taken_by(ann.account)
    return told


def send(api: Api, key: str, content: bytes, name: str, idempotency: str | None = None, **form: str) -> Any:
    boundary, body = encode_multipart({"file": FileStorage(io.BytesIO(content), name), **form})
    path = f"/api/v1/conversations/{key}/file"
    return api.client.post(
        path, headers=api.headers(idempotency), data=body, content_type=f"multipart/form-data; boundary={boundary}"
    )


def test_a_photo_goes_out_with_its_caption_and_is_drawn_from_our_own_copy(
    ann: Api, story: seeding.Story, ledger: Ledger, media: Path
) -> None:
    answer = send(ann, story.key, PHOTO, "../../parcel.jpg", caption="Is it *this* one?")
    assert answer.status_code == 200, answer.text
    assert (answer.json["type"], answer.json["text"]) == ("image", "Is it *this* one?")
    (shown,) = [one for one in ann.get(f"/conversations/{story.key}/messages").json if one["id"] == answer.json["id"]]
    assert shown["file"] == {"state": "fetched", "mime_type": "image/jpeg", "size": len(PHOTO), "name": "parcel.jpg"}
    own = ann.get(f"/conversations/{story.key}/messages/{answer.json['id']}/file", buffered=True)
    assert (own.data, own.content_type) == (PHOTO, "image/jpeg")
    with ledger.reading() as tx:
        content = transcript.messages_of(tx, story.id)[-1].content
    assert isinstance(content, Media) and content.kind == "image"
    assert [path.name for path in media.iterdir()] == [content.file]


def test_the_same_key_many_times_at_once_is_one_message_and_one_file(
    ann: Api, story: seeding.Story, ledger: Ledger, media: Path
) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: send(ann, story.key, PHOTO, "a.jpg", "once"), range(6)))
    assert {one.status_code for one in answers} == {200} and len({one.json["id"] for one in answers}) == 1
    with ledger.reading() as tx:
        assert tx.execute(sa.select(sa.func.count()).where(messages.c.type == "image")).scalar() == 1
    assert len(list(media.iterdir())) == 1
    other = send(ann, story.key, b"%PDF-1.7", "b.pdf", "once")
    assert (other.status_code, other.json["error"]) == (422, "key_used")
    assert len(list(media.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "content", "form", "why"),
    [
        ("a.exe", b"MZ\0\0", {}, "WhatsApp takes photos"),
        ("a.jpg", b"", {}, "it is empty"),
        ("a.gif", b"GIF89a", {}, "none of them"),
        ("a.jpg", LARGE, {}, "at most 5 MB, this has 5.0 MB; send it as a document"),
        ("a.mp3", b"ID3...", {"caption": "listen"}, "no words with sound"),
        ("a.jpg", PHOTO, {"caption": "x" * 1025}, "at most 1024 characters"),
    ],
    ids=["a program", "empty", "a GIF", "a large photo", "words with sound", "a long caption"],
)
def test_what_whatsapp_would_refuse_is_refused_at_once_with_what_to_do(
    ann: Api, story: seeding.Story, media: Path, name: str, content: bytes, form: dict[str, str], why: str
) -> None:
    answer = send(ann, story.key, content, name, **form)
    assert answer.status_code == 422 and why in answer.json["message"]
    assert not list(media.iterdir())


def test_a_large_photo_goes_as_a_document(ann: Api, story: seeding.Story) -> None:
    answer = send(ann, story.key, LARGE, "a.jpg", as_document="1")
    assert (answer.status_code, answer.json["type"]) == (200, "document")


def test_only_who_holds_it_sends_files_and_only_while_the_window_is_open(
    ann: Api, ben: Api, story: seeding.Story, media: Path, clock: Clock
) -> None:
    assert send(ben, story.key, PHOTO, "a.jpg").json["error"] == "not_yours"
    clock.forward(hours=25)
    assert send(ann, story.key, PHOTO, "a.jpg").json["error"] == "window_closed"
    assert not list(media.iterdir())


def test_a_body_as_large_as_a_file_is_refused_everywhere_else(ann: Api, story: seeding.Story) -> None:
    answer = ann.post(f"/conversations/{story.key}/reply", json={"text": "x" * 100_000})
    assert answer.status_code == 413


def test_a_file_that_failed_is_sent_again_with_its_file(ann: Api, story: seeding.Story, ledger: Ledger) -> None:
    sent = send(ann, story.key, PHOTO, "a.jpg").json["id"]
    story.sent(refuse="The number can't be reached on WhatsApp right now (131026)")
    again = ann.post(f"/messages/{sent}/again").json["id"]
    with ledger.reading() as tx:
        both = uploads.of(tx, [int(sent), int(again)])
    assert both[int(sent)] == both[int(again)]
    assert ann.get(f"/conversations/{story.key}/messages/{again}/file", buffered=True).data == PHOTO


def test_a_reply_quotes_a_message_from_the_page(app: Flask, ledger: Ledger) -> None:
    account, password = seeding.an_account_with_password(ledger, "ann@fernhill.example", Role.AGENT, "Ann Lee")
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(account)
    browser = signed_in(app, account.email, password)
    with ledger.reading() as tx:
        asked = transcript.messages_of(tx, story.id)[0]
    page = browser.get(f"/conversations/{story.key}").text
    assert f'data-quotes="{asked.id}"' in page
    browser.post(f"/conversations/{story.key}/reply", data={"text": "yes", "to": str(asked.id)})
    with ledger.reading() as tx:
        assert transcript.messages_of(tx, story.id)[-1].reply_to == asked.wamid


# --- quick replies


def test_quick_replies_are_own_or_shared_and_only_who_leads_changes_shared_ones(
    ann: Api, ben: Api, sue: Api, story: seeding.Story, ledger: Ledger
) -> None:
    with ledger.writing() as tx:
        quick_replies.make(tx, sue.account, Wanted("/Hello", "Hello {first_name}", "all"), NOW)
        quick_replies.make(tx, sue.account, Wanted("team", "We of {team}", "team 1"), NOW)
        own = quick_replies.make(tx, ann.account, Wanted("hello", "Hi, Ann here", "own"), NOW)
    with ledger.reading() as tx:
        offered = {one.name: one.text for one in quick_replies.offered(tx, ann.account, story.id)}
        assert offered == {"hello": "Hi, Ann here", "team": "We of {team}"}, "of one name the own one wins"
        assert {one.text for one in quick_replies.of(tx, ben.account)} == {"Hello {first_name}", "We of {team}"}
        assert [one.name for one in quick_replies.of(tx, ben.account, find="WE OF")] == ["team"]
        shared = next(one for one in quick_replies.of(tx, ben.account) if one.name == "hello")
    with pytest.raises(RoleForbids), ledger.writing() as tx:
        quick_replies.make(tx, ann.account, Wanted("x", "y", "all"), NOW)
    with pytest.raises(RoleForbids), ledger.writing() as tx:
        quick_replies.change(tx, shared.id, ann.account, Wanted("hello", "mine now", "own"), NOW)
    with pytest.raises(UnknownQuickReply), ledger.writing() as tx:
        quick_replies.retire(tx, own.id, ben.account, NOW)


def test_a_name_is_taken_once_and_free_again_once_retired(ann: Api, ledger: Ledger) -> None:
    def makes(text: str) -> int:
        with ledger.writing() as tx:
            return quick_replies.make(tx, ann.account, Wanted("bye", text), NOW).id

    first = makes("Bye")
    with pytest.raises(BadQuickReply, match="/bye already"):
        makes("Bye bye")
    for _ in range(2):
        with ledger.writing() as tx:
            quick_replies.retire(tx, first, ann.account, NOW)
    makes("Bye bye")
    with pytest.raises(BadQuickReply), ledger.writing() as tx:
        quick_replies.bring_back(tx, first, ann.account, NOW)
    for name, text in (("two words", "x"), ("", "x"), ("ok", " "), ("ok", "x" * 4097)):
        with pytest.raises(BadQuickReply), ledger.writing() as tx:
            quick_replies.make(tx, ann.account, Wanted(name, text), NOW)


def test_the_page_of_quick_replies_makes_edits_finds_and_retires(app: Flask, ledger: Ledger) -> None:
    _, password = seeding.an_account_with_password(ledger, "ann@fernhill.example", Role.AGENT, "Ann Lee")
    ann = signed_in(app, "ann@fernhill.example", password)
    assert "There is none yet" in ann.get("/quick-replies").text
    assert ann.post("/quick-replies", data={"name": "bye", "text": "Bye <b>{first_name}</b>"}).status_code == 303
    with ledger.reading() as tx:
        id_ = tx.execute(sa.select(quick_replies.quick_replies.c.id)).scalar_one()
    assert "Bye &lt;b&gt;" in ann.get("/quick-replies?find=by").text
    refused = ann.post("/quick-replies", data={"name": "a b", "text": "kept in the form"})
    assert refused.status_code == 422 and "kept in the form" in refused.text and "no blanks" in refused.text
    assert ann.post("/quick-replies", data={"name": "all", "text": "x", "whose": "all"}).status_code == 403
    ann.post(f"/quick-replies/{id_}", data={"name": "bye", "text": "See you"})
    assert "See you" in ann.get(f"/quick-replies/{id_}").text
    ann.post(f"/quick-replies/{id_}/retire")
    assert "Bring back" in ann.get("/quick-replies").text
    ann.post(f"/quick-replies/{id_}/back")
    assert "Bring back" not in ann.get("/quick-replies").text
    assert ann.get("/quick-replies/999").status_code == 404


def test_what_is_known_is_filled_in_and_what_is_not_is_marked(app: Flask, ledger: Ledger) -> None:
    account, password = seeding.an_account_with_password(ledger, "ann@fernhill.example", Role.AGENT, "Ann Lee")
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(account)
    with ledger.writing() as tx:
        text = "Hi {first_name}, {agent} here: order {order}, to {address}?"
        quick_replies.make(tx, account, Wanted("where", text), NOW)
    listed = signed_in(app, account.email, password).get(f"/conversations/{story.key}/quick").text
    assert 'data-text="Hi Mia, Ann Lee here: order F-20418, to {address}?"' in listed
    assert "to fill in: address" in listed


# --- templates


READY = MessageTemplate(
    "answer_ready",
    "en",
    "UTILITY",
    "APPROVED",
    ({"type": "HEADER", "format": "TEXT", "text": "About {{1}}"}, {"type": "BODY", "text": "Hi {{first_name}}!"}),
)
OFFERS = MessageTemplate("offers", "en", "MARKETING", "APPROVED", ({"type": "BODY", "text": "20% off"},))


def test_a_template_is_sent_once_from_the_page_when_the_window_is_closed(
    app: Flask, ledger: Ledger, clock: Clock
) -> None:
    account, password = seeding.an_account_with_password(ledger, "ann@fernhill.example", Role.AGENT, "Ann Lee")
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(account)
    with ledger.writing() as tx:
        tx.execute(sa.delete(templates))
        errands.keep_templates(tx, [READY, OFFERS], NOW)
        contacts_of = transcript.conversation(tx, story.key).contact.id
        tx.execute(sa.text("UPDATE contacts SET marketing_stopped_at = :at WHERE id = :id"),
                   {"at": NOW.isoformat(sep=" "), "id": contacts_of})  # fmt: skip
    clock.forward(hours=11)
    ann = signed_in(app, account.email, password)
    clock.now = NOW + timedelta(hours=25)
    ann = signed_in(app, account.email, password)
    panel = ann.get(f"/conversations/{story.key}/templates").text
    assert 'value="Mia"' in panel and "has stopped marketing" in panel
    form = {"name": "answer_ready", "language": "en", "header": "F-20418", "gap-first_name": "Mia", "client_key": "k"}
    for _ in range(3):
        assert ann.post(f"/conversations/{story.key}/template", data=form).status_code == 303
    with ledger.reading() as tx:
        said = [one.text for one in transcript.messages_of(tx, story.id) if one.type == "template"]
    assert said == ["Hi Mia!"]
    refused = ann.post(f"/conversations/{story.key}/template", data={"name": "offers", "language": "en"})
    assert refused.status_code == 409


# --- drafts


def answered(ledger: Ledger, agent: Api, n: int, asked: str, answer: str, **slots: str) -> seeding.Story:
    told = seeding.a_handoff(ledger, NOW, ("Mia Turner", "Tom Achterberg", "Joe Mbeki")[n], f"44770090020{n}")
    told.taken_by(agent.account)
    told.says(asked, intent=None)
    if answer:
        told.replies(agent.account, answer)
    return told


def test_what_was_answered_before_is_suggested_without_what_was_somebodys_own(ann: Api, ledger: Ledger) -> None:
    answer = "Of course, Mia! Ann here. Bristol has F-20418 ready; ask Kim, call 07700 900123 or mia@x.example."
    answered(ledger, ann, 0, "can you keep a tent for me in the store until saturday", answer)
    with ledger.reading() as tx:
        kept = tx.execute(sa.select(past_answers)).one()
    for own in ("Mia", "Kim", "07700", "mia@", "F-20418"):
        assert own not in kept.answer and own not in kept.asked
    tom = answered(ledger, ann, 1, "could you keep a tent for me until saturday in the store?", "")
    with ledger.reading() as tx:
        one = transcript.conversation(tx, tom.key)
        (draft,) = suggesting.drafts(tx, suggesting.Book(), one, ann.account)
    assert draft.text.startswith("Of course, Tom! ") and "ask {someone}" in draft.text and "{number}" in draft.text
    joe = answered(ledger, ann, 2, "my card was charged twice, what now?", "")
    with ledger.reading() as tx:
        one = transcript.conversation(tx, joe.key)
        assert suggesting.drafts(tx, suggesting.Book(), one, ann.account) == [], "nothing is better than a guess"


def test_the_bots_own_answer_is_suggested_and_only_to_who_may_answer(app: Flask, ledger: Ledger) -> None:
    account, password = seeding.an_account_with_password(ledger, "ann@fernhill.example", Role.AGENT, "Ann Lee")
    story = seeding.a_handoff(ledger, NOW)
    ann = signed_in(app, account.email, password)
    story.says("how do i get my money back for something i bought", intent=None)
    assert ann.get(f"/conversations/{story.key}/drafts").text.strip() == ""
    story.taken_by(account)
    shown = ann.get(f"/conversations/{story.key}/drafts").text
    assert "30 days" in shown and "bot</span>" in shown
    story.replies(account, "You have thirty days for that, and it is free in any store.")
    assert ann.get(f"/conversations/{story.key}/drafts").text.strip() == ""


def test_a_sent_file_is_claimed_with_what_the_sender_needs(ann: Api, story: seeding.Story, ledger: Ledger) -> None:
    story.sent(Status.DELIVERED)
    sent = send(ann, story.key, PHOTO, "parcel.jpg", caption="this?").json["id"]
    with ledger.writing() as tx:
        claimed = outbox.claim(tx, NOW + timedelta(minutes=5))
    assert claimed is not None and str(claimed.id) == sent
    assert isinstance(claimed.content, Media) and claimed.content.mime_type == "image/jpeg"


def test_content_staff_read_along_and_send_nothing(app: Flask, ledger: Ledger, story: seeding.Story) -> None:
    cleo = an_api(app, ledger, "cleo@fernhill.example", Role.CONTENT)
    assert send(cleo, story.key, PHOTO, "a.jpg").json["error"] == "role_forbids"
