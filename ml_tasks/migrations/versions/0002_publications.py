"""Which windows of each raw table were published."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "publications",
        sa.Column("table", sa.String(128), primary_key=True),
        sa.Column("start", sa.String(32), primary_key=True),
        sa.Column("end", sa.String(32), primary_key=True),
        sa.Column("run", sa.String(255), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("publications")
