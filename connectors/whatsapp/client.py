"""The only file that calls Meta: pooled connections, a time-out on every call, answers sorted into errors."""

from __future__ import annotations

import io
import json
import mimetypes
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from bot import messages as says
from connectors.whatsapp import payloads
from connectors.whatsapp.errors import (
    UNKNOWN_OBJECT,
    MediaGone,
    NotConnected,
    Refused,
    SignedOut,
    TooBig,
    TooSlow,
    Unreachable,
    error_of,
)

TIMEOUT_S = (2.5, 8)  # to connect or send a piece of the body, and between two bytes of the answer
LEAVES_WITHIN_S = 5.0  # the whole request, however slowly the name is looked up and the connection made
ANSWER_WITHIN_S = 12.0  # a whole answer, however slowly it trickles
CALL_WITHIN_S = LEAVES_WITHIN_S + sum(TIMEOUT_S)  # the longest a send takes until it has its answer; see outbox.LEASE
ANSWER_MAX = 4 * 2**20
UPLOAD_TIMEOUT_S = (10, 20)
UPLOAD_LEAVES_WITHIN_S = 65.0  # 16 MB at 2 Mbit/s, 100 MB at 13
UPLOAD_WITHIN_S = 90.0  # less than outbox.UPLOAD_LEASE
DOWNLOAD_WITHIN_S = 60.0
CHUNK = 64 * 2**10
REDIRECTS_MAX = 3
PAGE = 100
PAGES_MAX = 80  # an account has 6000 templates at most
TEMPLATE_FIELDS = "id,name,language,status,category,components"
MEDIA_HOSTS = ("lookaside.fbsbx.com",)
MEDIA_DOMAINS = (".facebook.com", ".fbcdn.net")
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class RemoteMedia:
    """Where a file of a contact's can be fetched, for five minutes."""

    url: str
    mime_type: str
    sha256: str  # hex or base64; Meta does not say which
    size: int


class _Bearer(AuthBase):
    """Sets the token on one request. As `auth` it also keeps a ~/.netrc from replacing it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _TooLate(Exception):
    """The body would not leave in time."""


class _Body(io.BytesIO):
    """A request's body, given out piece by piece for as long as there is time.

    In pieces, each has the time-out of its own: urllib3 lets the whole body take no longer than connecting. And what
    has not left in time must not leave later, when somebody else may have sent the same: half a body Meta never takes.
    """

    def __init__(self, content: bytes, until: float) -> None:
        super().__init__(content)
        self._size = len(content)
        self._until = until

    def read(self, size: int | None = -1) -> bytes:
        """Return the next piece."""
        if self.tell() < self._size and time.monotonic() > self._until:
            raise _TooLate
        return super().read(size)


class CloudApi:
    """Meta's WhatsApp Cloud API, or whatever WHATSAPP_API_URL names.

    Safe to share between threads: each has a session of its own, because requests does not promise that one can be
    shared; connections stay open, and nine threads are nine connections.
    """

    def __init__(self, url: str, version: str, access_token: str) -> None:
        self._base = f"{url}/{version}"
        self._home = urlsplit(url)
        self._auth = _Bearer(access_token)
        self._mine = threading.local()

    def send(self, phone_number_id: str, body: dict[str, Any]) -> str:
        """Send one message and return its wamid; raises a WhatsAppError by kind."""
        try:
            answer = self._ask("POST", f"/{phone_number_id}/messages", json=body)
        except Refused as problem:
            if problem.code == 100 and problem.subcode == UNKNOWN_OBJECT:  # not the message: the number
                raise SignedOut("WhatsApp does not know our number, or not with this token", 100) from problem
            raise
        try:
            return str(answer["messages"][0]["id"])
        except (KeyError, IndexError, TypeError) as problem:
            raise Unreachable("HTTP 200 without a message id") from problem

    def see(self, phone_number_id: str, wamid: str, *, typing: bool) -> None:
        """Show the contact that it was read, and "typing…" for up to 25 s, or until our next message."""
        self._ask("POST", f"/{phone_number_id}/messages", json=payloads.render_seen(wamid, typing=typing))

    def block(self, phone_number_id: str, *, phone: str | None, bsuid: str | None) -> None:
        """Let a contact reach this number no more. Only one who wrote within 24 hours, else WindowShut."""
        self._change_block("POST", phone_number_id, phone, bsuid)

    def unblock(self, phone_number_id: str, *, phone: str | None, bsuid: str | None) -> None:
        """Let a blocked contact write again."""
        self._change_block("DELETE", phone_number_id, phone, bsuid)

    def upload(self, phone_number_id: str, file: Path, mime_type: str = "") -> str:
        """Give Meta a file and return its media id, good for 30 days and this number only."""
        mime_type = mime_type or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        try:
            content = file.read_bytes()  # requests would read it whole too, and LEASE leaves no time for large ones
        except OSError as problem:
            raise MediaGone(f"the file {file.name} can't be read") from problem
        most = says.MEDIA_MAX_BYTES.get(mime_type.split("/")[0], says.MEDIA_MAX_BYTES["document"])
        if len(content) > most:
            raise TooBig(f"{file.name} is larger than the {most // 2**20} MB WhatsApp takes")
        try:
            answer = self._ask(
                "POST", f"/{phone_number_id}/media",
                data={"messaging_product": "whatsapp", "type": mime_type},
                files={"file": (file.name, content, mime_type)},
                timeout=UPLOAD_TIMEOUT_S, leaves_within_s=UPLOAD_LEAVES_WITHIN_S, within_s=UPLOAD_WITHIN_S,
            )  # fmt: skip
        except Unreachable as problem:  # the message itself has not been sent: the upload may simply be done again
            raise TooSlow(problem.words) from problem
        if not isinstance(answer.get("id"), (str, int)):
            raise TooSlow("HTTP 200 without a media id")
        return str(answer["id"])

    def templates(self, account_id: str) -> list[says.MessageTemplate]:
        """Return the templates of a WhatsApp business account, whatever their status."""
        found: list[says.MessageTemplate] = []
        query: dict[str, str | int] = {"fields": TEMPLATE_FIELDS, "limit": PAGE}
        for _ in range(PAGES_MAX):
            answer = self._ask("GET", f"/{account_id}/message_templates", params=query)
            rows = answer.get("data")
            found.extend(_template(row) for row in rows if isinstance(row, dict)) if isinstance(rows, list) else None
            after = _next_page(answer)
            if not after:
                break
            query["after"] = after  # not the whole address of the next page, which may point anywhere
        return found

    def media(self, media_id: str, phone_number_id: str = "") -> RemoteMedia:
        """Return where a file can be fetched; MediaGone if Meta has it no more."""
        query: dict[str, str | int] = {"phone_number_id": phone_number_id} if phone_number_id else {}
        try:
            answer = self._ask("GET", f"/{quote(media_id, safe='')}", params=query)
        except Refused as problem:
            if problem.code == 100:
                raise MediaGone("WhatsApp does not have this file (any more)", 100) from problem
            raise
        try:
            return RemoteMedia(
                url=str(answer["url"]),
                mime_type=str(answer.get("mime_type") or ""),
                sha256=str(answer.get("sha256") or ""),
                size=int(answer.get("file_size") or 0),  # seen as a string and as a number
            )
        except (KeyError, TypeError, ValueError) as problem:
            raise Unreachable("the answer does not say where the file is") from problem

    def download(self, url: str, limit: int, *, within_s: float = DOWNLOAD_WITHIN_S) -> Iterator[bytes]:
        """Yield a file bit by bit: TooBig after `limit` bytes, MediaGone if its address is no longer good.

        The token goes along, so only to Meta's hosts and WHATSAPP_API_URL, over TLS, and never to where a redirect
        leads elsewhere. Nothing is asked before the first bit is.
        """
        deadline = time.monotonic() + within_s
        with self._opened(url, deadline) as response:
            if response.status_code in {401, 403, 404, 410}:
                raise MediaGone(f"the address is no longer good (HTTP {response.status_code})")
            if response.status_code != 200:
                raise Unreachable(f"HTTP {response.status_code} instead of the file")
            yield from _bits(response, limit, deadline)

    @contextmanager
    def _opened(self, url: str, deadline: float) -> Iterator[requests.Response]:
        """Ask for a file, following redirects that stay on the host."""
        for _ in range(REDIRECTS_MAX + 1):
            self._require_trusted(url)
            if time.monotonic() > deadline:
                raise Unreachable("fetching it took too long")
            with _translated():
                response = self._session.get(
                    url, auth=self._auth, timeout=TIMEOUT_S, allow_redirects=False, stream=True
                )
            with response:
                if response.status_code not in {301, 302, 303, 307, 308}:
                    yield response
                    return
                following = urljoin(url, response.headers.get("Location", ""))
            if _origin(following) != _origin(url):
                raise Refused("the file's address leads to another host")
            url = following
        raise Refused("the file's address leads in circles")

    def _require_trusted(self, url: str) -> None:
        """Refuse an address the token may not be sent to."""
        try:
            parts = urlsplit(url)
            host, origin = (parts.hostname or "").lower(), _origin(url)
        except ValueError as problem:
            raise Refused("the file's address can't be read") from problem
        # Two readers of one address may disagree about a backslash or an @, and so about the host.
        plain = url.isascii() and url.isprintable() and not set(url) & set("\\ ") and "@" not in parts.netloc
        home = origin == _origin_of(self._home) and (parts.scheme == "https" or host in LOOPBACK)
        metas = origin[2] == 443 and parts.scheme == "https" and (host in MEDIA_HOSTS or host.endswith(MEDIA_DOMAINS))
        if not plain or not (home or metas):
            raise Refused("the file's address is not Meta's")

    def _change_block(self, method: str, phone_number_id: str, phone: str | None, bsuid: str | None) -> None:
        status, answer, headers = self._asked(
            method, f"/{phone_number_id}/block_users", json=payloads.render_block(phone, bsuid)
        )
        # Blocking partly is HTTP 400 with the lists and an error; whom we asked for is in one list or the other.
        listed = answer.get("block_users") if isinstance(answer, dict) else None
        listed = listed if isinstance(listed, dict) else {}
        failed = [row for row in listed.get("failed_users") or [] if isinstance(row, dict)]
        if failed:
            errors = failed[0].get("errors")
            reason = errors[0] if isinstance(errors, list) and errors else answer.get("error")
            raise error_of(status, {"error": reason}, headers)
        if not (listed.get("added_users") or listed.get("removed_users")):
            _require_success(status, answer, headers)

    @property
    def _session(self) -> requests.Session:
        """The session of this thread."""
        session: requests.Session | None = getattr(self._mine, "session", None)
        if session is None:
            session = self._mine.session = requests.Session()
        return session

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        status, answer, headers = self._asked(method, path, **more)
        return _require_success(status, answer, headers)

    def _asked(
        self,
        method: str,
        path: str,
        *,
        timeout: tuple[float, float] = TIMEOUT_S,
        leaves_within_s: float | None = None,
        within_s: float | None = None,
        **more: Any,
    ) -> tuple[int, Any, Any]:
        """Call, and return the HTTP status, the JSON (None where there is none) and the headers."""
        began = time.monotonic()
        deadline = began + (within_s or ANSWER_WITHIN_S)
        session = self._session
        with _translated():
            request = session.prepare_request(requests.Request(method, self._base + path, auth=self._auth, **more))
            if isinstance(request.body, (bytes, str)):
                content = request.body if isinstance(request.body, bytes) else request.body.encode()
                body: Any = _Body(content, began + (leaves_within_s or LEAVES_WITHIN_S))
                request.body = body
            # What `Session.request` would do: a proxy, or a bundle of certificates, that the environment names.
            around: Any = session.merge_environment_settings(request.url or "", {}, True, None, None)
            response = session.send(request, timeout=timeout, allow_redirects=False, **around)
        with response:
            try:
                answer = json.loads(b"".join(_bits(response, ANSWER_MAX, deadline)))
            except (ValueError, RecursionError, TooBig):
                answer = None
            return response.status_code, answer, response.headers


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what requests raises into our two: nothing left, or there was no answer."""
    try:
        yield
    except _TooLate as problem:
        raise TooSlow("it could not leave in time") from problem
    except requests.RequestException as problem:
        if isinstance(problem, requests.ConnectTimeout) or _was_not_connected(problem):
            raise NotConnected(f"can't connect ({type(problem).__name__})") from problem
        raise Unreachable(f"no answer ({type(problem).__name__})") from problem


def _was_not_connected(problem: BaseException) -> bool:
    """Say whether it is sure that nothing was sent: the connection was refused, or broke while TLS was agreed on.

    After that, a broken connection or a broken TLS record may follow a request that Meta has read.
    """
    if "NewConnectionError" in repr(problem) or "NameResolutionError" in repr(problem):
        return True
    cause: BaseException | None = problem
    while cause is not None:
        if any(frame.f_code.co_name == "do_handshake" for frame, _ in traceback.walk_tb(cause.__traceback__)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _require_success(status: int, answer: Any, headers: Any) -> dict[str, Any]:
    if status != 200 or not isinstance(answer, dict) or "error" in answer:
        raise error_of(status, answer, headers)
    return answer


def _bits(response: requests.Response, limit: int, deadline: float) -> Iterator[bytes]:
    """Yield a body, whatever it says of its length: no more than `limit` bytes, no later than the deadline."""
    got = 0
    while True:
        try:
            # As much as has come, not until so much has: a trickle would keep us here for hours.
            bit: bytes = response.raw.read1(CHUNK, decode_content=True)
        except (HTTPError, OSError) as problem:
            raise Unreachable(f"the answer broke off ({type(problem).__name__})") from problem
        if not bit:
            return
        got += len(bit)
        if got > limit:
            raise TooBig(f"it is larger than {limit} bytes")
        if time.monotonic() > deadline:
            raise Unreachable("the answer came too slowly")
        yield bit


def _origin(url: str) -> tuple[str, str, int]:
    return _origin_of(urlsplit(url))


def _origin_of(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def _template(row: dict[str, Any]) -> says.MessageTemplate:
    parts = row.get("components")
    return says.MessageTemplate(
        name=str(row.get("name") or ""),
        language=str(row.get("language") or ""),
        category=str(row.get("category") or "").upper(),
        status=str(row.get("status") or "").upper(),
        components=tuple(part for part in parts if isinstance(part, dict)) if isinstance(parts, list) else (),
        id=str(row.get("id") or ""),
    )


def _next_page(answer: dict[str, Any]) -> str:
    paging = answer.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return ""
    cursors = paging.get("cursors")
    return str(cursors.get("after") or "") if isinstance(cursors, dict) else ""
