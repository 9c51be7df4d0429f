"""The best that could have been done, had one known what comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def best(worth: Numbers) -> Numbers:
    """Give the most that can be had with at most so many retrainings, from 0 on.

    By dynamic programming, from the last window to the first: with each champion in each window
    either it stays, or the candidate that was trained at the window's beginning takes over. No
    gate and no limit holds the oracle back.

    Args:
        worth: Of each champion in each window `[n, n]`, larger is better; champion 0 is the first
            one, champion `i` was trained at the beginning of window `i` and can predict from it on.
    """
    number = len(worth)
    ahead = np.zeros((number, number))
    # From a window on: row by champion, column by how many retrainings may still be.
    for window in range(number - 1, -1, -1):
        now = ahead + worth[:, window][:, None]
        if window:
            change = np.full_like(ahead, -np.inf)
            change[:window, 1:] = now[window, :-1]
            now = np.maximum(now, change)
        ahead = now
    most: Numbers = ahead[0]
    return most
