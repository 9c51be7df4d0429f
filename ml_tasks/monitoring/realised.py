"""What predictions turned out to be worth, as far as labels are known by a moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ml_tasks.config.references import segment_column
from ml_tasks.training.bootstrap import Resamples, interval, metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import polars as pl
    import pyarrow as pa

    from ml_tasks.gates.verdict import Interval

ALL = ""
"""Name of the segment that is all rows."""
NO_VALUE = "(none)"
"""Stands for null in a segment's column."""


@dataclass(frozen=True, slots=True)
class Part:
    """One version on some of its predictions."""

    version: str
    segment: str
    """Such as `carrier=UA`; empty for all rows."""
    predicted: int
    rows: int
    """Of these, how many have a label and so count."""
    days: float
    """Effective number of days with labels: as many equal days would spread as much."""
    metrics: dict[str, Interval]
    """Over resampled days; without two days of labels there is no interval, and without any label
    there are no metrics."""

    @property
    def coverage(self) -> float:
        """Share of predictions whose label is known."""
        return self.rows / self.predicted


@dataclass(frozen=True, slots=True)
class Measure:
    """How parts are measured."""

    task: Literal["classification", "regression"]
    draws: int = 500
    """Number of resamples."""
    seed: int = 0

    def part(self, version: str, segment: str, rows: pl.DataFrame) -> Part:
        """Measure rows that hold `prediction`, `label` and `day`."""
        import polars as pl

        usable = rows.filter(pl.col("label").is_finite() & pl.col("prediction").is_finite())
        found: dict[str, Interval] = {}
        days = 0.0
        if usable.height:
            resamples = Resamples.of(usable["day"].to_numpy(), self.draws, self.seed)
            y, p = (usable[column].to_numpy() for column in ("label", "prediction"))
            drawn = metrics(self.task, y, p, resamples)
            found = {metric: interval(values) for metric, values in drawn.items()}
            days = resamples.effective_days
        return Part(version, segment, rows.height, usable.height, days, found)


def realised(
    predictions: pa.Table,
    labels: pa.Table,
    *,
    key: tuple[str, ...],
    moment: datetime,
    window: tuple[datetime, datetime],
    measure: Measure,
    segments: tuple[str, ...] = (),
) -> tuple[Part, ...]:
    """Join predictions with labels by key and measure them.

    Of several predictions of one row by one version the one that was asked first counts, since
    that is what was acted on; several versions may each predict the same row. Of several labels
    of one row the newest that was known by the moment counts; where that is null, a label was
    taken back. A prediction that is null or NaN is never measured, and lowers the coverage.

    Args:
        predictions: `version`, `event_time`, `asked_at`, `prediction`, the key, and for each
            segment `segment_<name>`.
        labels: `label`, `label_known_at` and the key.
        key: Columns that name a row.
        moment: Nothing that became known later counts.
        window: Start and end of event time.
        measure: How.
        segments: Names of parts that are measured by themselves.

    Returns:
        By version: all rows, then each segment.
    """
    import polars as pl

    made, known = (pl.DataFrame(pl.from_arrow(table)) for table in (predictions, labels))
    inside = made.filter(pl.col("event_time").is_between(*window, closed="left"))
    first = _one(inside.sort("asked_at", maintain_order=True), ["version", *key], "first")
    current = known.filter(pl.col("label_known_at") <= moment)
    newest = _one(current.sort("label_known_at", maintain_order=True), [*key], "last").select(
        *key, pl.col("label").cast(pl.Float64)
    )
    rows = first.drop("label", strict=False).join(
        newest, on=list(key), how="left", nulls_equal=True, maintain_order="left"
    )
    return tuple(_measured(rows, measure, segments))


def _measured(rows: pl.DataFrame, measure: Measure, segments: tuple[str, ...]) -> Iterator[Part]:
    import polars as pl

    cast = {"version": pl.String, "prediction": pl.Float64}
    rows = rows.cast(cast).with_columns(  # type: ignore[arg-type]
        pl.col("event_time").dt.date().alias("day"),
        *(pl.col(segment_column(n)).cast(pl.String).fill_null(NO_VALUE) for n in segments),
    )
    for (version,), own in sorted(rows.partition_by("version", as_dict=True).items()):
        yield measure.part(version, ALL, own)
        for name in segments:
            values = own.partition_by(segment_column(name), as_dict=True)
            for (value,), some in sorted(values.items()):
                yield measure.part(version, f"{name}={value}", some)


def _one(rows: pl.DataFrame, names: list[str], keep: Literal["first", "last"]) -> pl.DataFrame:
    return rows.unique(names, keep=keep, maintain_order=True)
