"""A day's profile held against those of the reference's days: what a test on rows cannot see.

Days differ by nature in some things (how warm it is) and never in others (how many values are
missing, how two columns go together). Each number of a profile is therefore measured in units of
how far the reference's own days lie apart in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml_tasks.drift_tests import columns
from ml_tasks.drift_tests.counts import Categories
from ml_tasks.drift_tests.kept import Drift, DriftParams, Kept, State, by_day, by_signal
from ml_tasks.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from ml_tasks.drift_tests.kept import Signal, Told

    Floats = NDArray[np.float64]
    Parts = NDArray[np.int64]

SEES = "table"
ENGINES = ("alibi-detect", "scipy")
KNOTS = 63
"""Values that cut a column of the reference into parts of equal size."""
MISSING = KNOTS + 1
"""The part of missing values."""
BINS = 8
"""Parts whose shares of a day's rows belong to its profile."""
FEW = 10
"""So many average rows weigh in on what a text is worth: a rare one says little."""


class Params(DriftParams):
    """What a reference is cut into days by, and how texts become numbers."""

    time: str = "event_time"
    """The reference's column whose date is the day of a row."""
    worth: str = "prediction"
    """Texts are put in order by their rows' mean of this column, and by how frequent they are
    where the reference lacks it."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Which of a column's parts a value falls in."""

    knots: Floats
    words: tuple[str, ...] | None = None
    """Of a column of texts: its vocabulary."""
    worth: Floats | None = None
    """By word the number that stands for it, and last the one for all other words."""

    def parts(self, rows: pa.Table, name: str) -> Parts:
        """Give the part of each row's value, `MISSING` where there is none."""
        values = self._numbers(rows, name)
        parts = np.searchsorted(self.knots, values, side="left")
        return np.where(np.isnan(values), MISSING, parts)

    def _numbers(self, rows: pa.Table, name: str) -> Floats:
        if self.words is None or self.worth is None:
            return columns.places(rows, name)
        texts = columns.texts(rows, name)
        codes = pc.index_in(texts, pa.array(self.words, pa.string()))
        places = codes.fill_null(len(self.words)).to_numpy(zero_copy_only=False)
        return np.where(np.asarray(texts.is_null()), np.nan, self.worth[places])


@dataclass(frozen=True, slots=True, eq=False)
class Days:
    """Profiles of days."""

    shares: Floats
    """Of a column's rows in each bin, and of missing ones `[days, columns, bins + 1]`."""
    ties: Floats
    """Correlations of columns, and on the diagonal how far each one spreads."""
    rows: Floats
    """How many each day has."""


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What some days are like, and how far they lie apart: shares and ties, as those of days."""

    mean: tuple[Floats, Floats]
    variance: tuple[Floats, Floats]

    def off(self, days: Days) -> tuple[Floats, Floats]:
        """Give, by day and column, sums of squares in units of what days and few rows do."""
        few = days.rows[:, None, None]
        mean, variance = self.mean, self.variance
        chance = (mean[0] * (1 - mean[0]) + 0.25 / few) / few
        shares = ((days.shares - mean[0]) ** 2 / (variance[0] + chance)).sum(axis=2)
        ties = ((days.ties - mean[1]) ** 2 / (variance[1] + 1 / few)).sum(axis=2)
        return shares, ties


class Profile(Kept):
    """What the reference's days are like."""

    def __init__(self, told: Told, rows: int, scales: Mapping[str, Scale], usual: Usual) -> None:
        """Take what was fitted."""
        super().__init__(told, rows)
        self._scales, self._usual = dict(scales), usual

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of numbers or texts."""
        return tuple(self._scales)

    def parts(self, rows: pa.Table) -> Parts:
        """Give the part of the reference that each row's value of each column falls in."""
        return _parts(rows, self._scales)

    def test(self, window: pa.Table) -> tuple[Drift, ...]:
        """Say, by column, how far values and ties to other columns lie off; rows are one day's."""
        if not window.num_rows:
            return ()
        days = _described(window, self._scales, [np.arange(window.num_rows)])
        return self._drifts(days, self._usual.off(days), 0)

    def own_looks(
        self, reference: pa.Table, days: pa.Array | pa.ChunkedArray
    ) -> dict[Signal, dict[Hashable, float]]:
        """Hold each day against the others; where it is alone it lies nowhere off."""
        self._same(reference, days)
        named = list(by_day(days))
        found = _described(reference, self._scales, [rows for _day, rows in named])
        shares, ties = _without_one(found.shares), _without_one(found.ties)
        off = Usual((shares[0], ties[0]), (shares[1], ties[1])).off(found)
        if len(named) == 1:
            off = np.zeros_like(off[0]), np.zeros_like(off[1])
        return by_signal(
            {day: self._drifts(found, off, place) for place, (day, _rows) in enumerate(named)}
        )

    def state(self) -> State:
        """Give scales, and what days are like."""
        arrays: dict[str, NDArray[Any]] = {}
        for place, scale in enumerate(self._scales.values()):
            arrays[f"{place}.knots"] = scale.knots
            if scale.words is not None:
                arrays |= {f"{place}.words": np.array(scale.words, np.str_)}
                arrays |= {f"{place}.worth": np.asarray(scale.worth)}
        for name in ("mean", "variance"):
            shares, ties = getattr(self._usual, name)
            arrays |= {f"shares.{name}": shares, f"ties.{name}": ties}
        return State(arrays, {"columns": list(self._scales)})

    def _drifts(self, days: Days, off: tuple[Floats, Floats], place: int) -> tuple[Drift, ...]:
        rows, (values, ties) = int(days.rows[place]), (one[place].tolist() for one in off)
        return tuple(
            drift
            for name, value, tie in zip(self._scales, values, ties, strict=True)
            for drift in (
                Drift(name, "values", value, None, rows),
                Drift(name, "ties", tie, None, rows),
            )
        )


def fit(reference: pa.Table, told: Told) -> Profile:
    """Cut each column into parts, and learn what days are like.

    Raises:
        ConfigError: No column can be compared, or none says the day of a row.
        RejectedError: The reference has no rows.
    """
    params: Params = told.params
    if not reference.num_rows:
        raise RejectedError(f"drift test {told.test}: the reference has no rows to compare with")
    scales = {
        name: _scale(reference, name, kind, params)
        for name, kind in zip(reference.column_names, reference.schema.types, strict=True)
        if columns.is_number(kind) or columns.is_text(kind)
    }
    if not scales:
        raise ConfigError(
            f"drift test {told.test}: none of the columns {reference.column_names} has numbers "
            "or texts: name some that do"
        )
    days = _described(reference, scales, [rows for _day, rows in by_day(_days(reference, told))])
    free = min(1, len(days.rows) - 1)
    usual = Usual(
        (days.shares.mean(axis=0), days.ties.mean(axis=0)),
        (days.shares.var(axis=0, ddof=free), days.ties.var(axis=0, ddof=free)),
    )
    return Profile(told, reference.num_rows, scales, usual)


def restore(state: State, told: Told, rows: int) -> Profile:
    """Make it again of what was saved."""
    arrays = state.arrays
    scales = {}
    for place, name in enumerate(state.facts["columns"]):
        words = arrays.get(f"{place}.words")
        scales[name] = Scale(
            arrays[f"{place}.knots"],
            None if words is None else tuple(words.tolist()),
            arrays.get(f"{place}.worth"),
        )
    mean, variance = (
        (arrays[f"shares.{name}"], arrays[f"ties.{name}"]) for name in ("mean", "variance")
    )
    return Profile(told, rows, scales, Usual(mean, variance))


def _days(reference: pa.Table, told: Told) -> pa.ChunkedArray:
    time = told.params.time
    kinds = (pa.types.is_timestamp, pa.types.is_date)
    if time not in reference.column_names or not any(of(reference[time].type) for of in kinds):
        raise ConfigError(
            f"drift test {told.test}: the reference {reference.column_names} has no times in "
            f"{time!r}: say with `params: {{time: …}}` whose date is the day of a row"
        )
    return reference[time].cast(pa.date32(), safe=False)


def _scale(reference: pa.Table, name: str, kind: pa.DataType, params: Params) -> Scale:
    if columns.is_number(kind):
        return Scale(_knots(columns.numbers(reference, name)))
    texts = columns.texts(reference, name)
    kept = Categories.of(texts)
    codes = pc.index_in(texts, pa.array(kept.words, pa.string())).drop_null()
    places = codes.to_numpy(zero_copy_only=False)
    worth = kept.counts.astype(np.float64)
    others = 0.0
    if params.worth in reference.column_names:
        of_rows = columns.places(reference, params.worth)[~np.asarray(texts.is_null())]
        others = float(of_rows.mean()) if len(of_rows) else 0.0
        sums = np.bincount(places, of_rows, minlength=len(kept.words))
        worth = (sums + FEW * others) / (kept.counts + FEW)
    return Scale(_knots(worth[places]), kept.words, np.append(worth, others))


def _knots(values: Floats) -> Floats:
    if not len(values):
        return np.zeros(KNOTS)
    places = np.arange(1, KNOTS + 1) / (KNOTS + 1)
    return np.asarray(np.quantile(values, places, method="inverted_cdf"), np.float64)


def _described(
    rows: pa.Table, scales: Mapping[str, Scale], days: Sequence[NDArray[np.int64]]
) -> Days:
    """Give the profiles of days, each of which has some of the rows."""
    parts = _parts(rows, scales)
    return Days(
        np.stack([_shares(parts[own]) for own in days]),
        np.stack([_ties(parts[own]) for own in days]),
        np.array([len(own) for own in days], np.float64),
    )


def _parts(rows: pa.Table, scales: Mapping[str, Scale]) -> Parts:
    return np.stack([scale.parts(rows, name) for name, scale in scales.items()], axis=1)


def _shares(parts: Parts) -> Floats:
    """Give a day's shares `[columns, bins + 1]`."""
    rows, number = parts.shape
    bins = parts // ((KNOTS + 1) // BINS) + np.arange(number) * (BINS + 1)
    counts = np.bincount(bins.ravel(), minlength=number * (BINS + 1))
    shares: Floats = counts.reshape(number, BINS + 1) / rows
    return shares


def _ties(parts: Parts) -> Floats:
    """Give a day's correlations of columns, and on the diagonal how far each one spreads.

    Places in the reference's order run from -1 to 1 and are 0 for missing values. They are summed
    as whole numbers, floating ones for speed: in whatever order, sums are equal to the last bit.
    """
    rows = len(parts)
    places = np.where(parts == MISSING, 0.0, 2.0 * parts - KNOTS)
    sums, products = (found.astype(np.int64) for found in (places.sum(axis=0), places.T @ places))
    moments = (rows * products - np.outer(sums, sums)) / (rows * (KNOTS + 1)) ** 2
    spread = np.sqrt(np.diag(moments)) + 1e-3
    found: Floats = moments / np.outer(spread, spread)
    np.fill_diagonal(found, np.log(spread))
    return found


def _without_one(values: Floats) -> tuple[Floats, Floats]:
    """Give mean and variance of all days but one, for each of them; of two there is no variance."""
    number = len(values)
    total, squares = values.sum(axis=0), (values**2).sum(axis=0)
    mean = (total - values) / max(number - 1, 1)
    variance = (squares - values**2 - (number - 1) * mean**2) / max(number - 2, 1)
    return mean, np.maximum(variance, 0.0)
