"""How much better a champion is than the one before it, on rows that both predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.io.watched import Grade
from ml_tasks.result import Window
from ml_tasks.training.bootstrap import Resamples, better, metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from ml_tasks.config import Pipeline


@dataclass(frozen=True, slots=True)
class Grading:
    """Of which two versions of which product, and by which run."""

    pipeline: Pipeline
    version: str
    before: str
    run: str

    def grades(self, rows: pl.DataFrame, windows: Sequence[Window], last: Window) -> list[Grade]:
        """Measure each window by itself, and all of them together.

        Args:
            rows: Predictions with `label`, which is null where it is not known.
            windows: The trial's, oldest first.
            last: Its end is the moment by which the labels were known.
        """
        both = self._both(rows)
        parts = [(window, _within(both, window)) for window in windows]
        labelled = [(window, part) for window, part in parts if part["label"].is_finite().any()]
        found = [self._grade(part, [window], last) for window, part in labelled]
        if len(labelled) > 1:
            own = [window for window, _part in labelled]
            whole = _within(both, Window(start=own[0].start, end=own[-1].end))
            found.append(self._grade(whole, own, last))
        return [grade for grade in found if math.isfinite(grade.value)]

    def _both(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Give the rows that both predicted, with `ours` and `theirs`."""
        import polars as pl

        key = list(self.pipeline.sources[self.pipeline.label.source].key)
        said = pl.col("prediction").cast(pl.Float64)
        about = dict.fromkeys((*key, "event_time"))
        ours = rows.filter(pl.col("version") == self.version).select(
            *about, pl.col("label").cast(pl.Float64), said.alias("ours")
        )
        theirs = rows.filter(pl.col("version") == self.before).select(*key, said.alias("theirs"))
        return ours.join(theirs, on=key, nulls_equal=True, maintain_order="left")

    def _grade(self, both: pl.DataFrame, windows: Sequence[Window], last: Window) -> Grade:
        import polars as pl

        task, metric = self.pipeline.label.task, self.pipeline.evaluation.metric
        usable = both.filter(pl.all_horizontal(pl.col("label", "ours", "theirs").is_finite()))
        days = usable["event_time"].dt.date()
        draws = self.pipeline.evaluation.bootstrap_samples
        resamples = Resamples.of(days.to_numpy(), draws, self.pipeline.training.seed)
        y, ours, theirs = (usable[name].to_numpy() for name in ("label", "ours", "theirs"))
        won = better(
            metric,
            metrics(task, y, ours, resamples)[metric],
            metrics(task, y, theirs, resamples)[metric],
        )
        low, high, error = (x if math.isfinite(x) else None for x in (won.low, won.high, won.error))
        return Grade(
            pipeline=self.pipeline.name,
            version=self.version,
            before=self.before,
            start=windows[0].start.isoformat(),
            end=windows[-1].end.isoformat(),
            metric=metric,
            value=won.value,
            low=low,
            high=high,
            error=error,
            rows=usable.height,
            predicted=both.height,
            windows=len(windows),
            wanted=self.pipeline.monitoring.retraining.graded_windows,
            known=last.end.isoformat(),
            run=self.run,
        )


def _within(rows: pl.DataFrame, window: Window) -> pl.DataFrame:
    import polars as pl

    return rows.filter(pl.col("event_time").is_between(window.start, window.end, closed="left"))
