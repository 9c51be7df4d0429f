"""Proves that the assembled set holds nothing that was not known when its rows were asked about."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ml_tasks import prover
from ml_tasks.errors import ConfigError
from ml_tasks.io import features, objects, parquet
from ml_tasks.io.content import bytes_hash
from ml_tasks.io.engine import evaluate
from ml_tasks.io.lake import Lake
from ml_tasks.result import Output, Result, Window
from ml_tasks.sources.raw import labels_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from ml_tasks.config import Pipeline
    from ml_tasks.context import Context

log = logging.getLogger(__name__)


def run(pipeline: Pipeline, context: Context) -> Result:
    """Hold the set against the lake, by another way than the join's.

    A leak fails nothing here: `no_leak` judges what was found.

    Raises:
        ConfigError: `assemble` left no set, or took in less than the pipeline asks for now.
    """
    made = context.output("assemble", "set")
    if made.uri is None:
        raise ConfigError("assemble's set is no object; run assemble again")
    snapshots: Mapping[str, int] = context.inputs["assemble"].values["snapshots"]
    lake, window = Lake(context.environment), context.required_window()
    refs, labels = features.refs(pipeline.features.service), f"raw.{pipeline.label.source}"
    wanted = {labels, *(f"features.{name}" for name in features.below(refs))}
    if lacking := sorted(wanted - snapshots.keys()):
        raise ConfigError(
            f"assemble took in {sorted(snapshots)}, wanted {lacking} too, which were asked for "
            "since; run assemble again, and what comes after it"
        )
    raw = labels_source(lake, pipeline, window, snapshots[labels])
    subject = prover.subject(
        parquet.read(made.uri),
        made.content_hash,
        raw,
        pipeline,
        inputs=features.told(refs),
        keys=lambda asked: evaluate(asked, pipeline.features.keys),
        cut=window.end,
    )
    views = _views(lake, features.below(refs), window, subject.ahead, snapshots)
    leaks = prover.prove(subject, views, prover.OnRequest(*features.on_request(refs)))
    uri, proof = f"{context.folder}/leaks.json", leaks.model_dump_json(indent=2)
    objects.write_text(uri, proof)
    log.info("%d cells of %d rows, %d leaks", leaks.cells, leaks.rows, len(leaks.leaks))
    return context.result(
        outputs={"leaks": Output(uri=uri, content_hash=bytes_hash(proof.encode()))},
        values={"cells": leaks.cells, "leaks": len(leaks.leaks)},
    )


def _views(
    lake: Lake,
    names: Sequence[str],
    window: Window,
    ahead: timedelta,
    snapshots: Mapping[str, int],
) -> Iterator[prover.View]:
    """Give each feature table with all its rows that may count, one after the other."""
    for name in names:
        keys, columns, ttl = features.shape(name)
        table = f"features.{name}"
        reach = Window(start=window.start - ahead - ttl, end=window.end)
        rows = lake.read(table, window=reach, snapshot=snapshots[table])
        yield prover.View(name=name, keys=keys, features=columns, ttl=ttl, rows=rows)
