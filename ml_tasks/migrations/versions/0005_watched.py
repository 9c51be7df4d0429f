"""What monitoring found: metrics by window, signals by day, alarms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "measures",
        sa.Column("pipeline", sa.String(64), primary_key=True),
        sa.Column("version", sa.String(64), primary_key=True),
        sa.Column("start", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("metric", sa.String(64), primary_key=True),
        sa.Column("segment", sa.String(255), primary_key=True),
        sa.Column("end", sa.String(32), nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("error", sa.Float),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("predicted", sa.Integer, nullable=False),
        sa.Column("known", sa.String(32), nullable=False),
        sa.Column("run", sa.String(255), nullable=False),
    )
    op.create_table(
        "looks",
        sa.Column("pipeline", sa.String(64), primary_key=True),
        sa.Column("version", sa.String(64), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("signal", sa.String(255), primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("p_value", sa.Float),
        sa.Column("cost", sa.Float),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("run", sa.String(255), nullable=False),
    )
    op.create_table(
        "alarms",
        sa.Column("pipeline", sa.String(64), primary_key=True),
        sa.Column("version", sa.String(64), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("of", sa.String(16), primary_key=True),
        sa.Column("level", sa.Float, nullable=False),
        sa.Column("paged", sa.Boolean, nullable=False),
        sa.Column("loss", sa.Float),
        sa.Column("signals", sa.JSON, nullable=False),
        sa.Column("run", sa.String(255), nullable=False),
    )


def downgrade() -> None:
    """Take them away."""
    for table in ("alarms", "looks", "measures"):
        op.drop_table(table)
