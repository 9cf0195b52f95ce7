"""What was said is found, at once, on both databases: half a word, a number however it is written, a phrase."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.ledger import outbox, search
from bot.ledger.folding import folded, has, marked, terms
from bot.ledger.search import Among, Kind
from bot.ledger.tables import conversations, messages, unindexed
from bot.ledger.transaction import Ledger
from bot.messages import Text
from bot.updates import ContactRef, Deleted, Edited
from bot.vocabulary import Author, Holder
from handoff import migrate
from tests.factories import MIA, NOW, SAM, a_text, a_wamid, begun, ended, heard

EVERYTHING = Among()


def found(ledger: Ledger, asked: str, among: Among = EVERYTHING, **also: int) -> list[str]:
    with ledger.reading() as tx:
        return [hit.text for hit in search.messages_with(tx, terms(asked), among, **also).hits]


def people(ledger: Ledger, asked: str) -> list[int]:
    with ledger.reading() as tx:
        return search.ids_with(tx, Kind.CONTACTS, terms(asked))


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("Where is my ORDER?", "order"),
        ("Where is my order?", "ord"),
        ("the café in Łódź, Straße 5", "cafe lodz strasse"),
        ("the cafe in Lodz", "Café Łódź"),
        ("my order is FH10482", "10482"),
        ("my order is fh-10482", "FH10482"),
        ("my order is FH 10482", "fh104"),
        ("it was charged twice, I think", '"charged twice"'),
        ("it was charged twice", '"charged tw'),
        ("call +44 7700 900101", "7700 900101"),
        ("Привет, где мой заказ?", "привет ЗАКАЗ"),
        ("it's", "it's"),
    ],
)
def test_what_was_said_is_found(ledger: Ledger, said: str, asked: str) -> None:
    heard(ledger, a_text("something else"), a_text(said), a_text("more"))
    assert found(ledger, asked) == [said]


@pytest.mark.parametrize("asked", ["rder", '"twice charged"', '"char twice"', "order banana", "10483", "0482"])
def test_what_was_not_said_is_not(ledger: Ledger, asked: str) -> None:
    heard(ledger, a_text("order FH10482 was charged twice"))
    assert found(ledger, asked) == []


@pytest.mark.parametrize(
    "garbage",
    ["", '"', '""', "'", "*", "a* OR", "NOT", "(((", "^:-", "\x00", "\ud800", "😀", "%_\\", "a" * 5000, "a " * 500],
)
def test_whatever_is_typed_is_no_error(ledger: Ledger, garbage: str) -> None:
    heard(ledger, a_text("hello"))
    wanted = terms(garbage)
    assert len(wanted) <= 12
    if wanted:
        assert found(ledger, garbage) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=40), st.text(max_size=20))
def test_both_databases_and_our_own_reading_agree(ledger: Ledger, said: str, asked: str) -> None:
    said = said.encode("utf-8", "ignore").decode().replace("\x00", "")
    with ledger.writing() as tx:
        tx.execute(sa.delete(messages))
    heard(ledger, a_text(f"begin {said} end"))
    latin = all(ord(sign) < 0x250 for sign in said + asked)  # elsewhere a letter is what each database says it is
    for one in (folded(f"begin {said} end").split()[-2][:59], asked):
        if terms(one) and latin:
            assert bool(found(ledger, one)) == has(f"begin {said} end", terms(one)), (said, one)


def test_what_everybody_said_is_found_the_newest_first(ledger: Ledger) -> None:
    (conversation,) = heard(ledger, a_text("a kettle, please"))
    turn = begun(ledger, conversation)
    assert turn is not None
    ended(ledger, turn, "Which kettle?")
    with ledger.writing() as tx:
        outbox.queue(tx, conversation, Text("The green kettle."), author=Author.AGENT, agent_id=7, now=NOW)
    assert found(ledger, "kettle") == ["The green kettle.", "Which kettle?", "a kettle, please"]
    assert found(ledger, "kettle", Among(author=Author.BOT)) == ["Which kettle?"]
    assert found(ledger, "kettle", Among(agent_id=7)) == ["The green kettle."]
    assert found(ledger, "kettle", Among(conversation_ids=(conversation,), author=Author.CONTACT)) == [
        "a kettle, please"
    ]
    assert found(ledger, "kettle", Among(conversation_ids=(conversation + 1,))) == []
    assert found(ledger, "kettle", Among(after=NOW + timedelta(days=1))) == []
    assert found(ledger, "kettle", Among(before=NOW + timedelta(days=1), holder=Holder.BOT, not_held_by=3)) != []
    assert found(ledger, "kettle", Among(holder=Holder.QUEUE)) == []
    assert found(ledger, "kettle", Among(holder=Holder.AGENT, held_by=3)) == []


def test_what_was_changed_or_taken_back_is_found_as_it_is_now(ledger: Ledger) -> None:
    first, second = a_wamid(), a_wamid()
    heard(ledger, a_text("a red kettle", wamid=first), a_text("a secret kettle", wamid=second))
    heard(ledger, Edited(a_wamid(), first, Text("a blue kettle"), NOW), Deleted(a_wamid(), second, NOW))
    assert found(ledger, "kettle") == ["a blue kettle"]
    assert found(ledger, "red") == found(ledger, "secret") == []
    assert found(ledger, "secret", Among(conversation_ids=(1,))) == []


def test_nothing_is_found_of_what_was_not_kept(ledger: Ledger) -> None:
    (conversation,) = heard(ledger, a_text("hello"))
    with pytest.raises(RuntimeError), ledger.writing() as tx:
        outbox.queue(tx, conversation, Text("unheard of"), author=Author.AGENT, now=NOW)
        raise RuntimeError
    assert found(ledger, "unheard") == []


def test_pages_follow_each_other_without_a_gap(ledger: Ledger) -> None:
    heard(ledger, *(a_text(f"order number{n}") for n in range(25)))
    seen: list[str] = []
    below = None
    for _ in range(9):
        with ledger.reading() as tx:
            page = search.messages_with(tx, terms("order"), EVERYTHING, below=below, limit=4)
        seen += [hit.text for hit in page.hits]
        below = page.below
        if below is None:
            break
    assert seen == [f"order number{n}" for n in reversed(range(25))]


def test_a_search_that_has_looked_for_long_enough_says_from_where_to_look_on(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "FIRST_STEP", 10)
    monkeypatch.setattr(search, "RARE", 0)
    heard(ledger, a_text("a needle"), *(a_text(f"hay {n}") for n in range(40)))
    with ledger.reading() as tx:
        first = search.messages_with(tx, terms("needle"), EVERYTHING, looks_for_s=0)
        assert (first.hits, first.below is not None) == ([], True)
        rest = search.messages_with(tx, terms("needle"), EVERYTHING, below=first.below, looks_for_s=60)
    assert [hit.text for hit in rest.hits] == ["a needle"]
    monkeypatch.setattr(search, "READ_AT_ONCE", 10)
    with ledger.reading() as tx:
        here = Among(conversation_ids=(1,))
        few = search.messages_with(tx, terms("needle"), here, looks_for_s=0)
        assert (few.hits, few.below is not None) == ([], True)
        assert search.messages_with(tx, terms("needle"), here, below=few.below, looks_for_s=60).hits != []


def test_what_is_rare_is_found_however_long_ago_it_was(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FIRST_STEP", 10)
    heard(ledger, a_text("a needle"), *(a_text(f"hay {n}") for n in range(40)))
    with ledger.reading() as tx:
        if ledger.is_sqlite:
            assert search.messages_with(tx, terms("needle"), EVERYTHING, looks_for_s=60).hits != []
        else:  # its index is asked even if there is no time
            assert search.messages_with(tx, terms("needle"), EVERYTHING, looks_for_s=0).hits != []


def test_contacts_are_found_by_name_and_by_any_end_of_their_number(ledger: Ledger) -> None:
    heard(ledger, a_text(contact=MIA), a_text(contact=SAM))
    heard(ledger, a_text(contact=ContactRef(phone="46701740605", bsuid=None, name="Søren Weiß")))
    assert people(ledger, "mia tur") == people(ledger, "900101") == people(ledger, "+44 7700 900101") == [1]
    assert people(ledger, "soren weiss") == [3]
    assert people(ledger, "447700") == [2, 1]
    heard(ledger, a_text(contact=ContactRef(phone=MIA.phone, bsuid=MIA.bsuid, name="Mia Okonkwo")))
    assert (people(ledger, "turner"), people(ledger, "okonkwo")) == ([], [1])


def test_what_was_merged_is_found_where_it_is_now(ledger: Ledger) -> None:
    by_id, by_phone = ContactRef(phone=None, bsuid="GB.1"), ContactRef(phone="447700900555", bsuid=None)
    heard(ledger, a_text("I want a lantern", contact=by_id), a_text("a green lantern", contact=by_phone))
    heard(ledger, a_text("it's me", contact=ContactRef(phone=by_phone.phone, bsuid=by_id.bsuid)))
    with ledger.reading() as tx:
        hits = search.messages_with(tx, terms("lantern"), EVERYTHING).hits
        kept = tx.execute(sa.select(conversations.c.id).where(conversations.c.merged_into.is_(None))).scalar_one()
    assert [hit.conversation_id for hit in hits] == [kept, kept]


def test_an_upgrade_reads_what_was_said_before_in_small_steps(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    before = ScriptDirectory.from_config(migrate.config()).get_revision("0018_search").down_revision
    gone = a_wamid()
    heard(ledger, *(a_text(f"lantern {n}") for n in range(7)), a_text("secret lantern", wamid=gone))
    with ledger.writing() as tx:
        command.downgrade(migrate.config(tx), before)
        command.upgrade(migrate.config(tx), "head")
    assert found(ledger, "lantern") == []
    with ledger.reading() as tx:
        assert search.is_behind(tx)
    monkeypatch.setattr(search, "AT_ONCE", 3)
    heard(ledger, a_text("lantern 7"), Deleted(a_wamid(), gone, NOW))
    assert found(ledger, "lantern") == ["lantern 7"]
    while search.catch_up(ledger):
        pass
    assert found(ledger, "lantern") == [f"lantern {n}" for n in reversed(range(8))]
    assert found(ledger, "secret") == []
    assert people(ledger, "mia") == [1]
    with ledger.reading() as tx:
        assert tx.execute(sa.select(unindexed)).all() == []
        assert not search.is_behind(tx)


def test_what_is_marked_is_what_was_wanted() -> None:
    text = "Straße: fh-10482 & the ﬁne CAFÉ"
    spans = marked(text, terms("strasse FH104 cafe fi"))
    assert [text[begins:ends] for begins, ends in spans] == ["Straße", "fh-10482", "ﬁne", "CAFÉ"]
    assert marked(text, terms("nothing")) == []


def test_the_triggers_that_keep_the_words_are_there(ledger: Ledger) -> None:
    """The triggers are there at HEAD: a migration that makes `messages` anew on SQLite would lose them silently."""
    heard(ledger, a_text("lantern"))
    with ledger.writing() as tx:
        tx.execute(sa.delete(messages).where(messages.c.text == "lantern"))
    assert found(ledger, "lantern") == []
    with ledger.reading() as tx:
        if ledger.is_sqlite:
            names = tx.execute(sa.text("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'")).scalar()
        else:
            names = tx.execute(sa.text("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal")).scalar()
    assert names == 9
