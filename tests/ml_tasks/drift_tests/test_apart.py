from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from ml_tasks import drift_tests
from ml_tasks.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., pa.Table]

NUMBERS, BOTH = ("delay", "hour", "wind"), ("delay", "hour", "wind", "carrier")
COLUMNS = {"ks": NUMBERS, "cvm": NUMBERS, "chi_square": ("carrier",), "tabular": BOTH}


def by_scipy(name: str, own: pa.ChunkedArray, other: pa.ChunkedArray) -> tuple[float, float]:
    own, other = own.drop_null(), other.drop_null()
    if own.type == pa.string():
        own, other = own.to_pylist(), other.to_pylist()
        table = [[each.count(word) for word in sorted({*own, *other})] for each in (own, other)]
        found = stats.chi2_contingency(table)
    elif name == "cvm":
        found = stats.cramervonmises_2samp(own.to_numpy(), other.to_numpy(), method="asymptotic")
    else:
        found = stats.ks_2samp(own.to_numpy(), other.to_numpy(), method="asymp")
    return found.statistic, found.pvalue


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_each_column_is_compared_as_scipy_does(name: str, shift: float, made: Make) -> None:
    reference, window = made(3000, 1), made(700, 2, shift)
    kept = drift_tests.fit(name, reference, {}, "scipy")
    assert kept.columns == COLUMNS[name]
    drifts = kept.test(window)
    assert [drift.signal for drift in drifts] == [
        (column, of) for column in COLUMNS[name] for of in ("values", "missing")
    ]
    for drift in drifts[::2]:
        wanted = by_scipy(name, reference[drift.column], window[drift.column])
        assert (drift.statistic, drift.p_value) == pytest.approx(wanted, abs=1e-8)
        assert drift.rows == len(window) - window[drift.column].null_count
    assert all(
        (drift.p_value < 1e-4) == (shift > 0) for drift in drifts[::2] if drift.column != "hour"
    )


@pytest.mark.parametrize("name", COLUMNS)
def test_own_looks_are_those_of_a_reference_without_the_day(name: str, made: Make) -> None:
    reference = made(2000, 3)
    days = pa.array([date(2013, 1, 1 + day) for day in np.arange(2000) * 7 // 2000])
    looks = drift_tests.fit(name, reference, {}, "scipy").own_looks(reference, days)
    assert list(looks) == [(column, of) for column in COLUMNS[name] for of in ("values", "missing")]
    for day in days.unique().to_pylist():
        own = pa.compute.equal(days, day)
        rest = reference.filter(pa.compute.invert(own))
        for drift in drift_tests.fit(name, rest, {}, "scipy").test(reference.filter(own)):
            assert looks[drift.signal][day] == pytest.approx(drift.statistic, abs=1e-9)
    assert list(looks["delay" if name != "chi_square" else "carrier", "values"]) == sorted(
        days.unique().to_pylist()
    )


def test_days_in_any_order_and_a_day_without_values() -> None:
    reference = pa.table({"x": pa.array([1.0, None, 2.0, None, 5.0, 6.0])})
    days = pa.chunked_array([["b", "c", "a"], ["c", "a", "b"]])
    looks = drift_tests.fit("ks", reference, {}, "scipy").own_looks(reference, days)
    assert looks["x", "values"] == {"a": 0.5, "b": 0.5}
    assert looks["x", "missing"] == {"a": 0.5, "b": 0.5, "c": 1.0}


def test_a_reference_of_one_day_is_no_day_away_from_itself() -> None:
    reference = pa.table({"x": [1.0, 2.0]})
    looks = drift_tests.fit("cvm", reference, {}, "scipy").own_looks(reference, pa.array([1, 1]))
    assert looks == {("x", "values"): {1: 0.0}, ("x", "missing"): {1: 0.0}}


def test_nan_is_missing_and_infinity_is_not() -> None:
    kept = drift_tests.fit("ks", pa.table({"x": [0.0, 1.0, 2.0, 3.0]}), {}, "scipy")
    window = pa.table({"x": [float("nan"), float("inf"), None, 1.0]})
    values, missing = kept.test(window)
    assert (values.statistic, values.rows) == (0.5, 2)
    assert (missing.statistic, missing.rows) == (0.5, 4)


def test_a_category_that_is_new_counts() -> None:
    reference = pa.table({"x": ["a", "b"] * 50})
    kept = drift_tests.fit("chi_square", reference, {}, "scipy")
    (same, _), (new, _) = (
        kept.test(pa.table({"x": words * 25})) for words in (["a", "b"], ["a", "b", "c"])
    )
    assert same.p_value > 0.9
    assert new.p_value < 1e-4


def test_dictionaries_and_flags_are_texts_and_decimals_are_numbers() -> None:
    table = pa.table(
        {
            "flag": [True, False, True],
            "word": pa.array(["a", "b", "a"]).dictionary_encode(),
            "price": pa.array([Decimal(1), Decimal(2), Decimal(3)]),
            "at": pa.array([1, 2, 3], pa.timestamp("us")),
        }
    )
    kept = drift_tests.fit("tabular", table, {}, "scipy")
    assert kept.columns == ("flag", "word", "price")
    assert all(drift.p_value > 0.9 for drift in kept.test(table))


def test_a_window_whose_columns_lost_their_type_is_missing() -> None:
    reference = pa.table({"x": [1.0, 2.0], "y": ["a", "b"]})
    window = pa.table({"x": pa.nulls(3), "y": pa.nulls(3)})
    drifts = drift_tests.fit("tabular", reference, {}, "scipy").test(window)
    assert [(drift.of, drift.statistic) for drift in drifts] == [("missing", 1.0)] * 2


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary("u4", pa.string())]
)
def test_texts_of_any_layout(kind: pa.DataType) -> None:
    reference = pa.table({"x": ["a", "b", None]})
    window = pa.table({"x": pa.chunked_array([["b", None], ["a"]], pa.string()).cast(kind)})
    values, missing = drift_tests.fit("chi_square", reference, {}, "scipy").test(window)
    assert (values.statistic, values.rows, missing.statistic) == (0.0, 2, 0.0)


@pytest.mark.parametrize("name", ["ks", "tabular"])
def test_an_empty_window_says_nothing(name: str, made: Make) -> None:
    assert drift_tests.fit(name, made(50, 1), {}, "scipy").test(made(0, 1)) == ()


def test_a_column_of_nulls_is_missing_alone() -> None:
    reference = pa.table({"x": pa.array([None, None], pa.float64())})
    kept = drift_tests.fit("ks", reference, {}, "scipy")
    (drift,) = kept.test(pa.table({"x": [1.0, 2.0, None, 4.0]}))
    assert (drift.of, drift.statistic) == ("missing", 0.75)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"y": [1.0]}, r"column x: not among \['y'\]"),
        ({"x": ["a"]}, "column x: came string, the reference has numbers"),
    ],
)
def test_a_window_of_other_columns(columns: dict[str, list[object]], message: str) -> None:
    kept = drift_tests.fit("ks", pa.table({"x": [1.0, 2.0]}), {}, "scipy")
    with pytest.raises(RejectedError, match=message):
        kept.test(pa.table(columns))


def test_own_looks_of_another_table(made: Make) -> None:
    kept = drift_tests.fit("ks", made(50, 1), {}, "scipy")
    with pytest.raises(RejectedError, match="came 49 rows of reference and 49 days, wanted 50"):
        kept.own_looks(made(49, 1), pa.array([1] * 49))


@pytest.mark.parametrize(
    ("name", "message"),
    [("ks", "has numbers; tabular looks at both"), ("chi_square", "has texts"), ("mmd", "numbers")],
)
def test_no_column_to_look_at(name: str, message: str) -> None:
    table = pa.table({"at": pa.array([1, 2], pa.timestamp("us"))})
    with pytest.raises(ConfigError, match=f"drift test {name}: none of the columns.*{message}"):
        drift_tests.fit(name, table, {}, "scipy")


def test_a_reference_without_rows() -> None:
    with pytest.raises(RejectedError, match="no rows to compare with"):
        drift_tests.fit("ks", pa.table({"x": pa.array([], pa.float64())}), {}, "scipy")
