"""How inputs and predictions were spread, day by day: one table a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.io.scan import scanned

if TYPE_CHECKING:
    import polars as pl

    from ml_tasks.io.lake import Lake
    from ml_tasks.result import Window


def table(pipeline: str) -> str:
    """Give the name of a pipeline's table of distributions."""
    return f"distributions.{pipeline}"


def none() -> pl.DataFrame:
    """Give a frame of no rows, with the table's columns and types.

    A row is one part of one column on one day of a version's predictions. `of` says which:

    - `bin`: numbers from `low` up to below `high`; null is no bound.
    - `word`: the text `value`; `others`: all other texts.
    - `missing`: null, and numbers that are not finite.

    `count` rows of the day are in it, which is the share `share`; of the reference it is `usual`.
    """
    import polars as pl

    return pl.DataFrame(
        schema={
            "event_time": pl.Datetime("us", "UTC"),
            "version": pl.String,
            "column": pl.String,
            "of": pl.String,
            "low": pl.Float64,
            "high": pl.Float64,
            "value": pl.String,
            "count": pl.Int64,
            "share": pl.Float64,
            "usual": pl.Float64,
        }
    )


def read(lake: Lake, pipeline: str, window: Window | None = None) -> pl.DataFrame:
    """Give how inputs and predictions were spread, as `none` says, oldest day first.

    Args:
        lake: Where.
        pipeline: The product's name.
        window: Only days of this window.
    """
    import polars as pl

    there = lake.find(table(pipeline))
    if there is None:
        return none()
    found = pl.DataFrame(pl.from_arrow(scanned(there, window)))
    return found.sort("event_time", "version", maintain_order=True)


def together(before: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """Give a window's rows where one version's are new: they take the place of its own."""
    import polars as pl

    others = before.filter(~pl.col("version").is_in(made["version"].unique().implode()))
    return pl.concat([others, made]).sort("event_time", "version", maintain_order=True)
