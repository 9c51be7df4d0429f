"""All signals of a version under its part of the budget: which day is an alarm, and of what."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.monitoring import alarms
from ml_tasks.monitoring.budget import Budget, by_cost
from ml_tasks.monitoring.reference import (
    ESTIMATED,
    LABEL,
    OUTLIERS,
    PREDICTION,
    REALISED,
    TRUTH,
    aligned,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_tasks.monitoring.alarms import Update
    from ml_tasks.monitoring.reference import Reference

    Costs = Mapping[str, float | None]
    Look = tuple[Mapping[str, float], Costs]
    """A day's statistics by signal, and what each costs."""

PARTS = {REALISED: 0.5, ESTIMATED: 0.2, PREDICTION: 0.2, LABEL: 0.1, OUTLIERS: 0.1}
"""What signals that are no input are worth beside all inputs together."""


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals of a reference, what each may cost, and which wait for labels."""

    inputs: tuple[str, ...]
    truth: tuple[str, ...]
    weights: dict[str, float]

    @classmethod
    def of(cls, reference: Reference) -> Signals:
        """Share the budget out by what each signal's drift may cost."""
        about, importance = reference.about.about, reference.about.importance
        inputs, often = math.fsum(importance.values()) or 1.0, Counter(about.values())
        costs = {
            name: (importance[of] if of in importance else inputs * PARTS[of]) / often[of]
            for name, of in about.items()
        }
        return cls(
            tuple(name for name in sorted(about) if about[name] not in TRUTH),
            tuple(name for name in sorted(about) if about[name] in TRUTH),
            by_cost(costs),
        )


def follow(
    reference: Reference,
    names: Sequence[str],
    weights: Mapping[str, float],
    looks: Sequence[Look],
    *,
    floor: float,
) -> list[Update]:
    """Take all looks at some signals, oldest first, and give what each has changed.

    Args:
        reference: Whose own days the looks are ranked among.
        names: Which signals.
        weights: By signal, its part of the budget.
        looks: By day.
        floor: Estimated cost below which an alarm wakes nobody.
    """
    part = Budget(*reference.about.budget)
    watch = alarms.begin(aligned(reference.about.own, names), weights, part, floor)
    own = frozenset(names)
    taken = [
        (
            {n: v for n, v in statistics.items() if n in own and math.isfinite(v)},
            {n: math.inf if cost is None else cost for n, cost in costs.items()},
        )
        for statistics, costs in looks
    ]
    return list(alarms.replay(watch, taken)[1])
