"""Who saw every move: triggers of the database write down what was committed, and the books are checked afterwards.

Nothing of ours takes part: what the code believes it did is one thing, what the rows went through another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import sqlalchemy as sa

from bot import clock
from bot.ledger import transcript
from bot.ledger.tables import conversations, handoffs
from bot.ledger.transaction import Ledger
from bot.vocabulary import Holder

TABLES = """
CREATE TABLE seen_moves (id {serial}, conversation_id BIGINT, was VARCHAR(32), was_with BIGINT, holder VARCHAR(32),
                         agent_id BIGINT, epoch BIGINT);
CREATE TABLE seen_words (id {serial}, said_by BIGINT, held_by BIGINT)
"""
MOVED = """INSERT INTO seen_moves (conversation_id, was, was_with, holder, agent_id, epoch)
           VALUES (NEW.id, OLD.holder, OLD.agent_id, NEW.holder, NEW.agent_id, NEW.epoch);"""
SAID = """INSERT INTO seen_words (said_by, held_by)
          VALUES (NEW.agent_id, (SELECT agent_id FROM conversations WHERE id = NEW.conversation_id));"""
SQLITE = (
    f"CREATE TRIGGER saw_move AFTER UPDATE OF epoch ON conversations BEGIN {MOVED} END",
    f"CREATE TRIGGER saw_word AFTER INSERT ON messages WHEN NEW.author = 'agent' BEGIN {SAID} END",
)
POSTGRESQL = (
    f"CREATE FUNCTION saw_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {MOVED} RETURN NULL; END $$",
    f"CREATE FUNCTION saw_word() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {SAID} RETURN NULL; END $$",
    "CREATE TRIGGER saw_move AFTER UPDATE ON conversations FOR EACH ROW WHEN (OLD.epoch <> NEW.epoch)"
    " EXECUTE FUNCTION saw_move()",
    "CREATE TRIGGER saw_word AFTER INSERT ON messages FOR EACH ROW WHEN (NEW.author = 'agent')"
    " EXECUTE FUNCTION saw_word()",
)


@dataclass(frozen=True)
class Seen:
    """One move, as the database went through it."""

    conversation_id: int
    was: str
    was_with: int | None
    holder: str
    agent_id: int | None
    epoch: int


class Witness:
    """Watches one database from now on."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        serial = "INTEGER PRIMARY KEY AUTOINCREMENT" if ledger.is_sqlite else "BIGSERIAL PRIMARY KEY"
        with ledger.writing() as tx:
            for statement in (*TABLES.format(serial=serial).split(";"), *(SQLITE if ledger.is_sqlite else POSTGRESQL)):
                tx.exec_driver_sql(statement)

    def moves(self) -> list[Seen]:
        """Return every move, in the order in which each conversation made them."""
        with self.ledger.reading() as tx:
            rows = tx.execute(sa.text("SELECT * FROM seen_moves ORDER BY id")).all()
        return [Seen(*row[1:]) for row in rows]

    def spoke_without_holding(self) -> int:
        """Count the agents' words that were kept while somebody else, or nobody, held the conversation."""
        with self.ledger.reading() as tx:
            found = tx.execute(sa.text("SELECT said_by, held_by FROM seen_words")).all()
        return sum(row.said_by != row.held_by for row in found)


def out_of_step(moves: list[Seen]) -> int:
    """Count the moves that did not follow on the one before: two at once, or one that was overwritten."""
    last: dict[int, Seen] = {}
    count = 0
    for one in moves:
        before = last.get(one.conversation_id)
        if before is not None:
            follows = (before.holder, before.agent_id, before.epoch + 1) == (one.was, one.was_with, one.epoch)
            count += not follows
        last[one.conversation_id] = one
    return count


def taken_from_an_agent(moves: list[Seen]) -> int:
    """Count how often a conversation went from one agent straight to another."""
    return sum(one.was == one.holder == "agent" for one in moves)


def over_capacity(moves: list[Seen], most: dict[int, int]) -> int:
    """Count how often an agent was given one more than they may hold."""
    held: Counter[int] = Counter()
    count = 0
    for one in moves:
        if one.was == "agent" and one.was_with is not None:
            held[one.was_with] -= 1
        if one.holder == "agent" and one.agent_id is not None:
            held[one.agent_id] += 1
            count += held[one.agent_id] > most.get(one.agent_id, 10**9)
    return count


def had(moves: list[Seen]) -> dict[int, set[int | None]]:
    """Return who ever had each conversation."""
    found: dict[int, set[int | None]] = defaultdict(set)
    for one in moves:
        if one.holder == "agent":
            found[one.conversation_id].add(one.agent_id)
    return found


@dataclass(frozen=True)
class Books:
    """What is wrong with the rows as they stand: nothing, at every moment."""

    without_due_time: int
    forgotten: int  # asked for a person, and is neither in the queue, nor with an agent, nor seen to
    over_capacity: int


def books(ledger: Ledger, asked: set[int], most: dict[int, int]) -> Books:
    """Look at the rows once; `asked` are the conversations in which somebody had asked for a person by then."""
    with ledger.reading() as tx:
        if not ledger.is_sqlite:
            tx.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")  # one moment for all of it
        held = tx.execute(sa.select(conversations.c.id, conversations.c.holder, conversations.c.agent_id)).all()
        rows = tx.execute(sa.select(handoffs.c.conversation_id, handoffs.c.closed_at, handoffs.c.due_at)).all()
        queue = {one.id for one in transcript.queue(tx, clock.now(), limit=transcript.EVERYTHING)}
    open_ = {row.conversation_id: row for row in rows if row.closed_at is None}
    ever = {row.conversation_id for row in rows}
    waits = {row.id for row in held if row.holder is Holder.QUEUE}
    with_people = {row.id for row in held if row.holder is not Holder.BOT}
    loads = Counter(row.agent_id for row in held if row.holder is Holder.AGENT)
    return Books(
        sum(one not in open_ or open_[one].due_at is None for one in waits),
        len(waits ^ queue) + len(with_people ^ open_.keys()) + len(asked - ever),
        sum(count > most.get(who, 10**9) for who, count in loads.items()),
    )
