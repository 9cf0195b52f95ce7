"""How often a message was tried is counted apart from its claims, so that no two claims have the same number."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_tries"
down_revision = "0006_set_aside"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it. What is on its way counts as tried as often as it was claimed."""
    op.add_column("messages", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE messages SET tries = attempts WHERE status IN ('queued', 'sending')")


def downgrade() -> None:
    """Drop it."""
    op.drop_column("messages", "tries")
