"""The files we send: where they lie, and under which id Meta has them. The only writer of uploads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from bot.ledger.tables import uploads
from bot.ledger.transaction import Transaction

KEPT_BY_META = timedelta(days=29)  # thirty, says Meta


@dataclass(frozen=True)
class Upload:
    """A file of ours, as it lies in the media folder."""

    name: str
    mime_type: str
    size: int
    sha256: str


def keep(tx: Transaction, message_id: int, file: Upload) -> None:
    """Write down which file a message of ours carries."""
    columns = {"name": file.name, "mime_type": file.mime_type, "size": file.size, "sha256": file.sha256}
    tx.execute(sa.insert(uploads).values(message_id=message_id, **columns))


def repeat(tx: Transaction, message_id: int, again: int) -> None:
    """The message goes out once more, as another one: with the same file, if it carries one, which Meta gets anew."""
    file = of(tx, [message_id]).get(message_id)
    if file is not None:
        keep(tx, again, file)


def of(tx: Transaction, message_ids: Iterable[int]) -> dict[int, Upload]:
    """Return the files of these messages, where they carry one of ours."""
    rows = tx.execute(sa.select(uploads).where(uploads.c.message_id.in_(list(message_ids))))
    return {row.message_id: Upload(row.name, row.mime_type, row.size, row.sha256) for row in rows}


def with_meta(tx: Transaction, message_id: int, phone_number_id: str, now: datetime) -> str:
    """Return the id under which Meta has this message's file for this number; "" if it has to be brought there."""
    mine = (uploads.c.message_id == message_id) & (uploads.c.phone_number_id == phone_number_id)
    row = tx.execute(sa.select(uploads.c.media_id).where(mine, uploads.c.good_until > now)).first()
    return str(row.media_id) if row is not None else ""


def brought(tx: Transaction, message_id: int, media_id: str, phone_number_id: str, now: datetime) -> None:
    """Remember Meta's id of it, so that another try to send need not bring it again."""
    values = {"media_id": media_id[:200], "phone_number_id": phone_number_id, "good_until": now + KEPT_BY_META}
    tx.execute(sa.update(uploads).where(uploads.c.message_id == message_id).values(values))


def known(tx: Transaction, names: Iterable[str]) -> set[str]:
    """Return which of these files belong to a message."""
    return set(tx.execute(sa.select(uploads.c.name).where(uploads.c.name.in_(list(names)))).scalars())
