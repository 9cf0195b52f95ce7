"""What contacts sent is seen by who is signed in, in the conversation it belongs to, and can never run."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import sync_playwright
from werkzeug.serving import make_server

from bot.ledger import files, inbox
from bot.ledger.tables import conversations, messages
from bot.ledger.transaction import Ledger
from bot.messages import Inbound, Media, Place, Reaction, Text
from bot.settings import Settings
from bot.updates import ContactRef, Deleted, Echoed, Edited, Origin, Received
from bot.vocabulary import Role
from connectors.whatsapp.simulator.contents import PARCEL, VOICE_NOTE
from handoff import feed
from handoff.app import create_app
from tests import parts
from tests.factories import MIA, NOW, NUMBER, SAM, a_wamid
from tests.handoff import seeding
from tests.handoff.conftest import Clock, signed_in

PHOTO = PARCEL.read_bytes()
BROWSERS_MUST_NOT_RUN = [
    ("image/svg+xml", "logo.svg"),
    ("text/html", "invoice.html"),
    ("application/octet-stream", "photo.jpg"),
    ("application/xhtml+xml", "x.xhtml"),
    ("text/plain", "note.txt"),
    ("application/msword", "letter.doc"),
]


@dataclass
class Desk:
    """A desk with a media folder, Ann's browser, and a token."""

    app: Flask
    ledger: Ledger
    media: Path
    browser: FlaskClient
    token: str

    def hears(self, content: Inbound, contact: ContactRef = MIA, **more: object) -> tuple[str, int]:
        """A contact writes; return the conversation's key and the message."""
        update = Received(a_wamid(), NUMBER, contact, content, NOW)
        return self.records(replace(update, **more))  # type: ignore[arg-type]

    def records(self, update: Received | Echoed) -> tuple[str, int]:
        with self.ledger.writing() as tx:
            inbox.record(tx, b"{}", [update], NOW)
            found = sa.select(conversations.c.key, messages.c.id).join(messages).where(messages.c.wamid == update.wamid)
            row = tx.execute(found).one()
        return str(row.key), int(row.id)

    def changes(self, update: Edited | Deleted) -> None:
        with self.ledger.writing() as tx:
            inbox.record(tx, b"{}", [update], NOW)

    def comes(self, message_id: int, content: bytes, mime_type: str) -> Path:
        """The file of a message has been fetched."""
        self.media.mkdir(exist_ok=True)
        path = self.media / f"in-{message_id}-abc"
        path.write_bytes(content)
        with self.ledger.writing() as tx:
            files.fetched(tx, message_id, name=path.name, size=len(content), mime_type=mime_type, now=NOW)
        return path

    def sent(self, content: bytes, media: Media, contact: ContactRef = MIA, **more: object) -> tuple[str, int]:
        key, message_id = self.hears(media, contact, **more)
        self.comes(message_id, content, media.mime_type)
        return key, message_id

    def get(self, path: str, **more: object):  # type: ignore[no-untyped-def]
        """Ann's browser asks, and reads all of the answer."""
        return self.browser.get(path, buffered=True, **more)  # type: ignore[arg-type]

    def page(self, key: str) -> str:
        answer = self.get(f"/conversations/{key}")
        assert answer.status_code == 200
        return answer.text


@pytest.fixture
def desk(quick_url: str, quick_ledger: Ledger, tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    app = create_app(Settings(database_url=quick_url, home=tmp_path), now=clock)
    account, password = seeding.an_account_with_password(quick_ledger, "ann@fernhill.example", Role.AGENT, "Ann Lee")
    browser = signed_in(app, "ann@fernhill.example", password)
    yield Desk(app, quick_ledger, tmp_path / "media", browser, seeding.a_token(quick_ledger, account, NOW))
    with app.app_context():
        feed.feed().stop()


def a_photo(caption: str = "") -> Media:
    return Media("image", media_id="1", mime_type="image/jpeg", caption=caption)


def a_document(filename: str, mime_type: str = "application/pdf") -> Media:
    return Media("document", media_id="1", mime_type=mime_type, filename=filename)


def test_a_photo_is_shown_and_can_be_opened(desk: Desk) -> None:
    key, message_id = desk.sent(PHOTO, a_photo("the <b>porch</b>"))
    address = f"/conversations/{key}/files/{message_id}"
    page = desk.page(key)
    assert f'href="{address}"' in page and f'<img src="{address}"' in page
    assert "the &lt;b&gt;porch" in page
    answer = desk.get(address)
    headers = answer.headers
    assert (answer.status_code, answer.data, answer.content_type) == (200, PHOTO, "image/jpeg")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox"
    assert headers["Cache-Control"] == "private, max-age=600"
    assert headers["Vary"] == "Cookie, Authorization"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Content-Disposition"] == f"inline; filename=whatsapp-{message_id}.jpg"


def test_a_voice_note_can_be_sought_in(desk: Desk) -> None:
    sound = VOICE_NOTE.read_bytes()
    key, message_id = desk.sent(sound, Media("audio", media_id="1", mime_type="audio/ogg", voice=True))
    page = desk.page(key)
    assert re.search(r"<audio controls[^>]*aria-label=\"Voice note\"", page)
    address = f"/conversations/{key}/files/{message_id}"
    part = desk.get(address, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.data, part.content_type) == (206, sound[100:200], "audio/ogg")
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(sound)}"
    assert desk.get(address, headers={"Range": "bytes=99999999-"}).status_code == 416
    same = desk.get(address, headers={"If-None-Match": part.headers["ETag"]})
    assert (same.status_code, same.data) == (304, b"")
    assert "media-src 'self'" in desk.get("/").headers["Content-Security-Policy"]


def test_a_document_is_only_ever_saved_under_a_name_that_leads_nowhere(desk: Desk) -> None:
    key, message_id = desk.sent(b"%PDF-1.7", a_document('../../räk"ning\r\nSet-Cookie: x; 2026.pdf'))
    assert "download>" in desk.page(key) and "8 bytes" in desk.page(key)
    answer = desk.get(f"/conversations/{key}/files/{message_id}")
    assert answer.content_type == "application/pdf"
    said = answer.headers["Content-Disposition"]
    assert said.startswith("attachment; filename=") and "filename*=UTF-8''" in said
    assert not set("\r\n/\\") & set(said) and "r%C3%A4kning" in said
    assert "Set-Cookie" not in dict(answer.headers)


@pytest.mark.parametrize(("mime_type", "filename"), BROWSERS_MUST_NOT_RUN)
@pytest.mark.parametrize("kind", ["image", "document", "audio", "video", "sticker"])
def test_what_could_run_is_never_shown(desk: Desk, kind: str, mime_type: str, filename: str) -> None:
    content = Media(kind, media_id="1", mime_type=mime_type, filename=filename)
    key, message_id = desk.sent(b"<script>alert(1)</script>", content)
    answer = desk.get(f"/conversations/{key}/files/{message_id}")
    assert answer.content_type == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    page = desk.page(key)
    assert "<img src" not in page and "<audio" not in page and "<video" not in page and "download>" in page


def test_a_photo_that_is_none_is_offered_with_a_warning(desk: Desk) -> None:
    key, message_id = desk.hears(a_photo())
    desk.comes(message_id, b"MZ", "application/octet-stream")
    assert "Careful: this is not the kind of file it says it is." in desk.page(key)


def test_sound_no_browser_plays_is_offered_for_saving(desk: Desk) -> None:
    key, _ = desk.sent(b"#!AMR", Media("audio", media_id="1", mime_type="audio/amr"))
    assert "Save the audio</a>" in desk.page(key) and "<audio" not in desk.page(key)


def test_who_is_not_signed_in_sees_the_door(desk: Desk) -> None:
    key, message_id = desk.sent(PHOTO, a_photo())
    stranger = desk.app.test_client()
    answer = stranger.get(f"/conversations/{key}/files/{message_id}")
    assert (answer.status_code, answer.headers["Location"].startswith("/signin")) == (303, True)
    assert stranger.get(f"/api/v1/conversations/{key}/messages/{message_id}/file").status_code == 401
    assert desk.get(f"/api/v1/conversations/{key}/messages/{message_id}/file").status_code == 401


def test_a_program_gets_it_with_its_token(desk: Desk) -> None:
    key, message_id = desk.sent(PHOTO, a_photo())
    client, headers = desk.app.test_client(), {"Authorization": f"Bearer {desk.token}"}
    answer = client.get(f"/api/v1/conversations/{key}/messages/{message_id}/file", headers=headers, buffered=True)
    assert (answer.status_code, answer.data) == (200, PHOTO)
    missing = client.get(f"/api/v1/conversations/{key}/messages/999/file", headers=headers)
    assert (missing.status_code, missing.json) == (404, {"error": "not_found", "message": "There is no such file."})


def test_a_file_is_reached_by_its_own_conversation_only(desk: Desk) -> None:
    _, message_id = desk.sent(PHOTO, a_photo())
    other, _ = desk.hears(Text("hi"), SAM)
    for path in (
        f"/conversations/{other}/files/{message_id}",
        f"/conversations/nobody/files/{message_id}",
        f"/conversations/{other}%00/files/{message_id}",
        f"/conversations/{other}/files/{2**70}",
        f"/conversations/{other}/files/-1",
        f"/conversations/{other}/files/..%2f..%2fbaton.db",
    ):
        answer = desk.get(path)
        assert (answer.status_code, PHOTO in answer.data) == (404, False), path


def test_a_name_in_the_ledger_can_not_lead_out_of_the_folder(desk: Desk, tmp_path: Path) -> None:
    key, message_id = desk.hears(a_photo())
    (tmp_path / "secret").write_text("secret")
    desk.media.mkdir()
    with desk.ledger.writing() as tx:
        files.fetched(tx, message_id, name="../secret", size=6, mime_type="image/jpeg", now=NOW)
    assert desk.get(f"/conversations/{key}/files/{message_id}").status_code == 404


def test_what_was_taken_back_is_gone_for_everybody(desk: Desk) -> None:
    key, message_id = desk.sent(PHOTO, a_photo("my porch"), wamid="wamid.photo")
    desk.changes(Deleted(a_wamid(), "wamid.photo", NOW))
    assert desk.get(f"/conversations/{key}/files/{message_id}").status_code == 404
    page = desk.page(key)
    assert "The contact took this back." in page
    assert "my porch" not in page and "<img src" not in page


def test_a_file_that_vanished_from_the_disk_is_a_sentence(desk: Desk) -> None:
    key, message_id = desk.hears(a_photo())
    desk.comes(message_id, PHOTO, "image/jpeg").unlink()
    answer = desk.get(f"/conversations/{key}/files/{message_id}")
    assert (answer.status_code, "no longer on the desk" in answer.text) == (404, True)


@pytest.mark.parametrize("state", ["waiting", "trying", "gone", "refused"])
def test_a_file_that_is_not_there_is_a_sentence_and_the_message_stays(desk: Desk, state: str) -> None:
    key, message_id = desk.hears(a_photo("look at this"))
    with desk.ledger.writing() as tx:
        files.want(tx, NOW)
        match state:
            case "trying":
                files.try_later(tx, message_id, "no answer", NOW)
            case "gone":
                files.give_up(tx, message_id, "WhatsApp has it no more", NOW)
            case "refused":
                files.refuse(tx, message_id, "it is larger than 16 MB", NOW)
    sentence = {
        "waiting": "Being fetched from WhatsApp …",
        "trying": "Not here yet: no answer. It is tried again by itself.",
        "gone": "It could not be fetched: WhatsApp has it no more. Ask for it to be sent again.",
        "refused": "It was not fetched: it is larger than 16 MB.",
    }[state]
    page = desk.page(key)
    assert sentence in page and "look at this" in page and "<img src" not in page
    answer = desk.get(f"/conversations/{key}/files/{message_id}")
    assert (answer.status_code, sentence in answer.text) == (404, True)


def test_looking_at_pictures_does_not_keep_a_session_alive(desk: Desk, clock: Clock) -> None:
    key, message_id = desk.sent(PHOTO, a_photo())
    for _ in range(3):
        clock.forward(hours=5)
        last = desk.get(f"/conversations/{key}/files/{message_id}").status_code
    assert last == 303


def test_what_was_sent_from_the_phone_says_so(desk: Desk) -> None:
    key, message_id = desk.records(Echoed(a_wamid(), NUMBER, MIA, a_photo(), NOW))
    desk.comes(message_id, PHOTO, "image/jpeg")
    page = desk.page(key)
    assert "From the phone" in page and "<img src" in page


def test_where_a_message_came_from_is_said(desk: Desk) -> None:
    key, _ = desk.hears(Text("one"), origin=Origin(forwarded=True))
    desk.hears(Text("two"), origin=Origin(forwarded=True, forwarded_often=True))
    desk.hears(Text("three"), origin=Origin(referral={"source_type": "ad", "headline": "Spring <at> Fernhill"}))
    desk.hears(Text("four"), origin=Origin(product={"product_retailer_id": "FH-TROWEL"}))
    page = desk.page(key)
    for said in (">Forwarded<", ">Forwarded many times<", "About the product FH-TROWEL"):
        assert page.count(said) == 1, said
    assert "Came from an advertisement: Spring &lt;at&gt; Fernhill" in page


def test_an_edit_is_marked_and_shown_in_its_last_wording(desk: Desk) -> None:
    key, _ = desk.hears(Text("at five"), wamid="wamid.words")
    desk.changes(Edited(a_wamid(), "wamid.words", Text("at six"), NOW))
    page = desk.page(key)
    assert "at six" in page and "at five" not in page and "<span>edited</span>" in page


def test_a_reaction_stands_under_its_message_once_and_can_be_taken_away(desk: Desk) -> None:
    key, _ = desk.hears(Text("hello"), wamid="wamid.words")
    for emoji in ("👍", "❤️"):
        desk.hears(Reaction("wamid.words", emoji))
    page = desk.page(key)
    assert page.count("❤️") == 1 and "👍" not in page and page.count("<article") == 1
    desk.hears(Reaction("wamid.words", ""))
    assert "❤️" not in desk.page(key) and desk.page(key).count("<article") == 1
    desk.hears(Reaction("wamid.of-something-old", "🎉"))
    assert "🎉" in desk.page(key)  # what it stood under is out of sight


def test_what_is_quoted_is_named_even_after_it_was_taken_back(desk: Desk) -> None:
    key, _ = desk.sent(PHOTO, a_photo(), wamid="wamid.photo")
    desk.hears(Text("this one"), reply_to="wamid.photo")
    assert "[Photo]" in desk.page(key)
    desk.changes(Deleted(a_wamid(), "wamid.photo", NOW))
    assert desk.page(key).count("The contact took this back.") == 2


def test_the_api_tells_all_that_the_page_shows_beside_the_words(desk: Desk) -> None:
    key, quoted = desk.hears(Text("which one?"), wamid="wamid.words")
    ad = {"source_type": "ad", "headline": "Spring"}
    desk.hears(Text("this one"), reply_to="wamid.words", origin=Origin(forwarded=True, referral=ad))
    desk.hears(Text("that one"), reply_to="wamid.of-something-old")
    desk.hears(Reaction("wamid.words", "👍"))
    desk.hears(Reaction("wamid.of-something-old", ""))
    desk.hears(Place(51.4545, -2.5879, name="Here", address="College Green"))
    asked = {"Authorization": f"Bearer {desk.token}"}
    plain, *others = desk.get(f"/api/v1/conversations/{key}/messages", headers=asked).json
    assert set(plain) == {"id", "author", "text", "type", "at", "status", "intent", "confidence"}
    beside = [{name: one[name] for name in one if name not in plain} for one in others]
    unknown = "wamid.of-something-old"
    assert beside == [
        {
            "quotes": {"id": str(quoted), "wamid": "wamid.words", "author": "contact", "text": "which one?"},
            "origin": {"forwarded": True, "referral": ad},
        },
        {"quotes": {"id": None, "wamid": unknown, "author": None, "text": None}},
        {"reaction": {"emoji": "👍", "to": str(quoted), "wamid": "wamid.words"}},
        {"reaction": {"emoji": "", "to": None, "wamid": unknown}},
        {"place": {"latitude": 51.4545, "longitude": -2.5879, "name": "Here", "address": "College Green", "url": ""}},
    ]


def test_the_api_tells_what_became_of_words_that_were_changed_and_taken_back(desk: Desk) -> None:
    key, quoted = desk.hears(Text("at five"), wamid="wamid.words")
    desk.hears(Text("yes"), reply_to="wamid.words")
    desk.changes(Edited(a_wamid(), "wamid.words", Text("at six"), NOW))
    asked = {"Authorization": f"Bearer {desk.token}"}
    words, answer = desk.get(f"/api/v1/conversations/{key}/messages", headers=asked).json
    assert (words["text"], words["edited_at"], words["deleted_at"]) == ("at six", NOW.isoformat(), None)
    assert answer["quotes"]["text"] == "at six"
    desk.changes(Deleted(a_wamid(), "wamid.words", NOW))
    words, answer = desk.get(f"/api/v1/conversations/{key}/messages", headers=asked).json
    assert (words["text"], words["deleted_at"]) == ("", NOW.isoformat())
    assert (answer["quotes"]["id"], answer["quotes"]["text"]) == (str(quoted), "")


def test_who_hides_their_number_is_called_by_their_username(desk: Desk) -> None:
    hidden = ContactRef(phone=None, bsuid="GB.hidden", name="", username="mia.t")
    key, _ = desk.hears(Text("hello"), hidden)
    assert "@mia.t" in desk.page(key)
    assert "@mia.t" in desk.get("/list?show=bot").text


def test_a_real_browser_shows_the_picture_and_seeks_in_the_sound(desk: Desk) -> None:
    """Under our own Content-Security-Policy, with a session of its own."""
    path = parts.chromium()
    if path is None:
        parts.skip("no Chromium")
    key, _ = desk.sent(PHOTO, a_photo())
    desk.sent(VOICE_NOTE.read_bytes(), Media("audio", media_id="1", mime_type="audio/ogg", voice=True))
    _, password = seeding.an_account_with_password(desk.ledger, "ben@fernhill.example", Role.AGENT, "Ben")
    server = make_server("127.0.0.1", 0, desk.app, threaded=True)
    server.daemon_threads = True  # type: ignore[attr-defined]
    server.block_on_close = False  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.goto(f"http://127.0.0.1:{server.server_port}/conversations/{key}")
        page.fill("#email", "ben@fernhill.example")
        page.fill("#password", password)
        page.press("#password", "Enter")
        sound = page.locator("audio")
        sound.wait_for()
        assert parts.eventually(lambda: page.locator(".picture img").evaluate("shown => shown.naturalWidth") > 0)
        assert parts.eventually(lambda: sound.evaluate("heard => heard.duration > 1"))
        sought = (
            "heard => new Promise(done => { heard.onseeked = () => done(heard.currentTime); heard.currentTime = 2; })"
        )
        assert sound.evaluate(sought) == 2
        with page.context.expect_page() as opened:
            page.locator(".picture").click()
        opened.value.wait_for_load_state()
        assert opened.value.evaluate("document.images[0].naturalWidth") > 0
        assert complaints == []
        browser.close()
    server.shutdown()
    server.server_close()
