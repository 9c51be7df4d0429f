"""Turns: which process of an attempt began last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "turns",
        sa.Column("task", sa.String(255), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("began", sa.String(32), nullable=False),
    )


def downgrade() -> None:
    """Take it away."""
    op.drop_table("turns")
