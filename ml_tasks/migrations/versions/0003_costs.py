"""What each attempt of a task cost: the table of 0001, which nobody wrote, made anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table in the place of the empty one."""
    op.drop_table("costs")
    op.create_table(
        "costs",
        sa.Column("pipeline", sa.String(64), primary_key=True),
        sa.Column("run", sa.String(255), primary_key=True),
        sa.Column("task", sa.String(64), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("at", sa.String(32), nullable=False, index=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("pods", sa.Integer, nullable=False),
        sa.Column("cpus", sa.Float, nullable=False),
        sa.Column("memory_gb", sa.Float, nullable=False),
        sa.Column("gpus", sa.Integer, nullable=False),
        sa.Column("node_type", sa.String(64), nullable=False),
        sa.Column("spot", sa.Boolean, nullable=False),
        sa.Column("wall_seconds", sa.Float, nullable=False),
        sa.Column("pod_seconds", sa.Float, nullable=False),
        sa.Column("cpu_seconds", sa.Float, nullable=False),
        sa.Column("gpu_seconds", sa.Float, nullable=False),
        sa.Column("peak_memory_mb", sa.Float, nullable=False),
        sa.Column("amount", sa.Float, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
    )


def downgrade() -> None:
    """Make the former table, empty."""
    op.drop_table("costs")
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
