"""Histories of a monitor, made of real days: without drift, and with drift from a day on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.monitoring import alarms
from ml_tasks.monitoring.budget import Budget, by_cost
from perennial import alarm_days, alarm_looks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ml_tasks.monitoring.alarms import Update, Watch
    from ml_tasks.monitoring.profile import Profiles
    from perennial.alarm_days import Flights, Shift
    from perennial.alarm_looks import Described

    Days = Callable[[np.random.Generator, int], NDArray[np.int64]]

WITHIN = 14
"""Looks in which a drift has to be found."""
FLOOR = 0.003
"""AUC; what costs less is listed and pages nobody."""
TARGETS = (0.0025, 0.005, 0.01, 0.02)
"""What shifts are planted to cost in AUC."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What all histories are drawn from."""

    flights: Flights
    scales: Profiles
    days: Described
    budget: Budget
    reference: int
    """Days that a reference has."""

    @property
    def number(self) -> int:
        """How many different days there are."""
        return len(self.days.rows)


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one planted shift."""

    shift: str
    share: float
    """Rows of each day that it hits."""
    cost: float
    """AUC that it takes, measured on all days."""
    trials: int
    paged: int
    """Trials with a page within the looks."""
    listed: int
    """Trials without a page in which it was listed."""
    delays: tuple[int, ...]
    """Looks until the page."""
    signal: str
    """The one that most often paged or was listed."""

    @property
    def power(self) -> float:
        """Share of trials with a page."""
        return self.paged / self.trials


def prepare(seed: int, reference: int, budget: Budget, rows: int = alarm_days.ROWS) -> Ground:
    """Load the days and describe them."""
    flights = alarm_days.load(seed, rows)
    scales = alarm_looks.measure(flights)
    return Ground(flights, scales, alarm_looks.describe(flights.rows, scales), budget, reference)


def any_order(number: int) -> Days:
    """Draw days independently: none of them tells of the next, so that there is no drift."""
    return lambda rng, length: rng.integers(0, number, length)


def in_streaks(number: int, streak: int) -> Days:
    """Draw runs of days that followed each other: no drift in the long run, but weather lasts."""

    def draw(rng: np.random.Generator, length: int) -> NDArray[np.int64]:
        starts = rng.integers(0, number, -(-length // streak))
        return ((starts[:, None] + np.arange(streak)) % number).ravel()[:length]

    return draw


def history(
    ground: Ground, rng: np.random.Generator, looks: int, drifted: Described, draw: Days
) -> Iterator[Update]:
    """Draw a reference and looks, and watch them."""
    drawn = draw(rng, ground.reference + looks)
    reference = ground.days.of(drawn[: ground.reference])
    own, new = alarm_looks.statistics(
        ground.scales.names, reference, drifted.of(drawn[ground.reference :])
    )
    most = alarm_looks.potential(ground.scales.names, ground.flights)
    watch: Watch = alarms.begin(own, by_cost(most), ground.budget, FLOOR)
    usual = {name: float(np.mean(values)) for name, values in own.items()}
    for look in range(looks):
        seen = {name: float(values[look]) for name, values in new.items()}
        costs = alarm_looks.costs(ground.scales.names, ground.flights, seen, usual)
        watch, update = watch.look(seen, costs)
        yield update


def quiet(ground: Ground, years: int, rng: np.random.Generator, draw: Days) -> list[list[bool]]:
    """Give, year by year and look by look, whether somebody was paged though there is no drift."""
    return [
        [update.alarm for update in history(ground, rng, 365, ground.days, draw)]
        for _year in range(years)
    ]


def planted(
    ground: Ground, shift: Shift, rng: np.random.Generator, targets: tuple[float, ...] | None
) -> Iterator[tuple[float, float, Described]]:
    """Give the share of rows, the cost and the days with the shift in them.

    Args:
        ground: What the days are.
        shift: What is planted.
        rng: Draws the rows that are hit.
        targets: What it is to cost; those out of reach are left out. `None`: it hits all rows.
    """
    flights = ground.flights
    whole = flights.shifted(shift, rng)
    lot = rng.random(len(flights.rows.labels))

    def cost(share: float) -> float:
        rows = alarm_days.mixed(flights.rows, whole, lot < share)
        return flights.auc - alarm_days.auc(rows.labels, rows.predictions)

    shares = [1.0] if targets is None else _shares(cost, targets)
    for share in shares:
        rows = alarm_days.mixed(flights.rows, whole, lot < share)
        yield share, cost(share), alarm_looks.describe(rows, ground.scales)


def _shares(cost: Callable[[float], float], targets: tuple[float, ...]) -> list[float]:
    """Halve the way to each target that is in reach."""
    most = cost(1.0)
    found = []
    for target in (one for one in targets if one <= most):
        low, high = 0.0, 1.0
        for _step in range(9):
            middle = (low + high) / 2
            low, high = (middle, high) if cost(middle) < target else (low, middle)
        found.append(high)
    return found


def tried(
    ground: Ground, shift: Shift, trials: int, rng: np.random.Generator,
    targets: tuple[float, ...] | None,
) -> Iterator[Found]:  # fmt: skip
    """Let the monitor look at the planted shift until it pages, trial by trial."""
    for share, cost, drifted in planted(ground, shift, rng, targets):
        ends = [_watched(ground, drifted, rng) for _trial in range(trials)]
        delays = tuple(look for look, paged, _name in ends if paged)
        names = [name for _look, _paged, name in ends if name]
        yield Found(
            shift=str(shift),
            share=share,
            cost=cost,
            trials=trials,
            paged=len(delays),
            listed=len(names) - len(delays),
            delays=delays,
            signal=max(sorted(set(names)), key=names.count) if names else "",
        )


def _watched(ground: Ground, drifted: Described, rng: np.random.Generator) -> tuple[int, bool, str]:
    """Give the look that paged, and the signal; without a page the signal that was listed first."""
    listed = ""
    for update in history(ground, rng, WITHIN, drifted, any_order(ground.number)):
        if update.alarm:
            return update.look, True, update.pages[0].name
        if update.listed and not listed:
            listed = update.listed[0].name
    return WITHIN, False, listed
