"""When an agent was last seen, and whose a conversation was that came back to the queue."""

from __future__ import annotations

from datetime import datetime, timezone

import sqlalchemy as sa
from alembic import op

revision = "0011_presence"
down_revision = "0010_slowed"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.add_column("accounts", sa.Column("seen_at", sa.DateTime(timezone=True)))
    moment = sa.DateTime(timezone=True)
    seen = sa.text("UPDATE accounts SET seen_at = :now")  # as far as anybody knows
    op.execute(seen.bindparams(sa.bindparam("now", datetime.now(timezone.utc), moment)))
    op.add_column("handoffs", sa.Column("owner_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("handoffs", "owner_id")
    op.drop_column("accounts", "seen_at")
