"""Joins labels with features, each as it was known at its time, into a training set."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_tasks import prover
from ml_tasks.errors import RejectedError
from ml_tasks.io import features, objects
from ml_tasks.io.content import bytes_hash, content_hash
from ml_tasks.io.control import Control
from ml_tasks.io.engine import evaluate
from ml_tasks.io.lake import Lake
from ml_tasks.io.versions import newest_versions
from ml_tasks.result import Output, Result, Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl
    import pyarrow as pa

    from ml_tasks.config import Pipeline, Split
    from ml_tasks.context import Context
    from ml_tasks.gates.verdict import Leaks

log = logging.getLogger(__name__)
ROW = ("event_time", "asked_at", "label", "label_known_at", "split")


def labelled(raw: pa.Table, pipeline: Pipeline, cut: datetime) -> pl.DataFrame:
    """Give each key that has a label at the cut, and what was known of it when it was asked.

    The label is that of the newest version at the cut; all else is as it stood when the question
    was asked: an aircraft that is swapped later was not known to be another one.

    Args:
        raw: Rows of the label's source in all their versions.
        pipeline: Says what the label is, when it is known, and when the question is asked.
        cut: Nothing that became known later counts.
    """
    import polars as pl

    label, source = pipeline.label, pipeline.sources[pipeline.label.source]
    frame = pl.DataFrame(pl.from_arrow(raw))
    newest = newest_versions(frame, source.key, by=cut).sort("event_time", *source.key)
    value = evaluate(newest.to_arrow(), {"label": label.expression})
    labels = pl.DataFrame(pl.from_arrow(value)).get_column("label").cast(pl.Float64)
    ask = timedelta(minutes=label.asked_before_minutes)
    found = newest.with_columns(
        labels,
        pl.max_horizontal(label.known_at, "corrected_at").alias("label_known_at"),
        (pl.col("event_time") - ask).alias("asked_at"),
    ).filter(pl.col("label").is_not_null() & (pl.col("label_known_at") <= cut))
    return _as_asked(found, frame, source.key)


def _as_asked(rows: pl.DataFrame, versions: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Give each row as it was known at its `asked_at`, or as it first came where it was not."""
    import polars as pl

    corrected = pl.col("corrected_at")
    in_order = versions.sort(corrected, nulls_last=False, maintain_order=True)
    first = in_order.unique(list(key), keep="first")
    known = in_order.join(rows.select(*key, "asked_at"), on=list(key), nulls_equal=True).filter(
        corrected.is_null() | (corrected <= pl.col("asked_at"))
    )
    either = pl.concat([first, newest_versions(known, key).select(first.columns)])
    then = either.unique(list(key), keep="last", maintain_order=True)
    own = [c for c in ROW if c in rows.columns and c not in key]
    return rows.select(*key, *own).join(
        then.drop(own, strict=False),
        on=list(key),
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )


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
    """
    window, lake = context.required_window(), Lake(context.environment)
    table = f"raw.{pipeline.label.source}"
    names = [f"features.{view}" for view in features.views(pipeline.features.service)]
    snapshots = {name: lake.snapshot(name) for name in (table, *names)}
    raw = lake.read(table, window=window, snapshot=snapshots[table])
    rows = divided(labelled(raw, pipeline, window.end), ranges(window, pipeline.split))
    _check(rows, pipeline)
    made = _joined(rows, pipeline, context, snapshots)
    digest = content_hash(made)
    # Equal content may stand on other snapshots: each combination has a tag of its own.
    tag = f"set-{bytes_hash(json.dumps([digest, snapshots], sort_keys=True).encode())[:12]}"
    for name, snapshot in snapshots.items():
        lake.tag(name, snapshot, tag)
    description = _description(made, pipeline, snapshots, digest)
    leaks = _proven(made, digest, raw, pipeline, context, snapshots)
    proof = leaks.model_dump_json(indent=2)
    set_uri, text_uri = f"{context.folder}/set.parquet", f"{context.folder}/set.json"
    leaks_uri = f"{context.folder}/leaks.json"
    objects.write_parquet(set_uri, made)
    objects.write_text(text_uri, json.dumps(description, indent=2))
    objects.write_text(leaks_uri, proof)
    log.info("%s: %s rows in the set %s", window, description["rows"], digest[:12])
    return Result(
        task=context.task,
        pipeline=context.pipeline,
        run=context.run,
        attempt=context.attempt,
        window=window,
        outputs={
            "set": Output(uri=set_uri, content_hash=digest, rows=made.num_rows, window=window),
            "description": Output(uri=text_uri, content_hash=_without_snapshots(description)),
            "leaks": Output(uri=leaks_uri, content_hash=bytes_hash(proof.encode())),
        },
        values={"rows": description["rows"], "snapshots": snapshots, "set": digest, "tag": tag},
    )


def _without_snapshots(description: dict[str, Any]) -> str:
    """Hash what must be equal wherever the same set is assembled: snapshot ids are not."""
    same = {name: value for name, value in description.items() if name != "snapshots"}
    return bytes_hash(json.dumps(same, sort_keys=True).encode())


def _check(rows: pl.DataFrame, pipeline: Pipeline) -> None:
    import polars as pl

    for part in ("train", "validation", "test"):
        labels = rows.filter(pl.col("split") == part).get_column("label")
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
        parts.append(_looked_up(rows, pipeline, pipeline.features.service, context, snapshots))
    if pipeline.evaluation.segments:
        wanted = {f"segment_{n}": sql for n, sql in pipeline.evaluation.segments.items()}
        parts.append(pl.DataFrame(pl.from_arrow(evaluate(rows.to_arrow(), wanted))))
    return pl.concat(parts, how="horizontal").to_arrow()


def _looked_up(
    rows: pl.DataFrame,
    pipeline: Pipeline,
    service: str,
    context: Context,
    snapshots: dict[str, int],
) -> pl.DataFrame:
    """Give the service's features of each row, in the rows' order."""
    import polars as pl

    wide = [rows]
    if pipeline.features.keys:
        keys = evaluate(rows.to_arrow(), pipeline.features.keys)
        wide.append(pl.DataFrame(pl.from_arrow(keys)))
    entities = pl.concat(wide, how="horizontal").select(
        *features.inputs(service), pl.col("asked_at").alias("event_timestamp")
    )
    store = features.store(context.environment, snapshots)
    control = Control(context.environment.control)
    control.migrate()
    with control.lease(features.LEASE, holder=context.holder, attempt=context.attempt, wait=120):
        features.apply(store)
    joined = features.historical(store, service, entities.to_pandas())
    return pl.DataFrame(pl.from_arrow(joined)).select(features.feature_names(service))


def _proven(
    made: pa.Table,
    digest: str,
    raw: pa.Table,
    pipeline: Pipeline,
    context: Context,
    snapshots: dict[str, int],
) -> Leaks:
    """Hold the set against the lake, by another way than the join's."""
    service, window = pipeline.features.service, context.required_window()
    lake = Lake(context.environment)
    subject = prover.subject(
        made,
        digest,
        raw,
        pipeline,
        inputs=features.inputs(service) if service is not None else (),
        keys=lambda asked: evaluate(asked, pipeline.features.keys),
        cut=window.end,
    )

    def views() -> Iterator[prover.View]:
        for name in features.views(service):
            keys, names, ttl = features.shape(name)
            table = f"features.{name}"
            reach = Window(start=window.start - subject.ahead - ttl, end=window.end)
            rows = lake.read(table, window=reach, snapshot=snapshots[table])
            yield prover.View(name=name, keys=keys, features=names, ttl=ttl, rows=rows)

    return prover.prove(subject, views(), prover.OnRequest(*features.on_request(service)))


def _description(
    made: pa.Table, pipeline: Pipeline, snapshots: dict[str, int], digest: str
) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    names = [*pipeline.features.columns, *features.feature_names(pipeline.features.service)]
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
        "segments": [f"segment_{n}" for n in pipeline.evaluation.segments],
        "snapshots": snapshots,
        "rows": dict(sorted((c["values"], c["counts"]) for c in counts)),
        "hash": digest,
    }
