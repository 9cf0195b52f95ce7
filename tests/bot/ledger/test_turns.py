"""What becomes one turn, and when the bot stops talking."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from bot.ledger import handoffs, outbox, transcript, turns
from bot.ledger.outbox import Kind, Outcome
from bot.ledger.tables import errands, messages
from bot.ledger.transaction import Ledger
from bot.ledger.turns import NotYet
from bot.messages import Buttons, Inbound, Media, Place, Reply, Tap, Text
from bot.updates import Received
from bot.vocabulary import Author, Holder, Reason
from tests.factories import (
    ENOUGH,
    MANNERS,
    MIA,
    NOW,
    NUMBER,
    a_text,
    a_turn,
    a_wamid,
    begun,
    ended,
    given_back,
    heard,
    later,
    taken,
)

PATIENT = replace(MANNERS, quiet=timedelta(seconds=0.8))


def wrote(ledger: Ledger, content: str | Inbound, seconds: float, reply_to: str | None = None) -> int:
    """Mia writes; return her conversation."""
    said = Text(content) if isinstance(content, str) else content
    update = Received(a_wamid(), NUMBER, MIA, said, later(seconds), reply_to=reply_to)
    (conversation_id,) = heard(ledger, update, now=later(seconds))
    return conversation_id


def due(ledger: Ledger, conversation_id: int, seconds: float) -> float | None:
    """When the turn may begin, in seconds, or None if it begins."""
    with ledger.writing() as tx:
        found = turns.begin_turn(tx, conversation_id, owner="a", manners=PATIENT, now=later(seconds))
    return (found.until - NOW).total_seconds() if isinstance(found, NotYet) else None


def test_one_thought_in_three_messages_is_one_turn(ledger: Ledger) -> None:
    for n, words in enumerate(("hi", "where is my order", "its 20418")):
        conversation_id = wrote(ledger, words, n * 0.4)
    turn = begun(ledger, conversation_id, manners=PATIENT, now=later(3))
    assert turn is not None and turn.words == "hi\nwhere is my order\nits 20418"
    ended(ledger, turn, "It is on its way.", now=later(3))
    assert begun(ledger, conversation_id, now=later(4)) is None, "nothing is left over"


def test_a_burst_is_answered_when_the_contact_pauses_and_never_later_than_a_second_and_a_half(ledger: Ledger) -> None:
    conversation_id = wrote(ledger, "hi", 0)
    assert due(ledger, conversation_id, 0.1) == pytest.approx(0.8)
    for n in range(1, 6):
        wrote(ledger, f"and {n}", n * 0.4)
    assert due(ledger, conversation_id, 1.4) == pytest.approx(1.5)
    assert due(ledger, conversation_id, 1.6) is None


def test_a_tap_is_answered_at_once_and_by_itself(ledger: Ledger) -> None:
    wrote(ledger, "one more thing", 0)
    conversation_id = wrote(ledger, Tap("/opening_hours", "Opening hours"), 0.1)
    first = begun(ledger, conversation_id, manners=PATIENT, now=later(0.2))
    assert first is not None and first.words == "one more thing", "what came before it is not waited for either"
    ended(ledger, first, "Yes?", now=later(0.3))
    second = begun(ledger, conversation_id, manners=PATIENT, now=later(0.4))
    assert second is not None and second.words == "Opening hours"


def test_a_photo_and_its_story_are_one_turn_a_place_is_one_of_its_own(ledger: Ledger) -> None:
    wrote(ledger, Media("image", media_id="1"), 0)
    wrote(ledger, "it came broken", 0.2)
    conversation_id = wrote(ledger, Place(53.8, -1.5), 0.3)
    turn = begun(ledger, conversation_id, manners=PATIENT, now=later(2))
    assert turn is not None and [type(one.content) for one in turn.heard] == [Media, Text]


def test_a_burst_is_read_in_the_order_it_was_written_however_it_was_delivered(ledger: Ledger) -> None:
    second = Received(a_wamid(), NUMBER, MIA, Text("second"), later(2))
    first = Received(a_wamid(), NUMBER, MIA, Text("first"), later(1))
    (conversation_id,) = heard(ledger, second, first, now=later(3))
    turn = begun(ledger, conversation_id, now=later(5))
    assert turn is not None and turn.words == "first\nsecond"


def test_a_tap_on_an_old_question_is_known_to_be_old(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    wamids = []
    for n, question in enumerate(("A person?", "A refund?")):
        with ledger.writing() as tx:
            choices = Buttons(question, (Reply("/affirm", "Yes"), Reply("/deny", "No")))
            outbox.queue(tx, turn.conversation_id, choices, author=Author.BOT, now=NOW)
            outgoing = outbox.claim(tx, later(10 * (n + 1)))
            assert outgoing is not None
            outbox.settle(tx, outgoing.id, Outcome(Kind.ACCEPTED, wamid=f"wamid.q{n}"), later(10 * (n + 1)))
        wamids.append(f"wamid.q{n}")
    ended(ledger, turn, silent=True)
    for wamid, stale in zip(wamids, (True, False), strict=True):
        wrote(ledger, Tap("/affirm", "Yes"), 30, reply_to=wamid)
        tapped = begun(ledger, turn.conversation_id, now=later(31))
        assert tapped is not None and tapped.heard[0].stale is stale
        ended(ledger, tapped, silent=True)


def test_blue_ticks_and_typing_are_asked_for_once_for_each_turn(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    with ledger.reading() as tx:
        (asked,) = tx.execute(sa.select(errands)).all()
    assert (asked.wamid, asked.typing) == (turn.heard[-1].wamid, True)


def test_the_messages_of_a_turn_are_counted(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    ended(ledger, turn, "one", "two")
    with ledger.reading() as tx:
        assert tx.execute(sa.select(turns.turns.c.bubbles)).scalar_one() == 2


def chat(ledger: Ledger, words: str | Inbound, seconds: float, answer: str, **more: object) -> int | None:
    """Mia writes, and the bot answers if it still may; return her conversation."""
    conversation_id = wrote(ledger, words, seconds)
    manners = replace(MANNERS, notices_machines=True, **more)  # type: ignore[arg-type]
    turn = begun(ledger, conversation_id, manners=manners, now=later(seconds))
    if turn is not None:
        ended(ledger, turn, answer, now=later(seconds))
    return conversation_id if turn is not None else None


def spoken(ledger: Ledger) -> tuple[Holder, Reason | None, list[str]]:
    """Who holds Mia's conversation, why, and what we said."""
    with ledger.reading() as tx:
        (conversation,) = transcript.list_of(tx)
        said = transcript.messages_of(tx, conversation.id)
        ours = [message.text for message in said if message.author is Author.BOT]
    return conversation.holder, conversation.reason, ours


@pytest.mark.parametrize(
    "answers",
    [
        ["Thank you for your message. We are closed and will answer on Monday."] * 9,
        [f"Thank you, your ticket is #{n:05d}. We will be in touch shortly." for n in range(9)],
        [f"{word} is a very good question, let me think about it for a while." for word in "abcdefghi"],
    ],
    ids=["an auto-responder", "with a number in it", "a bot that finds new words, faster than anybody types"],
)
def test_two_bots_that_answer_each_other_end_within_six_messages(ledger: Ledger, answers: list[str]) -> None:
    for n, words in enumerate(answers):
        chat(ledger, words, n * 2.0, f"I did not get that ({n}).")
    holder, reason, ours = spoken(ledger)
    assert (holder, reason) == (Holder.QUEUE, Reason.MACHINE)
    assert len(ours) == 3 and ours[-1] == ENOUGH.text, "three of theirs, three of ours, the last one says why"


@pytest.mark.parametrize(
    ("answers", "after_s"),
    [
        (["hello", *["Ok, thanks!"] * 9], 0.3),
        (["hello", *["👍"] * 9], 0.3),
        (["hello", *["Please type 1, 2 or 3."] * 9], 1.0),
        (
            ["We are open from nine to five, Monday to Friday, as ever.", "Our catalogue is at the address you know."]
            * 5,
            5.0,
        ),
    ],
    ids=["thanks", "a thumb", "a menu", "two sentences in turn"],
)
def test_a_bot_that_repeats_itself_at_once_ends_within_six_messages(
    ledger: Ledger, answers: list[str], after_s: float
) -> None:
    for n, words in enumerate(answers):
        chat(ledger, words, n * after_s, f"I did not get that ({n}).")
    holder, reason, ours = spoken(ledger)
    assert (holder, reason, len(ours)) == (Holder.QUEUE, Reason.MACHINE, 3)


ROUND = [
    "Thanks for your message, how can we help?",
    "Please choose one of our departments.",
    "All our colleagues are busy right now.",
    "Our team replies from Monday to Friday, nine to five.",
]


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("delays", [(6.0,), (5.1, 5.7, 5.4)], ids=["on the second", "nearly"])
@pytest.mark.parametrize("answer", ["I did not get that", "Here is what I can help with, pick one. " * 6])
def test_a_bot_with_a_few_sentences_in_turn_ends_within_six_messages(
    ledger: Ledger, count: int, delays: tuple[float, ...], answer: str
) -> None:
    at = 0.0
    for n in range(12):
        chat(ledger, ROUND[n % count], at, f"{answer} ({n}).")
        at += delays[n % len(delays)]
    holder, reason, ours = spoken(ledger)
    assert (holder, reason, len(ours)) == (Holder.QUEUE, Reason.MACHINE, 3)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_slow_bot_with_a_few_sentences_in_turn_ends_at_the_second_it_repeats(ledger: Ledger, count: int) -> None:
    for n in range(12):
        chat(ledger, ROUND[n % count], n * 40.0, f"I did not get that ({n}).")
    holder, reason, ours = spoken(ledger)
    assert (holder, reason, len(ours)) == (Holder.QUEUE, Reason.MACHINE, count + 2)


def test_a_bot_that_says_everything_in_two_messages_ends_within_six_answers(ledger: Ledger) -> None:
    for n in range(12):
        wrote(ledger, ROUND[n % 4], n * 6.0)
        chat(ledger, ROUND[(n + 1) % 4], n * 6.0 + 0.5, f"I did not get that ({n}).")
    holder, reason, ours = spoken(ledger)
    assert (holder, reason, len(ours)) == (Holder.QUEUE, Reason.MACHINE, 3)


def test_an_out_of_office_that_quotes_us_ends_within_six_messages(ledger: Ledger) -> None:
    quoted = ""
    for n in range(9):
        answer = f"{'No' * n} I do not know what you mean, sorry."
        chat(ledger, f"I am away until Monday.{quoted}", n * 90.0, answer)
        quoted = f"\n> {answer}"
    holder, reason, said = spoken(ledger)
    assert (holder, reason, len(said)) == (Holder.QUEUE, Reason.MACHINE, 3)


def test_a_machine_that_waits_for_a_person_hears_no_more_of_the_bot(ledger: Ledger) -> None:
    """The bot had passed it on for another reason, and goes on helping whoever waits."""
    chat(ledger, "Hello, this is Acme.", 0, "Hello, I'm Fern.")
    with ledger.writing() as tx:
        (one,) = transcript.list_of(tx)
        handoffs.hand_off(
            tx, one.key, reason=Reason.NOT_UNDERSTOOD, wish="", slots={}, tell=None, now=NOW
        )  # fmt: skip
    for n in range(12):
        chat(ledger, ROUND[n % 4], 6.0 + n * 6.0, f"You're still in line ({n}).")
    holder, reason, ours = spoken(ledger)
    assert (holder, reason, ours[-1], len(ours)) == (Holder.QUEUE, Reason.MACHINE, ENOUGH.text, 3)
    with ledger.reading() as tx:
        assert not tx.execute(sa.select(sa.func.count()).where(messages.c.waiting)).scalar_one()


MENU = "Here is what I can help with. Pick one, or just ask: orders, returns, opening hours, plants, a person. " * 2


@pytest.mark.parametrize(
    "story",
    [
        [("hi", 0), ("yes", 2), ("order please", 2), ("FH10482", 1.5), ("thanks!", 2), ("bye", 2), ("oh wait", 2)],
        [("Where is my order FH10482?", 0), ("Where is my order FH10482?", 20), ("Hello? Anybody there?", 9)],
        [("My order number is:", 0), ("FH10482", 1), ("Mia Turner, 14 Elm Road", 1), ("SW1A 1AA", 1), ("FH10482", 1)],
        [("I ordered a plant last week.", 0), ("and it still isnt here today", 6), ("can you look where it is", 5)],
        [("Hi, when are you open in Leeds?", 0), ("Do you sell orchids in that shop, too?", 9), ("Thank you!", 4),
         ("And can I bring back a plant that died?", 14), ("Great. Which papers do I have to bring?", 10)],
        [("When are you open in Bristol?", 0), ("When are you open in Bristol?", 86400),
         ("And when in Leeds, please?", 30), ("When are you open in Bristol?", 86400), ("And when in Leeds?", 7200)],
    ],
    ids=["short", "asks again", "pastes", "bursts", "writes well", "comes back"],
)  # fmt: skip
def test_people_are_no_machines(ledger: Ledger, story: list[tuple[str, float]]) -> None:
    at = 0.0
    for n, (words, seconds) in enumerate(story):
        at += seconds
        assert chat(ledger, words, at, f"{MENU} ({n})") is not None, words


def test_who_sends_voice_and_photos_at_once_is_no_machine(ledger: Ledger) -> None:
    for n in range(8):
        assert chat(ledger, Media("audio" if n % 2 else "image", media_id=str(n)), n * 2.0, MENU) is not None


def test_who_writes_in_bursts_while_the_bot_answers_is_no_machine(ledger: Ledger) -> None:
    for n, plant in enumerate(("fern", "palm", "cactus", "orchid", "ivy", "lily")):
        wrote(ledger, f"hi, i bought this {plant}", n * 9.0)
        wrote(ledger, "and it has brown leaves", n * 9.0 + 3)
        assert chat(ledger, f"what does a {plant} need?", n * 9.0 + 5, MENU) is not None


@pytest.mark.parametrize("back_s", [3600, 1])
def test_a_message_waits_no_longer_because_the_clock_was_set_back(ledger: Ledger, back_s: float) -> None:
    conversation_id = wrote(ledger, "hello", back_s)
    if back_s < 2:
        assert due(ledger, conversation_id, 0) is not None, "two clocks that differ a little are no reason to hurry"
    else:
        with ledger.reading() as tx:
            assert turns.due(tx, PATIENT.quiet, NOW) == [conversation_id]
        assert due(ledger, conversation_id, 0) is None


def test_somebody_who_asks_again_what_was_not_answered_is_no_machine(ledger: Ledger) -> None:
    for n, words in enumerate(
        ["where is my order FH10482?", "no, where is it", "where is my order FH10482?", "hello??"]
    ):
        assert chat(ledger, words, n * 12.0, f"I did not get that ({n}).") is not None


def test_photos_sent_while_a_person_is_awaited_are_not_a_flood(ledger: Ledger) -> None:
    for n in range(12):
        conversation_id = wrote(ledger, Media("image", media_id=str(n)), n * 5.0)
        turn = begun(ledger, conversation_id, manners=replace(MANNERS, answers_in_10_minutes=5), now=later(n * 5.0))
        assert turn is not None
        ended(ledger, turn, silent=True, now=later(n * 5.0))


def test_a_person_who_says_the_same_short_thing_again_is_no_machine(ledger: Ledger) -> None:
    for n in range(6):
        assert chat(ledger, "hello?", n * 20.0, f"Hello ({n}).") is not None


def test_more_messages_than_a_person_writes_are_a_persons_matter_and_told_once(ledger: Ledger) -> None:
    for n in range(9):
        chat(ledger, f"question {n}", n * 20.0, f"answer {n}", answers_in_10_minutes=5)
    holder, reason, ours = spoken(ledger)
    assert (holder, reason) == (Holder.QUEUE, Reason.FLOOD)
    assert ours == [*(f"answer {n}" for n in range(5)), ENOUGH.text]


def test_while_they_wait_for_a_person_the_same_holds(ledger: Ledger) -> None:
    conversation_id = chat(ledger, "a person please", 0, "Soon.")
    assert conversation_id is not None
    with ledger.writing() as tx:
        (one,) = transcript.list_of(tx)
        handoffs.hand_off(tx, one.key, reason=Reason.ASKED, wish="", slots={}, tell=None, now=NOW)
    for n in range(1, 9):
        chat(ledger, f"question {n}", n * 20.0, f"answer {n}", answers_in_10_minutes=5)
    assert spoken(ledger)[1:] == (Reason.FLOOD, ["Soon.", *(f"answer {n}" for n in range(1, 5)), ENOUGH.text])


def test_after_a_person_had_it_the_count_begins_again(ledger: Ledger) -> None:
    for n in range(7):
        chat(ledger, f"question {n}", n * 20.0, f"answer {n}", answers_in_10_minutes=5)
    with ledger.reading() as tx:
        (one,) = transcript.list_of(tx)
    taken(ledger, one.key)
    given_back(ledger, one.key)
    assert chat(ledger, "thanks", 200, "You're welcome.", answers_in_10_minutes=5) is not None


def test_what_a_contact_took_back_before_the_turn_is_not_answered(ledger: Ledger) -> None:
    first, second = a_text("oops"), a_text("where is my order?")
    (conversation_id,) = heard(ledger, first, second)
    with ledger.writing() as tx:
        tx.execute(sa.update(messages).where(messages.c.wamid == first.wamid).values(waiting=False))
    turn = begun(ledger, conversation_id)
    assert turn is not None and turn.words == "where is my order?"
