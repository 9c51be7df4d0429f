"""How far each look is on its way to an alarm."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add it; looks that were taken before have none."""
    op.add_column("looks", sa.Column("share", sa.Float))


def downgrade() -> None:
    """Take it away."""
    op.drop_column("looks", "share")
