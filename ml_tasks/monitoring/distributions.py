"""How a day's values are spread, in bins that the reference cuts once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.io.distributions import none

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.result import Window

    Numbers = NDArray[np.float64]
    Row = tuple[str, str, float | None, float | None, str | None, int]
    """Column, of what, edges, word, number of rows."""

PARTS = 10
"""Into so many parts of equal size a column of numbers is cut."""
WORDS = 20
"""So many of a column's texts are told apart, the most frequent ones; the rest are one more."""
FILE = "bins.json"
COUNTED = ("column", "of", "low", "high", "value", "count")


@dataclass(frozen=True, slots=True)
class Bins:
    """Where the reference cuts its columns, and how its own rows are spread."""

    edges: dict[str, tuple[float, ...]]
    """By column of numbers, ascending; each bin ends just below the edge that the next begins at,
    and the first and the last are open."""
    words: dict[str, tuple[str, ...]]
    """By column of texts, the most frequent first."""
    usual: dict[str, tuple[float, ...]]
    """By column: the share of the reference's rows in each bin."""

    def spread(self, rows: pl.DataFrame, version: str, window: Window) -> pl.DataFrame:
        """Give a window's distributions, day by day, as the lake keeps them.

        Args:
            rows: What a version took in and predicted in the window.
            version: Which.
            window: Where a day begins before it, its part in the window begins with it.
        """
        import polars as pl

        empty = none()
        days, usual = rows["event_time"].dt.truncate("1d"), [*chain(*self.usual.values())]
        found = [empty]
        for day in days.unique().sort():
            own = rows.filter(days == day)
            counted = pl.DataFrame(
                list(self._counted(own)), schema=COUNTED, orient="row", infer_schema_length=None
            )
            told = counted.with_columns(
                pl.lit(max(day, window.start)).alias("event_time"),
                pl.lit(version).alias("version"),
                (pl.col("count") / own.height).alias("share"),
                pl.Series("usual", usual, pl.Float64),
            )
            found.append(told.select(pl.col(n).cast(of) for n, of in empty.schema.items()))
        return pl.concat(found)

    def save(self, folder: Path) -> None:
        """Keep it as JSON."""
        (folder / FILE).write_text(f"{json.dumps(asdict(self), indent=2, ensure_ascii=False)}\n")

    @classmethod
    def load(cls, folder: Path) -> Bins:
        """Read what `save` wrote."""
        told = json.loads((folder / FILE).read_text())
        return cls(
            *(
                {name: tuple(values) for name, values in told[part].items()}
                for part in ("edges", "words", "usual")
            )
        )

    def _counted(self, rows: pl.DataFrame) -> Iterator[Row]:
        for name, edges in self.edges.items():
            yield from _numbers(rows[name], edges)
        for name, words in self.words.items():
            yield from _texts(rows[name], words)


def fit(rows: pl.DataFrame, numeric: Sequence[str], categorical: Sequence[str]) -> Bins:
    """Cut the columns of a reference."""
    bins = Bins(
        {name: _edges(_values(rows[name])) for name in numeric},
        {name: _frequent(rows[name]) for name in categorical},
        {},
    )
    for name, _of, _low, _high, _value, count in bins._counted(rows):
        bins.usual[name] = (*bins.usual.get(name, ()), count / rows.height)
    return bins


def _numbers(column: pl.Series, edges: tuple[float, ...]) -> Iterator[Row]:
    values = _values(column)
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    bounds = (None, *edges, None)
    for place, count in enumerate(counts.tolist()):
        yield column.name, "bin", bounds[place], bounds[place + 1], None, count
    yield column.name, "missing", None, None, None, len(column) - len(values)


def _texts(column: pl.Series, words: tuple[str, ...]) -> Iterator[Row]:
    import polars as pl

    texts = column.cast(pl.String).drop_nulls()
    counts = dict(texts.value_counts().iter_rows())
    for word in words:
        yield column.name, "word", None, None, word, counts.pop(word, 0)
    yield column.name, "others", None, None, None, sum(counts.values())
    yield column.name, "missing", None, None, None, len(column) - len(texts)


def _values(column: pl.Series) -> Numbers:
    """Give the finite numbers of a column."""
    import polars as pl

    values = column.cast(pl.Float64).drop_nulls().to_numpy()
    finite: Numbers = values[np.isfinite(values)]
    return finite


def _edges(values: Numbers) -> tuple[float, ...]:
    """Cut numbers into parts of equal size; where one number is most of them, the others too."""
    if not len(values):
        return ()
    places = np.arange(1, PARTS) / PARTS
    found = np.quantile(values, places, method="inverted_cdf")
    if len(np.unique(found)) < len(found):
        rest = np.quantile(np.unique(values), places, method="inverted_cdf")
        found = np.concatenate([found, rest])
    return tuple(np.unique(found).tolist())


def _frequent(column: pl.Series) -> tuple[str, ...]:
    import polars as pl

    counts = column.cast(pl.String).drop_nulls().value_counts()
    most = counts.sort("count", column.name, descending=[True, False]).head(WORDS)
    return tuple(most[column.name].to_list())
