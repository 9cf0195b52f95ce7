"""The tables for other people's programs: bots that bring their contacts here, and hooks that are told what happens."""

from __future__ import annotations

import sqlalchemy as sa

from bot.ledger.tables import Id, Json, Moment, Word, metadata
from bot.vocabulary import CallState, Happening

# As words, not as parameters: SQLite uses a partial index only where the query says its condition literally.
CALLS_WAITING = sa.text("calls.state = 'waiting'")

# Conversations that other bots brought, by their own ids of them.
guests = sa.Table(
    "guests",
    metadata,
    sa.Column("conversation_id", Id, sa.ForeignKey("conversations.id"), primary_key=True, autoincrement=False),
    sa.Column("account_id", Id, nullable=False),  # whose token brought it; accounts live in handoff/
    sa.Column("channel", sa.String(40), nullable=False),
    sa.Column("own_id", sa.String(200), nullable=False),  # the other bot's
    sa.Column("language", sa.String(20), nullable=False, server_default=""),
    sa.Column("client_key", sa.String(255)),  # of the request that opened its newest handoff …
    sa.Column("handoff_id", Id),  # … which this is
    sa.UniqueConstraint("account_id", "channel", "own_id"),
)

hooks = sa.Table(
    "hooks",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("url", sa.String(2000), nullable=False),
    sa.Column("events", sa.String(400), nullable=False),  # ",message.created,handoff.taken,"
    sa.Column("channel", sa.String(40), nullable=False, server_default=""),  # of guests only; "": of everybody
    sa.Column("secret", sa.String(80), nullable=False),  # we sign with it, so it can't be a hash
    sa.Column("account_id", Id, nullable=False),  # who made it
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("disabled_at", Moment),
    sa.Column("why", sa.String(300), nullable=False, server_default=""),  # it is disabled
    sa.Column("failing_since", Moment),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),  # in a row
    sa.Column("rests_until", Moment),  # it did not answer; nothing is sent before
)

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("hook_id", Id, sa.ForeignKey("hooks.id"), nullable=False),
    sa.Column("conversation_id", Id, sa.ForeignKey("conversations.id"), nullable=False),
    sa.Column("kind", Word(Happening), nullable=False),
    sa.Column("message_id", Id),
    sa.Column("handoff_id", Id),
    sa.Column("facts", Json, nullable=False),  # what is true of that moment only: who took it, how it ended
    sa.Column("at", Moment, nullable=False),
    sa.Column("state", Word(CallState), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", Moment, nullable=False),
    sa.Column("lease_until", Moment),
    sa.Column("tried_at", Moment),
    sa.Column("answer", sa.String(300), nullable=False, server_default=""),  # in a few words
    sa.Index("ix_calls_hook", "hook_id", "id"),
    sa.Index("ix_calls_message", "message_id"),
    sa.Index(
        "ix_calls_waiting",
        "hook_id",
        "conversation_id",
        "id",
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    ),
)
