"""Metrics of windows, as control keeps them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.io.watched import Measure
from ml_tasks.monitoring import realised

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from ml_tasks.config import Pipeline
    from ml_tasks.gates.verdict import Interval
    from ml_tasks.io.watched import Kind
    from ml_tasks.monitoring.reference import Reference
    from ml_tasks.result import Window


@dataclass(frozen=True, slots=True)
class Measuring:
    """Of which product, and by which run."""

    pipeline: Pipeline
    run: str

    def realised(
        self, window: Window, rows: pl.DataFrame, labels: pl.DataFrame, moment: datetime
    ) -> list[Measure]:
        """Measure a window's predictions, every version and segment, by the labels known by then.

        Args:
            window: Which.
            rows: Predictions, of this window and others.
            labels: Key, `label` and `label_known_at`.
            moment: Nothing that became known later counts.
        """
        told = self.pipeline.evaluation
        how = realised.Measure(
            self.pipeline.label.task,
            draws=told.bootstrap_samples,
            seed=self.pipeline.training.seed,
        )
        found = realised.realised(
            rows.to_arrow(),
            labels.to_arrow(),
            key=self.pipeline.sources[self.pipeline.label.source].key,
            moment=moment,
            window=(window.start, window.end),
            measure=how,
            segments=tuple(told.segments),
        )
        return [
            self._measure(
                window, part.version, "realised", metric, value, part.segment,
                (part.rows, part.predicted), moment,
            )
            for part in found
            for metric, value in part.metrics.items()
            if math.isfinite(value.value)
        ]  # fmt: skip

    def estimated(
        self, window: Window, version: str, rows: pl.DataFrame, reference: Reference
    ) -> list[Measure]:
        """Estimate the metrics of a window's predictions, whatever labels are known.

        Args:
            window: Which.
            version: Who predicted.
            rows: Its predictions in the window, with what it took in.
            reference: What its estimates stand on.
        """
        found = reference.estimated(rows)
        return [
            self._measure(
                window,
                version,
                "estimated",
                metric,
                value,
                "",
                (found.rows, rows.height),
                window.end,
            )
            for metric, value in found.metrics.items()
            if math.isfinite(value.value)
        ]

    def _measure(
        self,
        window: Window,
        version: str,
        kind: Kind,
        metric: str,
        value: Interval,
        segment: str,
        rows: tuple[int, int],
        moment: datetime,
    ) -> Measure:
        return Measure(
            pipeline=self.pipeline.name,
            version=version,
            start=window.start.isoformat(),
            end=window.end.isoformat(),
            kind=kind,
            metric=metric,
            segment=segment,
            value=value.value,
            low=_finite(value.low),
            high=_finite(value.high),
            error=_finite(value.error),
            rows=rows[0],
            predicted=rows[1],
            known=moment.isoformat(),
            run=self.run,
        )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
