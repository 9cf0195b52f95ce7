"""How a contact found the people: one question with three buttons after their part, and the tap that answers it.

The tap is read where messages are written down: it is kept on the handoff it answers and waits for nobody, so that
neither the bot takes it for a question nor a person for a new matter. What is written afterwards is a message like any
other: it may be a question.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from bot.conversation import NOT_INVITED, window_is_open
from bot.ledger import outbox
from bot.ledger.tables import contacts, handoffs, messages
from bot.ledger.transaction import Transaction
from bot.messages import Buttons, Inbound, Outbound, Tap, Text
from bot.vocabulary import Author, Csat, Outcome, Reason

PAYLOAD = re.compile(r"csat:(?P<handoff>\d{1,18}):(?P<csat>good|so_so|bad)")
INTENT = "csat"  # what the tap is understood as, of which Rasa never hears
IS_NONE = messages.c.intent.is_(None) | (messages.c.intent != INTENT)
ASKED_AFTER = {Outcome.SOLVED, Outcome.NOT_SOLVED}
AT_ONCE = 20

Ask = Callable[[int], Outbound]  # the question about this handoff


def may_ask(outcome: Outcome, reason: Reason, *, a_person_spoke: bool) -> bool:
    """Say whether a contact is asked: only after a person's part that was one, and never another bot."""
    return outcome in ASKED_AFTER and a_person_spoke and reason not in NOT_INVITED


def under(words: Outbound | None, question: Outbound) -> Outbound:
    """Put the question under the desk's last words, in one message: each is billed."""
    if isinstance(words, Text) and isinstance(question, (Text, Buttons)):
        return replace(question, text=f"{words.text}\n\n{question.text}")
    return question


def asked(tx: Transaction, handoff_id: int, now: datetime) -> None:
    """Remember that the contact was asked."""
    tx.execute(sa.update(handoffs).where(handoffs.c.id == handoff_id).values(csat_asked_at=now))


def find(tx: Transaction, conversation_id: int, content: Inbound) -> tuple[int, Csat] | None:
    """Return which handoff a message rates, and how; None for nearly all messages."""
    said = PAYLOAD.fullmatch(content.id) if isinstance(content, Tap) else None
    if said is None:
        return None
    mine = (handoffs.c.id == int(said["handoff"])) & (handoffs.c.conversation_id == conversation_id)
    found = tx.execute(sa.select(handoffs.c.id).where(mine, handoffs.c.csat_asked_at.is_not(None))).scalar()
    return None if found is None else (int(found), Csat(said["csat"]))


def keep(tx: Transaction, handoff_id: int, csat: Csat, now: datetime) -> None:
    """Write down what the contact tapped; the last tap counts."""
    tx.execute(sa.update(handoffs).where(handoffs.c.id == handoff_id).values(csat=csat, csat_at=now))


def is_due(tx: Transaction) -> bool:
    """Say whether somebody is to be thanked."""
    return tx.execute(sa.select(handoffs.c.id).where(_UNTHANKED).limit(1)).first() is not None


def thank(tx: Transaction, now: datetime, say: Callable[[Csat], Outbound]) -> int:
    """Thank those who answered, each once; return how many."""
    count = 0
    for row in tx.execute(sa.select(handoffs).where(_UNTHANKED).order_by(handoffs.c.id).limit(AT_ONCE)).all():
        locked = outbox.lock_conversation(tx, row.conversation_id, skip_locked=True)
        mine = (handoffs.c.id == row.id) & _UNTHANKED
        if locked is None or not tx.execute(sa.update(handoffs).where(mine).values(csat_thanked_at=now)).rowcount:
            continue
        blocked = sa.select(contacts.c.blocked_at).where(contacts.c.id == locked.contact_id)
        if window_is_open(locked.window_ends, now) and tx.execute(blocked).scalar() is None:
            outbox.queue(tx, locked.id, say(row.csat), author=Author.DESK, now=now)
        count += 1
    return count


_UNTHANKED = sa.text("handoffs.csat_at IS NOT NULL AND handoffs.csat_thanked_at IS NULL")
