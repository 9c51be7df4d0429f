"""How evidence adds up from look to look: e-detectors.

Source: Shin, Ramdas and Rinaldo, E-detectors: a nonparametric framework for sequential change
detection, New England Journal of Statistics in Data Science 2 (2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.monitoring.calibrators import EXPONENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fresh(signals: int) -> NDArray[np.float64]:
    """Give the capitals of signals that nothing was seen of: a row a signal, a column a bet."""
    return np.zeros((signals, len(EXPONENTS)))


def shiryaev_roberts(
    capitals: NDArray[np.float64], e_values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Put a new unit on each bet, then let the look decide: sums over all days of a change.

    Without drift a capital grows by 1 a look on average, so it is worth n after n looks.
    """
    return (capitals + 1.0) * e_values


def level(capitals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give each signal's level: the mean over its bets, which all see the same ranks."""
    mean: NDArray[np.float64] = capitals.mean(axis=1)
    return mean
