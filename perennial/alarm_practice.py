"""Common practice, as stated rules on the same days: each window by itself, each column by itself.

The rules are those of scipy's users, of evidently 0.7 (reference of over 1,000 rows) and of nannyml
0.13 by default, written anew on columns cut into 64 parts; bench/ runs the tools for their speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.drift_tests import profile
from ml_tasks.drift_tests.kept import Told
from perennial.alarm_days import INPUTS

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Rule = Callable[[Floats, Floats], NDArray[np.bool_]]

P_VALUE = 0.05
DISTANCE = 0.1
"""From which evidently calls a column drifted."""
SHARE = 0.5
"""Of drifted columns, from which evidently calls the data drifted."""
DEVIATIONS = 3
"""Between a reference's mean and nannyml's threshold."""


class Cut:
    """Columns cut where the rows of all days are cut into parts of equal size."""

    def __init__(self, rows: pl.DataFrame) -> None:
        """Learn where."""
        import polars as pl

        told = Told("profile", "scipy", profile.Params(time="date"))
        dated = rows.select(*INPUTS, "prediction", date=rows["day"].cast(pl.Date))
        self._kept = profile.fit(dated.to_arrow(), told)

    def days(self, rows: pl.DataFrame) -> Floats:
        """Count rows by day, column and part; the last part are missing values."""
        parts = self._kept.parts(rows.select(*INPUTS, "prediction").to_arrow())
        width, number = profile.MISSING + 1, parts.shape[1]
        places = (
            parts + width * np.arange(number) + width * number * rows["day"].to_numpy()[:, None]
        )
        days = int(rows["day"][-1]) + 1
        counted = np.bincount(places.ravel(), minlength=days * number * width)
        return counted.reshape(days, number, width).astype(np.float64)


def any_p_value(reference: Floats, looks: Floats) -> NDArray[np.bool_]:
    """Alarm where one column's Kolmogorov-Smirnov test gives p < 0.05."""
    return np.asarray((_p_values(reference, looks) < P_VALUE).any(axis=1))


def corrected(reference: Floats, looks: Floats) -> NDArray[np.bool_]:
    """Alarm where one p-value is below 0.05 divided by the number of columns."""
    found = _p_values(reference, looks)
    return np.asarray((found < P_VALUE / found.shape[1]).any(axis=1))


def share_of_columns(reference: Floats, looks: Floats) -> NDArray[np.bool_]:
    """Alarm where half of the columns lie 0.1 standard deviations or more off, as evidently does.

    Distances are Wasserstein's, on the scale of places in the reference.
    """
    ours, theirs = _values(reference.sum(axis=0)), _values(looks)
    gaps = np.abs(np.cumsum(ours, axis=-1) - np.cumsum(theirs, axis=-1)).sum(axis=-1)
    places = np.arange(ours.shape[-1])
    mean = (ours * places).sum(axis=-1)
    spread = np.sqrt((ours * places**2).sum(axis=-1) - mean**2)
    return np.asarray((gaps / spread >= DISTANCE).mean(axis=1) >= SHARE)


def beyond_deviations(reference: Floats, looks: Floats) -> NDArray[np.bool_]:
    """Alarm where one column's Jensen-Shannon distance exceeds the reference days' own, as nannyml.

    The threshold is their mean and three standard deviations.
    """
    whole = reference.sum(axis=0)
    own, new = _jensen_shannon(reference, whole), _jensen_shannon(looks, whole)
    return np.asarray((new > own.mean(axis=0) + DEVIATIONS * own.std(axis=0)).any(axis=1))


RULES: dict[str, Rule] = {
    "KS, p < 0.05 in a column": any_p_value,
    "KS, p < 0.05 / columns": corrected,
    "half of columns >= 0.1 off": share_of_columns,
    "JS > mean + 3 sd in a column": beyond_deviations,
}


def _p_values(reference: Floats, looks: Floats) -> Floats:
    """Give p-values by look and column, by the asymptotic law that large samples have."""
    from scipy.special import kolmogorov

    whole = reference.sum(axis=0)
    distances = _distances(looks, whole)
    ours, theirs = whole[:, :-1].sum(axis=-1), looks[..., :-1].sum(axis=-1)
    size = np.sqrt(ours * theirs / np.maximum(ours + theirs, 1.0))
    return np.asarray(kolmogorov(size * distances), np.float64)


def _distances(days: Floats, whole: Floats) -> Floats:
    """Give Kolmogorov and Smirnov's of the values that are there, by day and column."""
    ours, theirs = (np.cumsum(_values(of), axis=-1) for of in (days, whole))
    found: Floats = np.abs(ours - theirs).max(axis=-1)
    return found


def _values(parts: Floats) -> Floats:
    """Give the shares of parts among values that are there."""
    there = parts[..., :-1]
    shares: Floats = there / np.maximum(there.sum(axis=-1, keepdims=True), 1.0)
    return shares


def _jensen_shannon(days: Floats, whole: Floats) -> Floats:
    p, q = _values(days), np.broadcast_to(_values(whole), days[..., :-1].shape)
    middle = (p + q) / 2

    def divergence(a: Floats) -> Floats:
        """Give Kullback and Leibler's, in bits, from the middle."""
        ratio = np.divide(a, middle, out=np.ones_like(a), where=a > 0)
        return np.asarray((a * np.log2(ratio)).sum(axis=-1), np.float64)

    return np.sqrt(np.maximum((divergence(p) + divergence(q)) / 2, 0.0))
