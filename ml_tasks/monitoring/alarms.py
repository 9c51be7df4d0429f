"""Watches the looks of one model: what each signal's evidence has come to, and who pages."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.errors import ConfigError
from ml_tasks.monitoring import conformal, detectors
from ml_tasks.monitoring.calibrators import e_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from ml_tasks.monitoring.budget import Budget


@dataclass(frozen=True, slots=True)
class Signal:
    """What one signal says at a look."""

    name: str
    statistic: float
    """NaN where the look has none."""
    p_value: float
    """The look's rank among all before it."""
    level: float
    """Evidence so far; without drift it grows by 1 a look on average."""
    threshold: float
    cost: float
    """What the metric loses by it, as estimated."""
    alarm: bool

    @property
    def share(self) -> float:
        """How much of the way to an alarm."""
        return self.level / self.threshold


@dataclass(frozen=True, eq=False)  # the signals are kept once they are made: no slots
class Update:
    """What a look has changed."""

    look: int
    """Its number since the reference, from 1."""
    floor: float
    told: Callable[[], Iterable[Signal]]
    """Makes its signals: of most looks that are taken again nobody asks for them."""

    @cached_property
    def signals(self) -> tuple[Signal, ...]:
        """The one that matters most first: by share times cost."""
        return tuple(
            sorted(self.told(), key=lambda s: (-s.share * s.cost if s.share else 0.0, s.name))
        )

    @property
    def level(self) -> float:
        """The whole's level: the share of the signal that is furthest; 1 is an alarm."""
        return max(signal.share for signal in self.signals)

    @property
    def pages(self) -> tuple[Signal, ...]:
        """Alarms that a person is called for."""
        return tuple(s for s in self.signals if s.alarm and s.cost >= self.floor)

    @property
    def listed(self) -> tuple[Signal, ...]:
        """Alarms that cost too little to call for anybody."""
        return tuple(s for s in self.signals if s.alarm and s.cost < self.floor)

    @property
    def alarm(self) -> bool:
        """Whether somebody is paged."""
        return bool(self.pages)


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """A model's signals, all looks at them so far, and what their evidence has come to."""

    names: tuple[str, ...]
    thresholds: NDArray[np.float64]
    floor: float
    """Estimated cost below which an alarm is listed and nobody is paged."""
    bag: NDArray[np.float64]
    """Statistics of the reference's own looks and of all since: a row a look, a column a signal."""
    lasting: NDArray[np.float64]
    """By signal, how many days in a row tell what one of them tells."""
    capitals: NDArray[np.float64]
    looks: int = 0

    def look(
        self, statistics: Mapping[str, float], costs: Mapping[str, float] | None = None
    ) -> tuple[Watch, Update]:
        """Take a look; larger statistics are worse. A signal that alarms begins again from nothing.

        Args:
            statistics: By signal; what is left out or NaN was not measured and changes nothing.
            costs: By signal, what its drift costs the metric as estimated; if unknown, it pages.

        Raises:
            ConfigError: A signal is unknown, or its statistic infinite.
        """
        values = self._values(statistics)
        rank, number = conformal.ranks(self.bag, values)
        moved = detectors.shiryaev_roberts(self.capitals, self._won(rank, number))
        seen = ~np.isnan(values)
        capitals = np.where(seen[:, None], moved, self.capitals)
        levels = detectors.level(capitals)
        alarms = seen & (levels >= self.thresholds)
        after = replace(
            self,
            bag=np.vstack([self.bag, values]),
            capitals=np.where(alarms[:, None], 0.0, capitals),
            looks=self.looks + 1,
        )
        p_values = np.where(seen, rank / number, np.nan)
        known = {name: cost for name, cost in (costs or {}).items() if not math.isnan(cost)}

        def told() -> Iterator[Signal]:
            for name, value, p, level, threshold, alarm in zip(
                self.names, values.tolist(), p_values.tolist(), levels.tolist(),
                self.thresholds.tolist(), alarms.tolist(), strict=True,
            ):  # fmt: skip
                yield Signal(name, value, p, level, threshold, known.get(name, math.inf), alarm)

        return after, Update(after.looks, self.floor, told)

    def _won(self, rank: NDArray[np.int64], number: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give e-values of which as many as tell the same win together no more than one may.

        The mean of a product of n-th roots is at most that of what they are roots of, however
        these hang together (Hölder).
        """
        whole = e_values(*conformal.thinned(rank, number, self.lasting))
        won: NDArray[np.float64] = whole ** (1 / self.lasting[:, None])
        return won

    def _values(self, statistics: Mapping[str, float]) -> NDArray[np.float64]:
        if unknown := sorted(set(statistics) - set(self.names)):
            raise ConfigError(
                f"look: signals {unknown} are not watched; wanted some of {list(self.names)}"
            )
        values = np.array([statistics.get(name, math.nan) for name in self.names], np.float64)
        if np.isinf(values).any():
            wrong = [n for n, v in zip(self.names, values, strict=True) if np.isinf(v)]
            raise ConfigError(f"look: statistics of {wrong} are infinite; wanted numbers, or NaN")
        return values


def begin(
    reference: Mapping[str, Iterable[float]],
    weights: Mapping[str, float],
    budget: Budget,
    floor: float = 0.0,
) -> Watch:
    """Begin to watch.

    Args:
        reference: By signal, the statistics of the reference's own days, each of them held against
            the others; by the same order of days, NaN where a day has none.
        weights: By signal, its part of the budget; they sum to 1 at most.
        budget: The model's part of the owner's budget, one look a day.
        floor: Estimated cost below which an alarm pages nobody.

    Raises:
        ConfigError: Signals have no weight or days differ, or weights sum to more than 1.
    """
    names = tuple(reference)
    if lacking := [name for name in names if not weights.get(name, 0.0) > 0]:
        raise ConfigError(
            f"watch: signals {lacking} have no part of the budget; wanted weights > 0"
        )
    if (total := math.fsum(weights[name] for name in names)) > 1 + 1e-9:
        raise ConfigError(f"watch: weights sum to {total}; wanted 1 at most")
    own = [np.fromiter(reference[name], np.float64) for name in names]
    if len({len(column) for column in own}) != 1:
        found = {name: len(column) for name, column in zip(names, own, strict=True)}
        raise ConfigError(f"watch: looks by signal are {found}; wanted one for each day in all")
    thresholds = np.array([budget.threshold(weights[name]) for name in names])
    bag = np.column_stack(own)
    fresh = detectors.fresh(len(names))
    return Watch(names, thresholds, floor, bag, conformal.lasting(bag), fresh)


def replay(
    watch: Watch, looks: Iterable[tuple[Mapping[str, float], Mapping[str, float] | None]]
) -> tuple[Watch, tuple[Update, ...]]:
    """Take all looks, in their order, with their costs: the same as one by one."""
    updates = []
    for statistics, costs in looks:
        watch, update = watch.look(statistics, costs)
        updates.append(update)
    return watch, tuple(updates)
