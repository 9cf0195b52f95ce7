"""The life of a handoff, from its reason to its end: nothing loops, nothing is forgotten, and the bot hears of it."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.content.catalogue import Catalogue
from bot.content.telling import telling
from bot.errors import BadSnooze, NotAllowed, NotYours
from bot.evidence import MOST, Fact, from_json, to_json
from bot.hours import Hours
from bot.ledger import alarms, handoffs, idle, outbox, promises, ratings, returns, snoozes, teams, transcript, waits
from bot.ledger.transaction import Ledger
from bot.messages import Buttons, Outbound, Tap, Text
from bot.promises import HEAD_STARTS, Promise, Telling
from bot.settings import ROOT
from bot.vocabulary import Author, Clue, Csat, Holder, Outcome, Reason
from tests.factories import MIA, NOW, SAM, a_text, begun, ended, heard, later

CATALOGUE = Catalogue.load(ROOT / "data" / "responses")
WAITING = telling(CATALOGUE, "utter_handoff_waiting")
LATE, STILL = telling(CATALOGUE, "utter_promise_late"), telling(CATALOGUE, "utter_promise_still")
MINUTE, HOUR = 60, 3600
ANN = {"agent_id": 1, "agent_name": "Ann"}


def ask(handoff_id: int) -> Outbound:
    return CATALOGUE.say("utter_csat_ask", handoff=handoff_id)


class Mia:
    """A contact, and the verbs of everybody around her."""

    def __init__(self, ledger: Ledger, contact=MIA) -> None:  # type: ignore[no-untyped-def]
        self.ledger, self.contact, self.key, self.id = ledger, contact, "", 0

    def writes(self, content: str | Tap, seconds: float, *, turn: bool = True) -> Any:
        said = Text(content) if isinstance(content, str) else content
        found = heard(self.ledger, a_text(content=said, contact=self.contact, at=later(seconds)), now=later(seconds))
        self.id = next(iter(found), self.id)
        begins = begun(self.ledger, self.id, now=later(seconds)) if found and turn else None
        self.key = begins.key if begins is not None else self.key
        return begins

    def needs(self, reason: Reason, seconds: float, *evidence: Fact, answered: bool = True) -> None:
        """She writes, and the bot hands her off."""
        turn = self.writes("something", seconds)
        with self.ledger.writing() as tx:
            handoffs.hand_off(
                tx, turn.key, reason=reason, wish=turn.words, slots={}, tell=WAITING, turn_id=turn.id,
                evidence=evidence, now=later(seconds),
            )  # fmt: skip
        if answered:
            ended(self.ledger, turn, silent=True, now=later(seconds))

    def is_taken(self, seconds: float) -> None:
        with self.ledger.writing() as tx:
            handoffs.take(tx, self.key, **ANN, now=later(seconds))  # type: ignore[arg-type]

    def is_answered(self, seconds: float, words: str = "Ann here.") -> None:
        with self.ledger.writing() as tx:
            outbox.queue(tx, self.id, Text(words), author=Author.AGENT, **ANN, now=later(seconds))  # type: ignore[arg-type]

    def is_given_back(
        self, seconds: float, outcome: Outcome = Outcome.SOLVED, summary: str = "", asks: Any = ask
    ) -> None:
        with self.ledger.writing() as tx:
            handoffs.give_back(
                tx, self.key, agent_id=1, words=Text("Bye."), outcome=outcome, summary=summary, ask=ask,
                now=later(seconds),
            )  # fmt: skip

    def is_snoozed(self, seconds: float, until: float, words: Outbound | None = None) -> None:
        with self.ledger.writing() as tx:
            snoozes.snooze(tx, self.key, agent_id=1, until=later(until), words=words, now=later(seconds))

    def is_helped(self, seconds: float, reason: Reason = Reason.ASKED) -> None:
        self.needs(reason, seconds)
        self.is_taken(seconds + 10)
        self.is_answered(seconds + 20)
        self.is_given_back(seconds + 30)

    @property
    def holder(self) -> Holder:
        with self.ledger.reading() as tx:
            return transcript.conversation(tx, self.key).holder

    @property
    def episodes(self) -> list[transcript.Episode]:
        with self.ledger.reading() as tx:
            return transcript.episodes_of(tx, self.id)

    @property
    def told(self) -> list[transcript.Said]:
        with self.ledger.reading() as tx:
            return [one for one in transcript.messages_of(tx, self.id) if one.author is Author.DESK]


@pytest.fixture
def mia(ledger: Ledger) -> Mia:
    return Mia(ledger)


# --- reasons and evidence


def test_every_reason_has_its_weight() -> None:
    assert set(HEAD_STARTS) == set(Reason)
    assert HEAD_STARTS[Reason.SENSITIVE] > HEAD_STARTS[Reason.FRUSTRATED] > HEAD_STARTS[Reason.ASKED]


def test_evidence_is_kept_as_facts_and_each_of_them_once() -> None:
    facts = [
        Fact(Clue.MISSED, "order_status", turn_id=4, score=0.31),
        Fact(Clue.SAID, turn_id=5),
        Fact(Clue.SAID, turn_id=5),
    ]
    assert from_json(to_json(facts)) == (facts[0], facts[1])
    many = [Fact(Clue.SLOT, str(n)) for n in range(50)]
    assert from_json(to_json(many)) == tuple(many[-MOST:])


def test_what_the_bot_notices_while_they_wait_adds_to_what_is_known(mia: Mia) -> None:
    mia.needs(Reason.NOT_UNDERSTOOD, 0, Fact(Clue.MISSED, "greet", score=0.4))
    mia.needs(Reason.FRUSTRATED, 60, Fact(Clue.SAID, score=0.9))
    (one,) = mia.episodes
    assert one.reason is Reason.FRUSTRATED, "it weighs more"
    assert [fact.clue for fact in one.evidence] == [Clue.MISSED, Clue.SAID]
    mia.needs(Reason.UNREADABLE, 120)
    assert mia.episodes[0].reason is Reason.FRUSTRATED


# --- what comes back


def test_what_comes_back_within_minutes_goes_on_with_the_same_agent_ahead_of_others(mia: Mia, ledger: Ledger) -> None:
    mia.is_helped(0, Reason.NOT_UNDERSTOOD)
    sam = Mia(ledger, SAM)
    sam.needs(Reason.ASKED, 2 * MINUTE)
    mia.needs(Reason.NOT_UNDERSTOOD, 5 * MINUTE)
    first, again = mia.episodes
    assert (again.joined_to, again.returns) == (first.id, 1)
    with ledger.reading() as tx:
        queue = transcript.queue(tx, later(6 * MINUTE))
    assert [one.key for one in queue] == [mia.key, sam.key]
    assert (queue[0].owner_id, queue[0].came_back) == (1, True) and queue[0].due_at is not None


def test_what_comes_back_the_next_day_is_another_matter(mia: Mia) -> None:
    mia.is_helped(0, Reason.NOT_UNDERSTOOD)
    mia.needs(Reason.NOT_UNDERSTOOD, HOUR)
    assert [(one.joined_to, one.returns) for one in mia.episodes] == [(None, 0), (None, 0)]


def test_a_person_asked_for_in_words_is_no_loop(mia: Mia) -> None:
    mia.is_helped(0)
    for n in range(1, 5):
        mia.is_helped(n * 5 * MINUTE)
    assert {one.returns for one in mia.episodes} == {0}
    assert {one.joined_to for one in mia.episodes[1:]} == {mia.episodes[0].id}


def test_whoever_leads_hears_of_a_conversation_that_goes_back_and_forth(mia: Mia, ledger: Ledger) -> None:
    def alarm() -> bool:
        with ledger.writing() as tx:
            returns.keep_alarm(tx, NOW)
            return alarms.is_raised(tx, returns.ALARM)

    mia.is_helped(0, Reason.SILENT)
    mia.is_helped(5 * MINUTE, Reason.SILENT)
    assert not alarm()
    mia.needs(Reason.SILENT, 10 * MINUTE)
    assert mia.holder is Holder.QUEUE, "never unanswered"
    assert mia.episodes[-1].returns == 2 and alarm()
    mia.is_taken(11 * MINUTE)
    assert alarm(), "until somebody has seen to it"
    mia.is_given_back(12 * MINUTE)
    assert not alarm()


def test_another_bot_that_comes_back_stays_behind_people(mia: Mia, ledger: Ledger) -> None:
    mia.is_helped(0, Reason.MACHINE)
    mia.needs(Reason.MACHINE, 5 * MINUTE)
    sam = Mia(ledger, SAM)
    sam.needs(Reason.ASKED, 6 * MINUTE)
    with ledger.reading() as tx:
        assert [one.key for one in transcript.queue(tx, later(7 * MINUTE))] == [sam.key, mia.key]


def test_the_bot_hears_who_had_it_and_how_it_went(mia: Mia) -> None:
    mia.needs(Reason.ASKED, 0)
    mia.is_taken(MINUTE)
    mia.is_answered(2 * MINUTE)
    mia.is_given_back(11 * MINUTE, Outcome.NOT_SOLVED, "The parcel is lost; a new one goes out.")
    turn = mia.writes("thanks. and what are your hours?", 12 * MINUTE)
    assert turn.returned and turn.handback is not None
    assert turn.handback.to_json() == {
        "agent": "Ann", "outcome": "not_solved", "summary": "The parcel is lost; a new one goes out.", "minutes": 10,
    }  # fmt: skip
    ended(mia.ledger, turn, "We are open until six.", now=later(12 * MINUTE))
    turn = mia.writes("and on Sunday?", 13 * MINUTE)
    assert not turn.returned and turn.handback is None


# --- snoozing


def test_what_is_snoozed_sleeps_until_its_time_and_keeps_nobody_waiting(mia: Mia, ledger: Ledger) -> None:
    mia.needs(Reason.ASKED, 0)
    mia.is_taken(MINUTE)
    mia.is_snoozed(2 * MINUTE, 2 * HOUR, Text("We'll write at two."))
    assert [one.text for one in mia.told] == ["We'll write at two."]
    with ledger.writing() as tx:
        assert not handoffs.kept_waiting(tx, later(HOUR))
        assert snoozes.wake_due(tx, later(HOUR)) == 0
        assert transcript.conversation(tx, mia.key).snoozed_until == later(2 * HOUR)
        assert snoozes.wake_due(tx, later(2 * HOUR)) == 1 and snoozes.wake_due(tx, later(2 * HOUR)) == 0
        one = transcript.conversation(tx, mia.key)
        assert (one.snoozed_until, one.woke_at) == (None, later(2 * HOUR))
        (waiting,) = handoffs.kept_waiting(tx, later(3 * HOUR))
        assert waiting.since == later(2 * HOUR), "from waking on"


def test_it_wakes_when_the_contact_writes(mia: Mia, ledger: Ledger) -> None:
    mia.needs(Reason.ASKED, 0)
    mia.is_taken(MINUTE)
    mia.is_answered(2 * MINUTE)
    mia.is_snoozed(3 * MINUTE, 20 * HOUR)
    mia.writes("I found the number: F-20418", HOUR, turn=False)
    with ledger.writing() as tx:
        assert transcript.conversation(tx, mia.key).snoozed_until is None, "even before anybody has looked"
        assert snoozes.wake_due(tx, later(HOUR + 2)) == 1
        assert transcript.conversation(tx, mia.key).woke_at == later(HOUR + 2)


def test_two_watches_wake_it_once(mia: Mia, ledger: Ledger) -> None:
    mia.needs(Reason.ASKED, 0)
    mia.is_taken(MINUTE)
    mia.is_snoozed(2 * MINUTE, HOUR)
    woken: list[int] = []

    def look() -> None:
        with ledger.writing() as tx:
            woken.append(snoozes.wake_due(tx, later(2 * HOUR)))

    watches = [threading.Thread(target=look) for _ in range(4)]
    for one in watches:
        one.start()
    for one in watches:
        one.join()
    assert sum(woken) == 1


def test_only_who_has_it_may_put_it_aside_and_never_for_ever(mia: Mia, ledger: Ledger) -> None:
    mia.needs(Reason.ASKED, 0)
    with pytest.raises(NotYours):
        mia.is_snoozed(1, HOUR)
    mia.is_taken(MINUTE)
    for wrong in (0, 40 * 24 * HOUR):
        with pytest.raises(BadSnooze):
            mia.is_snoozed(2 * MINUTE, wrong)
    with ledger.writing() as tx, pytest.raises(NotAllowed):
        snoozes.wake(tx, mia.key, agent_id=1, now=later(3 * MINUTE))


def test_a_colleague_takes_over_what_is_awake(mia: Mia, ledger: Ledger) -> None:
    mia.needs(Reason.ASKED, 0)
    mia.is_taken(MINUTE)
    mia.is_snoozed(2 * MINUTE, HOUR)
    with ledger.writing() as tx:
        handoffs.assign(tx, mia.key, agent_id=2, agent_name="Ben", now=later(3 * MINUTE))
        assert transcript.conversation(tx, mia.key).snoozed_until is None


# --- timers


def test_first_answer_longest_wait_and_what_was_missed_are_kept_for_reports(mia: Mia, ledger: Ledger) -> None:
    with ledger.writing() as tx:
        teams.keep_standards(tx, teams.FIRST, next_min=5, close_min=60)
    mia.needs(Reason.ASKED, 0)
    mia.is_taken(MINUTE)
    mia.is_answered(3 * MINUTE)
    mia.writes("and the other parcel?", 10 * MINUTE, turn=False)
    mia.is_answered(18 * MINUTE)
    mia.writes("ok thank you", 19 * MINUTE, turn=False)
    mia.is_given_back(2 * HOUR)
    (one,) = mia.episodes
    assert (one.first_answer_at, one.next_wait_s) == (later(3 * MINUTE), 8 * MINUTE)
    assert (one.first_late, one.next_late, one.close_late) == (False, True, True)


def test_a_breach_is_written_down_while_it_happens(mia: Mia, ledger: Ledger) -> None:
    mia.needs(Reason.ASKED, 0)
    with ledger.writing() as tx:
        assert waits.stale(tx, later(14 * MINUTE)) == []
        assert waits.stale(tx, later(16 * MINUTE)) == [mia.id]
        waits.settle(tx, mia.id, later(16 * MINUTE))
        assert waits.stale(tx, later(17 * MINUTE)) == []
    mia.is_taken(20 * MINUTE)
    mia.is_answered(21 * MINUTE)
    with ledger.writing() as tx:
        waits.settle(tx, mia.id, later(22 * MINUTE))
    assert mia.episodes[0].first_late and mia.episodes[0].first_answer_at == later(21 * MINUTE)


# --- idle


def closes(ledger: Ledger, seconds: float, after_h: float = 20) -> int:
    with ledger.writing() as tx:
        return idle.close(tx, later(seconds), timedelta(hours=after_h), CATALOGUE.say("utter_handoff_idle"))


def test_who_was_answered_and_is_quiet_is_given_back_with_a_word(mia: Mia, ledger: Ledger) -> None:
    mia.needs(Reason.ASKED, 0)
    mia.is_taken(MINUTE)
    mia.is_answered(2 * MINUTE)
    assert closes(ledger, 20 * HOUR) == 0
    assert closes(ledger, 21 * HOUR) == 1 and closes(ledger, 21 * HOUR) == 0
    assert mia.holder is Holder.BOT and mia.episodes[0].outcome is Outcome.IDLE
    assert "Fern, the bot, is here again" in mia.told[-1].text


def test_nobody_who_waits_is_ever_closed(mia: Mia, ledger: Ledger) -> None:
    mia.needs(Reason.ASKED, 0)
    sam = Mia(ledger, SAM)
    sam.needs(Reason.ASKED, 0)
    sam.is_taken(MINUTE)
    assert closes(ledger, 10 * 24 * HOUR) == 0, "one is in the queue, the other never got an answer"
    sam.is_answered(2 * MINUTE)
    sam.writes("and when is it open?", 3 * MINUTE, turn=False)
    assert closes(ledger, 10 * 24 * HOUR) == 0
    assert (mia.holder, sam.holder) == (Holder.QUEUE, Holder.AGENT)


def test_what_is_snoozed_is_not_idle_and_a_closed_window_says_nothing(mia: Mia, ledger: Ledger) -> None:
    mia.needs(Reason.ASKED, 0)
    mia.is_taken(MINUTE)
    mia.is_answered(2 * MINUTE)
    mia.is_snoozed(3 * MINUTE, 48 * HOUR)
    assert closes(ledger, 47 * HOUR) == 0
    with ledger.writing() as tx:
        snoozes.wake_due(tx, later(48 * HOUR))
    assert closes(ledger, 50 * HOUR) == 0 and closes(ledger, 69 * HOUR) == 1
    assert mia.told == []


# --- how they found it


def rated(mia: Mia, csat: Csat, seconds: float) -> None:
    question = next(one for one in mia.told if isinstance(one.content, Buttons))
    assert isinstance(question.content, Buttons)
    reply = next(one for one in question.content.replies if one.id.endswith(csat.value))
    assert mia.writes(Tap(reply.id, reply.title), seconds) is None, "no turn of the bot's"


def test_after_a_persons_part_the_contact_is_asked_once_under_the_goodbye(mia: Mia) -> None:
    mia.is_helped(0)
    (said,) = mia.told
    assert said.text == "Bye.\n\nHow was it with us just now?" and isinstance(said.content, Buttons)


@pytest.mark.parametrize("outcome", [Outcome.SPAM, Outcome.NO_ANSWER, Outcome.ELSEWHERE, Outcome.GIVEN_BACK])
def test_nobody_is_asked_where_there_is_nothing_to_ask(mia: Mia, outcome: Outcome) -> None:
    mia.needs(Reason.ASKED, 0)
    mia.is_taken(10)
    mia.is_answered(20)
    mia.is_given_back(30, outcome)
    assert [one.text for one in mia.told] == ["Bye."]


def test_where_no_person_spoke_nobody_is_asked_and_neither_is_a_machine(mia: Mia) -> None:
    mia.needs(Reason.ASKED, 0)
    mia.is_taken(10)
    mia.is_given_back(30)
    mia.is_helped(2 * HOUR, Reason.MACHINE)
    assert [one.text for one in mia.told] == ["Bye.", "Bye."]


def test_a_tap_is_kept_thanked_once_and_may_be_changed(mia: Mia, ledger: Ledger) -> None:
    mia.is_helped(0)
    rated(mia, Csat.BAD, 60)
    rated(mia, Csat.GOOD, 90)
    (one,) = mia.episodes
    assert (one.csat, one.csat_at) == (Csat.GOOD, later(90)) and mia.holder is Holder.BOT
    for _ in range(2):
        with ledger.writing() as tx:
            ratings.thank(tx, later(92), lambda csat: Text(f"Thanks for {csat.value}."))
    rated(mia, Csat.SO_SO, 120)
    with ledger.writing() as tx:
        assert not ratings.is_due(tx)
    assert [one.text for one in mia.told[1:]] == ["Thanks for good."]
    turn = mia.writes("are you open on Sunday?", 180)
    assert [one.content.text for one in turn.heard] == ["are you open on Sunday?"]


def test_a_tap_that_rates_nothing_of_theirs_is_a_message_like_any_other(mia: Mia, ledger: Ledger) -> None:
    mia.is_helped(0)
    sam = Mia(ledger, SAM)
    turn = sam.writes(Tap(f"csat:{mia.episodes[0].id}:bad", "Bad"), 60)
    assert turn is not None and mia.episodes[0].csat is None


def test_a_rating_is_no_question_to_an_agent_who_has_them_again(mia: Mia, ledger: Ledger) -> None:
    mia.is_helped(0)
    mia.is_taken(60)
    rated(mia, Csat.GOOD, 90)
    with ledger.reading() as tx:
        assert not handoffs.kept_waiting(tx, later(HOUR))
        held = waits.of(tx, mia.id, later(HOUR))
        assert held is not None and held.waits.since is None


# --- nobody comes, and what was wrong before


def test_one_row_that_fails_keeps_a_duty_from_none_of_the_others(mia: Mia, ledger: Ledger) -> None:
    mia.needs(Reason.ASKED, 0)
    sam = Mia(ledger, SAM)
    sam.needs(Reason.ASKED, 1)
    asked: list[datetime] = []

    def fails_once(*_: Any) -> Outbound:
        asked.append(NOW)
        if len(asked) == 1:
            raise ValueError("no words for this one")
        return Text("Sorry.")

    with ledger.writing() as tx:
        assert promises.admit_broken(tx, later(HOUR), fails_once) == 1
    assert not mia.told and [one.text for one in sam.told] == ["Sorry."]
    with ledger.writing() as tx:
        assert promises.admit_broken(tx, later(HOUR), fails_once) == 1
    assert [one.text for one in mia.told] == ["Sorry."]


def test_who_is_put_back_by_hand_is_told_what_is_promised_anew(mia: Mia, ledger: Ledger) -> None:
    mia.needs(Reason.ASKED, 0)
    mia.is_taken(MINUTE)
    with ledger.writing() as tx:
        tell = telling(CATALOGUE, "utter_handoff_requeued")
        handoffs.requeue(tx, mia.key, agent_id=1, tell=tell, now=later(2 * MINUTE))
    assert mia.told[-1].text == "I'm passing you on to a colleague.\n\nYou're next in line."


def test_no_button_stands_where_nobody_hears_it() -> None:
    with_button, hours = Promise(NOW, 1, Telling.NEXT, None, None, None), Hours()
    assert isinstance(WAITING(with_button, hours, NOW), Buttons)
    deaf = telling(CATALOGUE, "utter_too_many_messages", heard=False)(with_button, hours, NOW)
    assert isinstance(deaf, Text) and deaf.text.endswith("You're next in line.")
    still = telling(CATALOGUE, "utter_promise_still", heard=False)(with_button, hours, NOW)
    assert isinstance(still, Buttons) and [one.title for one in still.replies] == ["Still waiting"]
