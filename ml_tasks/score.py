"""Predicts a window's rows with the champion, each from what was known when it was asked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ml_tasks.config.references import segment_column
from ml_tasks.errors import ConfigError, NothingToDo
from ml_tasks.io import folders, lookup, objects, predictions
from ml_tasks.io.control import Control
from ml_tasks.io.engine import evaluate
from ml_tasks.io.labels import asked
from ml_tasks.io.lake import Lake
from ml_tasks.io.predictions import SHADOW
from ml_tasks.models.predict import OnnxModel
from ml_tasks.monitoring import trial
from ml_tasks.monitoring.outliers import Ecod
from ml_tasks.monitoring.reference import OUTLIERS
from ml_tasks.sources.raw import labels_source
from ml_tasks.training import champion

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.config import Pipeline
    from ml_tasks.context import Context
    from ml_tasks.io.champions import Head
    from ml_tasks.result import Result, Window
    from ml_tasks.training.champion import Stored

log = logging.getLogger(__name__)


def run(pipeline: Pipeline, context: Context) -> Result:
    """Publish the champion's predictions of those rows of a window that have none yet.

    What was predicted once stays: it was said, by the version that was champion then. For some
    windows after a promotion the champion before predicts the same rows in its shadow.

    Raises:
        NothingToDo: There is no champion, it learned from this window, or nothing was asked in it.
        ConfigError: The champion takes in what no view and no source has any more, or was
            registered without what it is watched with.
    """
    window, lake = context.required_window(), Lake(context.environment)
    control = Control(context.environment.control)
    control.migrate()
    head = champion.unlearned(context.environment, control.champion(pipeline.name), window)
    model = champion.of_head(context.environment, head)
    beside = trial.shadow(control, context.environment, pipeline, head, window)
    table = predictions.table(pipeline.name)
    with control.lease_for(context, table, wait=120) as lease:
        before = predictions.read(lake, pipeline.name, window)
        rows = _new(questions(lake, pipeline, window), before, pipeline)
        if not before and not rows.height:
            raise NothingToDo(f"{window}: it has no row to predict")
        made = _predicted(rows, pipeline, context, (head, model), beside) if rows.height else []
        whole = predictions.together([*before, *made], pipeline)
        output = lake.publish(
            table, whole.to_arrow(), window, lease, properties={"run": context.run}
        )
    log.info("%s: %d rows predicted by version %s", window, rows.height, head.version)
    return context.result(
        outputs={"predictions": output},
        values={
            "version": head.version,
            "rows": whole.filter(~whole[SHADOW]).height,
            "shadows": sorted(whole.filter(whole[SHADOW])["version"].unique()),
        },
    )


def questions(lake: Lake, pipeline: Pipeline, window: Window) -> pl.DataFrame:
    """Give the rows that were asked about in a window, as they were known then."""
    return asked(labels_source(lake, pipeline, window), pipeline, window.end)


def _new(rows: pl.DataFrame, before: Sequence[pl.DataFrame], pipeline: Pipeline) -> pl.DataFrame:
    key = list(pipeline.sources[pipeline.label.source].key)
    for known in before:
        rows = rows.join(known, on=key, how="anti", nulls_equal=True)
    return rows


def _predicted(
    rows: pl.DataFrame,
    pipeline: Pipeline,
    context: Context,
    first: tuple[Head, Stored],
    beside: tuple[Head, Stored] | None,
) -> list[pl.DataFrame]:
    """Give what the champion says of rows, and what another version says beside it."""
    asked_both = [*first[1].inputs, *(beside[1].inputs if beside else ())]
    told = lookup.beside(rows, pipeline, context, {}, list(dict.fromkeys(asked_both)))
    made = [_said(rows, told, *first, pipeline, context, shadow=False)]
    if beside is not None:
        try:
            made.append(_said(rows, told, *beside, pipeline, context, shadow=True))
        except ConfigError as fault:
            log.warning("no comparison: %s", fault)
    return made


def _said(
    rows: pl.DataFrame,
    told: pl.DataFrame,
    head: Head,
    model: Stored,
    pipeline: Pipeline,
    context: Context,
    *,
    shadow: bool,
) -> pl.DataFrame:
    """Give what a version says of rows, and how odd they are beside its reference."""
    import polars as pl

    if missing := sorted(set(model.inputs) - set(told.columns)):
        raise ConfigError(
            f"champion {head.version} takes in {missing}, which no feature view and no source has "
            "any more; bring them back until its successor is champion"
        )
    own = told.select(name for name in told.columns if name in model.inputs)
    said = OnnxModel(objects.read_bytes(model.graph), model.spec).predict(own)
    with folders.unpacked(champion.reference(context.environment, head)) as folder:
        reference = Ecod.load(folder / OUTLIERS)
    return answers(rows, own, head.version, said, pipeline).with_columns(
        pl.Series("outlier", reference.score(own.to_arrow()).times, pl.Float64),
        pl.lit(shadow).alias(SHADOW),
    )


def answers(
    rows: pl.DataFrame,
    told: pl.DataFrame,
    version: str,
    said: NDArray[np.float64],
    pipeline: Pipeline,
) -> pl.DataFrame:
    """Give rows with what the model takes in, what it says of them, and their segments."""
    import polars as pl

    key = pipeline.sources[pipeline.label.source].key
    wanted = {segment_column(n): sql for n, sql in pipeline.evaluation.segments.items()}
    segments = pl.DataFrame(pl.from_arrow(evaluate(rows.to_arrow(), wanted))) if wanted else None
    times = [c for c in ("event_time", "asked_at") if c not in key]
    parts = [
        rows.select(*key, *times),
        rows.select(pl.lit(version).alias("version"), pl.Series("prediction", said, pl.Float64)),
        told.drop(set(key) & set(told.columns)),
        *([segments.cast(pl.String)] if segments is not None else []),
    ]
    return pl.concat(parts, how="horizontal")
