"""The tables every process shares, as SQLAlchemy Core tables. Times are aware UTC on both databases."""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator

from bot.vocabulary import (
    Author,
    Change,
    Csat,
    Errand,
    FileState,
    Holder,
    NeedOf,
    Outcome,
    Reason,
    Routing,
    Status,
    TurnState,
    UpdateState,
)

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
        self._known = {word.value: word for word in words}  # asked for with every row, and faster than the class

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        """Accept the member or its value, nothing else."""
        return None if value is None else str(self.words(value).value)

    def process_result_value(self, value: str | None, dialect: Any) -> Enum | None:
        """Give back the member."""
        return None if value is None else self._known.get(value) or self.words(value)


# As words, not as parameters: SQLite uses a partial index only where the query says its condition literally.
WAITING = sa.text("messages.waiting")
UNSENT = sa.text("messages.status IN ('queued', 'sending')")
TO_READ_AGAIN = sa.text("deliveries.again")
UNREAD = sa.text("updates.state = 'failed'")
BY_AGENT = sa.text("messages.author = 'agent'")
MOVED = sa.text("updates.kind IN ('renumbered', 'identity')")

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("received_at", Moment, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),  # as it came, byte for byte
    sa.Column("again", sa.Boolean, nullable=False, server_default=sa.false()),  # somebody asked to read it again
    sa.Column("tried_at", Moment),  # when that was last done
    sa.Index("ix_deliveries_received_at", "received_at"),
    sa.Index("ix_deliveries_again", "id", sqlite_where=sa.text("again"), postgresql_where=sa.text("again")),
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
    sa.Index(
        "ix_updates_failed",
        "delivery_id",
        sqlite_where=sa.text("state = 'failed'"),
        postgresql_where=sa.text("state = 'failed'"),
    ),
    sa.Index(
        "ix_updates_moved",
        "wamid",
        sqlite_where=sa.text("kind IN ('renumbered', 'identity')"),
        postgresql_where=sa.text("kind IN ('renumbered', 'identity')"),
    ),
)

contacts = sa.Table(
    "contacts",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("phone", sa.String(32), unique=True),  # digits, no plus; may be missing since 2026
    sa.Column("bsuid", sa.String(160), unique=True),
    sa.Column("name", sa.String(200), nullable=False, server_default=""),
    sa.Column("username", sa.String(100), nullable=False, server_default=""),
    sa.Column("blocked_at", Moment),
    sa.Column("marketing_stopped_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
)

# Every id a contact was ever known by. `contacts` has the ones they are reached by today.
identities = sa.Table(
    "identities",
    metadata,
    # A phone number's digits, or a BSUID: never the same. Who had a number last is kept as "before <number>".
    sa.Column("value", sa.String(160), primary_key=True),
    sa.Column("contact_id", Id, sa.ForeignKey("contacts.id"), nullable=False, index=True),
    sa.Column("since", Moment, nullable=False),  # theirs since; or given up since, if they are not reached by it
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
    sa.Column("phone_until", Moment),  # somebody answers from the phone; quiet until then, it is the bot's again
    sa.Column("paced_until", Moment),  # what was sent to this contact is paid off then (see outbox.PAIR_EVERY)
    sa.Column("awaits_id", Id),  # the message whose delivery the next one waits for …
    sa.Column("awaits_until", Moment),  # … until then
    sa.Column("undelivered_id", Id),  # words of the bot's that failed; a person has to see to it
    sa.Column("merged_into", Id),  # two contacts turned out to be one person; what was said is there now
    sa.Column("starts_clean", sa.Boolean, nullable=False, server_default=sa.false()),  # forget what was proven before
    sa.Column("last_message_at", Moment, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.UniqueConstraint("phone_number_id", "contact_id"),
    sa.Index("ix_conversations_holder_last", "holder", "last_message_at"),
    sa.Index("ix_conversations_merged_into", "merged_into"),
    sa.Index("ix_conversations_contact", "contact_id"),
    sa.Index(
        "ix_conversations_kept",
        "holder",
        sqlite_where=sa.text("merged_into IS NULL"),
        postgresql_where=sa.text("merged_into IS NULL"),
    ),
    sa.Index(
        "ix_conversations_agent",
        "agent_id",
        sqlite_where=sa.text("agent_id IS NOT NULL"),
        postgresql_where=sa.text("agent_id IS NOT NULL"),
    ),
    sa.Index(
        "ix_conversations_undelivered",
        "id",
        sqlite_where=sa.text("undelivered_id IS NOT NULL"),
        postgresql_where=sa.text("undelivered_id IS NOT NULL"),
    ),
)

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("conversation_id", Id, sa.ForeignKey("conversations.id"), nullable=False, index=True),
    sa.Column("epoch", Id, nullable=False),
    sa.Column("state", Word(TurnState), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("bubbles", sa.Integer, nullable=False, server_default="0"),  # messages it said, each of them billed
    sa.Column("began_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Index("ix_turns_began", "began_at", "conversation_id", "bubbles"),
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
    sa.Column("arrived_at", Moment),  # what the contact said: when we wrote it down
    sa.Column("origin", Json),  # forwarded, from an advertisement …
    sa.Column("edited_at", Moment),
    sa.Column("deleted_at", Moment),  # taken back, and its words with it
    sa.Column("turn_id", Id, sa.ForeignKey("turns.id")),
    # what the contact said
    sa.Column("waiting", sa.Boolean, nullable=False),  # nobody has dealt with it yet
    sa.Column("intent", sa.String(100)),
    sa.Column("confidence", sa.Float),
    # what we say
    sa.Column("status", Word(Status)),
    sa.Column("n", sa.Integer),  # which of its turn's messages
    sa.Column("epoch", Id),  # the bot's epoch when it was composed; NULL: bound to none (see outbox.queue)
    sa.Column("said_under", Id),  # the epoch it was said under, whether bound to it or not (see outbox.send_again)
    sa.Column("agent_id", Id),
    sa.Column("agent_name", sa.String(200), nullable=False, server_default=""),
    sa.Column("client_key", sa.String(80)),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),  # claims; none has another's number
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),  # of them, what this very message failed at
    sa.Column("not_before", Moment),
    sa.Column("lease_until", Moment),
    sa.Column("door_s", sa.Float),  # how long the webhook had been open, all in all, when it was sent
    sa.Column("error", sa.String(500), nullable=False, server_default=""),
    sa.Column("error_code", sa.Integer, nullable=False, server_default="0"),  # Meta's
    sa.Column("again_of", Id),  # the failed message this one repeats
    sa.Column("set_aside_at", Moment),  # it failed, and somebody decided that it need not go out
    sa.UniqueConstraint("turn_id", "n"),
    sa.UniqueConstraint("conversation_id", "client_key"),
    sa.Index("ix_messages_conversation", "conversation_id", "id"),
    sa.Index("uq_messages_again_of", "again_of", unique=True),
    sa.Index(
        "ix_messages_topics",
        "at",
        "conversation_id",
        "intent",
        sqlite_where=sa.text("intent IS NOT NULL"),
        postgresql_where=sa.text("intent IS NOT NULL"),
    ),
    sa.Index(
        "ix_messages_agents",
        "conversation_id",
        "at",
        sqlite_where=sa.text("author = 'agent'"),
        postgresql_where=sa.text("author = 'agent'"),
    ),
    sa.Index(
        "ix_messages_failed",
        "id",
        sqlite_where=sa.text("status = 'failed'"),
        postgresql_where=sa.text("status = 'failed'"),
    ),
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
    sa.Column("code", sa.Integer, nullable=False, server_default="0"),  # Meta's, of the error
    sa.Column("pricing", Json),
    sa.Column("passes", sa.Boolean, nullable=False, server_default=sa.false()),  # as bot.updates.Reported has it
    sa.Column("stops", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("wamid", "status"),
    sa.Index("ix_reports_at", "status", "at"),
)

# Edits and deletions, kept by the message they speak of, which may come after them.
edits = sa.Table(
    "edits",
    metadata,
    sa.Column("wamid", sa.String(512), primary_key=True),
    sa.Column("original", sa.String(512), nullable=False, index=True),
    sa.Column("content", Json),  # NULL: it was taken back
    sa.Column("at", Moment, nullable=False),
    sa.Column("heard_in", Id),  # the last turn that may have heard it before it was taken back, until Rasa forgot it
    sa.Index(
        "ix_edits_heard_in",
        "heard_in",
        sqlite_where=sa.text("heard_in IS NOT NULL"),
        postgresql_where=sa.text("heard_in IS NOT NULL"),
    ),
)

files = sa.Table(
    "files",
    metadata,
    sa.Column("message_id", Id, sa.ForeignKey("messages.id"), primary_key=True, autoincrement=False),
    sa.Column("state", Word(FileState), nullable=False),
    sa.Column("media_id", sa.String(200), nullable=False),  # Meta's
    sa.Column("phone_number_id", sa.String(64), nullable=False),
    sa.Column("url", sa.String(2000), nullable=False, server_default=""),  # lives five minutes
    sa.Column("sha256", sa.String(64), nullable=False, server_default=""),  # hex, as Meta announced it
    sa.Column("mime_type", sa.String(100), nullable=False, server_default=""),
    sa.Column("size", Id),  # bytes
    sa.Column("name", sa.String(80), nullable=False, server_default=""),  # in the media folder
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", Moment, nullable=False),
    sa.Column("error", sa.String(300), nullable=False, server_default=""),
    sa.Index(
        "ix_files_waiting",
        "not_before",
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    ),
)

# Files we send: where they lie in the media folder, and under which id Meta has them.
uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("message_id", Id, sa.ForeignKey("messages.id"), primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(80), nullable=False, index=True),  # in the media folder
    sa.Column("mime_type", sa.String(100), nullable=False),
    sa.Column("size", Id, nullable=False),  # bytes
    sa.Column("sha256", sa.String(64), nullable=False),  # hex
    sa.Column("media_id", sa.String(200), nullable=False, server_default=""),  # Meta's, once it has it …
    sa.Column("phone_number_id", sa.String(64), nullable=False, server_default=""),  # … for this number …
    sa.Column("good_until", Moment),  # … until then
)

errands = sa.Table(
    "errands",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("kind", Word(Errand), nullable=False),
    sa.Column("subject", sa.String(80), nullable=False),  # whom it is about; the same twice is one errand
    sa.Column("phone_number_id", sa.String(64), nullable=False, server_default=""),
    sa.Column("contact_id", Id, sa.ForeignKey("contacts.id")),
    sa.Column("wamid", sa.String(512), nullable=False, server_default=""),
    sa.Column("typing", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", Moment, nullable=False, index=True),
    sa.Column("asked_at", Moment, nullable=False),
    sa.Column("error", sa.String(300), nullable=False, server_default=""),
    sa.UniqueConstraint("kind", "subject"),
)

# Our own numbers: how fast each may send, and whether it may at all.
numbers = sa.Table(
    "numbers",
    metadata,
    sa.Column("phone_number_id", sa.String(64), primary_key=True),
    sa.Column("paced_until", Moment),
    sa.Column("stopped_until", Moment),
    sa.Column("slowed", sa.Integer, nullable=False, server_default="0"),  # how often in a row Meta found it too fast
)

templates = sa.Table(
    "templates",
    metadata,
    sa.Column("name", sa.String(512), primary_key=True),
    sa.Column("language", sa.String(20), primary_key=True),
    sa.Column("category", sa.String(40), nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("components", Json, nullable=False),
    sa.Column("read_at", Moment, nullable=False),
)

# People who share a queue, and when they sit at the desk.
teams = sa.Table(
    "teams",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", sa.String(80), nullable=False, unique=True),
    sa.Column("zone", sa.String(64), nullable=False, server_default="UTC"),
    sa.Column("hours", sa.String(1000), nullable=False, server_default="always"),  # see bot.hours.read
    sa.Column("exceptions", sa.String(4000), nullable=False, server_default=""),
    sa.Column("within_min", sa.Integer, nullable=False, server_default="15"),  # they want to answer, of opening time
    sa.Column("next_min", sa.Integer, nullable=False, server_default="30"),  # … and each time after that; 0: no wish
    sa.Column("close_min", sa.Integer, nullable=False, server_default="0"),  # … and to be done with it
    sa.Column("routing", Word(Routing), nullable=False, server_default=Routing.PULL.value),
    sa.Column("capacity", sa.Integer),  # conversations each member may hold at once, unless theirs is another
    sa.Column("retired_at", Moment),
)

# What a handoff needs: a team, a skill, or both, for a reason, an intent, a slot or a word of the wish.
needs = sa.Table(
    "needs",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("of", Word(NeedOf), nullable=False),
    sa.Column("value", sa.String(100), nullable=False),  # asked; return_policy; order_number; language=german
    sa.Column("skill", sa.String(40), nullable=False, server_default=""),
    sa.Column("team_id", Id, sa.ForeignKey("teams.id")),
    sa.UniqueConstraint("of", "value", "skill", "team_id"),
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
    sa.Column("outcome", Word(Outcome)),
    # What was promised. Nobody waits without a due time; see bot.ledger.promises.
    sa.Column("team_id", Id, nullable=False, server_default="1"),
    sa.Column("needs", Json),  # the skills it needs, when it was opened; NULL: none
    sa.Column(
        "given_because", sa.String(300), nullable=False, server_default=""
    ),  # it was given to who has it, and why
    sa.Column("place", sa.Integer, nullable=False, server_default="0"),  # in the queue, then; 0: nobody had to wait
    sa.Column("promised_at", Moment),
    sa.Column("due_at", Moment),
    sa.Column("owner_id", Id),  # the agent who had it and left: theirs first, if they are back in time
    sa.Column("broken_at", Moment),  # nobody had come by then
    sa.Column("alerted_at", Moment),  # people away from the desk were told
    sa.Column("window_asked", Moment),  # the end of the window that the contact was asked to open again
    sa.Column("rung", sa.Integer, nullable=False, server_default="0"),  # how far up it was told of (see bot.ladder)
    # Why, and what became of it.
    sa.Column("evidence", Json, nullable=False, server_default="[]"),  # see bot.evidence
    sa.Column("joined_to", Id),  # it came back within minutes: the handoff it goes on with
    sa.Column("returns", sa.Integer, nullable=False, server_default="0"),  # how often it has come back by now
    sa.Column("agent_name", sa.String(200), nullable=False, server_default=""),  # who had it last
    sa.Column("summary", sa.Text, nullable=False, server_default=""),  # by the agent, for whoever comes next
    # How long the contact waited for answers (see bot.timers); kept by bot.ledger.answers.
    sa.Column("first_answer_at", Moment),
    sa.Column("next_wait_s", sa.Integer, nullable=False, server_default="0"),  # the longest for a later one
    sa.Column("first_late", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("next_late", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("close_late", sa.Boolean, nullable=False, server_default=sa.false()),
    # Put aside for a while by the agent who has it; see bot.ledger.snoozes.
    sa.Column("snoozed_at", Moment),
    sa.Column("snoozed_until", Moment),
    sa.Column("woke_at", Moment),
    # How the contact found it; see bot.ledger.ratings.
    sa.Column("csat_asked_at", Moment),
    sa.Column("csat", Word(Csat)),
    sa.Column("csat_at", Moment),
    sa.Column("csat_thanked_at", Moment),
    # What reports count by; they stay what they were when it goes back to the queue or to a colleague.
    sa.Column("first_taken_at", Moment),
    sa.Column("first_due_at", Moment),
    sa.Index("ix_handoffs_asked", "asked_at"),
    sa.Index("ix_handoffs_conversation", "conversation_id", "id"),
    sa.Index("ix_handoffs_taken", "team_id", "taken_at"),
    sa.Index(
        "ix_handoffs_snoozed",
        "snoozed_until",
        sqlite_where=sa.text("snoozed_until IS NOT NULL"),
        postgresql_where=sa.text("snoozed_until IS NOT NULL"),
    ),
    sa.Index(
        "ix_handoffs_unthanked",
        "csat_at",
        sqlite_where=sa.text("csat_at IS NOT NULL AND csat_thanked_at IS NULL"),
        postgresql_where=sa.text("csat_at IS NOT NULL AND csat_thanked_at IS NULL"),
    ),
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

# What search has not read yet: of each kind, everything up to this id. Its words are in tables of their own, which only
# bot/ledger/search.py knows; triggers keep them.
unindexed = sa.Table(
    "unindexed",
    metadata,
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("up_to", Id, nullable=False),
)

doors = sa.Table(
    "doors",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("seen_at", Moment, nullable=False),
    sa.Column("open_s", sa.Float, nullable=False, server_default="0"),  # how long it was open, all in all
)

alarms = sa.Table(
    "alarms",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("words", sa.String(500), nullable=False),
    sa.Column("raised_at", Moment, nullable=False),
    sa.Column("told_at", Moment),
)
