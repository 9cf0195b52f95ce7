"""What may go when: paced before Meta complains, stopped as a whole when it does, nothing but templates too late."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from bot.ledger import alarms, handoffs, inbox, outbox, transcript
from bot.ledger.outbox import PAIR_BURST, Kind, Outcome, Outgoing
from bot.ledger.tables import conversations, messages, numbers
from bot.ledger.transaction import Ledger
from bot.messages import Blank, Outbound, Template, Text
from bot.updates import ContactRef, Received, Unsupported
from bot.vocabulary import Author, Holder, Reason, Status
from tests.factories import MIA, NOW, NUMBER, SAM, a_report, a_text, a_turn, a_wamid, ended, heard, later, taken

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


def test_what_the_whole_account_asks_too_often_slows_every_number_of_ours(ledger: Ledger) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA))
    (other,) = heard(ledger, Received(a_wamid(), "200000000000002", SAM, Text("hi"), NOW))
    both = [queued(ledger, mia), queued(ledger, other)]
    (outgoing,) = claimed(ledger, 0, most=1)
    slower = Outcome(Kind.SLOWER, words="too often", wait=later(600) - NOW, code=80007, everywhere=True)
    settled(ledger, outgoing.id, slower)
    assert claimed(ledger, 599) == []
    assert sorted(one.id for one in claimed(ledger, 601)) == both


def test_a_number_found_too_fast_again_and_again_is_known_by_it_until_it_is_fast_enough(ledger: Ledger) -> None:
    for n in range(3):
        queued(ledger, next(iter(heard(ledger, a_text(contact=ContactRef(f"44770092{n:04d}", None))))))
    slower = Outcome(Kind.SLOWER, words="slow down", wait=later(1) - NOW, code=130429)
    for n in range(4):
        volley = claimed(ledger, 10 * n, most=3)
        assert [one.slowed for one in volley] == [n] * 3, "what went together was too fast once"
        for one in volley:
            settled(ledger, one.id, slower, 10 * n)
    with ledger.writing() as tx:
        outbox.is_fast_enough(tx, NUMBER)
    assert [one.slowed for one in claimed(ledger, 50)] == [0] * 3


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


def charged_s(ledger: Ledger, conversation_id: int, seconds: float) -> float:
    """How long it takes until what was sent to this contact is paid off."""
    with ledger.reading() as tx:
        found = sa.select(conversations.c.paced_until).where(conversations.c.id == conversation_id)
        paid_off = tx.execute(found).scalar()
    return max((paid_off - later(seconds)).total_seconds(), 0.0) if paid_off else 0.0


def test_a_contact_is_not_charged_for_what_our_number_had_to_hold_back(ledger: Ledger) -> None:
    """In a rush every look would use up one of their forty; then the contact could get nothing for minutes."""
    everybody = [next(iter(heard(ledger, a_text(contact=ContactRef(f"44770091{n:04d}", None))))) for n in range(12)]
    for conversation_id in everybody:
        queued(ledger, conversation_id)
    sent = sum(len(claimed(ledger, look / 2, per_second=4)) for look in range(12))
    assert sent == len(everybody)
    assert all(charged_s(ledger, conversation_id, 0) <= 6 + 6 for conversation_id in everybody)


@pytest.mark.parametrize("kind", [Kind.STOPPED, Kind.SLOWER, Kind.LATER])
def test_a_contact_is_not_charged_for_what_never_left(ledger: Ledger, kind: Kind) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA))
    queued(ledger, mia)
    for n in range(PAIR_BURST + 5):
        (one,) = claimed(ledger, n)
        settled(ledger, one.id, Outcome(kind, words="can't connect", wait=later(0.5) - NOW), n)
        assert charged_s(ledger, mia, n) == 0
    (one,) = claimed(ledger, 100)
    delivered(ledger, one, 100)
    assert charged_s(ledger, mia, 100) == 6


def test_a_short_stop_does_not_end_a_long_one(ledger: Ledger) -> None:
    ids = [queued(ledger, next(iter(heard(ledger, a_text(contact=ref))))) for ref in (MIA, SAM)]
    assert len(claimed(ledger, 0)) == 2
    settled(ledger, ids[0], Outcome(Kind.STOPPED, words="reported by many", wait=later(600) - NOW, code=131048))
    settled(ledger, ids[1], Outcome(Kind.STOPPED, words="can't connect", wait=later(2) - NOW))
    assert claimed(ledger, 599) == []
    assert len(claimed(ledger, 601)) == 2


def test_while_one_number_is_stopped_the_others_go_and_nothing_is_looked_for_in_vain(ledger: Ledger) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA))
    queued(ledger, mia)
    with ledger.writing() as tx:
        outbox.stop_number(tx, NUMBER, later(600))
        assert not outbox.is_due(tx, later(1))
    (other,) = heard(ledger, Received(a_wamid(), "200000000000002", MIA, Text("hi"), NOW))
    elsewhere = queued(ledger, other)
    with ledger.reading() as tx:
        assert outbox.is_due(tx, later(1))
    assert [one.id for one in claimed(ledger, 1)] == [elsewhere]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_senders_of_two_numbers_never_wait_for_each_other(ledger: Ledger, database_url: str) -> None:
    """One has claimed for the first number and looks at the second, the other the other way round."""
    (mia,) = heard(ledger, a_text(contact=MIA))
    (other,) = heard(ledger, Received(a_wamid(), "200000000000002", SAM, Text("hi"), NOW))
    first, second = queued(ledger, mia), queued(ledger, other)
    with ledger.writing() as tx:
        assert len(outbox.claim_some(tx, NOW, 1)) == 1  # the numbers are known
    another = Ledger(database_url)
    for conversation_id in (mia, other):
        queued(ledger, conversation_id, "next")
    with ledger.writing() as tx:
        tx.execute(sa.update(messages).where(messages.c.id == first).values(status=Status.DELIVERED))
        tx.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
        tx.execute(sa.select(numbers).where(numbers.c.phone_number_id == NUMBER).with_for_update()).all()
        with another.writing() as tx2:
            tx2.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
            assert [one.id for one in outbox.claim_some(tx2, later(1), 8)] == [second], "the first number keeps"
            outbox.claim_some(tx, later(1), 8)
    another.close()


def test_a_clock_that_was_set_back_holds_a_conversation_up_for_a_minute_and_not_for_an_hour(ledger: Ledger) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA), now=later(3600))
    message_id = queued(ledger, mia)
    with ledger.writing() as tx:
        inbox.keep_door_open(tx, later(3600))
    assert len(claimed(ledger, 3600)) == 1  # its sender dies, and the clock is set right
    for seconds in range(0, 110, 2):
        with ledger.writing(lightly=True) as tx:
            inbox.keep_door_open(tx, later(seconds))
            inbox.record(tx, b"{}", [Unsupported("calls")], later(seconds))
            outbox.expire(tx, later(seconds))
        if seconds < 30:
            assert words_of(ledger, message_id)[0] is Status.SENDING, "a report may still come"
    assert words_of(ledger, message_id)[0] is Status.QUEUED


def test_a_clock_that_was_set_back_stops_no_number_and_no_contact(ledger: Ledger) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA), now=later(3600))
    for n in range(5):
        queued(ledger, mia, f"{n}")
    (outgoing,) = claimed(ledger, 3600, per_second=1)
    settled(ledger, outgoing.id, Outcome(Kind.ACCEPTED, wamid="wamid.1"), 3600)
    assert len(claimed(ledger, 0, per_second=1)) == 1, "an hour earlier, by the clock"


def test_a_number_with_much_to_say_keeps_no_other_one_waiting(ledger: Ledger) -> None:
    for n in range(60):
        (busy,) = heard(ledger, a_text(contact=ContactRef(f"4477009001{n:02d}", None)))
        queued(ledger, busy)
    (idle,) = heard(ledger, replace(a_text(contact=MIA), phone_number_id="another"))
    wanted = queued(ledger, idle)
    seconds, went = 0.0, []
    while wanted not in went:
        went += [outgoing.id for outgoing in claimed(ledger, seconds, per_second=5, most=8)]
        seconds += 0.1
    assert seconds < 2, "sixty of the other number's take twelve seconds"


def test_many_that_need_no_sending_are_resolved_a_few_at_a_time(ledger: Ledger) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA))
    for n in range(outbox.RESOLVED_AT_ONCE + 40):
        queued(ledger, mia, f"{n}")
    failed = sa.select(sa.func.count()).where(messages.c.status == Status.FAILED)
    assert claimed(ledger, 2 * DAY) == []
    with ledger.reading() as tx:
        assert tx.execute(failed).scalar_one() <= outbox.RESOLVED_AT_ONCE + 1
    assert claimed(ledger, 2 * DAY) == []
    with ledger.reading() as tx:
        assert tx.execute(failed).scalar_one() == outbox.RESOLVED_AT_ONCE + 40


def failed(ledger: Ledger, outgoing: Outgoing, **why: bool) -> None:
    """Meta accepts it and fails it in the same moment."""
    wamid = f"wamid.{outgoing.id}"
    settled(ledger, outgoing.id, Outcome(Kind.ACCEPTED, wamid=wamid))
    heard(ledger, replace(a_report(wamid, Status.FAILED, error="there is a problem with how we pay"), **why))


def test_a_failure_that_concerns_every_message_stops_the_number_and_rings(ledger: Ledger) -> None:
    (mia,), (sam,) = heard(ledger, a_text(contact=MIA)), heard(ledger, a_text(contact=SAM))
    queued(ledger, mia)
    (outgoing,) = claimed(ledger, 0)
    queued(ledger, sam)
    failed(ledger, outgoing, stops=True)
    with ledger.reading() as tx:
        (alarm,) = alarms.raised(tx)
    assert "how we pay" in alarm.words and NUMBER in alarm.name
    assert claimed(ledger, 10) == [], "they would all fail, one after the other"
    assert len(claimed(ledger, 31)) == 1


@pytest.mark.parametrize("why", [{"passes": True}, {"stops": True}])
def test_a_failure_told_before_the_answer_is_acted_on_as_soon_as_it_is_known_whose_it_is(
    ledger: Ledger, why: dict[str, bool]
) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA))
    queued(ledger, mia)
    (outgoing,) = claimed(ledger, 0)
    wamid = f"wamid.{outgoing.id}"
    heard(ledger, replace(a_report(wamid, Status.FAILED, error="there is a problem with how we pay"), **why))
    settled(ledger, outgoing.id, Outcome(Kind.ACCEPTED, wamid=wamid))
    assert words_of(ledger, outgoing.id) == (Status.FAILED, "there is a problem with how we pay")
    queued(ledger, mia, "and now?")
    with ledger.reading() as tx:
        assert bool(alarms.raised(tx)) is ("stops" in why)
    sent = [] if "stops" in why else [outgoing.content]
    assert [one.content for one in claimed(ledger, 20)] == sent


def test_a_failure_that_passes_goes_once_more_unless_something_was_said_since(ledger: Ledger) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA))
    queued(ledger, mia, author=Author.BOT)
    (first,) = claimed(ledger, 0)
    failed(ledger, first, passes=True)
    assert claimed(ledger, 10) == []
    (second,) = claimed(ledger, 31)
    assert second.content == first.content
    failed(ledger, second, passes=True)
    assert claimed(ledger, 70) == [], "twice is no accident"
    with ledger.writing() as tx:
        assert handoffs.hand_off_undelivered(tx, later(70)), "a person sees to it"


def test_who_sees_to_an_answer_that_failed_twice_reads_what_was_asked(ledger: Ledger) -> None:
    ended(ledger, a_turn(ledger, "where is my order?"), "On its way")
    for seconds in (0, 31):
        (outgoing,) = claimed(ledger, seconds)
        failed(ledger, outgoing, passes=True)
    with ledger.writing() as tx:
        assert handoffs.hand_off_undelivered(tx, later(70)) == 1
        assert transcript.list_of(tx)[0].wish == "where is my order?"


def test_a_failure_that_passes_does_not_overtake_what_was_said_after_it(ledger: Ledger) -> None:
    (mia,) = heard(ledger, a_text(contact=MIA))
    queued(ledger, mia, "one")
    (first,) = claimed(ledger, 0)
    queued(ledger, mia, "two")
    failed(ledger, first, passes=True)
    assert [outgoing.content for outgoing in claimed(ledger, 40)] == [Text("two")]
    assert words_of(ledger, first.id)[0] is Status.FAILED


def two_answers(ledger: Ledger) -> tuple[Outgoing, Outgoing]:
    """The bot answers in two messages, and Meta accepts both."""
    ended(ledger, a_turn(ledger, "where are my orders?"), "One is on its way.", "One is here.")
    found = []
    for seconds in (0, 6):
        (outgoing,) = claimed(ledger, seconds)
        settled(ledger, outgoing.id, Outcome(Kind.ACCEPTED, wamid=f"wamid.{outgoing.id}"), seconds)
        found.append(outgoing)
    return found[0], found[1]


@pytest.mark.parametrize("and_then", ["goes once more", "arrives after all", "is sent again by a person"])
@pytest.mark.parametrize("together", [True, False])
def test_where_two_of_the_bots_messages_failed_a_person_comes_though_one_needs_none(
    ledger: Ledger, together: bool, and_then: str
) -> None:
    one, two = two_answers(ledger)
    reports = [a_report(f"wamid.{outgoing.id}", Status.FAILED) for outgoing in (one, two)]
    reports[1] = replace(reports[1], passes=and_then == "goes once more")
    for batch in [reports] if together else [[report] for report in reports]:
        heard(ledger, *batch)
    if and_then == "arrives after all":
        heard(ledger, a_report(f"wamid.{two.id}", Status.DELIVERED))
    elif and_then == "is sent again by a person":
        with ledger.writing() as tx:
            outbox.send_again(tx, two.id, later(7))
    with ledger.writing() as tx:
        assert handoffs.hand_off_undelivered(tx, later(8)) == 1


@pytest.mark.parametrize("first_arrives", [True, False])
def test_the_other_of_two_failures_is_remembered_whichever_arrives_after_all(
    ledger: Ledger, first_arrives: bool
) -> None:
    both = two_answers(ledger)
    heard(ledger, *[a_report(f"wamid.{outgoing.id}", Status.FAILED) for outgoing in both])
    arrived, failed_for_good = both if first_arrives else both[::-1]
    heard(ledger, a_report(f"wamid.{arrived.id}", Status.DELIVERED))
    with ledger.reading() as tx:
        assert tx.execute(sa.select(conversations.c.undelivered_id)).scalar() == failed_for_good.id
    heard(ledger, a_report(f"wamid.{failed_for_good.id}", Status.DELIVERED))
    with ledger.writing() as tx:
        assert handoffs.hand_off_undelivered(tx, later(8)) == 0


def test_a_failure_a_person_was_asked_for_is_not_dug_out_again(ledger: Ledger) -> None:
    """They would rather go on with the bot; its next failure passes, and goes once more."""
    turn = a_turn(ledger, "where is my order?")
    ended(ledger, turn, "It is on its way.")
    (one,) = claimed(ledger, 0)
    failed(ledger, one)
    with ledger.writing() as tx:
        assert handoffs.hand_off_undelivered(tx, later(2)) == 1
        assert handoffs.cancel(tx, turn.key, words=Text("Fine."), now=later(3))
    (fine,) = claimed(ledger, 4)
    failed(ledger, fine, passes=True)
    with ledger.writing() as tx:
        assert handoffs.hand_off_undelivered(tx, later(6)) == 0


@pytest.mark.parametrize("waits", ["to go once more", "for Meta"])
def test_an_agents_first_words_do_not_wait_behind_what_their_take_has_silenced(ledger: Ledger, waits: str) -> None:
    turn = a_turn(ledger, "where is my order?")
    ended(ledger, turn, "It is on its way.")
    (one,) = claimed(ledger, 0)
    if waits == "for Meta":
        settled(ledger, one.id, Outcome(Kind.LATER, words="not available", wait=later(600) - NOW, code=131016))
    else:
        failed(ledger, one, passes=True)
    taken(ledger, turn.key, now=later(3))
    hers = queued(ledger, turn.conversation_id, "Ann here.")
    with ledger.reading() as tx:
        assert outbox.is_due(tx, later(4))
    assert [outgoing.id for outgoing in claimed(ledger, 4)] == [hers]


def test_what_goes_once_more_goes_at_once_when_something_is_said_after_it(ledger: Ledger) -> None:
    turn = a_turn(ledger, "where is my order?")
    ended(ledger, turn, "It is on its way.")
    (one,) = claimed(ledger, 0)
    failed(ledger, one, passes=True)
    assert claimed(ledger, 3) == []
    ended(ledger, a_turn(ledger, "hello?"), "Hello!")
    (again,) = claimed(ledger, 4)
    assert again.content == one.content
    delivered(ledger, again, 4)
    (after,) = claimed(ledger, 5)
    assert after.content == Text("Hello!")
