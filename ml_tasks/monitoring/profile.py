"""A day's profile held against those of the reference's days: what a test on rows cannot see.

Days differ by nature in some things (how warm it is) and never in others (how many values are
missing, how two columns go together). Each number of a profile is therefore measured in units of
how far the reference's own days lie apart in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

KNOTS = 63
"""Values that cut a column of the reference into parts of equal size."""
BINS = 8
"""Parts whose shares of a day's rows belong to its profile."""
CLEARLY = 1.5
"""How much further off another column has to be to be held the cause."""
LEAST_DAYS = 3
"""With fewer there is no spread between days, one of them left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """What the reference's days are like, and how far they lie apart.

    A profile has, for each column, the share of rows in each of its bins and of missing ones; and
    its correlation with each other column, with how far its values spread in their place.
    """

    names: tuple[str, ...]
    knots: tuple[Floats, ...]
    mean: tuple[Floats, Floats]
    """Of shares (column x bins) and of correlations (column x column)."""
    variance: tuple[Floats, Floats]

    def test(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, tuple[float, float]]:
        """Give, by column, how far a day's values and its ties to other columns lie off.

        Args:
            columns: The day's rows: numbers, NaN where missing.
        """
        shares, ties, rows = self.describe(columns, np.zeros(len(columns[self.names[0]]), np.int64))
        found = off((shares, ties), self.mean, self.variance, rows)
        return {
            name: (float(v), float(t))
            for name, v, t in zip(self.names, *_first(found), strict=True)
        }

    def own_looks(
        self, columns: Mapping[str, NDArray[Any]], days: NDArray[Any]
    ) -> dict[str, tuple[Floats, Floats]]:
        """Give the same for each of the reference's days in order, held against the others."""
        values, ties = own(*self.describe(columns, np.unique(days, return_inverse=True)[1]))
        return {n: (values[:, i], ties[:, i]) for i, n in enumerate(self.names)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give all that `restore` needs, to be kept as npz."""
        return {
            "names": np.array(self.names),
            "knots": np.stack(self.knots),
            "mean_shares": self.mean[0],
            "mean_ties": self.mean[1],
            "variance_shares": self.variance[0],
            "variance_ties": self.variance[1],
        }

    def describe(
        self, columns: Mapping[str, NDArray[Any]], days: NDArray[np.int64]
    ) -> tuple[Floats, Floats, Floats]:
        """Give the profiles of days 0, 1, ... and how many rows each day has."""
        order = np.argsort(days, kind="stable")
        rows = np.bincount(days).astype(np.float64)
        parts = {n: coded(columns[n], k) for n, k in zip(self.names, self.knots, strict=True)}
        shares = np.stack([_shares(part, days, len(rows)) for part in parts.values()], axis=1)
        scores = np.stack([_scores(part)[order] for part in parts.values()], axis=1)
        starts = np.concatenate([[0], np.cumsum(rows).astype(np.int64)])
        ties = np.stack([_ties(scores[a:b]) for a, b in pairwise(starts)])
        return shares, ties, rows


def fit(columns: Mapping[str, NDArray[Any]], days: NDArray[Any]) -> Profiles:
    """Learn from the reference's rows what its days are like.

    Args:
        columns: Numbers, NaN where missing; of a column of texts, what `as_numbers` gives.
        days: The day of each row.

    Raises:
        ConfigError: There are too few days.
    """
    named, codes = np.unique(days, return_inverse=True)
    if len(named) < LEAST_DAYS:
        raise ConfigError(
            f"profiles: the reference has {len(named)} days, wanted {LEAST_DAYS} at least"
        )
    knots = tuple(_knots(column) for column in columns.values())
    empty = (np.empty((0, 0)), np.empty((0, 0)))
    scales = Profiles(tuple(columns), knots, empty, empty)
    shares, ties, _rows = scales.describe(columns, codes)
    return replace(
        scales,
        mean=(shares.mean(axis=0), ties.mean(axis=0)),
        variance=(shares.var(axis=0, ddof=1), ties.var(axis=0, ddof=1)),
    )


def restore(arrays: Mapping[str, NDArray[Any]]) -> Profiles:
    """Make them again of what `Profiles.arrays` gave."""
    return Profiles(
        names=tuple(arrays["names"].tolist()),
        knots=tuple(arrays["knots"]),
        mean=(arrays["mean_shares"], arrays["mean_ties"]),
        variance=(arrays["variance_shares"], arrays["variance_ties"]),
    )


def as_numbers(
    texts: NDArray[Any], worth: Mapping[Any, float], otherwise: float
) -> NDArray[np.float64]:
    """Give for each text what it is worth, such as the mean prediction of its reference rows."""
    words, places = np.unique(texts, return_inverse=True)
    return np.array([worth.get(word, otherwise) for word in words.tolist()], np.float64)[places]


def culprits(ties: Mapping[str, float], usual: Mapping[str, float]) -> dict[str, str]:
    """Give, by column, the one that its ties are most likely off by: often itself.

    A column that is out of joint breaks all of its own ties, and one of each other column's.

    Args:
        ties: By column, how far the day's ties lie off.
        usual: The same on an average day of the reference.
    """
    ratio = {name: value / usual[name] for name, value in ties.items()}
    worst = max(sorted(ratio), key=ratio.__getitem__)
    return {
        name: worst if ratio[worst] > CLEARLY * own_ratio else name
        for name, own_ratio in ratio.items()
    }


def own(shares: Floats, ties: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Give how far each day (first axis) lies off the others, by column."""
    left = [_without_one(shares), _without_one(ties)]
    return off((shares, ties), (left[0][0], left[1][0]), (left[0][1], left[1][1]), rows)


def coded(values: NDArray[Any], knots: Floats) -> NDArray[np.int64]:
    """Give the part that each value falls in, and the last one for missing values."""
    values = np.asarray(values, np.float64)
    return np.where(np.isnan(values), KNOTS + 1, np.searchsorted(knots, values, side="left"))


def _knots(values: NDArray[Any]) -> Floats:
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return np.zeros(KNOTS)
    places = np.arange(1, KNOTS + 1) / (KNOTS + 1)
    return np.asarray(np.quantile(known, places, method="inverted_cdf"), np.float64)


def _shares(parts: NDArray[np.int64], days: NDArray[np.int64], number: int) -> Floats:
    width = (KNOTS + 1) // BINS
    bins = parts // width
    counts = np.bincount(days * (BINS + 1) + bins, minlength=number * (BINS + 1))
    counts = counts.reshape(number, BINS + 1).astype(np.float64)
    shares: Floats = counts / counts.sum(axis=1, keepdims=True)
    return shares


def _scores(parts: NDArray[np.int64]) -> Floats:
    """Give places in the reference's order, from -1 to 1; 0 for missing values."""
    return np.where(parts > KNOTS, 0.0, (2 * parts - KNOTS) / (KNOTS + 1))


def _ties(scores: Floats) -> Floats:
    """Give correlations between columns, and on the diagonal how far each one spreads."""
    centred = scores - scores.mean(axis=0)
    moments = centred.T @ centred / len(scores)
    spread = np.sqrt(np.diag(moments)) + 1e-3
    found = moments / np.outer(spread, spread)
    np.fill_diagonal(found, np.log(spread))
    return np.asarray(found, np.float64)


def _without_one(values: Floats) -> tuple[Floats, Floats]:
    """Give mean and variance of all days but one, for each of them."""
    number = len(values)
    total, squares = values.sum(axis=0), (values**2).sum(axis=0)
    mean = (total - values) / (number - 1)
    variance = (squares - values**2 - (number - 1) * mean**2) / (number - 2)
    return mean, np.maximum(variance, 0.0)


def off(
    found: tuple[Floats, Floats],
    mean: tuple[Floats, Floats],
    variance: tuple[Floats, Floats],
    rows: Floats,
) -> tuple[Floats, Floats]:
    """Give, by day and column, sums of squares in units of what days and few rows do by nature."""
    few = rows[:, None, None]
    chance = (mean[0] * (1 - mean[0]) + 0.25 / few) / few
    shares = ((found[0] - mean[0]) ** 2 / (variance[0] + chance)).sum(axis=2)
    ties = ((found[1] - mean[1]) ** 2 / (variance[1] + 1 / few)).sum(axis=2)
    return shares, ties


def _first(found: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return found[0][0], found[1][0]
