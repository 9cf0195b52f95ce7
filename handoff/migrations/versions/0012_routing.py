"""Teams that route, what handoffs need, who works in which team, and how many conversations each may hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012_routing"
down_revision = "0011_presence"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make them. Teams that are there go on as they were: agents take, as many as they like."""
    op.add_column("teams", sa.Column("routing", sa.String(32), nullable=False, server_default="pull"))
    op.add_column("teams", sa.Column("capacity", sa.Integer()))
    op.add_column("teams", sa.Column("retired_at", Moment))
    op.create_table(
        "needs",
        sa.Column("id", Id, primary_key=True),
        sa.Column("of", sa.String(32), nullable=False),
        sa.Column("value", sa.String(100), nullable=False),
        sa.Column("skill", sa.String(40), nullable=False, server_default=""),
        sa.Column("team_id", Id, sa.ForeignKey("teams.id", name="fk_needs_team_id")),
        sa.UniqueConstraint("of", "value", "skill", "team_id", name="uq_needs_of_value_skill_team_id"),
    )
    op.add_column("handoffs", sa.Column("needs", Json))
    op.add_column("handoffs", sa.Column("given_because", sa.String(300), nullable=False, server_default=""))
    op.create_table(
        "members",
        sa.Column("account_id", Id, sa.ForeignKey("accounts.id", name="fk_members_account_id"), nullable=False),
        sa.Column("team_id", Id, sa.ForeignKey("teams.id", name="fk_members_team_id"), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "team_id", name="pk_members"),
    )
    op.create_table(
        "seats",
        sa.Column("account_id", Id, sa.ForeignKey("accounts.id", name="fk_seats_account_id"), nullable=False),
        sa.Column("skills", Json),
        sa.Column("capacity", sa.Integer()),
        sa.Column("away_at", Moment),
        sa.Column("here_at", Moment),
        sa.Column("given_at", Moment),
        sa.PrimaryKeyConstraint("account_id", name="pk_seats"),
    )
    op.create_index(
        "ix_conversations_agent",
        "conversations",
        ["agent_id"],
        sqlite_where=sa.text("agent_id IS NOT NULL"),
        postgresql_where=sa.text("agent_id IS NOT NULL"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_conversations_agent", "conversations")
    for table in ("seats", "members", "needs"):
        op.drop_table(table)
    for table, names in (("handoffs", ("needs", "given_because")), ("teams", ("routing", "capacity", "retired_at"))):
        for name in names:
            op.drop_column(table, name)
