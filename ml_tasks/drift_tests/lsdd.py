"""Least-squares density difference: how far two densities are apart, without either of them.

Source: Sugiyama, Kanamori, Suzuki, du Plessis, Liu and Takeuchi, Density-Difference Estimation,
Neural Computation 25 (2013); the choice of lambda: Bu, Alippi and Zhao, A pdf-Free Change Detection
Test Based on Density Difference Estimation, IEEE TNNLS 29 (2018), appendix A.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.drift_tests import alibi, kernel, together

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.drift_tests.kept import Engine, Kept, State, Told

    Matrix = NDArray[np.float64]

SEES = "table"
ENGINES = ("alibi-detect", "scipy")
LEAST_ROWS = 40
CENTRES = 20
"""One row of the reference in so many is a centre of the kernel."""
LAMBDAS = tuple(4.0**-power for power in range(10))
TOLERATED = 0.2
"""By so much lambda may make two estimates of the difference differ, relatively."""


class Params(together.PermutedParams):
    """How many rows are compared, and how often they are permuted."""


def compare(
    reference: NDArray[np.float32], window: NDArray[np.float32], params: Params, engine: Engine,
    *, alone: bool,  # noqa: ARG001 - lambda is chosen by the permutations
) -> tuple[float, float | None]:  # fmt: skip
    """Give the difference, up to a factor that the kernel's width sets, and its p-value."""
    if engine == "alibi-detect":
        words = {
            "backend": "pytorch", "device": "cpu", "n_permutations": params.permutations,
        }  # fmt: skip
        return alibi.score("LSDDDrift", reference, window, words, params.seed)
    mean, spread = reference.mean(axis=0), reference.std(axis=0) + 1e-12
    x, y = (reference - mean) / spread, (window - mean) / spread
    width = kernel.bandwidth(kernel.squared_distances(x, x))
    order = np.random.default_rng(params.seed).permutation(len(x))
    count = len(x) // CENTRES
    centres, x = x[order[:count]], x[order[count:]]
    similar = kernel.gaussian(kernel.squared_distances(np.concatenate([x, y]), centres), width)
    centre = kernel.gaussian(kernel.squared_distances(centres, centres), 2**0.5 * width)
    marks = kernel.choices(len(similar), len(x), params.permutations, params.seed)
    means = similar.T @ marks / len(x) - similar.T @ (1 - marks) / len(y)
    found = _differences(means, centre)
    return float(found[0]), kernel.chance(found)


def _differences(means: Matrix, centre: Matrix) -> Matrix:
    """Give the difference of each permutation.

    Args:
        means: Mean similarity of one sample to each centre less the other's `[centres, times]`.
        centre: The centres' similarity at twice the squared width.
    """
    for weight in LAMBDAS:
        inverse = np.linalg.inv(centre + weight * np.eye(len(centre)))
        solved = inverse @ means
        linear = (means * solved).sum(axis=0)
        square = (solved * (centre @ solved)).sum(axis=0)
        lost = np.divide(linear - square, linear, out=np.zeros_like(linear), where=linear > 0)
        if lost[1:].mean() < TOLERATED:
            break
    found: Matrix = 2 * linear - square
    return found


def fit(reference: pa.Table, told: Told) -> Kept:
    """Draw a sample of rows."""
    return together.fit(reference, told, compare, LEAST_ROWS)


def restore(state: State, told: Told, rows: int) -> Kept:
    """Make it again of what was saved."""
    return together.restore(state, told, rows, compare, LEAST_ROWS)
