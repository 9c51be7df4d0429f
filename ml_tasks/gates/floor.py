"""A metric must reach a minimum, or stay below a maximum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, model_validator

from ml_tasks.gates.verdict import Judgement

if TYPE_CHECKING:
    from ml_tasks.gates.verdict import Measured


class Params(BaseModel):
    """One metric and its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Params:
        if self.minimum is None and self.maximum is None:
            raise ValueError("a minimum or a maximum: without a threshold nothing passes")
        return self


def judge(measured: Measured, params: Params) -> Judgement:
    """Hold the point estimate against the bounds; what was not measured does not pass."""
    low = -math.inf if params.minimum is None else params.minimum
    high = math.inf if params.maximum is None else params.maximum
    threshold = " and ".join(
        [f">= {params.minimum}"] * (params.minimum is not None)
        + [f"<= {params.maximum}"] * (params.maximum is not None)
    )
    gate = f"floor {params.metric}"
    found = measured.metrics.get(params.metric)
    if found is None or not math.isfinite(found.value):
        evidence = f"{params.metric} was not measured"
        return Judgement(
            gate=gate, passed=False, measured=None, threshold=threshold, evidence=evidence
        )
    return Judgement(
        gate=gate,
        passed=low <= found.value <= high,
        measured=found.value,
        threshold=threshold,
        interval=(found.low, found.high),
        evidence=f"{params.metric} is {found.value:.4f}",
    )
