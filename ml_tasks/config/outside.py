"""Which alerts of other systems are a reason to train."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.config.section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

OUTSIDE = "outside"
"""Name of the policy, and cause of the triggers that the intake asks for because of it."""
NAME = "alertname"
"""The label by which Prometheus names an alert."""


class Outside(Section):
    """Parameters of the policy `outside`; the intake holds alerts against them, too."""

    alerts: tuple[str, ...] = ()
    """Names of alerts that count; all when not given."""
    labels: dict[str, str] = {}
    """What their labels must say beside that."""
    alarms: bool = False
    """Whether alarms of the product's own that page count as well: at once, whoever wrote them."""

    def heeds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether an alert with these labels counts."""
        if self.alerts and labels.get(NAME) not in self.alerts:
            return False
        return all(labels.get(name) == value for name, value in self.labels.items())
