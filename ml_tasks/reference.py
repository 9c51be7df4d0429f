"""Fits what a model that passed its gates is watched with, on rows that it was not fitted on."""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ml_tasks import config
from ml_tasks.config.metrics import sign
from ml_tasks.gates.passing import passed_verdict
from ml_tasks.io import folders, objects
from ml_tasks.models.predict import OnnxModel
from ml_tasks.monitoring import fitting, worth
from ml_tasks.monitoring.budget import Budget
from ml_tasks.result import Output
from ml_tasks.training import champion
from ml_tasks.training.assembled import Assembled

if TYPE_CHECKING:
    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.context import Context
    from ml_tasks.result import Result

log = logging.getLogger(__name__)
PARTS = ("validation", "test")
"""Parts of the set that no weight was fitted on."""


def run(pipeline: Pipeline, context: Context) -> Result:
    """Fit what the model is watched with, if it passed its gates: no other is ever watched.

    Raises:
        NotPassedError: It did not pass.
        RejectedError: The verdict is about another model; or too few rows or days are there.
    """
    passed_verdict(context)
    return fitted(pipeline, context)


def fitted(pipeline: Pipeline, context: Context) -> Result:
    """Write what is kept of the reference, as one object."""
    import polars as pl

    made, stored = Assembled.of(context), champion.trained(context)
    model = OnnxModel(objects.read_bytes(stored.graph), stored.spec)
    rows = made.part(*PARTS).with_columns(pl.col(made.label).alias("label"))
    rows = rows.with_columns(pl.Series("prediction", model.predict(rows)))
    metric = pipeline.evaluation.metric
    importance = worth.importance(
        model.predict,
        rows,
        stored.inputs,
        task=stored.spec.task,
        metric=metric,
        sign=sign(metric),
        seed=pipeline.training.seed,
    )
    budget = part(pipeline, context.environment)
    kept = fitting.fit(rows, stored.spec, pipeline.monitoring, importance, budget)
    with TemporaryDirectory(prefix="perennial-") as folder:
        kept.save(Path(folder))
        content, digest = folders.packed(Path(folder)), folders.content_hash(Path(folder))
    uri = f"{context.folder}/reference.zip"
    objects.write_bytes(uri, content)
    days = rows["event_time"].dt.date().n_unique()
    log.info("%d rows of %d days, %d signals", rows.height, days, len(kept.about.own))
    return context.result(
        outputs={"reference": Output(uri=uri, content_hash=digest, rows=rows.height)},
        values={"days": days, "signals": len(kept.about.own), "weights_hash": stored.weights},
    )


def part(pipeline: Pipeline, environment: Environment) -> Budget:
    """Give the product's part of its owner's budget: all products of one owner share it evenly."""
    known, _faults = config.load_good(environment.pipelines)
    others = [p.name for p in known if p.owner == pipeline.owner and p.name != pipeline.name]
    told = pipeline.monitoring.alarms
    return Budget(told.false_pages / (1 + len(others)), told.days)
