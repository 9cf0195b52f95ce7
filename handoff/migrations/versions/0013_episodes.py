"""The life of a handoff: its evidence, its timers, its snoozes, how it ended and how the contact found it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013_episodes"
down_revision = "0012_routing"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MOMENTS = (
    "first_answer_at", "snoozed_at", "snoozed_until", "woke_at", "csat_asked_at", "csat_at", "csat_thanked_at",
)  # fmt: skip
NUMBERS = ("rung", "returns", "next_wait_s")
FLAGS = ("first_late", "next_late", "close_late")
OTHERS = ("evidence", "joined_to", "agent_name", "summary", "csat")
INDEXES = {
    "ix_handoffs_snoozed": ("snoozed_until", "snoozed_until IS NOT NULL"),
    "ix_handoffs_unthanked": ("csat_at", "csat_at IS NOT NULL AND csat_thanked_at IS NULL"),
}


def upgrade() -> None:
    """Make them. Who was told of already is not told of again."""
    op.add_column("handoffs", sa.Column("evidence", Json, nullable=False, server_default="[]"))
    op.add_column("handoffs", sa.Column("joined_to", Id))
    op.add_column("handoffs", sa.Column("agent_name", sa.String(200), nullable=False, server_default=""))
    op.add_column("handoffs", sa.Column("summary", sa.Text(), nullable=False, server_default=""))
    op.add_column("handoffs", sa.Column("csat", sa.String(32)))
    for name in MOMENTS:
        op.add_column("handoffs", sa.Column(name, sa.DateTime(timezone=True)))
    for name in NUMBERS:
        op.add_column("handoffs", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    for name in FLAGS:
        op.add_column("handoffs", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE handoffs SET rung = 1 WHERE alerted_at IS NOT NULL")
    names = "SELECT accounts.name FROM accounts WHERE accounts.id = handoffs.taken_by"
    op.execute(f"UPDATE handoffs SET agent_name = ({names}) WHERE EXISTS ({names})")  # noqa: S608
    for name, (column, where) in INDEXES.items():
        op.create_index(
            name, "handoffs", [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )  # fmt: skip
    op.add_column("teams", sa.Column("next_min", sa.Integer(), nullable=False, server_default="30"))
    op.add_column("teams", sa.Column("close_min", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop them."""
    for name in INDEXES:
        op.drop_index(name, "handoffs")
    for name in (*MOMENTS, *NUMBERS, *FLAGS, *OTHERS):
        op.drop_column("handoffs", name)
    for name in ("next_min", "close_min"):
        op.drop_column("teams", name)
