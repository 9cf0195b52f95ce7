"""Fetches what contacts send, beside the sending: checked, and on our disk before the desk may show it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Protocol

from bot.clock import Clock
from bot.ledger import alarms, files, uploads
from bot.ledger.files import Wanted
from bot.ledger.transaction import Ledger
from connectors.whatsapp.errors import MediaGone, Refused, SignedOut, TooBig, WhatsAppError

log = logging.getLogger(__name__)

FETCH_EVERY_S = 0.3  # how often an idle lane looks
SWEEP_EVERY_S = 60.0
SMALL = ("image", "audio", "sticker")  # the kinds for which one of the two lanes is kept free
LARGEST = {"document": 100 * 2**20}  # what contacts can send is larger than what we may
LARGEST_OTHERS = 16 * 2**20
LEAST_FREE = 512 * 2**20  # bytes the disk keeps free, for the database if it lies there too
WITHIN_S = 150.0  # for one file, look-up and all; less than files.LEASE
NOT_CONVINCED = 3  # tries until a refusal, or a file that is not as announced, is believed
NOT_FOUND = 6  # tries until Meta is believed not to have it: it says the same where a permission is missing
DISK_PAUSE = timedelta(minutes=1)
SIGNED_OUT_PAUSE = timedelta(minutes=5)  # at most: once somebody has mended it, everything comes soon
LEFT_OVER_S = 3600.0  # what lies about for so long belongs to nobody who still works on it
OURS, PART = "in-", ".part"
SENT = "out-"  # what the desk put there to be sent
DISK, SIGNED_OUT = "files_disk", "files_signed_out"  # alarms
UNKNOWN_TYPE = "application/octet-stream"
HEAD = 1024  # bytes that tell what a file is


class Remote(Protocol):
    """Where a file lies and what Meta says of it."""

    @property
    def url(self) -> str: ...
    @property
    def mime_type(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def size(self) -> int: ...


class Cloud(Protocol):
    """The two calls of the Cloud API's client that are made here."""

    def media(self, media_id: str, phone_number_id: str = "") -> Remote: ...
    def download(self, url: str, limit: int, *, within_s: float) -> Iterator[bytes]: ...


class NotAsAnnounced(Refused):
    """The bytes that came are not those Meta announced."""


class Stopped(Exception):
    """The process ends; the next one fetches it."""


class Follow(Enum):
    """What follows a failed fetch."""

    LATER = "later"
    GONE = "gone"
    REFUSED = "refused"


def largest(kind: str) -> int:
    """Return how many bytes a file of this kind may have."""
    return LARGEST.get(kind, LARGEST_OTHERS)


def what_follows(problem: WhatsAppError, attempts: int) -> Follow:
    """Decide whether a file is worth another try."""
    match problem:
        case TooBig():
            return Follow.REFUSED
        case MediaGone(code=100):
            return Follow.GONE if attempts >= NOT_FOUND else Follow.LATER
        case MediaGone():
            return Follow.LATER  # only the address is gone; a new one is asked for
        case Refused():
            return Follow.REFUSED if attempts >= NOT_CONVINCED else Follow.LATER
        case _:
            return Follow.LATER


@dataclass(frozen=True)
class Source:
    """Where a file is to be had now, and what it must turn out to be."""

    url: str
    mime_type: str
    sums: frozenset[str]  # SHA-256, in hex; any of them will do
    limit: int  # bytes


@dataclass(frozen=True)
class Found:
    """A file that came whole."""

    size: int
    mime_type: str


class Fetcher:
    """Fetches until told to stop, in two lanes: a large file never holds up the small ones.

    Several may run, on PostgreSQL in several processes: the ledger's lease keeps them apart, and brings back what a
    killed one was at.
    """

    def __init__(
        self,
        ledger: Ledger,
        api: Cloud,
        now: Clock,
        folder: Path,
        stop: threading.Event,
        *,
        least_free: int = LEAST_FREE,
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._now = now
        self._folder = folder
        self._stop = stop
        self._least_free = least_free
        self._full_until = 0.0
        self._look_for_left_overs_at = 0.0

    def fetch_any(self) -> None:
        """Fetch whatever waits, one after the other."""
        self._fetch_all(None)

    def fetch_small(self) -> None:
        """Fetch what waits and is never large."""
        self._fetch_all(SMALL)

    def sweep(self) -> None:
        """Take what was taken back off the disk, and what killed processes left there."""
        with self._ledger.reading() as tx:
            taken_back = files.names_to_remove(tx)
        for message_id, name in taken_back:
            (self._folder / Path(name).name).unlink(missing_ok=True)
            with self._ledger.writing() as tx:
                files.removed(tx, message_id)
        if time.monotonic() >= self._look_for_left_overs_at:
            self._look_for_left_overs_at = time.monotonic() + LEFT_OVER_S
            self._remove_left_overs()

    def _remove_left_overs(self) -> None:
        """Remove files half fetched, and files that came but were never written down."""
        before = self._now().timestamp() - LEFT_OVER_S
        old: list[tuple[int, Path]] = []
        for path in self._folder.glob(f"{OURS}*"):
            named = re.match(rf"{OURS}(\d+)-", path.name)
            with suppress(FileNotFoundError):
                if named and path.stat().st_mtime < before:
                    old.append((int(named[1]), path))
        for start in range(0, len(old), 500):
            some = old[start : start + 500]
            with self._ledger.reading() as tx:
                known = {file.name for file in files.of(tx, [message_id for message_id, _ in some]).values()}
            for _, path in some:
                if path.name not in known:
                    path.unlink(missing_ok=True)
        self._remove_unsent(before)

    def _remove_unsent(self, before: float) -> None:
        """Remove files that came to the desk to be sent, and never belonged to a message."""
        old = [path for path in self._folder.glob(f"{SENT}*") if _is_older(path, before)]
        for start in range(0, len(old), 500):
            some = old[start : start + 500]
            with self._ledger.reading() as tx:
                known = uploads.known(tx, [path.name for path in some])
            for path in some:
                if path.name not in known:
                    path.unlink(missing_ok=True)

    def _fetch_all(self, kinds: Collection[str] | None) -> None:
        while not self._stop.is_set():
            wanted = self._want(kinds)
            if wanted is None:
                return
            self._fetch(wanted)

    def _want(self, kinds: Collection[str] | None) -> Wanted | None:
        if time.monotonic() < self._full_until:
            return None
        with self._ledger.reading() as tx:
            if not files.is_due(tx, self._now(), kinds):
                return None
        if not self._has_room():
            return None
        with self._ledger.writing() as tx:
            return files.want(tx, self._now(), kinds)

    def _has_room(self) -> bool:
        """Say whether a file could be kept; if not, nothing is asked for, so that no try is wasted."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            free = shutil.disk_usage(self._folder).free
        except OSError as problem:
            self._disk_fails(f"the folder can't be used ({problem.strerror})")
            return False
        if free < self._least_free:
            self._disk_fails(f"the disk has less than {self._least_free // 2**20} MB left")
            return False
        return True

    def _disk_fails(self, why: str) -> None:
        self._full_until = time.monotonic() + DISK_PAUSE.total_seconds()
        words = f"Files contacts send can't be kept in {self._folder}: {why}. They wait at WhatsApp, a week at most."
        log.error("files can't be kept", extra={"action": "files_disk"})
        with self._ledger.writing() as tx:
            alarms.raise_alarm(tx, DISK, words, self._now())

    def _fetch(self, wanted: Wanted) -> None:
        """Fetch one file; whatever happens, its row says what follows and nothing half lies about."""
        name = f"{OURS}{wanted.message_id}-{secrets.token_hex(16)}"
        part, whole = self._folder / (name + PART), self._folder / name
        try:
            found = self._bring(wanted, part)
            part.rename(whole)
            _sync(self._folder)
        except WhatsAppError as problem:
            self._failed(wanted, problem)
        except Stopped:
            with self._ledger.writing() as tx:
                files.put_back(tx, wanted.message_id, self._now())
        except OSError as problem:
            with self._ledger.writing() as tx:
                files.put_back(tx, wanted.message_id, self._now() + DISK_PAUSE)
            self._disk_fails(str(problem.strerror))
        else:
            self._keep(wanted, whole, found)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _keep(self, wanted: Wanted, whole: Path, found: Found) -> None:
        with self._ledger.writing() as tx:
            alarms.clear(tx, DISK)
            alarms.clear(tx, SIGNED_OUT)
            is_wanted = files.fetched(
                tx,
                wanted.message_id,
                name=whole.name,
                size=found.size,
                mime_type=found.mime_type,
                now=self._now(),
            )
        if not is_wanted:  # taken back meanwhile
            whole.unlink(missing_ok=True)

    def _failed(self, wanted: Wanted, problem: WhatsAppError) -> None:
        follow, words = what_follows(problem, wanted.attempts), str(problem)
        if isinstance(problem, TooBig):
            words = f"it is larger than {largest(wanted.kind) // 2**20} MB"
        log.warning(
            "a file could not be fetched: %s",
            type(problem).__name__,
            extra={"action": "fetch_failed", "message_id": wanted.message_id, "follow": follow.value},
        )
        with self._ledger.writing() as tx:
            match follow:
                case Follow.LATER:
                    least = timedelta(seconds=problem.retry_after_s or 0)
                    most = SIGNED_OUT_PAUSE if isinstance(problem, SignedOut) else files.KEPT_BY_META
                    files.try_later(tx, wanted.message_id, words, self._now(), least=least, most=most)
                case Follow.GONE:
                    files.give_up(tx, wanted.message_id, words, self._now())
                case Follow.REFUSED:
                    files.refuse(tx, wanted.message_id, words, self._now())
            if isinstance(problem, SignedOut):
                told = f"WhatsApp does not give us the files contacts send: {words}. They wait there, a week at most."
                alarms.raise_alarm(tx, SIGNED_OUT, told, self._now())

    def _bring(self, wanted: Wanted, part: Path) -> Found:
        """Download a file: from where the delivery said while that is fresh, else from where Meta says now."""
        deadline = time.monotonic() + WITHIN_S
        limit = largest(wanted.kind)
        sums = _sums(wanted.sha256)
        if wanted.url:
            try:
                return self._download(Source(wanted.url, wanted.mime_type, sums, limit), part, deadline)
            except TooBig:
                raise
            except WhatsAppError as problem:
                log.info(
                    "an address was no longer good: %s", type(problem).__name__,
                    extra={"action": "fetch_again", "message_id": wanted.message_id},
                )  # fmt: skip
        remote = self._api.media(wanted.media_id, wanted.phone_number_id)
        if remote.size > limit:
            raise TooBig("it is announced as larger")
        source = Source(remote.url, wanted.mime_type or remote.mime_type, sums | _sums(remote.sha256), limit)
        found = self._download(source, part, deadline)
        if remote.size and found.size != remote.size:
            raise NotAsAnnounced("WhatsApp gave us another file than it announced")
        return found

    def _download(self, source: Source, part: Path, deadline: float) -> Found:
        """Write a file to the disk, down to the platter, and see that it is what was announced."""
        digest, head, size = hashlib.sha256(), b"", 0
        within_s = max(deadline - time.monotonic(), 1.0)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for bit in self._api.download(source.url, source.limit, within_s=within_s):
                if self._stop.is_set():
                    raise Stopped
                file.write(bit)
                digest.update(bit)
                head = head if len(head) >= HEAD else head + bit
                size += len(bit)
            file.flush()
            os.fsync(file.fileno())
        if not size:
            raise NotAsAnnounced("WhatsApp gave us an empty file")
        if source.sums and digest.hexdigest() not in source.sums:
            raise NotAsAnnounced("WhatsApp gave us another file than it announced")
        return Found(size, real_type(source.mime_type, head[:HEAD]))


def real_type(announced: str, head: bytes) -> str:
    """Return what a file is: as announced where its first bytes agree, of the same sort where they name another,
    else nothing anybody would open by itself.
    """
    plain = announced.partition(";")[0].strip().lower()
    if plain not in SIGNED:
        return plain or UNKNOWN_TYPE
    found = _types_of(head)
    alike = [type_ for type_ in found if type_.split("/")[0] == plain.split("/")[0]]
    return plain if plain in found else next(iter(alike), UNKNOWN_TYPE)


SIGNS: tuple[tuple[re.Pattern[bytes], tuple[str, ...]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), ("image/jpeg",)),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), ("image/png",)),
    (re.compile(rb"GIF8[79]a"), ("image/gif",)),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), ("image/webp",)),
    (re.compile(rb"OggS"), ("audio/ogg", "audio/opus")),
    (re.compile(rb"#!AMR"), ("audio/amr",)),
    (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), ("audio/aac",)),
    (re.compile(rb"ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]"), ("audio/mpeg", "audio/aac")),
    (re.compile(rb".{4}ftyp", re.DOTALL), ("audio/mp4", "video/mp4", "video/3gpp")),
    (re.compile(rb"%PDF-"), ("application/pdf",)),
)
SIGNED = {type_ for _, types in SIGNS for type_ in types}


def _types_of(head: bytes) -> list[str]:
    return [type_ for sign, types in SIGNS if sign.match(head) for type_ in types]


def _sums(sha256: str) -> frozenset[str]:
    """Return a sum in hex, or none: Meta writes base64 in deliveries and does not say what it writes elsewhere."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        return frozenset({sha256.lower()})
    try:
        found = base64.b64decode(sha256, validate=True)
    except (binascii.Error, ValueError):
        return frozenset()
    return frozenset({found.hex()}) if len(found) == 32 else frozenset()


def _is_older(path: Path, than: float) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime < than
    return False


def _sync(folder: Path) -> None:
    """Bring a rename to the platter too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
