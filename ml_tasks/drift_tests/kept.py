"""What a test keeps of a reference, and what it says of a window."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from ml_tasks.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

Engine = Literal["alibi-detect", "scipy"]
Of = Literal["values", "missing", "ties"]
Signal = tuple[str, Of]
MISSING: Of = "missing"
TIES: Of = "ties"
ALL = "*"
"""Stands for all columns together."""
ARRAYS, FACTS = "kept.npz", "kept.json"
FORMAT = 1


class DriftParams(BaseModel):
    """Base of each test's own parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a window is from the reference, in one signal; a larger statistic is worse."""

    column: str
    """The column, or `*` for all together."""
    of: Of
    """Whether its values were compared, how many of them are missing, or how it goes together with
    other columns."""
    statistic: float
    p_value: float | None
    """Chance of so much where rows are drawn alike; `None` where the test has none."""
    rows: int
    """Rows of the window that were compared."""
    first: int | None = None
    """Of a stream: the row of the window that first crossed the test's own threshold."""

    @property
    def signal(self) -> Signal:
        """What it is a look at."""
        return self.column, self.of


@dataclass(frozen=True, slots=True)
class State:
    """All that a kept reference is made of again."""

    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """With which test, engine and parameters a reference is kept."""

    test: str
    engine: Engine
    params: Any
    """The test's own model of them."""


class Kept(ABC):
    """A reference, kept so that a window costs little."""

    def __init__(self, told: Told, rows: int) -> None:
        """Remember what was told, and how many rows the reference has."""
        self.told, self.rows = told, rows

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Columns that it compares; others of a window are not read."""

    @abstractmethod
    def test(self, window: pa.Table) -> tuple[Drift, ...]:
        """Compare a window with the reference, always in the same order of signals.

        A signal of which the window has too few rows to say anything is left out.

        Raises:
            RejectedError: A column is not there, or of another kind than the reference's.
        """

    @abstractmethod
    def own_looks(
        self, reference: pa.Table, days: pa.Array | pa.ChunkedArray
    ) -> dict[Signal, dict[Hashable, float]]:
        """Give by signal what `test` would have said of each day, against the other days.

        Args:
            reference: The table that this was fitted with.
            days: The day of each of its rows.

        Raises:
            RejectedError: It is another table, or there are not as many days as rows.
        """

    @abstractmethod
    def state(self) -> State:
        """Give what it is made of."""

    def save(self, folder: Path) -> None:
        """Write it as arrays and JSON: no code, so that loading runs none."""
        folder.mkdir(parents=True, exist_ok=True)
        state = self.state()
        # The folder is packed as a whole.
        np.savez(folder / ARRAYS, allow_pickle=False, **state.arrays)
        facts = {
            "format": FORMAT,
            "test": self.told.test,
            "engine": self.told.engine,
            "params": self.told.params.model_dump(mode="json"),
            "rows": self.rows,
            "state": state.facts,
        }
        (folder / FACTS).write_text(f"{json.dumps(facts, indent=2, ensure_ascii=False)}\n")

    def _same(self, reference: pa.Table, days: pa.Array | pa.ChunkedArray) -> None:
        if not self.rows == reference.num_rows == len(days):
            raise RejectedError(
                f"drift test {self.told.test}: came {reference.num_rows} rows of reference and "
                f"{len(days)} days, wanted {self.rows} of both: the table it was fitted with"
            )


def by_day(days: pa.Array | pa.ChunkedArray) -> Iterator[tuple[Hashable, NDArray[np.int64]]]:
    """Give each day with the places of its rows, in order of the days."""
    coded = days.combine_chunks() if hasattr(days, "combine_chunks") else days
    coded = coded.dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False)
    names = coded.dictionary.to_pylist()
    places = np.argsort(codes, kind="stable")
    parts = np.split(places, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
    yield from sorted(zip(names, parts, strict=True), key=lambda part: part[0])


def by_signal(
    looks: Mapping[Hashable, tuple[Drift, ...]],
) -> dict[Signal, dict[Hashable, float]]:
    """Give by signal the statistic of each day."""
    found: dict[Signal, dict[Hashable, float]] = {}
    for day, drifts in looks.items():
        for drift in drifts:
            found.setdefault(drift.signal, {})[day] = drift.statistic
    return found
