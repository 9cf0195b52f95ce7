"""Guests of other bots, hooks and their calls; what a token may be used for, and until when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016_api"
down_revision = "0013_episodes"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Make them. A token that is there already keeps all of its role."""
    _make_guests()
    _make_hooks()
    _make_calls()
    op.add_column("tokens", sa.Column("name", sa.String(80), nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("scopes", sa.String(200), nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("ends_at", sa.DateTime(timezone=True)))


def _make_guests() -> None:
    op.create_table(
        "guests",
        sa.Column("conversation_id", Id, sa.ForeignKey("conversations.id"), primary_key=True, autoincrement=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("channel", sa.String(40), nullable=False),
        sa.Column("own_id", sa.String(200), nullable=False),
        sa.Column("language", sa.String(20), nullable=False, server_default=""),
        sa.Column("client_key", sa.String(255)),
        sa.Column("handoff_id", Id),
        sa.UniqueConstraint("account_id", "channel", "own_id"),
    )


def _make_hooks() -> None:
    op.create_table(
        "hooks",
        sa.Column("id", Id, primary_key=True),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("events", sa.String(400), nullable=False),
        sa.Column("channel", sa.String(40), nullable=False, server_default=""),
        sa.Column("secret", sa.String(80), nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.Column("why", sa.String(300), nullable=False, server_default=""),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("rests_until", sa.DateTime(timezone=True)),
    )


def _make_calls() -> None:
    op.create_table(
        "calls",
        sa.Column("id", Id, primary_key=True),
        sa.Column("hook_id", Id, sa.ForeignKey("hooks.id"), nullable=False),
        sa.Column("conversation_id", Id, sa.ForeignKey("conversations.id"), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("message_id", Id),
        sa.Column("handoff_id", Id),
        sa.Column("facts", Json, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("tried_at", sa.DateTime(timezone=True)),
        sa.Column("answer", sa.String(300), nullable=False, server_default=""),
    )
    op.create_index("ix_calls_hook", "calls", ["hook_id", "id"])
    op.create_index("ix_calls_message", "calls", ["message_id"])
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "ix_calls_waiting", "calls", ["hook_id", "conversation_id", "id"],
        sqlite_where=waiting, postgresql_where=waiting,
    )  # fmt: skip


def downgrade() -> None:
    """Drop them."""
    for name in ("name", "scopes", "ends_at"):
        op.drop_column("tokens", name)
    for table in ("calls", "hooks", "guests"):
        op.drop_table(table)
