"""Tests that compare each column by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ml_tasks.drift_tests import alibi, columns, counts
from ml_tasks.drift_tests.empirical import Empirical
from ml_tasks.drift_tests.kept import Drift, Kept, State, by_day, by_signal
from ml_tasks.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.drift_tests.kept import Signal, Told

    Column = Empirical | counts.Categories
    Values = NDArray[Any]


class Comparison(Protocol):
    """How one column is compared."""

    def against(self, column: Any, values: Any) -> tuple[float, float]:
        """Give statistic and p-value of a window's values."""
        ...

    def own(self, column: Any, values: Any) -> float:
        """Give the statistic of a part of the reference against its other rows."""
        ...

    def detector(self) -> tuple[str, dict[str, Any]]:
        """Give the name of alibi-detect's class for it, and what to tell it."""
        ...


class Apart(Kept):
    """A reference of columns, each kept by itself with the number of its missing values."""

    def __init__(
        self, told: Told, rows: int, kept: Mapping[str, Column], missing: Mapping[str, int],
        tests: Mapping[type, Comparison],
    ) -> None:  # fmt: skip
        """Take columns as they were kept, and by kind of column how it is compared."""
        super().__init__(told, rows)
        self._kept, self._missing, self._tests = dict(kept), dict(missing), tests
        self._against: dict[str, Callable[[Values], tuple[float, float]]] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the kinds that the test looks at."""
        return tuple(self._kept)

    def test(self, window: pa.Table) -> tuple[Drift, ...]:
        """Compare values, then the share of missing ones, column by column."""
        return self._looks(
            window.num_rows,
            lambda name: read(window, name, self._kept[name]),
            self._compare,
            self._share,
        )

    def own_looks(
        self, reference: pa.Table, days: pa.Array | pa.ChunkedArray
    ) -> dict[Signal, dict[Hashable, float]]:
        """Take each day's counts away from the reference's: nothing is sorted again."""
        self._same(reference, days)
        whole = {name: _whole(reference, name, column) for name, column in self._kept.items()}
        found = {}
        for day, rows in by_day(days):
            own = {name: _there(values[rows]) for name, values in whole.items()}
            found[day] = self._looks(len(rows), own.__getitem__, self._own, self._own_share)
        return by_signal(found)

    def state(self) -> State:
        """Give each column's own arrays."""
        arrays: dict[str, NDArray[Any]] = {}
        for place, column in enumerate(self._kept.values()):
            names = ("values", "upto") if isinstance(column, Empirical) else ("words", "counts")
            arrays |= {f"{place}.{name}": np.asarray(getattr(column, name)) for name in names}
        return State(arrays, {"missing": self._missing})

    def _looks(
        self, rows: int,
        values_of: Callable[[str], Values],
        compare: Callable[[str, Values], tuple[float, float | None]],
        share: Callable[[str, int, int], tuple[float, float | None]],
    ) -> tuple[Drift, ...]:  # fmt: skip
        found = []
        for name, column in self._kept.items():
            values = values_of(name)
            if len(values) and column.rows:
                statistic, p_value = compare(name, values)
                found.append(Drift(name, "values", statistic, p_value, len(values)))
            if rows:
                apart, p_value = share(name, rows - len(values), rows)
                found.append(Drift(name, "missing", apart, p_value, rows))
        return tuple(found)

    def _compare(self, name: str, values: Values) -> tuple[float, float]:
        if name not in self._against:
            self._against[name] = self._made(name)
        return self._against[name](values)

    def _made(self, name: str) -> Callable[[Values], tuple[float, float]]:
        column = self._kept[name]
        test = self._tests[type(column)]

        def against(values: Values) -> tuple[float, float]:
            return test.against(column, values)

        if self.told.engine == "scipy":
            return against
        kind, words = test.detector()
        return alibi.apart(kind, column.expanded(), words, against)

    def _own(self, name: str, values: Values) -> tuple[float, None]:
        column = self._kept[name]
        alone = len(values) == column.rows
        return (0.0 if alone else self._tests[type(column)].own(column, values)), None

    def _share(self, name: str, gone: int, rows: int) -> tuple[float, float]:
        return counts.shares((gone, rows), (self._missing[name], self.rows))

    def _own_share(self, name: str, gone: int, rows: int) -> tuple[float, None]:
        others = (self._missing[name] - gone, self.rows - rows)
        return (counts.shares((gone, rows), others)[0] if others[1] else 0.0), None


def read(rows: pa.Table, name: str, column: Column) -> Values:
    """Give a column's values as its reference is kept: numbers, or codes of its vocabulary."""
    if isinstance(column, Empirical):
        return columns.numbers(rows, name)
    return columns.codes(columns.texts(rows, name), column.words)


def _whole(rows: pa.Table, name: str, column: Column) -> Values:
    """Give a column as `read` does, row by row: what is missing is NaN, or below 0."""
    if isinstance(column, Empirical):
        return columns.places(rows, name)
    return columns.known(columns.texts(rows, name), column.words)


def _there(values: Values) -> Values:
    return values[~np.isnan(values) if values.dtype.kind == "f" else values >= 0]


def fit(reference: pa.Table, told: Told, tests: Mapping[type, Comparison]) -> Apart:
    """Keep all columns of the kinds that are compared."""
    kept: dict[str, Column] = {}
    for name, kind in zip(reference.column_names, reference.schema.types, strict=True):
        if Empirical in tests and columns.is_number(kind):
            kept[name] = Empirical.of(columns.numbers(reference, name))
        elif counts.Categories in tests and columns.is_text(kind):
            kept[name] = counts.Categories.of(columns.texts(reference, name))
    if not kept:
        wanted = {Empirical: "numbers", counts.Categories: "texts"}
        raise ConfigError(
            f"drift test {told.test}: none of the columns {reference.column_names} has "
            f"{' or '.join(wanted[kind] for kind in tests)}; tabular looks at both"
        )
    if not reference.num_rows:
        raise RejectedError(f"drift test {told.test}: the reference has no rows to compare with")
    missing = {name: reference.num_rows - column.rows for name, column in kept.items()}
    return Apart(told, reference.num_rows, kept, missing, tests)


def restore(state: State, told: Told, rows: int, tests: Mapping[type, Comparison]) -> Apart:
    """Make it again of what was saved."""
    kept: dict[str, Column] = {}
    for place, name in enumerate(state.facts["missing"]):
        if f"{place}.values" in state.arrays:
            kept[name] = Empirical(*(state.arrays[f"{place}.{one}"] for one in ("values", "upto")))
        else:
            words = tuple(state.arrays[f"{place}.words"].tolist())
            kept[name] = counts.Categories(words, state.arrays[f"{place}.counts"])
    return Apart(told, rows, kept, state.facts["missing"], tests)
