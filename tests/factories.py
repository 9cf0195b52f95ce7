"""Values for tests, one line each."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone

from bot.ledger import handoffs, inbox, turns
from bot.ledger.promises import Tell
from bot.ledger.transaction import Ledger
from bot.ledger.turns import Manners, Turn
from bot.messages import Inbound, Text
from bot.updates import ContactRef, Received, Reported
from bot.vocabulary import Reason, Status, TurnState

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
NUMBER = "100000000000001"
MIA = ContactRef(phone="447700900101", bsuid="GB.447700900101", name="Mia Turner")
SAM = ContactRef(phone="447700900102", bsuid=None, name="Sam Okafor")
EXCUSE = Text("Something went wrong; please say it once more.")
PASSING_ON = Text("I'm passing you to a person.")
ENOUGH = Text("That's a lot at once; a person will look.")


def says_only(words: str) -> Tell:
    """The words of a hand off, whatever is promised."""
    return lambda *_: Text(words)


MANNERS = Manners(
    EXCUSE, says_only(PASSING_ON.text), says_only(ENOUGH.text), notices_machines=False, answers_in_10_minutes=1000
)
_counter = itertools.count(1)


def a_wamid() -> str:
    return f"wamid.TEST{next(_counter)}"


def a_text(
    words: str = "hello",
    *,
    contact: ContactRef = MIA,
    wamid: str = "",
    content: Inbound | None = None,
    at: datetime = NOW,
) -> Received:
    return Received(wamid or a_wamid(), NUMBER, contact, content or Text(words), at)


def a_report(wamid: str, status: Status, *, callback: str = "", error: str = "") -> Reported:
    return Reported(wamid, status, NOW, callback=callback, error=error)


def heard(ledger: Ledger, *updates: Received | Reported, now: datetime = NOW) -> set[int]:
    """Record a delivery; return the conversations that wait."""
    with ledger.writing() as tx:
        return inbox.record(tx, b"{}", list(updates), now)


def begun(
    ledger: Ledger,
    conversation_id: int,
    *,
    owner: str = "a",
    now: datetime = NOW,
    manners: Manners = MANNERS,
) -> Turn | None:
    with ledger.writing() as tx:
        found = turns.begin_turn(tx, conversation_id, owner=owner, manners=manners, now=now)
    return found if isinstance(found, Turn) else None


def ended(
    ledger: Ledger, turn: Turn, *words: str, owner: str = "a", now: datetime = NOW, silent: bool = False
) -> TurnState:
    with ledger.writing() as tx:
        return turns.end_turn(
            tx,
            turn,
            owner=owner,
            said=[Text(word) for word in words],
            understood=None,
            may_be_silent=silent,
            manners=MANNERS,
            now=now,
        )


def a_turn(ledger: Ledger, words: str = "hello", *, contact: ContactRef = MIA) -> Turn:
    """A contact wrote; the bot has begun to think."""
    (conversation_id,) = heard(ledger, a_text(words, contact=contact))
    turn = begun(ledger, conversation_id)
    assert turn is not None
    return turn


def handed_off(ledger: Ledger, turn: Turn, *, words: str = "A person will be with you.", now: datetime = NOW) -> None:
    with ledger.writing() as tx:
        handoffs.hand_off(
            tx,
            turn.key,
            reason=Reason.ASKED,
            wish=turn.words,
            slots={},
            tell=says_only(words),
            turn_id=turn.id,
            now=now,
        )


def taken(ledger: Ledger, key: str, *, agent_id: int = 1, name: str = "Ann", now: datetime = NOW) -> bool:
    with ledger.writing() as tx:
        return handoffs.take(tx, key, agent_id=agent_id, agent_name=name, now=now)


def given_back(ledger: Ledger, key: str, *, agent_id: int = 1, words: str | None = None, now: datetime = NOW) -> None:
    with ledger.writing() as tx:
        handoffs.give_back(tx, key, agent_id=agent_id, words=Text(words) if words else None, now=now)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)
