"""Teams with opening hours; what was promised to who waits, and how a handoff ended."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import sqlalchemy as sa
from alembic import op

revision = "0009_promises"
down_revision = "0008_forgotten"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WITHIN = timedelta(minutes=15)
MOMENTS = ("promised_at", "due_at", "broken_at", "alerted_at", "window_asked")


def upgrade() -> None:
    """Make them. Who waits already is due as if they had asked now."""
    teams = op.create_table(
        "teams",
        sa.Column("id", Id, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("zone", sa.String(64), nullable=False, server_default="UTC"),
        sa.Column("hours", sa.String(1000), nullable=False, server_default="always"),
        sa.Column("exceptions", sa.String(4000), nullable=False, server_default=""),
        sa.Column("within_min", sa.Integer(), nullable=False, server_default="15"),
    )
    op.bulk_insert(teams, [{"name": "Service"}])
    op.add_column("handoffs", sa.Column("outcome", sa.String(32)))
    op.add_column("handoffs", sa.Column("team_id", Id, nullable=False, server_default="1"))
    op.add_column("handoffs", sa.Column("place", sa.Integer(), nullable=False, server_default="0"))
    for name in MOMENTS:
        op.add_column("handoffs", sa.Column(name, sa.DateTime(timezone=True)))
    now = datetime.now(timezone.utc)
    op.execute("UPDATE handoffs SET promised_at = asked_at WHERE reason NOT IN ('stepped_in', 'phone')")
    queued = "closed_at IS NULL AND taken_at IS NULL"
    waits = sa.text(f"UPDATE handoffs SET promised_at = :now, due_at = :due WHERE {queued}")  # noqa: S608
    moment = sa.DateTime(timezone=True)
    op.execute(waits.bindparams(sa.bindparam("now", now, moment), sa.bindparam("due", now + WITHIN, moment)))
    op.execute("UPDATE handoffs SET outcome = 'given_back' WHERE closed_at IS NOT NULL")
    op.create_index("ix_handoffs_taken", "handoffs", ["team_id", "taken_at"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_handoffs_taken", "handoffs")
    for name in ("outcome", "team_id", "place", *MOMENTS):
        op.drop_column("handoffs", name)
    op.drop_table("teams")
