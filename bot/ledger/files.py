"""The files contacts send: wait for them, fetch them once, or say why not. The only writer of files.

Reading, `of` and `by_key` know those we send as well (see bot.ledger.uploads).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot import messages as says
from bot.ledger import changes, transcript, uploads
from bot.ledger.tables import files, messages
from bot.ledger.transaction import Transaction
from bot.ledger.uploads import Upload
from bot.ledger.upsert import insert_new
from bot.updates import Echoed, Received
from bot.vocabulary import Change, FileState

WAITS = sa.text("files.state = 'waiting'")
LEASE = timedelta(minutes=3)  # how long one fetch may take
URL_LIVES = timedelta(minutes=4)  # the one in a delivery; five, says Meta
KEPT_BY_META = timedelta(days=6)  # seven, says Meta; after that there is nothing to fetch
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 3600, 6 * 3600))
A_DAY = timedelta(days=1)
MOST_A_DAY = 200  # files of one contact: more is a flood


@dataclass(frozen=True)
class Wanted:
    """A file to be fetched now."""

    message_id: int
    media_id: str
    phone_number_id: str
    url: str
    sha256: str
    kind: str
    mime_type: str
    attempts: int


@dataclass(frozen=True)
class File:
    """A file as the desk shows it: what became of it, and where it lies in the media folder."""

    message_id: int
    state: FileState
    name: str
    mime_type: str
    size: int | None
    error: str


def expect(tx: Transaction, message_id: int, update: Received | Echoed, now: datetime) -> None:
    """Write down that this message has a file to be fetched, if it has one."""
    content = update.content
    if not isinstance(content, says.Media):
        return
    too_many = _is_a_flood(tx, message_id, now)
    insert_new(
        tx,
        files,
        message_id=message_id,
        state=FileState.REFUSED if too_many else FileState.WAITING,
        media_id=content.media_id[:200],
        phone_number_id=update.phone_number_id,
        url=update.media_url[:2000],
        sha256=update.media_sha256[:64],
        mime_type=content.mime_type[:100],
        not_before=now,
        error="more files than one contact may send in a day" if too_many else "",
    )


def _is_a_flood(tx: Transaction, message_id: int, now: datetime) -> bool:
    conversation_id = sa.select(messages.c.conversation_id).where(messages.c.id == message_id).scalar_subquery()
    lately = (messages.c.conversation_id == conversation_id) & (messages.c.arrived_at > now - A_DAY)
    sent = sa.select(sa.func.count()).select_from(files.join(messages, files.c.message_id == messages.c.id))
    return int(tx.execute(sent.where(lately)).scalar_one()) >= MOST_A_DAY


def want(tx: Transaction, now: datetime, kinds: Collection[str] | None = None) -> Wanted | None:
    """Take the file that waits longest, of these kinds of messages or of any; nobody else takes it meanwhile."""
    query = (
        sa.select(files, messages.c.type, messages.c.arrived_at)
        .join(messages, messages.c.id == files.c.message_id)
        .where(*_due(now, kinds))
        .order_by(files.c.not_before, files.c.message_id)
        .limit(1)
        .with_for_update(of=files, skip_locked=True)
    )
    row = tx.execute(query).first()
    if row is None:
        return None
    mine = files.c.message_id == row.message_id
    url_lives = row.attempts == 0 and row.arrived_at is not None and row.arrived_at > now - URL_LIVES
    tx.execute(sa.update(files).where(mine).values(not_before=now + LEASE, attempts=row.attempts + 1))
    return Wanted(
        message_id=row.message_id,
        media_id=row.media_id,
        phone_number_id=row.phone_number_id,
        url=row.url if url_lives else "",  # later ones are asked for
        sha256=row.sha256,
        kind=row.type,
        mime_type=row.mime_type,
        attempts=row.attempts + 1,
    )


def is_due(tx: Transaction, now: datetime, kinds: Collection[str] | None = None) -> bool:
    """Say whether a file could be fetched now; a look that blocks nobody."""
    of_message = files.join(messages, messages.c.id == files.c.message_id)
    query = sa.select(files.c.message_id).select_from(of_message).where(*_due(now, kinds)).limit(1)
    return tx.execute(query).first() is not None


def _due(now: datetime, kinds: Collection[str] | None) -> list[Any]:
    due = [WAITS, files.c.not_before <= now]
    return due if kinds is None else [*due, messages.c.type.in_(kinds)]


def fetched(tx: Transaction, message_id: int, *, name: str, size: int, mime_type: str, now: datetime) -> bool:
    """Keep where the file lies; say whether it is still wanted (it may have been taken back meanwhile)."""
    return _end(tx, message_id, now, state=FileState.FETCHED, name=name, size=size, mime_type=mime_type[:100], error="")


def refuse(tx: Transaction, message_id: int, why: str, now: datetime) -> None:
    """Give a file up for good: too large, not what it said, gone. The message stays."""
    _end(tx, message_id, now, state=FileState.REFUSED, error=why[:300])


def give_up(tx: Transaction, message_id: int, why: str, now: datetime) -> None:
    """Meta does not have it any more: it is gone. The message stays."""
    _end(tx, message_id, now, state=FileState.GONE, error=why[:300])


def put_back(tx: Transaction, message_id: int, until: datetime) -> None:
    """Nobody is to blame but this machine: it stops, or its disk is full. This did not count as a try."""
    values = {"not_before": until, "attempts": files.c.attempts - 1}
    tx.execute(sa.update(files).where(files.c.message_id == message_id, WAITS).values(values))


def try_later(
    tx: Transaction,
    message_id: int,
    why: str,
    now: datetime,
    *,
    least: timedelta = timedelta(0),
    most: timedelta = KEPT_BY_META,
) -> None:
    """Try again after a pause, at least as long as Meta asks; when it no longer has it, it is gone."""
    row = tx.execute(
        sa.select(files.c.attempts, messages.c.arrived_at, messages.c.conversation_id)
        .join(messages, messages.c.id == files.c.message_id)
        .where(files.c.message_id == message_id)
    ).one()
    pause = max(min(PAUSES[min(max(row.attempts, 1), len(PAUSES)) - 1], most), least)
    if row.arrived_at is not None and now + pause > row.arrived_at + KEPT_BY_META:
        give_up(tx, message_id, why, now)
        return
    later = {"not_before": now + pause, "error": why[:300]}
    if tx.execute(sa.update(files).where(files.c.message_id == message_id, WAITS).values(later)).rowcount:
        changes.note(tx, row.conversation_id, Change.MESSAGE, now)  # the desk says why it is not there yet


def forget(tx: Transaction, message_id: int) -> None:
    """The message was taken back: its file is nobody's to see. The sweeper takes it off the disk."""
    mine = files.c.message_id == message_id
    tx.execute(sa.update(files).where(mine).values(state=FileState.REFUSED, error="taken back"))


def of(tx: Transaction, message_ids: list[int]) -> dict[int, File]:
    """Return the files of these messages, theirs and ours."""
    rows = tx.execute(sa.select(files).where(files.c.message_id.in_(message_ids)))
    theirs = {
        row.message_id: File(row.message_id, row.state, row.name, row.mime_type, row.size, row.error) for row in rows
    }
    return theirs | {message_id: _ours(message_id, one) for message_id, one in uploads.of(tx, message_ids).items()}


def _ours(message_id: int, one: Upload) -> File:
    return File(message_id, FileState.FETCHED, one.name, one.mime_type, one.size, "")


def by_key(tx: Transaction, key: str, message_id: int) -> tuple[File, says.Content] | None:
    """Return a file and its message, if that message belongs to this conversation, or to the one that one went into,
    and was not taken back.
    """
    row = tx.execute(
        sa.select(messages.c.type, messages.c.text, messages.c.content, messages.c.conversation_id).where(
            messages.c.id == message_id, messages.c.deleted_at.is_(None)
        )
    ).first()
    found = of(tx, [message_id]).get(message_id)
    if (
        row is None
        or found is None
        or key not in transcript.keys_of(tx, set(transcript.merged_into(tx, row.conversation_id))).values()
    ):
        return None
    return found, says.from_row(row.type, row.text, row.content)


def names_to_remove(tx: Transaction, limit: int = 100) -> list[tuple[int, str]]:
    """Return files on the disk that were taken back since, by message."""
    gone = (files.c.state == FileState.REFUSED) & (files.c.name != "")
    return [(row.message_id, row.name) for row in tx.execute(sa.select(files).where(gone).limit(limit))]


def removed(tx: Transaction, message_id: int) -> None:
    """Remember that a file taken back is off the disk."""
    tx.execute(sa.update(files).where(files.c.message_id == message_id).values(name=""))


def _end(tx: Transaction, message_id: int, now: datetime, **columns: object) -> bool:
    mine = files.c.message_id == message_id
    if not tx.execute(sa.update(files).where(mine, WAITS).values(columns)).rowcount:
        return False
    conversation_id = tx.execute(sa.select(messages.c.conversation_id).where(messages.c.id == message_id)).scalar_one()
    changes.note(tx, conversation_id, Change.MESSAGE, now)
    return True
