from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from ml_tasks import drift_tests
from ml_tasks.drift_tests import empirical, ks
from ml_tasks.drift_tests.empirical import Empirical, Grid

NUMBERS = st.one_of(
    st.floats(allow_nan=False),
    st.integers(-3, 3).map(float),
    st.sampled_from([0.0, -0.0, 5e-324, 1e308, -1e308, float("inf"), float("-inf")]),
)
SAMPLES = arrays.arrays(np.float64, st.integers(1, 60), elements=NUMBERS)
SHAPES = {
    "normal": lambda dice, n: dice.normal(size=n),
    "skewed": lambda dice, n: dice.lognormal(0, 2, n),
    "heavy": lambda dice, n: dice.standard_cauchy(n),
    "hours": lambda dice, n: dice.integers(0, 24, n).astype(float),
    "constant": lambda _, n: np.full(n, 7.0),
    "two far apart": lambda dice, n: np.concatenate(
        [dice.normal(0, 1e-6, n // 2), dice.normal(1e6, 1e-6, n - n // 2)]
    ),
    "infinite": lambda dice, n: np.where(dice.random(n) < 0.1, np.inf, dice.normal(size=n)),
}


@pytest.fixture(params=[0, empirical.FEW], ids=["by bins", "sorted whole"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(empirical, "FEW", request.param)


@pytest.mark.parametrize("few", [0, empirical.FEW], ids=["by bins", "sorted whole"])
@settings(deadline=None, max_examples=300)
@given(reference=SAMPLES, window=SAMPLES)
def test_distance_is_scipys(few: int, reference: np.ndarray, window: np.ndarray) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(empirical, "FEW", few)
        found = Empirical.of(reference).distance(window)
    wanted = stats.ks_2samp(reference, window, method="asymp").statistic
    assert found == pytest.approx(wanted, abs=1e-12)


@settings(deadline=None, max_examples=150)
@given(
    reference=st.lists(st.none() | NUMBERS, min_size=1, max_size=60),
    window=st.lists(st.none() | NUMBERS, min_size=1, max_size=60),
)
def test_kept_ks_is_scipys(reference: list[float | None], window: list[float | None]) -> None:
    kept = drift_tests.fit("ks", _table(reference), {}, "scipy")
    found = {drift.of: drift for drift in kept.test(_table(window))}
    own, other = ([one for one in each if one is not None] for each in (reference, window))
    if own and other:
        wanted = stats.ks_2samp(own, other, method="asymp")
        assert found["values"].statistic == pytest.approx(wanted.statistic, abs=1e-12)
        # One row against one tells nothing; scipy then has no number.
        p_value = 1.0 if np.isnan(wanted.pvalue) else wanted.pvalue
        assert found["values"].p_value == pytest.approx(p_value, abs=1e-9)
        assert found["values"].rows == len(other)
    else:
        assert "values" not in found
    gone = abs(window.count(None) / len(window) - reference.count(None) / len(reference))
    assert found["missing"].statistic == pytest.approx(gone)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("moved", [0.0, 0.02])
def test_distance_of_many_rows(shape: str, moved: float) -> None:
    dice = np.random.default_rng(1)
    reference, window = SHAPES[shape](dice, 30_000), SHAPES[shape](dice, 20_000) + moved
    wanted = stats.ks_2samp(reference, window, method="asymp").statistic
    assert Empirical.of(reference).distance(window) == pytest.approx(wanted, abs=1e-12)


@settings(deadline=None, max_examples=300)
@given(reference=SAMPLES, numbers=SAMPLES)
def test_bins_are_sorted_as_numbers_are(reference: np.ndarray, numbers: np.ndarray) -> None:
    found = Grid.over(Empirical.of(reference)).places(np.sort(numbers))
    assert (np.diff(found) >= 0).all()
    assert found.min() >= 0
    assert found.max() < empirical.BINS


@pytest.mark.parametrize("rows", [3, 140, 4_999, 5_000, 20_000, 50_000, 100_000])
@pytest.mark.parametrize("squared", [0.01, 0.5, 1, 2.19, 2.21, 3, 6, 15, 40, 400])
def test_p_values_are_scipys(rows: int, squared: float) -> None:
    distance = min(1.0, (squared / rows) ** 0.5)
    wanted = stats.kstwo.sf(distance, rows)
    assert ks.p_value(distance, rows) == pytest.approx(wanted, abs=1e-9)


def test_expanded_is_what_was_sorted() -> None:
    numbers = np.array([3.0, 1.0, 3.0, -np.inf])
    assert Empirical.of(numbers).expanded().tolist() == [-np.inf, 1.0, 3.0, 3.0]


def _table(values: list[float | None]) -> pa.Table:
    return pa.table({"x": pa.array(values, pa.float64())})
