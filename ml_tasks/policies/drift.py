"""Train when an alarm says that something moved which costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from ml_tasks.config.numbers import Days
from ml_tasks.policies.evidence import Wish

if TYPE_CHECKING:
    from ml_tasks.policies.evidence import Evidence

SHOWN = 3


class Params(BaseModel):
    """How long an alarm stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    within_days: Days = Field(gt=0, default=14)
    """Older alarms are no reason any more."""


def wish(evidence: Evidence, params: Params) -> Wish | None:
    """Want a training where an alarm is young; what the drift costs is what there is to win."""
    young = [p for p in evidence.pages if (evidence.window.end - p.at).days < params.within_days]
    if not young:
        return None
    last = young[-1]
    losses = [page.loss for page in young if page.loss is not None]
    return Wish(
        "drift",
        f"{', '.join(last.signals[:SHOWN])} moved, seen on {last.at:%Y-%m-%d}",
        max(losses) if losses else None,
    )
