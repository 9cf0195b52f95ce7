"""Who did what, a second factor, where a session is, and the code that lets the first admin in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017_accounts"
down_revision = "0016_api"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
Moment = sa.DateTime(timezone=True)
Word = sa.String(32)


def upgrade() -> None:
    """Make them."""
    op.add_column("accounts", sa.Column("greeted_at", Moment))
    op.execute("UPDATE accounts SET greeted_at = seen_at")  # who has worked here needs no guide
    op.add_column("sessions", sa.Column("browser", sa.String(length=300)))
    op.add_column("sessions", sa.Column("address", sa.String(length=64)))
    op.add_column("sessions", sa.Column("awaits_code", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "second_factors",
        sa.Column("account_id", Id, nullable=False, autoincrement=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("made_at", Moment, nullable=False),
        sa.Column("confirmed_at", Moment),
        sa.Column("last_step", Id, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_second_factors_account_id"),
        sa.PrimaryKeyConstraint("account_id", name="pk_second_factors"),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_recovery_codes_account_id"),
        sa.PrimaryKeyConstraint("hash", name="pk_recovery_codes"),
    )
    op.create_index("ix_recovery_codes_account_id", "recovery_codes", ["account_id"])
    op.create_table(
        "second_factor_roles",
        sa.Column("role", Word, nullable=False),
        sa.Column("since", Moment, nullable=False),
        sa.PrimaryKeyConstraint("role", name="pk_second_factor_roles"),
    )
    op.create_table(
        "setup_codes",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("ends_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_setup_codes"),
    )
    op.create_table(
        "audit",
        sa.Column("id", Id, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("account_id", Id),
        sa.Column("act", Word, nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("details", Json, nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_audit_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    for column in ("at", "account_id", "act"):
        op.create_index(f"ix_audit_{column}", "audit", [column])


def downgrade() -> None:
    """Drop them, and all that is in them."""
    for table in ("audit", "setup_codes", "second_factor_roles", "recovery_codes", "second_factors"):
        op.drop_table(table)
    for column in ("awaits_code", "address", "browser"):
        op.drop_column("sessions", column)
    op.drop_column("accounts", "greeted_at")
