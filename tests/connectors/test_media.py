"""Files contacts send come to us whole, or say why not; and whatever goes wrong, the message stays."""

from __future__ import annotations

import base64
import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, Response, jsonify, redirect, request
from werkzeug.serving import make_server

from bot import clock
from bot.ledger import alarms, files, inbox, transcript
from bot.ledger.files import LEASE, File
from bot.ledger.tables import files as table
from bot.ledger.tables import messages
from bot.ledger.transaction import Ledger
from bot.messages import Media
from bot.updates import Deleted, Echoed, Received
from bot.vocabulary import FileState
from connectors.whatsapp import webhook
from connectors.whatsapp.client import CloudApi
from connectors.whatsapp.errors import (
    MediaGone,
    NotConnected,
    Refused,
    SignedOut,
    Throttled,
    TooBig,
    Unreachable,
    WhatsAppError,
)
from connectors.whatsapp.media import Fetcher, Follow, NotAsAnnounced, real_type, what_follows
from connectors.whatsapp.sender import Duties, Sender
from connectors.whatsapp.simulator.contents import PARCEL, VOICE_NOTE
from tests.connectors.stage import NUMBER, TOKEN, Stage, a_business, a_stage, wait_for
from tests.factories import MIA as MIA_REF
from tests.factories import a_wamid
from tests.parts import eventually, free_port

PHOTO = PARCEL.read_bytes()


@dataclass
class Clock:
    """The real time, and what a test adds to it."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return clock.now() + self.ahead

    def forward(self, **passed: float) -> None:
        self.ahead += timedelta(**passed)


@dataclass
class Desk:
    """A ledger, a media folder, and a fetcher that is told when to work."""

    ledger: Ledger
    folder: Path
    url: str
    now: Clock = field(default_factory=Clock)
    stop: threading.Event = field(default_factory=threading.Event)

    def fetcher(self, **more: Any) -> Fetcher:
        return Fetcher(self.ledger, CloudApi(self.url, "v25.0", TOKEN), self.now, self.folder, self.stop, **more)

    def fetch(self) -> None:
        self.fetcher().fetch_any()

    def file(self) -> File:
        """The newest file."""
        with self.ledger.reading() as tx:
            newest = tx.execute(sa.select(sa.func.max(table.c.message_id))).scalar_one()
            return files.of(tx, [newest])[newest]

    def says(self) -> list[str]:
        with self.ledger.reading() as tx:
            return [said.type for one in transcript.list_of(tx) for said in transcript.messages_of(tx, one.id)]

    def alarms(self) -> list[str]:
        with self.ledger.reading() as tx:
            return [alarm.name for alarm in alarms.raised(tx)]

    def on_disk(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*")) if self.folder.is_dir() else []

    def hears(self, *updates: Any) -> int:
        """Record updates; return the newest message."""
        with self.ledger.writing() as tx:
            inbox.record(tx, b"{}", list(updates), self.now())
            return int(tx.execute(sa.select(sa.func.max(messages.c.id))).scalar_one())


@pytest.fixture
def simulated(ledger: Ledger, tmp_path: Path) -> Iterator[tuple[Stage, Desk]]:
    with a_business() as business, a_stage(business) as stage:
        yield stage, Desk(ledger, tmp_path / "media", stage.base)


def sends(stage: Stage, desk: Desk, **asked: Any) -> None:
    """A contact writes; the delivery is recorded as the webhook would."""
    before = len(stage.business.bodies)
    stage.write(**asked)
    wait_for(lambda: len(stage.business.bodies) > before)
    for body in stage.business.bodies[before:]:
        with desk.ledger.writing() as tx:
            inbox.record(tx, body, webhook.read(body, webhook.Numbers((NUMBER,))), desk.now())


def a_file(content: bytes, filename: str, mime_type: str) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode(), "filename": filename, "mime_type": mime_type}


def test_a_photo_is_fetched_whole_into_a_folder_only_we_can_read(simulated: tuple[Stage, Desk]) -> None:
    stage, desk = simulated
    sends(stage, desk, image={"caption": "the porch"})
    assert desk.file().state is FileState.WAITING
    desk.fetch()
    file = desk.file()
    assert (file.state, file.mime_type, file.size, file.error) == (FileState.FETCHED, "image/jpeg", len(PHOTO), "")
    assert desk.on_disk() == [file.name]
    assert (desk.folder / file.name).read_bytes() == PHOTO
    assert stat.S_IMODE(desk.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((desk.folder / file.name).stat().st_mode) == 0o600


def test_a_voice_note_and_a_document_with_a_hostile_name_are_fetched(simulated: tuple[Stage, Desk]) -> None:
    stage, desk = simulated
    sends(stage, desk, audio=True)
    sends(stage, desk, document=a_file(b"%PDF-1.7 ...", "../../../etc/passwd\r\nX: y.pdf", "application/pdf"))
    desk.fetch()
    assert sorted(path.stat().st_size for path in desk.folder.iterdir()) == [12, VOICE_NOTE.stat().st_size]
    assert desk.file().mime_type == "application/pdf"
    assert {path.parent for path in desk.folder.rglob("*")} == {desk.folder}  # nothing climbed out


def test_the_sender_fetches_beside_sending(simulated: tuple[Stage, Desk]) -> None:
    stage, desk = simulated
    sender = Sender(desk.ledger, CloudApi(desk.url, "v25.0", TOKEN), desk.now, Duties(media=desk.folder))
    running = threading.Thread(target=sender.run)
    running.start()
    sends(stage, desk, image=True)
    assert eventually(lambda: desk.file().state is FileState.FETCHED)
    sender.stop()
    running.join(10)
    assert not running.is_alive()


def test_an_expired_address_is_asked_for_again_at_once(simulated: tuple[Stage, Desk]) -> None:
    stage, desk = simulated
    stage.fault("media_expired")
    sends(stage, desk, image=True)
    desk.fetch()
    assert desk.file().state is FileState.FETCHED


def test_an_address_that_had_to_wait_is_not_even_tried(simulated: tuple[Stage, Desk]) -> None:
    stage, desk = simulated
    sends(stage, desk, image=True)
    desk.now.forward(minutes=10)
    with desk.ledger.writing() as tx:
        wanted = files.want(tx, desk.now())
    assert wanted is not None and wanted.url == ""


def test_what_can_not_be_downloaded_is_tried_for_six_days_and_then_gone(simulated: tuple[Stage, Desk]) -> None:
    stage, desk = simulated
    stage.fault("media_gone")
    sends(stage, desk, image=True)
    for _ in range(60):
        desk.fetch()
        if desk.file().state is not FileState.WAITING:
            break
        assert "no longer good" in desk.file().error
        desk.now.forward(hours=6, seconds=1)
    assert desk.file().state is FileState.GONE
    assert timedelta(days=5) < desk.now.ahead < timedelta(days=7)
    assert desk.says() == ["image"]  # the message is still there
    assert desk.on_disk() == []


def test_what_meta_says_it_has_not_is_believed_after_some_hours(simulated: tuple[Stage, Desk]) -> None:
    stage, desk = simulated
    sends(stage, desk, image=True)
    with desk.ledger.writing() as tx:
        tx.execute(sa.update(table).values(media_id="1234567890", url=""))
    for _ in range(20):
        desk.fetch()
        if desk.file().state is not FileState.WAITING:
            break
        desk.now.forward(hours=2)
    assert desk.file().state is FileState.GONE
    assert timedelta(hours=6) < desk.now.ahead < timedelta(days=1)


@pytest.mark.parametrize("fault", ["media_too_large", "media_wrong_hash"])
def test_another_file_than_was_announced_is_not_kept(simulated: tuple[Stage, Desk], fault: str) -> None:
    stage, desk = simulated
    stage.fault(fault, times=2)  # at the delivery's address, and at the one looked up
    sends(stage, desk, image=True)
    desk.fetch()
    assert (desk.file().state, desk.on_disk()) == (FileState.WAITING, [])
    assert "another file" in desk.file().error
    desk.now.forward(minutes=1)
    desk.fetch()
    assert desk.file().state is FileState.FETCHED


def test_what_never_is_as_announced_is_refused(simulated: tuple[Stage, Desk]) -> None:
    stage, desk = simulated
    stage.fault("media_wrong_hash", times=None)
    sends(stage, desk, image=True)
    for _ in range(4):
        desk.fetch()
        desk.now.forward(hours=1)
    assert (desk.file().state, desk.on_disk(), desk.says()) == (FileState.REFUSED, [], ["image"])


@pytest.mark.parametrize("fault", ["media_redirect", "media_unauthorized"])
def test_a_delivery_with_a_bad_address_is_mended_by_the_look_up(simulated: tuple[Stage, Desk], fault: str) -> None:
    stage, desk = simulated
    stage.fault(fault)
    sends(stage, desk, image=True)
    desk.fetch()
    assert desk.file().state is FileState.FETCHED


@pytest.mark.parametrize(
    ("announced", "content", "kept_as"),
    [
        ("image/jpeg", b"<script>alert(1)</script>", "application/octet-stream"),
        ("image/png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "application/octet-stream"),
        ("image/png", b"\xff\xd8\xff\xe0 a photo all the same", "image/jpeg"),
        ("audio/ogg; codecs=opus", b"OggS\x00\x02", "audio/ogg"),
        ("audio/ogg; codecs=opus", b"MZ\x90\x00", "application/octet-stream"),
        ("audio/mpeg", b"ID3\x04", "audio/mpeg"),
        ("audio/mp4", b"\x00\x00\x00\x20ftypM4A ", "audio/mp4"),
        ("audio/aac", b"\xff\xf1\x50\x80", "audio/aac"),
        ("audio/amr", b"#!AMR\n", "audio/amr"),
        ("video/mp4", b"\x00\x00\x00\x20ftypisom", "video/mp4"),
        ("video/mp4", b"\xff\xd8\xff", "application/octet-stream"),
        ("image/webp", b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        ("application/pdf", b"PK\x03\x04", "application/octet-stream"),
        ("application/msword", b"anything", "application/msword"),
        ("", b"\xff\xd8\xff", "application/octet-stream"),
    ],
)
def test_what_claims_to_be_a_picture_is_one_or_is_nothing(announced: str, content: bytes, kept_as: str) -> None:
    assert real_type(announced, content) == kept_as


@pytest.mark.parametrize(
    ("problem", "first", "at_last"),
    [
        (TooBig("b"), Follow.REFUSED, Follow.REFUSED),
        (Refused("r"), Follow.LATER, Follow.REFUSED),
        (NotAsAnnounced("n"), Follow.LATER, Follow.REFUSED),
        (MediaGone("address"), Follow.LATER, Follow.LATER),
        (MediaGone("id", 100), Follow.LATER, Follow.GONE),
        (Unreachable("u"), Follow.LATER, Follow.LATER),
        (NotConnected("n"), Follow.LATER, Follow.LATER),
        (Throttled("t"), Follow.LATER, Follow.LATER),
        (SignedOut("s", 190), Follow.LATER, Follow.LATER),
    ],
)
def test_each_failure_has_its_follow_up(problem: WhatsAppError, first: Follow, at_last: Follow) -> None:
    assert (what_follows(problem, 1), what_follows(problem, 30)) == (first, at_last)


# --- what the simulator does not do, a few lines of Flask do


@dataclass
class Metas:
    """A Graph API of one file."""

    url: str = ""
    content: bytes = PHOTO
    size: int | None = None
    sha256: str = ""
    leads_to: str = ""
    status: int = 200
    error: dict[str, Any] = field(default_factory=dict)
    piece_s: float = 0.0
    fetched: int = 0
    gate: threading.Event | None = None


@contextmanager
def a_meta() -> Iterator[Metas]:
    app, meta = Flask("meta"), Metas()

    @app.get("/v25.0/<media_id>")
    def look_up(media_id: str) -> Any:
        if meta.error:
            return jsonify(error=meta.error), meta.status
        size = len(meta.content) if meta.size is None else meta.size
        return jsonify(id=media_id, url=f"{meta.url}/file", mime_type="image/jpeg", sha256=meta.sha256, file_size=size)

    @app.get("/file")
    def file() -> Any:
        if meta.leads_to:
            return redirect(meta.leads_to)
        meta.fetched += 1

        def bits() -> Iterator[bytes]:
            for start in range(0, len(meta.content), 65536):
                time.sleep(meta.piece_s)
                if meta.gate is not None and start:
                    meta.gate.wait(10)
                yield meta.content[start : start + 65536]

        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        return Response(bits(), content_type="image/jpeg")

    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True  # type: ignore[attr-defined]
    server.block_on_close = False  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    meta.url = f"http://127.0.0.1:{server.server_port}"
    yield meta
    server.shutdown()
    server.server_close()


@pytest.fixture
def meta() -> Iterator[Metas]:
    with a_meta() as found:
        yield found


@pytest.fixture
def desk(ledger: Ledger, tmp_path: Path, meta: Metas) -> Desk:
    return Desk(ledger, tmp_path / "media", meta.url)


def a_photo(wamid: str = "", *, kind: str = "image", sha256: str = "") -> Received:
    content = Media(kind, media_id="77", mime_type="image/jpeg")
    return Received(wamid or a_wamid(), NUMBER, MIA_REF, content, clock.now(), media_sha256=sha256)


def test_the_token_never_goes_where_a_redirect_leads(meta: Metas, desk: Desk) -> None:
    heard: list[str | None] = []
    stranger = Flask("stranger")

    @stranger.get("/<path:path>")
    def listen(path: str) -> str:
        heard.append(request.headers.get("Authorization"))
        return "thank you"

    server = make_server("127.0.0.1", 0, stranger, threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    meta.leads_to = f"http://127.0.0.1:{server.server_port}/stolen"  # this machine too, but another door
    desk.hears(a_photo())
    for _ in range(4):
        desk.fetch()
        desk.now.forward(hours=1)
    server.shutdown()
    server.server_close()
    assert heard == []
    assert (desk.file().state, desk.on_disk(), desk.says()) == (FileState.REFUSED, [], ["image"])
    assert "another host" in desk.file().error


def test_the_token_never_goes_to_an_address_that_is_not_metas(meta: Metas, desk: Desk) -> None:
    with a_meta() as stranger:
        meta.url = stranger.url
        desk.hears(a_photo())
        desk.fetch()
        assert stranger.fetched == 0
    assert "not Meta's" in desk.file().error


@pytest.mark.parametrize("announced", [17 * 2**20, 1000])
def test_a_file_that_is_too_large_is_refused_whatever_is_announced(meta: Metas, desk: Desk, announced: int) -> None:
    meta.content, meta.size = b"\xff\xd8\xff" + bytes(17 * 2**20), announced
    desk.hears(a_photo())
    desk.fetch()
    file = desk.file()
    assert (file.state, file.error, desk.on_disk()) == (FileState.REFUSED, "it is larger than 16 MB", [])


@pytest.mark.parametrize("write", [lambda sum_: sum_.hex(), lambda sum_: base64.b64encode(sum_).decode()])
@pytest.mark.parametrize("right", [True, False])
def test_an_announced_sum_counts_in_hex_and_in_base64(meta: Metas, desk: Desk, write: Any, right: bool) -> None:
    meta.sha256 = write(hashlib.sha256(PHOTO if right else b"other").digest())
    desk.hears(a_photo())
    desk.fetch()
    assert desk.file().state is (FileState.FETCHED if right else FileState.WAITING)


def test_a_lost_token_raises_an_alarm_that_the_next_file_clears(meta: Metas, desk: Desk) -> None:
    meta.status, meta.error = 401, {"code": 190, "message": "expired"}
    desk.hears(a_photo())
    desk.fetch()
    assert (desk.alarms(), desk.file().state) == (["files_signed_out"], FileState.WAITING)
    for _ in range(8):  # for hours; yet when it is mended nobody waits for hours
        desk.now.forward(minutes=5)
        desk.fetch()
    meta.error = {}
    desk.now.forward(minutes=5)
    desk.fetch()
    assert (desk.alarms(), desk.file().state) == ([], FileState.FETCHED)


def test_an_unreachable_meta_is_tried_again(desk: Desk) -> None:
    right = desk.url
    desk.hears(a_photo())
    desk.url = f"http://127.0.0.1:{free_port()}"
    desk.fetch()
    assert desk.file().state is FileState.WAITING
    desk.url = right
    desk.fetch()
    assert desk.file().state is FileState.WAITING  # not at once
    desk.now.forward(seconds=6)
    desk.fetch()
    assert desk.file().state is FileState.FETCHED


def test_a_folder_that_can_not_be_used_costs_an_alarm_and_no_file(meta: Metas, desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("in the way")
    right, desk.folder = desk.folder, tmp_path / "a-file" / "media"
    desk.hears(a_photo())
    fetcher = desk.fetcher()
    fetcher.fetch_any()
    fetcher.fetch_any()
    assert (desk.alarms(), desk.file().state, meta.fetched) == (["files_disk"], FileState.WAITING, 0)
    desk.folder = right
    desk.fetch()
    assert (desk.alarms(), desk.file().state) == ([], FileState.FETCHED)


def test_a_nearly_full_disk_is_left_to_the_database(meta: Metas, desk: Desk) -> None:
    desk.hears(a_photo())
    desk.fetcher(least_free=2**60).fetch_any()
    assert (desk.alarms(), desk.file().state, meta.fetched) == (["files_disk"], FileState.WAITING, 0)
    desk.fetch()
    assert desk.file().state is FileState.FETCHED


def test_a_disk_that_fills_up_in_the_middle_costs_no_file(meta: Metas, desk: Desk) -> None:
    """A file may not grow beyond 4 MB here: to the fetcher that is a disk which takes no more."""
    meta.content = b"\xff\xd8\xff" + bytes(6 * 2**20)
    desk.hears(a_photo())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * 2**20, hard))
    try:
        desk.fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (desk.alarms(), desk.file().state, desk.on_disk()) == (["files_disk"], FileState.WAITING, [])
    desk.now.forward(minutes=2)
    desk.fetch()
    assert (desk.alarms(), desk.file().state) == ([], FileState.FETCHED)


def test_a_large_file_does_not_hold_up_small_ones(meta: Metas, desk: Desk) -> None:
    meta.content, meta.gate = b"\xff\xd8\xff" + bytes(2**20), threading.Event()
    large = desk.hears(a_photo(kind="document"))
    fetcher = desk.fetcher()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(fetcher.fetch_any)
        assert eventually(lambda: meta.fetched == 1)
        gate, meta.gate, meta.content = meta.gate, None, PHOTO
        small = desk.hears(a_photo())
        pool.submit(fetcher.fetch_small).result(10)
        with desk.ledger.reading() as tx:
            found = files.of(tx, [large, small])
        assert [found[large].state, found[small].state] == [FileState.WAITING, FileState.FETCHED]
        gate.set()
        slow.result(10)


def test_told_to_stop_it_gives_the_file_back_for_the_next_process(meta: Metas, desk: Desk) -> None:
    meta.content, meta.gate = b"\xff\xd8\xff" + bytes(2**20), threading.Event()
    desk.hears(a_photo())
    working = threading.Thread(target=desk.fetch)
    working.start()
    assert eventually(lambda: meta.fetched == 1)
    desk.stop.set()
    meta.gate.set()
    working.join(10)
    assert (desk.file().state, desk.on_disk()) == (FileState.WAITING, [])
    desk.stop.clear()
    desk.fetch()
    assert desk.file().state is FileState.FETCHED


KILLED = """
import sys, threading
from pathlib import Path
from bot import clock
from bot.ledger.transaction import Ledger
from connectors.whatsapp.client import CloudApi
from connectors.whatsapp.media import Fetcher
url, database, folder, token = sys.argv[1:]
Fetcher(Ledger(database), CloudApi(url, "v25.0", token), clock.now, Path(folder), threading.Event()).fetch_any()
"""


def test_killed_in_the_middle_it_is_fetched_again_and_the_half_is_swept(
    meta: Metas, desk: Desk, database_url: str
) -> None:
    meta.content, meta.gate = b"\xff\xd8\xff" + bytes(2**20), threading.Event()
    desk.hears(a_photo())
    process = subprocess.Popen([sys.executable, "-c", KILLED, meta.url, database_url, str(desk.folder), TOKEN])
    assert eventually(lambda: any(name.endswith(".part") for name in desk.on_disk()), 30)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    meta.gate.set()
    desk.fetch()
    assert desk.file().state is FileState.WAITING  # as far as we know somebody is at it
    desk.now.forward(seconds=LEASE.total_seconds() + 1)
    desk.fetch()
    assert (desk.file().state, len(desk.on_disk())) == (FileState.FETCHED, 2)
    desk.fetcher().sweep()
    assert len(desk.on_disk()) == 2  # it might be somebody's
    desk.now.forward(hours=2)
    desk.fetcher().sweep()
    assert desk.on_disk() == [desk.file().name]


def test_a_file_that_came_but_was_never_written_down_is_swept_and_others_files_are_not(desk: Desk) -> None:
    message_id = desk.hears(a_photo())
    desk.folder.mkdir()
    for name in (f"in-{message_id}-abc", "in-999-abc", "price-list.pdf"):
        (desk.folder / name).write_bytes(b"x")
        os.utime(desk.folder / name, (1, 1))
    desk.fetcher().sweep()
    assert desk.on_disk() == ["price-list.pdf"]


def test_what_is_taken_back_leaves_the_disk(meta: Metas, desk: Desk) -> None:
    desk.hears(a_photo("wamid.photo"))
    desk.fetch()
    assert len(desk.on_disk()) == 1
    desk.hears(Deleted(a_wamid(), "wamid.photo", desk.now()))
    desk.fetcher().sweep()
    assert desk.on_disk() == []
    desk.fetch()
    assert meta.fetched == 1


def test_what_is_taken_back_while_it_comes_is_not_kept(meta: Metas, desk: Desk) -> None:
    meta.content, meta.gate = b"\xff\xd8\xff" + bytes(2**20), threading.Event()
    desk.hears(a_photo("wamid.photo"))
    working = threading.Thread(target=desk.fetch)
    working.start()
    assert eventually(lambda: meta.fetched == 1)
    desk.hears(Deleted(a_wamid(), "wamid.photo", desk.now()))
    meta.gate.set()
    working.join(10)
    assert (desk.file().state, desk.on_disk()) == (FileState.REFUSED, [])


def test_what_was_sent_from_the_phone_is_fetched_too(desk: Desk) -> None:
    content = Media("image", media_id="77", mime_type="image/jpeg")
    desk.hears(Echoed(a_wamid(), NUMBER, MIA_REF, content, desk.now()))
    desk.fetch()
    assert desk.file().state is FileState.FETCHED


def test_two_fetchers_never_fetch_one_file_twice(meta: Metas, desk: Desk) -> None:
    meta.piece_s = 0.01
    for _ in range(12):
        desk.hears(a_photo())
    with ThreadPoolExecutor(4) as pool:
        lanes = [
            lane for fetcher in (desk.fetcher(), desk.fetcher()) for lane in (fetcher.fetch_any, fetcher.fetch_small)
        ]
        for done in [pool.submit(lane) for lane in lanes]:
            done.result(60)
    assert (meta.fetched, len(desk.on_disk())) == (12, 12)
    with desk.ledger.reading() as tx:
        assert not files.is_due(tx, desk.now() + timedelta(days=1))
