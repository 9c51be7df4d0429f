"""The candidate must beat a baseline by more than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ml_tasks.gates.paired import above_zero

if TYPE_CHECKING:
    from ml_tasks.gates.verdict import Judgement, Measured

TEST_DAYS = 2
"""Of one day it cannot be told how far a difference is chance."""


class Params(BaseModel):
    """Which metric, which baseline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    baseline: str


def judge(measured: Measured, params: Params) -> Judgement:
    """Pass if the lower bound of the paired difference lies above 0."""
    difference = measured.over_baseline.get(params.baseline, {}).get(params.metric)
    return above_zero(
        f"beats_baseline {params.baseline}", params.baseline, params.metric, difference
    )
