"""How odd each row is beside the reference: ECOD.

Source: Li et al., ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution
Functions, IEEE Transactions on Knowledge and Data Engineering 35 (2023), arXiv:2201.00382. A row's
score is the sum over columns of -log of the share of rows that are at least as far out, itself
included. As in its authors' own implementation (PyOD) the farther tail is taken column by column,
so that columns add up to the score. Columns are looked at one by one: values that are odd only
together are not seen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml_tasks.drift_tests.empirical import Empirical
from ml_tasks.monitoring.columns import Vocabulary, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


class Params(BaseModel):
    """How it is fitted."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    quantile: float = Field(gt=0, lt=1, default=0.99)
    """Share of the reference's rows that are no outliers."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How odd rows are."""

    columns: tuple[str, ...]
    parts: Numbers
    """What each column adds to each row's score `[n, columns]`."""
    threshold: float

    @property
    def score(self) -> Numbers:
        """Each row's score `[n]`."""
        found: Numbers = self.parts.sum(axis=1)
        return found

    @property
    def times(self) -> Numbers:
        """Each row's score as a multiple of the threshold: above 1 it is an outlier `[n]`."""
        beyond = np.where(self.score > 0, np.inf, 0.0)
        return np.divide(self.score, self.threshold, out=beyond, where=self.threshold > 0)

    @property
    def outliers(self) -> NDArray[np.bool_]:
        """Which rows are beyond the threshold `[n]`."""
        return self.score > self.threshold

    @property
    def culprit(self) -> str:
        """The column that outliers stand out by, beside the other rows; none without outliers."""
        odd = self.outliers
        if not odd.any():
            return ""
        usual = self.parts[~odd].mean(axis=0) if not odd.all() else 0.0
        return self.columns[int((self.parts[odd].mean(axis=0) - usual).argmax())]


@dataclass(frozen=True, slots=True)
class Ecod:
    """What is kept of a reference."""

    rows: int
    numeric: dict[str, Empirical]
    """By column: its values."""
    categorical: dict[str, tuple[Vocabulary, NDArray[np.int64]]]
    """By column: its texts, and in how many rows each code is."""
    threshold: float

    def score(self, rows: pa.Table) -> Scores:
        """Score rows that hold the columns of the reference.

        A missing value is as odd as it is rare in the reference, and the share of values that are
        there counts towards those that are. A text is as odd as the rows are few whose text is as
        rare as it or rarer; one that was never seen is as rare as what was seen once.
        """
        columns = tuple(self.numeric), tuple(self.categorical)
        found = numbers(rows, columns[0])
        parts = [
            _far(_ranks(values, found[:, place]), self.rows)
            for place, values in enumerate(self.numeric.values())
        ]
        parts += [
            _text(counts, words.codes(rows, name), self.rows)
            for name, (words, counts) in self.categorical.items()
        ]
        return Scores(columns[0] + columns[1], np.stack(parts, axis=1), self.threshold)

    def save(self, folder: Path) -> None:
        """Keep it in two files; equal references give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        counts = [found for _words, found in self.categorical.values()]
        arrays: dict[str, NDArray[np.generic]] = {}
        for i, one in enumerate(self.numeric.values()):
            arrays |= {f"numeric_{i}": one.values, f"upto_{i}": one.upto}
        arrays |= {f"categorical_{i}": found for i, found in enumerate(counts)}
        # The stubs hold a name of an array for the keyword that lets arrays be pickled.
        np.savez(folder / "outliers.npz", **arrays)  # type: ignore[arg-type]
        about = {
            "rows": self.rows,
            "numeric": list(self.numeric),
            "categorical": {name: words.words for name, (words, _) in self.categorical.items()},
            "threshold": self.threshold,
        }
        (folder / "outliers.json").write_text(f"{json.dumps(about, indent=2)}\n")

    @classmethod
    def load(cls, folder: Path) -> Ecod:
        """Read what `save` wrote."""
        about = json.loads((folder / "outliers.json").read_text())
        with np.load(folder / "outliers.npz", allow_pickle=False) as arrays:
            return cls(
                about["rows"],
                {
                    name: _kept(arrays[f"numeric_{i}"], arrays.get(f"upto_{i}"))
                    for i, name in enumerate(about["numeric"])
                },
                {
                    name: (Vocabulary(tuple(words)), arrays[f"categorical_{i}"])
                    for i, (name, words) in enumerate(about["categorical"].items())
                },
                about["threshold"],
            )


def fit(
    rows: pa.Table,
    *,
    numeric: tuple[str, ...],
    categorical: tuple[str, ...] = (),
    params: Params | None = None,
) -> Ecod:
    """Learn the columns of a reference, and from which score on a row is an outlier.

    The reference's own scores are what each row would have beside all others, so that new rows
    that are like them are outliers as often as they.

    Args:
        rows: The reference.
        numeric: Which columns are numbers.
        categorical: Which are texts; null is a text of its own.
        params: How.
    """
    told = params or Params()
    found = numbers(rows, numeric)
    values = {name: _counted(found[:, place]) for place, name in enumerate(numeric)}
    words = {name: Vocabulary.of(rows, name) for name in categorical}
    counts = {
        name: np.bincount(one.codes(rows, name), minlength=one.null + 1)
        for name, one in words.items()
    }
    # Beside all others a row counts once: less the one that scoring adds for itself.
    n = rows.num_rows
    ranks = (_ranks(v, found[:, place]) for place, v in enumerate(values.values()))
    parts = [_far(one, n, own=1) for one in ranks]
    parts += [_text(counts[name], words[name].codes(rows, name), n, own=1) for name in words]
    return Ecod(
        n,
        values,
        {name: (words[name], counts[name]) for name in words},
        float(np.quantile(np.sum(parts, axis=0), told.quantile, method="higher")),
    )


def own_days(
    kept: Ecod, rows: pa.Table, days: NDArray[np.generic]
) -> Iterator[tuple[object, Scores]]:
    """Give the scores of each day of the reference, beside all its other days.

    Args:
        kept: What was fitted with exactly these rows.
        rows: The reference.
        days: Day of each row `[n]`.
    """
    names, index = np.unique(days, return_inverse=True)
    found = numbers(rows, tuple(kept.numeric))
    codes = {name: words.codes(rows, name) for name, (words, _) in kept.categorical.items()}
    # Counted once beside all rows: beside the others it is less those of the day itself.
    whole = [_ranks(v, found[:, place]) for place, v in enumerate(kept.numeric.values())]
    for place, day in enumerate(names.tolist()):
        inside = np.flatnonzero(index == place)
        others, asked = kept.rows - len(inside), found[inside]
        parts = [
            _far(_without(_some(ranks, inside), _ranks(_counted(own), own)), others)
            for ranks, own in zip(whole, asked.T, strict=True)
        ]
        for name, (_words, counts) in kept.categorical.items():
            own = codes[name][inside]
            parts.append(_text(counts - np.bincount(own, minlength=len(counts)), own, others))
        columns = (*kept.numeric, *kept.categorical)
        yield day, Scores(columns, np.stack(parts, axis=1), kept.threshold)


def _counted(column: Numbers) -> Empirical:
    # Zero has one sign: which one would be kept depended on the order of the rows.
    return Empirical.of(column[~np.isnan(column)] + 0.0)


class _Ranks(NamedTuple):
    """Where values stand beside those of a reference."""

    up_to: NDArray[np.int64]
    """How many of the reference's are at most each; NaN, which is missing, is above all."""
    since: NDArray[np.int64]
    """How many of the reference's are at least each."""
    there: int
    """How many values the reference has, missing ones not among them."""
    missing: NDArray[np.bool_]
    """Which of the values that are asked of are missing."""


def _kept(values: Numbers, upto: NDArray[np.int64] | None) -> Empirical:
    """Give a column as it was saved; champions of before have each row's value instead."""
    return _counted(values) if upto is None else Empirical(values, upto)


def _ranks(kept: Empirical, asked: Numbers) -> _Ranks:
    below, up_to = kept.around(asked)
    return _Ranks(up_to, kept.rows - below, kept.rows, np.isnan(asked))


def _some(one: _Ranks, rows: NDArray[np.int64]) -> _Ranks:
    return _Ranks(one.up_to[rows], one.since[rows], one.there, one.missing[rows])


def _without(one: _Ranks, other: _Ranks) -> _Ranks:
    """Give where the values stand beside a reference without another that is among it."""
    left, right, there, missing = one
    return _Ranks(left - other.up_to, right - other.since, there - other.there, missing)


def _far(ranks: _Ranks, rows: int, *, own: int = 0) -> Numbers:
    """Give -log of the share of rows at least as far out as each value, itself included.

    Args:
        ranks: Where the values stand.
        rows: How many rows the reference has.
        own: 1 where what is asked of is itself among them.
    """
    at_least = np.minimum(ranks.up_to, ranks.since)
    as_far = np.where(ranks.missing, rows - ranks.there, at_least)
    found: Numbers = -np.log((as_far + 1 - own) / (rows + 1 - own))
    return found


def _text(
    counts: NDArray[np.int64], codes: NDArray[np.int64], rows: int, *, own: int = 0
) -> Numbers:
    """Give -log of the share of rows whose text is as rare as each text or rarer, as above.

    With itself a text is in one row more: what was never seen is seen once, and as rare as that.
    """
    ascending = np.sort(counts)
    up_to = np.concatenate([[0], np.cumsum(ascending)])
    with_itself = counts[codes] + 1 - own
    as_rare = up_to[np.searchsorted(ascending, with_itself, "right")]
    found: Numbers = -np.log((as_rare + 1 - own) / (rows + 1 - own))
    return found
