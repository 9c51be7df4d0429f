"""Watches for wishes to train whose event was lost, in Airflow's triggerer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ml_launch.waiting import Waiting

if TYPE_CHECKING:
    from ml_tasks.io.control import Control

OLDER = timedelta(minutes=10)
"""How long a wish may wait for its training before its event counts as lost."""


class Unclaimed(Waiting):
    """Fires when a pipeline's wish has waited too long; again ever later, while it still waits."""

    what = "triggers"
    poll_seconds = 30.0
    pause_seconds = OLDER.total_seconds()

    def look(self, control: Control) -> list[str]:
        """Give the wishes that nobody has claimed."""
        return [one.id for one in control.unclaimed(self.pipeline, OLDER)]
