"""The migrations make what the code expects, on both databases, however many try."""

from __future__ import annotations

import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from bot import clock
from bot.ledger import handoffs, inbox, outbox, promises, returns, transcript
from bot.ledger.tables import messages
from bot.ledger.transaction import Ledger
from bot.messages import Text
from bot.updates import Unsupported
from bot.vocabulary import Author, Status
from handoff import migrate
from tests.factories import MIA, NOW, SAM, a_turn, ended, given_back, handed_off, later, taken
from tests.handoff import seeding


def test_code_and_migrations_agree(ledger: Ledger) -> None:
    assert migrate.differences(ledger) == []
    migrate.require_head(ledger)


def test_tables_that_are_not_ours_are_left_alone(ledger: Ledger, database_url: str) -> None:
    with ledger.writing() as tx:
        tx.execute(sa.text("CREATE TABLE shop_orders (id INTEGER PRIMARY KEY)"))
    migrate.to_head(database_url)
    assert migrate.differences(ledger) == []


def test_the_way_back_leads_back_and_forth_again(ledger: Ledger, database_url: str) -> None:
    ledger.close()
    migrate.to_base(database_url)
    with ledger.reading() as tx:
        assert set(sa.inspect(tx).get_table_names()) - {"sqlite_sequence"} == {"alembic_version"}
    migrate.to_head(database_url)
    assert migrate.differences(ledger) == []


def test_four_processes_may_migrate_at_once(ledger: Ledger, database_url: str, tmp_path: Path) -> None:
    if ledger.is_sqlite:
        database_url = f"sqlite:///{tmp_path / 'fresh.db'}"
    else:
        migrate.to_base(database_url)
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(migrate.to_head, [database_url] * 4))
    fresh = Ledger(database_url)
    migrate.require_head(fresh)
    fresh.close()


def test_migrations_are_numbered_and_head_names_the_last() -> None:
    names = sorted(path.stem for path in (migrate.MIGRATIONS / "versions").glob("*.py"))
    assert len({int(name[:4]) for name in names}) == len(names), "no number twice; one may be left out"
    before = [None, *names[:-1]]
    script = ScriptDirectory.from_config(migrate.config())
    assert [script.get_revision(name).down_revision for name in names] == before
    assert all(re.fullmatch(r"\d{4}_[a-z_]+", name) for name in names)
    assert names[-1] == migrate.HEAD


def test_what_failed_before_it_could_be_set_aside_still_knows_whether_a_person_has_taken_over(
    ledger: Ledger, database_url: str
) -> None:
    turn = a_turn(ledger)
    handed_off(ledger, turn)
    ended(ledger, turn, "Until then: we are open till six.")
    before = ScriptDirectory.from_config(migrate.config()).get_revision("0006_set_aside").down_revision
    with ledger.writing() as tx:
        tx.execute(sa.update(messages).where(messages.c.status.is_not(None)).values(status=Status.FAILED))
        inbox.record(tx, b"{}", [Unsupported("text", "no body", unreadable=True)], NOW)
        inbox.set_aside(tx)
    with ledger.writing() as tx:
        command.downgrade(migrate.config(tx), before)
        assert tx.execute(sa.text("SELECT count(*) FROM updates WHERE state = 'failed'")).scalar() == 1
    migrate.to_head(database_url)
    with ledger.reading() as tx:
        assert len(outbox.dead_letters(tx)) == 2
    taken(ledger, turn.key)
    given_back(ledger, turn.key)
    with ledger.reading() as tx:
        assert (outbox.dead_letters(tx), len(outbox.dead_letters(tx, rest=outbox.Rest.OVERTAKEN))) == ([], 2)


def test_who_was_answered_before_there_were_promises_stays_with_their_agent_and_who_waited_is_due(
    ledger: Ledger, database_url: str
) -> None:
    answered, waits = (a_turn(ledger, "a person please", contact=who) for who in (MIA, SAM))
    for turn in (answered, waits):
        handed_off(ledger, turn)
        ended(ledger, turn, silent=True)
    taken(ledger, answered.key, now=later(60))
    with ledger.writing() as tx:
        conversation_id = transcript.conversation(tx, answered.key).id
        outbox.queue(tx, conversation_id, Text("Ann here."), author=Author.AGENT, agent_id=1, now=later(120))
        command.downgrade(migrate.config(tx), "0008_forgotten")
    migrate.to_head(database_url)
    with ledger.reading() as tx:
        assert not handoffs.kept_waiting(tx, clock.now()), "they have their answer"
        (one,) = transcript.queue(tx, clock.now())
        assert one.key == waits.key and one.due_at is not None and one.due_at > clock.now()
        made, _ = promises.make(tx, clock.now())
    assert made.wait is None, "nothing is learned from what was not measured"


def test_who_had_a_contact_before_that_was_written_down_is_named(ledger: Ledger, database_url: str) -> None:
    ann = seeding.an_account(ledger, name="Ann Lee")
    turn = a_turn(ledger)
    handed_off(ledger, turn)
    taken(ledger, turn.key, agent_id=ann.id)
    with ledger.writing() as tx:
        command.downgrade(migrate.config(tx), "0012_routing")
    migrate.to_head(database_url)
    given_back(ledger, turn.key, agent_id=ann.id)
    with ledger.reading() as tx:
        handback = returns.handback(tx, turn.conversation_id)
    assert handback is not None and handback.agent == "Ann Lee"
