"""Watches for alerts that came in or were not sent yet, in Airflow's triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_launch.waiting import Waiting

if TYPE_CHECKING:
    from ml_tasks.io.control import Control


class Reported(Waiting):
    """Fires when another system's alert is a reason to train and no limit is in the way."""

    what = "reports"
    poll_seconds = 10.0
    pause_seconds = 60.0

    def look(self, control: Control) -> list[str]:
        """Give the keys of the reports that a training is to be asked for."""
        from ml_alerts.heed import weigh
        from ml_tasks import config

        weighed = weigh(control, config.load(self.pipeline))
        return [] if weighed.against else [one.key for one in weighed.reports]


class Unsent(Waiting):
    """Fires when what people are to be told waits for somebody to send it."""

    what = "alerts"
    poll_seconds = 10.0
    pause_seconds = 60.0

    def look(self, control: Control) -> list[str]:
        """Give the ids of the alerts that are due."""
        return control.due(self.pipeline)
