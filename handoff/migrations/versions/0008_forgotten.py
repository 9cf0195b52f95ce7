"""What Rasa's tracker has still to forget of what was taken back, so that nobody looks through all of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_forgotten"
down_revision = "0007_tries"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it. What was taken back before is looked for once more."""
    op.add_column("edits", sa.Column("heard_in", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
    heard_in = "SELECT turn_id FROM messages WHERE messages.wamid = edits.original"
    op.execute(f"UPDATE edits SET heard_in = ({heard_in}) WHERE content IS NULL")  # noqa: S608  # all of it stands here
    where = sa.text("heard_in IS NOT NULL")
    op.create_index("ix_edits_heard_in", "edits", ["heard_in"], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_edits_heard_in", "edits")
    op.drop_column("edits", "heard_in")
