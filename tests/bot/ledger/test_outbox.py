"""What goes out goes once, in order, and its status only climbs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from bot.errors import NotAllowed
from bot.ledger import handoffs, inbox, outbox, transcript
from bot.ledger.outbox import Kind, Outcome, Outgoing
from bot.ledger.tables import UNSENT, WAITING, messages
from bot.ledger.transaction import Ledger
from bot.messages import Text
from bot.updates import ContactRef, Unsupported
from bot.vocabulary import Author, Status
from tests.factories import NOW, SAM, a_report, a_text, heard, later, taken


@pytest.fixture
def conversation_id(ledger: Ledger) -> int:
    return next(iter(heard(ledger, a_text())))


def queued(ledger: Ledger, conversation_id: int, words: str = "hello", client_key: str | None = None) -> int:
    with ledger.writing() as tx:
        found = outbox.queue(tx, conversation_id, Text(words), author=Author.AGENT, now=NOW, client_key=client_key)
    assert found is not None
    return found


def claimed(ledger: Ledger, seconds: float = 0) -> Outgoing | None:
    with ledger.writing() as tx:
        return outbox.claim(tx, later(seconds))


def settled(ledger: Ledger, message_id: int, outcome: Outcome) -> None:
    with ledger.writing() as tx:
        outbox.settle(tx, message_id, outcome, NOW)


def status_of(ledger: Ledger, message_id: int) -> Status | None:
    with ledger.reading() as tx:
        rows = [m for c in transcript.list_of(tx) for m in transcript.messages_of(tx, c.id) if m.id == message_id]
    return rows[0].status


def open_door(ledger: Ledger, begin: float, end: float, *, cut: bool = False) -> None:
    """Meta's reports could reach us all that time, and others did; unless the line was cut outside."""
    with ledger.writing() as tx:
        for second in range(int(begin), int(end) + 1, 2):
            inbox.keep_door_open(tx, later(second))
            if not cut:
                inbox.record(tx, b"{}", [Unsupported("calls")], later(second))
        inbox.keep_door_open(tx, later(end))


def accepted(wamid: str) -> Outcome:
    return Outcome(Kind.ACCEPTED, wamid=wamid)


def test_one_at_a_time_and_in_order_within_a_conversation(ledger: Ledger, conversation_id: int) -> None:
    first, second = queued(ledger, conversation_id, "one"), queued(ledger, conversation_id, "two")
    outgoing = claimed(ledger)
    assert outgoing is not None and outgoing.id == first
    assert claimed(ledger) is None, "the second waits while the first is on its way"
    settled(ledger, first, accepted("wamid.1"))
    assert claimed(ledger, 1) is None, "the second waits until the first has arrived: Meta carries them in any order"
    heard(ledger, a_report("wamid.1", Status.SENT))
    assert claimed(ledger, 1) is None
    heard(ledger, a_report("wamid.1", Status.DELIVERED))
    outgoing = claimed(ledger, 1)
    assert outgoing is not None and outgoing.id == second


@pytest.mark.parametrize("status", [None, Status.SENT, Status.FAILED])
def test_nothing_waits_longer_than_five_seconds_for_a_report(
    ledger: Ledger, conversation_id: int, status: Status | None
) -> None:
    first, second = queued(ledger, conversation_id, "one"), queued(ledger, conversation_id, "two")
    claimed(ledger)
    settled(ledger, first, accepted("wamid.1"))
    if status is not None:
        heard(ledger, a_report("wamid.1", status))
    outgoing = claimed(ledger, 1 if status is Status.FAILED else 5.1)
    assert outgoing is not None and outgoing.id == second


def test_another_conversation_need_not_wait(ledger: Ledger, conversation_id: int) -> None:
    queued(ledger, conversation_id)
    (other,) = heard(ledger, a_text(contact=SAM))
    message_id = queued(ledger, other)
    claimed(ledger)
    outgoing = claimed(ledger)
    assert outgoing is not None and outgoing.id == message_id


def test_a_throttled_message_keeps_its_place(ledger: Ledger, conversation_id: int) -> None:
    first = queued(ledger, conversation_id, "one")
    queued(ledger, conversation_id, "two")
    claimed(ledger)
    settled(ledger, first, Outcome(Kind.LATER, words="slow down", wait=later(4) - NOW))
    assert claimed(ledger, 1) is None
    outgoing = claimed(ledger, 5)
    assert outgoing is not None and outgoing.id == first


def test_many_senders_send_every_message_once_and_in_order(ledger: Ledger) -> None:
    contacts = [ContactRef(f"4477009002{n:02d}", None) for n in range(5)]
    conversations = [next(iter(heard(ledger, a_text(contact=contact)))) for contact in contacts]
    ids = [queued(ledger, conversation, f"{n}") for n in range(6) for conversation in conversations]
    seen: list[tuple[int, int]] = []

    def work(_: int) -> None:
        idle = 0
        while idle < 20:
            outgoing = claimed(ledger, 1)
            if outgoing is None:
                idle += 1
                continue
            idle = 0
            seen.append((outgoing.conversation_id, outgoing.id))
            settled(ledger, outgoing.id, accepted(f"wamid.{outgoing.id}"))
            heard(ledger, a_report(f"wamid.{outgoing.id}", Status.DELIVERED))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(message_id for _, message_id in seen) == ids
    for conversation in conversations:
        mine = [message_id for where, message_id in seen if where == conversation]
        assert mine == sorted(mine)


def test_reports_only_climb_however_they_come(ledger: Ledger, conversation_id: int) -> None:
    message_id = queued(ledger, conversation_id)
    claimed(ledger)
    settled(ledger, message_id, accepted("wamid.1"))
    heard(ledger, a_report("wamid.1", Status.READ))
    heard(ledger, a_report("wamid.1", Status.DELIVERED), a_report("wamid.1", Status.SENT))
    heard(ledger, a_report("wamid.1", Status.FAILED, error="too late to matter"))
    assert status_of(ledger, message_id) is Status.READ


def test_a_report_that_overtakes_the_answer_to_the_send_is_not_lost(ledger: Ledger, conversation_id: int) -> None:
    message_id = queued(ledger, conversation_id)
    claimed(ledger)
    heard(ledger, a_report("wamid.early", Status.DELIVERED))
    settled(ledger, message_id, accepted("wamid.early"))
    assert status_of(ledger, message_id) is Status.DELIVERED


def test_a_send_whose_answer_never_came_is_settled_by_its_report_and_not_sent_twice(
    ledger: Ledger, conversation_id: int
) -> None:
    message_id = queued(ledger, conversation_id)
    outgoing = claimed(ledger)
    assert outgoing is not None
    settled(ledger, message_id, Outcome(Kind.UNHEARD, words="no answer"))
    heard(ledger, a_report("wamid.1", Status.SENT, callback=outgoing.callback))
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(3600)) == 0
    assert status_of(ledger, message_id) is Status.SENT


def test_a_send_that_nobody_heard_of_is_tried_again_after_its_lease(ledger: Ledger, conversation_id: int) -> None:
    message_id = queued(ledger, conversation_id)
    claimed(ledger)
    settled(ledger, message_id, Outcome(Kind.UNHEARD, words="no answer"))
    open_door(ledger, -60, 1)
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(1)) == 0, "too early: a status may still come"
    open_door(ledger, 1, 70)
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(70)) == 1
    outgoing = claimed(ledger, 71)
    assert outgoing is not None and outgoing.id == message_id


def test_while_nothing_shows_that_meta_reaches_us_nothing_is_sent_again(ledger: Ledger, conversation_id: int) -> None:
    """The line is cut outside, for two minutes: the door itself can't know."""
    message_id = queued(ledger, conversation_id)
    open_door(ledger, -60, 0)
    claimed(ledger)
    settled(ledger, message_id, Outcome(Kind.UNHEARD, words="no answer"))
    open_door(ledger, 0, 100, cut=True)
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(100)) == 0
    open_door(ledger, 100, 180)
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(180)) == 0, "Meta may take as long again to tell us what it could not"
    open_door(ledger, 180, 230)
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(230)) == 1
    assert status_of(ledger, message_id) is Status.QUEUED


def test_a_line_that_is_cut_just_after_something_came_is_listened_to_for_as_long_again(
    ledger: Ledger, conversation_id: int
) -> None:
    """Meta's report could not be brought from the third second to the hundredth; it may come at the two hundredth."""
    message_id = queued(ledger, conversation_id)
    open_door(ledger, -60, 0)
    claimed(ledger)
    open_door(ledger, 1, 2)
    open_door(ledger, 3, 99, cut=True)
    for begin in range(100, 220, 20):
        open_door(ledger, begin, begin + 20)
        with ledger.writing() as tx:
            assert outbox.expire(tx, later(begin + 20)) == 0, f"at {begin + 20} s"
    open_door(ledger, 220, 234)
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(234)) == 1
    assert status_of(ledger, message_id) is Status.QUEUED


def test_what_only_silence_followed_is_left_to_a_person(ledger: Ledger, conversation_id: int) -> None:
    message_id = queued(ledger, conversation_id)
    claimed(ledger)
    settled(ledger, message_id, Outcome(Kind.UNHEARD, words="no answer"))
    open_door(ledger, -60, 190, cut=True)
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(190)) == 1
    assert status_of(ledger, message_id) is Status.FAILED


def test_a_send_that_was_stopped_leaves_no_claim_that_another_one_could_be_taken_for(
    ledger: Ledger, conversation_id: int
) -> None:
    """The database broke off while it kept the outcome, which is kept again: another sender is at it by then."""
    queued(ledger, conversation_id)
    first = claimed(ledger)
    assert first is not None
    stopped = Outcome(Kind.STOPPED, words="can't connect")
    with ledger.writing() as tx:
        outbox.settle(tx, first.id, stopped, later(0), attempt=first.attempts)
    second = claimed(ledger, 10)
    assert second is not None and (second.attempts, second.tries) == (2, 1)
    with ledger.writing() as tx:
        outbox.settle(tx, first.id, stopped, later(11), attempt=first.attempts)
    assert status_of(ledger, first.id) is Status.SENDING


def test_what_waited_for_long_is_not_given_up_at_its_first_lost_answer(ledger: Ledger, conversation_id: int) -> None:
    message_id = queued(ledger, conversation_id)
    open_door(ledger, 7100, 7200)
    assert claimed(ledger, 7200) is not None
    with ledger.writing() as tx:
        outbox.settle(tx, message_id, Outcome(Kind.UNHEARD, words="no answer"), later(7208))
    open_door(ledger, 7200, 7300)
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(7300)) == 1
    assert status_of(ledger, message_id) is Status.QUEUED


def test_a_report_that_overtakes_the_answer_keeps_the_next_message_waiting_all_the_same(
    ledger: Ledger, conversation_id: int
) -> None:
    queued(ledger, conversation_id, "one")
    second = queued(ledger, conversation_id, "two")
    first = claimed(ledger)
    assert first is not None
    heard(ledger, a_report("wamid.1", Status.SENT, callback=first.callback))
    assert claimed(ledger, 1) is None, "the answer is still on its way, and nothing is delivered"
    heard(ledger, a_report("wamid.1", Status.DELIVERED, callback=first.callback))
    outgoing = claimed(ledger, 2)
    assert outgoing is not None and outgoing.id == second


def test_the_same_client_key_is_the_same_message(ledger: Ledger, conversation_id: int) -> None:
    assert queued(ledger, conversation_id, "hi", "k1") == queued(ledger, conversation_id, "hi", "k1")
    assert queued(ledger, conversation_id, "hi", "k2") != queued(ledger, conversation_id, "hi", "k1")


def test_a_refused_message_says_why_and_lets_the_next_one_go(ledger: Ledger, conversation_id: int) -> None:
    first, second = queued(ledger, conversation_id, "one"), queued(ledger, conversation_id, "two")
    claimed(ledger)
    settled(ledger, first, Outcome(Kind.REFUSED, words="not on WhatsApp"))
    outgoing = claimed(ledger)
    assert outgoing is not None and outgoing.id == second
    assert status_of(ledger, first) is Status.FAILED


def test_a_message_whose_send_was_stopped_costs_no_attempt(ledger: Ledger, conversation_id: int) -> None:
    message_id = queued(ledger, conversation_id)
    for n in range(20):
        assert claimed(ledger, n * 60) is not None
        settled(ledger, message_id, Outcome(Kind.STOPPED, words="the token expired"))
    assert status_of(ledger, message_id) is Status.QUEUED


def test_reports_that_come_at_the_same_moment_still_only_climb(ledger: Ledger, conversation_id: int) -> None:
    wamids = []
    for n in range(15):
        message_id = queued(ledger, conversation_id, f"{n}")
        claimed(ledger)
        settled(ledger, message_id, accepted(f"wamid.{n}"))
        wamids.append((message_id, f"wamid.{n}"))
    with ThreadPoolExecutor(3) as pool:
        for message_id, wamid in wamids:
            kinds = (Status.DELIVERED, Status.READ, Status.READ)
            list(pool.map(lambda kind, wamid=wamid: heard(ledger, a_report(wamid, kind)), kinds))
            assert status_of(ledger, message_id) is Status.READ


def test_batches_that_name_the_same_messages_in_other_orders_do_not_block_each_other(ledger: Ledger) -> None:
    wamids = []
    for n in range(4):
        (where,) = heard(ledger, a_text(contact=ContactRef(f"4477009003{n:02d}", None)))
        message_id = queued(ledger, where)
        claimed(ledger)
        settled(ledger, message_id, accepted(f"wamid.b{n}"))
        wamids.append(f"wamid.b{n}")

    def report(order: int) -> None:
        kind = (Status.DELIVERED, Status.READ, Status.PLAYED)[order % 3]
        heard(ledger, *[a_report(wamid, kind) for wamid in (wamids if order % 2 else wamids[::-1])])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(report, range(6)))


def test_what_was_withdrawn_and_yet_delivered_says_so(ledger: Ledger, conversation_id: int) -> None:
    """Meta had accepted it, unheard by us, before a person took over: the agent must know what the contact read."""
    with ledger.writing() as tx:
        message_id = outbox.queue(tx, conversation_id, Text("hi"), author=Author.BOT, epoch=1, now=NOW)
        key = transcript.list_of(tx)[0].key
    outgoing = claimed(ledger)
    assert outgoing is not None and message_id is not None
    settled(ledger, message_id, Outcome(Kind.UNHEARD))
    open_door(ledger, -60, 3600)
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(3600)) == 1
    taken(ledger, key)
    assert claimed(ledger, 3601) is None
    assert status_of(ledger, message_id) is Status.WITHDRAWN
    heard(ledger, a_report("wamid.late", Status.READ, callback=outgoing.callback))
    assert status_of(ledger, message_id) is Status.READ


@pytest.mark.parametrize(
    "content",
    [{"kind_of": "text", "text": " "}, {"kind_of": "tap", "id": "a", "title": "A"}],
    ids=["a limit was lowered", "only a contact can say it"],
)
def test_a_row_that_can_not_be_sent_holds_nobody_up(ledger: Ledger, conversation_id: int, content: Any) -> None:
    broken, whole = queued(ledger, conversation_id, "one"), queued(ledger, conversation_id, "two")
    with ledger.writing() as tx:
        tx.execute(sa.update(messages).where(messages.c.id == broken).values(content=content))
    outgoing = claimed(ledger)
    assert outgoing is not None and outgoing.id == whole
    assert status_of(ledger, broken) is Status.FAILED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL plans by statistics
def test_an_idle_look_at_the_outbox_reads_an_index_and_not_every_message(ledger: Ledger) -> None:
    looks = (
        sa.select(messages.c.id).where(UNSENT, messages.c.status == Status.QUEUED),
        sa.select(messages.c.conversation_id).where(WAITING),
    )
    with ledger.reading() as tx:
        for look in looks:
            words = str(look.compile(ledger.engine, compile_kwargs={"literal_binds": True}))
            plan = " ".join(row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}"))
            assert "ix_messages" in plan, plan


def test_nothing_is_sent_again_while_no_report_could_have_reached_us(ledger: Ledger, conversation_id: int) -> None:
    """After a crash of everything the sender is back in seconds, the webhook in half a minute."""
    message_id = queued(ledger, conversation_id)
    claimed(ledger)
    with ledger.writing() as tx:
        inbox.keep_door_open(tx, later(-60))
        assert outbox.expire(tx, later(30)) == 0, "the door was last seen open long ago"
    open_door(ledger, 40, 80)
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(80)) == 0, "it was shut for 40 s, so Meta may take as long to try again"
    open_door(ledger, 80, 110)
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(110)) == 1
    assert status_of(ledger, message_id) is Status.QUEUED


def test_what_nobody_could_ever_hear_of_is_left_to_a_person_and_not_sent_twice(
    ledger: Ledger, conversation_id: int
) -> None:
    message_id = queued(ledger, conversation_id)
    claimed(ledger)
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(200)) == 0
        assert outbox.expire(tx, later(400)) == 1
    assert status_of(ledger, message_id) is Status.FAILED
    with ledger.writing() as tx:
        again = outbox.send_again(tx, message_id, later(401))
        assert outbox.send_again(tx, message_id, later(402)) == again, "twice is as good as once"
    outgoing = claimed(ledger, 403)
    assert outgoing is not None and outgoing.id == again


def given_up(ledger: Ledger, conversation_id: int) -> Outgoing:
    """The bot's words, sent; no answer came, and nobody could hear of them."""
    with ledger.writing() as tx:
        outbox.queue(tx, conversation_id, Text("hi"), author=Author.BOT, epoch=1, now=NOW)
    outgoing = claimed(ledger)
    assert outgoing is not None
    with ledger.writing() as tx:
        assert outbox.expire(tx, later(400)) == 1
    assert status_of(ledger, outgoing.id) is Status.FAILED
    return outgoing


@pytest.mark.parametrize("by", ["its answer", "a report", "an early report"])
def test_a_failure_that_was_only_our_doubt_gives_way_to_metas_yes(
    ledger: Ledger, conversation_id: int, by: str
) -> None:
    """The machine slept, or the door was shut for long: the contact has read it, and nobody need send it again."""
    outgoing = given_up(ledger, conversation_id)
    if by == "a report":
        heard(ledger, a_report("wamid.1", Status.SENT, callback=outgoing.callback))
    else:
        if by == "an early report":
            heard(ledger, a_report("wamid.1", Status.SENT))
        with ledger.writing() as tx:
            outbox.settle(tx, outgoing.id, accepted("wamid.1"), later(401), attempt=1)
    assert status_of(ledger, outgoing.id) is Status.SENT
    with ledger.writing() as tx:
        assert outbox.dead_letters(tx) == []
        assert handoffs.hand_off_undelivered(tx, later(402)) == 0
        with pytest.raises(NotAllowed):
            outbox.send_again(tx, outgoing.id, later(403))


@pytest.mark.parametrize("delivered", [True, False])
def test_what_arrived_after_all_is_no_persons_matter(ledger: Ledger, conversation_id: int, delivered: bool) -> None:
    outgoing = given_up(ledger, conversation_id)
    told = Status.DELIVERED if delivered else Status.FAILED
    heard(ledger, a_report("wamid.1", told, callback=outgoing.callback))
    heard(ledger, a_report("wamid.1", Status.SENT, callback=outgoing.callback))
    assert status_of(ledger, outgoing.id) is told, "and what Meta itself says has failed stays so"
    with ledger.writing() as tx:
        assert handoffs.hand_off_undelivered(tx, later(402)) == (0 if delivered else 1)


@pytest.mark.parametrize("sent_again", ["by itself", "by a person", "twice by a person"])
def test_what_arrived_after_all_does_not_go_a_second_time(
    ledger: Ledger, conversation_id: int, sent_again: str
) -> None:
    """Meta calls it failed, it is queued once more, and then Meta says that it was delivered."""
    first = queued(ledger, conversation_id)
    claimed(ledger)
    settled(ledger, first, accepted("wamid.1"))
    heard(ledger, replace(a_report("wamid.1", Status.FAILED), passes=sent_again == "by itself"))
    again = first
    for _ in range({"by itself": 0, "by a person": 1, "twice by a person": 2}[sent_again]):
        if again != first:
            claimed(ledger)
            settled(ledger, again, Outcome(Kind.REFUSED, words="no"))
        with ledger.writing() as tx:
            again = outbox.send_again(tx, again, NOW)
    heard(ledger, a_report("wamid.1", Status.DELIVERED))
    assert claimed(ledger, 60) is None
    with ledger.reading() as tx:
        said = {one.id: (one.status, one.error) for one in transcript.messages_of(tx, conversation_id)}
        assert outbox.dead_letters(tx) == []
    assert said[first] == (Status.DELIVERED, "")
    assert said[max(said)] == (Status.WITHDRAWN, "it arrived the first time, after all")


def test_what_is_on_its_way_again_when_the_first_arrives_does_not_go_a_third_time(
    ledger: Ledger, conversation_id: int
) -> None:
    outgoing = given_up(ledger, conversation_id)
    with ledger.writing() as tx:
        again = outbox.send_again(tx, outgoing.id, later(401))
    claimed(ledger, 401)
    heard(ledger, a_report("wamid.1", Status.DELIVERED, callback=outgoing.callback))
    assert status_of(ledger, again) is Status.SENDING, "Meta may have it"
    settled(ledger, again, Outcome(Kind.STOPPED, words="it never left"))
    assert claimed(ledger, 500) is None
    assert status_of(ledger, again) is Status.WITHDRAWN


def test_what_failed_after_all_may_be_sent_again_though_a_repetition_was_withdrawn(
    ledger: Ledger, conversation_id: int
) -> None:
    """Nobody answered; somebody sends it again; Meta says that it has it, and then that it failed."""
    outgoing = given_up(ledger, conversation_id)
    with ledger.writing() as tx:
        withdrawn = outbox.send_again(tx, outgoing.id, later(401))
    heard(ledger, a_report("wamid.1", Status.SENT, callback=outgoing.callback))
    heard(ledger, a_report("wamid.1", Status.FAILED, callback=outgoing.callback))
    with ledger.writing() as tx:
        assert [one.id for one in outbox.dead_letters(tx)] == [outgoing.id]
        again = outbox.send_again(tx, outgoing.id, later(402))
    assert again != withdrawn
    outgoing = claimed(ledger, 500)
    assert outgoing is not None and outgoing.id == again


def on_its_way(ledger: Ledger, conversation_id: int) -> Outgoing:
    """The bot has said something, and a sender has it in hand."""
    with ledger.writing() as tx:
        outbox.queue(tx, conversation_id, Text("hi"), author=Author.BOT, now=NOW)
    outgoing = claimed(ledger)
    assert outgoing is not None
    return outgoing


def test_a_failure_that_overtakes_the_answer_keeps_its_reason_and_its_person(
    ledger: Ledger, conversation_id: int
) -> None:
    outgoing = on_its_way(ledger, conversation_id)
    report = a_report("wamid.1", Status.FAILED, callback=outgoing.callback, error="not on WhatsApp (131026)")
    heard(ledger, replace(report, code=131026))
    settled(ledger, outgoing.id, accepted("wamid.1"))
    with ledger.writing() as tx:
        (dead,) = outbox.dead_letters(tx)
        assert (dead.id, dead.error, dead.code) == (outgoing.id, "not on WhatsApp (131026)", 131026)
        assert handoffs.hand_off_undelivered(tx, later(2)) == 1


def test_an_answer_that_comes_after_its_failure_was_sent_again_asks_for_no_person(
    ledger: Ledger, conversation_id: int
) -> None:
    outgoing = on_its_way(ledger, conversation_id)
    heard(ledger, replace(a_report("wamid.1", Status.FAILED, callback=outgoing.callback), passes=True))
    settled(ledger, outgoing.id, accepted("wamid.1"))
    with ledger.writing() as tx:
        assert handoffs.hand_off_undelivered(tx, later(2)) == 0


def test_what_meta_accepted_and_never_called_failed_is_not_sent_again(ledger: Ledger, conversation_id: int) -> None:
    message_id = queued(ledger, conversation_id)
    claimed(ledger)
    settled(ledger, message_id, accepted("wamid.1"))
    with ledger.writing() as tx:  # as an older Baton left it
        tx.execute(sa.update(messages).where(messages.c.id == message_id).values(status=Status.FAILED))
        assert outbox.dead_letters(tx) == []
        with pytest.raises(NotAllowed):
            outbox.send_again(tx, message_id, NOW)
    heard(ledger, a_report("wamid.1", Status.FAILED))
    with ledger.writing() as tx:
        assert outbox.send_again(tx, message_id, NOW) != message_id


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_a_report_that_comes_while_the_answer_is_written_down_is_not_lost(
    ledger: Ledger, database_url: str, conversation_id: int
) -> None:
    message_id = queued(ledger, conversation_id)
    outgoing = claimed(ledger)
    assert outgoing is not None
    sender = Ledger(database_url)
    written: list[int] = []

    @sa.event.listens_for(ledger.engine, "after_cursor_execute")
    def between_two_looks(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "messages.wamid IN" in statement and "status IS NOT NULL" in statement and not written:
            written.append(message_id)
            settled(sender, message_id, accepted("wamid.1"))

    heard(ledger, a_report("wamid.1", Status.FAILED, callback=outgoing.callback))
    sender.close()
    assert written and status_of(ledger, message_id) is Status.FAILED


def test_a_report_of_another_installation_moves_nothing_that_was_never_sent(
    ledger: Ledger, conversation_id: int
) -> None:
    """A staging system on the same number, or a backup that was brought back, counts its messages as we do."""
    message_id = queued(ledger, conversation_id)
    heard(ledger, a_report("wamid.other", Status.DELIVERED, callback=f"{outbox.CALLBACK}{message_id}"))
    assert status_of(ledger, message_id) is Status.QUEUED
    outgoing = claimed(ledger)
    assert outgoing is not None and outgoing.id == message_id


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL plans by statistics
def test_a_report_reads_no_more_of_the_conversations_than_its_own(ledger: Ledger, conversation_id: int) -> None:
    message_id = queued(ledger, conversation_id)
    claimed(ledger)
    settled(ledger, message_id, accepted("wamid.1"))
    said: list[tuple[str, Any]] = []

    @sa.event.listens_for(ledger.engine, "after_cursor_execute")
    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "conversations" in statement and not statement.startswith("EXPLAIN"):
            said.append((statement, parameters))

    heard(ledger, a_report("wamid.1", Status.DELIVERED))
    with ledger.writing() as tx:
        handoffs.hand_off_undelivered(tx, NOW)
        assert said
        for statement, parameters in list(said):
            plan = " ".join(row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters))
            assert "SCAN conversations" not in plan or "ix_conversations" in plan, statement
