"""What every kind of model can be told."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ml_tasks.config.numbers import Real


class ModelParams(BaseModel):
    """Base of each kind's own parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    average: Real = Field(ge=0, lt=1, default=0.0)
    """How much of the running mean of the weights a step keeps; that mean is the model."""
