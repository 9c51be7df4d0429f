"""Train when another system says that something changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.config.limits import taken_in
from ml_tasks.config.outside import OUTSIDE
from ml_tasks.config.outside import Outside as Params
from ml_tasks.policies.evidence import Wish

if TYPE_CHECKING:
    from ml_tasks.policies.evidence import Evidence

__all__ = ["Params", "wish"]
SHOWN = 3


def wish(evidence: Evidence, params: Params) -> Wish | None:
    """Want a training where an alert that counts is open and nobody has asked for it.

    What it wins cannot be known.
    """
    names = [report.name for report in evidence.reports if params.heeds(report.labels)]
    if params.alarms:
        left = (page.at for page in evidence.pages if not taken_in(page.at.date(), evidence.asked))
        names += [f"alarm of {at:%Y-%m-%d}" for at in left]
    if not names:
        return None
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return Wish(OUTSIDE, f"{', '.join(names[:SHOWN])}{more}", None)
