"""A request for a person is a promise: due at a time, told truthfully, and not forgotten when nobody comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from bot.content.catalogue import Catalogue
from bot.content.telling import telling
from bot.errors import AlreadyTaken, BadHours
from bot.ladder import Rung
from bot.ledger import alarms, contacts, handoffs, promises, teams, transcript
from bot.ledger.tables import handoffs as handoffs_table
from bot.ledger.tables import messages
from bot.ledger.transaction import Ledger
from bot.messages import Buttons, Text
from bot.settings import ROOT
from bot.updates import ContactRef
from bot.vocabulary import Author, Holder, Outcome, Reason
from tests.factories import (
    MIA,
    NOW,
    SAM,
    a_text,
    a_turn,
    begun,
    ended,
    given_back,
    handed_off,
    heard,
    later,
    taken,
)

CATALOGUE = Catalogue.load(ROOT / "data" / "responses")
WAITING = telling(CATALOGUE, "utter_handoff_waiting")
LATE, STILL = telling(CATALOGUE, "utter_promise_late"), telling(CATALOGUE, "utter_promise_still")
MINUTE = 60


def asks(ledger: Ledger, contact=MIA, *, now: datetime = NOW, reason: Reason = Reason.ASKED) -> str:  # type: ignore[no-untyped-def]
    """A contact asks for a person; return the key of their conversation."""
    (conversation_id,) = heard(ledger, a_text("a person please", contact=contact, at=now), now=now)
    turn = begun(ledger, conversation_id, now=now)
    assert turn is not None
    with ledger.writing() as tx:
        handoffs.hand_off(
            tx, turn.key, reason=reason, wish=turn.words, slots={}, tell=WAITING, turn_id=turn.id, now=now
        )
    ended(ledger, turn, silent=True, now=now)
    return turn.key


def told(ledger: Ledger, key: str) -> list[str]:
    with ledger.reading() as tx:
        said = transcript.messages_of(tx, transcript.conversation(tx, key).id)
    return [one.text for one in said if one.author is not Author.CONTACT]


def row(ledger: Ledger):  # type: ignore[no-untyped-def]
    with ledger.reading() as tx:
        return tx.execute(sa.select(handoffs_table).order_by(handoffs_table.c.id.desc())).first()


def open_at(ledger: Ledger, week: str, exceptions: str = "", within: int = 15) -> None:
    with ledger.writing() as tx:
        teams.change(tx, teams.FIRST, zone="UTC", week=week, exceptions=exceptions, within_min=within)


def looked(ledger: Ledger, now: datetime) -> tuple[int, int]:
    """What the watch does; return how many promises broke and how many were asked to open their window."""
    with ledger.writing() as tx:
        return promises.admit_broken(tx, now, LATE), promises.keep_windows_open(tx, now, STILL)


def alarm(ledger: Ledger) -> str:
    with ledger.reading() as tx:
        return next((one.words for one in alarms.raised(tx) if one.name == promises.ALARM), "")


def test_who_asks_is_told_their_place_and_everybody_has_a_due_time(ledger: Ledger) -> None:
    first, second = asks(ledger), asks(ledger, SAM, now=later(5))
    assert told(ledger, first)[-1].endswith("You're next in line.")
    assert told(ledger, second)[-1].endswith("You're number 2 in line.")
    assert (row(ledger).place, row(ledger).due_at) == (2, later(5 + 15 * MINUTE))


def test_at_midnight_the_truth_is_told_and_the_request_is_kept(ledger: Ledger) -> None:
    open_at(ledger, "Mon-Fri 9:00-17:00")  # NOW is a Sunday
    key = asks(ledger)
    assert "Nobody is here right now" in told(ledger, key)[-1] and "tomorrow at 9:00" in told(ledger, key)[-1]
    assert row(ledger).due_at == NOW.replace(day=23, hour=9, minute=15)
    with ledger.reading() as tx:
        assert [one.key for one in transcript.list_of(tx, Holder.QUEUE)] == [key]


def test_asking_again_keeps_place_and_due_time(ledger: Ledger) -> None:
    key = asks(ledger)
    asks(ledger, SAM, now=later(5))
    due = row(ledger).due_at
    asks(ledger, now=later(60))
    assert told(ledger, key)[-1].endswith("You're next in line.")
    with ledger.reading() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(handoffs_table)).scalar() == 2
    assert row(ledger).due_at == due


def test_how_long_it_usually_takes_is_learned_from_the_queue(ledger: Ledger) -> None:
    for n in range(5):
        key = asks(ledger, now=later(n * 3600))
        taken(ledger, key, now=later(n * 3600 + 8 * MINUTE))
        given_back(ledger, key, now=later(n * 3600 + 20 * MINUTE))
    key = asks(ledger, SAM, now=later(6 * 3600))
    assert told(ledger, key)[-1].endswith("You're next in line. That usually takes about 10 minutes.")


def test_a_broken_promise_is_admitted_once_and_alarms_until_somebody_comes(ledger: Ledger) -> None:
    key = asks(ledger)
    assert looked(ledger, later(14 * MINUTE)) == (0, 0) and not alarm(ledger)
    assert looked(ledger, later(16 * MINUTE)) == (1, 0)
    assert "taking longer than it should" in told(ledger, key)[-1]
    assert row(ledger).due_at == later(15 * MINUTE), "what was missed stays what it is"
    said = len(told(ledger, key))
    assert "A contact waits longer than promised" in alarm(ledger)
    assert looked(ledger, later(40 * MINUTE)) == (0, 0)
    assert len(told(ledger, key)) == said and alarm(ledger), "every word is billed; ours is the alarm"
    taken(ledger, key, now=later(41 * MINUTE))
    looked(ledger, later(42 * MINUTE))
    assert not alarm(ledger)


def test_whose_promise_broke_stays_before_all_who_came_later(ledger: Ledger) -> None:
    first, second = asks(ledger), asks(ledger, SAM, now=later(14 * MINUTE))
    looked(ledger, later(16 * MINUTE))
    assert told(ledger, first)[-1].endswith("You're next in line.")
    with ledger.reading() as tx:
        assert [one.key for one in transcript.queue(tx, later(17 * MINUTE))] == [first, second]


def test_where_it_takes_long_nobody_is_told_a_better_place_than_they_have(ledger: Ledger) -> None:
    for n in range(6):
        key = asks(ledger, now=later(n * 7200))
        taken(ledger, key, now=later(n * 7200 + 3600))
        given_back(ledger, key, now=later(n * 7200 + 4000))
    names = [replace(MIA, phone=f"44770090030{n}", bsuid=f"GB.30{n}") for n in range(4)]
    keys = [asks(ledger, one, now=later(50_000 + n * MINUTE)) for n, one in enumerate(names)]
    assert "You're next in line." in told(ledger, keys[0])[-1]
    for n in (1, 2, 3):
        assert f"You're number {n + 1} in line." in told(ledger, keys[n])[-1]


def test_a_turn_that_is_done_again_cancels_once_and_says_so(ledger: Ledger) -> None:
    key = asks(ledger)
    turn = a_turn(ledger, "never mind")
    with ledger.writing() as tx:
        for _ in range(2):
            assert handoffs.cancel(tx, key, words=Text("All right."), turn_id=turn.id, now=later(60))
    assert told(ledger, key).count("All right.") == 1


@pytest.mark.parametrize("with_agent", [False, True])
def test_who_turns_out_to_be_one_person_keeps_the_earlier_promise(ledger: Ledger, with_agent: bool) -> None:
    phone, hidden = ContactRef("447700900301", None, "Kim"), ContactRef(None, "GB.777", "Kim")
    by_phone = asks(ledger, phone, now=later(14 * MINUTE) if not with_agent else NOW)
    if with_agent:
        taken(ledger, by_phone, now=later(30))
    asks(ledger, hidden, now=NOW if not with_agent else later(40))
    with ledger.writing() as tx:
        contacts.find_or_make(tx, ContactRef("447700900301", "GB.777", "Kim"), later(15 * MINUTE))
        key = transcript.conversation(tx, by_phone).key
        (open_,) = tx.execute(sa.select(handoffs_table).where(handoffs_table.c.closed_at.is_(None))).all()
        owed = handoffs.kept_waiting(tx, later(30 * MINUTE))
        holder = transcript.conversation(tx, key).holder
    if with_agent:
        assert holder is Holder.AGENT and len(owed) == 1, "the agent owes them a first word"
    else:
        assert holder is Holder.QUEUE and open_.due_at == later(15 * MINUTE)


def test_words_of_a_broken_promise_do_not_talk_over_who_came_meanwhile(ledger: Ledger) -> None:
    key = asks(ledger)
    looked(ledger, later(16 * MINUTE))
    taken(ledger, key, now=later(16 * MINUTE))
    with ledger.reading() as tx:
        late = tx.execute(sa.select(messages).order_by(messages.c.id.desc())).first()
        holder = transcript.conversation(tx, key)
    assert late.author is Author.DESK and late.epoch < holder.epoch, "the outbox withdraws what a take overtook"


def test_in_the_night_nothing_breaks(ledger: Ledger) -> None:
    open_at(ledger, "Mon-Fri 9:00-17:00")
    asks(ledger)
    assert looked(ledger, NOW.replace(day=23, hour=9, minute=14)) == (0, 0)
    assert looked(ledger, NOW.replace(day=23, hour=9, minute=16))[0] == 1


def test_before_the_window_closes_the_contact_is_asked_to_open_it_again(ledger: Ledger) -> None:
    open_at(ledger, "Tue 9:00-17:00")
    key = asks(ledger)
    assert looked(ledger, later(21 * 3600)) == (0, 0)
    assert looked(ledger, later(22.5 * 3600)) == (0, 1)
    assert looked(ledger, later(22.6 * 3600)) == (0, 0), "once"
    with ledger.reading() as tx:
        asked = transcript.messages_of(tx, transcript.conversation(tx, key).id)[-1].content
    assert isinstance(asked, Buttons) and [one.title for one in asked.replies] == ["Still waiting", "Never mind"]
    # They tap, and the window is open for another day: then they are asked again.
    heard(ledger, a_text("yes", at=later(23 * 3600)), now=later(23 * 3600))
    assert looked(ledger, later(23.1 * 3600)) == (0, 0)
    assert looked(ledger, later(45.5 * 3600))[1] == 1


def test_when_the_window_is_closed_nothing_is_written_and_the_alarm_says_it(ledger: Ledger) -> None:
    open_at(ledger, "Tue 9:00-17:00")
    key = asks(ledger)
    said = len(told(ledger, key))
    assert looked(ledger, NOW.replace(day=24, hour=9, minute=20)) == (1, 0)
    assert len(told(ledger, key)) == said and alarm(ledger)


def test_another_bot_is_told_nothing_more(ledger: Ledger) -> None:
    key = asks(ledger, reason=Reason.MACHINE)
    said = len(told(ledger, key))
    looked(ledger, later(16 * MINUTE))
    looked(ledger, later(22.5 * 3600))
    assert len(told(ledger, key)) == said


def test_who_cancels_is_the_bots_again_and_out_of_the_line(ledger: Ledger) -> None:
    key = asks(ledger)
    waits = asks(ledger, SAM, now=later(5))
    with ledger.writing() as tx:
        assert handoffs.cancel(tx, key, words=Text("All right."), now=later(60))
        assert not handoffs.cancel(tx, key, words=Text("All right."), now=later(61)), "twice is once"
        assert transcript.conversation(tx, key).holder is Holder.BOT
        assert transcript.episodes_of(tx, transcript.conversation(tx, key).id)[-1].outcome is Outcome.CANCELLED
    assert told(ledger, key).count("All right.") == 1
    assert looked(ledger, later(30 * MINUTE))[0] == 1, "only who still waits was promised anything"
    assert "longer" in told(ledger, waits)[-1]


def test_whom_a_person_has_can_not_cancel_behind_their_back(ledger: Ledger) -> None:
    key = asks(ledger)
    taken(ledger, key)
    with ledger.writing() as tx, pytest.raises(AlreadyTaken):
        handoffs.cancel(tx, key, words=Text("All right."), now=later(60))
    with ledger.reading() as tx:
        assert transcript.conversation(tx, key).holder is Holder.AGENT


def test_who_is_put_back_into_the_queue_is_promised_anew(ledger: Ledger) -> None:
    key = asks(ledger)
    taken(ledger, key, now=later(MINUTE))
    with ledger.writing() as tx:
        handoffs.requeue(tx, key, agent_id=1, now=later(60 * MINUTE))
    assert (row(ledger).due_at, row(ledger).place) == (later(75 * MINUTE), 1)
    assert looked(ledger, later(61 * MINUTE)) == (0, 0)


def test_an_answer_that_could_not_be_delivered_is_promised_too(ledger: Ledger) -> None:
    turn = a_turn(ledger, "a person please")
    handed_off(ledger, turn)
    assert row(ledger).due_at is not None and row(ledger).promised_at == NOW


def test_people_away_from_the_desk_are_told_once_and_not_in_the_night(ledger: Ledger) -> None:
    open_at(ledger, "Mon-Fri 9:00-17:00")
    asks(ledger)
    five = timedelta(minutes=5)

    def unseen(now: datetime) -> promises.Unseen | None:
        with ledger.reading() as tx:
            return promises.unseen(tx, now, five)

    monday = NOW.replace(day=23, hour=9)
    assert unseen(later(3600)) is None and unseen(monday + timedelta(minutes=4)) is None
    found = unseen(monday + timedelta(minutes=6))
    assert found is not None and (found.waiting, found.since) == (1, NOW)
    with ledger.writing() as tx:
        promises.alerted(tx, found.ids, monday)
    assert unseen(monday + timedelta(minutes=14)) is None
    again = unseen(monday + timedelta(minutes=16))
    assert again is not None and again.rung is Rung.TEAM_AGAIN
    with ledger.writing() as tx:
        promises.alerted(tx, again.ids, monday + timedelta(minutes=16), again.rung)
    leads = unseen(monday + timedelta(hours=1))
    assert leads is not None and leads.rung is Rung.SUPERVISORS
    with ledger.writing() as tx:
        promises.alerted(tx, leads.ids, monday + timedelta(hours=1), leads.rung)
    assert unseen(monday + timedelta(days=3)) is None, "each rung once; the promise's own alarm stands"


def test_hours_nobody_can_read_change_nothing(ledger: Ledger) -> None:
    open_at(ledger, "Mon-Fri 9:00-17:00")
    for wrong in ({"week": "whenever"}, {"zone": "Nowhere"}, {"exceptions": "x"}, {"within_min": 0}):
        asked = {"zone": "UTC", "week": "always", "exceptions": "", "within_min": 5} | wrong
        with ledger.writing() as tx, pytest.raises(BadHours):
            teams.change(tx, teams.FIRST, **asked)  # type: ignore[arg-type]
    with ledger.reading() as tx:
        assert teams.team(tx).week == "Mon-Fri 9:00-17:00"


def test_the_queue_shows_first_what_is_lost_first(ledger: Ledger) -> None:
    ordinary = asks(ledger)
    failed = asks(ledger, SAM, now=later(MINUTE), reason=Reason.LOST)
    with ledger.reading() as tx:
        assert [one.key for one in transcript.queue(tx, later(2 * MINUTE))] == [failed, ordinary]
