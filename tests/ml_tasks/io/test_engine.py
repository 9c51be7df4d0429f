"""SQL expressions of a pipeline: a value depends on its own row, and rows keep their order."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ml_tasks.errors import ConfigError
from ml_tasks.io.engine import evaluate

ROWS = pa.table({"a": list(range(5000)), "b": [f"{n % 7}" for n in range(5000)]})


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("a > 15", [n > 15 for n in range(5000)]),
        ("CASE WHEN b = '3' THEN a ELSE -1 END", [n if n % 7 == 3 else -1 for n in range(5000)]),
        ("age(TIMESTAMP '2013-01-03', TIMESTAMP '2013-01-02') = INTERVAL 1 DAY", [True] * 5000),
        ("list_max([a, 100])", [max(n, 100) for n in range(5000)]),
        ("strftime(TIMESTAMP '2013-01-01 05:00:00', '%H')", ["05"] * 5000),
    ],
)
def test_each_row_has_its_own_value(expression: str, wanted: list[object]) -> None:
    assert evaluate(ROWS, {"value": expression})["value"].to_pylist() == wanted


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("a > median(a) OVER (PARTITION BY b)", "a window"),
        ("ntile(4) OVER (ORDER BY a)", "a window"),
        ("max(a)", r"max\(\)"),
        ("count(*) + 1", r"count_star\(\)"),
        ("a = (SELECT max(a) FROM rows)", "a subquery"),
        ("unnest([a, 1])", r"unnest\(\)"),
        ("random() < 0.5", r"random\(\)"),
        ("now()", r"now\(\)"),
        ("current_date", "current_date"),
        ("current_localtimestamp()", r"current_localtimestamp\(\)"),
        ("transaction_timestamp()", r"transaction_timestamp\(\)"),
        ("txid_current()", r"txid_current\(\)"),
        ("age(TIMESTAMP '2013-01-01')", r"age\(\)"),
        ("ago(INTERVAL 1 DAY)", r"ago\(\)"),
        ("pg_postmaster_start_time()", r"pg_postmaster_start_time\(\)"),
        ("COLUMNS('a|b')", "a star"),
        ("histogram(a)", r"histogram\(\)"),
    ],
)
def test_what_looks_beyond_its_row_is_refused(expression: str, what: str) -> None:
    """Rows would come in another order, and be told other things when they are asked alone."""
    with pytest.raises(ConfigError, match=f"it has {what}.*, wanted what can be told from a row"):
        evaluate(ROWS, {"value": expression})


@pytest.mark.parametrize("expression", ["geomean(a)", "wavg(a, a)"])
def test_an_aggregate_by_another_name_is_refused(expression: str) -> None:
    with pytest.raises(ConfigError, match=r"expression value: came .*cannot contain aggregates"):
        evaluate(ROWS.slice(0, 0), {"value": expression})


def test_a_column_may_be_called_as_a_clock_is() -> None:
    rows = pa.table({"today": [1, 2]})
    assert evaluate(rows, {"value": "today + 1"})["value"].to_pylist() == [2, 3]
