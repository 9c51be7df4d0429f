"""Where a look stands among all looks before it: conformal p-values.

Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2nd edition, 2022,
chapters 2 and 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def p_values(bag: NDArray[np.float64], look: NDArray[np.float64]) -> NDArray[Any]:
    """Give the look's p-values; NaN where nothing was measured."""
    rank, number = ranks(bag, look)
    return np.where(np.isnan(look), np.nan, rank / number)
