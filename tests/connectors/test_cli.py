"""The commands for what did not get through: few words, exit codes for scripts, never what people wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import clock
from bot.ledger import errands, inbox, outbox, transcript
from bot.ledger.outbox import Kind, Outcome
from bot.ledger.tables import conversations, deliveries, numbers
from bot.ledger.transaction import Ledger
from bot.messages import MessageTemplate, Text
from bot.updates import Unsupported
from bot.vocabulary import Author, Errand
from connectors.whatsapp import __main__ as door
from tests.factories import NOW, a_text, heard

SECRET = "aubergine"
UNREADABLE = Unsupported("text", "text.body is missing", unreadable=True)


class Answer:
    """What a command said."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run a command on the test's database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("WHATSAPP_BUSINESS_ACCOUNT_ID", "1")

    def command(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["whatsapp", *arguments])
        capsys.readouterr()
        status = door.main()
        said = capsys.readouterr()
        return Answer(status, said.out, said.err)

    return command


def a_failed_delivery(ledger: Ledger) -> int:
    with ledger.writing() as tx:
        inbox.record(tx, f'{{"secret": "{SECRET}"}}'.encode(), [UNREADABLE, a_text(SECRET)], NOW)
        return int(tx.execute(sa.select(sa.func.max(deliveries.c.id))).scalar_one())


def a_dead_letter(ledger: Ledger, *, window_open: bool = True) -> int:
    heard(ledger, a_text("hello"))
    with ledger.writing() as tx:
        (one,) = transcript.list_of(tx)
        message_id = outbox.queue(tx, one.id, Text(SECRET), author=Author.BOT, now=NOW)
        assert message_id is not None
        tx.execute(sa.update(numbers).values(paced_until=None))
        outgoing = outbox.claim(tx, NOW)
        assert outgoing is not None
        outbox.settle(tx, message_id, Outcome(Kind.REFUSED, words="Recipient not on WhatsApp", code=131026), NOW)
        ends = clock.now() + timedelta(hours=20 if window_open else -1)
        tx.execute(sa.update(conversations).values(window_ends=ends))
    return message_id


def test_updates_tells_the_numbers_and_which_failed_but_never_what_was_in_them(ledger: Ledger, run) -> None:  # type: ignore[no-untyped-def]
    assert run("updates").status == 0
    delivery = a_failed_delivery(ledger)
    said = run("updates")
    assert said.status == 3, "a script can tell that something failed"
    assert said.out.splitlines()[0] == "received 2   handled 1   repeated 0   kept 0   failed 1   open 2"
    (line,) = [line for line in said.out.splitlines() if "text.body is missing" in line]
    assert line.split()[:3] == [str(delivery), "0", "2026-11-22"]
    handled = run("updates", "--state", "handled", "--limit", "1")
    assert "handled" in handled.out and "text.body" not in handled.out
    for answer in (said, handled, run("updates", "show", str(delivery))):
        assert SECRET not in answer.out + answer.err


def test_what_failed_can_be_asked_for_again_one_or_all(ledger: Ledger, run) -> None:  # type: ignore[no-untyped-def]
    nothing = run("updates", "again", "--all")
    assert (nothing.status, nothing.out.startswith("Nothing failed")) == (0, True)
    one, two = a_failed_delivery(ledger), a_failed_delivery(ledger)
    said = run("updates", "again", str(one))
    assert (said.status, "1 delivery asked for" in said.out, "within seconds" in said.out) == (0, True, True)
    assert "asked to be read again" in run("updates").out
    with ledger.reading() as tx:
        assert [delivery for delivery, _ in inbox.to_be_read_again(tx)] == [one]
    assert "2 deliveries" in run("updates", "again", "--all").out
    with ledger.reading() as tx:
        assert [delivery for delivery, _ in inbox.to_be_read_again(tx)] == [one, two]
    unknown = run("updates", "again", "999")
    assert (unknown.status, unknown.out, unknown.err.count("\n")) == (1, "", 1)


def test_a_body_is_printed_only_when_it_is_asked_for_and_with_a_warning(ledger: Ledger, database_url: str) -> None:
    delivery = a_failed_delivery(ledger)
    answer = subprocess.run(
        [sys.executable, "-m", "connectors.whatsapp", "updates", "show", str(delivery), "--raw"],
        env=os.environ | {"DATABASE_URL": database_url}, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert answer.stdout == f'{{"secret": "{SECRET}"}}\n'.encode()
    assert b"names, numbers" in answer.stderr and SECRET.encode() not in answer.stderr
    assert answer.returncode == 3


def test_a_delivery_we_do_not_have_is_one_sentence(run) -> None:  # type: ignore[no-untyped-def]
    said = run("updates", "show", "7")
    assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)


def test_what_could_not_be_sent_is_listed_with_its_reason_and_sent_again_once(ledger: Ledger, run) -> None:  # type: ignore[no-untyped-def]
    assert run("unsent").status == 0
    message_id = a_dead_letter(ledger)
    said = run("unsent")
    assert said.status == 3 and "Recipient not on WhatsApp (131026)" in said.out and SECRET not in said.out
    first, second = run("unsent", "again", str(message_id)), run("unsent", "again", str(message_id))
    assert (first.status, second.status, first.out) == (0, 0, second.out)
    assert run("unsent").status == 0
    unknown = run("unsent", "again", "999")
    assert (unknown.status, unknown.err.count("\n")) == (1, 1)


def test_with_the_window_closed_nothing_is_sent_again_only_to_fail_again(ledger: Ledger, run) -> None:  # type: ignore[no-untyped-def]
    message_id = a_dead_letter(ledger, window_open=False)
    assert "the window is closed now" in run("unsent").out
    refused = run("unsent", "again", str(message_id))
    assert (refused.status, "24 hours" in refused.err) == (1, True)
    every = run("unsent", "again", "--all")
    assert (every.status, every.out) == (3, "0 queued once more. 1 stay: the window is closed.\n")


def test_templates_are_listed_and_read_anew_when_asked(ledger: Ledger, run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    assert "No templates" in run("templates").out
    body = {"type": "BODY", "text": "Hi {{1}}"}
    with ledger.writing() as tx:
        errands.keep_templates(tx, [MessageTemplate("ready", "en", "UTILITY", "APPROVED", (body,))], NOW)
    assert run("templates").out == "ready en  approved  utility  gaps: 1\n"
    assert run("templates", "--refresh").status == 0
    with ledger.writing() as tx:
        assert [asked.kind for asked in errands.claim(tx, clock.now() + timedelta(seconds=1))] == [Errand.TEMPLATES]
    monkeypatch.setenv("WHATSAPP_BUSINESS_ACCOUNT_ID", "")
    refused = run("templates", "--refresh")
    assert (refused.status, "WHATSAPP_BUSINESS_ACCOUNT_ID" in refused.err) == (1, True)


def test_a_contact_is_blocked_and_let_in_again_by_the_sender(ledger: Ledger, run) -> None:  # type: ignore[no-untyped-def]
    heard(ledger, a_text("hello"))
    with ledger.reading() as tx:
        key = transcript.list_of(tx)[0].key
    for verb, kind in (("block", Errand.BLOCK), ("unblock", Errand.UNBLOCK)):
        assert run(verb, key).status == 0
        with ledger.writing() as tx:
            (asked,) = errands.claim(tx, clock.now() + timedelta(hours=1))  # the later request wins
            assert (asked.kind, asked.phone) == (kind, "447700900101")
    assert run("block", "nonesuch").status == 1


MISSPELT = (
    ("updates", "again"),
    ("updates", "--limit", "0"),
    ("updates", "--state", "lost"),
    ("unsent", "again", "x"),
    ("unsent", "again", "9" * 30),
    ("block",),
    ("nonesuch",),
)


@pytest.mark.parametrize("words", MISSPELT, ids=" ".join)
def test_what_is_misspelt_is_told_and_changes_nothing(words: tuple[str, ...], run) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit) as left:
        run(*words)
    assert left.value.code == 2


def test_a_database_that_is_away_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'empty.db'}")
    monkeypatch.setattr(sys, "argv", ["whatsapp", "updates"])
    assert door.main() == 1
    assert capsys.readouterr().err.count("\n") == 1
