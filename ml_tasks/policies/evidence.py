"""What a policy decides from, and what it can say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from ml_tasks.io.reports import Report
    from ml_tasks.result import Window


@dataclass(frozen=True, slots=True)
class Measured:
    """The champion's metric on one window."""

    window: Window
    value: float
    error: float
    """Its standard error."""
    rows: int


@dataclass(frozen=True, slots=True)
class Page:
    """An alarm that was worth waking somebody for."""

    at: datetime
    signals: tuple[str, ...]
    """The signals that moved, the dearest first."""
    loss: float | None
    """What it costs in the metric, by estimate."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known at a window's end of the champion that was watched in it."""

    window: Window
    """The last one that was watched."""
    learned_until: datetime
    """End of what the champion learned from."""
    metric: str
    sign: int
    """1 where a larger metric is better, -1 where a smaller one is."""
    reference: Measured
    """The champion's metric on its own test range."""
    realised: tuple[Measured, ...] = ()
    """By window, oldest first, as far as labels are known."""
    estimated: tuple[Measured, ...] = ()
    """By window, oldest first; before labels are known."""
    pages: tuple[Page, ...] = ()
    """Since the champion is watched."""
    reports: tuple[Report, ...] = ()
    """Open alerts of other systems that nobody has asked a training for."""
    asked: tuple[datetime, ...] = ()
    """Window ends of the trainings that policies asked for, but of this one."""

    def loss(self, value: float) -> float:
        """Give how much worse a value is than the reference; negative where it is better."""
        return self.sign * (self.reference.value - value)


@dataclass(frozen=True, slots=True)
class Wish:
    """A policy's wish to train."""

    policy: str
    why: str
    gain: float | None
    """What of the metric it expects to win; `None` where it cannot know."""
