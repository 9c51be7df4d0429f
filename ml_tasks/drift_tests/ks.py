"""Kolmogorov and Smirnov: the largest distance between two distributions of numbers."""

from __future__ import annotations

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


class Params(DriftParams):
    """There are none."""


class Largest:
    """The test on one column of numbers."""

    def against(self, column: Empirical, values: NDArray[np.float64]) -> tuple[float, float]:
        """Give the distance, and its p-value as scipy's `ks_2samp(method="asymp")` has it."""
        from scipy.stats import kstwo

        statistic, rows, others = column.distance(values), len(values), column.rows
        effective = round(rows * others / (rows + others))
        p_value = float(kstwo.sf(statistic, effective)) if effective else 1.0
        return statistic, min(max(p_value, 0.0), 1.0)

    def own(self, column: Empirical, values: NDArray[np.float64]) -> float:
        """Give the distance between a part and its rest.

        The reference lies between both, so that they are as many times farther apart as all
        rows are more than the rest's.
        """
        return column.distance(values) * column.rows / (column.rows - len(values))

    def detector(self) -> tuple[str, dict[str, Any]]:
        """Give what alibi-detect calls it."""
        return "KSDrift", {}


TESTS: dict[type, apart.Comparison] = {Empirical: Largest()}


def fit(reference: pa.Table, told: Told) -> Kept:
    """Sort each column of numbers once."""
    return apart.fit(reference, told, TESTS)


def restore(state: State, told: Told, rows: int) -> Kept:
    """Make it again of what was saved."""
    return apart.restore(state, told, rows, TESTS)
