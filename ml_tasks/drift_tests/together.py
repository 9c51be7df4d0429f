"""Tests that compare all columns together, on samples of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from pydantic import Field

from ml_tasks.config.numbers import Count, Few, Seed
from ml_tasks.drift_tests.encoding import Encoding
from ml_tasks.drift_tests.kept import ALL, Drift, DriftParams, Kept, State, by_day, by_signal
from ml_tasks.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Hashable

    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.drift_tests.kept import Engine, Signal, Told

    Points = NDArray[np.float32]


class SampleParams(DriftParams):
    """What tests on samples share."""

    rows: Count = Field(ge=20, default=500)
    """So many rows are drawn of the reference, and of a window that has more."""
    categories: Few = Field(ge=1, default=20)
    """So many of a column's categories are told apart, the most frequent ones."""
    seed: Seed = 0
    """Of the draws, and of all else that is random."""


class PermutedParams(SampleParams):
    """What those of them share whose p-value comes by permutation of rows."""

    permutations: Few = Field(ge=20, default=100)


class Compare(Protocol):
    """A test on two samples of points."""

    def __call__(
        self, reference: Points, window: Points, params: Any, engine: Engine, *, alone: bool
    ) -> tuple[float, float | None]:
        """Give statistic and p-value; `alone`: the statistic may come without."""
        ...


class Together(Kept):
    """A reference of points: a sample of its rows, and how rows become points."""

    def __init__(
        self, told: Told, rows: int, encoding: Encoding, sample: Points, compare: Compare,
        least: int,
    ) -> None:  # fmt: skip
        """Take what was fitted; windows with less than `least` rows are not compared."""
        super().__init__(told, rows)
        self._encoding, self._sample = encoding, sample
        self._compare, self._least = compare, least

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of numbers or texts."""
        return self._encoding.columns

    def test(self, window: pa.Table) -> tuple[Drift, ...]:
        """Compare a sample of the window with the one of the reference."""
        return self._look(window, self._sample, alone=False)

    def own_looks(
        self, reference: pa.Table, days: pa.Array | pa.ChunkedArray
    ) -> dict[Signal, dict[Hashable, float]]:
        """Compare each day with the sample's rows of other days."""
        self._same(reference, days)
        params: SampleParams = self.told.params
        drawn = draw(self.rows, params.rows, params.seed)
        looks: dict[Hashable, tuple[Drift, ...]] = {}
        for day, rows in by_day(days):
            others = self._sample[~np.isin(drawn, rows)]
            looks[day] = self._look(reference.take(rows), others, alone=True)
        return by_signal(looks)

    def state(self) -> State:
        """Give the sample, and how rows become points."""
        return State({"sample": self._sample}, self._encoding.facts())

    def _look(self, rows: pa.Table, others: Points, *, alone: bool) -> tuple[Drift, ...]:
        params: SampleParams = self.told.params
        drawn = draw(rows.num_rows, params.rows, params.seed)
        points = self._encoding.points(rows.take(drawn))
        if min(len(points), len(others)) < self._least:
            return ()
        statistic, p_value = self._compare(others, points, params, self.told.engine, alone=alone)
        return (Drift(ALL, "values", statistic, p_value, len(points)),)


def draw(rows: int, wanted: int, seed: int) -> NDArray[np.int64]:
    """Give places of rows, in their order: all where there are not more than wanted."""
    if rows <= wanted:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, wanted, replace=False))


def fit(reference: pa.Table, told: Told, compare: Compare, least: int) -> Together:
    """Learn how rows become points, and draw a sample."""
    params: SampleParams = told.params
    encoding = encoded(reference, told, params.categories, least)
    sample = reference.take(draw(reference.num_rows, params.rows, params.seed))
    return Together(told, reference.num_rows, encoding, encoding.points(sample), compare, least)


def encoded(reference: pa.Table, told: Told, categories: int, least: int) -> Encoding:
    """Learn how rows become points.

    Raises:
        ConfigError: No column can be compared.
        RejectedError: The reference has too few rows.
    """
    encoding = Encoding.of(reference, categories)
    if not encoding.columns:
        raise ConfigError(
            f"drift test {told.test}: none of the columns {reference.column_names} has numbers "
            "or texts: name some that do"
        )
    if reference.num_rows < least:
        raise RejectedError(
            f"drift test {told.test}: the reference has {reference.num_rows} rows, wanted "
            f"{least} at least"
        )
    return encoding


def restore(state: State, told: Told, rows: int, compare: Compare, least: int) -> Together:
    """Make it again of what was saved."""
    encoding = Encoding.from_facts(state.facts)
    return Together(told, rows, encoding, state.arrays["sample"], compare, least)
