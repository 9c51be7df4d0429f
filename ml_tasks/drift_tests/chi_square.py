"""Pearson's chi-square: whether categories are as frequent as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_tasks.drift_tests import apart, counts
from ml_tasks.drift_tests.counts import Categories
from ml_tasks.drift_tests.kept import DriftParams

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.drift_tests.kept import Kept, State, Told

SEES = "texts"
ENGINES = ("alibi-detect", "scipy")


class Params(DriftParams):
    """There are none."""


class Frequencies:
    """The test on one column of texts; each category that the reference lacks counts by itself."""

    def __init__(self, kind: str = "ChiSquareDrift", **words: Any) -> None:
        """Remember what alibi-detect calls it, and what to tell it."""
        self._kind, self._words = kind, words

    def against(self, column: Categories, values: NDArray[np.int64]) -> tuple[float, float]:
        """Give what scipy's `chi2_contingency` gives."""
        return counts.chi_square(column.table(values))

    def own(self, column: Categories, values: NDArray[np.int64]) -> float:
        """Take the part's counts away from the reference's."""
        table = column.table(values)
        table[0] -= table[1]
        return counts.chi_square(table)[0]

    def detector(self) -> tuple[str, dict[str, Any]]:
        """Give what alibi-detect calls it."""
        return self._kind, self._words


TESTS: dict[type, apart.Comparison] = {Categories: Frequencies()}


def fit(reference: pa.Table, told: Told) -> Kept:
    """Count each column of texts once."""
    return apart.fit(reference, told, TESTS)


def restore(state: State, told: Told, rows: int) -> Kept:
    """Make it again of what was saved."""
    return apart.restore(state, told, rows, TESTS)
