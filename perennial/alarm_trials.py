"""Histories of a monitor, made of real days: without drift, and with drift from a day on.

They are looked at as the task `monitor` does it: its reference, its looks, its alarms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.config.monitoring import Alarms, Monitoring
from ml_tasks.models import spec
from ml_tasks.monitoring import fitting, worth
from ml_tasks.monitoring.days import Days
from perennial import alarm_days

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.io.watched import Alarm, Look
    from ml_tasks.monitoring.budget import Budget
    from perennial.alarm_days import Flights, Shift

    Order = Callable[[np.random.Generator, int, int], NDArray[np.int64]]
    """Draws so many days of a reference and so many that are looked at."""

WITHIN = 14
"""Looks in which a drift has to be found."""
YEAR = 365
TARGETS = (0.005, 0.01, 0.02)
"""What shifts are planted to cost in AUC."""
MONITORING = Monitoring(engine="scipy", alarms=Alarms(least_loss=0.003))
"""What a product gets without being told, but for the floor: what costs less is listed."""
METRIC = "roc_auc"
BEGIN, NAME, RUN = date(2013, 1, 1), "flights", "proof"


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


@dataclass(frozen=True, eq=False)
class Source:
    """Rows by day, with or without a shift."""

    rows: pl.DataFrame

    def day(self, day: int, place: int) -> pl.DataFrame:
        """Give a day's rows as if it were another day, a number of days after the first."""
        import polars as pl

        days = self.rows["day"]
        first, beyond = (int(days.search_sorted(day, side=side)) for side in ("left", "right"))
        noon = datetime(BEGIN.year, BEGIN.month, BEGIN.day, 12, tzinfo=UTC) + timedelta(days=place)
        return self.rows.slice(first, beyond - first).with_columns(
            pl.lit(noon).alias("event_time"), pl.lit(noon).alias("label_known_at")
        )


class WatchedModel:
    """A model that is watched with some days as its reference."""

    def __init__(
        self, flights: Flights, days: NDArray[np.int64], budget: Budget, seed: int
    ) -> None:
        """Fit the reference as the task `reference` does it; days come in that order."""
        import polars as pl

        source = Source(flights.rows)
        rows = pl.concat(source.day(int(day), place) for place, day in enumerate(days))
        inputs = {"numeric": alarm_days.NUMBERS, "categorical": alarm_days.TEXTS}
        told = spec.fit(rows[:1], task="classification", label="label", **inputs)
        importance = worth.importance(
            flights.model.predict, rows, alarm_days.INPUTS,
            task="classification", metric=METRIC, sign=1, seed=seed,
        )  # fmt: skip
        reference = fitting.fit(rows, told, MONITORING, importance, budget)
        self._length = len(days)
        self._days = Days(NAME, "1", RUN, reference)
        self._seen: dict[int, list[Look]] = {}
        self._source = source

    def look_at(self, source: Source) -> None:
        """Look at other rows from now on."""
        self._source, self._seen = source, {}

    def history(self, days: Sequence[int]) -> list[list[Alarm]]:
        """Give the alarms of each look at days that follow the reference."""
        looks, names = [], []
        for place, day in enumerate(days, self._length):
            names.append(str(BEGIN + timedelta(days=place)))
            looks += [replace(look, day=names[-1]) for look in self._looks(int(day))]
        found: dict[str, list[Alarm]] = {name: [] for name in names}
        for of in ("inputs", "truth"):
            alarms = self._days.followed(of, looks, MONITORING.alarms.least_loss)[1]
            for alarm in alarms:
                found[alarm.day].append(alarm)
        return list(found.values())

    def _looks(self, day: int) -> list[Look]:
        """Look at a day, once."""
        if day not in self._seen:
            rows = self._source.day(day, self._length)
            end = datetime.max.replace(tzinfo=UTC)
            self._seen[day] = [*self._days.inputs(rows, []), *self._days.truth(rows, [], end)]
        return self._seen[day]


def in_streaks(number: int, streak: int) -> Order:
    """Draw runs of days that followed each other: no drift in the long run, but weather lasts.

    Of runs of one day none tells of the next.

    The reference has other days than those that are looked at, which may come again.
    """

    def draw(rng: np.random.Generator, reference: int, looks: int) -> NDArray[np.int64]:
        starts = rng.permutation(np.arange(0, number - streak + 1, streak))
        own = -(-reference // streak)
        others = rng.choice(starts[own:], -(-looks // streak))
        drawn = [(some[:, None] + np.arange(streak)).ravel() for some in (starts[:own], others)]
        return np.concatenate([drawn[0][:reference], drawn[1][:looks]])

    return draw


def quiet(
    flights: Flights, reference: int, budget: Budget, years: int, rng: np.random.Generator,
    draw: Order,
) -> Iterator[int]:  # fmt: skip
    """Give the pages of years without drift, each with a reference of its own."""
    for year in range(years):
        days = draw(rng, reference, YEAR)
        watched = WatchedModel(flights, days[:reference], budget, year)
        looks = watched.history(days[reference:].tolist())
        yield sum(alarm.paged for alarms in looks for alarm in alarms)


@dataclass(frozen=True, eq=False)
class Trials:
    """Models that are watched, each with days that it is then shown."""

    flights: Flights
    ends: tuple[tuple[WatchedModel, tuple[NDArray[np.int64], ...]], ...]

    @classmethod
    def drawn(
        cls, flights: Flights, reference: int, budget: Budget, rng: np.random.Generator,
        draw: Order, trials: int, each: int,
    ) -> Trials:  # fmt: skip
        """Draw references, and for each of them so many times the days of two weeks."""
        ends = []
        for number in range(trials // each):
            days = draw(rng, reference, WITHIN * each)
            watched = WatchedModel(flights, days[:reference], budget, number)
            ends.append((watched, tuple(np.split(days[reference:], each))))
        return cls(flights, tuple(ends))

    def tried(
        self, shift: Shift, rng: np.random.Generator, targets: tuple[float, ...] | None
    ) -> Iterator[Found]:
        """Let each monitor look at the planted shift until it pages."""
        for share, cost, rows in planted(self.flights, shift, rng, targets):
            source = Source(rows)
            ends = [end for watched, days in self.ends for end in _ends(watched, days, source)]
            delays = tuple(look for look, paged, _name in ends if paged)
            names = [name for _look, _paged, name in ends if name]
            yield Found(
                shift=str(shift),
                share=share,
                cost=cost,
                trials=len(ends),
                paged=len(delays),
                listed=len(names) - len(delays),
                delays=delays,
                signal=max(sorted(set(names)), key=names.count) if names else "",
            )


def planted(
    flights: Flights, shift: Shift, rng: np.random.Generator, targets: tuple[float, ...] | None
) -> Iterator[tuple[float, float, pl.DataFrame]]:
    """Give the share of rows, the cost and the days with the shift in them.

    Args:
        flights: What the days are.
        shift: What is planted.
        rng: Draws the rows that are hit.
        targets: What it is to cost; those out of reach are left out. `None`: it hits all rows.
    """
    whole = flights.shifted(shift, rng)
    lot = rng.random(flights.rows.height)

    def hit(share: float) -> pl.DataFrame:
        return alarm_days.mixed(flights.rows, whole, lot < share)

    def cost(share: float) -> float:
        return flights.auc - alarm_days.auc(hit(share))

    for share in [1.0] if targets is None else _shares(cost, targets):
        yield share, cost(share), hit(share)


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


def _ends(
    watched: WatchedModel, days: Sequence[NDArray[np.int64]], source: Source
) -> Iterator[tuple[int, bool, str]]:
    """Give the look that paged, and the signal; without a page the signal that was listed first."""
    watched.look_at(source)
    for some in days:
        looks = list(enumerate(watched.history(some.tolist()), 1))
        alarms = [(look, alarm) for look, alarms in looks for alarm in alarms]
        look, alarm = next((one for one in alarms if one[1].paged), (WITHIN, None))
        if alarm is None and alarms:
            yield WITHIN, False, str(alarms[0][1].signals[0]["name"])
        else:
            yield look, alarm is not None, str(alarm.signals[0]["name"]) if alarm else ""
