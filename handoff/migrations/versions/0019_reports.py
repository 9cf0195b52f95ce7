"""What reports count by: when a person first came and was first promised, and indexes over what happened when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019_reports"
down_revision = "0018_search"
branch_labels = None
depends_on = None

TOPICS = sa.text("intent IS NOT NULL")
AGENTS = sa.text("author = 'agent'")


def upgrade() -> None:
    """Make them. Of older handoffs the last take and the last promise are all anybody knows."""
    for name in ("first_taken_at", "first_due_at"):
        op.add_column("handoffs", sa.Column(name, sa.DateTime(timezone=True)))
    op.execute("UPDATE handoffs SET first_taken_at = taken_at, first_due_at = due_at")
    op.create_index("ix_handoffs_asked", "handoffs", ["asked_at"])
    op.create_index(
        "ix_messages_topics",
        "messages",
        ["at", "conversation_id", "intent"],
        sqlite_where=TOPICS,
        postgresql_where=TOPICS,
    )
    op.create_index(
        "ix_messages_agents", "messages", ["conversation_id", "at"], sqlite_where=AGENTS, postgresql_where=AGENTS
    )
    op.create_index("ix_turns_began", "turns", ["began_at", "conversation_id", "bubbles"])
    op.create_index("ix_reports_at", "reports", ["status", "at"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_reports_at", "reports")
    op.drop_index("ix_turns_began", "turns")
    op.drop_index("ix_messages_agents", "messages")
    op.drop_index("ix_messages_topics", "messages")
    op.drop_index("ix_handoffs_asked", "handoffs")
    op.drop_column("handoffs", "first_due_at")
    op.drop_column("handoffs", "first_taken_at")
