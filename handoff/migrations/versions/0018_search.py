"""Search over everything said: words of messages, notes and contacts, kept in step by triggers; faster lists.

What is there already is not read here: that would keep writers waiting for minutes. It stands in `unindexed` and is
read in small steps afterwards, the newest first, while everything runs (see bot.ledger.search.catch_up).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from bot.ledger.folding import LETTERS

revision = "0018_search"
down_revision = "0017_accounts"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Any run of digits that begins within the first nine is found: contacts are asked for by the end of their number, too.
DIGITS = " || ' ' || ".join(f"substr(coalesce({{row}}.phone, ''), {n})" for n in range(1, 10))
# Of each table: which of its columns are words, and what they are.
SPOKEN = {
    "messages": (("text",), "{row}.text"),
    "notes": (("text",), "{row}.text"),
    "contacts": (("name", "username", "phone"), "{row}.name || ' ' || {row}.username || ' ' || " + DIGITS),
}
UNHELD = sa.text("merged_into IS NULL")


def upgrade() -> None:
    """Make the words' tables and what keeps them; remember what is still to be read."""
    unindexed = op.create_table(
        "unindexed", sa.Column("kind", sa.String(32), primary_key=True), sa.Column("up_to", Id, nullable=False)
    )
    for table, (columns, words) in SPOKEN.items():
        keep = _keep_on_postgresql if op.get_bind().dialect.name == "postgresql" else _keep_on_sqlite
        keep(table, f"{table[:-1]}_words", columns, words)
        newest = op.get_bind().execute(sa.text(f"SELECT max(id) FROM {table}")).scalar()  # noqa: S608
        if newest is not None:
            op.bulk_insert(unindexed, [{"kind": table, "up_to": newest}])
    op.create_index("ix_conversations_kept", "conversations", ["holder"], sqlite_where=UNHELD, postgresql_where=UNHELD)
    op.create_index("ix_conversations_contact", "conversations", ["contact_id"])
    op.create_index("ix_notes_conversation", "notes", ["conversation_id", "id"])


def _keep_on_sqlite(table: str, name: str, columns: tuple[str, ...], words: str) -> None:
    """A full-text table, and triggers. Our connections know `folded`; see bot.ledger.transaction."""
    op.execute(f"CREATE VIRTUAL TABLE {name} USING fts5(words, tokenize='ascii', columnsize=0, prefix='2 3')")
    new, old = words.format(row="new"), "OR ".join(f"new.{one} IS NOT old.{one} " for one in columns)
    keep = f"INSERT OR REPLACE INTO {name} (rowid, words) VALUES (new.id, folded({new}));"  # noqa: S608
    drop = f"DELETE FROM {name} WHERE rowid = old.id;"  # noqa: S608
    op.execute(f"CREATE TRIGGER {name}_new AFTER INSERT ON {table} BEGIN {keep} END")
    of = ", ".join(columns)
    op.execute(f"CREATE TRIGGER {name}_changed AFTER UPDATE OF {of} ON {table} WHEN {old} BEGIN {keep} END")
    op.execute(f"CREATE TRIGGER {name}_gone AFTER DELETE ON {table} BEGIN {drop} END")


def _keep_on_postgresql(table: str, name: str, columns: tuple[str, ...], words: str) -> None:
    """A table of words beside the other, so that a status, which changes often, does not index words anew."""
    op.execute(f"CREATE TABLE {name} (id bigint CONSTRAINT pk_{name} PRIMARY KEY, words tsvector NOT NULL)")
    op.execute(f"CREATE INDEX ix_{name} ON {name} USING gin (words)")
    if table == "messages":
        op.execute(_folded_on_postgresql())
    new, old = words.format(row="NEW"), " OR ".join(f"NEW.{one} IS DISTINCT FROM OLD.{one}" for one in columns)
    # What has no words any more stays as an empty row: whoever reads what was there before must not bring them back.
    op.execute(
        f"CREATE FUNCTION keep_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "  # noqa: S608
        f"INSERT INTO {name} VALUES (NEW.id, words_of({new})) "
        "ON CONFLICT (id) DO UPDATE SET words = excluded.words; RETURN NULL; END $$"
    )
    op.execute(
        f"CREATE FUNCTION drop_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "  # noqa: S608
        f"DELETE FROM {name} WHERE id = OLD.id; RETURN NULL; END $$"
    )
    of = ", ".join(columns)
    op.execute(f"CREATE TRIGGER {name}_new AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION keep_{name}()")
    op.execute(
        f"CREATE TRIGGER {name}_changed AFTER UPDATE OF {of} ON {table} FOR EACH ROW WHEN ({old}) "
        f"EXECUTE FUNCTION keep_{name}()"
    )
    op.execute(f"CREATE TRIGGER {name}_gone AFTER DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION drop_{name}()")


def _folded_on_postgresql() -> str:
    """What bot.ledger.folding does, in PostgreSQL's own functions: no extension has to be installed."""
    known = "SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'"  # a database in C knows no letters but English
    by = ' COLLATE "und-x-icu"' if op.get_bind().execute(sa.text(known)).first() else ""
    text = "$1"
    for letter, plain in LETTERS.items():
        text = f"replace({text}, '{letter}', '{plain}')"
    text = f"lower(regexp_replace(normalize({text}, NFKD), '[\\u0300-\\u036f]+', '', 'g'){by})"
    text = f"regexp_replace({text}, '([0-9]+|[^[:alnum:]]+)'{by}, ' \\1 ', 'g')"
    text = f"regexp_replace({text}, '[^[:alnum:]]+'{by}, ' ', 'g')"
    return (
        "CREATE FUNCTION words_of(text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS "
        f"$$ SELECT to_tsvector('simple', {text}) $$"
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("ix_conversations_kept", "ix_conversations_contact"):
        op.drop_index(name, "conversations")
    op.drop_index("ix_notes_conversation", "notes")
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    for table in SPOKEN:
        name = f"{table[:-1]}_words"
        for when in ("new", "changed", "gone"):
            op.execute(f"DROP TRIGGER {name}_{when}" + (f" ON {table}" if on_postgresql else ""))
        op.execute(f"DROP TABLE {name}")
        if on_postgresql:
            op.execute(f"DROP FUNCTION keep_{name}()")
            op.execute(f"DROP FUNCTION drop_{name}()")
    if on_postgresql:
        op.execute("DROP FUNCTION words_of(text)")
    op.drop_table("unindexed")
