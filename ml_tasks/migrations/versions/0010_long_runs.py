"""Triggers take the names of runs as Airflow does, which may have 250 characters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make room; SQLite knows no lengths."""
    if op.get_bind().dialect.name != "sqlite":
        for name, before in (("who", 128), ("replay", 64)):
            op.alter_column(
                "triggers", name, existing_type=sa.String(before), type_=sa.String(255),
                existing_nullable=False,
            )  # fmt: skip
