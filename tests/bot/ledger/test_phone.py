"""What somebody answers from the phone: nothing a contact wrote is lost by it, however late Meta tells of it."""

from __future__ import annotations

import pytest

from bot.ledger import handoffs, inbox, outbox, transcript
from bot.ledger.transaction import Ledger
from bot.messages import Text
from bot.updates import ContactRef, Deleted, Echoed, Received
from bot.vocabulary import Holder, Reason
from tests.factories import MIA, NUMBER, a_turn, a_wamid, begun, ended, given_back, handed_off, heard, later, taken

MINUTE = 60
QUIET_OVER = inbox.PHONE_QUIET.total_seconds() + 1


def echo(seconds: float, words: str = "Ann here, on my phone") -> Echoed:
    return Echoed(a_wamid(), NUMBER, MIA, Text(words), later(seconds))


def asks(ledger: Ledger, words: str, seconds: float, contact: ContactRef = MIA) -> str:
    """A contact writes at that moment; return the wamid."""
    wamid = a_wamid()
    heard(ledger, Received(wamid, NUMBER, contact, Text(words), later(seconds)), now=later(seconds))
    return wamid


def holder(ledger: Ledger) -> Holder:
    with ledger.reading() as tx:
        return next(one.holder for one in transcript.list_of(tx))


def rests(ledger: Ledger, seconds: float) -> int:
    with ledger.writing() as tx:
        return handoffs.give_back_from_phone(tx, later(seconds))


def bot_hears(ledger: Ledger, conversation_id: int, seconds: float) -> str:
    """What the bot begins to answer."""
    turn = begun(ledger, conversation_id, now=later(seconds))
    return "" if turn is None else turn.words


def a_conversation(ledger: Ledger) -> int:
    turn = a_turn(ledger)
    ended(ledger, turn, "Hello from the bot")
    return turn.conversation_id


def test_an_echo_whose_quiet_time_is_over_moves_nothing_and_swallows_no_question(ledger: Ledger) -> None:
    conversation_id = a_conversation(ledger)
    asks(ledger, "where is my order?", 60 * MINUTE)
    heard(ledger, echo(1 * MINUTE), now=later(60 * MINUTE + 1))
    assert holder(ledger) is Holder.BOT
    assert bot_hears(ledger, conversation_id, 60 * MINUTE + 5) == "where is my order?"
    with ledger.reading() as tx:
        assert "Ann here, on my phone" in [one.text for one in transcript.messages_of(tx, conversation_id)]


@pytest.mark.parametrize("echo_s", [-45 * MINUTE, -5 * MINUTE], ids=["long ago", "a little while ago"])
def test_who_asked_for_a_person_after_the_phone_spoke_keeps_waiting_for_one(ledger: Ledger, echo_s: float) -> None:
    turn = a_turn(ledger, "I want a person")
    handed_off(ledger, turn)
    ended(ledger, turn)
    heard(ledger, echo(echo_s), now=later(10))
    rests(ledger, echo_s + QUIET_OVER)
    with ledger.reading() as tx:
        (one,) = transcript.list_of(tx)
    assert (one.holder, one.reason) == (Holder.QUEUE, Reason.ASKED)


def test_who_waits_for_a_person_and_writes_on_after_the_phone_spoke_keeps_waiting(ledger: Ledger) -> None:
    turn = a_turn(ledger, "I want a person")
    handed_off(ledger, turn)
    ended(ledger, turn)
    asks(ledger, "it is about my refund", 3 * MINUTE)
    heard(ledger, echo(2 * MINUTE), now=later(4 * MINUTE))
    assert holder(ledger) is Holder.QUEUE
    heard(ledger, echo(5 * MINUTE), now=later(5 * MINUTE))
    assert holder(ledger) is Holder.AGENT


def test_the_bot_keeps_still_when_who_waits_wrote_in_the_seconds_the_echo_took(ledger: Ledger) -> None:
    turn = a_turn(ledger, "I want a person")
    handed_off(ledger, turn)
    ended(ledger, turn)
    asks(ledger, "thanks, and the other parcel?", 62)
    heard(ledger, echo(60, "I found your parcel"), now=later(63))
    assert holder(ledger) is Holder.AGENT
    assert bot_hears(ledger, turn.conversation_id, 64) == ""
    rests(ledger, 60 + QUIET_OVER)
    assert bot_hears(ledger, turn.conversation_id, 60 + QUIET_OVER) == "thanks, and the other parcel?"


def test_a_question_newer_than_the_echo_is_answered_once_the_phone_rests(ledger: Ledger) -> None:
    conversation_id = a_conversation(ledger)
    asks(ledger, "thanks", 1 * MINUTE)
    asks(ledger, "where is my order?", 10 * MINUTE)
    heard(ledger, echo(5 * MINUTE), now=later(10 * MINUTE))
    assert bot_hears(ledger, conversation_id, 11 * MINUTE) == "", "somebody is at it"
    assert rests(ledger, 5 * MINUTE + QUIET_OVER) == 1
    assert bot_hears(ledger, conversation_id, 36 * MINUTE) == "where is my order?"


def test_what_a_contact_wrote_after_the_phones_last_word_is_answered_once_it_rests(ledger: Ledger) -> None:
    conversation_id = a_conversation(ledger)
    heard(ledger, echo(1 * MINUTE), now=later(1 * MINUTE))
    asks(ledger, "and my refund?", 2 * MINUTE)
    heard(ledger, echo(3 * MINUTE, "It is on its way"), now=later(3 * MINUTE))
    asks(ledger, "how much is it?", 4 * MINUTE)
    gone = asks(ledger, "never mind", 5 * MINUTE)
    heard(ledger, Deleted(a_wamid(), gone, later(6 * MINUTE)), now=later(6 * MINUTE))
    rests(ledger, 3 * MINUTE + QUIET_OVER)
    assert bot_hears(ledger, conversation_id, 34 * MINUTE) == "how much is it?"


def test_what_an_agent_at_the_desk_has_seen_meanwhile_is_theirs(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    ended(ledger, turn, "Hello from the bot")
    heard(ledger, echo(1 * MINUTE), now=later(1 * MINUTE))
    asks(ledger, "and my refund?", 2 * MINUTE)
    taken(ledger, turn.key, now=later(3 * MINUTE))
    asks(ledger, "please", 4 * MINUTE)
    given_back(ledger, turn.key, now=later(5 * MINUTE))
    heard(ledger, Echoed(a_wamid(), NUMBER, MIA, Text("done"), later(1.5 * MINUTE)), now=later(6 * MINUTE))
    assert rests(ledger, 1.5 * MINUTE + QUIET_OVER) == 1
    assert bot_hears(ledger, turn.conversation_id, 33 * MINUTE) == ""


@pytest.mark.parametrize("bot", ["thinks", "has answered, and nothing was sent"])
def test_what_the_late_echo_interrupts_is_answered_after_it(ledger: Ledger, bot: str) -> None:
    conversation_id = a_conversation(ledger)
    asks(ledger, "where is my order?", 10 * MINUTE)
    turn = begun(ledger, conversation_id, now=later(10 * MINUTE))
    assert turn is not None
    if bot != "thinks":
        ended(ledger, turn, "On its way", now=later(10 * MINUTE))
    heard(ledger, echo(5 * MINUTE), now=later(10 * MINUTE + 1))
    if bot == "thinks":
        ended(ledger, turn, "On its way", now=later(10 * MINUTE + 2))
    rests(ledger, 5 * MINUTE + QUIET_OVER)
    assert bot_hears(ledger, conversation_id, 36 * MINUTE) == "where is my order?"
    with ledger.writing() as tx:
        assert outbox.claim(tx, later(36 * MINUTE)) is None, "the answer the phone interrupted is not sent as well"


def test_what_the_bot_had_answered_before_the_late_echo_came_is_not_answered_twice(ledger: Ledger) -> None:
    conversation_id = a_conversation(ledger)
    asks(ledger, "where is my order?", 10 * MINUTE)
    turn = begun(ledger, conversation_id, now=later(10 * MINUTE))
    assert turn is not None
    ended(ledger, turn, "On its way", now=later(10 * MINUTE))
    for n in range(2):
        with ledger.writing() as tx:
            outgoing = outbox.claim(tx, later(10 * MINUTE + 10 * n))
            assert outgoing is not None
            outbox.settle(
                tx, outgoing.id, outbox.Outcome(outbox.Kind.ACCEPTED, f"wamid.o{n}"), later(10 * MINUTE + 10 * n)
            )
    heard(ledger, echo(5 * MINUTE), now=later(11 * MINUTE))
    rests(ledger, 5 * MINUTE + QUIET_OVER)
    assert bot_hears(ledger, conversation_id, 36 * MINUTE) == ""


def a_question(ledger: Ledger, *answer: str) -> int:
    """The bot has answered ten minutes after the phone spoke, which Meta has yet to tell; its conversation."""
    conversation_id = a_conversation(ledger)
    accepted(ledger, 0)
    asks(ledger, "where is my order?", 10 * MINUTE)
    turn = begun(ledger, conversation_id, now=later(10 * MINUTE))
    assert turn is not None
    ended(ledger, turn, *answer, now=later(10 * MINUTE))
    return conversation_id


def accepted(ledger: Ledger, seconds: float) -> None:
    with ledger.writing() as tx:
        outgoing = outbox.claim(tx, later(seconds))
        assert outgoing is not None
        outbox.settle(tx, outgoing.id, outbox.Outcome(outbox.Kind.ACCEPTED, a_wamid()), later(seconds))


def who_waits(ledger: Ledger, seconds: float) -> tuple[Holder, Reason | None, str]:
    """Who holds it once the sender has looked after what the bot could not say."""
    with ledger.writing() as tx:
        handoffs.hand_off_undelivered(tx, later(seconds))
    with ledger.reading() as tx:
        (one,) = transcript.list_of(tx)
    return one.holder, one.reason, one.wish


def test_an_answer_that_fails_while_the_phone_speaks_is_given_once_it_rests(ledger: Ledger) -> None:
    conversation_id = a_question(ledger, "On its way")
    with ledger.writing() as tx:
        outgoing = outbox.claim(tx, later(10 * MINUTE))
    assert outgoing is not None
    heard(ledger, echo(5 * MINUTE), now=later(10 * MINUTE + 1))
    with ledger.writing() as tx:
        refused = outbox.Outcome(outbox.Kind.REFUSED, words="no", code=100)
        outbox.settle(tx, outgoing.id, refused, later(10 * MINUTE + 2))
    rests(ledger, 5 * MINUTE + QUIET_OVER)
    assert who_waits(ledger, 36 * MINUTE)[0] is Holder.BOT
    assert bot_hears(ledger, conversation_id, 36 * MINUTE) == "where is my order?"


@pytest.mark.parametrize("answer", ["half of it went out", "nobody knows"])
def test_an_answer_that_may_be_out_is_not_given_again_but_left_to_a_person(ledger: Ledger, answer: str) -> None:
    conversation_id = a_question(ledger, "On its way", "It comes on Monday")
    if answer == "half of it went out":
        accepted(ledger, 10 * MINUTE)
    else:
        with ledger.writing() as tx:
            assert outbox.claim(tx, later(10 * MINUTE)) is not None
    heard(ledger, echo(5 * MINUTE), now=later(10 * MINUTE + 1))
    with ledger.writing() as tx:
        outbox.expire(tx, later(20 * MINUTE))
        outbox.expire(tx, later(30 * MINUTE))
        assert outbox.claim(tx, later(30 * MINUTE)) is None, "what waited is withdrawn"
    rests(ledger, 5 * MINUTE + QUIET_OVER)
    assert who_waits(ledger, 36 * MINUTE) == (Holder.QUEUE, Reason.UNDELIVERED, "where is my order?")
    assert bot_hears(ledger, conversation_id, 36 * MINUTE) == ""
