"""The tables every process shares, as SQLAlchemy Core tables. Times are aware UTC on both databases."""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator

from bot.vocabulary import Author, Change, Holder, Reason, Status, TurnState, UpdateState

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts only INTEGER keys by itself


class Moment(TypeDecorator):  # type: ignore[misc]  # SQLAlchemy 1.4 has no types
    """A time, aware and in UTC. SQLite forgets zones, so they are put back on the way out."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Refuse naive times; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise TypeError("a naive time has no place in the ledger")
        return value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Give back aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


class Word(TypeDecorator):  # type: ignore[misc]
    """A member of one of our enums, stored as its value."""

    impl = sa.String(32)
    cache_ok = True

    def __init__(self, words: type[Enum]) -> None:
        super().__init__(32)
        self.words = words

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        """Accept the member or its value, nothing else."""
        return None if value is None else str(self.words(value).value)

    def process_result_value(self, value: str | None, dialect: Any) -> Enum | None:
        """Give back the member."""
        return None if value is None else self.words(value)


# As words, not as parameters: SQLite uses a partial index only where the query says its condition literally.
WAITING = sa.text("messages.waiting")
UNSENT = sa.text("messages.status IN ('queued', 'sending')")

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("received_at", Moment, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),  # as it came, byte for byte
)

updates = sa.Table(
    "updates",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("delivery_id", Id, sa.ForeignKey("deliveries.id"), nullable=False, index=True),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("state", Word(UpdateState), nullable=False),
    sa.Column("wamid", sa.String(512)),
    sa.Column("remark", sa.String(300), nullable=False, server_default=""),
)

contacts = sa.Table(
    "contacts",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("phone", sa.String(32), unique=True),  # digits, no plus; may be missing since 2026
    sa.Column("bsuid", sa.String(160), unique=True),
    sa.Column("name", sa.String(200), nullable=False, server_default=""),
    sa.Column("created_at", Moment, nullable=False),
)

conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("key", sa.String(32), nullable=False, unique=True),  # random; Rasa's sender_id
    sa.Column("phone_number_id", sa.String(64), nullable=False),  # which of our numbers
    sa.Column("contact_id", Id, sa.ForeignKey("contacts.id"), nullable=False),
    sa.Column("holder", Word(Holder), nullable=False),
    sa.Column("agent_id", Id),  # who holds it, while an agent does; accounts live in handoff/
    sa.Column("agent_name", sa.String(200), nullable=False, server_default=""),
    sa.Column("epoch", Id, nullable=False),
    sa.Column("muted_at", Id, nullable=False),
    sa.Column("window_ends", Moment),
    sa.Column("lease_until", Moment),  # a turn is running until then
    sa.Column("lease_owner", sa.String(64)),
    sa.Column("last_message_at", Moment, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.UniqueConstraint("phone_number_id", "contact_id"),
    sa.Index("ix_conversations_holder_last", "holder", "last_message_at"),
)

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("conversation_id", Id, sa.ForeignKey("conversations.id"), nullable=False, index=True),
    sa.Column("epoch", Id, nullable=False),
    sa.Column("state", Word(TurnState), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("began_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Index(
        "uq_turns_running",
        "conversation_id",
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    ),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("conversation_id", Id, sa.ForeignKey("conversations.id"), nullable=False),
    sa.Column("author", Word(Author), nullable=False),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("content", Json, nullable=False),
    sa.Column("wamid", sa.String(512), unique=True),
    sa.Column("reply_to", sa.String(512)),  # the wamid that was quoted
    sa.Column("at", Moment, nullable=False),  # when it was said: Meta's clock for contacts, ours for us
    sa.Column("turn_id", Id, sa.ForeignKey("turns.id")),
    # what the contact said
    sa.Column("waiting", sa.Boolean, nullable=False),  # nobody has dealt with it yet
    sa.Column("intent", sa.String(100)),
    sa.Column("confidence", sa.Float),
    # what we say
    sa.Column("status", Word(Status)),
    sa.Column("n", sa.Integer),  # which of its turn's messages
    sa.Column("epoch", Id),  # the bot's epoch when it was composed; NULL: bound to none (see outbox.queue)
    sa.Column("agent_id", Id),
    sa.Column("agent_name", sa.String(200), nullable=False, server_default=""),
    sa.Column("client_key", sa.String(80)),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", Moment),
    sa.Column("lease_until", Moment),
    sa.Column("error", sa.String(500), nullable=False, server_default=""),
    sa.UniqueConstraint("turn_id", "n"),
    sa.UniqueConstraint("conversation_id", "client_key"),
    sa.Index("ix_messages_conversation", "conversation_id", "id"),
    sa.Index(
        "ix_messages_waiting",
        "conversation_id",
        "id",
        sqlite_where=sa.text("waiting"),
        postgresql_where=sa.text("waiting"),
    ),
    sa.Index(
        "ix_messages_unsent",
        "status",
        "conversation_id",
        "id",
        sqlite_where=sa.text("status IN ('queued', 'sending')"),
        postgresql_where=sa.text("status IN ('queued', 'sending')"),
    ),
)

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("wamid", sa.String(512), nullable=False),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("message_id", Id, sa.ForeignKey("messages.id"), index=True),
    sa.Column("callback", sa.String(512), nullable=False, server_default=""),
    sa.Column("error", sa.String(500), nullable=False, server_default=""),
    sa.Column("pricing", Json),
    sa.UniqueConstraint("wamid", "status"),
)

handoffs = sa.Table(
    "handoffs",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("conversation_id", Id, sa.ForeignKey("conversations.id"), nullable=False),
    sa.Column("turn_id", Id, unique=True),  # asking twice in one turn is asking once
    sa.Column("reason", Word(Reason), nullable=False),
    sa.Column("wish", sa.Text, nullable=False, server_default=""),  # in the contact's own words
    sa.Column("slots", Json, nullable=False),
    sa.Column("asked_at", Moment, nullable=False),
    sa.Column("taken_at", Moment),
    sa.Column("taken_by", Id),
    sa.Column("closed_at", Moment),
    sa.Index("ix_handoffs_conversation", "conversation_id", "id"),
    sa.Index(
        "uq_handoffs_open",
        "conversation_id",
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    ),
)

changes = sa.Table(
    "changes",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("conversation_id", Id, sa.ForeignKey("conversations.id"), nullable=False),
    sa.Column("kind", Word(Change), nullable=False),
    sa.Column("at", Moment, nullable=False),
    sqlite_autoincrement=True,  # a number is never used twice, or a reader's cursor would skip a change
)

doors = sa.Table(
    "doors",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("seen_at", Moment, nullable=False),
)

alarms = sa.Table(
    "alarms",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("words", sa.String(500), nullable=False),
    sa.Column("raised_at", Moment, nullable=False),
    sa.Column("told_at", Moment),
)
