"""Two contacts turn out to be one person, while somebody is at it with either."""

from __future__ import annotations

import threading
import time
from datetime import datetime

import pytest
import sqlalchemy as sa

from bot.errors import AlreadyTaken
from bot.ledger import contacts, errands, handoffs, inbox, transcript
from bot.ledger.tables import conversations, messages
from bot.ledger.tables import handoffs as handoffs_table
from bot.ledger.transaction import Ledger
from bot.messages import Text
from bot.updates import ContactRef, Echoed, Received
from bot.vocabulary import Author, Holder, Role
from handoff import assignments
from handoff.roles import Account
from tests.factories import NUMBER, a_turn, a_wamid, begun, ended, given_back, handed_off, heard, later, taken

BY_PHONE, BY_ID, BOTH = ContactRef("111", None), ContactRef(None, "GB.b"), ContactRef("111", "GB.b")
QUIET_OVER = inbox.PHONE_QUIET.total_seconds() + 60
ANN = Account(id=1, email="ann@example.com", name="Ann", role=Role.SUPERVISOR)


def says(words: str, who: ContactRef, seconds: float) -> Received:
    return Received(a_wamid(), NUMBER, who, Text(words), later(seconds))


def the_phone_says(ledger: Ledger, who: ContactRef, seconds: float) -> None:
    heard(ledger, Echoed(a_wamid(), NUMBER, who, Text("Tom here"), later(seconds)), now=later(seconds))


def comes_with_both(ledger: Ledger, seconds: float) -> None:
    heard(ledger, says("it is all me", BOTH, seconds), now=later(seconds))


def the_one(ledger: Ledger) -> transcript.Conversation:
    with ledger.reading() as tx:
        (one,) = transcript.list_of(tx)
    return one


def rests(ledger: Ledger, at: datetime) -> int:
    with ledger.writing() as tx:
        return handoffs.give_back_from_phone(tx, at)


def test_who_takes_while_two_become_one_takes_the_one_that_stays(ledger: Ledger) -> None:
    if ledger.is_sqlite:
        return  # it has one writer
    heard(ledger, says("by phone", BY_PHONE, 0))
    gone = a_turn(ledger, "by id", contact=BY_ID)
    took = threading.Thread(target=taken, args=(ledger, gone.key))
    with ledger.writing() as tx:
        inbox.record(tx, b"{}", [says("both", BOTH, 1)], later(1))
        took.start()
        time.sleep(0.5)  # they have found it, and wait for its lock
    took.join()
    assert the_one(ledger).agent_name == "Ann"


def test_a_verb_follows_however_often_a_conversation_went_into_another(ledger: Ledger) -> None:
    turns = [a_turn(ledger, contact=ContactRef(f"{n}", None)) for n in range(3)]
    with ledger.writing() as tx:
        for gone, kept in zip(turns[1:], turns, strict=False):
            into = conversations.c.id == gone.conversation_id
            tx.execute(sa.update(conversations).where(into).values(merged_into=kept.conversation_id))
    taken(ledger, turns[2].key)
    assert the_one(ledger).agent_name == "Ann"


@pytest.mark.parametrize("desk", [BY_PHONE, BY_ID], ids=["desk has the older", "desk has the younger"])
def test_an_agent_at_the_desk_keeps_it_against_the_phone(ledger: Ledger, desk: ContactRef) -> None:
    turns = {one: a_turn(ledger, contact=one) for one in (BY_PHONE, BY_ID)}
    the_phone_says(ledger, BY_ID if desk is BY_PHONE else BY_PHONE, 10)
    taken(ledger, turns[desk].key, now=later(20))
    comes_with_both(ledger, 30)
    assert the_one(ledger).agent_name == "Ann"
    assert rests(ledger, later(QUIET_OVER)) == 0
    given_back(ledger, turns[desk].key, now=later(QUIET_OVER))


@pytest.mark.parametrize("asks", [BY_PHONE, BY_ID], ids=["asked in the older", "asked in the younger"])
def test_who_waits_for_a_person_keeps_their_place_against_the_phone(ledger: Ledger, asks: ContactRef) -> None:
    turns = {one: a_turn(ledger, contact=one) for one in (BY_PHONE, BY_ID)}
    phones = BY_ID if asks is BY_PHONE else BY_PHONE
    ended(ledger, turns[phones], "Hello")
    the_phone_says(ledger, phones, 10)
    heard(ledger, says("and my refund?", phones, 15), now=later(15))
    handed_off(ledger, turns[asks], now=later(20))
    ended(ledger, turns[asks], now=later(21))
    comes_with_both(ledger, 30)
    assert the_one(ledger).holder is Holder.QUEUE
    assert rests(ledger, later(QUIET_OVER)) == 0
    with ledger.reading() as tx:
        open_ = tx.execute(sa.select(handoffs_table.c.asked_at).where(handoffs_table.c.closed_at.is_(None))).scalars()
        assert open_.all() == [later(20)]
        waiting = tx.execute(sa.select(messages.c.text).where(messages.c.waiting).order_by(messages.c.at)).scalars()
        assert waiting.all() == ["and my refund?", "it is all me"], "nobody answers these from the phone any more"


def test_the_same_key_again_says_nothing_again_after_two_became_one(ledger: Ledger) -> None:
    older, younger = a_turn(ledger, contact=BY_PHONE), a_turn(ledger, contact=BY_ID)
    said = {}
    for turn, key in ((older, "both"), (younger, "both"), (younger, "one")):
        with ledger.writing() as tx:
            assignments.take(tx, turn.key, ANN, later(5))
            words = f"{turn.id} {key}"
            said[turn.id, key] = assignments.reply(tx, turn.key, ANN, words, client_key=key, now=later(6)).id
    comes_with_both(ledger, 7)
    for turn, key in ((older, "both"), (younger, "one")):
        with ledger.writing() as tx:
            again = assignments.reply(tx, turn.key, ANN, f"{turn.id} {key}", client_key=key, now=later(8))
        assert again.id == said[turn.id, key]


def test_a_person_is_promised_once_by_the_turn_that_was_lost_and_the_one_after_it(ledger: Ledger) -> None:
    ended(ledger, a_turn(ledger, contact=BY_PHONE), "Hello")
    lost = a_turn(ledger, "a person please", contact=BY_ID)
    comes_with_both(ledger, 1)
    with pytest.raises(AlreadyTaken):
        handed_off(ledger, lost)
    again = begun(ledger, the_one(ledger).id, now=later(30))
    assert again is not None and again.words == "a person please\nit is all me"
    handed_off(ledger, again, now=later(31))
    ended(ledger, again, now=later(31))
    with ledger.reading() as tx:
        said = tx.execute(sa.select(messages.c.text).where(messages.c.author == Author.BOT)).scalars().all()
    assert said == ["Hello", "A person will be with you."]


def test_a_block_and_a_new_number_do_not_wait_for_each_other(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    if ledger.is_sqlite:
        return  # it has one writer
    turn = a_turn(ledger, contact=BOTH)
    taken(ledger, turn.key)
    learned, find = threading.Event(), contacts.conversations_with

    def slow(*args: object) -> object:
        learned.set()
        time.sleep(0.5)
        return find(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(contacts, "conversations_with", slow)
    door = threading.Thread(target=heard, args=(ledger, says("my new phone", ContactRef("222", "GB.b"), 9)))
    door.start()
    learned.wait()
    with ledger.writing() as tx:
        handoffs.require_held_by(tx, turn.key, 1)
        errands.ask_to_block(tx, turn.key, block=True, now=later(9))
    door.join()
    one = the_one(ledger)
    assert (one.contact.phone, one.last_text) == ("222", "my new phone")
