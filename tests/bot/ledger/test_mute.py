"""A person who took a conversation is never talked over; the hand off's own sentence is never swallowed."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from bot.errors import AlreadyTaken
from bot.ledger import outbox, transcript, turns
from bot.ledger.transaction import Ledger
from bot.messages import Text
from bot.vocabulary import Author, Status, TurnState
from tests.factories import MANNERS, NOW, SAM, a_text, a_turn, begun, ended, given_back, handed_off, heard, later, taken


def sent(ledger: Ledger) -> list[str]:
    """Claim everything that may still go out, as the sender would."""
    words: list[str] = []
    while True:
        with ledger.writing() as tx:
            outgoing = outbox.claim(tx, later(10 * len(words) + 10))
            if outgoing is None:
                return words
            outbox.settle(tx, outgoing.id, outbox.Outcome(outbox.Kind.ACCEPTED, f"wamid.out{outgoing.id}"), NOW)
        words.append(outgoing.content.text)


def test_a_turn_that_began_before_the_take_says_nothing_after_it(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    taken(ledger, turn.key)
    assert ended(ledger, turn, "Hello from the bot") is TurnState.MUTED
    assert sent(ledger) == []


def test_it_says_nothing_after_the_give_back_either(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    taken(ledger, turn.key)
    given_back(ledger, turn.key)
    assert ended(ledger, turn, "Hello from the bot") is TurnState.MUTED
    assert sent(ledger) == []


def test_words_queued_before_the_take_but_not_yet_sent_are_withdrawn(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    ended(ledger, turn, "Hello from the bot")
    taken(ledger, turn.key)
    given_back(ledger, turn.key)
    assert sent(ledger) == []
    with ledger.reading() as tx:
        said = transcript.messages_of(tx, turn.conversation_id)
    assert [(message.author, message.status) for message in said] == [
        (Author.CONTACT, None),
        (Author.BOT, Status.WITHDRAWN),
    ]


def test_the_hand_offs_own_sentence_arrives(ledger: Ledger) -> None:
    turn = a_turn(ledger, "a person please")
    handed_off(ledger, turn, words="A person will be with you.")
    assert ended(ledger, turn) is TurnState.ANSWERED
    assert sent(ledger) == ["A person will be with you."]


def test_the_hand_offs_own_sentence_arrives_even_when_an_agent_takes_before_the_turn_ends(ledger: Ledger) -> None:
    turn = a_turn(ledger, "a person please")
    handed_off(ledger, turn, words="A person will be with you.")
    taken(ledger, turn.key)
    assert ended(ledger, turn, "and another word of the same turn") is TurnState.MUTED
    assert sent(ledger) == ["A person will be with you."]


@pytest.mark.parametrize("waits_already", [False, True], ids=["from the bot", "while they wait already"])
def test_a_redone_turn_tells_a_contact_once_that_they_are_handed_off(ledger: Ledger, waits_already: bool) -> None:
    """An action behind the hand off failed, so the whole turn is done again, by another process: hand off and all."""
    if waits_already:
        before = a_turn(ledger, "is anybody there?")
        handed_off(ledger, before, words="I'm passing you on.")
        ended(ledger, before)
    turn = a_turn(ledger, "a person please")
    handed_off(ledger, turn, words="A person will be with you.")
    again = begun(ledger, turn.conversation_id, owner="b", now=later(3600))
    assert again is not None and (again.id, again.attempt) == (turn.id, 2)
    handed_off(ledger, again, words="A person will be with you.", now=later(3600))
    assert ended(ledger, again, owner="b", now=later(3600)) is TurnState.ANSWERED
    assert sent(ledger).count("A person will be with you.") == 1
    with ledger.reading() as tx:
        assert len(transcript.episodes_of(tx, turn.conversation_id)) == 1


def test_what_the_bot_says_beside_the_hand_off_is_not_swallowed_by_it(ledger: Ledger) -> None:
    turn = a_turn(ledger, "a person please")
    handed_off(ledger, turn, words="A person will be with you.")
    assert ended(ledger, turn, "Until then: we are open till six.") is TurnState.ANSWERED
    assert sent(ledger) == ["A person will be with you.", "Until then: we are open till six."]


def test_the_bot_speaks_again_once_the_conversation_is_given_back(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    taken(ledger, turn.key)
    given_back(ledger, turn.key, words="Fern, our bot, is here again.")
    ended(ledger, turn)
    heard(ledger, a_text("thanks"))
    again = begun(ledger, turn.conversation_id)
    assert again is not None and again.returned
    assert ended(ledger, again, "You're welcome") is TurnState.ANSWERED
    assert sent(ledger) == ["Fern, our bot, is here again.", "You're welcome"]


def test_what_a_contact_writes_while_an_agent_holds_the_conversation_is_left_to_the_desk(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    ended(ledger, turn, "Hello")
    taken(ledger, turn.key)
    heard(ledger, a_text("one"), a_text("two"), a_text("three"))
    assert begun(ledger, turn.conversation_id) is None
    given_back(ledger, turn.key)
    assert begun(ledger, turn.conversation_id) is None, "what a person has seen is not answered by the bot afterwards"


def test_while_nobody_has_taken_it_the_bot_goes_on_helping_if_it_is_invited(ledger: Ledger) -> None:
    turn = a_turn(ledger, "a person please")
    handed_off(ledger, turn)
    ended(ledger, turn)
    heard(ledger, a_text("when do you open?"))
    helping = begun(ledger, turn.conversation_id)
    assert helping is not None
    assert ended(ledger, helping, "At nine.") is TurnState.ANSWERED


def test_an_uninvited_bot_leaves_the_queue_alone(ledger: Ledger) -> None:
    turn = a_turn(ledger, "a person please")
    handed_off(ledger, turn)
    ended(ledger, turn)
    heard(ledger, a_text("when do you open?"))
    assert begun(ledger, turn.conversation_id, manners=replace(MANNERS, invited=False)) is None


def test_an_agents_reply_is_bound_to_no_epoch(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    taken(ledger, turn.key)
    with ledger.writing() as tx:
        outbox.queue(tx, turn.conversation_id, Text("Ann here"), author=Author.AGENT, agent_id=1, now=NOW)
    given_back(ledger, turn.key)
    assert sent(ledger) == ["Ann here"]


@pytest.mark.parametrize("door", [turns, outbox], ids=["when the turn ends", "when it is queued or claimed"])
def test_it_is_this_rule_that_keeps_the_bot_silent(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, door: ModuleType
) -> None:
    """With the rule taken out at either door the other still holds; with both out the bot would talk over a person."""
    monkeypatch.setattr(door, "may_bot_speak", lambda *_: True)
    turn = a_turn(ledger)
    taken(ledger, turn.key)
    ended(ledger, turn, "Hello from the bot")
    assert sent(ledger) == []
    for other in (turns, outbox):
        monkeypatch.setattr(other, "may_bot_speak", lambda *_: True)
    late = a_turn(ledger, contact=SAM)
    taken(ledger, late.key)
    ended(ledger, late, "Hello from the bot")
    assert sent(ledger) == ["Hello from the bot"]


def test_it_is_being_bound_to_no_epoch_that_lets_the_hand_offs_sentence_through(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = outbox.queue
    monkeypatch.setattr(outbox, "queue", lambda tx, where, words, **more: queue(tx, where, words, **more, epoch=1))
    turn = a_turn(ledger, "a person please")
    handed_off(ledger, turn)
    taken(ledger, turn.key)
    assert sent(ledger) == [], "with an epoch it would be withdrawn by the take"


def test_a_turn_that_was_overtaken_can_not_hand_off_either(ledger: Ledger) -> None:
    turn = a_turn(ledger, "a person please")
    taken(ledger, turn.key)
    given_back(ledger, turn.key)
    with pytest.raises(AlreadyTaken):
        handed_off(ledger, turn, words="I'm passing you to a person.")
    assert sent(ledger) == []
