"""Quick replies; past answers, to suggest from; the files agents send."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_composing"
down_revision = "0013_episodes"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)
WHOSE = (
    ("own", ["account_id", "name"], "account_id IS NOT NULL AND retired_at IS NULL"),
    ("team", ["team_id", "name"], "team_id IS NOT NULL AND retired_at IS NULL"),
    ("all", ["name"], "account_id IS NULL AND team_id IS NULL AND retired_at IS NULL"),
)


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "quick_replies",
        sa.Column("id", Id, primary_key=True),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("account_id", Id, sa.ForeignKey("accounts.id")),
        sa.Column("team_id", Id, sa.ForeignKey("teams.id")),
        sa.Column("changed_by", sa.String(200), nullable=False),
        sa.Column("changed_at", Moment, nullable=False),
        sa.Column("retired_at", Moment),
    )
    for whose, columns, condition in WHOSE:
        where = sa.text(condition)
        name = f"uq_quick_replies_{whose}"
        op.create_index(name, "quick_replies", columns, unique=True, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "past_answers",
        sa.Column("id", Id, primary_key=True),
        sa.Column("message_id", Id, sa.ForeignKey("messages.id"), nullable=False, unique=True),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("at", Moment, nullable=False),
    )
    op.create_table(
        "uploads",
        sa.Column("message_id", Id, sa.ForeignKey("messages.id"), primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("mime_type", sa.String(100), nullable=False),
        sa.Column("size", Id, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("media_id", sa.String(200), nullable=False, server_default=""),
        sa.Column("phone_number_id", sa.String(64), nullable=False, server_default=""),
        sa.Column("good_until", Moment),
    )
    op.create_index("ix_uploads_name", "uploads", ["name"])


def downgrade() -> None:
    """Drop them."""
    for table in ("uploads", "past_answers", "quick_replies"):
        op.drop_table(table)
