"""Whatever happens in whatever order: answered once or in front of a person, sent once, in order, never over a person.

Hypothesis lets contacts, the bot, people, senders, Meta and the clock act as they like; after every step the rows are
compared with a model of them (model.py). `BATON_MODEL=long pytest tests/bot/ledger/test_model.py` hunts for longer.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RULE_MARKER, RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from bot import messages as says
from bot.errors import AlreadyTaken, LeaseLost, NotAllowed, NotYours, Overtaken
from bot.ledger import handoffs, inbox, outbox, turns
from bot.ledger.outbox import Kind, Outcome
from bot.ledger.tables import UNSENT, contacts, conversations, doors, messages, metadata
from bot.ledger.tables import handoffs as handoffs_table
from bot.ledger.tables import turns as turns_table
from bot.ledger.transaction import Ledger, Transaction
from bot.ledger.turns import NotYet, Turn
from bot.updates import Deleted, Echoed, Edited, Received, Renumbered, Reported, Update
from bot.vocabulary import RANK, Author, Holder, Reason, Status, TurnState
from tests.bot.ledger.model import IN_ORDER, PHONE_QUIET, QUIET, Acceptance, Chat, Fate, Model, Person, Request, Word
from tests.bot.ledger.model import Thought as ModelTurn
from tests.factories import MANNERS, NUMBER, says_only

NUMBERS = (NUMBER, "100000000000002")
PEOPLE = 3
LONG = os.environ.get("BATON_MODEL") == "long"
LONG_MINUTES = float(os.environ.get("BATON_MODEL_MINUTES", "15"))
AFTER_THAT_NOBODY_ACCEPTS = timedelta(seconds=10)  # a send has given up by then; see connectors.whatsapp.client
KINDS: dict[str, says.Inbound] = {
    "text": says.Text("hello"),
    "tap": says.Tap("yes", "Yes"),
    "photo": says.Media("image", media_id="1"),
    "reaction": says.Reaction("wamid.some", "👍"),
}
REPORTS = [Status.SENT, Status.DELIVERED, Status.READ, Status.PLAYED, Status.FAILED]
SETTLED = {Status.WITHDRAWN, Status.FAILED, Status.SENT, Status.DELIVERED, Status.READ, Status.PLAYED}

which = st.integers(0, 5)  # one of what there is: counted from the newest, round and round
owners = st.sampled_from(["A", "B"])
ids = st.sampled_from(["both", "phone", "bsuid"])
letters = st.tuples(
    st.integers(0, PEOPLE - 1), st.sampled_from([0, 0, 0, 1]), ids, st.sampled_from(["text", "text", *KINDS])
)


def one_of(found: list[Any], n: int) -> Any:
    """Return the n-th newest."""
    return found[-1 - n % len(found)]


class World(RuleBasedStateMachine):
    """Everything that happens to the ledger, and what must hold after each step."""

    def __init__(self, ledger: Ledger, tally: dict[str, int] | None = None) -> None:
        super().__init__()
        self.ledger = ledger
        self.counted = tally if tally is not None else {}
        self.handled = sys.exc_info()[1]
        _empty(ledger)
        self.model = Model()
        self.step = 0
        self.serial = 0
        self.people = [Person(f"44770090010{n}", f"GB.{n}") for n in range(PEOPLE)]
        self.came: list[Update] = []  # deliveries that may come again
        self.news: list[Renumbered] = []  # of numbers changed, not told yet
        self.at_work: list[tuple[Turn, ModelTurn, str]] = []
        self.seen_id = 0
        self.epochs: dict[int, int] = {}
        self.door_is_open = False
        self._opens_door()

    @property
    def now(self) -> datetime:
        """What all clocks say."""
        return self.model.now

    # --- contacts write -------------------------------------------------------------------------------------------

    def _wamid(self) -> str:
        self.serial += 1
        return f"wamid.in{self.serial}"

    def _text(self, whose: str) -> str:
        self.serial += 1
        return f"{whose} {self.serial}"

    def _a_letter(self, letter: tuple[int, int, str, str], late_s: float = 0, wamid: str = "") -> Received:
        who, number, by, kind = letter
        return Received(
            wamid or self._wamid(), NUMBERS[number], self.people[who].named(by), KINDS[kind],
            self.now - timedelta(seconds=late_s), wants_answer=kind != "reaction",
        )  # fmt: skip

    def _comes(self, *updates: Update) -> None:
        merges = self.model.merges
        new = []
        for update in updates:
            match update:
                case Received():
                    letter = self.model.writes(
                        update.wamid, update.phone_number_id, update.contact,
                        alone=isinstance(update.content, says.Tap), wants=update.wants_answer,
                        opens=not isinstance(update.content, says.Reaction), sent_at=update.sent_at or self.now,
                        now=self.now,
                    )  # fmt: skip
                    new += [letter] if letter is not None else []
                case Echoed():
                    self.model.phone_answers(
                        update.wamid, update.phone_number_id, update.contact, sent_at=update.sent_at or self.now
                    )
                case Deleted():
                    self.model.takes_back(update.original)
                case Renumbered():
                    self.model.renumbered(update.wamid, update.old, update.new, update.at or self.now)
        waiting = self._record(*updates)
        self._learn()
        if self.model.merges == merges:
            wait = {letter.chat.id for letter in new if letter.fate is Fate.WAITING}
            taken_since = {letter.chat.id for letter in new if letter.fate is Fate.PERSON}
            assert wait <= waiting <= wait | taken_since | {letter.chat.id for letter in new if letter.taken_back}
        self.came += [
            one for one in updates if isinstance(one, Received | Echoed | Renumbered) and one not in self.came
        ]

    def _record(self, *updates: Update) -> set[int]:
        """With care or without, as one delivery or as several at once: it must not matter."""
        self.serial += 1
        came = [(b"{}", [one]) for one in updates] if self.serial % 3 == 0 else [(b"{}", list(updates))]
        with self.ledger.writing() as tx:
            found = inbox.record_all(tx, came, self.now, phone_quiet=PHONE_QUIET, careful=self.serial % 2 == 0)
        return {conversation_id for waiting in found for conversation_id in waiting}

    @rule(letter=letters, late_s=st.sampled_from([0, 0, 3, 100, 90000]))
    def writes(self, letter: tuple[int, int, str, str], late_s: float) -> None:
        self._comes(self._a_letter(letter, late_s))

    @rule(letter=letters)
    def writes_again(self, letter: tuple[int, int, str, str]) -> None:
        self._comes(self._a_letter(letter))

    @rule(batch=st.lists(letters, min_size=2, max_size=3), twice=st.booleans())
    def several_write(self, batch: list[tuple[int, int, str, str]], twice: bool) -> None:
        found = [self._a_letter(letter, late_s=3 * n) for n, letter in enumerate(batch)]
        self._comes(*found, *(found[:1] if twice else []))

    @precondition(lambda self: self.came)
    @rule(n=which)
    def the_same_comes_again(self, n: int) -> None:
        self._comes(one_of(self.came, n))

    @precondition(lambda self: self.model.letters)
    @rule(n=which, edit=st.booleans())
    def is_changed(self, n: int, edit: bool) -> None:
        original = one_of(list(self.model.letters), n)
        letter = self.model.letters[original]
        if letter.alone or letter.fate is Fate.NOTHING:
            return
        if edit:
            self._comes(Edited(self._wamid(), original, says.Text("hello there"), self.now))
        else:
            self._comes(Deleted(self._wamid(), original, self.now))

    @rule(letter=letters, edit=st.booleans(), together=st.booleans())
    def is_changed_before_it_comes(self, letter: tuple[int, int, str, str], edit: bool, together: bool) -> None:
        received = self._a_letter(letter)
        if not isinstance(received.content, says.Text):
            return
        change: Update = Deleted(self._wamid(), received.wamid, self.now)
        if edit:
            change = Edited(self._wamid(), received.wamid, says.Text("hello there"), self.now)
        if together:
            self._comes(change, received)
        else:
            self._comes(change)
            self._comes(received)

    @rule(letter=letters, late_s=st.sampled_from([0, 0, 30, 900, 3600]))
    def the_phone_answers(self, letter: tuple[int, int, str, str], late_s: float) -> None:
        who, number, by, _ = letter
        at = self.now - timedelta(seconds=late_s)
        self._comes(Echoed(self._wamid(), NUMBERS[number], self.people[who].named(by), says.Text("from the phone"), at))

    @rule(who=st.integers(0, PEOPLE - 1), what=ids, old=ids, tells=st.booleans())
    def changes_number(self, who: int, what: str, old: str, tells: bool) -> None:
        self._changes_number(who, what, old, tells)

    def _changes_number(self, who: int, what: str, old: str, tells: bool) -> None:
        before = self.people[who]
        self.serial += 1
        after = Person(
            f"4477009{self.serial:05d}" if what in {"both", "phone"} else before.phone,
            f"GB.new{self.serial}" if what in {"both", "bsuid"} else before.bsuid,
        )
        self.people[who] = after
        news = Renumbered(self._wamid(), NUMBER, before.named(old), after.named("both"), self.now)
        if tells:
            self._comes(news)
        else:
            self.news.append(news)

    @rule(letter=letters, what=ids, old=ids)
    def writes_from_a_new_number(self, letter: tuple[int, int, str, str], what: str, old: str) -> None:
        """And the news of the change comes later, or never."""
        self._changes_number(letter[0], what, old, tells=False)
        self._comes(self._a_letter(letter))

    @precondition(lambda self: self.news)
    @rule(n=which)
    def news_of_a_change_comes(self, n: int) -> None:
        news = one_of(self.news, n)
        self.news.remove(news)
        self._comes(news)

    # --- the bot --------------------------------------------------------------------------------------------------

    def _begins(self, chat: Chat, owner: str) -> None:
        passing_on = self._text("passing on")
        expected = self.model.begins(chat, owner, passing_on, self.now)
        manners = replace(MANNERS, passing_on=says_only(passing_on), quiet=QUIET, answers_in_a_day=10_000)
        with self.ledger.writing() as tx:
            found = turns.begin_turn(tx, chat.id, owner=owner, manners=manners, now=self.now)
        match expected:
            case ModelTurn():
                assert isinstance(found, Turn) and found.id == expected.id
                assert {one.id for one in found.heard} == {one.id for one in expected.letters}
                self.at_work.append((found, expected, owner))
            case datetime():
                assert found == NotYet(expected)
            case None:
                assert found is None, "another process is at work on it"
            case []:
                assert found is None, "nothing waits for the bot"
            case burst:
                assert isinstance(found, Turn), f"{len(burst)} messages wait, and got {found}"
                in_order = sorted(burst, key=lambda one: (one.sent_at, one.id))
                assert [one.id for one in found.heard] == [one.id for one in in_order]
                self.at_work.append((found, self.model.begun(chat, found.id, burst), owner))

    def _ends(self, turn: Turn, thought: ModelTurn, owner: str, words: int, may_be_silent: bool) -> None:
        said = [self._text("bot") for _ in range(words)]
        excuse, passing_on = self._text("excuse"), self._text("passing on")
        expected = self.model.ends(
            thought, owner, said, may_be_silent=may_be_silent, excuse=excuse, passing_on=passing_on,
            has_words=thought.handed_off,
        )  # fmt: skip
        state = None
        try:
            with self.ledger.writing() as tx:
                state = turns.end_turn(
                    tx, turn, owner=owner, said=[says.Text(text) for text in said], understood=None,
                    may_be_silent=may_be_silent, now=self.now,
                    manners=replace(MANNERS, excuse=says.Text(excuse), passing_on=says_only(passing_on)),
                )  # fmt: skip
        except LeaseLost:
            pass
        assert state is expected

    @precondition(lambda self: any(chat.waiting or chat.running for chat in self.model.chats))
    @rule(n=which, owner=owners)
    def the_bot_begins(self, n: int, owner: str) -> None:
        self._begins(one_of([chat for chat in self.model.chats if chat.waiting or chat.running], n), owner)

    @precondition(lambda self: any(chat.waiting for chat in self.model.chats))
    @rule(n=which, owner=owners, words=st.integers(1, 2))
    def the_bot_answers(self, n: int, owner: str, words: int) -> None:
        """The common case: they pause, it begins, it answers."""
        self._passes(2)
        at_work = len(self.at_work)
        self._begins(one_of([chat for chat in self.model.chats if chat.waiting], n), owner)
        if len(self.at_work) > at_work:
            self._ends(*self.at_work.pop(), words, False)

    @precondition(lambda self: self.at_work)
    @rule(n=which, words=st.sampled_from([0, 1, 1, 2]), may_be_silent=st.booleans())
    def a_turn_ends(self, n: int, words: int, may_be_silent: bool) -> None:
        found = one_of(self.at_work, n)
        self.at_work.remove(found)
        self._ends(*found, words, may_be_silent)

    @precondition(lambda self: self.at_work)
    @rule(n=which, reason=st.sampled_from([Reason.ASKED, Reason.FLOOD]))
    def the_bot_hands_off(self, n: int, reason: Reason) -> None:
        turn, thought, _ = one_of(self.at_work, n)
        if thought.state is not TurnState.RUNNING and not thought.overtaken:
            return  # what a process does that was cut off and does not know is for Rasa's side
        words = self._text("hand off")
        expected = self.model.hands_off(thought.chat, reason, words, thought)
        try:
            with self.ledger.writing() as tx:
                handoffs.hand_off(
                    tx, turn.key, reason=reason, wish=turn.words, slots={}, tell=says_only(words), turn_id=turn.id,
                    now=self.now,
                )  # fmt: skip
        except AlreadyTaken:
            assert not expected
        else:
            assert expected

    @precondition(lambda self: self.at_work)
    @rule()
    def a_process_dies(self) -> None:
        self.at_work.pop()
        self._passes(21)

    # --- people ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.chats)
    @rule(n=which, agent=st.sampled_from([1, 2]))
    def an_agent_takes(self, n: int, agent: int) -> None:
        chat = one_of(self.model.chats, n)
        expected = self.model.takes(chat, agent)
        changed = None
        try:
            with self.ledger.writing() as tx:
                changed = handoffs.take(tx, chat.key, agent_id=agent, agent_name=f"Agent {agent}", now=self.now)
        except AlreadyTaken:
            pass
        assert changed is expected

    def _held(self, n: int, agent: int) -> Chat:
        """Mostly one this agent holds."""
        chats = self.model.chats
        return one_of([chat for chat in chats if self.model.holds(chat, agent)] or chats, n)

    def _deed(self, allowed: bool, verb: Callable[[Transaction], object]) -> None:
        try:
            with self.ledger.writing() as tx:
                verb(tx)
        except NotYours:
            assert not allowed
        else:
            assert allowed

    @precondition(lambda self: any(chat.holder is Holder.AGENT for chat in self.model.chats))
    @rule(n=which, agent=st.sampled_from([1, 2]))
    def an_agent_replies(self, n: int, agent: int) -> None:
        chat, text = self._held(n, agent), self._text("agent")
        allowed = self.model.holds(chat, agent)

        def replies(tx: Transaction) -> None:
            row = handoffs.require_held_by(tx, chat.key, agent)
            for _ in range(2):  # a double press is one message
                outbox.queue(
                    tx, row.id, says.Text(text), author=Author.AGENT, agent_id=agent, client_key=text, now=self.now
                )

        if allowed:
            self.model.says(chat, text, Author.AGENT)
        self._deed(allowed, replies)

    @precondition(lambda self: any(chat.holder is Holder.AGENT for chat in self.model.chats))
    @rule(n=which, agent=st.sampled_from([1, 2]))
    def an_agent_requeues(self, n: int, agent: int) -> None:
        chat = self._held(n, agent)
        allowed = self.model.holds(chat, agent)
        if allowed:
            chat.holder, chat.agent = Holder.QUEUE, None
        self._deed(allowed, lambda tx: handoffs.requeue(tx, chat.key, agent_id=agent, now=self.now))

    @precondition(lambda self: any(chat.holder is Holder.AGENT for chat in self.model.chats))
    @rule(n=which, agent=st.sampled_from([1, 2]), speaks=st.booleans())
    def an_agent_gives_back(self, n: int, agent: int, speaks: bool) -> None:
        chat, text = self._held(n, agent), self._text("desk")
        allowed = self.model.holds(chat, agent)
        if allowed:
            if speaks:
                self.model.says(chat, text, Author.DESK)
            chat.holder, chat.agent = Holder.BOT, None
        words = says.Text(text) if speaks else None
        self._deed(allowed, lambda tx: handoffs.give_back(tx, chat.key, agent_id=agent, words=words, now=self.now))

    @precondition(lambda self: any(word.status is Status.FAILED for word in self.model.words))
    @rule(n=which, any_word=st.booleans())
    def it_is_sent_again(self, n: int, any_word: bool) -> None:
        word = one_of([word for word in self.model.words if any_word or word.status is Status.FAILED], n)
        known = next((one for one in self.model.words if one.again_of is word and not one.needless), None)
        typed = word.author is Author.AGENT
        chat = self.model.chat_of(word)
        may_be_said = word.status is Status.FAILED and (typed or not (word.stale or chat.holder is Holder.AGENT))
        allowed = known is not None or may_be_said
        if allowed and known is None:
            self.model.says(self.model.chat_of(word), word.text, word.author, again_of=word)
        try:
            with self.ledger.writing() as tx:
                found = outbox.send_again(tx, word.id, self.now)
        except NotAllowed as refused:
            assert not allowed
            assert isinstance(refused, Overtaken) is (word.status is Status.FAILED)
        else:
            assert allowed and (known is None or found == known.id)

    # --- senders and Meta -----------------------------------------------------------------------------------------

    def _claims(self, sender: str, most: int) -> list[Request]:
        with self.ledger.writing() as tx:
            claimed = outbox.claim_some(tx, self.now, most)
        self._learn()
        found = []
        for outgoing in claimed:
            word = next(word for word in self.model.words if word.id == outgoing.id)
            self._may_be_sent(word)
            chat = self.model.chat_of(word)
            assert outgoing.conversation_id == chat.id and outgoing.phone_number_id == chat.number
            named = {outgoing.phone, outgoing.bsuid} - {None}
            who = next(one for one in self.model.contacts if chat in one.chats.values())
            assert named and named <= who.ids.keys(), "it would go to somebody else, or to nobody"
            found.append(Request(word, sender, outgoing.callback, self.now))
        self.model.requests += found
        return found

    def _may_be_sent(self, word: Word) -> None:
        """Say that nothing speaks against sending this now."""
        chat = self.model.chat_of(word)
        assert not word.overtaken, f"{word.text}: a person has taken over since the bot composed it"
        assert word.thought is None or chat.holder is not Holder.AGENT
        assert not word.has_arrived_before, f"{word.text}: the contact has it already"
        assert chat.window is not None and self.now < chat.window
        for before in self.model.words:
            if before.id < word.id and before.home in word.past:
                assert before.status not in {Status.QUEUED, Status.SENDING}, f"{before.text} is still to go before it"
                waits = before.status is Status.SENT and before.answered_at is not None
                assert not waits or self.now >= before.answered_at + IN_ORDER, f"{before.text} is not delivered yet"
        for acceptance in word.accepted:
            # The one exception: Meta accepted it, the answer never reached us, and no report that names our id did
            # though the webhook was open for as long as Meta ever takes. Nobody could know.
            assert not acceptance.honest and not acceptance.told and not acceptance.answered, f"{word.text} goes twice"

    def _accepts(self, request: Request, honest: bool) -> None:
        acceptance = self.model.accepts(request, self.now, honest=honest)
        after = [word for word in self.model.words if word.id > request.word.id and request.word.home in word.past]
        overtook = [word.text for word in after if word.accepted]
        assert not overtook or len(request.word.accepted) > 1, f"{overtook} went before {request.word.text}"
        assert acceptance.word is request.word

    def _answers(self, request: Request, outcome: Outcome) -> None:
        self.model.requests.remove(request)
        with self.ledger.writing() as tx:
            outbox.settle(tx, request.word.id, outcome, self.now)
        if outcome.kind is Kind.ACCEPTED:
            assert request.acceptance is not None
            request.acceptance.answered = True
            request.word.answered_at = self.now

    def _reports(self, acceptance: Acceptance, status: Status, callback: bool) -> None:
        with self.ledger.reading() as tx:
            before = tx.execute(sa.select(messages.c.wamid).where(messages.c.id == acceptance.word.id)).scalar()
        known = before == acceptance.wamid or (before is None and callback)
        new = status not in acceptance.reported
        acceptance.reported.add(status)
        acceptance.told = acceptance.told or callback or acceptance.answered
        error = "it could not be delivered" if status is Status.FAILED else ""
        report = Reported(
            acceptance.wamid, status, self.now, callback=acceptance.callback if callback else "", error=error
        )
        self._record(report)
        self._learn()
        if known and new:
            assert RANK[acceptance.word.status] >= RANK[status], "a report was lost"

    @rule(sender=owners, most=st.integers(1, 3))
    def a_sender_claims(self, sender: str, most: int) -> None:
        self._claims(sender, most)

    @precondition(lambda self: any(word.status is Status.QUEUED for word in self.model.words))
    @rule(sender=owners, most=st.integers(1, 3), delivered=st.booleans())
    def a_sender_sends(self, sender: str, most: int, delivered: bool) -> None:
        """The common case: claimed, accepted, written down, perhaps delivered."""
        self._passes(6)
        for request in self._claims(sender, most):
            self._accepts(request, honest=True)
            self._answers(request, Outcome(Kind.ACCEPTED, wamid=request.acceptance.wamid))
            if delivered and self.door_is_open:
                self._reports(request.acceptance, Status.DELIVERED, callback=True)

    def _in_hand(self) -> list[Request]:
        return [
            one
            for one in self.model.requests
            if one.acceptance is None and self.now <= one.at + AFTER_THAT_NOBODY_ACCEPTS
        ]

    @precondition(lambda self: self._in_hand())
    @rule(n=which, honest=st.booleans())
    def meta_accepts(self, n: int, honest: bool) -> None:
        self._accepts(one_of(self._in_hand(), n), honest)

    @precondition(lambda self: self.model.requests)
    @rule(
        n=which,
        kind=st.sampled_from([Kind.ACCEPTED, Kind.LATER, Kind.SLOWER, Kind.UNHEARD, Kind.REFUSED, Kind.STOPPED]),
        wait_s=st.sampled_from([1, 60]),
    )
    def meta_answers(self, n: int, kind: Kind, wait_s: float) -> None:
        request = one_of(self.model.requests, n)
        if request.acceptance is not None and kind is not Kind.UNHEARD:
            self._answers(request, Outcome(Kind.ACCEPTED, wamid=request.acceptance.wamid))
        else:
            kind = Kind.UNHEARD if kind is Kind.ACCEPTED else kind
            self._answers(request, Outcome(kind, words=kind.value, wait=timedelta(seconds=wait_s)))

    @precondition(lambda self: self.model.requests)
    @rule(sender=owners)
    def a_sender_dies(self, sender: str) -> None:
        self.model.requests = [one for one in self.model.requests if one.sender != sender]

    @precondition(lambda self: any(word.status is Status.QUEUED for word in self.model.words))
    @rule(accepted=st.booleans(), honest=st.booleans(), seconds=st.sampled_from([6, 21, 70, 400]), shuts=st.booleans())
    def a_sender_falls_silent(self, accepted: bool, honest: bool, seconds: float, shuts: bool) -> None:
        """It dies with a message in its hand, perhaps with the whole machine; whoever is left looks again."""
        found = self._claims("A", 1)
        if found and accepted:
            self._accepts(found[0], honest)
        self.model.requests = [one for one in self.model.requests if one not in found]
        self.door_is_open = self.door_is_open and not shuts
        self._passes(max(seconds, 12) if shuts else seconds)
        self._keep_house()

    @precondition(lambda self: self.door_is_open and self.model.accepted)
    @rule(n=which, status=st.sampled_from(REPORTS), callback=st.booleans())
    def meta_reports(self, n: int, status: Status, callback: bool) -> None:
        self._reports(one_of(self.model.accepted, n), status, callback)

    @rule()
    def the_house_is_kept(self) -> None:
        self._keep_house()

    def _keep_house(self) -> None:
        with self.ledger.writing() as tx:
            outbox.expire(tx, self.now)
        self._learn()
        with self.ledger.reading() as tx:
            failed = set(
                tx.execute(sa.select(conversations.c.id).where(conversations.c.undelivered_id.is_not(None))).scalars()
            )
        for chat in self.model.chats:
            if chat.id in failed and chat.holder is Holder.BOT:
                chat.holder, chat.reason, chat.asked_at = Holder.QUEUE, Reason.UNDELIVERED, self.now
            if chat.is_the_phones and chat.phone_until <= self.now:
                chat.rests()
        with self.ledger.writing() as tx:
            handoffs.hand_off_undelivered(tx, self.now)
            handoffs.give_back_from_phone(tx, self.now)

    # --- time -----------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 1, 6, 16, 21, 21, 70, 400, 1900, 90000]))
    def time_passes(self, seconds: float) -> None:
        self._passes(seconds)

    def _passes(self, seconds: float) -> None:
        """Move the clock; what an honest Meta must tell meanwhile, it tells."""
        until = self.now + timedelta(seconds=seconds)
        while (acceptance := self.model.next_try(until)) is not None:
            self.model.now = max(self.now, acceptance.due)
            if self.door_is_open:
                self._keeps_door_open()
                self._reports(acceptance, Status.SENT, callback=True)
            else:
                acceptance.fails_to_tell(self.now)
        self.model.now = until
        self._keeps_door_open()

    def _keeps_door_open(self) -> None:
        if self.door_is_open:
            with self.ledger.writing() as tx:
                passed_s = (self.now - self.door_seen).total_seconds()
                if passed_s > inbox.OPEN_FOR_S:  # this stands for the `keep_door_open` every two seconds meanwhile
                    tx.execute(sa.update(doors).values(seen_at=self.now, open_s=doors.c.open_s + passed_s))
                else:
                    inbox.keep_door_open(tx, self.now)
            self.door_seen = self.now

    @precondition(lambda self: self.door_is_open)
    @rule(seconds=st.sampled_from([12, 40, 400]))
    def the_door_shuts(self, seconds: float) -> None:
        """Meta's reports can't reach us; for less than ten seconds it would go unnoticed."""
        self.door_is_open = False
        self._passes(seconds)

    @precondition(lambda self: not self.door_is_open)
    @rule()
    def the_door_opens(self) -> None:
        self._opens_door()

    def _opens_door(self) -> None:
        self.door_is_open = True
        self.door_seen = self.now
        with self.ledger.writing() as tx:
            inbox.keep_door_open(tx, self.now)

    # --- what must hold -------------------------------------------------------------------------------------------

    def check_invariants(self, *args: Any, **kwargs: Any) -> None:
        """After every step."""
        super().check_invariants(*args, **kwargs)
        self.step += 1
        self._look()

    def _learn(self) -> list[Any]:
        """Learn the ids of what is new, and how far our words have got; return all messages."""
        with self.ledger.reading() as tx:
            rows = tx.execute(_MESSAGES).all()
        for row in rows:
            if row.id > self.seen_id:
                self.seen_id = row.id
                self._is_new(row)
        assert not self.model.queued, f"{self.model.queued[0].text!r} was not queued"
        by_id = {row.id: row for row in rows}
        for word in self.model.words:
            word.doubtful = by_id[word.id].error == outbox.DOUBTFUL
            self._climbs(word, by_id[word.id])
        return rows

    def _is_new(self, row: Any) -> None:
        if row.status is None:
            letter = self.model.letters.get(row.wamid)
            assert letter is not None and letter.id == 0, "the same message was written down twice"
            letter.id = row.id
            self._is(letter.chat, row.conversation_id)
        elif row.wamid not in self.model.echoes:
            assert self.model.queued, f"{row.text!r} was queued, and nobody said it"
            word = self.model.queued.pop(0)
            assert (row.text, row.author) == (word.text, word.author)
            word.id = row.id

    def _is(self, chat: Chat, conversation_id: int) -> None:
        if chat.id == 0:
            chat.id = conversation_id
        assert chat.id == conversation_id, "another conversation than it should be"

    def _look(self) -> None:
        """Compare the rows with the model."""
        by_id = {row.id: row for row in self._learn()}
        with self.ledger.reading() as tx:
            chats = tx.execute(_CONVERSATIONS).all()
            assert not tx.execute(_UNREACHABLE).all(), "nobody can be left without a number and an id"
        live = {row.id: row for row in chats if row.merged_into is None}
        assert len(live) == len({row.id for row in chats}) - len(self.model.dead) == len(self.model.chats)
        for row in chats:
            assert row.epoch >= self.epochs.get(row.id, 0), "an epoch only rises"
            self.epochs[row.id] = row.epoch
            assert row.merged_into is None or (row.holder, row.open_id, row.turn_id) == (Holder.BOT, None, None)
        for chat in self.model.chats:
            self._chat_is(chat, live)
        assert set(live) == {chat.id for chat in self.model.chats}, "one person is one conversation with each number"
        for letter in self.model.letters.values():
            row = by_id[letter.id]
            turn_id = letter.thought.id if letter.thought is not None else None
            waits = letter.fate in {Fate.WAITING, Fate.IN_TURN}
            taken = letter.fate is Fate.IN_TURN and letter.thought is not None and letter.thought.overtaken
            assert row.conversation_id == letter.chat.id
            assert row.turn_id == turn_id, f"{letter.wamid} is {letter.fate.value}"
            assert row.waiting == waits or taken, f"{letter.wamid} is {letter.fate.value}"

    def _chat_is(self, chat: Chat, live: dict[int, Any]) -> None:
        if chat.id == 0:  # only the phone has spoken yet
            known = {one.id for one in self.model.chats}
            chat.id = next((id_ for id_ in live if id_ not in known and live[id_].phone_number_id == chat.number), 0)
        row = live[chat.id]
        chat.key = row.key
        assert row.phone_number_id == chat.number
        assert (row.holder, row.agent_id) == (chat.holder, chat.agent)
        assert (row.open_id is None) == (chat.holder is Holder.BOT), "who is not the bot's has one open handoff"
        assert row.turn_id == (chat.running.id if chat.running else None), "one turn at a time"
        if chat.holder is not Holder.BOT:
            chat.with_a_person_at = self.step

    def _climbs(self, word: Word, row: Any) -> None:
        status = row.status
        back = (word.status, status) == (Status.SENDING, Status.QUEUED)
        if (word.status, status) == (Status.FAILED, Status.SENT):  # nobody could know; now Meta has said that it has it
            back = bool(word.accepted) and not any(Status.FAILED in one.reported for one in word.accepted)
        assert back or RANK[status] >= RANK[word.status], f"{word.text} was {word.status.value} and is {status.value}"
        word.status = status
        if status is Status.WITHDRAWN and row.again_of is None and word.again_of is not None:
            assert word.needless or word.has_arrived_before, f"{word.text} was withdrawn, and had never arrived"
            word.needless = True
        elif status is Status.WITHDRAWN:
            assert word.overtaken, f"{word.text} was withdrawn, and nobody had taken over"
        if status is Status.FAILED and word.failed_at is None:
            word.failed_at = self.step

    # --- in the end -----------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Let everything settle, and count."""
        if sys.exc_info()[1] is not self.handled:
            return  # it has failed already
        self._settles()
        with self.ledger.reading() as tx:
            assert not inbox.tally(tx).open
        for letter in self.model.letters.values():
            assert letter.fate not in {Fate.WAITING, Fate.IN_TURN}, f"{letter.wamid} was never answered"
            assert not letter.left, f"{letter.wamid} was left to the phone, and to nobody after it"
            if letter.fate is Fate.ANSWERED:
                said = [word for word in self.model.words if word.thought is letter.thought]
                for word in said:
                    self._was_heard(word, letter.chat)
        for word in self.model.words:
            assert word.status in SETTLED, f"{word.text} never went out"
            if word.accepted:
                told = {status for one in word.accepted[:1] for status in one.reported if one.told}
                assert not told or word.status not in {Status.QUEUED, Status.SENDING, Status.WITHDRAWN}
            if word.status in {Status.SENT, Status.DELIVERED, Status.READ, Status.PLAYED}:
                assert word.accepted, f"{word.text}: Meta never had it"
        for name, count in (
            ("steps", self.step), ("examples", 1), ("unknowable", self.model.unknowable), ("merges", self.model.merges),
            ("letters", len(self.model.letters)), ("words", len(self.model.words)),
            ("accepted", len(self.model.accepted)),
        ):  # fmt: skip
            self.counted[name] = self.counted.get(name, 0) + count

    def _was_heard(self, word: Word, chat: Chat) -> None:
        """An answer reached the contact, or a person came to it."""
        if word.status is Status.WITHDRAWN:
            assert word.overtaken
        elif word.status is Status.FAILED:
            assert word.failed_at is not None
            assert chat.with_a_person_at >= word.failed_at, f"{word.text} failed, and no person hears of it"

    def _is_seen_to(self, chat: Chat) -> None:
        """A process of the bot's works until nothing waits for it in this conversation, or it must wait itself."""
        for _ in range(12):
            if not chat.waiting and not chat.running:
                return
            at_work = len(self.at_work)
            self._begins(chat, "A" if chat.lease_owner is None else chat.lease_owner)
            self._learn()
            if len(self.at_work) == at_work:
                return
            self._ends(*self.at_work.pop(), 1, False)
            self._learn()

    def _settles(self) -> None:
        self.model.requests.clear()  # whoever had something in hand has died
        if not self.door_is_open:
            self._passes(11)
            self._opens_door()
        if any(chat.is_the_phones for chat in self.model.chats):
            self._passes(PHONE_QUIET.total_seconds())
            self._keep_house()
        for _ in range(60):
            for chat in self.model.chats:
                self._is_seen_to(chat)
            for request in self._claims("A", 8):
                self._accepts(request, honest=True)
                self._answers(request, Outcome(Kind.ACCEPTED, wamid=request.acceptance.wamid))
                self._reports(request.acceptance, Status.DELIVERED, callback=True)
            self._keep_house()
            self._look()
            unsent = any(word.status not in SETTLED for word in self.model.words)
            if not unsent and not any(chat.waiting or chat.running for chat in self.model.chats):
                break
            self._passes(31)
        for acceptance in self.model.accepted:
            if not acceptance.told:
                self._reports(acceptance, Status.DELIVERED, callback=True)
        self._keep_house()
        self._look()


_OPEN = (handoffs_table.c.conversation_id == conversations.c.id) & handoffs_table.c.closed_at.is_(None)
_RUNNING = (turns_table.c.conversation_id == conversations.c.id) & (turns_table.c.state == TurnState.RUNNING)
_CONVERSATIONS = sa.select(
    conversations.c.id, conversations.c.key, conversations.c.phone_number_id, conversations.c.holder,
    conversations.c.agent_id, conversations.c.epoch, conversations.c.merged_into,
    handoffs_table.c.id.label("open_id"), turns_table.c.id.label("turn_id"),
).outerjoin(handoffs_table, _OPEN).outerjoin(turns_table, _RUNNING)  # fmt: skip
_UNREACHABLE = (
    sa.select(conversations.c.id)
    .join(contacts, contacts.c.id == conversations.c.contact_id)
    .where(conversations.c.merged_into.is_(None), contacts.c.phone.is_(None), contacts.c.bsuid.is_(None))
)
_MESSAGES = sa.select(
    messages.c.id, messages.c.conversation_id, messages.c.wamid, messages.c.text, messages.c.author,
    messages.c.status, messages.c.error, messages.c.turn_id, messages.c.waiting, messages.c.again_of,
).order_by(messages.c.id)  # fmt: skip


def _empty(ledger: Ledger) -> None:
    """Forget everything: cheaper than a new database."""
    with ledger.writing() as tx:
        tables = [table.name for table in reversed(metadata.sorted_tables) if table.name != "teams"]  # migrated
        if ledger.is_sqlite:
            for name in tables:
                tx.exec_driver_sql(f"DELETE FROM {name}")
        else:
            tx.exec_driver_sql(";".join(f"DELETE FROM {name}" for name in tables))


@pytest.fixture
def quick_ledger(ledger: Ledger) -> Ledger:
    """A ledger that need not survive a power cut."""
    relaxed = "PRAGMA synchronous=OFF" if ledger.is_sqlite else "SET synchronous_commit=off"
    if ledger.is_sqlite:  # and opens its file once, not for every transaction
        pool = ledger.engine.pool
        ledger.engine.pool = sa.pool.StaticPool(pool._creator, _dispatch=pool.dispatch, dialect=ledger.engine.dialect)

    @sa.event.listens_for(ledger.engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(relaxed)
        cursor.close()
        if not ledger.is_sqlite:
            connection.commit()

    return ledger


def _take_out(guarantee: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take one guarantee out, whole, wherever it is looked after."""
    match guarantee:
        case "the bot is mute":
            monkeypatch.setattr(turns, "may_bot_speak", lambda *_: True)
            monkeypatch.setattr(outbox, "may_bot_speak", lambda *_: True)
        case "a wamid is known":
            monkeypatch.setattr(inbox, "_receive", _as_if_new)
        case "a turn has one owner":
            monkeypatch.setattr(turns, "_lease", _lease_to_anybody)
        case "we listen":
            monkeypatch.setattr(outbox, "_may_have_been_accepted", lambda *_: False)
        case "one in flight":
            monkeypatch.setattr(outbox, "_is_first", lambda *_: True)
            monkeypatch.setattr(outbox, "claim_some", _claim_the_newest)
        case "it is delivered":
            monkeypatch.setattr(outbox, "_awaits", lambda *_: False)
            monkeypatch.setattr(outbox, "_may_go", lambda *_: UNSENT & (messages.c.status == Status.QUEUED))


_receive = inbox._receive


def _as_if_new(tx: Transaction, updates: Sequence[Received], around: Any) -> Any:
    """Neither the look-up nor the constraint sees that a message was here before."""
    known = set(tx.execute(sa.select(messages.c.wamid)).scalars())
    return _receive(tx, [replace(one, wamid=one.wamid + " again" * (one.wamid in known)) for one in updates], around)


def _lease_to_anybody(tx: Transaction, conversation_id: int, owner: str, now: datetime) -> Any:
    mine = conversations.c.id == conversation_id
    tx.execute(sa.update(conversations).where(mine).values(lease_owner=owner, lease_until=now + turns.LEASE))
    return tx.execute(sa.select(conversations).where(mine)).one()


def _claim_the_newest(tx: Transaction, now: datetime, most: int) -> list[Any]:
    look = (
        sa.select(messages.c.id, messages.c.conversation_id).where(outbox._may_go(now)).order_by(messages.c.id.desc())
    )
    joined = look.join(conversations, conversations.c.id == messages.c.conversation_id).limit(most)
    outbox._know_numbers(tx, NUMBERS)
    found = [outbox._claim(tx, row, now, outbox.LEASE, 80.0) for row in tx.execute(joined).all()]
    return [one for one in found if isinstance(one, outbox.Outgoing)]


def _hunts(examples: int, steps: int, *, shrinks: bool = True, derandomize: bool = True) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=derandomize,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
        report_multiple_bugs=False,
    )


def test_the_four_promises_hold_whatever_happens_in_whatever_order(quick_ledger: Ledger) -> None:
    counted: dict[str, int] = {}
    until = time.monotonic() + 60 * LONG_MINUTES if LONG else 0.0
    how = _hunts(100, 70, derandomize=False) if LONG else _hunts(30, 45)
    try:
        run_state_machine_as_test(lambda: World(quick_ledger, counted), settings=how)
        while time.monotonic() < until:
            run_state_machine_as_test(lambda: World(quick_ledger, counted), settings=how)
    finally:
        print(counted)


SAYS = ("writes", "the_bot_answers")
SENDS = (*SAYS, "a_sender_claims", "meta_accepts", "meta_answers")
BREAKS = {  # what has to happen for a promise to break without the guarantee
    "the bot is mute": (
        *SAYS,
        "the_bot_begins",
        "a_turn_ends",
        "an_agent_takes",
        "an_agent_gives_back",
        "a_sender_sends",
    ),
    "a wamid is known": (*SAYS, "the_same_comes_again"),
    "a turn has one owner": (*SAYS, "time_passes", "the_bot_begins", "a_turn_ends"),
    "we listen": (*SAYS, "a_sender_falls_silent", "a_sender_sends"),
    "one in flight": SENDS,
    "it is delivered": SENDS,
}
STALLS = (*SENDS, "time_passes", "the_house_is_kept", "meta_reports")
MERGES = (
    *SENDS, "time_passes", "the_house_is_kept", "writes_from_a_new_number", "news_of_a_change_comes", "is_changed",
    "the_bot_begins", "a_turn_ends", "the_bot_hands_off", "an_agent_takes", "an_agent_requeues", "an_agent_gives_back",
)  # fmt: skip
HOW_IT_SHOWS = {
    "the bot is mute": "a person has taken over since the bot composed it|and nobody",
    "a wamid is known": "written down twice",
    "a turn has one owner": "another process is at work",
    "we listen": "goes twice",
    "one in flight": "is still to go before it",
    "it is delivered": "is not delivered yet",
}


def _a_world_of(names: tuple[str, ...]) -> type[World]:
    """The same world, in which less happens: so that what must go wrong does so soon."""
    every = {name for name, found in vars(World).items() if hasattr(found, RULE_MARKER)}
    assert every >= set(names)
    return type("SmallWorld", (World,), dict.fromkeys(every - set(names)))


@pytest.mark.parametrize("guarantee", BREAKS)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_any_one_guarantee_a_promise_is_seen_to_break(
    quick_ledger: Ledger, monkeypatch: pytest.MonkeyPatch, guarantee: str
) -> None:
    _take_out(guarantee, monkeypatch)
    world = _a_world_of(BREAKS[guarantee])
    with pytest.raises(AssertionError, match=HOW_IT_SHOWS[guarantee]):
        run_state_machine_as_test(lambda: world(quick_ledger), settings=_hunts(100, 20, shrinks=False))


@pytest.mark.skipif(not LONG, reason="BATON_MODEL=long hunts here")
@pytest.mark.parametrize("names", [STALLS, MERGES], ids=["senders that stall", "contacts that turn out to be one"])
def test_the_promises_hold_where_it_is_hardest(quick_ledger: Ledger, names: tuple[str, ...]) -> None:
    world = _a_world_of(names)
    run_state_machine_as_test(lambda: world(quick_ledger), settings=_hunts(400, 50, derandomize=False))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_with_every_guarantee_in_place_none_of_these_small_worlds_breaks(quick_ledger: Ledger) -> None:
    for names in set(BREAKS.values()):
        world = _a_world_of(names)
        run_state_machine_as_test(lambda world=world: world(quick_ledger), settings=_hunts(5, 20, shrinks=False))
