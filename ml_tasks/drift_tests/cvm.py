"""Cramér and von Mises: the mean squared distance between two distributions of numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_tasks.drift_tests import apart
from ml_tasks.drift_tests.empirical import Empirical, ties
from ml_tasks.drift_tests.kept import DriftParams

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.drift_tests.kept import Kept, State, Told

SEES = "numbers"
ENGINES = ("alibi-detect", "scipy")
SMALLEST_TERM = 1e-7
NEVER = 0.003
"""Below this the limit distribution has no mass that counts."""


class Params(DriftParams):
    """There are none."""


class Squared:
    """The test on one column of numbers."""

    def against(self, column: Empirical, values: NDArray[np.float64]) -> tuple[float, float]:
        """Give what scipy's `cramervonmises_2samp(method="asymptotic")` gives."""
        values = np.sort(values)
        first, last = ties(values)
        below, upto = column.around(values[first])
        tied = _cubes(np.diff(column.upto))
        statistic = _statistic(first, last, below, upto, tied, column.rows)
        return statistic, p_value(statistic, column.rows, len(values))

    def own(self, column: Empirical, values: NDArray[np.float64]) -> float:
        """Take the part's counts away from the reference's, value by value."""
        values = np.sort(values)
        first, last = ties(values)
        below, upto = column.around(values[first])
        both, alone = upto - below, (upto - last) - (below - first)
        tied = _cubes(np.diff(column.upto)) - _cubes(both) + _cubes(alone)
        return _statistic(first, last, below - first, upto - last, tied, column.rows - len(values))

    def detector(self) -> tuple[str, dict[str, Any]]:
        """Give what alibi-detect calls it."""
        return "CVMDrift", {}


TESTS: dict[type, apart.Comparison] = {Empirical: Squared()}


def fit(reference: pa.Table, told: Told) -> Kept:
    """Sort each column of numbers once."""
    return apart.fit(reference, told, TESTS)


def restore(state: State, told: Told, rows: int) -> Kept:
    """Make it again of what was saved."""
    return apart.restore(state, told, rows, TESTS)


def _statistic(
    first: NDArray[np.int64], last: NDArray[np.int64],
    below: NDArray[np.int64], upto: NDArray[np.int64], tied: float, rows: int,
) -> float:  # fmt: skip
    """Give T of Anderson (1962), eq. 9 and 10, with midranks for ties.

    Between two values of the window the reference's rows all have as many of the window's before
    them, so that only the window's own values are walked through.

    Args:
        first: By distinct value of the window: its rows below it.
        last: Its rows at or below it.
        below: The reference's rows below it.
        upto: The reference's rows at or below it.
        tied: Of the reference: what ties add to its squared ranks.
        rows: How many the reference has.
    """
    window = int(last[-1])
    between = np.append(below[1:], rows) - upto
    of_reference = (
        float((between * last.astype(float) ** 2).sum())
        + float(((upto - below) * ((first + last) / 2) ** 2).sum())
        + tied
    )
    of_window = float(((last - first) * ((below + upto) / 2) ** 2).sum()) + _cubes(last - first)
    product, total = float(rows) * window, rows + window
    ranks = rows * of_reference + window * of_window
    return ranks / (product * total) - (4 * product - 1) / (6 * total)


def _cubes(counts: NDArray[np.int64]) -> float:
    wide = counts[counts > 1].astype(float)
    return float((wide * (wide**2 - 1)).sum() / 12)


def p_value(statistic: float, rows: int, window: int) -> float:
    """Give the p-value by the limit distribution, moments matched as in Anderson (1962).

    Source: Csörgő and Faraway, The Exact and Asymptotic Distributions of Cramér-von Mises
    Statistics, Journal of the Royal Statistical Society B 58 (1996), eq. 1.3.
    """
    product, total = float(rows) * window, rows + window
    mean = (1 + 1 / total) / 6
    variance = (total + 1) * (4 * product * total - 3 * (rows**2 + window**2) - 2 * product)
    variance /= 45 * total**2 * 4 * product
    if variance <= 0:
        return 1.0
    scaled = 1 / 6 + (statistic - mean) / math.sqrt(45 * variance)
    return 1.0 if scaled < NEVER else max(0.0, 1.0 - _limit(scaled))


def _limit(x: float) -> float:
    from scipy.special import gammaln, kv

    total, k, term = 0.0, 0, 1.0
    while term >= SMALLEST_TERM:
        weight = math.exp(gammaln(k + 0.5) - gammaln(k + 1)) / (math.pi**1.5 * math.sqrt(x))
        q = (4 * k + 1) ** 2 / (16 * x)
        term = weight * math.sqrt(4 * k + 1) * math.exp(-q) * float(kv(0.25, q))
        total += term
        k += 1
    return total
