"""The parameters that gates on one metric share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, model_validator

from ml_tasks.config.metrics import SHARES
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
        low, high = self.minimum or 0, 1 if self.maximum is None else self.maximum
        if self.metric in SHARES and (low > 1 or high < 0):
            raise ValueError(
                f"{self.metric} {self.threshold}: it lies between 0 and 1, so that nothing passes"
            )
        return self

    @property
    def threshold(self) -> str:
        """What a value must keep to, in words."""
        return " and ".join(
            [f">= {self.minimum}"] * (self.minimum is not None)
            + [f"<= {self.maximum}"] * (self.maximum is not None)
        )
