"""Reads a window from its sources and stages what is new, apart from the lake."""

from __future__ import annotations

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ml_tasks import sources
from ml_tasks.errors import SourceError
from ml_tasks.io import parquet
from ml_tasks.io.content import EVENT_TIME, arranged, arranged_once, coded, content_hash
from ml_tasks.io.control import Control
from ml_tasks.io.evolution import read_as
from ml_tasks.io.lake import Lake
from ml_tasks.io.versions import newest_versions
from ml_tasks.io.window_commit import numbered
from ml_tasks.result import Output, Result, Window
from ml_tasks.sources.schema import (
    TIMES,
    Rejected,
    enforce,
    fitting,
    raw_schema,
    renamed,
    typed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import polars as pl
    import pyarrow as pa
    from pyiceberg.table import Table

    from ml_tasks.config import Pipeline, Source
    from ml_tasks.context import Context
    from ml_tasks.sources.delivery import Delivery

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Staged:
    """What one source has to add to a window."""

    rows: pa.Table
    """New rows and corrections as they are hashed, texts as dictionaries: the declared columns,
    then event_time, known_at, corrected_at."""
    rejected: list[Rejected] = field(default_factory=list)
    late: int = 0
    """New rows that came once what they belong to had been published."""
    read: int = 0
    """Rows that fit the schema, whether or not the lake had them."""


@dataclass(frozen=True, slots=True)
class Had:
    """What of a window there is before it is staged."""

    rows: pa.Table
    """Its rows in the lake, as the source declares them now."""
    ranges: Sequence[Window]
    """What of it had been published, with rows or without."""

    @property
    def nothing(self) -> bool:
        """No row is there, and nothing was published: all that comes is new."""
        return not self.ranges and not self.rows.num_rows


def stage(
    source: Source,
    deliveries: Sequence[Delivery],
    window: Window,
    had: Had,
    whole: pa.Table | None = None,
) -> Staged:
    """Compare a window's deliveries, in the order they landed, with what is published.

    A row whose key is not known yet is new. A row that differs from the version of its key that
    was the newest when it landed is a correction: it became known then, and so did a new row of
    what had been published without it. Any other row is no news. Of what landed at once, a key's
    last row counts.

    Args:
        source: What the rows should look like.
        deliveries: Files or answers, by landing time.
        window: The half-open range of event time.
        had: What is published of it.
        whole: All that is delivered, where all of it may be new.
    """
    import polars as pl

    if whole is not None and had.nothing:
        return Staged(whole, read=whole.num_rows)
    schema, key = raw_schema(source), list(source.key)
    known = pl.DataFrame(pl.from_arrow(had.rows))
    added, rejected, read, late = [known.clear()], [], 0, 0
    for landed_at, together in groupby(deliveries, key=lambda delivery: delivery.landed_at):
        parts = []
        for delivery in together:
            rows, bad = enforce(source, delivery, window)
            parts.append(rows)
            rejected += bad
            read += rows.height
        rows = pl.concat(parts).unique(key, keep="last", maintain_order=True)
        before = newest_versions(known, key, by=landed_at)
        news = _news(source, rows, before, landed_at, had.ranges)
        first = news.join(before, on=key, how="anti", nulls_equal=True)
        late += first.height - first["corrected_at"].null_count()
        added.append(news)
        known = pl.concat([known, news])
    rows = coded(pl.concat(added).to_arrow().cast(schema))
    return Staged(arranged(rows), rejected, late, read)


def run(pipeline: Pipeline, context: Context) -> Result:
    """Stage every source's window as Parquet objects.

    Raises:
        SourceError: A source delivered nothing of the window, and its declaration does not allow
            that.
        ConfigError: A source is declared in a form that its table cannot take on.
    """
    window = context.required_window()
    lake, control = Lake(context.environment), Control(context.environment.control)
    control.migrate()
    outputs: dict[str, Output] = {}
    values: dict[str, Any] = {"unchanged": True}
    for name, source in pipeline.sources.items():
        deliveries = list(sources.read(name, source, window, context.environment))
        if not deliveries and not source.may_be_empty:
            raise SourceError(
                f"source {name}, window {window}: nothing was delivered, looked at "
                f"{sources.place(name, source, context.environment)}; deliver it and ingest the "
                f"window again, or set sources.{name}.may_be_empty where nothing may be right"
            )
        # Only now: what another run brought in while this one read is what corrections are held to.
        # And this before the rows, which are there when it is: without them all would be late.
        ranges = _published(control, f"raw.{name}", window)
        with ThreadPoolExecutor(1) as pool:
            looked = pool.submit(_had, lake, f"raw.{name}", source, window)
            whole = None if ranges else _whole(source, deliveries, window)
        found, there = looked.result()
        staged = stage(source, deliveries, window, Had(there, ranges), whole)
        unread = any(one.fault for one in deliveries)
        if not (staged.read or unread or ranges or source.may_be_empty):
            _require_reached(name, source, deliveries, window)
        rows = staged.rows.cast(numbered(found, staged.rows.schema))
        outputs[f"staged_{name}"] = _write(context, f"staged_{name}", rows, in_order=True)
        outputs[f"rejected_{name}"] = _write(context, f"rejected_{name}", _table(staged.rejected))
        values[name] = _summary(staged, len(deliveries))
        values["unchanged"] &= staged.rows.num_rows == 0 and not staged.rejected
        log.info("%s %s: %s", name, window, values[name])
    return context.result(
        outputs=outputs,
        values=values,
    )


def _require_reached(
    name: str, source: Source, deliveries: Sequence[Delivery], window: Window
) -> None:
    """Make sure that files which are there from before go as far as the window.

    Once it is called in without rows, all that comes for it is late.

    Raises:
        SourceError: All their rows are of times before it.
    """
    import polars as pl

    at = source.event_time
    batches = [pl.DataFrame(pl.from_arrow(b)) for one in deliveries for b in one.batches]
    came = [renamed(source, rows) for rows in batches]
    told = [
        rows.select(typed(rows, at, "timestamp").alias("time"), pl.col(at).cast(pl.String))
        for rows in came
        if at in rows
    ]
    rows = pl.concat(told) if told else pl.DataFrame(schema={"time": pl.Datetime, at: pl.String})
    times = rows["time"].drop_nulls()
    if len(times) and not (times >= window.start).any():
        last = times.sort()[-1:].dt.strftime("%Y-%m-%d %H:%M").item()  # Python lacks some years
        unclear = rows.filter(pl.col("time").is_null())[at]
        also = (
            f" and {len(unclear)} have no time, such as {at}={unclear[0]!r}" if len(unclear) else ""
        )
        raise SourceError(
            f"source {name}, window {window}: none of its rows is there, those that are end at "
            f"{last}{also}; deliver it and ingest the window again, or set "
            f"sources.{name}.may_be_empty where nothing may be right"
        )


def _whole(source: Source, deliveries: Sequence[Delivery], window: Window) -> pa.Table | None:
    """Give what is delivered as new rows where all of it fits, each key once; else `None`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = [fitting(source, delivery, window) for delivery in deliveries]
    if not parts or any(part is None for part in parts):
        return None
    came = pa.concat_tables(parts)
    time = came[source.event_time]
    known = pc.max_element_wise(*(came[name].cast(pa.int64()) for name in source.known_at))
    times = (time, known.cast(time.type), pa.nulls(len(time), time.type))
    columns = dict(zip(came.column_names, came.columns, strict=True))
    columns |= zip(TIMES, times, strict=True)
    # The same times, but those that rows are sorted by first: so the key is in the same words.
    key = [EVENT_TIME if name == source.event_time else name for name in source.key]
    return arranged_once(pa.table(columns), key)


def _had(lake: Lake, table: str, source: Source, window: Window) -> tuple[Table | None, pa.Table]:
    """Give the table, and its rows of the window."""
    found, schema = lake.find(table), raw_schema(source)
    if found is None:
        return None, schema.empty_table()
    return found, read_as(found, schema, source.renamed_from, window=window)


def _published(control: Control, table: str, window: Window) -> list[Window]:
    known = [Window.parse(f"{one.start}/{one.end}") for one in control.publications(table)]
    return [one for one in known if one.start < window.end and window.start < one.end]


def _news(
    source: Source,
    rows: pl.DataFrame,
    known: pl.DataFrame,
    landed_at: datetime,
    ranges: Sequence[Window],
) -> pl.DataFrame:
    import polars as pl

    columns, key = list(source.columns), list(source.key)
    fresh = rows.join(known.select(columns), on=columns, how="anti", nulls_equal=True)
    before = known.select(*key, pl.lit(value=True).alias("_before"))
    landed = pl.lit(landed_at).cast(pl.Datetime("us", "UTC"))
    time = pl.col(source.event_time)
    late = [(time >= one.start) & (time < one.end) for one in ranges]
    corrected = pl.when(pl.any_horizontal(pl.col("_before").is_not_null(), *late)).then(landed)
    return (
        fresh.join(before, on=key, how="left", nulls_equal=True)
        .with_columns(
            pl.col(source.event_time).alias("event_time"), corrected.alias("corrected_at")
        )
        .with_columns(pl.max_horizontal(*source.known_at, "corrected_at").alias("known_at"))
        .select(known.columns)
    )


def _table(rejected: list[Rejected]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            name: pa.array([getattr(one, name) for one in rejected], pa.string())
            for name in ("uri", "reason", "row")
        }
    )


def _write(context: Context, name: str, table: pa.Table, *, in_order: bool = False) -> Output:
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(content_hash, table, in_order=in_order)
        written = parquet.write_parts(f"{context.folder}/{name}.parquet", table)
        (uri, its_hash), *more = written.items()
        return Output(
            uri=uri,
            content_hash=digest.result(),
            bytes_hash=its_hash,
            rows=table.num_rows,
            more=dict(more),
        )


def _summary(staged: Staged, deliveries: int) -> dict[str, Any]:
    new = staged.rows["corrected_at"].null_count
    reasons = Counter(one.reason for one in staged.rejected)
    return {
        "deliveries": deliveries,
        "read": staged.read,
        "new": new,
        "late": staged.late,
        "corrections": staged.rows.num_rows - new - staged.late,
        "rejected": len(staged.rejected),
        "reasons": dict(reasons.most_common(5)),
    }
