from __future__ import annotations

import math

import numpy as np
import pytest

from ml_tasks.training.bootstrap import MEASURED, Resamples, better, interval, metrics
from ml_tasks.training.metrics import measure

DICE = np.random.default_rng(2)
N = 600
DAYS = DICE.integers(0, 12, size=N)
P = DICE.uniform(size=N).round(2)
Y = (DICE.uniform(size=N) < P).astype(float)


@pytest.mark.parametrize(
    ("task", "y", "p"),
    [("classification", Y, P), ("regression", DICE.normal(size=N), DICE.normal(size=N))],
)
def test_each_draw_is_the_metric_of_the_drawn_days(
    task: str, y: np.ndarray[tuple[int], np.dtype[np.float64]], p: object
) -> None:
    """The sums by day against scikit-learn on the rows, laid out as often as they were drawn."""
    resamples = Resamples.of(DAYS, 5, seed=1)
    found = metrics(task, y, np.asarray(p), resamples)  # type: ignore[arg-type]
    for draw, counts in enumerate(resamples.counts):
        rows = np.repeat(np.arange(N), counts[resamples.days].astype(int))
        wanted = measure(task, y[rows], np.asarray(p)[rows])  # type: ignore[arg-type]
        assert tuple(found) == MEASURED[task]
        for name, values in found.items():
            assert values[draw] == pytest.approx(wanted[name], abs=1e-9), name


def test_the_draws_are_the_same_for_all_and_for_the_same_seed() -> None:
    one, two = (Resamples.of(DAYS, 50, seed=3) for _ in range(2))
    assert np.array_equal(one.counts, two.counts)
    assert (one.counts.sum(axis=1) == 12).all()
    assert (one.counts[0] == 1).all()


def test_a_paired_difference_points_the_right_way() -> None:
    worse = np.clip(P * 0.5 + 0.25, 0, 1)
    resamples = Resamples.of(DAYS, 300, seed=3)
    ours, theirs = (metrics("classification", Y, p, resamples) for p in (P, worse))
    gain = better("brier", ours["brier"], theirs["brier"])
    assert gain.low > 0
    assert gain.value == pytest.approx(theirs["brier"][0] - ours["brier"][0])
    tied = better("roc_auc", ours["roc_auc"], theirs["roc_auc"])
    assert abs(tied.value) < 1e-9


def test_intervals_cover_what_they_promise() -> None:
    """Of 200 samples with known mean error, about 95 % of intervals hold it."""
    hits = 0
    for seed in range(200):
        dice = np.random.default_rng(seed)
        days = np.repeat(np.arange(40), 10)
        error = np.repeat(dice.normal(size=40), 10) + dice.normal(size=400)
        found = interval(
            metrics("regression", np.zeros(400), error, Resamples.of(days, 200, 0))["rmse"]
        )
        hits += found.low <= math.sqrt(2) <= found.high
    assert 170 <= hits <= 200


@pytest.mark.parametrize(
    ("rows", "wanted"), [([5], 1.0), ([3, 3, 3], 3.0), ([98, 1, 1], 1.04), ([0, 4, 4], 2.0)]
)
def test_a_day_that_holds_most_rows_is_nearly_the_only_one(rows: list[int], wanted: float) -> None:
    days = np.repeat(np.arange(len(rows)), rows)
    assert Resamples.of(days, 1, 0).effective_days == pytest.approx(wanted, abs=0.01)


def test_the_standard_error_is_that_of_a_mean_over_days() -> None:
    """Of equal days, the mean's error is their spread by the root of their number."""
    means = np.random.default_rng(4).normal(size=25)
    away = np.repeat(np.abs(means), 10)
    draws = Resamples.of(np.repeat(np.arange(25), 10), 4000, 0)
    found = interval(metrics("regression", np.zeros(250), away, draws)["mae"])
    assert found.error == pytest.approx(np.abs(means).std() / 5, rel=0.05)
    assert abs(found.bias) < found.error / 20


def test_noise_raises_the_calibration_error_and_the_bias_says_so() -> None:
    found = interval(metrics("classification", Y, P, Resamples.of(DAYS, 500, 0))["ece"])
    assert 0 < found.value - found.bias < found.value


def test_one_draw_tells_no_spread() -> None:
    found = interval(np.array([0.5, 0.6, math.nan]))
    assert found.value == 0.5
    assert all(map(math.isnan, (found.low, found.high, found.error, found.bias)))


def test_one_class_is_not_a_number_but_an_answer() -> None:
    found = interval(
        metrics("classification", np.zeros(N), P, Resamples.of(DAYS, 20, 0))["roc_auc"]
    )
    assert math.isnan(found.value)
    assert math.isnan(found.low)
