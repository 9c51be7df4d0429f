"""What was measured about alarms: as tables, as a picture, and in docs/alarms.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perennial import measured_page
from perennial.alarm_trials import TARGETS, WITHIN, YEAR

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from perennial.alarm_trials import Found

QUARTER = 91
POWER, COSTLY = 0.8, 0.01
OURS, WEEKS = "this budget", ", days in weeks"
BEGIN = "<!-- measured: perennial alarms prove --write -->"
PICTURE = "images/alarms.png"


@dataclass(frozen=True, slots=True)
class Quiet:
    """How often a rule alarmed where there was no drift."""

    rule: str
    years: tuple[int, ...]
    """Alarms in each."""
    drifted: float = math.nan
    """Share of looks at a shift that costs 0.01 of AUC in which it alarmed; NaN of those that add
    up evidence."""

    @property
    def quarterly(self) -> float:
        """Alarms a quarter."""
        return float(np.mean(self.years)) * QUARTER / YEAR

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval: years are independent of each other."""
        from scipy.stats import chi2, t

        number = len(self.years)
        if number < 2 or not any(self.years):
            most = chi2.ppf(0.975, 2 * sum(self.years) + 2) / 2
            return 0.0, float(most) / number * QUARTER / YEAR
        error = float(np.std(self.years, ddof=1)) / math.sqrt(number) * QUARTER / YEAR
        wide = float(t.ppf(0.975, number - 1)) * error
        return max(self.quarterly - wide, 0.0), self.quarterly + wide


@dataclass(frozen=True, slots=True)
class Proof:
    """All that was measured."""

    seed: int
    reference: int
    days: int
    rows: int
    auc: float
    allowed: float
    """False pages a quarter."""
    quiet: tuple[Quiet, ...]
    harmful: tuple[Found, ...]
    in_weeks: tuple[Found, ...]
    """The same shifts where days came in weeks, in the reference and after it."""
    harmless: tuple[Found, ...]

    @property
    def kept(self) -> bool:
        """Whether nothing speaks against it that the budget was kept."""
        ours = [one for one in self.quiet if one.rule.startswith(OURS)]
        return all(one.interval[0] <= self.allowed for one in ours)

    @property
    def blind(self) -> bool:
        """Whether shifts of features that cost `COSTLY` are surely paged too seldom.

        Never to alarm would keep any budget.
        """
        from scipy.stats import binomtest

        some = _features(of_size(self.harmful, COSTLY))
        paged, trials = sum(one.paged for one in some), sum(one.trials for one in some)
        return trials > 0 and bool(binomtest(paged, trials).proportion_ci().high < POWER)


QUIET_COLUMNS = ("rule", "alarms a quarter", "95 %", "of 91 looks", "at 0.01 of AUC")


def quiet_rows(proof: Proof) -> Iterator[tuple[str, ...]]:
    """Give a line for each rule."""
    for one in proof.quiet:
        low, high = one.interval
        drifted = "" if math.isnan(one.drifted) else f"{one.drifted:.0%} of looks"
        yield (
            one.rule,
            f"{one.quarterly:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{one.quarterly / QUARTER:.1%}",
            drifted,
        )


FOUND_COLUMNS = ("planted", "rows hit", "costs", "paged", "listed", "median look", "by")


def found_rows(found: Sequence[Found]) -> Iterator[tuple[str, ...]]:
    """Give a line for each planted shift."""
    for one in found:
        yield (
            one.shift,
            f"{one.share:.0%}",
            f"{one.cost:.4f}",
            f"{one.power:.2f}",
            f"{one.listed / one.trials:.2f}",
            f"{np.median(one.delays):.0f}" if one.delays else "",
            one.signal,
        )


SIZE_COLUMNS = ("costs", "shifts", f"paged within {WITHIN} looks", f"shifts with >= {POWER}")


def size_rows(proof: Proof) -> Iterator[tuple[str, ...]]:
    """Give a line for each size: of all shifts, and of those that are not in the labels."""
    for target in TARGETS:
        own, weeks = (_features(of_size(f, target)) for f in (proof.harmful, proof.in_weeks))
        for what, some in (
            ("", of_size(proof.harmful, target)),
            (" (features)", own),
            (f" (features{WEEKS})", weeks),
        ):
            if some:
                powers = [one.power for one in some]
                yield (
                    f"{target}{what}",
                    str(len(some)),
                    f"{np.mean(powers):.2f}",
                    f"{sum(power >= POWER for power in powers)} of {len(some)}",
                )


def _features(found: Sequence[Found]) -> list[Found]:
    return [one for one in found if "labels" not in one.shift]


def of_size(found: Sequence[Found], target: float) -> list[Found]:
    """Give the shifts that were planted to cost that much."""
    return [one for one in found if abs(one.cost - target) < 0.1 * target]


def write(proof: Proof, page: Path) -> None:
    """Put the figures between the marks of the page, and draw the picture beside it."""
    measured_page.write(page, BEGIN, _parts(proof))
    draw(proof, page.parent / PICTURE)


def _parts(proof: Proof) -> Iterator[str]:
    yield (
        f"Seed {proof.seed}; {proof.rows:,} flights of {proof.days} days, AUC {proof.auc:.3f}; a "
        f"reference of {proof.reference} days; {len(proof.quiet[0].years)} years without drift; "
        f"{proof.harmful[0].trials} trials a shift."
    )
    yield measured_page.table(QUIET_COLUMNS, quiet_rows(proof))
    yield measured_page.table(SIZE_COLUMNS, size_rows(proof))
    yield f"![Power by cost]({PICTURE})"
    yield measured_page.table(FOUND_COLUMNS, found_rows(proof.harmful))
    yield "Shifts in columns that matter little:"
    yield measured_page.table(FOUND_COLUMNS, found_rows(proof.harmless))


def draw(proof: Proof, file: Path) -> None:
    """Draw power and delay of each shift by what it costs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    power, delay = figure.subplots(1, 2)
    for kind in sorted({one.shift.split()[0] for one in proof.harmful}):
        own = [one for one in proof.harmful if one.shift.split()[0] == kind]
        power.plot([o.cost for o in own], [o.power for o in own], "o", alpha=0.7, label=kind)
        late = [one for one in own if one.delays]
        delay.plot([o.cost for o in late], [np.median(o.delays) for o in late], "o", alpha=0.7)
    means = [
        (t, np.mean([o.power for o in s])) for t in TARGETS if (s := of_size(proof.harmful, t))
    ]
    power.plot(*zip(*means, strict=True), color="0.4", label="mean")
    power.axhline(POWER, color="0.7", linestyle="--")
    power.set_ylabel(f"paged within {WITHIN} looks")
    figure.legend(loc="outside right upper")
    delay.set_ylabel("median look of the page")
    delay.set_ylim(0, WITHIN + 0.5)
    for axis in (power, delay):
        axis.set_xlabel("cost in AUC")
        axis.set_xscale("log")
        axis.set_xticks(TARGETS, [f"{target:g}" for target in TARGETS])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110, metadata={"Software": None})
