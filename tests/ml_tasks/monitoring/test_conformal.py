from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from ml_tasks.monitoring.calibrators import EXPONENTS, e_values
from ml_tasks.monitoring.conformal import lasting, ranks, thinned
from ml_tasks.monitoring.detectors import fresh, level, shiryaev_roberts


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
        ([], 1.0, (1, 1)),
        ([1.0, 2.0, 3.0], 4.0, (1, 4)),
        ([1.0, 2.0, 3.0], 2.5, (2, 4)),
        ([1.0, 2.0, 3.0], 3.0, (2, 4)),
        ([0.0, 0.0, 0.0], 0.0, (4, 4)),
        ([np.nan, 2.0, np.nan], 3.0, (1, 2)),
    ],
)
def test_ranks(bag: list[float], look: float, wanted: tuple[int, int]) -> None:
    rank, number = ranks(np.array(bag).reshape(-1, 1), np.array([look]))
    assert (rank[0], number[0]) == wanted


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


def _levels(order: tuple[float, ...]) -> float:
    capitals = fresh(1)
    for at, rank in enumerate(_sequence(order), start=1):
        capitals = shiryaev_roberts(capitals, e_values(np.array([rank]), np.array([at])))
    return float(level(capitals)[0])


def test_a_level_without_drift_is_worth_the_number_of_looks() -> None:
    orders = list(permutations(range(6)))
    assert np.mean([_levels(order) for order in orders]) == pytest.approx(6)


def test_how_long_days_last_is_told_from_their_order() -> None:
    dice = np.random.default_rng(1)
    new, weeks = dice.standard_normal(700), np.repeat(dice.standard_normal(100), 7)
    mixed = weeks + dice.standard_normal(700)
    found = lasting(np.column_stack([new, weeks, mixed, np.zeros(700)]))
    assert found[0] < 1.2
    assert found[1] == pytest.approx(7, abs=1)
    assert 3 < found[2] < found[1]
    assert found[3] == 1
    gaps = np.full((6, 1), np.nan)
    assert lasting(gaps) == lasting(np.empty((0, 1))) == 1


def test_a_run_of_equal_days_has_the_rank_of_a_run() -> None:
    weeks = np.repeat([4.0, 2.0, 3.0, 1.0], 7)
    for day in range(7):
        bag = np.append(weeks, np.full(day, 2.5))[:, None]
        rank, number = thinned(*ranks(bag, np.array([2.5])), np.array([7.0]))
        assert (rank[0], number[0]) == (3, 5 if day == 6 else 4)


@pytest.mark.parametrize(("number", "lasts"), [(61, 1.0), (61, 1.3), (60, 2.7), (9, 20.0)])
def test_thinned_ranks_are_no_smaller_than_they_may_be(number: int, lasts: float) -> None:
    """Where days are new after all, the share of ranks up to each is at most what it stands for."""
    rank = np.arange(1, number + 1)
    few, fewer = thinned(rank, np.full(number, number), np.array([lasts]))
    assert all(np.mean(few <= k) <= k / fewer[0] + 1e-12 for k in range(1, fewer[0] + 1))
    assert (e_values(few, fewer) ** (1 / lasts)).mean(axis=0).max() <= 1 + 1e-12
