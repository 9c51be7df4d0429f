"""No segment may fall below a minimum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from ml_tasks.gates.verdict import Judgement

if TYPE_CHECKING:
    from ml_tasks.gates.verdict import Measured


class Params(BaseModel):
    """Which metric, its minimum, and how many rows a segment needs to count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    minimum: float
    min_rows: int = Field(gt=0, default=300)


def judge(measured: Measured, params: Params) -> Judgement:
    """Hold the worst segment's point estimate against the minimum.

    A segment with enough rows and no finite value does not pass; without any segment that has
    enough rows nothing was shown, which does not pass either.
    """
    gate, threshold = f"worst_segment {params.metric}", f">= {params.minimum}"
    counted = [s for s in measured.segments if s.rows >= params.min_rows]
    values = {s.name: s.metrics[params.metric] for s in counted if params.metric in s.metrics}
    blank = [s.name for s in counted if s.name not in values]
    blank += [name for name, found in values.items() if not math.isfinite(found.value)]
    if blank or not values:
        what = f"{params.metric} was not measured on {blank}" if blank else "no segment counts"
        return Judgement(gate=gate, passed=False, measured=None, threshold=threshold, evidence=what)
    name, worst = min(values.items(), key=lambda item: (item[1].value, item[0]))
    return Judgement(
        gate=gate,
        passed=worst.value >= params.minimum,
        measured=worst.value,
        threshold=threshold,
        interval=(worst.low, worst.high),
        evidence=f"worst of {len(values)} segments is {name} with {worst.value:.4f}",
    )
