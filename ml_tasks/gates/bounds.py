"""The parameters that gates on one metric share."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, model_validator

from ml_tasks.config.metrics import LOWER_IS_BETTER, WITHIN_0_1
from ml_tasks.config.numbers import Real


class Bounds(BaseModel):
    """One metric and its bounds."""

    # Nothing is beyond a bound that is no number: such a gate would always pass.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: str
    minimum: Real | None = None
    maximum: Real | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Bounds:
        if self.minimum is None and self.maximum is None:
            raise ValueError("a minimum or a maximum: without a threshold nothing passes")
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        # Errors and losses, all of them, are 0 at best.
        least = 0 if self.metric in WITHIN_0_1 | LOWER_IS_BETTER else -math.inf
        most = 1 if self.metric in WITHIN_0_1 else math.inf
        if low > min(high, most) or high < least:
            raise ValueError(f"{self.metric} {self.threshold}: no value of it passes")
        return self

    @property
    def threshold(self) -> str:
        """What a value must keep to, in words."""
        return " and ".join(
            [f">= {self.minimum}"] * (self.minimum is not None)
            + [f"<= {self.maximum}"] * (self.maximum is not None)
        )
