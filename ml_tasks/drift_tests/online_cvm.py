"""Cramér and von Mises' distance of the last numbers of a stream.

Source: Ross and Adams, Two Nonparametric Control Charts for Detecting Arbitrary Distribution
Changes, Journal of Quality Technology 44 (2012), as alibi-detect adapts it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from ml_tasks.config.numbers import Count
from ml_tasks.drift_tests import columns, stream
from ml_tasks.drift_tests.together import draw
from ml_tasks.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.drift_tests.kept import Kept, State, Told

    Numbers = NDArray[np.float64]

SEES = "stream"
ENGINES = ("alibi-detect",)
KIND = "CVMDriftOnline"
LEAST_ROWS = 100


class Params(stream.StreamParams):
    """How many numbers are looked at together."""

    windows: tuple[Count, ...] = Field(min_length=1, default=(20, 60))
    """So many of the last numbers are compared with the reference: small ones see soon what is
    large, large ones see what is small."""

    @field_validator("windows")
    @classmethod
    def _rising(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        if windows[0] < 2 or any(one >= other for one, other in pairwise(windows)):
            raise ValueError("whole numbers from 2 upwards, each greater than the one before")
        return windows

    @property
    def words(self) -> dict[str, Any]:
        """What alibi-detect is told."""
        return {"window_sizes": list(self.windows)}


class Distances(stream.Stream):
    """One stream a column of numbers."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of numbers that have enough of them."""
        return tuple(self._lanes)

    def values(self, rows: pa.Table, lane: str) -> tuple[Numbers, NDArray[np.int64]]:
        """Give a column's numbers; what is missing is left out."""
        numbers = columns.places(rows, lane)
        places = np.flatnonzero(~np.isnan(numbers))
        return numbers[places, None], places

    def ratios(self, lane: stream.Lane, values: Numbers) -> Numbers:
        """Give by number the distance of the last ones, the worst of all windows."""
        params: Params = self.told.params
        found = np.array(stream.followed(KIND, lane, values, params.words, params))
        worst = np.fmax.reduce(found.reshape(len(found), len(params.windows)), axis=1)
        step = np.minimum(np.arange(len(found)), len(lane.thresholds) - 1)
        ratios: Numbers = worst / lane.thresholds[step, 0]
        return ratios


def fit(reference: pa.Table, told: Told) -> Kept:
    """Draw numbers of each column, and simulate thresholds.

    They depend on how many numbers there are, not on their distribution, so that columns of the
    same length share them.

    Raises:
        ConfigError: No column has numbers.
        RejectedError: None has enough of them.
    """
    params: Params = told.params
    names = [
        name
        for name, kind in zip(reference.column_names, reference.schema.types, strict=True)
        if columns.is_number(kind)
    ]
    if not names:
        raise ConfigError(
            f"drift test {told.test}: none of the columns {reference.column_names} has numbers; "
            "online_mmd looks at texts too"
        )
    known: dict[int, Numbers] = {}
    lanes: dict[str, stream.Lane] = {}
    for name in names:
        numbers = columns.places(reference, name)
        there = np.flatnonzero(~np.isnan(numbers))
        drawn = there[draw(len(there), params.rows, params.seed)]
        if len(drawn) < LEAST_ROWS:
            continue
        sample = numbers[drawn, None]
        if len(drawn) not in known:
            known[len(drawn)] = stream.simulated(KIND, sample, params.words, params)
        lanes[name] = stream.Lane(sample, drawn, known[len(drawn)])
    if not lanes:
        raise RejectedError(
            f"drift test {told.test}: none of {names} has {LEAST_ROWS} numbers in the reference"
        )
    return Distances(told, reference.num_rows, lanes)


def restore(state: State, told: Told, rows: int) -> Kept:
    """Make it again of what was saved; nothing is simulated."""
    return Distances(told, rows, stream.lanes(state))
