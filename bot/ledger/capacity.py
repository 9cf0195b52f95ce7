"""How many conversations an agent holds, and whether there is room for one more, however many takes come at once."""

from __future__ import annotations

import sqlalchemy as sa

from bot.errors import AtCapacity
from bot.ledger.tables import conversations
from bot.ledger.transaction import Transaction
from bot.vocabulary import Holder

LOCK = 0x68616E64  # the first half of the advisory locks of agents; any number nobody else uses on this database


def held(tx: Transaction, agent_id: int | None = None) -> dict[int, int]:
    """Return how many conversations each agent holds, or this one."""
    mine = (conversations.c.holder == Holder.AGENT) & conversations.c.agent_id.is_not(None)
    if agent_id is not None:
        mine &= conversations.c.agent_id == agent_id
    counted = sa.select(conversations.c.agent_id, sa.func.count()).where(mine).group_by(conversations.c.agent_id)
    return {row[0]: row[1] for row in tx.execute(counted)}


def require_room(tx: Transaction, agent_id: int, agent_name: str, most: int | None) -> None:
    """Refuse one conversation more than `most` at once; None: as many as they like.

    Takes of one agent stand in line here, after they have locked their conversations and before they move them: so each
    sees what those before it took.
    """
    if most is None:
        return
    if tx.dialect.name == "postgresql":  # SQLite has one writer in any case
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK, sa.cast(agent_id % 2**31, sa.Integer))))
    has = held(tx, agent_id).get(agent_id, 0)
    if has >= most:
        raise AtCapacity(
            f"({agent_name} holds {has}, and {most} at once is the most. Before another one is taken, one has to be"
            " given back, passed on or put back into the queue)"
        )
