"""Columns of a table as arrays: numbers with gaps, texts as codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

UNSEEN = 0
"""Code of a text that the reference does not have."""


def numbers(rows: pa.Table, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Give numeric columns `[n, k]`; null and infinity become NaN, as for the models."""
    found = np.empty((rows.num_rows, len(names)))
    for place, name in enumerate(names):
        found[:, place] = rows[name].cast("float64", safe=False).to_numpy()
    return np.where(np.isfinite(found), found, np.nan)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The texts of one column, sorted; the first has code 1, and null comes after the last."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, rows: pa.Table, name: str) -> Vocabulary:
        """Learn the texts of a column."""
        import polars as pl

        texts = pl.Series(rows[name]).cast(pl.String)
        return cls(tuple(texts.drop_nulls().unique().sort().to_list()))

    @property
    def null(self) -> int:
        """Code of null."""
        return len(self.words) + 1

    def codes(self, rows: pa.Table, name: str) -> NDArray[np.int64]:
        """Give a column as codes `[n]`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        texts = rows[name].cast(pa.string())
        known = pc.index_in(texts, pa.array(self.words, pa.string()))
        codes: NDArray[np.int64] = pc.add(known, 1).fill_null(UNSEEN).to_numpy().astype(np.int64)
        return np.where(texts.is_null().to_numpy(), self.null, codes)
