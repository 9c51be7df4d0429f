"""How often a champion is withdrawn, by how much worse it is than the one before it.

    .venv/bin/python -m bench.rollbacks [TRIALS]

Prints a Markdown table for `docs/retraining.md`. Two scores of made labels, as alike as those of a
model and its retraining (correlation 0.8 of their log odds' noise), days with a mood that both
share; each trial is one promotion with four windows, decided upon after each window from the second
on, by the tasks' own code.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl

from ml_tasks import config
from ml_tasks.config import ROOT, Rollback
from ml_tasks.monitoring import standing
from ml_tasks.monitoring.grading import Grading
from ml_tasks.result import Window

WORSE = (-0.01, 0.0, 0.005, 0.01, 0.02, 0.04)
"""Of AUC, near 0.75."""
ROWS = (200, 1000, 6000)
"""A window."""
ALIKE = 0.8
START = Window.parse("2013-06-04/2013-06-11")
WINDOWS = tuple(
    Window(start=START.start + timedelta(weeks=n), end=START.end + timedelta(weeks=n))
    for n in range(4)
)
PLAIN = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")


def rows(dice: np.random.Generator, number: int, loss: float) -> pl.DataFrame:
    """Give four windows of predictions by both versions, with labels."""
    total = number * len(WINDOWS)
    days = np.sort(dice.integers(0, 7 * len(WINDOWS), total))
    mood = dice.normal(0, 0.3, 7 * len(WINDOWS))[days]
    odds = dice.normal(0, 1.6, total)
    label = dice.random(total) < 1 / (1 + np.exp(-(odds + mood - 0.8)))
    shared, own, other = dice.normal(size=(3, total))
    noise = [np.sqrt(ALIKE) * shared + np.sqrt(1 - ALIKE) * one for one in (own, other)]
    # Near this AUC one more unit of noise costs about 0.08 of it.
    spread = (0.75 + loss / 0.08, 0.75)
    said = [1 / (1 + np.exp(-(odds + s * one))) for s, one in zip(spread, noise, strict=True)]
    when = pl.lit(START.start) + pl.duration(days=pl.lit(pl.Series(days)))
    key = PLAIN.sources[PLAIN.label.source].key
    one = pl.DataFrame({name: np.arange(total) for name in key}).with_columns(
        when.dt.cast_time_unit("us").alias("event_time"), pl.Series("label", label, pl.Float64)
    )
    return pl.concat(
        one.with_columns(pl.lit(version).alias("version"), pl.Series("prediction", p))
        for version, p in zip(("2", "1"), said, strict=True)
    )


def trial(dice: np.random.Generator, number: int, loss: float) -> tuple[int | None, float]:
    """Give after how many windows it was withdrawn, and how much worse it was in all of them."""
    made, grading = rows(dice, number, loss), Grading(PLAIN, "2", "1", "bench")
    wide = (Window(start=START.start, end=WINDOWS[n - 1].end) for n in (2, 3, 4))
    grades = [
        replace(grading.grades(made, [w], w)[0], windows=n) for n, w in enumerate(wide, start=2)
    ]
    gone = (g.windows for g in grades if standing.paired(Rollback(), g).back)
    return next(gone, None), -grades[-1].value


def main() -> None:
    """Print a line for each size and number of rows."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print("| rows a window | worse by | withdrawn | after windows |")
    print("|---|---|---|---|")
    for number in ROWS:
        for loss in WORSE:
            dice = np.random.default_rng([number, int(1000 * loss) + 100])
            found = [trial(dice, number, loss) for _ in range(trials)]
            gone = [after for after, _lost in found if after is not None]
            lost = float(np.mean([lost for _after, lost in found]))
            after = f"{np.mean(gone):.1f}" if gone else ""
            print(f"| {number} | {lost:+.4f} | {len(gone) / trials:.0%} | {after} |")


if __name__ == "__main__":
    main()
