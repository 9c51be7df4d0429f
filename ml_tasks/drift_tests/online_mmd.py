"""Maximum mean discrepancy of the last rows of a stream.

Source: Cobb, Van Looveren and Klaise, Sequential Multivariate Change Detection with Calibrated and
Memoryless False Detection Rates, AISTATS 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from ml_tasks.config.numbers import Few
from ml_tasks.drift_tests import stream
from ml_tasks.drift_tests.encoding import Encoding
from ml_tasks.drift_tests.kept import ALL, State
from ml_tasks.drift_tests.together import draw, encoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.drift_tests.kept import Kept, Told

SEES = "stream"
ENGINES = ("alibi-detect",)
KIND = "MMDDriftOnlineTorch"
LEAST_ROWS = 100


class Params(stream.StreamParams):
    """How many rows are looked at together."""

    window: Few = Field(ge=2, le=25, default=20)
    """So many of the last rows are compared with the reference."""
    categories: Few = Field(ge=1, default=20)
    """So many of a column's categories are told apart, the most frequent ones."""

    @property
    def words(self) -> dict[str, Any]:
        """What alibi-detect is told."""
        return {"window_size": self.window, "device": "cpu"}


class Discrepancy(stream.Stream):
    """One stream of points."""

    def __init__(
        self, told: Told, rows: int, lanes: Mapping[str, stream.Lane], encoding: Encoding
    ) -> None:
        """Take what was fitted."""
        super().__init__(told, rows, lanes)
        self._encoding = encoding

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of numbers or texts."""
        return self._encoding.columns

    def values(self, rows: pa.Table, lane: str) -> tuple[Any, NDArray[np.int64]]:  # noqa: ARG002 - there is one
        """Give all rows as points."""
        return self._encoding.points(rows), np.arange(rows.num_rows)

    def ratios(self, lane: stream.Lane, values: Any) -> NDArray[np.float64]:
        """Give by row the discrepancy of the last rows."""
        params: Params = self.told.params
        found = np.array(stream.followed(KIND, lane, values, params.words, params))
        step = np.minimum(np.arange(1, len(found) + 1), len(lane.thresholds) - 1)
        ratios: NDArray[np.float64] = found / lane.thresholds[step]
        return ratios

    def state(self) -> State:
        """Give the rows with their thresholds, and how rows become points."""
        state = super().state()
        return State(state.arrays, state.facts | self._encoding.facts())


def fit(reference: pa.Table, told: Told) -> Kept:
    """Draw rows, and simulate thresholds."""
    params: Params = told.params
    encoding = encoded(reference, told, params.categories, LEAST_ROWS)
    drawn = draw(reference.num_rows, params.rows, params.seed)
    points = encoding.points(reference.take(drawn))
    thresholds = stream.simulated(KIND, points, params.words, params)
    lanes = {ALL: stream.Lane(points, drawn, thresholds)}
    return Discrepancy(told, reference.num_rows, lanes, encoding)


def restore(state: State, told: Told, rows: int) -> Kept:
    """Make it again of what was saved; nothing is simulated."""
    return Discrepancy(told, rows, stream.lanes(state), Encoding.from_facts(state.facts))
