"""How often in a row Meta found a number too fast; of a report, whether its failure passes, or stops the number."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010_slowed"
down_revision = "0009_promises"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them. Of reports that came before, nothing is known of it: they were acted on, or never will be."""
    op.add_column("numbers", sa.Column("slowed", sa.Integer(), nullable=False, server_default="0"))
    for name in ("passes", "stops"):
        op.add_column("reports", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Drop them."""
    for name in ("passes", "stops"):
        op.drop_column("reports", name)
    op.drop_column("numbers", "slowed")
