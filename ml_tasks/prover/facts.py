"""What the label's source says of each row of a set: when it was asked, and in the end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml_tasks.config.references import segment_column
from ml_tasks.prover.known import ALWAYS, micros, search, take

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from ml_tasks.config import Pipeline
    from ml_tasks.prover.known import Times


MIN_ROWS = 20
"""With fewer rows a share says nothing."""
ROW = ("event_time", "asked_at", "label", "label_known_at", "split")


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A set, and what it must follow from."""

    made: pa.Table
    set_hash: str
    asked: pa.Table
    """What was known of each row when it was asked, entity keys included; all else is null."""
    outcomes: pa.Table
    """What nobody could know of each row when it was asked."""
    ahead: timedelta
    """How long before its event time each row is asked."""
    columns: tuple[str, ...]
    """The rows' own columns that the model is given."""
    unseen: tuple[str, ...]
    """Columns that the model is not given."""
    with_label: Mapping[str, float]
    """By own column: how much more often it is null where no label came."""


def subject(
    made: pa.Table,
    set_hash: str,
    raw: pa.Table,
    pipeline: Pipeline,
    *,
    inputs: Iterable[str],
    keys: Callable[[pa.Table], pa.Table],
    cut: datetime,
) -> Subject:
    """Gather what is known of a set's rows from their source.

    Args:
        made: The set.
        set_hash: Its content hash.
        raw: Rows of the label's source in all their versions.
        pipeline: Says which columns may be known when the question is asked.
        inputs: What the feature service has to be told of each row.
        keys: Computes entity keys that are no columns of the source.
        cut: When the set ends.
    """
    source = pipeline.sources[pipeline.label.source]
    known = known_columns(pipeline, inputs)
    then = asked(made, raw, pipeline, known)
    derived = keys(then)
    for name in derived.column_names:
        then = then.append_column(name, derived[name])
    segments = (segment_column(name) for name in pipeline.evaluation.segments)
    return Subject(
        made=made,
        set_hash=set_hash,
        asked=then,
        outcomes=outcomes(made, raw, pipeline, known, cut),
        ahead=timedelta(minutes=pipeline.label.asked_before_minutes),
        columns=pipeline.features.columns,
        unseen=(*source.key, *ROW, *segments),
        with_label=with_the_label(raw, pipeline),
    )


def known_columns(pipeline: Pipeline, inputs: Iterable[str]) -> tuple[str, ...]:
    """Name the source's columns that may be known when the question is asked.

    They are what the pipeline and its feature service ask of a row, and what the pipeline says is
    known beside; but never a time from which the source or the label says that it is known.
    """
    source = pipeline.sources[pipeline.label.source]
    given = {*source.key, source.event_time}
    later = {pipeline.label.known_at, *source.known_at} - given
    features = pipeline.features
    wanted = (given | {*features.columns, *features.known, *inputs}) - later
    return tuple(name for name in source.columns if name in wanted)


def asked(made: pa.Table, raw: pa.Table, pipeline: Pipeline, known: Collection[str]) -> pa.Table:
    """Give of each row what was known of it when it was asked; all else is null."""
    source = pipeline.sources[pipeline.label.source]
    then = _version(made, raw, source.key, micros(made["asked_at"]))
    columns = {
        name: then[name] if name in known else pa.nulls(len(made), then[name].type)
        for name in source.columns
    }
    return pa.table({**columns, "event_time": made["event_time"], "asked_at": made["asked_at"]})


def outcomes(
    made: pa.Table, raw: pa.Table, pipeline: Pipeline, known: Collection[str], cut: datetime
) -> pa.Table:
    """Give of each row what nobody could know when it was asked, as it stood at the cut."""
    source = pipeline.sources[pipeline.label.source]
    until = pa.chunked_array([pa.array([cut], pa.timestamp("us", "UTC"))])
    last = _version(made, raw, source.key, np.repeat(micros(until), len(made)))
    return last.select([name for name in source.columns if name not in known])


def with_the_label(raw: pa.Table, pipeline: Pipeline) -> dict[str, float]:
    """Give by column how much more often it is null where the label never came.

    What is there only once the label is there was not there when the question was asked.
    """
    label = pipeline.label
    never = pc.is_null(raw[label.known_at])
    rows, cut = pc.sum(never).as_py() or 0, len(raw)
    if min(rows, cut - rows) < MIN_ROWS:
        return {}
    key = pipeline.sources[label.source].key
    return {
        name: _null_share(raw[name].filter(never)) - _null_share(raw[name].filter(pc.invert(never)))
        for name in (*pipeline.features.columns, *pipeline.features.known)
        if name not in key
    }


def _null_share(column: pa.ChunkedArray) -> float:
    return float(column.null_count / len(column))


def _version(made: pa.Table, raw: pa.Table, key: tuple[str, ...], at: Times) -> pa.Table:
    """Give of each row of the set its newest version at a moment; the first one has no cut."""
    known_at, always = micros(raw["corrected_at"]), np.full(len(made), ALWAYS)
    at_once = np.full(len(raw), ALWAYS + 1)
    find = partial(search, raw, made, keys=key, event_time=at_once, known_at=known_at)
    known = find(asked_at=at).known
    return take(raw, np.where(known >= 0, known, find(asked_at=always).following))
