"""The Gaussian kernel, and permutations of two samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


def squared_distances(x: NDArray[Any], y: NDArray[Any]) -> Matrix:
    """Give squared distances `[n, m]` of points `[n, d]` and `[m, d]`."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    across: Matrix = x @ y.T
    across *= -2
    across += (x**2).sum(axis=1)[:, None]
    across += (y**2).sum(axis=1)[None, :]
    np.maximum(across, 0, out=across)
    return across


def bandwidth(squared: Matrix) -> float:
    """Give the kernel's width by the median heuristic, from squared distances `[n, n]`."""
    pairs = squared[np.triu_indices(len(squared), 1)]
    middle = float(np.median(pairs)) or float(pairs.mean())
    return (middle / 2) ** 0.5 or 1.0


def gaussian(squared: Matrix, width: float) -> Matrix:
    """Give the kernel of squared distances."""
    found: Matrix = np.exp(squared / (-2 * width**2))
    return found


def choices(rows: int, chosen: int, times: int, seed: int) -> Matrix:
    """Give marks `[rows, 1 + times]` of chosen rows: first the leading ones, then at random."""
    dice = np.random.default_rng(seed)
    marks = np.zeros((rows, 1 + times))
    marks[:chosen, 0] = 1
    for column in range(1, 1 + times):
        marks[dice.permutation(rows)[:chosen], column] = 1
    return marks


def chance(statistics: Matrix) -> float:
    """Give the p-value of the first of exchangeable statistics, itself counted."""
    return float((statistics >= statistics[0]).mean())
