"""Leases, triggers, champion heads, audit log, windows, costs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "leases",
        sa.Column("resource", sa.String(255), primary_key=True),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("released", sa.Boolean, nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
    )
    op.create_table(
        "triggers",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("pipeline", sa.String(64), nullable=False, index=True),
        sa.Column("cause", sa.String(64), nullable=False),
        sa.Column("window", sa.String(64), nullable=False),
        sa.Column("replay", sa.String(64), nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("run", sa.String(255)),
        sa.Column("outcome", sa.String(255)),
        sa.Column("created", sa.String(32), nullable=False),
        sa.UniqueConstraint("pipeline", "cause", "window", "replay"),
    )
    op.create_table(
        "heads",
        sa.Column("pipeline", sa.String(64), primary_key=True),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("run", sa.String(255), nullable=False),
        sa.Column("verdict_uri", sa.Text, nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("pipeline", sa.String(64), nullable=False, index=True),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "windows",
        sa.Column("pipeline", sa.String(64), primary_key=True),
        sa.Column("start", sa.String(32), primary_key=True),
        sa.Column("end", sa.String(32), nullable=False),
        sa.Column("run", sa.String(255), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
    )
    op.create_table(
        "costs",
        sa.Column("run", sa.String(255), primary_key=True),
        sa.Column("task", sa.String(64), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("pipeline", sa.String(64), nullable=False, index=True),
        sa.Column("wall_seconds", sa.Float, nullable=False),
        sa.Column("cpu_seconds", sa.Float, nullable=False),
        sa.Column("gpu_seconds", sa.Float, nullable=False),
        sa.Column("amount", sa.Float),
        sa.Column("currency", sa.String(3)),
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("costs", "windows", "audit", "heads", "triggers", "leases"):
        op.drop_table(name)
