"""Everything WhatsApp: identities, edits, files, errands, numbers, templates, and what pacing and bursts need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003_whatsapp_whole"
down_revision = "0002_desk"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)
Word = sa.String(32)
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

# Plain ALTERs, which both databases know; none of these needs the table to be copied.
COLUMNS: dict[str, tuple[sa.Column, ...]] = {
    "deliveries": (sa.Column("again", sa.Boolean(), server_default=sa.false(), nullable=False),),
    "contacts": (
        sa.Column("username", sa.String(length=100), server_default="", nullable=False),
        sa.Column("blocked_at", Moment),
        sa.Column("marketing_stopped_at", Moment),
    ),
    "conversations": (
        sa.Column("phone_until", Moment),
        sa.Column("paced_until", Moment),
        sa.Column("awaits_id", Id),
        sa.Column("awaits_until", Moment),
        sa.Column("undelivered_id", Id),
        sa.Column("merged_into", Id),
        sa.Column("starts_clean", sa.Boolean(), server_default=sa.false(), nullable=False),
    ),
    "turns": (sa.Column("bubbles", sa.Integer(), server_default="0", nullable=False),),
    "doors": (sa.Column("open_s", sa.Float(), server_default="0", nullable=False),),
    "reports": (sa.Column("code", sa.Integer(), server_default="0", nullable=False),),
    "messages": (
        sa.Column("arrived_at", Moment),
        sa.Column("origin", Json),
        sa.Column("edited_at", Moment),
        sa.Column("deleted_at", Moment),
        sa.Column("door_s", sa.Float()),
        sa.Column("error_code", sa.Integer(), server_default="0", nullable=False),
        sa.Column("again_of", Id),
    ),
}
FAILED = sa.text("status = 'failed'")
FILE_WAITS = sa.text("state = 'waiting'")


def upgrade() -> None:
    """Make them."""
    for table, columns in COLUMNS.items():
        for column in columns:
            op.add_column(table, column)
    op.create_index("ix_conversations_merged_into", "conversations", ["merged_into"])
    op.create_index("uq_messages_again_of", "messages", ["again_of"], unique=True)
    op.create_index("ix_messages_failed", "messages", ["id"], sqlite_where=FAILED, postgresql_where=FAILED)
    op.create_table(
        "identities",
        sa.Column("value", sa.String(length=160), nullable=False),
        sa.Column("contact_id", Id, nullable=False),
        sa.Column("since", Moment, nullable=False),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name="fk_identities_contact_id"),
        sa.PrimaryKeyConstraint("value", name="pk_identities"),
    )
    op.create_index("ix_identities_contact_id", "identities", ["contact_id"])
    for column in ("phone", "bsuid"):
        op.execute(
            f"INSERT INTO identities (value, contact_id, since) "  # noqa: S608  # two names of our own
            f"SELECT {column}, id, created_at FROM contacts WHERE {column} IS NOT NULL"
        )
    op.create_table(
        "edits",
        sa.Column("wamid", sa.String(length=512), nullable=False),
        sa.Column("original", sa.String(length=512), nullable=False),
        sa.Column("content", Json),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("wamid", name="pk_edits"),
    )
    op.create_index("ix_edits_original", "edits", ["original"])
    op.create_table(
        "files",
        sa.Column("message_id", Id, autoincrement=False, nullable=False),
        sa.Column("state", Word, nullable=False),
        sa.Column("media_id", sa.String(length=200), nullable=False),
        sa.Column("phone_number_id", sa.String(length=64), nullable=False),
        sa.Column("url", sa.String(length=2000), server_default="", nullable=False),
        sa.Column("sha256", sa.String(length=64), server_default="", nullable=False),
        sa.Column("mime_type", sa.String(length=100), server_default="", nullable=False),
        sa.Column("size", Id),
        sa.Column("name", sa.String(length=80), server_default="", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", Moment, nullable=False),
        sa.Column("error", sa.String(length=300), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name="fk_files_message_id"),
        sa.PrimaryKeyConstraint("message_id", name="pk_files"),
    )
    op.create_index("ix_files_waiting", "files", ["not_before"], sqlite_where=FILE_WAITS, postgresql_where=FILE_WAITS)
    op.create_table(
        "errands",
        sa.Column("id", Id, nullable=False),
        sa.Column("kind", Word, nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("phone_number_id", sa.String(length=64), server_default="", nullable=False),
        sa.Column("contact_id", Id),
        sa.Column("wamid", sa.String(length=512), server_default="", nullable=False),
        sa.Column("typing", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", Moment, nullable=False),
        sa.Column("asked_at", Moment, nullable=False),
        sa.Column("error", sa.String(length=300), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name="fk_errands_contact_id"),
        sa.PrimaryKeyConstraint("id", name="pk_errands"),
        sa.UniqueConstraint("kind", "subject", name="uq_errands_kind_subject"),
    )
    op.create_index("ix_errands_not_before", "errands", ["not_before"])
    op.create_table(
        "numbers",
        sa.Column("phone_number_id", sa.String(length=64), nullable=False),
        sa.Column("paced_until", Moment),
        sa.Column("stopped_until", Moment),
        sa.PrimaryKeyConstraint("phone_number_id", name="pk_numbers"),
    )
    op.create_table(
        "templates",
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("language", sa.String(length=20), nullable=False),
        sa.Column("category", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("components", Json, nullable=False),
        sa.Column("read_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("name", "language", name="pk_templates"),
    )


def downgrade() -> None:
    """Drop them; what contacts sent as files stays on the disk."""
    for table in ("templates", "numbers", "errands", "files", "edits", "identities"):
        op.drop_table(table)
    op.drop_index("ix_conversations_merged_into", "conversations")
    op.drop_index("ix_messages_failed", "messages")
    op.drop_index("uq_messages_again_of", "messages")
    for table, columns in COLUMNS.items():
        for column in columns:
            op.drop_column(table, column.name)
