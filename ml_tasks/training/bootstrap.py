"""Intervals by resampling whole days: flights of one day are not independent of each other.

Source: block bootstrap, Künsch, The Jackknife and the Bootstrap for General Stationary
Observations, Annals of Statistics 17 (1989). Every metric is brought to sums by day (for ROC AUC,
to counts of ordered pairs by pair of days), so that a resample costs a few products of matrices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ml_tasks.config.metrics import sign
from ml_tasks.gates.verdict import Interval
from ml_tasks.training.metrics import BINS, EDGE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Draws = dict[str, Numbers]

MEASURED = {
    "classification": (
        "accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier", "ece",
    ),
    "regression": ("mae", "rmse", "r2"),
}  # fmt: skip
"""By task: the metrics that have an interval, which are those that a gate can judge."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Resamples:
    """How often each day counts `[draws + 1, days]`; the first row counts each once."""

    days: NDArray[np.int64]
    """Day of each row `[n]`, counted from 0."""
    counts: Numbers

    @classmethod
    def of(cls, days: NDArray[np.generic], draws: int, seed: int) -> Resamples:
        """Draw days with replacement, as many as there are; of one day nothing is drawn.

        Each of its draws would be the same, which would tell anything from anything else.
        """
        names, index = np.unique(days, return_inverse=True)
        n = len(names)
        if n < 2:
            return cls(index, np.ones((1, n)))
        drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
        return cls(index, np.vstack([np.ones((1, n)), drawn]))

    def only(self, rows: NDArray[np.bool_]) -> Resamples:
        """Give the same draws for some of the rows."""
        return Resamples(self.days[rows], self.counts)

    @property
    def effective_days(self) -> float:
        """How many days of equal size would weigh like these: one that holds most rows is one.

        Source: Kish, Survey Sampling (1965), the effective size of a weighted sample.
        """
        rows = np.bincount(self.days).astype(float)
        return float(rows.sum() ** 2 / (rows**2).sum())


def metrics(
    task: Literal["classification", "regression"], y: Numbers, p: Numbers, resamples: Resamples
) -> Draws:
    """Give each metric for the rows as they are, then for each draw: `[draws + 1]`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (_classification if task == "classification" else _regression)(y, p, resamples)


def interval(draws: Numbers) -> Interval:
    """Give the value with percentile interval, standard error and bias; NaN without two draws."""
    finite = draws[1:][np.isfinite(draws[1:])]
    value = float(draws[0])
    if finite.size < 2:
        return Interval(value=value, low=math.nan, high=math.nan)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return Interval(
        value=value,
        low=float(low),
        high=float(high),
        error=float(finite.std(ddof=1)),
        bias=float(finite.mean()) - value,
    )


def better(metric: str, ours: Numbers, theirs: Numbers) -> Interval:
    """Give by how much ours is better, paired by draw; positive is better."""
    return interval(sign(metric) * (ours - theirs))


def _by_day(resamples: Resamples, *columns: Numbers) -> list[Numbers]:
    """Give the sum of each column in each draw: `[draws + 1]` a column."""
    n = resamples.counts.shape[1]
    sums = [np.bincount(resamples.days, weights=c, minlength=n) for c in columns]
    return [resamples.counts @ s for s in sums]


def _classification(y: Numbers, p: Numbers, resamples: Resamples) -> Draws:
    said = (p >= 0.5).astype(float)
    inside = np.clip(p, EDGE, 1 - EDGE)
    surprise = -(y * np.log(inside) + (1 - y) * np.log(1 - inside))
    n, hits, right, claimed, ones, loss, square = _by_day(
        resamples, np.ones_like(y), said * y, (said == y).astype(float), said, y, surprise,
        (p - y) ** 2,
    )  # fmt: skip
    precision, recall = hits / np.maximum(claimed, 1e-12), hits / np.maximum(ones, 1e-12)
    return {
        "accuracy": right / n,
        "precision": precision,
        "recall": recall,
        "f1": 2 * hits / np.maximum(claimed + ones, 1e-12),
        "roc_auc": _auc(y, p, resamples),
        "log_loss": loss / n,
        "brier": square / n,
        "ece": _ece(y, p, resamples) / n,
    }


def _ece(y: Numbers, p: Numbers, resamples: Resamples) -> Numbers:
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    days = resamples.counts.shape[1]
    gaps = np.bincount(resamples.days * BINS + bins, weights=p - y, minlength=days * BINS)
    found: Numbers = np.abs(resamples.counts @ gaps.reshape(days, BINS)).sum(axis=1)
    return found


def _auc(y: Numbers, p: Numbers, resamples: Resamples) -> Numbers:
    """Give ROC AUC from the pairs of a one and a zero that are in order, ties counting half."""
    days = resamples.counts.shape[1]
    ones, zeros = y == 1, y == 0
    pairs = np.zeros((days, days))
    for day in range(days):
        lower = np.sort(p[zeros & (resamples.days == day)])
        below = np.searchsorted(lower, p[ones], "left") + np.searchsorted(lower, p[ones], "right")
        pairs[:, day] = np.bincount(resamples.days[ones], weights=below / 2, minlength=days)
    ordered = np.einsum("bi,ij,bj->b", resamples.counts, pairs, resamples.counts, optimize=True)
    all_ones, all_zeros = _by_day(resamples, ones.astype(float), zeros.astype(float))
    found: Numbers = ordered / (all_ones * all_zeros)
    return found


def _regression(y: Numbers, p: Numbers, resamples: Resamples) -> Draws:
    n, away, square, total, power = _by_day(
        resamples, np.ones_like(y), np.abs(p - y), (p - y) ** 2, y, y**2
    )
    return {
        "mae": away / n,
        "rmse": np.sqrt(square / n),
        "r2": 1 - square / (power - total**2 / n),
    }
