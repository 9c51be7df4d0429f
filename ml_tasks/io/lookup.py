"""Features of rows, each as it was known when its question was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.io import derived, features
from ml_tasks.io.control import Control
from ml_tasks.io.engine import evaluate
from ml_tasks.io.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from ml_tasks.config import Pipeline
    from ml_tasks.context import Context


def of_service(
    rows: pl.DataFrame, pipeline: Pipeline, context: Context, snapshots: Mapping[str, int]
) -> pl.DataFrame:
    """Give the features of the pipeline's service, of each row, in the rows' order.

    Args:
        rows: Rows with `asked_at`.
        pipeline: Says which service, and how its keys are made.
        context: Who asks.
        snapshots: As of which each lake table is read.
    """
    refs = features.refs(pipeline.features.service)
    if not refs:
        return rows.select()
    return _joined(_with_keys(rows, pipeline), refs, context, snapshots)


def beside(
    rows: pl.DataFrame,
    pipeline: Pipeline,
    context: Context,
    snapshots: Mapping[str, int],
    names: Sequence[str],
) -> pl.DataFrame:
    """Give as many of the named columns as there are today, in or out of the pipeline's service.

    A feature that is derived no longer is not among them, also where old rows have it still.

    Args:
        rows: Rows with `asked_at`.
        pipeline: Says which columns its source has, and how keys are made.
        context: Who asks.
        snapshots: As of which each lake table is read; others are read as they are now.
        names: Wanted columns.
    """
    import polars as pl

    source = pipeline.sources[pipeline.label.source]
    former = {old: new for new, old in source.renamed_from.items()}
    own = [name for name in names if name in source.columns or name in former]
    wide, lake = _with_keys(rows, pipeline), Lake(context.environment)
    offered = features.offered(set(names) - set(own))
    tables = {view: lake.find(f"features.{view}") for view in features.below(offered)}
    whole = {
        view
        for view, table in tables.items()
        if table is not None and not derived.lacking(table, features.shape(view)[1])
    }
    refs = [
        ref
        for ref in offered
        if set(features.below([ref])) <= whole and set(features.told([ref])) <= set(wide.columns)
    ]
    newest = (f"features.{view}" for view in features.below(refs))
    at = {t: lake.snapshot(t) for t in newest if t not in snapshots} | dict(snapshots)
    parts = [rows.select(pl.col(former.get(name, name)).alias(name) for name in own)]
    if refs:
        parts.append(_joined(wide, refs, context, at))
    return pl.concat(parts, how="horizontal")


def _with_keys(rows: pl.DataFrame, pipeline: Pipeline) -> pl.DataFrame:
    import polars as pl

    if not pipeline.features.keys:
        return rows
    keys = evaluate(rows.to_arrow(), pipeline.features.keys)
    return pl.concat([rows, pl.DataFrame(pl.from_arrow(keys))], how="horizontal")


def _joined(
    wide: pl.DataFrame, refs: Sequence[str], context: Context, snapshots: Mapping[str, int]
) -> pl.DataFrame:
    import polars as pl

    told = features.told(refs)
    entities = wide.select(*told, pl.col("asked_at").alias("event_timestamp"))
    store = features.store(context.environment, snapshots)
    control = Control(context.environment.control)
    control.migrate()
    with control.lease_for(context, features.LEASE, wait=120):
        features.apply(store)
    found = features.historical(store, refs, entities.to_pandas())
    return pl.DataFrame(pl.from_arrow(found.select(features.columns(refs))))
