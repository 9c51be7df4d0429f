"""Fits the plain models that the candidate has to beat, and predicts the test range with them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ml_tasks.baselines import baseline
from ml_tasks.io import parquet
from ml_tasks.io.content import content_hash
from ml_tasks.result import Output
from ml_tasks.training.assembled import Assembled

if TYPE_CHECKING:
    from ml_tasks.config import Pipeline
    from ml_tasks.context import Context
    from ml_tasks.result import Result

log = logging.getLogger(__name__)


def run(pipeline: Pipeline, context: Context) -> Result:
    """Write what each baseline says of the test rows, in the set's order: a column for each."""
    import polars as pl

    made = Assembled.of(context)
    train, test = made.part("train"), made.part("test")
    spec, seed = made.spec(train), pipeline.training.seed
    said = {
        name: baseline(name).fit(train, spec, made.label, seed)(test)
        for name in pipeline.evaluation.baselines
    }
    # The first column says how many rows there are where there is no baseline.
    table = pl.DataFrame({"split": test["split"], **said}).to_arrow()
    uri = f"{context.folder}/predictions.parquet"
    parquet.write(uri, table)
    log.info("%d rows predicted by %s", test.height, ", ".join(said) or "no baseline")
    predictions = Output(uri=uri, content_hash=content_hash(table), rows=test.height)
    return context.result(
        outputs={"predictions": predictions},
        values={"set_hash": made.content_hash, "seed": seed},
    )
