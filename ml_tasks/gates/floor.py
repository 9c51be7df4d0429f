"""A metric must reach a minimum, or stay below a maximum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ml_tasks.gates.bounds import Bounds
from ml_tasks.gates.verdict import Judgement

if TYPE_CHECKING:
    from ml_tasks.gates.verdict import Measured

TEST_DAYS = 1
"""So few do."""


class Params(Bounds):
    """Which metric and its bounds."""


def judge(measured: Measured, params: Params) -> Judgement:
    """Hold the point estimate against the bounds; what was not measured does not pass."""
    low = -math.inf if params.minimum is None else params.minimum
    high = math.inf if params.maximum is None else params.maximum
    gate, threshold = f"floor {params.metric}", params.threshold
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
