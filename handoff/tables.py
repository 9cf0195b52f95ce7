"""The desk's own tables, on the ledger's MetaData. Foreign keys point down, never up."""

from __future__ import annotations

import sqlalchemy as sa

from bot.ledger.tables import Id, Json, Moment, Word, metadata
from bot.vocabulary import Role
from handoff.acts import Act

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("email", sa.String(200), nullable=False, unique=True),  # lower-case
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("role", Word(Role), nullable=False),
    sa.Column("password_hash", sa.String(200), nullable=False),
    sa.Column("must_change_password", sa.Boolean, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("disabled_at", Moment),
    sa.Column("seen_at", Moment),  # when they last did anything, to the minute; a tab that stands open does nothing
    sa.Column("greeted_at", Moment),  # when they put the first-visit guide away
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),  # sha256 of the cookie: a stolen backup signs nobody in
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id"), nullable=False, index=True),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("seen_at", Moment, nullable=False),
    sa.Column("ends_at", Moment, nullable=False),
    sa.Column("browser", sa.String(300)),  # as it calls itself
    sa.Column("address", sa.String(64)),  # where it signed in from
    sa.Column("awaits_code", sa.Boolean, nullable=False, server_default=sa.false()),  # the password was right, no more
)

second_factors = sa.Table(
    "second_factors",
    metadata,
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id"), primary_key=True, autoincrement=False),
    sa.Column("secret", sa.String(64), nullable=False),  # base 32, as the app on the phone has it
    sa.Column("made_at", Moment, nullable=False),
    sa.Column("confirmed_at", Moment),  # from then on signing in asks for a code
    sa.Column("last_step", Id, nullable=False),  # the half minute whose code was used last: none is good twice
)

recovery_codes = sa.Table(
    "recovery_codes",  # those that were not used
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id"), nullable=False, index=True),
)

second_factor_roles = sa.Table(
    "second_factor_roles",  # who has one of these roles must have a second factor
    metadata,
    sa.Column("role", Word(Role), primary_key=True),
    sa.Column("since", Moment, nullable=False),
)

setup_codes = sa.Table(
    "setup_codes",  # who knows one may make the first account
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("ends_at", Moment, nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("at", Moment, nullable=False, index=True),
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id"), index=True),  # NULL: the command line, or a stranger
    sa.Column("act", Word(Act), nullable=False, index=True),
    sa.Column("subject", sa.String(300), nullable=False),  # "account ann@…", "conversation KEY", "delivery 12"
    sa.Column("details", Json, nullable=False),  # small; never what was said
    sa.Column("address", sa.String(64), nullable=False),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id"), nullable=False, index=True),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("used_at", Moment),
    sa.Column("name", sa.String(80), nullable=False, server_default=""),  # what it is for
    sa.Column("scopes", sa.String(200), nullable=False, server_default=""),  # "read,write"; "": all of the role
    sa.Column("ends_at", Moment),  # good until then; NULL: until somebody ends it
)

sign_ins = sa.Table(
    "sign_ins",  # tries, not successes: a success forgets the tries of its address
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("email", sa.String(200), nullable=False, index=True),
    sa.Column("address", sa.String(64), nullable=False, index=True),
    sa.Column("at", Moment, nullable=False),
)

notes = sa.Table(
    "notes",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("conversation_id", Id, sa.ForeignKey("conversations.id"), nullable=False),
    sa.Column("after_message_id", Id, nullable=False),  # where it stands in the transcript
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id"), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("client_key", sa.String(80)),
    sa.Column("at", Moment, nullable=False),
    sa.UniqueConstraint("conversation_id", "client_key"),
    sa.Index("ix_notes_conversation", "conversation_id", "id"),
)

quick_replies = sa.Table(
    "quick_replies",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", sa.String(32), nullable=False),  # what is typed behind the slash
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id")),  # whose own it is …
    sa.Column("team_id", Id, sa.ForeignKey("teams.id")),  # … or which team's; neither: everybody's
    sa.Column("changed_by", sa.String(200), nullable=False),
    sa.Column("changed_at", Moment, nullable=False),
    sa.Column("retired_at", Moment),
    *(
        sa.Index(f"uq_quick_replies_{whose}", *columns, unique=True, sqlite_where=which, postgresql_where=which)
        for whose, columns, which in (
            ("own", ("account_id", "name"), sa.text("account_id IS NOT NULL AND retired_at IS NULL")),
            ("team", ("team_id", "name"), sa.text("team_id IS NOT NULL AND retired_at IS NULL")),
            ("all", ("name",), sa.text("account_id IS NULL AND team_id IS NULL AND retired_at IS NULL")),
        )
    ),
)

past_answers = sa.Table(
    "past_answers",  # what contacts asked and agents answered, without what is anybody's own (see masking.py)
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("message_id", Id, sa.ForeignKey("messages.id"), nullable=False, unique=True),  # the answer
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
)

# Who works in which team; whoever is in none works in the first.
members = sa.Table(
    "members",
    metadata,
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id"), primary_key=True, autoincrement=False),
    sa.Column("team_id", Id, sa.ForeignKey("teams.id"), primary_key=True, autoincrement=False),
)

# How somebody sits at the desk, beside their account.
seats = sa.Table(
    "seats",
    metadata,
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id"), primary_key=True, autoincrement=False),
    sa.Column("skills", Json),  # NULL: none
    sa.Column("capacity", sa.Integer),  # conversations at once; NULL: what their teams say
    sa.Column("away_at", Moment),  # they are given nothing since
    sa.Column("here_at", Moment),  # a desk of theirs stood open then, to the minute
    sa.Column("given_at", Moment),  # the desk last gave them a conversation
)

every_table = metadata  # the ledger's and the desk's together: what migrations know
