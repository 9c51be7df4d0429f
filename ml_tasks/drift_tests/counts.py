"""A reference's categories, counted once, and tests on counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """The reference's vocabulary, sorted, and how many rows have each of its words."""

    words: tuple[str, ...]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, texts: pa.Array) -> Categories:
        """Count texts; nulls are left out."""
        found = texts.drop_null().value_counts()
        values, counts = found.field("values"), found.field("counts")
        order = np.argsort(np.asarray(values.to_pylist(), dtype=np.str_), kind="stable")
        words = tuple(values.take(pa.array(order)).to_pylist())
        return cls(words, counts.to_numpy().astype(np.int64)[order])

    @property
    def rows(self) -> int:
        """How many texts there are."""
        return int(self.counts.sum())

    def expanded(self) -> NDArray[np.int64]:
        """Give the codes of all rows, sorted."""
        return np.repeat(np.arange(len(self.words)), self.counts)

    def table(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give counts of reference and window by category `[2, k]`, unseen ones included."""
        counted = np.bincount(codes, minlength=len(self.words))
        kept = np.zeros_like(counted)
        kept[: len(self.words)] = self.counts
        return np.stack([kept, counted])


def chi_square(table: NDArray[np.int64]) -> tuple[float, float]:
    """Give Pearson's statistic and p-value of counts `[2, k]`, with Yates' correction for two.

    As `scipy.stats.chi2_contingency` by default; categories that nobody has are left out.
    """
    from scipy.special import chdtrc

    table = table[:, table.sum(axis=0) > 0]
    free = table.shape[1] - 1
    if not free:
        return 0.0, 1.0
    expected = table.sum(axis=1, keepdims=True) * (table.sum(axis=0) / table.sum())
    off = np.abs(table - expected)
    if free == 1:
        off = off - np.minimum(0.5, off)
    statistic = float((off**2 / expected).sum())
    return statistic, float(chdtrc(free, statistic))


def shares(one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float]:
    """Give how far two shares are apart, and the p-value of Pearson's test with 1 degree.

    Args:
        one: How many of how many rows; there is at least one.
        other: The same of other rows.
    """
    from scipy.special import chdtrc

    (some, rows), (others, all_) = one, other
    apart = some / rows - others / all_
    pooled = (some + others) / (rows + all_)
    if not 0 < pooled < 1:
        return 0.0, 1.0
    statistic = apart**2 / (pooled * (1 - pooled) * (1 / rows + 1 / all_))
    return abs(apart), float(chdtrc(1, statistic))
