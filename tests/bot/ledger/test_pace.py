"""What may go when: paced before Meta complains, stopped as a whole when it does, nothing but templates too late."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from bot.ledger import handoffs, outbox, transcript
from bot.ledger.outbox import PAIR_BURST, Kind, Outcome, Outgoing
from bot.ledger.tables import messages
from bot.ledger.transaction import Ledger
from bot.messages import Blank, Outbound, Template, Text
from bot.updates import ContactRef, Received
from bot.vocabulary import Author, Holder, Reason, Status
from tests.factories import MIA, NOW, NUMBER, SAM, a_report, a_text, a_turn, a_wamid, ended, heard, later

DAY = 24 * 3600


def queued(
    ledger: Ledger, conversation_id: int, content: str | Outbound = "hello", author: Author = Author.AGENT
) -> int:
    words = Text(content) if isinstance(content, str) else content
    with ledger.writing() as tx:
        found = outbox.queue(tx, conversation_id, words, author=author, now=NOW)
    assert found is not None
    return found


def claimed(ledger: Ledger, seconds: float, per_second: float = 80.0, most: int = 50) -> list[Outgoing]:
    with ledger.writing() as tx:
        return outbox.claim_some(tx, later(seconds), most, per_second=per_second)


def settled(ledger: Ledger, message_id: int, outcome: Outcome, seconds: float = 0) -> None:
    with ledger.writing() as tx:
        outbox.settle(tx, message_id, outcome, later(seconds))


def delivered(ledger: Ledger, outgoing: Outgoing, seconds: float) -> None:
    settled(ledger, outgoing.id, Outcome(Kind.ACCEPTED, wamid=f"wamid.{outgoing.id}"), seconds)
    heard(ledger, a_report(f"wamid.{outgoing.id}", Status.DELIVERED))


def words_of(ledger: Ledger, message_id: int) -> tuple[Status | None, str]:
    with ledger.reading() as tx:
        rows = [m for c in transcript.list_of(tx) for m in transcript.messages_of(tx, c.id) if m.id == message_id]
    return rows[0].status, rows[0].error


def test_a_burst_to_one_contact_is_slowed_before_meta_complains_and_nobody_else_waits(ledger: Ledger) -> None:
    (mia,), (sam,) = heard(ledger, a_text(contact=MIA)), heard(ledger, a_text(contact=SAM))
    for n in range(PAIR_BURST + 3):
        queued(ledger, mia, f"{n}")
    sent = 0
    while found := claimed(ledger, 1, per_second=1000):
        delivered(ledger, found[0], 1)
        sent += 1
    assert sent == PAIR_BURST
    queued(ledger, sam)
    assert [one.conversation_id for one in claimed(ledger, 1, per_second=1000)] == [sam]
    assert claimed(ledger, 5) == []
    (next_one,) = claimed(ledger, 7.5)
    assert next_one.content.text == f"{PAIR_BURST}", "one more after six seconds"


def test_a_number_sends_no_faster_than_it_may(ledger: Ledger) -> None:
    for n in range(60):
        (where,) = heard(ledger, a_text(contact=ContactRef(f"44770090{n:04d}", None)))
        queued(ledger, where)
    counts = [len(claimed(ledger, 1 + tick / 5, per_second=10)) for tick in range(20)]  # four seconds
    assert 35 <= sum(counts) <= 46 and max(counts) <= 6


def test_what_meta_finds_too_fast_slows_the_whole_number_and_no_other_one(ledger: Ledger) -> None:
    (mia,), (sam,) = heard(ledger, a_text(contact=MIA)), heard(ledger, a_text(contact=SAM))
    (other,) = heard(ledger, Received(a_wamid(), "200000000000002", MIA, Text("hi"), NOW))
    assert other != mia, "a conversation is one of our numbers and one contact"
    first = queued(ledger, mia)
    assert [one.id for one in claimed(ledger, 0)] == [first]
    settled(ledger, first, Outcome(Kind.SLOWER, words="slow down", wait=later(10) - NOW, code=130429))
    queued(ledger, sam)
    elsewhere = queued(ledger, other)
    assert [one.id for one in claimed(ledger, 5)] == [elsewhere]
    assert {one.conversation_id for one in claimed(ledger, 11)} == {mia, sam}


def test_a_number_that_may_not_send_stops_as_a_whole_and_loses_nothing(ledger: Ledger) -> None:
    ids = [queued(ledger, next(iter(heard(ledger, a_text(contact=ref))))) for ref in (MIA, SAM)]
    (one, _) = claimed(ledger, 0)
    settled(ledger, one.id, Outcome(Kind.STOPPED, words="the token expired", wait=later(30) - NOW, code=190))
    settled(ledger, ids[1], Outcome(Kind.STOPPED, words="the token expired", wait=later(30) - NOW, code=190))
    assert claimed(ledger, 20) == []
    assert sorted(one.id for one in claimed(ledger, 31)) == ids


def test_after_24_hours_only_a_template_goes_and_the_rest_says_why(ledger: Ledger) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA))
    late = queued(ledger, mia)
    assert claimed(ledger, DAY) == []
    status, why = words_of(ledger, late)
    assert status is Status.FAILED and "24 hours" in why
    template = queued(ledger, mia, Template("reopen_case", "en", (Blank("Mia"),), text="Hello Mia"))
    assert [one.id for one in claimed(ledger, DAY)] == [template]
    heard(ledger, Received(a_wamid(), NUMBER, MIA, Text("yes?"), later(DAY + 60)), now=later(DAY + 60))
    settled(ledger, template, Outcome(Kind.ACCEPTED, wamid="wamid.t"), DAY)
    with ledger.writing() as tx:
        again = outbox.send_again(tx, late, later(DAY + 61))
    assert [one.id for one in claimed(ledger, DAY + 70)] == [again], "the window is open again"


def test_what_the_bot_could_not_deliver_is_a_persons_matter(ledger: Ledger) -> None:
    turn = a_turn(ledger, "where is my order?")
    ended(ledger, turn, "It is on its way.")
    (one,) = claimed(ledger, 1)
    settled(ledger, one.id, Outcome(Kind.REFUSED, words="not as WhatsApp wants it (131009)", code=131009))
    with ledger.writing() as tx:
        assert handoffs.hand_off_undelivered(tx, later(2)) == 1
        assert handoffs.hand_off_undelivered(tx, later(3)) == 0
        conversation = transcript.conversation(tx, turn.key)
    assert (conversation.holder, conversation.reason) == (Holder.QUEUE, Reason.UNDELIVERED)
    assert conversation.wish == "where is my order?"


def test_a_dead_letter_is_listed_until_it_is_sent_again(ledger: Ledger) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA))
    message_id = queued(ledger, mia)
    claimed(ledger, 0)
    settled(ledger, message_id, Outcome(Kind.REFUSED, words="WhatsApp could not load the picture or file", code=131053))
    with ledger.writing() as tx:
        (dead,) = outbox.dead_letters(tx)
        assert (dead.id, dead.code) == (message_id, 131053) and "picture" in dead.error
        outbox.send_again(tx, message_id, NOW)
        assert outbox.dead_letters(tx) == []


@pytest.mark.parametrize("status", [Status.SENT, Status.DELIVERED])
def test_failed_after_delivered_was_delivered(ledger: Ledger, status: Status) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA))
    message_id = queued(ledger, mia)
    claimed(ledger, 0)
    settled(ledger, message_id, Outcome(Kind.ACCEPTED, wamid="wamid.1"))
    heard(ledger, a_report("wamid.1", status), a_report("wamid.1", Status.FAILED, error="one device of two"))
    expected = Status.DELIVERED if status is Status.DELIVERED else Status.FAILED
    assert words_of(ledger, message_id)[0] is expected
    heard(ledger, a_report("wamid.1", Status.READ))
    assert words_of(ledger, message_id) == (Status.READ, ""), "and nothing is said of a failure any more"


@pytest.mark.parametrize("kind", [Kind.LATER, Kind.SLOWER, Kind.STOPPED, Kind.UNHEARD, Kind.REFUSED])
def test_a_sender_that_slept_through_its_lease_puts_nothing_back(ledger: Ledger, kind: Kind) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA))
    message_id = queued(ledger, mia)
    (slept,) = claimed(ledger, 0)
    with ledger.writing() as tx:  # its lease ran out, nobody had heard of it, and another one has it now
        tx.execute(sa.update(messages).where(messages.c.id == message_id).values(status=Status.QUEUED))
    (awake,) = claimed(ledger, 60)
    with ledger.writing() as tx:
        outbox.settle(tx, message_id, Outcome(kind, words="late news"), later(61), attempt=slept.attempts)
    assert words_of(ledger, message_id)[0] is Status.SENDING
    assert claimed(ledger, 70) == []
    with ledger.writing() as tx:
        outbox.settle(tx, message_id, Outcome(Kind.ACCEPTED, wamid="wamid.1"), later(71), attempt=awake.attempts)
    assert words_of(ledger, message_id)[0] is Status.SENT
