"""Train when the champion is worse than it was when it was judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml_tasks.config.numbers import Count, Real
from ml_tasks.policies.evidence import Wish

if TYPE_CHECKING:
    from ml_tasks.policies.evidence import Evidence


class Params(BaseModel):
    """How much worse, over how many windows, by truth or by estimate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["realised", "estimated"] = "realised"
    windows: Count = Field(gt=0, default=2)
    """So many windows in a row are looked at together, by their rows."""
    drop: Real = Field(ge=0, default=0.01)
    """Of the metric, below its value on the champion's own test range."""


def wish(evidence: Evidence, params: Params) -> Wish | None:
    """Want a training where the last windows are worse by so much, and by more than their error."""
    known = evidence.realised if params.kind == "realised" else evidence.estimated
    last = known[-params.windows :]
    if len(last) < params.windows:
        return None
    values = np.array([one.value for one in last])
    errors = np.array([one.error for one in last])
    shares = np.array([one.rows for one in last], float) / sum(one.rows for one in last)
    lost = evidence.loss(float(shares @ values))
    noise = float(np.hypot(np.sqrt(np.sum((shares * errors) ** 2)), evidence.reference.error))
    if not (lost > params.drop and lost > noise):  # nothing is more than noise that is not known
        return None
    return Wish(
        "performance",
        f"{params.kind} {evidence.metric} {shares @ values:.4f} over {len(last)} windows, "
        f"{evidence.reference.value:.4f} when it was judged",
        lost,
    )
