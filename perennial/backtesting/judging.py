"""Chooses each policy's parameters in one part of history, and judges them in the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.config.metrics import sign
from ml_tasks.errors import RejectedError
from ml_tasks.training.bootstrap import Resamples, interval
from perennial.backtesting import grid, oracle
from perennial.backtesting.walk import Span, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from ml_tasks.config import Retraining
    from ml_tasks.gates.verdict import Interval
    from ml_tasks.result import Window
    from perennial.backtesting.ground import Ground
    from perennial.backtesting.walk import Walk, World

    Numbers = NDArray[np.float64]

DRAWS = 5_000
HALF = 0.5
"""Part of the weekly retrainings that a chosen policy may need."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a policy came to in a part of history, by seed."""

    retraining: Retraining
    walks: tuple[Walk, ...]
    values: Numbers
    """The metric `[seeds, windows]`, NaN where a window has none."""
    rows: Numbers
    """Labelled rows by window."""

    @property
    def qualities(self) -> Numbers:
        """The metric over all windows by their rows, of each seed."""
        return _mean(self.values, self.rows)

    @property
    def quality(self) -> float:
        """The mean over seeds."""
        return float(self.qualities.mean())

    @property
    def trained(self) -> Numbers:
        """Number of retrainings of each seed."""
        return np.array([len(one.trained) for one in self.walks], float)

    @property
    def promoted(self) -> Numbers:
        """How many of them passed their gates."""
        return np.array([len(one.promoted) for one in self.walks], float)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A policy with what was chosen, and how it did where it was chosen and where it is judged."""

    name: str
    tried: int
    """How many variants there were."""
    chosen: Outcome
    judged: Outcome
    regret: Numbers
    """By seed: what the oracle has more with as many retrainings."""


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """All policies, and ours beside weekly retraining."""

    spans: tuple[Span, Span]
    policies: tuple[Judged, ...]
    best: Numbers
    """The oracle's metric `[seeds, retrainings from 0 on]` where policies are judged."""
    over_weekly: Interval
    """By how much ours is better than weekly retraining, over resampled windows."""

    def of(self, name: str) -> Judged:
        """Give a policy by its name."""
        return next(one for one in self.policies if one.name == name)

    @property
    def reached(self) -> bool:
        """Whether ours is as good as weekly retraining with half of its retrainings."""
        ours, weekly = self.of(grid.OURS).judged, self.of(grid.WEEKLY).judged
        few = ours.trained.mean() <= HALF * weekly.trained.mean()
        return bool(few and self.over_weekly.value >= 0)


def judge(
    worlds: Sequence[World],
    spans: tuple[Span, Span],
    picked: Mapping[str, tuple[int, Outcome]],
    metric: str,
) -> Verdict:
    """Judge in the second part what was chosen in the first.

    Args:
        worlds: One a seed.
        spans: Where it was chosen, and where it is judged.
        picked: What `choose` gave.
        metric: Which metric counts.
    """
    late = spans[1]
    best = np.array([frontier(world, late, metric) for world in worlds])
    policies = []
    for name, (tried, chosen) in picked.items():
        judged = outcome(worlds, late, chosen.retraining)
        most = np.array([own[int(k)] for own, k in zip(best, judged.trained, strict=True)])
        regret = sign(metric) * (most - judged.qualities)
        policies.append(Judged(name, tried, chosen, judged, regret))
    by_name = {one.name: one.judged for one in policies}
    over = _better(by_name[grid.OURS], by_name[grid.WEEKLY], metric)
    return Verdict(spans, tuple(policies), best, over)


def choose(
    worlds: Sequence[World], span: Span, given: Retraining, metric: str
) -> dict[str, tuple[int, Outcome]]:
    """Give by policy how many variants were tried, and the best that needs few retrainings.

    The best has the best metric, on average over seeds, among those that train at most half as
    often as weekly retraining does; of equal ones the one that trains less.
    """
    every = {
        name: [outcome(worlds, span, one) for one in variants]
        for name, variants in grid.all_of(given).items()
    }
    most = HALF * float(every[grid.WEEKLY][0].trained.mean())
    found = {}
    for name, tried in every.items():
        few = [one for one in tried if one.trained.mean() <= most]
        found[name] = (len(tried), min(few or tried, key=_rank(metric)))
    return found


def outcome(worlds: Sequence[World], span: Span, retraining: Retraining) -> Outcome:
    """Let a policy walk through each seed's history."""
    walks = tuple(walk(world, span, retraining) for world in worlds)
    scores = [
        [world.score(end, window) for end, window in zip(w.champions, span.windows, strict=True)]
        for world, w in zip(worlds, walks, strict=True)
    ]
    values = np.array([[one.value for one in own] for own in scores])
    return Outcome(retraining, walks, values, np.array([float(s.rows) for s in scores[0]]))


def frontier(world: World, span: Span, metric: str) -> Numbers:
    """Give the oracle's metric with at most so many retrainings, from 0 on."""
    champions = (span.first, *(window.start for window in span.windows[1:]))
    number = len(champions)
    scores = [
        [
            world.score(end, window) if place <= at else None
            for at, window in enumerate(span.windows)
        ]
        for place, end in enumerate(champions)
    ]
    values = np.array([[np.nan if s is None else s.value for s in own] for own in scores])
    rows = np.array([float(s.rows) for s in scores[0] if s is not None])
    known = np.isfinite(values[0])
    weights = np.where(known, rows, 0.0) / rows[known].sum()
    signed = sign(metric) * values
    # A candidate that there is not, since nothing could be learned, is nobody's choice.
    later = np.triu(np.ones((number, number), bool))
    worth = np.where(known, np.where(np.isfinite(signed), signed * weights, -np.inf), 0.0)
    most = oracle.best(np.where(later, worth, 0.0))
    return sign(metric) * most


def halves(
    grounds: Sequence[Ground], windows: Sequence[Window], turn: datetime
) -> tuple[Span, Span]:
    """Cut history in two; each part begins with a champion that passes its gates in each seed.

    Raises:
        RejectedError: No candidate does so before the turn.
    """
    ends = sorted(end for end in grounds[0].candidates if end <= turn)
    good = [end for end in ends if all(ground.passes(end, None) for ground in grounds)]
    if not good or good[0] == turn:
        raise RejectedError(
            f"no model trained before {turn:%Y-%m-%d} passes its gates as the first one; look at "
            "evaluation.gates, or give more history before the turn: --turn DAY"
        )
    early = tuple(w for w in windows if w.start >= good[0] and w.end <= turn)
    late = tuple(w for w in windows if w.start >= turn)
    return Span(good[0], early), Span(good[-1], late)


def _rank(metric: str) -> Callable[[Outcome], tuple[float, float]]:
    return lambda one: (-sign(metric) * one.quality, float(one.trained.mean()))


def _mean(values: Numbers, rows: Numbers) -> Numbers:
    known = np.isfinite(values)
    weights = np.where(known, rows, 0.0)
    found: Numbers = (np.where(known, values, 0.0) * weights).sum(axis=-1) / weights.sum(axis=-1)
    return found


def _better(ours: Outcome, theirs: Outcome, metric: str) -> Interval:
    """Give by how much ours is better, over resampled windows: both are in the same ones."""
    known = np.isfinite(ours.values).all(axis=0) & np.isfinite(theirs.values).all(axis=0)
    gap = sign(metric) * (ours.values - theirs.values).mean(axis=0)[known]
    rows = ours.rows[known]
    counts = Resamples.of(np.arange(len(gap)), DRAWS, seed=0).counts
    return interval((counts @ (gap * rows)) / (counts @ rows))
