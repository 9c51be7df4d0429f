"""Reads what a pipeline's sources brought in, in the form that they have now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.io.evolution import read_as
from ml_tasks.sources.schema import raw_schema

if TYPE_CHECKING:
    import pyarrow as pa

    from ml_tasks.config import Pipeline
    from ml_tasks.io.lake import Lake
    from ml_tasks.result import Window


def labels_source(
    lake: Lake, pipeline: Pipeline, window: Window, snapshot: int | None = None
) -> pa.Table:
    """Give the rows of the source that labels come from, in all their versions.

    Args:
        lake: Where they are.
        pipeline: Says which source, its columns, and their former names.
        window: Only rows whose `event_time` lies in it.
        snapshot: As of this snapshot; the newest when not given.

    Raises:
        ConfigError: The table cannot take on the source's form.
    """
    name = pipeline.label.source
    source = pipeline.sources[name]
    table = lake.load(f"raw.{name}")
    form = raw_schema(source), source.renamed_from
    return read_as(table, *form, window=window, snapshot=snapshot)
