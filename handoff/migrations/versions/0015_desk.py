"""What agents keep for themselves and each other: how far they read, tags, mentions, views, who looks, pushes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015_desk"
down_revision = "0014_composing"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def moment() -> sa.DateTime:
    """Return a time with its zone."""
    return sa.DateTime(timezone=True)


def key(name: str, to: str) -> sa.Column:
    """Return a part of a primary key that names a row of another table."""
    return sa.Column(name, ID, sa.ForeignKey(f"{to}.id"), primary_key=True, autoincrement=False)


def of(name: str, to: str) -> sa.Column:
    """Return a column that names a row of another table."""
    return sa.Column(name, ID, sa.ForeignKey(f"{to}.id"), nullable=False)


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "read_marks",
        key("account_id", "accounts"),
        key("conversation_id", "conversations"),
        sa.Column("message_id", ID, nullable=False),
        sa.Column("at", moment(), nullable=False),
    )
    op.create_table(
        "tags",
        key("conversation_id", "conversations"),
        sa.Column("word", sa.String(24), primary_key=True),
        of("account_id", "accounts"),
        sa.Column("at", moment(), nullable=False),
    )
    op.create_index("ix_tags_word", "tags", ["word", "conversation_id"])
    _mentions()
    _views()
    op.create_table(
        "looks",
        key("account_id", "accounts"),
        key("conversation_id", "conversations"),
        sa.Column("until", moment(), nullable=False),
        sa.Column("types_until", moment()),
    )
    op.create_index("ix_looks_until", "looks", ["until"])
    op.create_table("open_desks", key("account_id", "accounts"), sa.Column("until", moment(), nullable=False))
    _contacts()
    _pushes()


def _mentions() -> None:
    op.create_table(
        "mentions",
        sa.Column("id", ID, primary_key=True),
        of("note_id", "notes"),
        of("conversation_id", "conversations"),
        of("account_id", "accounts"),
        sa.Column("at", moment(), nullable=False),
        sa.Column("seen_at", moment()),
        sa.UniqueConstraint("note_id", "account_id", name="uq_mentions_note_id_account_id"),
    )
    op.create_index("ix_mentions_account", "mentions", ["account_id", "at"])
    unseen = sa.text("seen_at IS NULL")
    op.create_index("ix_mentions_unseen", "mentions", ["account_id"], sqlite_where=unseen, postgresql_where=unseen)


def _views() -> None:
    op.create_table(
        "views",
        sa.Column("id", ID, primary_key=True),
        of("account_id", "accounts"),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("filters", JSON, nullable=False),
        sa.Column("shared", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("made_at", moment(), nullable=False),
        sa.UniqueConstraint("account_id", "name", name="uq_views_account_id_name"),
    )
    shared = sa.text("shared")
    op.create_index("ix_views_shared", "views", ["id"], sqlite_where=shared, postgresql_where=shared)


def _contacts() -> None:
    op.create_table(
        "contact_fields",
        key("contact_id", "contacts"),
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.String(400), nullable=False),
        of("account_id", "accounts"),
        sa.Column("at", moment(), nullable=False),
    )
    op.create_table(
        "contact_notes",
        key("contact_id", "contacts"),
        sa.Column("text", sa.Text, nullable=False),
        of("account_id", "accounts"),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("at", moment(), nullable=False),
    )


def _pushes() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("id", ID, primary_key=True),
        of("account_id", "accounts"),
        sa.Column("endpoint_hash", sa.String(64), nullable=False),
        sa.Column("endpoint", sa.String(2000), nullable=False),
        sa.Column("p256dh", sa.String(200), nullable=False),
        sa.Column("auth", sa.String(100), nullable=False),
        sa.Column("made_at", moment(), nullable=False),
        sa.Column("told_at", moment(), nullable=False),
        sa.Column("not_before", moment()),
        sa.UniqueConstraint("endpoint_hash", name="uq_subscriptions_endpoint_hash"),
    )
    op.create_index("ix_subscriptions_account_id", "subscriptions", ["account_id"])
    op.create_table(
        "push_keys",
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        sa.Column("private", sa.String(100), nullable=False),
        sa.Column("public", sa.String(200), nullable=False),
        sa.Column("made_at", moment(), nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for name in (
        "push_keys", "subscriptions", "contact_notes", "contact_fields", "open_desks", "looks", "views", "mentions",
        "tags", "read_marks",
    ):  # fmt: skip
        op.drop_table(name)
