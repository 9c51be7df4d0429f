from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from ml_tasks.monitoring.calibrators import EXPONENTS, e_values
from ml_tasks.monitoring.conformal import p_values, ranks
from ml_tasks.monitoring.detectors import cusum, fresh, level, shiryaev_roberts


def _sequence(values: tuple[float, ...]) -> tuple[int, ...]:
    """Give the rank of each value among those up to it."""
    column = np.array(values)[:, None]
    return tuple(int(ranks(column[:at], column[at])[0][0]) for at in range(len(values)))


def test_ranks_are_uniform_and_independent_where_the_bag_grows() -> None:
    found = Counter(_sequence(order) for order in permutations((0.1, 0.2, 0.3, 0.4, 0.5)))
    assert len(found) == 120  # each of 1 x 2 x 3 x 4 x 5 sequences of ranks
    assert set(found.values()) == {1}


def test_ranks_among_a_bag_that_does_not_grow_depend_on_each_other() -> None:
    def fixed(order: tuple[float, ...]) -> tuple[int, ...]:
        column = np.array(order)[:, None]
        return tuple(int(ranks(column[:2], column[at])[0][0]) for at in (2, 3))

    found = Counter(fixed(order) for order in permutations((0.1, 0.2, 0.3, 0.4)))
    assert found[1, 1] > 24 / 9  # both largest, more often than independent ranks would be


@pytest.mark.parametrize(
    ("bag", "look", "wanted"),
    [
        ([], 1.0, 1.0),
        ([1.0, 2.0, 3.0], 4.0, 1 / 4),
        ([1.0, 2.0, 3.0], 2.5, 2 / 4),
        ([1.0, 2.0, 3.0], 3.0, 2 / 4),
        ([0.0, 0.0, 0.0], 0.0, 1.0),
        ([np.nan, 2.0, np.nan], 3.0, 1 / 2),
        ([1.0], np.nan, np.nan),
    ],
)
def test_p_values(bag: list[float], look: float, wanted: float) -> None:
    found = p_values(np.array(bag).reshape(-1, 1), np.array([look]))
    assert found[0] == pytest.approx(wanted, nan_ok=True)


@pytest.mark.parametrize("number", [1, 2, 35, 400])
def test_bets_are_fair_over_the_ranks_and_fall_with_them(number: int) -> None:
    rank = np.arange(1, number + 1)
    found = e_values(rank, np.full(number, number))
    assert found.shape == (number, len(EXPONENTS))
    assert found.mean(axis=0) == pytest.approx(1.0)
    assert (np.diff(found, axis=0) < 0).all()


def test_ties_win_no_more_than_they_should() -> None:
    values = (0.0, 0.0, 0.0, 1.0, 1.0)
    at = len(values)
    won = [
        e_values(np.array([_sequence(order)[-1]]), np.array([at])).mean()
        for order in permutations(values)
    ]
    assert np.mean(won) < 1


def _levels(order: tuple[float, ...], move: object = shiryaev_roberts) -> float:
    capitals = fresh(1)
    for at, rank in enumerate(_sequence(order), start=1):
        capitals = move(capitals, e_values(np.array([rank]), np.array([at])))  # type: ignore[operator]
    return float(level(capitals)[0])


def test_a_level_without_drift_is_worth_the_number_of_looks() -> None:
    orders = list(permutations(range(6)))
    assert np.mean([_levels(order) for order in orders]) == pytest.approx(6)
    assert all(_levels(order, cusum) <= _levels(order) + 1e-12 for order in orders)
