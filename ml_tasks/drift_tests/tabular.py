"""Both kinds of columns: numbers by Kolmogorov and Smirnov, texts by chi-square."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_tasks.drift_tests import apart
from ml_tasks.drift_tests.chi_square import Frequencies
from ml_tasks.drift_tests.counts import Categories
from ml_tasks.drift_tests.empirical import Empirical
from ml_tasks.drift_tests.kept import DriftParams
from ml_tasks.drift_tests.ks import Largest

if TYPE_CHECKING:
    import pyarrow as pa

    from ml_tasks.drift_tests.kept import Kept, State, Told

SEES = "table"
ENGINES = ("alibi-detect", "scipy")


class Params(DriftParams):
    """There are none."""


class Numbers(Largest):
    """The test on a column of numbers, as alibi-detect's `TabularDrift` has it."""

    def detector(self) -> tuple[str, dict[str, Any]]:
        """Give what alibi-detect calls it."""
        return "TabularDrift", {"categories_per_feature": {}}


TESTS: dict[type, apart.Comparison] = {
    Empirical: Numbers(),
    Categories: Frequencies("TabularDrift", categories_per_feature={0: None}),
}


def fit(reference: pa.Table, told: Told) -> Kept:
    """Sort columns of numbers once, count columns of texts once."""
    return apart.fit(reference, told, TESTS)


def restore(state: State, told: Told, rows: int) -> Kept:
    """Make it again of what was saved."""
    return apart.restore(state, told, rows, TESTS)
