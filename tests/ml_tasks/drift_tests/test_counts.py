from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ml_tasks.drift_tests import columns, counts
from ml_tasks.drift_tests.counts import Categories

WORDS = st.lists(st.none() | st.sampled_from("abcdeé"), min_size=1, max_size=80)


@settings(deadline=None, max_examples=300)
@given(reference=WORDS, window=WORDS)
def test_chi_square_is_scipys(reference: list[str | None], window: list[str | None]) -> None:
    kept = Categories.of(pa.array(reference, pa.string()))
    codes = columns.codes(pa.array(window, pa.string()), kept.words)
    own, other = ([one for one in each if one is not None] for each in (reference, window))
    if not own or not other:
        return
    table = [[each.count(word) for word in sorted({*own, *other})] for each in (own, other)]
    wanted = stats.chi2_contingency(table)
    found = counts.chi_square(kept.table(codes))
    assert found == pytest.approx((wanted.statistic, wanted.pvalue), abs=1e-9)


@pytest.mark.parametrize(
    ("one", "other"), [((5, 100), (30, 1000)), ((0, 10), (7, 20)), ((10, 10), (1, 50))]
)
def test_shares_are_pearsons(one: tuple[int, int], other: tuple[int, int]) -> None:
    table = [[some, rows - some] for some, rows in (one, other)]
    apart, p_value = counts.shares(one, other)
    assert apart == pytest.approx(abs(one[0] / one[1] - other[0] / other[1]))
    assert p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)


@pytest.mark.parametrize("share", [0, 10])
def test_equal_shares_of_none_or_all(share: int) -> None:
    assert counts.shares((share, 10), (share, 10)) == (0.0, 1.0)


def test_vocabulary_is_sorted_and_unseen_words_come_after_it() -> None:
    kept = Categories.of(pa.array(["b", None, "a", "b"]))
    assert kept.words == ("a", "b")
    assert kept.counts.tolist() == [1, 2]
    codes = columns.codes(pa.array(["z", "a", None, "y", "z"]), kept.words)
    assert codes.tolist() == [3, 0, 2, 3]
    assert kept.table(codes).tolist() == [[1, 2, 0, 0], [1, 0, 1, 2]]
    assert np.array_equal(kept.expanded(), [0, 1, 1])
