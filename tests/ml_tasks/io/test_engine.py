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
    ],
)
def test_what_looks_beyond_its_row_is_refused(expression: str, what: str) -> None:
    """Rows would come in another order, and be told other things when they are asked alone."""
    with pytest.raises(ConfigError, match=f"it has {what}.*, wanted what can be told from a row"):
        evaluate(ROWS, {"value": expression})


def test_a_column_may_be_called_as_a_clock_is() -> None:
    rows = pa.table({"today": [1, 2]})
    assert evaluate(rows, {"value": "today + 1"})["value"].to_pylist() == [2, 3]
