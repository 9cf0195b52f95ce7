"""The ledger: the tables every process shares."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001_ledger"
down_revision = None
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)
Word = sa.String(32)
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "deliveries",
        sa.Column("id", Id, nullable=False),
        sa.Column("received_at", Moment, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
    )
    op.create_table(
        "updates",
        sa.Column("id", Id, nullable=False),
        sa.Column("delivery_id", Id, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("state", Word, nullable=False),
        sa.Column("wamid", sa.String(length=512)),
        sa.Column("remark", sa.String(length=300), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name="fk_updates_delivery_id"),
        sa.PrimaryKeyConstraint("id", name="pk_updates"),
    )
    op.create_index("ix_updates_delivery_id", "updates", ["delivery_id"])
    op.create_table(
        "contacts",
        sa.Column("id", Id, nullable=False),
        sa.Column("phone", sa.String(length=32)),
        sa.Column("bsuid", sa.String(length=160)),
        sa.Column("name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_contacts"),
        sa.UniqueConstraint("bsuid", name="uq_contacts_bsuid"),
        sa.UniqueConstraint("phone", name="uq_contacts_phone"),
    )
    op.create_table(
        "conversations",
        sa.Column("id", Id, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("phone_number_id", sa.String(length=64), nullable=False),
        sa.Column("contact_id", Id, nullable=False),
        sa.Column("holder", Word, nullable=False),
        sa.Column("agent_id", Id),
        sa.Column("agent_name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("epoch", Id, nullable=False),
        sa.Column("muted_at", Id, nullable=False),
        sa.Column("window_ends", Moment),
        sa.Column("lease_until", Moment),
        sa.Column("lease_owner", sa.String(length=64)),
        sa.Column("last_message_at", Moment, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name="fk_conversations_contact_id"),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
        sa.UniqueConstraint("key", name="uq_conversations_key"),
        sa.UniqueConstraint("phone_number_id", "contact_id", name="uq_conversations_phone_number_id_contact_id"),
    )
    op.create_index("ix_conversations_holder_last", "conversations", ["holder", "last_message_at"])
    op.create_table(
        "turns",
        sa.Column("id", Id, nullable=False),
        sa.Column("conversation_id", Id, nullable=False),
        sa.Column("epoch", Id, nullable=False),
        sa.Column("state", Word, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("began_at", Moment, nullable=False),
        sa.Column("ended_at", Moment),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], name="fk_turns_conversation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
    )
    op.create_index("ix_turns_conversation_id", "turns", ["conversation_id"])
    op.create_index(
        "uq_turns_running",
        "turns",
        ["conversation_id"],
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "messages",
        sa.Column("id", Id, nullable=False),
        sa.Column("conversation_id", Id, nullable=False),
        sa.Column("author", Word, nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("content", Json, nullable=False),
        sa.Column("wamid", sa.String(length=512)),
        sa.Column("reply_to", sa.String(length=512)),
        sa.Column("at", Moment, nullable=False),
        sa.Column("turn_id", Id),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        sa.Column("intent", sa.String(length=100)),
        sa.Column("confidence", sa.Float()),
        sa.Column("status", Word),
        sa.Column("n", sa.Integer()),
        sa.Column("epoch", Id),
        sa.Column("agent_id", Id),
        sa.Column("agent_name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("client_key", sa.String(length=80)),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", Moment),
        sa.Column("lease_until", Moment),
        sa.Column("error", sa.String(length=500), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], name="fk_messages_conversation_id"),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="fk_messages_turn_id"),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.UniqueConstraint("conversation_id", "client_key", name="uq_messages_conversation_id_client_key"),
        sa.UniqueConstraint("turn_id", "n", name="uq_messages_turn_id_n"),
        sa.UniqueConstraint("wamid", name="uq_messages_wamid"),
    )
    op.create_index("ix_messages_conversation", "messages", ["conversation_id", "id"])
    op.create_index(
        "ix_messages_unsent",
        "messages",
        ["status", "conversation_id", "id"],
        sqlite_where=sa.text("status IN ('queued', 'sending')"),
        postgresql_where=sa.text("status IN ('queued', 'sending')"),
    )
    op.create_index(
        "ix_messages_waiting",
        "messages",
        ["conversation_id", "id"],
        sqlite_where=sa.text("waiting"),
        postgresql_where=sa.text("waiting"),
    )
    op.create_table(
        "reports",
        sa.Column("id", Id, nullable=False),
        sa.Column("wamid", sa.String(length=512), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("message_id", Id),
        sa.Column("callback", sa.String(length=512), server_default="", nullable=False),
        sa.Column("error", sa.String(length=500), server_default="", nullable=False),
        sa.Column("pricing", Json),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name="fk_reports_message_id"),
        sa.PrimaryKeyConstraint("id", name="pk_reports"),
        sa.UniqueConstraint("wamid", "status", name="uq_reports_wamid_status"),
    )
    op.create_index("ix_reports_message_id", "reports", ["message_id"])
    op.create_table(
        "handoffs",
        sa.Column("id", Id, nullable=False),
        sa.Column("conversation_id", Id, nullable=False),
        sa.Column("turn_id", Id),
        sa.Column("reason", Word, nullable=False),
        sa.Column("wish", sa.Text(), server_default="", nullable=False),
        sa.Column("slots", Json, nullable=False),
        sa.Column("asked_at", Moment, nullable=False),
        sa.Column("taken_at", Moment),
        sa.Column("taken_by", Id),
        sa.Column("closed_at", Moment),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], name="fk_handoffs_conversation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_handoffs"),
        sa.UniqueConstraint("turn_id", name="uq_handoffs_turn_id"),
    )
    op.create_index("ix_handoffs_conversation", "handoffs", ["conversation_id", "id"])
    op.create_index(
        "uq_handoffs_open",
        "handoffs",
        ["conversation_id"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "changes",
        sa.Column("id", Id, nullable=False),
        sa.Column("conversation_id", Id, nullable=False),
        sa.Column("kind", Word, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], name="fk_changes_conversation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "doors",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("opened_at", Moment, nullable=False),
        sa.Column("seen_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_doors"),
    )
    op.create_table(
        "alarms",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("words", sa.String(length=500), nullable=False),
        sa.Column("raised_at", Moment, nullable=False),
        sa.Column("told_at", Moment),
        sa.PrimaryKeyConstraint("name", name="pk_alarms"),
    )


def downgrade() -> None:
    """Drop them, and all that is in them."""
    for table in (
        "alarms",
        "doors",
        "changes",
        "handoffs",
        "reports",
        "messages",
        "turns",
        "conversations",
        "contacts",
        "updates",
        "deliveries",
    ):
        op.drop_table(table)
