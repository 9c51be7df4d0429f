"""An estimate of what a metric will be, and how far off such estimates were on the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.errors import RejectedError
from ml_tasks.gates.verdict import Interval
from ml_tasks.training.bootstrap import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

MIN_DAYS = 2
"""With fewer days there is no spread between days to measure."""


@dataclass(frozen=True, slots=True)
class Estimated:
    """What the metrics of rows without labels are expected to be."""

    rows: int
    left_out: int
    """Rows without a prediction, which do not count."""
    metrics: dict[str, Interval]
    """By metric, with the interval in which the realised value is expected; empty without rows."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How far realised values lay from their estimates, over the days of the reference.

    Rows of one day share weather and outages, so that a day's metric spreads wider than as many
    rows that are independent of each other would let it. The factor between the two is measured
    day by day and taken for any window: the variance is as many times too large everywhere.

    Source: Wedderburn, Quasi-likelihood Functions, Generalized Linear Models, and the
    Gauss-Newton Method, Biometrika 61 (1974).
    """

    factor: float
    """Root mean square of (realised - estimated) / noise."""
    days: int
    """On how many days it was measured."""
    rows: int
    """How many rows the reference has."""

    @classmethod
    def of(cls, away: Numbers, noise: Numbers, rows: int, *, least: float = 0.0) -> Spread:
        """Measure it; days on which either is not a number do not count.

        Args:
            away: Realised less estimated value, by day.
            noise: Standard error of rows that are independent of each other, by day.
            rows: How many rows the reference has.
            least: What the factor is at the least.
        """
        known = np.isfinite(away) & np.isfinite(noise) & (noise > 0)
        if known.sum() < MIN_DAYS:
            return cls(math.nan, int(known.sum()), rows)
        factor = float(np.sqrt(np.mean((away[known] / noise[known]) ** 2)))
        return cls(max(factor, least), int(known.sum()), rows)

    def interval(
        self, value: float, noise: float, rows: int, *, highest: float = math.inf
    ) -> Interval:
        """Give the 95 % interval of what will be realised: Student's t over the measured days.

        What was learned of the reference errs, too, by as much as so many rows do.

        Args:
            value: What is estimated.
            noise: Its standard error if rows were independent of each other.
            rows: Over how many rows.
            highest: What the metric is at the most.
        """
        from scipy.special import stdtrit

        error = self.factor * noise * math.sqrt(1 + rows / self.rows)
        if not math.isfinite(error):
            return Interval(value=value, low=math.nan, high=math.nan)
        reach = float(stdtrit(self.days, (1 + LEVEL) / 2)) * error
        return Interval(
            value=value, low=max(value - reach, 0.0), high=min(value + reach, highest), error=error
        )


def blocks(days: NDArray[np.generic], folds: int) -> NDArray[np.int64]:
    """Give each row's fold `[n]`, counted from 0: neighbouring days, so that none is in two.

    Raises:
        RejectedError: There is but one day.
    """
    names, index = np.unique(days, return_inverse=True)
    if len(names) < MIN_DAYS:
        raise RejectedError(
            f"reference: came {len(names)} days, wanted {MIN_DAYS} or more: what is estimated is "
            "held against other days than it was fitted on; give split.validation_days and "
            "split.test_days more days"
        )
    found: NDArray[np.int64] = index * min(folds, len(names)) // len(names)
    return found
