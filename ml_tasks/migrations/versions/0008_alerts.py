"""Alerts: those that other systems report, and those that are sent out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "reports",
        sa.Column("pipeline", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(64), primary_key=True),
        sa.Column("starts_at", sa.String(32), primary_key=True),
        sa.Column("source", sa.String(128), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("annotations", sa.JSON, nullable=False),
        sa.Column("link", sa.Text, nullable=False),
        sa.Column("received", sa.String(32), nullable=False),
        sa.Column("closed", sa.String(32)),
    )
    op.create_table(
        "sent",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("pipeline", sa.String(64), nullable=False, index=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(255), nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("holder", sa.String(32)),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("fault", sa.Text),
        sa.Column("created", sa.String(32), nullable=False),
        sa.Column("sent", sa.String(32)),
        sa.UniqueConstraint("pipeline", "kind", "fingerprint", "channel"),
    )


def downgrade() -> None:
    """Take them away."""
    for table in ("sent", "reports"):
        op.drop_table(table)
