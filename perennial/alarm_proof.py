"""All histories of a proof: with planted drift, without drift, and common practice beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.monitoring.budget import Budget
from perennial import alarm_days, alarm_practice, alarm_report, alarm_trials
from perennial.alarm_report import OURS, Proof, Quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from perennial.alarm_days import Shift
    from perennial.alarm_looks import Described
    from perennial.alarm_trials import Found, Ground

    Show = Callable[[str], None]

QUICK_ROWS, QUICK_YEARS, QUICK_TRIALS, QUICK_TARGETS = 60_000, 20, 20, (0.01,)
TRIALS = 50


def measure(*, years: int, seed: int, reference: int, quick: bool, show: Show) -> Proof:
    """Run all histories."""
    rows, trials = alarm_days.ROWS, TRIALS
    targets: tuple[float, ...] = alarm_trials.TARGETS
    if quick:
        rows, trials, targets = QUICK_ROWS, QUICK_TRIALS, QUICK_TARGETS
        years = min(years, QUICK_YEARS)
    budget = Budget()
    ground = alarm_trials.prepare(seed, reference, budget, rows)
    show(f"{len(ground.flights.rows.labels):,} flights of {ground.number} days")
    rng = np.random.default_rng(seed)
    harmful = [
        found
        for shift in alarm_days.HARMFUL
        for found in _told(show, alarm_trials.tried(ground, shift, trials, rng, targets))
    ]
    harmless = [
        found
        for shift in alarm_days.HARMLESS
        for found in _told(show, alarm_trials.tried(ground, shift, trials, rng, None))
    ]
    show(f"{years} years without drift")
    return Proof(
        seed=seed,
        reference=reference,
        days=ground.number,
        rows=len(ground.flights.rows.labels),
        auc=ground.flights.auc,
        allowed=budget.false_pages * alarm_report.QUARTER / budget.days,
        quiet=tuple(_quiet(ground, years, rng)),
        harmful=tuple(harmful),
        harmless=tuple(harmless),
    )


def _told(show: Show, found: Iterator[Found]) -> Iterator[Found]:
    for one in found:
        show(f"{one.shift}, {one.cost:.4f} of AUC: paged {one.power:.2f}")
        yield one


def _quiet(ground: Ground, years: int, rng: np.random.Generator) -> Iterator[Quiet]:
    """Count alarms without drift: ours, ours on days that hang together, and common practice."""
    any_order = alarm_trials.any_order(ground.number)
    for name, draw in (
        (OURS, any_order),
        (f"{OURS}, days in threes", alarm_trials.in_streaks(ground.number, 3)),
        (f"{OURS}, days in weeks", alarm_trials.in_streaks(ground.number, 7)),
    ):
        counted = alarm_trials.quiet(ground, years, rng, draw)
        yield Quiet(name, tuple(sum(year) for year in counted))
    drifted = _of_a_hundredth(ground, rng)
    for name, rule in alarm_practice.RULES.items():
        counts, shares = [], []
        for _year in range(years):
            days = any_order(rng, ground.reference + 365)
            own = ground.days.of(days[: ground.reference])
            looks = days[ground.reference :]
            counts.append(int(rule(own, ground.days.of(looks)).sum()))
            shares += [float(rule(own, d.of(looks[: alarm_trials.WITHIN])).mean()) for d in drifted]
        yield Quiet(name, tuple(counts), float(np.mean(shares)))


def _of_a_hundredth(ground: Ground, rng: np.random.Generator) -> list[Described]:
    """Give days with three different shifts that cost 0.01 of AUC."""
    shifts: tuple[Shift, ...] = (
        alarm_days.Shift("missing", "hour"),
        alarm_days.Shift("noisy", "recent_late"),
        alarm_days.Shift("scrambled", "aircraft_delay"),
    )
    return [
        days
        for shift in shifts
        for _share, _cost, days in alarm_trials.planted(ground, shift, rng, (0.01,))
    ]
