"""What Meta is asked for beside messages comes about, whatever else happens at the same moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from bot.ledger import errands
from bot.ledger.tables import contacts, conversations
from bot.ledger.transaction import Ledger
from bot.updates import ContactRef
from tests.factories import NOW, a_text, heard


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_a_contact_who_is_blocked_while_two_turn_out_to_be_one_is_blocked_and_nobody_waits(
    ledger: Ledger, database_url: str
) -> None:
    heard(ledger, a_text(contact=ContactRef("447700900171", None)))
    (theirs,) = heard(ledger, a_text(contact=ContactRef(None, "GB.71")))
    with ledger.writing() as tx:
        key = tx.execute(sa.select(conversations.c.key).where(conversations.c.id == theirs)).scalar_one()
        errands.ask_to_block(tx, key, block=True, now=NOW)
        (asked,) = errands.claim(tx, NOW)
    merging, marking = threading.Event(), threading.Event()
    sender = Ledger(database_url)

    @sa.event.listens_for(ledger.engine, "after_cursor_execute")
    def merges(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE errands SET contact_id"):
            merging.set()
            marking.wait(0.5)

    @sa.event.listens_for(sender.engine, "after_cursor_execute")
    def marks(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE contacts SET blocked_at"):
            marking.set()

    def is_done() -> None:
        assert merging.wait(5)
        with sender.writing() as tx:
            errands.done(tx, asked, NOW)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(is_done)
        heard(ledger, a_text(contact=ContactRef("447700900171", "GB.71")))
        done.result(20)
    sender.close()
    with ledger.reading() as tx:
        blocked = contacts.c.bsuid == "GB.71"
        assert tx.execute(sa.select(contacts.c.blocked_at).where(blocked)).scalar_one() == NOW
