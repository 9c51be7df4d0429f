"""What a monitor sees of a day: statistics of all signals, for days drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.monitoring import profile
from ml_tasks.monitoring.profile import KNOTS, Profiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from perennial.alarm_days import Flights, Rows

    Floats = NDArray[np.float64]

PREDICTION = "prediction"
ESTIMATED, BEYOND = "estimated loss", "loss beyond the estimate"


@dataclass(frozen=True, eq=False)
class Described:
    """Days, each with all that statistics are made of."""

    parts: Floats
    """Rows by day, column and 64th of the reference; the last are missing."""
    shares: Floats
    ties: Floats
    rows: Floats
    estimated: Floats
    """Mean log loss that the predictions themselves expect."""
    beyond: Floats
    """Mean log loss less that."""

    def of(self, days: NDArray[np.int64]) -> Described:
        """Give the days in that order, a day as often as it is named."""
        return Described(
            self.parts[days], self.shares[days], self.ties[days], self.rows[days],
            self.estimated[days], self.beyond[days],
        )  # fmt: skip


def measure(flights: Flights) -> Profiles:
    """Fit the scales by which days are described, on all days without drift."""
    return profile.fit(_columns(flights.rows), flights.rows.days)


def describe(rows: Rows, scales: Profiles) -> Described:
    """Describe each day of the rows."""
    columns = _columns(rows)
    shares, ties, number = scales.describe(columns, rows.days)
    width = KNOTS + 2
    parts = np.stack(
        [
            np.bincount(
                rows.days * width + profile.coded(columns[name], knots),
                minlength=len(number) * width,
            ).reshape(-1, width)
            for name, knots in zip(scales.names, scales.knots, strict=True)
        ],
        axis=1,
    ).astype(np.float64)
    p = np.clip(rows.predictions, 1e-6, 1 - 1e-6)
    expected = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    realised = -np.where(rows.labels == 1, np.log(p), np.log(1 - p))
    estimated = np.bincount(rows.days, expected) / number
    return Described(
        parts,
        shares,
        ties,
        number,
        estimated,
        np.bincount(rows.days, realised) / number - estimated,
    )


def statistics(
    names: tuple[str, ...], reference: Described, looks: Described
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Give by signal the reference's own statistics, each day without itself, and the looks'."""
    counts = reference.parts.sum(axis=0)
    spread = (reference.shares, reference.ties)
    mean = (reference.shares.mean(axis=0), reference.ties.mean(axis=0))
    variance = (reference.shares.var(axis=0, ddof=1), reference.ties.var(axis=0, ddof=1))
    both = (
        (
            reference,
            distances(reference.parts, counts - reference.parts),
            profile.own(*spread, reference.rows),
        ),
        (
            looks,
            distances(looks.parts, counts),
            profile.off((looks.shares, looks.ties), mean, variance, looks.rows),
        ),
    )
    own, new = (_named(names, days, ks, *off) for days, ks, off in both)
    return own, new


def distances(days: Floats, others: Floats) -> Floats:
    """Give Kolmogorov and Smirnov's distance of the values that are there, by day and column."""
    found: Floats = np.abs(_cumulated(days) - _cumulated(others)).max(axis=-1)
    # Where a day has no value at all, there is nothing that could be near.
    return np.where(days[..., :-1].sum(axis=-1) == 0, 1.0, found)


def costs(
    names: tuple[str, ...], flights: Flights, looks: Mapping[str, float], usual: Mapping[str, float]
) -> dict[str, float]:
    """Estimate what the metric loses by each signal's drift.

    A column may lose what it is worth, a tie what the column is worth that it is off by; missing
    values lose by their share beyond the usual.
    """
    worth = potential(names, flights)
    gone = {
        f"missing {name}": flights.gone.get(name, 0.0)
        * max(looks[f"missing {name}"] - usual[f"missing {name}"], 0.0)
        for name in names
        if name != PREDICTION
    }
    off, normal = ({n: of[f"ties {n}"] for n in names} for of in (looks, usual))
    blamed = {
        f"ties {name}": worth[f"ties {culprit}"]
        for name, culprit in profile.culprits(off, normal).items()
    }
    return worth | gone | blamed


def potential(names: tuple[str, ...], flights: Flights) -> dict[str, float]:
    """Give by signal what its drift may cost at most."""
    most = max(flights.worth.values())
    found = {ESTIMATED: most, BEYOND: most}
    for name in names:
        worth = flights.worth.get(name, most)
        found |= {f"{kind} {name}": worth for kind in ("ks", "values", "ties")}
        if name != PREDICTION:
            found[f"missing {name}"] = flights.gone[name]
    return found


def _named(
    names: tuple[str, ...], days: Described, ks: Floats, values: Floats, ties: Floats
) -> dict[str, Floats]:
    missing = days.parts[..., -1] / days.rows[:, None]
    found = {ESTIMATED: days.estimated, BEYOND: days.beyond}
    for place, name in enumerate(names):
        found[f"ks {name}"] = ks[:, place]
        found[f"values {name}"] = values[:, place]
        found[f"ties {name}"] = ties[:, place]
        if name != PREDICTION:
            found[f"missing {name}"] = missing[:, place]
    return found


def _columns(rows: Rows) -> dict[str, Floats]:
    return {**rows.columns, PREDICTION: rows.predictions}


def _cumulated(parts: Floats) -> Floats:
    upto = np.cumsum(parts[..., :-1], axis=-1)
    shares: Floats = upto / np.maximum(upto[..., -1:], 1.0)
    return shares
