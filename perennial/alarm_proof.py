"""All histories of a proof: with planted drift, without drift, and common practice beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.monitoring.budget import Budget
from perennial import alarm_days, alarm_practice, alarm_report, alarm_trials
from perennial.alarm_report import OURS, WEEKS, Proof, Quiet
from perennial.alarm_trials import Trials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl
    from numpy.typing import NDArray

    from perennial.alarm_days import Flights, Shift
    from perennial.alarm_trials import Found

    Show = Callable[[str], None]

QUICK_ROWS, QUICK_YEARS, QUICK_TRIALS = 60_000, 5, 10
TRIALS, EACH = 15, 5
"""Of each shift in all, and with each reference."""
A_HUNDREDTH = (0.01,)


def measure(*, years: int, seed: int, reference: int, quick: bool, show: Show) -> Proof:
    """Run all histories."""
    rows, trials = alarm_days.ROWS, TRIALS
    targets: tuple[float, ...] = alarm_trials.TARGETS
    if quick:
        rows, trials, targets = QUICK_ROWS, QUICK_TRIALS, A_HUNDREDTH
        years = min(years, QUICK_YEARS)
    budget = Budget()
    flights = alarm_days.load(seed, rows)
    show(f"{flights.rows.height:,} flights of {flights.number} days")
    rng = np.random.default_rng(seed)
    alone, weeks = (
        Trials.drawn(
            flights, reference, budget, rng, alarm_trials.in_streaks(flights.number, streak),
            trials, EACH,
        )
        for streak in (1, 7)
    )  # fmt: skip

    def tried(
        some: Trials, shifts: tuple[Shift, ...], targets: tuple[float, ...] | None
    ) -> tuple[Found, ...]:
        found = []
        for shift in shifts:
            for one in some.tried(shift, rng, targets):
                show(f"{one.shift}, {one.cost:.4f} of AUC: paged {one.power:.2f}")
                found.append(one)
        return tuple(found)

    return Proof(
        seed=seed,
        reference=reference,
        days=flights.number,
        rows=flights.rows.height,
        auc=flights.auc,
        allowed=budget.false_pages * alarm_report.QUARTER / budget.days,
        harmful=tried(alone, alarm_days.HARMFUL, targets),
        in_weeks=tried(weeks, alarm_days.HARMFUL, A_HUNDREDTH),
        harmless=tried(alone, alarm_days.HARMLESS, None),
        quiet=(
            *_ours(flights, reference, budget, years, rng, show),
            *_practice(flights, reference, years, rng),
        ),
    )


def _ours(
    flights: Flights, reference: int, budget: Budget, years: int, rng: np.random.Generator,
    show: Show,
) -> Iterator[Quiet]:  # fmt: skip
    """Count pages without drift, of days in any order and of days that hang together."""
    for name, streak in ((OURS, 1), (f"{OURS}{WEEKS}", 7)):
        draw, counts = alarm_trials.in_streaks(flights.number, streak), []
        for pages in alarm_trials.quiet(flights, reference, budget, years, rng, draw):
            counts.append(pages)
            show(f"{name}: year {len(counts)} without drift, {pages} pages")
        yield Quiet(name, tuple(counts))


def _practice(
    flights: Flights, reference: int, years: int, rng: np.random.Generator
) -> Iterator[Quiet]:
    """Count alarms of common practice, without drift and at one that costs 0.01 of AUC."""
    cut, draw = alarm_practice.Cut(flights.rows), alarm_trials.in_streaks(flights.number, 1)
    days = cut.days(flights.rows)
    drifted = [cut.days(rows) for rows in _of_a_hundredth(flights, rng)]
    for name, rule in alarm_practice.RULES.items():
        counts: list[int] = []
        shares: list[NDArray[np.bool_]] = []
        for _year in range(years):
            drawn = draw(rng, reference, alarm_trials.YEAR)
            own, looks = days[drawn[:reference]], drawn[reference:]
            counts.append(int(rule(own, days[looks]).sum()))
            shares += [rule(own, of[looks[: alarm_trials.WITHIN]]) for of in drifted]
        yield Quiet(name, tuple(counts), float(np.mean(shares)))


def _of_a_hundredth(flights: Flights, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    """Give days with three different shifts that cost 0.01 of AUC."""
    for shift in (
        alarm_days.Shift("missing", "hour"),
        alarm_days.Shift("noisy", "recent_late"),
        alarm_days.Shift("scrambled", "aircraft_delay"),
    ):
        for _share, _cost, rows in alarm_trials.planted(flights, shift, rng, A_HUNDREDTH):
            yield rows
