"""Maximum mean discrepancy: any difference between two samples of rows, by a kernel.

Source: Gretton, Borgwardt, Rasch, Schölkopf and Smola, A Kernel Two-Sample Test, Journal of
Machine Learning Research 13 (2012), eq. 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.drift_tests import alibi, kernel, together

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.drift_tests.kept import Engine, Kept, State, Told

SEES = "table"
ENGINES = ("alibi-detect", "scipy")
LEAST_ROWS = 3


class Params(together.PermutedParams):
    """How many rows are compared, and how often they are permuted."""


def compare(
    reference: NDArray[np.float32], window: NDArray[np.float32], params: Params, engine: Engine,
    *, alone: bool,
) -> tuple[float, float | None]:  # fmt: skip
    """Give the unbiased squared discrepancy, and its p-value by permutation of rows."""
    times = 0 if alone else params.permutations
    if engine == "alibi-detect":
        words = {"backend": "pytorch", "device": "cpu", "n_permutations": max(times, 1)}
        statistic, p_value = alibi.score("MMDDrift", reference, window, words, params.seed)
        return statistic, None if alone else p_value
    points = np.concatenate([reference, window])
    squared = kernel.squared_distances(points, points)
    width = kernel.bandwidth(squared[: len(reference), : len(reference)])
    similar = kernel.gaussian(squared, width)
    np.fill_diagonal(similar, 0)
    marks = kernel.choices(len(points), len(reference), times, params.seed)
    found = _discrepancies(similar, marks)
    return float(found[0]), None if alone else kernel.chance(found)


def _discrepancies(similar: NDArray[np.float64], marks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the squared discrepancy of each choice of rows; no row is compared with itself."""
    n = marks[:, 0].sum()
    m = len(marks) - n
    within = (marks * (similar @ marks)).sum(axis=0)
    touching = similar.sum(axis=1) @ marks
    across, beyond = touching - within, similar.sum() - 2 * touching + within
    found: NDArray[np.float64] = (
        within / (n * (n - 1)) + beyond / (m * (m - 1)) - 2 * across / (n * m)
    )
    return found


def fit(reference: pa.Table, told: Told) -> Kept:
    """Draw a sample of rows."""
    return together.fit(reference, told, compare, LEAST_ROWS)


def restore(state: State, told: Told, rows: int) -> Kept:
    """Make it again of what was saved."""
    return together.restore(state, told, rows, compare, LEAST_ROWS)
