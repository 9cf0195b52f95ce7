"""A change of number or security code that Meta brings again is found among the updates at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_moves"
down_revision = "0004_indexes"
branch_labels = None
depends_on = None

MOVED = sa.text("kind IN ('renumbered', 'identity')")


def upgrade() -> None:
    """Make it."""
    op.create_index("ix_updates_moved", "updates", ["wamid"], sqlite_where=MOVED, postgresql_where=MOVED)


def downgrade() -> None:
    """Take it away again."""
    op.drop_index("ix_updates_moved", "updates")
