"""Joins labels with features, each as it was known at its time, into a training set."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ml_tasks.config.references import segment_column
from ml_tasks.errors import ConfigError, RejectedError
from ml_tasks.io import derived, features, lookup, objects, parquet, retention
from ml_tasks.io.content import bytes_hash, content_hash
from ml_tasks.io.control import Control
from ml_tasks.io.engine import evaluate
from ml_tasks.io.labels import ROW, labelled
from ml_tasks.io.lake import Lake
from ml_tasks.result import Output, Result, Window
from ml_tasks.sources.raw import labels_source
from ml_tasks.training import champion

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from ml_tasks.config import Pipeline, Split
    from ml_tasks.context import Context
    from ml_tasks.io.champions import Head

log = logging.getLogger(__name__)


def ranges(window: Window, split: Split) -> dict[str, Window]:
    """Cut a window, from its end, into test, gap, validation, gap and train.

    Raises:
        RejectedError: The window is too short to leave anything to train on.
    """
    gap, test = timedelta(days=split.gap_days), timedelta(days=split.test_days)
    test_start = window.end - test
    validation_end = test_start - gap
    validation_start = validation_end - timedelta(days=split.validation_days)
    train_end = validation_start - gap
    if train_end <= window.start:
        raise RejectedError(
            f"window {window}: after {split.test_days} days of test, {split.validation_days} of "
            f"validation and {split.gap_days} of gap nothing is left to train on; ingest more "
            "windows, or ask for a longer one"
        )
    return {
        "train": Window(start=window.start, end=train_end),
        "validation": Window(start=validation_start, end=validation_end),
        "test": Window(start=test_start, end=window.end),
    }


def divided(rows: pl.DataFrame, parts: dict[str, Window]) -> pl.DataFrame:
    """Say which part each row belongs to, `gap` for none.

    A row whose label was not known when the next part begins belongs to no part: in life it could
    not have been learned from.
    """
    import polars as pl

    limits = {
        "train": parts["validation"].start,
        "validation": parts["test"].start,
        "test": parts["test"].end + timedelta(days=36_500),
    }
    part = pl.lit("gap")
    for name, window in parts.items():
        within = (pl.col("event_time") >= window.start) & (pl.col("event_time") < window.end)
        part = pl.when(within & (pl.col("label_known_at") < limits[name])).then(
            pl.lit(name)
        ).otherwise(part)  # fmt: skip
    return rows.with_columns(part.alias("split"))


def run(pipeline: Pipeline, context: Context) -> Result:
    """Write the training set of a window and tag the snapshots that it stands on.

    Raises:
        RejectedError: A part of the set has no rows, or its labels are all the same, or they are
            no classes.
        ConfigError: A feature is not derived for all windows yet, or the champion is gone.
    """
    window, lake = context.required_window(), Lake(context.environment)
    table = f"raw.{pipeline.label.source}"
    names = _derived(lake, pipeline)
    snapshots = {name: lake.snapshot(name) for name in (table, *names)}
    raw = labels_source(lake, pipeline, window, snapshots[table])
    rows = divided(labelled(raw, pipeline, window.end), ranges(window, pipeline.split))
    check(rows, pipeline)
    made = _joined(rows, pipeline, context, snapshots)
    digest = content_hash(made)
    tag = _tagged(lake, context, digest, snapshots)
    description = _description(made, pipeline, snapshots, digest)
    head = Control(context.environment.control).champion(context.pipeline)
    outputs = _written(context, made, description)
    if head is not None:
        outputs |= _for_champion(head, rows, made, pipeline, context, snapshots)
    log.info("%s: %s rows in the set %s", window, description["rows"], digest[:12])
    return context.result(
        outputs=outputs,
        values={
            "rows": description["rows"],
            "snapshots": snapshots,
            "set": digest,
            "tag": tag,
            "champion": None if head is None else head.version,
        },
    )


def _derived(lake: Lake, pipeline: Pipeline) -> list[str]:
    """Give the feature tables that the set stands on.

    Raises:
        ConfigError: One of them has features that old windows were not derived for.
    """
    names = features.below(features.refs(pipeline.features.service))
    for name in names:
        if new := derived.lacking(lake.find(f"features.{name}"), features.shape(name)[1]):
            raise ConfigError(
                f"features.{name}: {new} are not derived for all windows yet; the next window that "
                "is ingested does it, or one that comes again: perennial run ingestion "
                f"-p {pipeline.name} --window START/END"
            )
    return [f"features.{name}" for name in names]


def _tagged(lake: Lake, context: Context, digest: str, snapshots: dict[str, int]) -> str:
    """Tag the snapshots, so that they never expire while the run, or a version of it, is there."""
    tag = retention.set_tag(digest, snapshots)
    control = Control(context.environment.control)
    control.migrate()
    with control.lease_for(context, retention.TAGS, wait=120) as lease:
        # Whoever takes tags away looks for those that a run has written down.
        objects.write_text(f"{context.folder}/tag.json", json.dumps({"tag": tag}))
        for name, snapshot in snapshots.items():
            lake.tag(name, snapshot, tag, lease)
    return tag


def _written(context: Context, made: pa.Table, description: dict[str, Any]) -> dict[str, Output]:
    digest = str(description["hash"])
    set_uri, text_uri = f"{context.folder}/set.parquet", f"{context.folder}/set.json"
    parquet.write(set_uri, made)
    objects.write_text(text_uri, json.dumps(description, indent=2))
    return {
        "set": Output(uri=set_uri, content_hash=digest, rows=made.num_rows, window=context.window),
        "description": Output(uri=text_uri, content_hash=_without_snapshots(description)),
    }


def _for_champion(
    head: Head,
    rows: pl.DataFrame,
    made: pa.Table,
    pipeline: Pipeline,
    context: Context,
    snapshots: dict[str, int],
) -> dict[str, Output]:
    """Write what the champion takes in and the set lacks, beside it and in its rows' order.

    Nothing is trained on that: it lets the champion be measured on the very rows of its successor.
    """
    wanted = champion.of_head(context.environment, head).inputs
    if not (lacks := [name for name in wanted if name not in made.column_names]):
        return {}
    table = lookup.beside(rows, pipeline, context, snapshots, lacks).to_arrow()
    uri = f"{context.folder}/champion.parquet"
    parquet.write(uri, table)
    return {"champion": Output(uri=uri, content_hash=content_hash(table), rows=made.num_rows)}


def _without_snapshots(description: dict[str, Any]) -> str:
    """Hash what must be equal wherever the same set is assembled: snapshot ids are not."""
    same = {name: value for name, value in description.items() if name != "snapshots"}
    return bytes_hash(json.dumps(same, sort_keys=True).encode())


def check(rows: pl.DataFrame, pipeline: Pipeline) -> None:
    """Hold each part's labels: some, finite, not all the same, and classes where they should be.

    Raises:
        RejectedError: Those of a part are not; says which part, what came, what was wanted.
    """
    import polars as pl

    for part in ("train", "validation", "test"):
        labels = rows.filter(pl.col("split") == part).get_column("label")
        if not labels.is_finite().all():
            raise RejectedError(
                f"part {part!r} of the set: came {(~labels.is_finite()).sum()} labels that are no "
                f"finite numbers ({pipeline.label.expression}); let the expression be null where "
                "there is no answer, such as by nullif"
            )
        if labels.n_unique() < 2:
            raise RejectedError(
                f"part {part!r} of the set: came {len(labels)} rows with {labels.n_unique()} "
                f"different labels ({pipeline.label.expression}), wanted at least 2; look at the "
                "window's raw rows and at split"
            )
        if pipeline.label.task == "classification" and not labels.is_in([0.0, 1.0]).all():
            raise RejectedError(
                f"part {part!r} of the set: came labels {labels.unique().sort().to_list()[:10]} "
                f"({pipeline.label.expression}), wanted 0 and 1 for a classification; write "
                "label.expression as a comparison, or make it a regression"
            )


def _joined(
    rows: pl.DataFrame, pipeline: Pipeline, context: Context, snapshots: dict[str, int]
) -> pa.Table:
    """Bring in the features as known at each row's `asked_at`, and the segments."""
    import polars as pl

    key = pipeline.sources[pipeline.label.source].key
    own = [c for c in pipeline.features.columns if c not in key]
    parts = [rows.select(*key, *(r for r in ROW if r not in key), *own)]
    if pipeline.features.service is not None:
        parts.append(lookup.of_service(rows, pipeline, context, snapshots))
    if pipeline.evaluation.segments:
        wanted = {segment_column(n): sql for n, sql in pipeline.evaluation.segments.items()}
        parts.append(pl.DataFrame(pl.from_arrow(evaluate(rows.to_arrow(), wanted))))
    return pl.concat(parts, how="horizontal").to_arrow()


def _description(
    made: pa.Table, pipeline: Pipeline, snapshots: dict[str, int], digest: str
) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    looked_up = features.columns(features.refs(pipeline.features.service))
    names = [*pipeline.features.columns, *looked_up]
    text = {
        name
        for name in names
        if pa.types.is_string(made.schema.field(name).type)
        or pa.types.is_large_string(made.schema.field(name).type)
        or pa.types.is_string_view(made.schema.field(name).type)
    }
    counts = pc.value_counts(made["split"]).to_pylist()
    return {
        "numeric": [n for n in names if n not in text],
        "categorical": [n for n in names if n in text],
        "label": "label",
        "task": pipeline.label.task,
        "segments": [segment_column(n) for n in pipeline.evaluation.segments],
        "snapshots": snapshots,
        "rows": dict(sorted((c["values"], c["counts"]) for c in counts)),
        "hash": digest,
    }
