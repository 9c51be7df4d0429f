"""Train when the champion is old."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from ml_tasks.config.numbers import Days
from ml_tasks.policies.evidence import Wish

if TYPE_CHECKING:
    from ml_tasks.policies.evidence import Evidence


class Params(BaseModel):
    """How old it may become."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: Days = Field(gt=0, default=28)
    """Since the end of what it learned from."""


def wish(evidence: Evidence, params: Params) -> Wish | None:
    """Want a training where it is that old; what it wins cannot be known."""
    age = (evidence.window.end - evidence.learned_until).days
    if age < params.days:
        return None
    return Wish("schedule", f"the champion learned from nothing younger than {age} days", None)
