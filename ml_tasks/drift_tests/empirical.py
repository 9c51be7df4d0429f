"""A reference's numbers, sorted once: what rank tests need of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 16_384
FEW = 4 * BINS
"""Windows with fewer rows are sorted whole; for them bins would cost more."""


@dataclass(frozen=True)
class Empirical:
    """Distinct values, and how many rows lie at or below each."""

    values: NDArray[np.float64]
    """Sorted, infinities included."""
    upto: NDArray[np.int64]
    """Begins with 0; one longer than `values`."""

    @classmethod
    def of(cls, numbers: NDArray[np.float64]) -> Empirical:
        """Sort numbers; none of them is NaN."""
        values, counts = np.unique(numbers, return_counts=True)
        return cls(values, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    @property
    def rows(self) -> int:
        """How many numbers there are."""
        return int(self.upto[-1])

    def expanded(self) -> NDArray[np.float64]:
        """Give the numbers themselves, sorted."""
        return np.repeat(self.values, np.diff(self.upto))

    def around(self, values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count the rows below each value, and those at or below it; all are below NaN."""
        place = np.searchsorted(self.values, values)
        equal = np.append(self.values, np.nan)[place] == values
        return self.upto[place], self.upto[place + equal]

    def distance(self, numbers: NDArray[np.float64]) -> float:
        """Give the largest distance between both distribution functions, exactly.

        At the edges of bins it is known by counting alone. Within a bin it cannot grow by more
        than what lies in the bin, so that few bins can hold the largest, and those alone are
        sorted.
        """
        if len(numbers) < FEW:
            return self._largest(np.sort(numbers), np.zeros(len(numbers), np.int64), len(numbers))
        at = self._grid.places(numbers)
        counts = np.bincount(at, minlength=BINS)
        seen = np.cumsum(counts)
        kept, rise, fall = self._binned, counts / len(numbers), self._binned_share
        ahead = seen / len(numbers) - kept / self.rows
        before = np.concatenate([[0.0], ahead[:-1]])
        bound = np.maximum(
            np.minimum(before + rise, ahead + fall), np.minimum(fall - before, rise - ahead)
        )
        found = float(np.abs(ahead).max())
        open_ = (bound > found) & (counts > 0)
        if not open_.any():
            return found
        inside = counts[open_]
        skipped = (seen - counts)[open_] - (np.cumsum(inside) - inside)
        values = np.sort(numbers[open_[at]])
        return max(found, self._largest(values, np.repeat(skipped, inside), len(numbers)))

    def _largest(self, values: NDArray[np.float64], skipped: NDArray[np.int64], rows: int) -> float:
        """Give the largest distance at some sorted values of a window.

        Args:
            values: Some of the window's numbers, sorted.
            skipped: By value: how many of the window's numbers below it are not among them.
            rows: How many numbers the window has.
        """
        first, last = ties(values)
        below, upto = self.around(values[first])
        skipped = skipped[first]
        # The window is ahead most at one of its own values, the reference just before one.
        ahead = (last + skipped) / rows - upto / self.rows
        behind = below / self.rows - (first + skipped) / rows
        return max(float(ahead.max()), float(behind.max()), 0.0)

    @cached_property
    def _grid(self) -> Grid:
        return Grid.over(self)

    @cached_property
    def _binned(self) -> NDArray[np.int64]:
        """By bin: how many rows lie in it or below."""
        return self.upto[1 + self._last_in_bin]

    @cached_property
    def _last_in_bin(self) -> NDArray[np.int64]:
        at = self._grid.places(self.values)
        return np.searchsorted(at, np.arange(BINS), side="right") - 1

    @cached_property
    def _binned_share(self) -> NDArray[np.float64]:
        """By bin: share of the rows that lie in it."""
        return np.diff(self._binned, prepend=0) / self.rows


@dataclass(frozen=True, slots=True)
class Grid:
    """Bins of the real line, narrow where a reference is dense; sorted as the numbers are."""

    middle: float
    width: float

    @classmethod
    def over(cls, reference: Empirical) -> Grid:
        """Lay the middle at the median, and the width by quartiles, or tails where these agree."""
        finite = reference.values[np.isfinite(reference.values)]
        if not len(finite):
            return cls(0.0, 1.0)
        for low, high in ((0.25, 0.75), (0.05, 0.95), (0.0, 1.0)):
            wanted = (np.array([low, 0.5, high]) * (reference.rows - 1)).astype(np.int64)
            place = np.searchsorted(reference.upto[1:], wanted, side="right")
            left, middle, right = np.clip(reference.values[place], finite[0], finite[-1])
            with np.errstate(over="ignore"):
                width = right - left
            if 0 < width < np.inf:
                break
        else:
            width = 1.0
        return cls(float(middle), float(width))

    def places(self, numbers: NDArray[np.float64]) -> NDArray[np.intp]:
        """Give each number's bin.

        Each step keeps the order in floating point too: equal numbers share a bin, and a smaller
        one never lies in a later bin.
        """
        with np.errstate(over="ignore"):
            scaled = (numbers - self.middle) / self.width
            part = np.abs(scaled)
            part += 1.0
        np.divide(1.0, part, out=part)
        np.subtract(1.0, part, out=part)
        np.copysign(part, scaled, out=part)
        part += 1.0
        part *= BINS / 2
        return np.minimum(part.astype(np.intp), BINS - 1)


def ties(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give where each run of equal values begins, and where it has ended; sorted, not empty."""
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    return np.concatenate([[0], changes]), np.concatenate([changes, [len(values)]])
