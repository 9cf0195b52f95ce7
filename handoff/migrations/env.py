"""What Alembic runs. The connection comes from handoff/migrate.py; only our own tables are looked at."""

from __future__ import annotations

from typing import Any

from alembic import context

from handoff.tables import every_table


def is_ours(name: str | None, kind: str, parents: Any) -> bool:
    """Say whether Alembic should look: Rasa's tracker and the shop's tables are none of its business."""
    return kind != "table" or name in every_table.tables


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=every_table,
    include_name=is_ours,
    compare_type=True,
    compare_server_default=context.config.attributes["connection"].dialect.name != "sqlite",
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
