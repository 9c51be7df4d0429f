from __future__ import annotations

import math

import numpy as np
import pytest

from ml_tasks.training.bootstrap import Resamples, better, interval, metrics
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


def test_one_class_is_not_a_number_but_an_answer() -> None:
    found = interval(
        metrics("classification", np.zeros(N), P, Resamples.of(DAYS, 20, 0))["roc_auc"]
    )
    assert math.isnan(found.value)
    assert math.isnan(found.low)
