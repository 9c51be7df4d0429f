"""What champions said of rows, and beside them those before: one table a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.io.scan import scanned

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from ml_tasks.config import Pipeline
    from ml_tasks.io.lake import Lake
    from ml_tasks.result import Window


SHADOW = "shadow"
"""The column that is true where another version than the champion spoke: for comparison alone."""


def table(pipeline: str) -> str:
    """Give the name of a pipeline's table of predictions."""
    return f"predictions.{pipeline}"


def read(lake: Lake, pipeline: str, window: Window | None = None) -> list[pl.DataFrame]:
    """Give what was predicted: key, times, version, prediction, what the model took in, segments.

    Beside them `outlier`: how odd a row is to the version that predicted it, above 1 an outlier.

    Each row was predicted once by a champion; beside that, another version may have, in its shadow.

    Args:
        lake: Where.
        pipeline: The product's name.
        window: Only rows of this window.

    Returns:
        The rows in one frame; none where nothing was predicted.
    """
    import polars as pl

    there = lake.find(table(pipeline))
    if there is None:
        return []
    found = pl.DataFrame(pl.from_arrow(scanned(there, window)))
    if SHADOW not in found.columns:
        found = found.with_columns(pl.lit(None, pl.Boolean).alias(SHADOW))
    return [found.with_columns(pl.col(SHADOW).fill_null(False))] if found.height else []


def together(parts: Sequence[pl.DataFrame], pipeline: Pipeline) -> pl.DataFrame:
    """Give predictions of one window in the order of time and key.

    What another version took in, and this one does not, is null in its rows.
    """
    import polars as pl

    key = pipeline.sources[pipeline.label.source].key
    return pl.concat(parts, how="diagonal_relaxed").sort("event_time", *key, SHADOW)
