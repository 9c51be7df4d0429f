"""Tests that follow a window row by row, by alibi-detect's online detectors."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, model_validator

from ml_tasks.config.numbers import Count, Seed
from ml_tasks.drift_tests import alibi
from ml_tasks.drift_tests.kept import Drift, DriftParams, Kept, State, by_day, by_signal

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.drift_tests.kept import Signal, Told

    Array = NDArray[Any]

PER_RUN = 10
"""So many simulations are wanted for each row of the expected run."""


class StreamParams(DriftParams):
    """What tests on streams share."""

    rows: Count = Field(ge=100, default=200)
    """So many rows are drawn of the reference."""
    expected_run: Count = Field(ge=10, default=300)
    """After so many rows without drift a threshold is crossed, on average."""
    simulations: Count = Field(ge=100, default=3000)
    """Of streams without drift: thresholds come from them."""
    steps: Count = Field(ge=1, default=500)
    """A window that has more rows is thinned out evenly to so many."""
    seed: Seed = 0
    """Of the draws, and of all else that is random."""

    @model_validator(mode="after")
    def _enough(self) -> StreamParams:
        if self.simulations < PER_RUN * self.expected_run:
            raise ValueError(
                f"{PER_RUN} simulations for each row of expected_run, so "
                f"{PER_RUN * self.expected_run} at least: fewer do not tell a threshold"
            )
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """What one stream is held against."""

    reference: Array
    """Rows of the reference `[n, d]`."""
    drawn: NDArray[np.int64]
    """Their places in the reference."""
    thresholds: Array
    """By step; the last one holds for all later steps."""


class Stream(Kept):
    """Rows of a reference with the thresholds that were simulated for them.

    Each window begins a new stream, so that a look does not depend on the looks before it.
    """

    def __init__(self, told: Told, rows: int, lanes: Mapping[str, Lane]) -> None:
        """Take lanes as they were fitted, by signal."""
        super().__init__(told, rows)
        self._lanes = dict(lanes)

    @abstractmethod
    def values(self, rows: pa.Table, lane: str) -> tuple[Array, NDArray[np.int64]]:
        """Give what a lane streams of a table's rows `[n, d]`, and the rows' places."""

    @abstractmethod
    def ratios(self, lane: Lane, values: Array) -> Array:
        """Give by step the statistic as a multiple of its threshold; NaN where there is none."""

    def test(self, window: pa.Table) -> tuple[Drift, ...]:
        """Follow the window's rows in their order."""
        return self._looks(window, self._lanes)

    def own_looks(
        self, reference: pa.Table, days: pa.Array | pa.ChunkedArray
    ) -> dict[Signal, dict[Hashable, float]]:
        """Follow each day against rows of the other days, with the thresholds of all."""
        self._same(reference, days)
        looks = {}
        for day, rows in by_day(days):
            others = {}
            for name, lane in self._lanes.items():
                kept = ~np.isin(lane.drawn, rows)
                others[name] = Lane(lane.reference[kept], lane.drawn[kept], lane.thresholds)
            looks[day] = self._looks(reference.take(rows), others)
        return by_signal(looks)

    def state(self) -> State:
        """Give each lane's arrays."""
        arrays = {
            f"{place}.{part}": getattr(lane, part)
            for place, lane in enumerate(self._lanes.values())
            for part in ("reference", "drawn", "thresholds")
        }
        return State(arrays, {"lanes": list(self._lanes)})

    def _looks(self, rows: pa.Table, lanes: Mapping[str, Lane]) -> tuple[Drift, ...]:
        steps: int = self.told.params.steps
        found = []
        for name, lane in lanes.items():
            values, places = self.values(rows, name)
            if len(values) > steps:
                some = np.linspace(0, len(values) - 1, steps).astype(np.int64)
                values, places = values[some], places[some]
            ratios = self.ratios(lane, values)
            if np.isnan(ratios).all():
                continue
            crossed = np.flatnonzero(ratios > 1)
            first = int(places[crossed[0]]) if len(crossed) else None
            worst = float(np.nanmax(ratios))
            found.append(Drift(name, "values", worst, None, len(values), first))
        return tuple(found)


def lanes(state: State) -> dict[str, Lane]:
    """Give lanes as they were saved."""
    return {
        name: Lane(*(state.arrays[f"{place}.{p}"] for p in ("reference", "drawn", "thresholds")))
        for place, name in enumerate(state.facts["lanes"])
    }


def simulated(kind: str, reference: Array, words: Mapping[str, Any], params: StreamParams) -> Array:
    """Give the thresholds that a new detector simulates."""
    told = {"ert": float(params.expected_run), "n_bootstraps": params.simulations, **words}
    detector = alibi.stream(kind, reference, told, params.seed, None)
    return np.asarray(detector.thresholds, dtype=np.float64)


def followed(
    kind: str, lane: Lane, values: Array, words: Mapping[str, Any], params: StreamParams
) -> list[Any]:
    """Give by step what a detector in its first state says; its thresholds are known."""
    told = {"ert": float(params.expected_run), "n_bootstraps": params.simulations, **words}
    detector = alibi.stream(kind, lane.reference, told, params.seed, lane.thresholds)
    with alibi.seeded(params.seed):
        return [detector.score(row) for row in values]
