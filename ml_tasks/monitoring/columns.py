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
    import polars as pl

    if not names:
        return np.zeros((rows.num_rows, 0))
    frame = pl.DataFrame(pl.from_arrow(rows.select(list(names))))
    found: NDArray[np.float64] = frame.select(pl.all().cast(pl.Float64)).to_numpy()
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
        import polars as pl

        texts = pl.Series(rows[name]).cast(pl.String)
        codes = texts.replace_strict(
            pl.Series(self.words, dtype=pl.String),
            pl.int_range(1, self.null, eager=True),
            default=UNSEEN,
            return_dtype=pl.Int64,
        )
        found: NDArray[np.int64] = codes.to_numpy()
        return np.where(texts.is_null().to_numpy(), self.null, found)
