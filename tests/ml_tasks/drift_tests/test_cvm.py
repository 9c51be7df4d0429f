from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from ml_tasks.drift_tests.cvm import Squared
from ml_tasks.drift_tests.empirical import Empirical

SAMPLES = arrays.arrays(
    np.float64,
    st.integers(2, 60),
    elements=st.one_of(
        st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers(-3, 3).map(float)
    ),
)


@settings(deadline=None, max_examples=300)
@given(reference=SAMPLES, window=SAMPLES)
def test_statistic_and_p_value_are_scipys(reference: np.ndarray, window: np.ndarray) -> None:
    statistic, p_value = Squared().against(Empirical.of(reference), window)
    wanted = stats.cramervonmises_2samp(reference, window, method="asymptotic")
    assert statistic == pytest.approx(wanted.statistic, abs=1e-9)
    assert p_value == pytest.approx(wanted.pvalue, abs=1e-8)


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_many_rows(shift: float) -> None:
    dice = np.random.default_rng(2)
    reference, window = dice.normal(size=20_000), dice.normal(shift, 1, size=3_000)
    statistic, p_value = Squared().against(Empirical.of(reference), window)
    wanted = stats.cramervonmises_2samp(reference, window, method="asymptotic")
    assert statistic == pytest.approx(wanted.statistic, abs=1e-8)
    assert p_value == pytest.approx(wanted.pvalue, abs=1e-8)


@settings(deadline=None, max_examples=200)
@given(part=SAMPLES, rest=SAMPLES)
def test_a_part_against_its_rest(part: np.ndarray, rest: np.ndarray) -> None:
    whole = Empirical.of(np.concatenate([part, rest]))
    wanted = stats.cramervonmises_2samp(rest, part, method="asymptotic").statistic
    assert Squared().own(whole, part) == pytest.approx(wanted, abs=1e-9)


def test_one_row_each_tells_nothing() -> None:
    _, p_value = Squared().against(Empirical.of(np.array([1.0])), np.array([2.0]))
    assert 0 <= p_value <= 1
