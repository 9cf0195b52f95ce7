"""Indexes for what is looked for again and again, and would read whole tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_indexes"
down_revision = "0003_whatsapp_whole"
branch_labels = None
depends_on = None

# Name, table, column, and the condition of those that only hold what is looked for.
INDEXES = (
    ("ix_deliveries_received_at", "deliveries", "received_at", None),
    ("ix_deliveries_again", "deliveries", "id", "again"),
    ("ix_updates_failed", "updates", "delivery_id", "state = 'failed'"),
    ("ix_conversations_undelivered", "conversations", "id", "undelivered_id IS NOT NULL"),
)


def upgrade() -> None:
    """Make them."""
    for name, table, column, condition in INDEXES:
        where = sa.text(condition) if condition else None
        op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Drop them."""
    for name, table, _, _ in INDEXES:
        op.drop_index(name, table)
