"""One measurement of ours beside a peer's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Measured:
    """What we took and what the peer took for the same."""

    what: str
    """What was done."""
    ours: float
    peer: str
    """Who else did it, or what we promise."""
    theirs: float
    unit: str
    """`s`, `s CPU`, `ms` …"""
    bound: float | None = None
    """Largest ratio that we promise; `None` where the numbers are for information."""
    note: str = ""

    @property
    def ratio(self) -> float:
        """Ours as a multiple of theirs."""
        return self.ours / self.theirs

    @property
    def kept(self) -> bool:
        """Whether the ratio is within its bound; it is where there is none."""
        return self.bound is None or self.ratio <= self.bound


class Spent(NamedTuple):
    """Seconds of one try, by the clock and of the processor."""

    wall: float
    cpu: float


def spent(work: Callable[[], object]) -> Spent:
    """Give what a piece of work takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)
