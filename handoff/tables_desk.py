"""The tables of what agents keep for themselves and for each other: unread, tags, mentions, views …

Foreign keys point down, never up. Who may write which of them is said in the module named like it.
"""

from __future__ import annotations

import sqlalchemy as sa

from bot.ledger.tables import Id, Json, Moment, metadata

ACCOUNT = "accounts.id"
CONVERSATION = "conversations.id"

# How far an account has read a conversation.
read_marks = sa.Table(
    "read_marks",
    metadata,
    sa.Column("account_id", Id, sa.ForeignKey(ACCOUNT), primary_key=True, autoincrement=False),
    sa.Column("conversation_id", Id, sa.ForeignKey(CONVERSATION), primary_key=True, autoincrement=False),
    sa.Column("message_id", Id, nullable=False),  # the last one they saw; 0: none of it
    sa.Column("at", Moment, nullable=False),
)

tags = sa.Table(
    "tags",
    metadata,
    sa.Column("conversation_id", Id, sa.ForeignKey(CONVERSATION), primary_key=True, autoincrement=False),
    sa.Column("word", sa.String(24), primary_key=True),
    sa.Column("account_id", Id, sa.ForeignKey(ACCOUNT), nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Index("ix_tags_word", "word", "conversation_id"),
)

mentions = sa.Table(
    "mentions",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("note_id", Id, sa.ForeignKey("notes.id"), nullable=False),
    sa.Column("conversation_id", Id, sa.ForeignKey(CONVERSATION), nullable=False),
    sa.Column("account_id", Id, sa.ForeignKey(ACCOUNT), nullable=False),  # who is meant
    sa.Column("at", Moment, nullable=False),
    sa.Column("seen_at", Moment),
    sa.UniqueConstraint("note_id", "account_id"),
    sa.Index("ix_mentions_account", "account_id", "at"),
    sa.Index(
        "ix_mentions_unseen",
        "account_id",
        sqlite_where=sa.text("seen_at IS NULL"),
        postgresql_where=sa.text("seen_at IS NULL"),
    ),
)

# A list and filters under a name.
views = sa.Table(
    "views",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("account_id", Id, sa.ForeignKey(ACCOUNT), nullable=False),  # whose it is
    sa.Column("name", sa.String(40), nullable=False),
    sa.Column("filters", Json, nullable=False),  # see handoff.filters
    sa.Column("shared", sa.Boolean, nullable=False, server_default=sa.false()),  # everybody sees it
    sa.Column("made_at", Moment, nullable=False),
    sa.UniqueConstraint("account_id", "name"),
    sa.Index("ix_views_shared", "id", sqlite_where=sa.text("shared"), postgresql_where=sa.text("shared")),
)

# Who looks at a conversation just now, and who types there. Short-lived.
looks = sa.Table(
    "looks",
    metadata,
    sa.Column("account_id", Id, sa.ForeignKey(ACCOUNT), primary_key=True, autoincrement=False),
    sa.Column("conversation_id", Id, sa.ForeignKey(CONVERSATION), primary_key=True, autoincrement=False),
    sa.Column("until", Moment, nullable=False, index=True),
    sa.Column("types_until", Moment),
)

# Whose desk stands open in some browser, as far as anybody knows.
open_desks = sa.Table(
    "open_desks",
    metadata,
    sa.Column("account_id", Id, sa.ForeignKey(ACCOUNT), primary_key=True, autoincrement=False),
    sa.Column("until", Moment, nullable=False),
)

# What agents know of a contact beside what was said.
contact_fields = sa.Table(
    "contact_fields",
    metadata,
    sa.Column("contact_id", Id, sa.ForeignKey("contacts.id"), primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("value", sa.String(400), nullable=False),
    sa.Column("account_id", Id, sa.ForeignKey(ACCOUNT), nullable=False),
    sa.Column("at", Moment, nullable=False),
)

contact_notes = sa.Table(
    "contact_notes",
    metadata,
    sa.Column("contact_id", Id, sa.ForeignKey("contacts.id"), primary_key=True, autoincrement=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("account_id", Id, sa.ForeignKey(ACCOUNT), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),  # who wrote it last
    sa.Column("at", Moment, nullable=False),
)

# Browsers that want to be told when no desk is open there (Web Push), and the key that says it is us.
subscriptions = sa.Table(
    "subscriptions",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("account_id", Id, sa.ForeignKey(ACCOUNT), nullable=False, index=True),
    sa.Column("endpoint_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("endpoint", sa.String(2000), nullable=False),
    sa.Column("p256dh", sa.String(200), nullable=False),
    sa.Column("auth", sa.String(100), nullable=False),
    sa.Column("made_at", Moment, nullable=False),
    sa.Column("told_at", Moment, nullable=False),  # of what happened up to then
    sa.Column("not_before", Moment),  # it failed; tried again then
)

push_keys = sa.Table(
    "push_keys",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=False),  # 1
    sa.Column("private", sa.String(100), nullable=False),  # url-safe base64, as browsers and py_vapid take it
    sa.Column("public", sa.String(200), nullable=False),
    sa.Column("made_at", Moment, nullable=False),
)
