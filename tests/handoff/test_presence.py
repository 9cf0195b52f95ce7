"""A take is a lease: nobody waits for ever for an agent who left, and the agent who is back comes first."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from bot.content.catalogue import Catalogue
from bot.conversation import wants_an_answer
from bot.ledger import handoffs, outbox, teams, transcript
from bot.ledger.tables import handoffs as handoffs_table
from bot.ledger.tables import messages
from bot.ledger.transaction import Ledger
from bot.messages import Reaction, Text
from bot.settings import ROOT
from bot.vocabulary import Author, Holder, Role, Status
from handoff import agents, entry, pages
from handoff.pages import Chosen, Show
from handoff.presence import Patience
from handoff.roles import Account
from handoff.sessions import From
from handoff.viewing import Viewer
from handoff.watch import Watch, Watching
from tests.factories import MIA, NOW, a_text, a_turn, ended, given_back, handed_off, heard, later

CATALOGUE = Catalogue.load(ROOT / "data" / "responses")
MINUTE = 60


class Office:
    """Ann at the desk, Mia on the phone."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        with ledger.writing() as tx:
            password = agents.add(tx, "ann@fernhill.example", Role.AGENT, "Ann", keep_password=True, now=NOW)
        signed_in = entry.sign_in(ledger, "ann@fernhill.example", password, came=From("here"), now=NOW)
        self.cookie, self.ann = signed_in.cookie, signed_in.account
        turn = a_turn(ledger, "a person please")
        handed_off(ledger, turn)
        ended(ledger, turn, silent=True)
        self.key = turn.key

    def takes(self, seconds: float = 0) -> None:
        with self.ledger.writing() as tx:
            handoffs.take(tx, self.key, agent_id=self.ann.id, agent_name="Ann", now=later(seconds))

    def is_here(self, seconds: float) -> None:
        with self.ledger.writing() as tx:
            agents.see(tx, self.cookie, later(seconds))

    def replies(self, seconds: float) -> None:
        with self.ledger.writing() as tx:
            conversation_id = transcript.conversation(tx, self.key).id
            outbox.queue(
                tx, conversation_id, Text("Hello, Ann here."), author=Author.AGENT, agent_id=self.ann.id,
                agent_name="Ann", now=later(seconds),
            )  # fmt: skip

    def mia_writes(self, words: str, seconds: float) -> None:
        heard(self.ledger, a_text(words, at=later(seconds)), now=later(seconds))

    def looks(self, seconds: float, patience: Patience | None = None) -> Holder:
        """The watch looks; return who holds the conversation then."""
        watching = Watching(patience=patience or Patience())
        Watch(self.ledger, CATALOGUE, lambda: later(seconds), watching).look()
        with self.ledger.reading() as tx:
            return transcript.conversation(tx, self.key).holder

    def desks_words(self) -> list[str]:
        with self.ledger.reading() as tx:
            said = transcript.messages_of(tx, transcript.conversation(tx, self.key).id)
        return [one.text for one in said if one.author is Author.DESK]


@pytest.fixture
def office(ledger: Ledger) -> Office:
    return Office(ledger)


def test_who_is_taken_by_an_agent_who_leaves_is_everybodys_again_and_told_so(office: Office) -> None:
    office.takes()
    assert office.looks(9 * MINUTE) is Holder.AGENT
    assert office.looks(11 * MINUTE) is Holder.QUEUE
    (told,) = office.desks_words()
    assert "taking longer than it should" in told and "next in line" in told
    with office.ledger.reading() as tx:
        (waiting,) = transcript.queue(tx, later(11 * MINUTE))
    assert waiting.due_at == later(26 * MINUTE), "promised anew"


def test_an_agent_who_is_there_has_longer(office: Office) -> None:
    office.takes()
    for minutes in range(1, 29, 3):
        office.is_here(minutes * MINUTE)
        assert office.looks(minutes * MINUTE + 30) is Holder.AGENT
    office.is_here(30 * MINUTE)
    assert office.looks(31 * MINUTE) is Holder.QUEUE


def test_who_was_answered_waits_for_nobody(office: Office) -> None:
    office.takes()
    office.replies(MINUTE)
    assert office.looks(8 * 3600) is Holder.AGENT
    office.mia_writes("thank you so much!", 8 * 3600)
    heard(office.ledger, a_text(content=Reaction("wamid.some", "👍"), at=later(8 * 3600)), now=later(8 * 3600))
    assert office.looks(9 * 3600) is Holder.AGENT, "that closed it"
    office.mia_writes("and what about the other parcel?", 9 * 3600)
    assert office.looks(9 * 3600 + 9 * MINUTE) is Holder.AGENT
    assert office.looks(9 * 3600 + 11 * MINUTE) is Holder.QUEUE


def test_an_agent_who_stepped_in_unasked_owes_nothing_until_something_is_said(office: Office) -> None:
    office.takes()
    given_back(office.ledger, office.key, agent_id=office.ann.id)
    office.takes(60)
    assert office.looks(2 * 3600) is Holder.AGENT
    office.mia_writes("is somebody there now?", 2 * 3600)
    assert office.looks(2 * 3600 + 11 * MINUTE) is Holder.QUEUE


def test_a_colleague_it_was_passed_on_to_owes_what_the_first_one_did(office: Office) -> None:
    def passes_on(seconds: float) -> None:
        with office.ledger.writing() as tx:
            handoffs.assign(tx, office.key, agent_id=77, agent_name="Ben", now=later(seconds))

    office.takes()
    office.replies(MINUTE)
    passes_on(2 * MINUTE)
    assert office.looks(3 * 3600) is Holder.AGENT, "they have been answered"
    office.mia_writes("and where is the rest of it?", 3 * 3600)
    assert office.looks(3 * 3600 + 11 * MINUTE) is Holder.QUEUE
    office.takes(3 * 3600 + 12 * MINUTE)
    assert office.looks(3 * 3600 + 23 * MINUTE) is Holder.QUEUE, "nobody has answered that"


def test_the_agent_who_is_back_soon_sees_it_first(office: Office) -> None:
    office.takes()
    office.looks(11 * MINUTE)
    turn = a_turn(office.ledger, "a person please", contact=MIA.__class__("447700900199", None, "Kim"))
    handed_off(office.ledger, turn, now=NOW)

    def first(account: Account, now: datetime) -> tuple[str, str]:
        with office.ledger.reading() as tx:
            row = pages.rows(tx, Viewer(account, now, NOW.tzinfo or None), Chosen()).rows[0]  # type: ignore[arg-type]
        return row.name, row.why

    assert first(office.ann, later(12 * MINUTE)) == ("Mia Turner", "Was yours, and got no answer")
    ben = Account(99, "ben@fernhill.example", "Ben", Role.AGENT)
    assert first(ben, later(12 * MINUTE))[0] == "Kim", "for everybody else the order is the queue's"
    office.takes(13 * MINUTE)
    with office.ledger.reading() as tx:
        assert transcript.conversation(tx, office.key).holder is Holder.AGENT


def test_what_is_held_keeps_its_timer_when_its_team_is_retired(office: Office) -> None:
    office.takes()

    def timer() -> str:
        with office.ledger.reading() as tx:
            viewer = Viewer(office.ann, later(2 * MINUTE), NOW.tzinfo or None)  # type: ignore[arg-type]
            return pages.rows(tx, viewer, Chosen(Show.MINE)).rows[0].due

    before = timer()
    with office.ledger.writing() as tx:
        made = teams.make(tx, "Returns")
        tx.execute(sa.update(handoffs_table).values(team_id=made.id))
        teams.retire(tx, made.id, later(MINUTE))
    assert timer() == before != ""


def test_with_patience_for_ever_nothing_comes_back(office: Office) -> None:
    office.takes()
    for_ever = Patience(timedelta(0), timedelta(0))
    assert office.looks(23 * 3600, for_ever) is Holder.AGENT


def test_who_was_put_back_is_owed_a_first_word_however_it_began(office: Office) -> None:
    office.takes()
    given_back(office.ledger, office.key, agent_id=office.ann.id)
    office.takes(60)  # unasked
    office.mia_writes("where is the parcel I have ordered?", 120)
    assert office.looks(120 + 11 * MINUTE) is Holder.QUEUE
    office.takes(120 + 12 * MINUTE)
    assert office.looks(120 + 24 * MINUTE) is Holder.QUEUE


def test_who_asked_nothing_of_the_agent_is_not_apologised_to(ledger: Ledger) -> None:
    turn = a_turn(ledger, "hello")
    ended(ledger, turn, "hi")
    with ledger.writing() as tx:
        row = handoffs.locked(tx, turn.key)
        handoffs.take_by_phone(tx, row, said_at=later(58), quiet=timedelta(minutes=30), now=later(60))
        handoffs.take(tx, turn.key, agent_id=2, agent_name="Ben", now=later(120))
        assert not handoffs.kept_waiting(tx, later(3600))


def test_what_could_not_be_delivered_is_no_answer(office: Office) -> None:
    office.takes()
    office.replies(MINUTE)
    with office.ledger.writing() as tx:
        mine = messages.c.author == Author.AGENT
        tx.execute(sa.update(messages).where(mine).values(status=Status.FAILED))
    assert office.looks(11 * MINUTE) is Holder.QUEUE


def test_in_the_night_nobody_loses_a_conversation(office: Office) -> None:
    with office.ledger.writing() as tx:
        teams.change(tx, teams.FIRST, zone="UTC", week="Mon 9:00-17:00; Sun 9:00-12:05", exceptions="", within_min=15)
    office.takes()
    assert office.looks(12 * 3600) is Holder.AGENT
    assert office.looks(21 * 3600 + 6 * MINUTE) is Holder.QUEUE, "five minutes on Sunday, five on Monday"


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("thank you so much!", False), ("ok 👍", False), ("谢谢", False), ("ขอบคุณมากค่ะ", False),
        ("and the other one?", True), ("still nothing has come of it", True), ("我的包裹在哪里？", True),
        ("荷物がまだ届いていません。", True), ("أين طردي؟", True), ("noch immer keine Lieferbestätigung", True),
    ],
)  # fmt: skip
def test_what_closes_a_conversation_is_told_from_what_wants_an_answer(text: str, wants: bool) -> None:
    assert wants_an_answer("text", text) is wants


def test_an_agent_who_answers_in_the_same_moment_keeps_it(office: Office) -> None:
    office.takes()
    with office.ledger.reading() as tx:
        (waits,) = handoffs.kept_waiting(tx, later(11 * MINUTE))
    office.replies(11 * MINUTE)
    with office.ledger.writing() as tx:
        assert not handoffs.leave(tx, waits, tell=lambda *_: Text("late"), now=later(11 * MINUTE))
        assert transcript.conversation(tx, office.key).holder is Holder.AGENT


def test_who_signed_in_or_used_a_token_was_there(office: Office) -> None:
    with office.ledger.writing() as tx:
        token = agents.add_token(tx, "ann@fernhill.example", NOW)
        agents.token_used(tx, token, later(300))
        assert agents.last_seen(tx, {office.ann.id}) == {office.ann.id: later(300)}
