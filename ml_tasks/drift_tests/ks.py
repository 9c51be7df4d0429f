"""Kolmogorov and Smirnov: the largest distance between two distributions of numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ml_tasks.drift_tests import apart
from ml_tasks.drift_tests.empirical import Empirical
from ml_tasks.drift_tests.kept import DriftParams

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.drift_tests.kept import Kept, State, Told

SEES = "numbers"
ENGINES = ("alibi-detect", "scipy")
MANY, FAR = 5_000, 2.2
"""From so many rows and so large a squared distance on, scipy sums as many terms as there are rows:
40 ms for 50,000 of them."""


class Params(DriftParams):
    """There are none."""


class Largest:
    """The test on one column of numbers."""

    def against(self, column: Empirical, values: NDArray[np.float64]) -> tuple[float, float]:
        """Give the distance, and its p-value as scipy's `ks_2samp(method="asymp")` has it."""
        statistic, rows, others = column.distance(values), len(values), column.rows
        return statistic, p_value(statistic, round(rows * others / (rows + others)))

    def own(self, column: Empirical, values: NDArray[np.float64]) -> float:
        """Give the distance between a part and its rest.

        The reference lies between both, so that they are as many times farther apart as all
        rows are more than the rest's.
        """
        return column.distance(values) * column.rows / (column.rows - len(values))

    def detector(self) -> tuple[str, dict[str, Any]]:
        """Give what alibi-detect calls it."""
        return "KSDrift", {}


def p_value(distance: float, rows: int) -> float:
    """Give the chance of a distance at least as large, as scipy's `kstwo.sf` has it.

    Where scipy takes twice the one-sided chance, of many rows its expansion is as good to 5e-10.

    Source: Lauwerier, The Asymptotic Expansion of the Statistical Distribution of N. V. Smirnov,
    Zeitschrift für Wahrscheinlichkeitstheorie 2 (1963).

    Args:
        distance: The largest between both distribution functions.
        rows: How many one sample would have that says as much as both.
    """
    from scipy.stats import kstwo

    squared = rows * distance**2
    if not rows:
        return 1.0
    if rows < MANY or squared < FAR:
        return min(max(float(kstwo.sf(distance, rows)), 0.0), 1.0)
    root, z = math.sqrt(rows), math.sqrt(squared)
    series = (
        1
        - 2 * z / (3 * root)
        + 2 * squared / (3 * rows) * (1 - 2 * squared / 3)
        + 4 * z / (9 * rows * root) * (1 / 5 - 19 * squared / 15 + 2 * squared**2 / 3)
    )
    return max(0.0, 2 * math.exp(-2 * squared) * series)


TESTS: dict[type, apart.Comparison] = {Empirical: Largest()}


def fit(reference: pa.Table, told: Told) -> Kept:
    """Sort each column of numbers once."""
    return apart.fit(reference, told, TESTS)


def restore(state: State, told: Told, rows: int) -> Kept:
    """Make it again of what was saved."""
    return apart.restore(state, told, rows, TESTS)
