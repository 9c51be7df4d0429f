"""Train when another system says that something changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.config.outside import Outside as Params
from ml_tasks.policies.evidence import Wish

if TYPE_CHECKING:
    from ml_tasks.policies.evidence import Evidence

__all__ = ["Params", "wish"]
SHOWN = 3


def wish(evidence: Evidence, params: Params) -> Wish | None:
    """Want a training where an alert that counts is open and nobody has trained for it.

    What it wins cannot be known.
    """
    names = [report.name for report in evidence.reports if params.heeds(report.labels)]
    if params.alarms:
        names += [f"alarm of {page.at:%Y-%m-%d}" for page in evidence.pages]
    if not names:
        return None
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return Wish("outside", f"{', '.join(names[:SHOWN])}{more}", None)
