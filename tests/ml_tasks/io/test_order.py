from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from ml_tasks.io.order import MANY, order, repeated

ROWS = 3_000
RANDOM = np.random.default_rng(7)


def some(values: list[object], kind: pa.DataType) -> pa.Array:
    return pa.array([values[n] for n in RANDOM.integers(0, len(values), ROWS)], kind)


START = datetime(2013, 1, 1, tzinfo=UTC)
COLUMNS = {
    "flag": some([True, False, None], pa.bool_()),
    "small": some([-128, 0, 1, None, 127], pa.int8()),
    "wide": some([-(2**63), 2**63 - 1, 0, None, 7], pa.int64()),
    "many": pa.array(RANDOM.integers(-(2**62), 2**62, ROWS)),
    "unsigned": some([0, 2**64 - 1, None], pa.uint64()),
    "single": some([0.5, -0.5, 0.0, float("inf"), float("nan"), None], pa.float32()),
    "double": some([1e300, -1e300, float("-inf"), float("nan"), None, 0.0], pa.float64()),
    "text": some(["", "a", "aa", "B", "é", None, "z" * 99], pa.string()),
    "at": some([START + timedelta(minutes=n) for n in range(50)], pa.timestamp("us", "UTC")),
    "none": pa.nulls(ROWS, pa.string()),
}
TABLE = pa.concat_tables([(whole := pa.table(COLUMNS)).slice(0, 999), whole.slice(999)])


@pytest.mark.parametrize("many", [0, MANY], ids=["polars", "numpy"])
@pytest.mark.parametrize(
    "names", [[name] for name in COLUMNS] + [list(COLUMNS), list(COLUMNS)[::-1]], ids=str
)
def test_rows_are_sorted_as_polars_sorts_them(
    names: list[str], many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_tasks.io.order.MANY", many)
    found = order(TABLE, names)
    assert sorted(found.rows) == list(range(ROWS))
    values = TABLE.select(names).take(pa.array(found.rows))
    wanted = pl.DataFrame(pl.from_arrow(TABLE)).select(names).sort(names, nulls_last=False)
    assert pl.DataFrame(pl.from_arrow(values)).equals(wanted)
    assert found.tied == repeated(TABLE, names) == wanted.is_duplicated().any()


@pytest.mark.parametrize("many", [MANY, 1])
@pytest.mark.parametrize(
    ("names", "key"),
    [
        (("at", "flag", "small", "text"), ("at", "text")),  # within the first word, bits between
        (("at", "flag", "small", "text"), ("text", "at", "small", "flag")),
        (("at", "flag", "small", "text"), ("none", "flag")),  # not all of it is sorted by
        (tuple(COLUMNS), ("small", "flag")),  # in the first of two words
        (tuple(COLUMNS), ("at", "flag")),  # partly behind it
        (("at", "many"), ("many",)),
        (("at",), ()),
    ],
)
def test_keys_that_come_twice(
    names: tuple[str, ...], key: tuple[str, ...], many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_tasks.io.order.MANY", many)
    frame = pl.DataFrame(pl.from_arrow(TABLE))
    once = TABLE if not key else frame.unique(key, maintain_order=True).to_arrow()
    assert order(TABLE, names, key).repeated == (len(once) < ROWS)
    assert not order(once, names, key).repeated
    rows = pl.DataFrame(pl.from_arrow(once.select(names)))
    assert rows[order(once, names, key).rows].equals(rows[order(once, names).rows])


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows(rows: int) -> None:
    found = order(TABLE.slice(0, rows), ["many"])
    assert len(found.rows) == rows
    assert not found.tied
    assert not order(TABLE.slice(0, rows), ["many"], ["many"]).repeated
