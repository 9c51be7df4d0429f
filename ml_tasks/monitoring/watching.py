"""All signals of a version under its part of the budget: which day is an alarm, and of what."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.monitoring import alarms, budget
from ml_tasks.monitoring.reference import LABEL, LABEL_TEST, OUTLIERS, PREDICTION, aligned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_tasks.monitoring.alarms import Update
    from ml_tasks.monitoring.budget import Budget
    from ml_tasks.monitoring.reference import Reference

    Costs = Mapping[str, float | None]
    Look = tuple[Mapping[str, float], Costs]
    """A day's statistics by signal, and what each costs."""

PARTS = {"realised": 1.0, "estimated": 0.5, PREDICTION: 0.5, LABEL: 0.25, OUTLIERS: 0.25}
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
        known = sorted(reference.about.own)
        truth = tuple(name for name in known if _waits(name))
        column = {name: column_of(name, reference) for name in known}
        inputs = math.fsum(reference.about.importance.values()) or 1.0
        shared = {c: list(column.values()).count(c) for c in set(column.values())}
        costs = {
            name: (
                reference.about.importance.get(of, 0.0)
                if of in reference.about.importance
                else inputs * PARTS[of]
            )
            / shared[of]
            for name, of in column.items()
        }
        return cls(tuple(name for name in known if name not in truth), truth, budget.by_cost(costs))


def column_of(signal: str, reference: Reference) -> str:
    """Give the input that a signal is about, or which of the other things it is."""
    first, _, rest = signal.partition(" ")
    if first in PARTS:
        return first
    of = rest.removesuffix(" missing")
    return of if of in reference.about.importance or of in PARTS else PREDICTION


def _waits(signal: str) -> bool:
    return signal.startswith(("realised ", f"{LABEL_TEST} {LABEL}"))


def follow(
    reference: Reference,
    names: Sequence[str],
    weights: Mapping[str, float],
    part: Budget,
    looks: Sequence[Look],
    *,
    floor: float,
) -> list[Update]:
    """Take all looks at some signals, oldest first, and give what each has changed.

    Args:
        reference: Whose own days the looks are ranked among.
        names: Which signals.
        weights: By signal, its part of the budget.
        part: The version's part of the owner's budget.
        looks: By day.
        floor: Estimated cost below which an alarm wakes nobody.
    """
    watch = alarms.begin(aligned(reference.about.own, names), weights, part, floor)
    taken = [
        (
            {n: v for n, v in statistics.items() if n in names and math.isfinite(v)},
            {n: math.inf if cost is None else cost for n, cost in costs.items()},
        )
        for statistics, costs in looks
    ]
    return list(alarms.replay(watch, taken)[1])
