"""The commands for what did not get through: few words, exit codes for scripts, never what people wrote."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import clock
from bot.ledger import errands, handoffs, inbox, outbox, transcript
from bot.ledger.outbox import Kind, Outcome
from bot.ledger.tables import conversations, deliveries, messages, numbers
from bot.ledger.tables import errands as errands_table
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
    assert said.out.splitlines()[0] == "received 2   handled 1   repeated 0   kept 0   failed 1   set aside 0   open 2"
    (line,) = [line for line in said.out.splitlines() if "text.body is missing" in line]
    assert line.split()[:3] == [str(delivery), "1", "2026-11-22"], "counted from 1, as on the page"
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
    assert (every.status, every.out) == (
        3, f"0 queued once more.\n1 left out, the window is closed: {message_id}\n",
    )  # fmt: skip


def test_templates_are_listed_and_read_anew_when_asked(ledger: Ledger, run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    assert "No templates" in run("templates").out
    body = {"type": "BODY", "text": "Hi {{1}}"}
    with ledger.writing() as tx:
        errands.keep_templates(tx, [MessageTemplate("ready", "en", "UTILITY", "APPROVED", (body,))], NOW)
    assert run("templates").out == "ready en  approved  utility  gaps: 1\n"
    # Which account it is the sender knows; under `make up` this shell does not.
    monkeypatch.setenv("WHATSAPP_BUSINESS_ACCOUNT_ID", "")
    said = run("templates", "--refresh")
    assert (said.status, "WHATSAPP_BUSINESS_ACCOUNT_ID" in said.out, "within seconds" in said.out) == (0, True, True)
    with ledger.writing() as tx:
        assert [asked.kind for asked in errands.claim(tx, clock.now() + timedelta(seconds=1))] == [Errand.TEMPLATES]


def test_a_contact_is_blocked_and_let_in_again_by_the_sender(ledger: Ledger, run) -> None:  # type: ignore[no-untyped-def]
    heard(ledger, a_text("hello"))
    with ledger.reading() as tx:
        key = transcript.list_of(tx)[0].key
    for verb, kind in (("block", Errand.BLOCK), ("unblock", Errand.UNBLOCK)):
        for whom in ((key,), ("--phone", "447700900101"), ("--phone", "+44 7700 900-101")):
            assert run(verb, *whom).status == 0
            with ledger.writing() as tx:
                (asked,) = errands.claim(tx, clock.now() + timedelta(hours=1))  # the later request wins
                assert (asked.kind, asked.phone) == (kind, "447700900101")
                tx.execute(sa.delete(errands_table))
    assert run("block", "nonesuch").status == 1
    unknown = run("block", "--phone", "447700900999")
    assert (unknown.status, unknown.err.count("\n"), "447700900999" in unknown.err) == (1, 1, False)


MISSPELT = (
    ("updates", "again"),
    ("updates", "--limit", "0"),
    ("updates", "--state", "lost"),
    ("unsent", "again", "x"),
    ("unsent", "again", "9" * 30),
    ("block",),
    ("block", "a key", "--phone", "447700900101"),
    ("block", "--phone", "Mia"),
    ("updates", "aside"),
    ("unsent", "--state", "handled"),
    ("nonesuch",),
)


@pytest.mark.parametrize("words", MISSPELT, ids=" ".join)
def test_what_is_misspelt_is_told_and_changes_nothing(words: tuple[str, ...], run) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit) as left:
        run(*words)
    assert left.value.code == 2


@pytest.mark.parametrize("there", ["nothing", "an empty file", "another database"])
def test_where_there_is_no_baton_database_one_sentence_says_so_and_none_is_made(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "home" / "baton.db"
    if there != "nothing":
        path.parent.mkdir()
        path.touch()
    if there == "another database":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE orders (id INTEGER)")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{path}")
    monkeypatch.setattr(sys, "argv", ["whatsapp", "updates"])
    assert door.main() == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "no Baton database" in said.err and str(path) in said.err and "BATON_HOME" in said.err
    assert path.exists() is (there != "nothing") and path.parent.exists() is (there != "nothing")


def test_a_database_that_is_away_is_one_sentence_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://baton:aubergine@127.0.0.1:1/baton")
    monkeypatch.setattr(sys, "argv", ["whatsapp", "unsent"])
    assert door.main() == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n"), SECRET in said.err) == ("", 1, False)


def test_the_help_tells_the_exit_codes_and_where_a_conversations_key_is_found(run, capsys) -> None:  # type: ignore[no-untyped-def]
    for words in ((), ("updates",), ("updates", "aside"), ("unsent", "again"), ("block",)):
        with pytest.raises(SystemExit):
            run(*words, "--help")
        said = capsys.readouterr().out
        assert "3  done, and something that failed waits for you" in said, words
    assert "/conversations/KEY" in said and "--phone" in said


def test_who_has_read_enough_gets_no_traceback(ledger: Ledger, database_url: str) -> None:
    for _ in range(3):
        a_failed_delivery(ledger)
    # Nobody reads any more before the first word is written: the hardest case.
    reads, writes = os.pipe()
    os.close(reads)
    said = subprocess.run(
        [sys.executable, "-m", "connectors.whatsapp", "updates"],
        env=os.environ | {"DATABASE_URL": database_url},
        stdout=writes, stderr=subprocess.PIPE, timeout=120, check=False,
    )  # fmt: skip
    os.close(writes)
    assert (said.stderr, said.returncode) == (b"", 3)


def test_a_code_that_the_reason_names_is_not_named_twice(ledger: Ledger, run) -> None:  # type: ignore[no-untyped-def]
    message_id = a_dead_letter(ledger)
    with ledger.writing() as tx:
        told = {"error": "the window is closed (131047)", "error_code": 131047}
        tx.execute(sa.update(messages).where(messages.c.id == message_id).values(told))
    assert run("unsent").out.count("131047") == 1


def test_one_update_is_one_update(ledger: Ledger, run) -> None:  # type: ignore[no-untyped-def]
    with ledger.writing() as tx:
        inbox.record(tx, b"{}", [UNREADABLE], NOW)
        (line,) = inbox.lines(tx)
    assert "2 bytes, 1 update. " in run("updates", "show", str(line.delivery_id)).out


def test_what_failed_can_be_set_aside_and_waits_for_nobody_then(ledger: Ledger, run) -> None:  # type: ignore[no-untyped-def]
    one, two = a_failed_delivery(ledger), a_failed_delivery(ledger)
    assert run("updates", "aside", str(one)).out.startswith("1 delivery set aside")
    assert run("updates").status == 3
    assert run("updates", "aside", "--all").status == 0
    said = run("updates")
    assert (said.status, "failed 0   set aside 2" in said.out) == (0, True)
    found = run("updates", "--state", "set aside").out
    assert str(one) in found and str(two) in found and "text.body is missing" in found
    assert run("updates", "show", str(one)).status == 0
    again = run("updates", "aside", str(one))
    assert (again.status, again.err.count("\n")) == (1, 1)
    assert run("updates", "aside", "--all").out == "Nothing failed, so there is nothing to set aside.\n"


def test_what_could_not_be_sent_can_be_set_aside_too(ledger: Ledger, run) -> None:  # type: ignore[no-untyped-def]
    one = a_dead_letter(ledger)
    assert run("unsent", "aside", str(one)).out.startswith("1 message set aside")
    assert (run("unsent").status, run("unsent").out) == (0, "Everything got out.\n")
    found = run("unsent", "--state", "set aside")
    assert (found.status, str(one) in found.out, "131026" in found.out) == (0, True, True)
    assert run("unsent", "aside", "999").status == 1
    assert run("unsent", "aside", "--all").out == "Everything got out, so there is nothing to set aside.\n"


def test_what_a_person_has_overtaken_is_refused_skipped_and_waits_for_nobody(ledger: Ledger, run) -> None:  # type: ignore[no-untyped-def]
    overtaken = a_dead_letter(ledger)
    with ledger.writing() as tx:
        (one,) = transcript.list_of(tx)
        handoffs.take(tx, one.key, agent_id=1, agent_name="Ann", now=NOW)
        reply = outbox.queue(tx, one.id, Text(SECRET), author=Author.AGENT, agent_id=1, now=NOW)
        assert reply is not None
        tx.execute(sa.update(numbers).values(paced_until=None))
        assert outbox.claim(tx, NOW) is not None
        outbox.settle(tx, reply, Outcome(Kind.REFUSED, words="no", code=131026), NOW)
    refused = run("unsent", "again", str(overtaken))
    assert (refused.status, "Reply instead" in refused.err) == (1, True)
    listed = [line.split()[0] for line in run("unsent").out.splitlines() if line]
    assert str(reply) in listed and str(overtaken) not in listed
    every = run("unsent", "again", "--all")
    assert (every.status, every.out.splitlines()) == (0, [
        "1 queued once more: 1 of the agent's.",
        f"1 left out, a person has taken over since the bot said it: {overtaken}",
    ])  # fmt: skip
    assert run("unsent").status == 0
    assert str(overtaken) in run("unsent", "--state", "overtaken").out
