"""What failed can be set aside; a delivery says when it was read again, a message under which epoch it was said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_set_aside"
down_revision = "0005_moves"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)

COLUMNS: dict[str, tuple[sa.Column, ...]] = {
    "deliveries": (sa.Column("tried_at", Moment),),
    "messages": (sa.Column("said_under", Id), sa.Column("set_aside_at", Moment)),
}


def upgrade() -> None:
    """Make them. Of what was said before, a turn knows the epoch; what nothing tells of counts as the oldest."""
    for table, columns in COLUMNS.items():
        for column in columns:
            op.add_column(table, column)
    op.execute(
        "UPDATE messages SET said_under = "
        "COALESCE(epoch, (SELECT turns.epoch FROM turns WHERE turns.id = messages.turn_id), 0) "
        "WHERE status IS NOT NULL"
    )


def downgrade() -> None:
    """Drop them. What was set aside has failed, and waits for somebody again."""
    op.execute("UPDATE updates SET state = 'failed' WHERE state = 'set_aside'")
    for table, columns in COLUMNS.items():
        for column in columns:
            op.drop_column(table, column.name)
