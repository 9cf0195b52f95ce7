"""connectors/whatsapp/client.py against a server that answers whatever the test wants."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bot.ledger import outbox
from bot.messages import Blank, MessageTemplate, Template, Text
from connectors.whatsapp import client
from connectors.whatsapp.client import CloudApi, RemoteMedia
from connectors.whatsapp.errors import (
    MediaGone,
    NotConnected,
    Refused,
    Scope,
    SignedOut,
    Throttled,
    TooBig,
    Unreachable,
    WhatsAppError,
    WindowShut,
)
from tests.connectors.openapi.test_schema import body_of
from tests.parts import free_port

NUMBER, TOKEN = "100200300", "a-token-of-ours"
HELLO = body_of(Text("hello"))


@dataclass
class Asked:
    """One request the server got."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Meta:
    """A server whose answers are set by the test."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[Asked, BaseHTTPRequestHandler], Answer | None] = lambda asked, wire: (200, {}, b"{}")

    def says(self, body: object, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = lambda asked, wire: (status, named, json.dumps(body).encode())

    @property
    def api(self) -> CloudApi:
        return CloudApi(self.url, "v25.0", TOKEN)


@pytest.fixture
def meta() -> Iterator[Meta]:
    """A running server."""
    found = Meta()

    class Wire(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = Asked(self.command, parts.path, parse_qs(parts.query), dict(self.headers), body)
            found.asked.append(asked)
            answer = found.answer(asked, self)
            if answer is None:
                self.close_connection = True
                return
            status, headers, content = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Wire)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    server.server_close()


ACCEPTED = {"messaging_product": "whatsapp", "contacts": [{"input": "+44"}], "messages": [{"id": "wamid.OUT"}]}
PAIR = {"error": {"message": "(#131056)", "type": "OAuthException", "code": 131056, "fbtrace_id": "A"}}


def test_a_message_goes_out_once_with_the_token(meta: Meta) -> None:
    meta.says(ACCEPTED)
    assert meta.api.send(NUMBER, HELLO) == "wamid.OUT"
    (asked,) = meta.asked
    assert (asked.method, asked.path, asked.json) == ("POST", f"/v25.0/{NUMBER}/messages", HELLO)
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_netrc_does_not_replace_the_token(meta: Meta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login mallory password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    meta.says(ACCEPTED)
    meta.api.send(NUMBER, HELLO)
    assert meta.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, PAIR, Throttled),
        (200, PAIR, Throttled),
        (200, {"messages": []}, Unreachable),
        (200, ["odd"], Unreachable),
        (502, "<html>", Unreachable),
        (302, "", SignedOut),
        (400, {"error": {"message": "x", "code": 100, "error_subcode": 33}}, SignedOut),
        (400, {"error": {"message": "x", "code": 100}}, Refused),
        (400, {"error": {"message": "x", "code": 131047}}, WindowShut),
    ],
)
def test_every_answer_has_its_kind(meta: Meta, status: int, body: object, kind: type[WhatsAppError]) -> None:
    meta.says(body, status)
    with pytest.raises(WhatsAppError) as refused:
        meta.api.send(NUMBER, HELLO)
    assert type(refused.value) is kind
    assert TOKEN not in str(refused.value) and len(meta.asked) == 1


def test_how_long_meta_wants_us_to_wait_is_passed_on(meta: Meta) -> None:
    meta.says({"error": {"message": "x", "code": 130429}}, 400, Retry_After="17")
    with pytest.raises(Throttled) as refused:
        meta.api.send(NUMBER, HELLO)
    assert refused.value.retry_after_s == 17 and refused.value.scope is Scope.NUMBER


def test_nobody_listening_means_nothing_was_sent() -> None:
    with pytest.raises(NotConnected):
        CloudApi(f"http://127.0.0.1:{free_port()}", "v25.0", TOKEN).send(NUMBER, HELLO)


def test_a_connection_that_breaks_may_have_carried_the_message(meta: Meta) -> None:
    meta.answer = lambda asked, wire: None
    with pytest.raises(Unreachable):
        meta.api.send(NUMBER, HELLO)


def test_an_answer_that_breaks_off_may_mean_yes(meta: Meta) -> None:
    meta.answer = lambda asked, wire: (200, {"Content-Length": "999", "Connection": "close"}, b'{"messages"')
    with pytest.raises(Unreachable):
        meta.api.send(NUMBER, HELLO)


@contextmanager
def tls(folder: Path, answer: Callable[[ssl.SSLSocket], None]) -> Iterator[tuple[str, Path]]:
    """A server behind TLS that reads one whole message and then does as it likes; its address and certificate."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=localhost")
    made, lasts = datetime.now(timezone.utc) - timedelta(hours=1), timedelta(days=2)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), made, made + lasts)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "localhost.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            with context.wrap_socket(server.accept()[0], server_side=True) as wire:
                read = b""
                while b"biz_opaque_callback_data" not in read:
                    read += wire.recv(65536)
                answer(wire)
        except OSError:
            pass

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    yield f"https://localhost:{server.getsockname()[1]}", path
    serving.join(5)
    server.close()


def breaks_a_record(wire: ssl.SSLSocket) -> None:
    handle = os.dup(wire.fileno())
    os.write(handle, b"\x17\x03\x03\x00\x20" + os.urandom(32))
    os.close(handle)


def hangs_up(wire: ssl.SSLSocket) -> None:
    socket.socket.shutdown(wire, socket.SHUT_RDWR)


@pytest.mark.parametrize("breaks", [breaks_a_record, hangs_up])
def test_tls_that_breaks_after_the_message_may_have_carried_it(
    breaks: Callable[[ssl.SSLSocket], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it taken for a message that never left, it would be sent again though Meta has read it."""
    with tls(tmp_path, breaks) as (url, certificate):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        with pytest.raises(Unreachable):
            CloudApi(url, "v25.0", TOKEN).send(NUMBER, HELLO)


def test_a_server_that_is_not_meta_gets_nothing(tmp_path: Path, meta: Meta) -> None:
    with tls(tmp_path, hangs_up) as (url, _), pytest.raises(NotConnected):
        CloudApi(url, "v25.0", TOKEN).send(NUMBER, HELLO)
    with pytest.raises(NotConnected):  # no TLS there at all
        CloudApi(meta.url.replace("http", "https"), "v25.0", TOKEN).send(NUMBER, HELLO)


def test_what_could_not_leave_in_time_does_not_leave_later(meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a name is looked up: somebody else may have sent it by then."""
    look_up = socket.getaddrinfo

    def slowly(*asked: Any, **more: Any) -> Any:
        time.sleep(0.3)
        return look_up(*asked, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    monkeypatch.setattr(client, "LEAVES_WITHIN_S", 0.2)
    meta.says(ACCEPTED)
    with pytest.raises(NotConnected):
        meta.api.send(NUMBER, HELLO)
    assert [asked.body for asked in meta.asked] in ([], [b""])


def trickle(*, length: int | None) -> Callable[[Asked, BaseHTTPRequestHandler], None]:
    """Answer byte by byte, without an end."""

    def answer(asked: Asked, wire: BaseHTTPRequestHandler) -> None:
        wire.send_response(200)
        wire.send_header(*(("Content-Length", str(length)) if length else ("Connection", "close")))
        wire.end_headers()
        try:
            for _ in range(300):
                wire.wfile.write(b"x")
                wire.wfile.flush()
                time.sleep(0.02)
        except OSError:
            pass

    return answer


def test_an_answer_that_trickles_is_not_waited_for(meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_WITHIN_S", 0.3)
    meta.answer = trickle(length=None)
    began = time.monotonic()
    with pytest.raises(Unreachable):
        meta.api.send(NUMBER, HELLO)
    assert time.monotonic() - began < 3


def test_threads_have_sessions_of_their_own(meta: Meta) -> None:
    meta.says(ACCEPTED)
    api, sessions = meta.api, []
    threads = [threading.Thread(target=lambda: sessions.append((api.send(NUMBER, HELLO), api._session))) for _ in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(session) for _, session in sessions}) == 3


def test_it_says_that_it_has_read_and_is_typing(meta: Meta) -> None:
    meta.says({"success": True})
    meta.api.see(NUMBER, "wamid.IN", typing=True)
    meta.api.see(NUMBER, "wamid.IN", typing=False)
    read = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.IN"}
    assert [asked.json for asked in meta.asked] == [{**read, "typing_indicator": {"type": "text"}}, read]


# --- blocking


def test_a_contact_is_blocked_and_let_in_again_by_phone_or_by_id(meta: Meta) -> None:
    meta.says({"block_users": {"added_users": [{"input": "+44", "wa_id": "44"}]}})
    meta.api.block(NUMBER, phone="447700900101", bsuid="GB.1")
    meta.says({"block_users": {"removed_users": [{"input": "GB.1", "user_id": "GB.1"}]}})
    meta.api.unblock(NUMBER, phone=None, bsuid="GB.1")
    users = [{"user": "+447700900101"}, {"user_id": "GB.1"}]
    assert [(asked.method, asked.json["block_users"]) for asked in meta.asked] == [
        ("POST", users[:1]),
        ("DELETE", users[1:]),
    ]
    assert meta.asked[0].path == f"/v25.0/{NUMBER}/block_users"


def test_a_mixed_answer_to_blocking_is_read_by_its_lists(meta: Meta) -> None:
    """HTTP 400, an error and both lists at once."""
    shut = {"message": "x", "code": 131047, "error_data": {"details": "24 hours"}}
    failed = {"block_users": {"added_users": [], "failed_users": [{"input": "+44", "errors": [shut]}]}}
    meta.says({"messaging_product": "whatsapp", **failed, "error": {"message": "y", "code": 139100}}, 400)
    with pytest.raises(WindowShut):
        meta.api.block(NUMBER, phone="44", bsuid=None)
    added = {"block_users": {"added_users": [{"input": "+44"}], "failed_users": []}}
    meta.says({**added, "error": {"message": "y", "code": 139100}}, 400)
    meta.api.block(NUMBER, phone="44", bsuid=None)


@pytest.mark.parametrize(
    ("code", "kind"), [(139100, Refused), (139101, Refused), (139102, Throttled), (139103, Throttled), (190, SignedOut)]
)
def test_a_refused_block_says_why(meta: Meta, code: int, kind: type[WhatsAppError]) -> None:
    meta.says({"error": {"message": "y", "code": code}}, 400)
    with pytest.raises(kind) as refused:
        meta.api.block(NUMBER, phone="44", bsuid=None)
    assert type(refused.value) is kind


# --- templates


def page(n: int, *, more: bool) -> dict[str, Any]:
    body = {"type": "BODY", "text": "Hello {{2}}, order {{1}}" if n % 2 else "Hello {{first_name}}"}
    rows = [{"id": str(n), "name": f"t{n}", "language": "en", "status": "APPROVED", "category": "UTILITY", "components": [body]}]  # fmt: skip  # noqa: E501
    paging = {"cursors": {"after": f"cursor{n}"}, **({"next": "https://evil.example/?access_token=x"} if more else {})}
    return {"data": rows, "paging": paging}


def test_templates_are_read_page_by_page_from_the_account_alone(meta: Meta) -> None:
    meta.answer = lambda asked, wire: (200, {}, json.dumps(page(len(meta.asked), more=len(meta.asked) < 3)).encode())
    found = meta.api.templates("waba1")
    assert [(template.name, template.approved) for template in found] == [("t1", True), ("t2", True), ("t3", True)]
    assert [asked.query.get("after") for asked in meta.asked] == [None, ["cursor1"], ["cursor2"]]
    assert {asked.path for asked in meta.asked} == {"/v25.0/waba1/message_templates"}


def test_an_account_whose_pages_never_end_is_left(meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGES_MAX", 4)
    meta.says(page(1, more=True))
    assert len(meta.api.templates("waba1")) == 4


@pytest.mark.parametrize("answer", [{"data": None}, {"data": [None, 5]}, {"data": [], "paging": {"next": "x"}}])
def test_an_odd_list_of_templates_is_an_empty_one(meta: Meta, answer: object) -> None:
    meta.says(answer)
    assert meta.api.templates("waba1") == []


def test_a_template_is_filled_in_the_order_it_is_read_in() -> None:
    numbered = MessageTemplate(
        "t", "en", "UTILITY", "APPROVED", ({"type": "BODY", "text": "Hello {{2}}, order {{1}}"},)
    )
    assert numbered.filled("Ann", "FH1") == Template(
        "t", "en", (Blank("FH1"), Blank("Ann")), text="Hello Ann, order FH1"
    )
    named = MessageTemplate("t", "en", "UTILITY", "PAUSED", ({"type": "body", "text": "Hello {{first_name}}"},))
    assert named.filled("Ann") == Template("t", "en", (Blank("Ann", "first_name"),), text="Hello Ann")
    assert not named.approved


# --- media


def test_a_file_is_uploaded_with_its_type(meta: Meta, tmp_path: Path) -> None:
    file = tmp_path / "garden.png"
    file.write_bytes(b"\x89PNG...")
    meta.says({"id": "900"})
    assert meta.api.upload(NUMBER, file) == "900"
    (asked,) = meta.asked
    assert asked.path == f"/v25.0/{NUMBER}/media"
    assert b"\x89PNG..." in asked.body and b'filename="garden.png"' in asked.body and b"image/png" in asked.body


def test_a_file_that_is_not_there_or_too_large_is_not_sent(meta: Meta, tmp_path: Path) -> None:
    with pytest.raises(MediaGone):
        meta.api.upload(NUMBER, tmp_path / "none.png")
    (tmp_path / "big.png").write_bytes(b"x" * (5 * 2**20 + 1))
    with pytest.raises(TooBig):
        meta.api.upload(NUMBER, tmp_path / "big.png")
    assert meta.asked == []


def test_an_upload_without_an_answer_has_sent_no_message(meta: Meta, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    meta.answer = lambda asked, wire: None
    with pytest.raises(NotConnected):
        meta.api.upload(NUMBER, tmp_path / "a.png")


def test_a_large_file_may_take_longer_than_connecting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    server.bind(("127.0.0.1", 0))
    server.listen()

    def reads_slowly() -> None:
        wire, last = server.accept()[0], b""
        while not last.endswith(b"--\r\n"):
            last = wire.recv(2**18)
            time.sleep(len(last) / 2**20 / 4)  # four megabytes a second
        wire.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"id":"900"}')
        wire.close()

    threading.Thread(target=reads_slowly, daemon=True).start()
    monkeypatch.setattr(client, "UPLOAD_TIMEOUT_S", (0.8, 5))
    (tmp_path / "film.mp4").write_bytes(os.urandom(10 * 2**20))
    api = CloudApi(f"http://127.0.0.1:{server.getsockname()[1]}", "v25.0", TOKEN)
    assert api.upload(NUMBER, tmp_path / "film.mp4", "video/mp4") == "900"
    monkeypatch.setattr(client, "UPLOAD_LEAVES_WITHIN_S", 0.5)
    threading.Thread(target=reads_slowly, daemon=True).start()
    with pytest.raises(NotConnected):  # but not longer than its lease
        api.upload(NUMBER, tmp_path / "film.mp4", "video/mp4")
    server.close()


def test_no_call_outlasts_its_lease() -> None:
    assert outbox.LEASE.total_seconds() - 3 > client.CALL_WITHIN_S
    longest = client.UPLOAD_LEAVES_WITHIN_S + sum(client.UPLOAD_TIMEOUT_S)
    assert max(longest, client.UPLOAD_WITHIN_S) < outbox.UPLOAD_LEASE.total_seconds()


def test_a_file_is_looked_up(meta: Meta) -> None:
    meta.says(
        {"url": "https://lookaside.fbsbx.com/x", "mime_type": "image/png", "sha256": "ab", "file_size": "12", "id": "9"}
    )
    assert meta.api.media("9", NUMBER) == RemoteMedia("https://lookaside.fbsbx.com/x", "image/png", "ab", 12)
    assert meta.asked[0].query == {"phone_number_id": [NUMBER]}


def test_an_odd_media_id_leads_nowhere_else(meta: Meta) -> None:
    meta.says({"url": "https://lookaside.fbsbx.com/x"})
    meta.api.media("9/../me?fields=id#")
    assert (meta.asked[0].path, meta.asked[0].query) == ("/v25.0/9%2F..%2Fme%3Ffields%3Did%23", {})


def test_a_file_meta_has_no_more_is_gone(meta: Meta) -> None:
    meta.says({"error": {"message": "x", "code": 100, "error_subcode": 33}}, 400)
    with pytest.raises(MediaGone):
        meta.api.media("9")


def test_a_file_is_fetched_with_the_token(meta: Meta) -> None:
    content = bytes(range(256)) * 1000
    meta.answer = lambda asked, wire: (200, {}, content)
    assert b"".join(meta.api.download(f"{meta.url}/file", len(content))) == content
    assert meta.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("length", ["0", "10", None])
def test_a_file_larger_than_allowed_is_left_whatever_it_says_of_its_length(meta: Meta, length: str | None) -> None:
    headers = {"Content-Length": "100000"} if length is None else {"Content-Length": length}
    if length in {"0", "10"}:  # it lies; then only so much of it is read
        meta.answer = lambda asked, wire: (200, {**headers, "Connection": "close"}, b"x" * 100_000)
        assert len(b"".join(meta.api.download(f"{meta.url}/file", 1000))) == int(length)
        return
    meta.answer = lambda asked, wire: (200, headers, b"x" * 100_000)
    with pytest.raises(TooBig):
        b"".join(meta.api.download(f"{meta.url}/file", 1000))


def test_a_file_of_no_stated_length_is_cut_off_too(meta: Meta) -> None:
    meta.answer = trickle(length=None)
    with pytest.raises(TooBig):
        b"".join(meta.api.download(f"{meta.url}/file", 10))


def test_a_file_that_trickles_is_left(meta: Meta) -> None:
    meta.answer = trickle(length=100_000)
    with pytest.raises(Unreachable, match="slowly"):
        b"".join(meta.api.download(f"{meta.url}/file", 2**20, within_s=0.3))


@pytest.mark.parametrize("status", [401, 404, 410])
def test_an_address_that_is_no_longer_good_is_to_be_looked_up_again(meta: Meta, status: int) -> None:
    meta.answer = lambda asked, wire: (status, {}, b"<html>")
    with pytest.raises(MediaGone):
        next(meta.api.download(f"{meta.url}/file", 10))


def test_redirects_are_followed_on_the_host_and_never_off_it(meta: Meta) -> None:
    def answer(asked: Asked, wire: BaseHTTPRequestHandler) -> Answer:
        return (200, {}, b"here") if asked.path == "/there" else (302, {"Location": "/there"}, b"")

    meta.answer = answer
    assert b"".join(meta.api.download(f"{meta.url}/file", 10)) == b"here"
    meta.asked.clear()
    meta.answer = lambda asked, wire: (302, {"Location": "http://localhost:1/"}, b"")
    with pytest.raises(Refused, match="another host"):
        next(meta.api.download(f"{meta.url}/file", 10))
    meta.answer = lambda asked, wire: (302, {"Location": "/file"}, b"")
    with pytest.raises(Refused, match="in circles"):
        next(meta.api.download(f"{meta.url}/file", 10))
    assert len(meta.asked) == 5


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x", "http://lookaside.fbsbx.com/x", "https://lookaside.fbsbx.com.evil.example/x",
        "https://evilfacebook.com/x", "https://facebook.com@evil.example/x", "https://evil.example\\@lookaside.fbsbx.com/",
        "https://lookaside.fbsbx.com:8443/x", "ftp://lookaside.fbsbx.com/x", "file:///etc/passwd",
        "//lookaside.fbsbx.com",
        "http://127.0.0.1:1/x", "https://[::1", "", "https://lookaside.fbsbx.com/\nHost: x", "https://x@cdn.fbcdn.net/",
        "https://fbcdn.net.:443/x", "http://169.254.169.254/latest",
    ],
)  # fmt: skip
def test_the_token_goes_to_meta_and_to_nobody_else(meta: Meta, url: str) -> None:
    with pytest.raises(Refused):
        next(meta.api.download(url, 10))


@pytest.mark.parametrize(
    "url", ["https://lookaside.fbsbx.com/a?b=c", "https://scontent.xx.fbcdn.net/a", "https://z.facebook.com/a"]
)
def test_metas_own_hosts_are_trusted(meta: Meta, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise requests.ConnectionError("NewConnectionError")

    monkeypatch.setattr(requests.Session, "get", away)
    with pytest.raises(NotConnected):
        next(meta.api.download(url, 10))


def test_an_address_without_tls_is_only_for_this_machine() -> None:
    with pytest.raises(Refused):
        next(CloudApi("http://cloud.example", "v25.0", TOKEN).download("http://cloud.example/x", 10))
