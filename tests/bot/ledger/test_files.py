"""The files contacts send: waited for, leased to one fetcher, and ended in a way that is written down."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from bot.ledger import files, inbox
from bot.ledger.tables import changes, contacts, conversations, messages
from bot.ledger.tables import files as table
from bot.ledger.transaction import Ledger
from bot.messages import Media, Text
from bot.updates import ContactRef, Deleted, Received
from bot.vocabulary import FileState
from tests.factories import MIA, NOW, NUMBER, SAM, a_wamid, later

URL = "https://lookaside.fbsbx.com/x"


def a_file(ledger: Ledger, kind: str = "image", *, wamid: str = "", contact: object = MIA) -> int:
    """A contact sent one; return its message."""
    content = Media(kind, media_id="77", mime_type="image/jpeg")
    sent = Received(wamid or a_wamid(), NUMBER, contact, content, NOW, media_url=URL)  # type: ignore[arg-type]
    with ledger.writing() as tx:
        inbox.record(tx, b"{}", [sent], NOW)
        return int(tx.execute(sa.select(sa.func.max(messages.c.id))).scalar_one())


def test_a_message_without_a_file_waits_for_none(ledger: Ledger) -> None:
    with ledger.writing() as tx:
        inbox.record(tx, b"{}", [Received(a_wamid(), NUMBER, MIA, Text("hi"), NOW)], NOW)
        assert not files.is_due(tx, NOW)


def test_a_file_is_leased_to_one_and_comes_back_when_that_one_dies(ledger: Ledger) -> None:
    message_id = a_file(ledger)
    with ledger.writing() as tx:
        first, second = files.want(tx, NOW), files.want(tx, NOW)
    assert first is not None and (first.message_id, first.url, first.attempts) == (message_id, URL, 1)
    assert second is None
    with ledger.writing() as tx:
        again = files.want(tx, NOW + files.LEASE)
    assert again is not None and (again.url, again.attempts) == ("", 2)  # its address is old by now


def test_only_the_kinds_asked_for_are_given(ledger: Ledger) -> None:
    a_file(ledger, "document")
    with ledger.writing() as tx:
        assert (files.is_due(tx, NOW, ("image",)), files.want(tx, NOW, ("image",))) == (False, None)
        assert files.is_due(tx, NOW) and files.want(tx, NOW, ("document",)) is not None


def test_what_was_put_back_did_not_count(ledger: Ledger) -> None:
    message_id = a_file(ledger)
    with ledger.writing() as tx:
        files.want(tx, NOW)
        files.put_back(tx, message_id, later(60))
        assert not files.is_due(tx, later(59))
        again = files.want(tx, later(60))
    assert again is not None and (again.attempts, again.url) == (1, URL)


def test_pauses_grow_and_the_desk_hears_of_each(ledger: Ledger) -> None:
    message_id, now = a_file(ledger), NOW
    waits = []
    for _ in range(7):
        with ledger.writing() as tx:
            assert files.want(tx, now) is not None
            files.try_later(tx, message_id, "no luck", now)
            due = tx.execute(sa.select(table.c.not_before)).scalar_one()
        waits.append(due - now)
        now = due
    assert waits == [*files.PAUSES, files.PAUSES[-1]]
    with ledger.reading() as tx:
        assert files.of(tx, [message_id])[message_id].error == "no luck"
        assert tx.execute(sa.select(sa.func.count()).select_from(changes)).scalar_one() == 1 + len(waits)


def test_a_longer_wait_that_meta_asks_for_is_kept(ledger: Ledger) -> None:
    message_id = a_file(ledger)
    with ledger.writing() as tx:
        files.want(tx, NOW)
        files.try_later(tx, message_id, "slowly", NOW, least=timedelta(minutes=20))
        assert not files.is_due(tx, later(1199)) and files.is_due(tx, later(1200))


def test_a_pause_can_be_capped(ledger: Ledger) -> None:
    message_id, now = a_file(ledger), NOW
    for _ in range(6):
        with ledger.writing() as tx:
            assert files.want(tx, now) is not None
            files.try_later(tx, message_id, "signed out", now, most=timedelta(minutes=5))
        now += timedelta(minutes=5)


@pytest.mark.parametrize(
    ("end", "state"),
    [(files.refuse, FileState.REFUSED), (files.give_up, FileState.GONE)],
)
def test_an_end_is_an_end(ledger: Ledger, end, state: FileState) -> None:  # type: ignore[no-untyped-def]
    message_id = a_file(ledger)
    with ledger.writing() as tx:
        files.want(tx, NOW)
        end(tx, message_id, "because", NOW)
        files.try_later(tx, message_id, "late", NOW)
        assert not files.fetched(tx, message_id, name="x", size=1, mime_type="image/png", now=NOW)
        file = files.of(tx, [message_id])[message_id]
    assert (file.state, file.error, file.name) == (state, "because", "")


def test_a_file_is_found_by_its_own_conversation_only(ledger: Ledger) -> None:
    message_id, _ = a_file(ledger, wamid="wamid.photo"), a_file(ledger, contact=SAM)
    with ledger.writing() as tx:
        files.fetched(tx, message_id, name="in-1", size=9, mime_type="image/jpeg", now=NOW)
        named = sa.select(contacts.c.name, conversations.c.key).join(conversations)
        key = {row.name: row.key for row in tx.execute(named)}
        found = files.by_key(tx, key["Mia Turner"], message_id)
        assert found is not None and (found[0].name, found[0].size) == ("in-1", 9)
        assert files.by_key(tx, key["Sam Okafor"], message_id) is None
        inbox.record(tx, b"{}", [Deleted(a_wamid(), "wamid.photo", NOW)], NOW)
        assert files.by_key(tx, key["Mia Turner"], message_id) is None
        assert files.names_to_remove(tx) == [(message_id, "in-1")]
        files.removed(tx, message_id)
        assert files.names_to_remove(tx) == []


def test_a_file_is_found_by_the_key_of_what_went_into_another_conversation(ledger: Ledger) -> None:
    a_file(ledger, contact=ContactRef("1", None))
    message_id = a_file(ledger, contact=ContactRef(None, "GB.a"))
    with ledger.reading() as tx:
        keys = tx.execute(sa.select(conversations.c.key)).scalars().all()
    a_file(ledger, contact=ContactRef("1", "GB.a"))
    with ledger.reading() as tx:
        assert len(keys) == 2 and all(files.by_key(tx, key, message_id) for key in keys)


def test_a_flood_of_files_is_not_fetched(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_A_DAY", 2)
    found = [a_file(ledger) for _ in range(3)]
    with ledger.reading() as tx:
        states = [files.of(tx, found)[message_id].state for message_id in found]
    assert states == [FileState.WAITING, FileState.WAITING, FileState.REFUSED]
