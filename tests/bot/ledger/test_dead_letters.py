"""What failed is sent again only while it is still true, or set aside; the bot never speaks after a person has."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from bot.errors import NotAllowed, Overtaken
from bot.ledger import inbox, outbox, transcript
from bot.ledger.outbox import Kind, Outcome, Rest
from bot.ledger.tables import conversations
from bot.ledger.transaction import Ledger
from bot.ledger.turns import Turn
from bot.messages import Inbound, Item, Order, Text
from bot.updates import ContactRef, Echoed, Received, Unsupported
from bot.vocabulary import Author, Status, UpdateState
from tests.factories import (
    MIA,
    NOW,
    NUMBER,
    a_report,
    a_text,
    a_turn,
    a_wamid,
    ended,
    given_back,
    handed_off,
    heard,
    later,
    taken,
)


def refused(ledger: Ledger) -> int:
    """What is queued goes out, and Meta refuses it for good; return its id."""
    with ledger.writing() as tx:
        outgoing = outbox.claim(tx, later(1))
        assert outgoing is not None
        outbox.settle(tx, outgoing.id, Outcome(Kind.REFUSED, words="no", code=131026), later(1))
    return outgoing.id


def rests(ledger: Ledger) -> dict[Rest, list[int]]:
    with ledger.reading() as tx:
        return {rest: [one.id for one in outbox.dead_letters(tx, rest=rest)] for rest in Rest}


def again(ledger: Ledger, message_id: int) -> int:
    with ledger.writing() as tx:
        return outbox.send_again(tx, message_id, later(2))


def sent(ledger: Ledger) -> list[int]:
    """Return what still goes out, as the sender would take it."""
    with ledger.writing() as tx:
        found = outbox.claim(tx, later(60))
    return [] if found is None else [found.id]


def failed_words(ledger: Ledger, says: str) -> tuple[Turn, int]:
    """The bot says its answer, or hands off; Meta refuses those words. Return the turn and the message."""
    turn = a_turn(ledger)
    if says == "the answer":
        ended(ledger, turn, "It is on its way.")
    else:
        handed_off(ledger, turn)
        ended(ledger, turn)
    return turn, refused(ledger)


@pytest.mark.parametrize("given", [False, True], ids=["a person has it", "a person had it"])
@pytest.mark.parametrize("says", ["the answer", "the hand off's sentence"])
def test_after_a_person_took_over_the_bots_failed_words_are_not_sent_again(
    ledger: Ledger, says: str, given: bool
) -> None:
    turn, failed = failed_words(ledger, says)
    assert rests(ledger) == {Rest.FAILED: [failed], Rest.SET_ASIDE: [], Rest.OVERTAKEN: []}
    taken(ledger, turn.key)
    if given:
        given_back(ledger, turn.key)
    assert rests(ledger) == {Rest.FAILED: [], Rest.SET_ASIDE: [], Rest.OVERTAKEN: [failed]}
    with pytest.raises(Overtaken, match="Reply instead"):
        again(ledger, failed)
    assert sent(ledger) == []


@pytest.mark.parametrize("says", ["the answer", "the hand off's sentence"])
def test_a_take_withdraws_what_the_bot_said_and_somebody_sent_again(ledger: Ledger, says: str) -> None:
    turn, failed = failed_words(ledger, says)
    new = again(ledger, failed)
    taken(ledger, turn.key)
    given_back(ledger, turn.key)
    assert sent(ledger) == []
    with ledger.reading() as tx:
        (said,) = [one for one in transcript.messages_of(tx, turn.conversation_id) if one.id == new]
    assert said.status is Status.WITHDRAWN
    assert rests(ledger) == {Rest.FAILED: [], Rest.SET_ASIDE: [], Rest.OVERTAKEN: []}


def test_what_the_bot_said_after_it_got_the_conversation_back_may_be_sent_again(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    ended(ledger, turn, silent=True)
    taken(ledger, turn.key)
    given_back(ledger, turn.key)
    ended(ledger, a_turn(ledger, "and now?"), "It is on its way.")
    new = again(ledger, refused(ledger))
    assert sent(ledger) == [new]


def test_an_agents_failed_reply_is_sent_again_whoever_has_it_now(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    taken(ledger, turn.key)
    with ledger.writing() as tx:
        outbox.queue(tx, turn.conversation_id, Text("I'll look."), author=Author.AGENT, agent_id=1, now=NOW)
    failed = refused(ledger)
    given_back(ledger, turn.key)
    taken(ledger, turn.key, agent_id=2)
    assert sent(ledger) == [] and rests(ledger)[Rest.FAILED] == [failed]
    new = again(ledger, failed)
    assert sent(ledger) == [new]


@pytest.mark.parametrize("content", [Text("typed on the phone"), Order("c", (Item("p", 1.0, 1.0, "GBP"),))])
@pytest.mark.parametrize("standby", [True, False], ids=["Meta's own agent said it", "typed on the phone"])
def test_what_baton_has_never_sent_it_does_not_send_again_either(
    ledger: Ledger, content: Inbound, standby: bool
) -> None:
    heard(ledger, a_text())
    with ledger.writing() as tx:
        inbox.record(tx, b"{}", [Echoed("wamid.E", NUMBER, MIA, content, NOW, standby=standby)], NOW)
    heard(ledger, replace(a_report("wamid.E", Status.FAILED), passes=True))
    assert sent(ledger) == []
    assert rests(ledger) == {Rest.FAILED: [], Rest.SET_ASIDE: [], Rest.OVERTAKEN: []}
    with ledger.reading() as tx:
        (echo,) = [one for one in transcript.messages_of(tx, 1) if one.wamid == "wamid.E"]
    with pytest.raises(NotAllowed, match="typed on the phone"):
        again(ledger, echo.id)


def test_what_a_person_overtook_stays_overtaken_when_two_conversations_become_one(ledger: Ledger) -> None:
    by_number, by_id = ContactRef(MIA.phone, None, "Mia"), ContactRef(None, MIA.bsuid, "Mia")
    heard(ledger, a_text(contact=by_number))  # the older conversation, which nobody ever took
    with ledger.writing() as tx:
        tx.execute(sa.update(conversations).values(muted_at=0))
    turn = a_turn(ledger, "where is it?", contact=by_id)
    handed_off(ledger, turn)
    ended(ledger, turn)
    failed = refused(ledger)
    taken(ledger, turn.key)
    given_back(ledger, turn.key)
    heard(ledger, Received(a_wamid(), NUMBER, MIA, Text("it is me"), NOW))
    with ledger.reading() as tx:
        assert len(transcript.list_of(tx)) == 1
    assert rests(ledger) == {Rest.FAILED: [], Rest.SET_ASIDE: [], Rest.OVERTAKEN: [failed]}
    with pytest.raises(Overtaken):
        again(ledger, failed)


def test_a_dead_letter_set_aside_waits_for_nobody_and_is_still_found(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    ended(ledger, turn, "It is on its way.")
    failed = refused(ledger)
    for _ in range(2):
        with ledger.writing() as tx:
            outbox.set_aside(tx, failed, later(2))
    assert rests(ledger) == {Rest.FAILED: [], Rest.SET_ASIDE: [failed], Rest.OVERTAKEN: []}
    new = again(ledger, failed)  # somebody thought better of it
    assert rests(ledger) == {Rest.FAILED: [], Rest.SET_ASIDE: [], Rest.OVERTAKEN: []}
    with ledger.writing() as tx, pytest.raises(NotAllowed, match="it is queued"):
        outbox.set_aside(tx, new, later(3))


def a_failed_delivery(ledger: Ledger) -> int:
    odd = Unsupported("text", "no body", unreadable=True)
    with ledger.writing() as tx:
        inbox.record(tx, b"{}", [odd, a_text()], NOW)
        return inbox.lines(tx, UpdateState.FAILED)[0].delivery_id


def counted(ledger: Ledger) -> tuple[int, int, int]:
    with ledger.reading() as tx:
        tally = inbox.tally(tx)
    return tally.by_state[UpdateState.FAILED], tally.by_state[UpdateState.SET_ASIDE], tally.open - tally.waiting


def test_a_delivery_set_aside_counts_neither_as_failed_nor_as_open_and_is_still_found(ledger: Ledger) -> None:
    one, two = a_failed_delivery(ledger), a_failed_delivery(ledger)
    with ledger.writing() as tx:
        inbox.ask_to_read_again(tx)
        assert (inbox.set_aside(tx, one), inbox.set_aside(tx, one), inbox.set_aside(tx, 999)) == (1, 0, 0)
        assert [delivery for delivery, _ in inbox.to_be_read_again(tx)] == [two]
        assert [line.delivery_id for line in inbox.lines(tx, UpdateState.SET_ASIDE)] == [one]
    assert counted(ledger) == (1, 1, 1)
    with ledger.writing() as tx:
        assert inbox.set_aside(tx) == 1
    assert counted(ledger) == (0, 2, 0)


def test_what_was_set_aside_is_forgotten_in_time_and_what_failed_is_not(ledger: Ledger) -> None:
    one, _ = a_failed_delivery(ledger), a_failed_delivery(ledger)
    with ledger.writing() as tx:
        inbox.set_aside(tx, one)
        assert inbox.prune(tx, NOW + timedelta(days=1)) == 1
        assert inbox.body_of(tx, one) is None
    assert counted(ledger) == (1, 0, 1)


def test_what_was_set_aside_is_read_again_when_it_is_named_and_tells_when(ledger: Ledger) -> None:
    one = a_failed_delivery(ledger)
    with ledger.writing() as tx:
        inbox.set_aside(tx, one)
        assert (inbox.ask_to_read_again(tx), inbox.ask_to_read_again(tx, one)) == (0, 1)
        inbox.read_again(tx, one, [Unsupported("text", "still no body", unreadable=True)], later(60))
        (line,) = inbox.lines(tx, UpdateState.FAILED)
        assert (line.remark, line.again, line.tried_at) == ("still no body", False, later(60))


def test_a_delivery_set_aside_while_the_door_was_about_to_read_it_stays_aside(ledger: Ledger) -> None:
    one = a_failed_delivery(ledger)
    with ledger.writing() as tx:
        inbox.ask_to_read_again(tx, one)
        inbox.set_aside(tx, one)
        assert inbox.read_again(tx, one, [a_text("now we can")], later(60)) == set()
    assert counted(ledger) == (0, 1, 0)
