"""One budget of false pages, and how signals and models share it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

EVEN = 0.3
"""Part of a budget that is shared evenly: no signal goes without."""


@dataclass(frozen=True, slots=True)
class Budget:
    """At most so many false pages in so many days, on average."""

    false_pages: float = 1.0
    days: float = 91.0

    def __post_init__(self) -> None:
        """Refuse what is no budget."""
        for name in ("false_pages", "days"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(
                    f"budget {name}: came {value}, wanted a number above 0, such as 1 page in "
                    "91 days"
                )

    def threshold(self, weight: float, looks_a_day: float = 1.0) -> float:
        """Give the level at which a signal with that part of the budget alarms."""
        return self.days * looks_a_day / (self.false_pages * weight)


def by_cost(costs: Mapping[str, float], even: float = EVEN) -> dict[str, float]:
    """Give weights that sum to 1: some to all evenly, the rest by what a signal's drift may cost.

    Args:
        costs: By signal, what the metric would lose at most; 0 or less counts as nothing.
        even: The part that is shared evenly.
    """
    if not costs:
        raise ConfigError("weights of a budget: came no signal, wanted one at least")
    worth = {name: max(cost, 0.0) for name, cost in costs.items()}
    total = math.fsum(worth.values())
    if total == 0:
        return dict.fromkeys(costs, 1 / len(costs))
    return {name: even / len(worth) + (1 - even) * cost / total for name, cost in worth.items()}
