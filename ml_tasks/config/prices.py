"""What computing costs: prices by type of node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from ml_tasks.config.numbers import Real

if TYPE_CHECKING:
    from ml_tasks.config.pipeline import TaskResources

NODE_TYPE = "node.kubernetes.io/instance-type"
"""The label by which a task's `node_selector` says what it runs on."""
HOUR = 3600
Amount = Annotated[Real, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Price(_Section):
    """What a task pays for an hour of what it asked for."""

    cpu_hour: Amount
    memory_gb_hour: Amount
    gpu_hour: Amount = 0.0
    spot_factor: Real = Field(gt=0, le=1, default=1.0)
    """What all of it is multiplied by where the task may run on spot nodes."""


class Prices(_Section):
    """Prices of all types of nodes."""

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    """Three letters of ISO 4217; XXX for figures that are nobody's."""
    default: Price
    """For tasks whose `node_selector` names no type, or none of those below."""
    node_types: dict[str, Price] = {}
    """By the value of the label `node.kubernetes.io/instance-type`."""

    def amount(self, given: TaskResources, seconds: float) -> float:
        """Give the price of what a task was given, for a time.

        Args:
            given: What one pod was given.
            seconds: How long, summed over all its pods.
        """
        price = self.node_types.get(given.node_selector.get(NODE_TYPE, ""), self.default)
        hourly = (
            given.cpus * price.cpu_hour
            + given.memory_gb * price.memory_gb_hour
            + given.gpus * price.gpu_hour
        )
        return hourly * (price.spot_factor if given.spot else 1.0) * seconds / HOUR
