"""Bets against a rank: what turns p-values into e-values.

Sources: Vovk and Wang, E-values: Calibration, combination and applications, Annals of Statistics
49 (2021), for power calibrators; here they are scaled to the few values that a rank has.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXPONENTS = (0.5, 0.75, 1.0, 1.5)
"""Of the bets, from a cautious one to one that wins fast where looks leave the reference's range.

A calibrator of p in [0, 1] needs exponents below 1. A rank among n looks is never below 1, so that
the sum of `rank ** -exponent` is finite for each exponent, and dividing by it wastes nothing.
"""


def e_values(rank: NDArray[np.int64], number: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give a row of e-values for each rank, one a bet: on average 1 over the ranks 1 to number.

    Each falls with the rank, so that a rank that ties made larger wins no more than it should.
    """
    prizes = np.array([_prizes(int(one)) for one in number]).reshape(-1, len(EXPONENTS))
    won: NDArray[np.float64] = prizes * rank[:, None] ** -np.array(EXPONENTS)
    return won


@lru_cache(maxsize=4096)
def _prizes(number: int) -> tuple[float, ...]:
    places = np.arange(1, number + 1, dtype=np.float64)
    return tuple(number / float((places**-exponent).sum()) for exponent in EXPONENTS)
