"""Which rows have a label, and what was known of each when it was asked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ml_tasks.io.engine import evaluate
from ml_tasks.io.versions import newest_versions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import polars as pl
    import pyarrow as pa

    from ml_tasks.config import Pipeline

ROW = ("event_time", "asked_at", "label", "label_known_at", "split")
"""Columns that a set has beside what a model takes in."""


def labelled(raw: pa.Table, pipeline: Pipeline, cut: datetime) -> pl.DataFrame:
    """Give each key that has a label at the cut, and what was known of it when it was asked.

    Args:
        raw: Rows of the label's source in all their versions.
        pipeline: Says what the label is, when it is known, and when the question is asked.
        cut: Nothing that became known later counts.
    """
    import polars as pl

    return asked(raw, pipeline, cut, only=pl.col("label").is_not_null())


def asked(
    raw: pa.Table, pipeline: Pipeline, cut: datetime, *, only: pl.Expr | bool = True
) -> pl.DataFrame:
    """Give each key, what was known of it when it was asked, and its label where it is known.

    The label is that of the newest version at the cut; all else is as it stood when the question
    was asked: an aircraft that is swapped later was not known to be another one.

    Args:
        raw: Rows of the label's source in all their versions.
        pipeline: Says what the label is, when it is known, and when the question is asked.
        cut: Nothing that became known later counts.
        only: Which of them.
    """
    import polars as pl

    label, source = pipeline.label, pipeline.sources[pipeline.label.source]
    frame = pl.DataFrame(pl.from_arrow(raw))
    newest = newest_versions(frame, source.key, by=cut).sort("event_time", *source.key)
    value = evaluate(newest.to_arrow(), {"label": label.expression})
    labels = pl.DataFrame(pl.from_arrow(value)).get_column("label").cast(pl.Float64)
    ask, known = timedelta(minutes=label.asked_before_minutes), pl.col("label_known_at")
    found = newest.with_columns(
        labels,
        pl.max_horizontal(label.known_at, "corrected_at").alias("label_known_at"),
        (pl.col("event_time") - ask).alias("asked_at"),
    ).with_columns(pl.when(known <= cut).then(pl.col("label")).alias("label"))
    return _as_asked(found.filter(only), frame, source.key)


def _as_asked(rows: pl.DataFrame, versions: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Give each row as it was known at its `asked_at`, or as it first came where it was not."""
    import polars as pl

    corrected = pl.col("corrected_at")
    in_order = versions.sort(corrected, nulls_last=False, maintain_order=True)
    first = in_order.unique(list(key), keep="first")
    known = in_order.join(rows.select(*key, "asked_at"), on=list(key), nulls_equal=True).filter(
        corrected.is_null() | (corrected <= pl.col("asked_at"))
    )
    either = pl.concat([first, newest_versions(known, key).select(first.columns)])
    then = either.unique(list(key), keep="last", maintain_order=True)
    own = [c for c in ROW if c in rows.columns and c not in key]
    return rows.select(*key, *own).join(
        then.drop(own, strict=False),
        on=list(key),
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
