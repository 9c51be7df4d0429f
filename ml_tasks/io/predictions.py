"""What champions said of rows: one table a pipeline, each row once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from ml_tasks.config import Pipeline
    from ml_tasks.io.lake import Lake
    from ml_tasks.result import Window


def table(pipeline: str) -> str:
    """Give the name of a pipeline's table of predictions."""
    return f"predictions.{pipeline}"


def read(lake: Lake, pipeline: str, window: Window | None = None) -> pl.DataFrame | None:
    """Give what was predicted: key, times, version, prediction, what the model took in, segments.

    Args:
        lake: Where.
        pipeline: The product's name.
        window: Only rows of this window.

    Returns:
        The rows; `None` where nothing was predicted yet.
    """
    import polars as pl

    name = table(pipeline)
    if not lake.exists(name):
        return None
    return pl.DataFrame(pl.from_arrow(lake.read(name, window=window)))


def together(before: pl.DataFrame | None, new: pl.DataFrame, pipeline: Pipeline) -> pl.DataFrame:
    """Give a window's predictions with new ones among them, in the order of time and key.

    What another version took in, and this one does not, is null in its rows.
    """
    import polars as pl

    key = pipeline.sources[pipeline.label.source].key
    parts = [new] if before is None else [before, new]
    return pl.concat(parts, how="diagonal_relaxed").sort("event_time", *key)
