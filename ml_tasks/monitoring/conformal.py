"""Where a look stands among all looks before it: conformal p-values.

Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2nd edition, 2022,
chapters 2 and 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORTEST = 4
"""Of so many days the reference must have as often as a lag is long, for it to be measured."""


def ranks(
    bag: NDArray[np.float64], look: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give, by signal, the look's rank from above and among how many; their ratio is its p-value.

    Where looks come in any order with equal chance, the rank of each is uniform among those so
    far, and independent of the ranks before it, provided that each look joins the bag. An equal
    value counts as larger, so that ties make a p-value larger than it had to be.

    Args:
        bag: Statistics of the looks before, a row each; NaN where there was none.
        look: Those of the new look.
    """
    rank = 1 + (bag >= look).sum(axis=0)
    number = 1 + (~np.isnan(bag)).sum(axis=0)
    return rank, number


def lasting(own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give, by signal, how many days in a row tell what one of them tells: 1 where each is new.

    That is 1 and twice the autocorrelations of the days' ranks, up to the first lag at which they
    are no more than chance makes them (one standard error).

    Args:
        own: Statistics of the reference's days in their order, a row each; NaN where there was
            none.
    """
    return np.array([_lasting(column[~np.isnan(column)]) for column in own.T], np.float64)


def thinned(
    rank: NDArray[np.int64], number: NDArray[np.int64], lasting: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give rank and number among so many fewer looks, of which each tells something new.

    Where looks come in runs that are equal, a run's rank among the runs; rounded to the safe side.
    """
    fewer = np.maximum(np.floor(number / lasting), 1).astype(np.int64)
    return np.ceil(rank / lasting).astype(np.int64), fewer


def _lasting(own: NDArray[np.float64]) -> float:
    number = len(own)
    places = np.searchsorted(np.sort(own), own) + np.searchsorted(np.sort(own), own, "right")
    centred = places - places.mean() if number else places
    spread, found = float((centred**2).sum()), 1.0
    for lag in range(1, number // SHORTEST):
        alike = float((centred[lag:] * centred[:-lag]).sum()) / spread if spread else 0.0
        if alike <= number**-0.5:
            break
        found += 2 * alike
    return found
