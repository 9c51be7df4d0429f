"""Derives the feature tables of a window from the raw tables, as each fact became known."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_tasks.io import derived
from ml_tasks.io.control import Control
from ml_tasks.io.engine import compute
from ml_tasks.io.lake import Lake
from ml_tasks.io.versions import newest_versions
from ml_tasks.result import Output, Result, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    import pyarrow as pa

    from feature_repo.transformations import FeatureTable
    from ml_tasks.config import Pipeline
    from ml_tasks.context import Context

log = logging.getLogger(__name__)
MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one run derives."""

    lake: Lake
    control: Control
    keys: Mapping[str, tuple[str, ...]]
    context: Context


def derive(
    table: FeatureTable,
    raw: Mapping[str, pa.Table],
    keys: Mapping[str, tuple[str, ...]],
    window: Window,
) -> pa.Table:
    """Give a feature table's rows of a window, each with when it was known.

    The table is computed once from the rows as they first came, and again for each moment at
    which corrections landed; a row counts as known from the first computation that gave it. So a
    table that is derived anew is the same as one that grew correction by correction.

    Args:
        table: What to derive.
        raw: Raw tables by source, in all their versions, reaching back `ttl` and `lookback`.
        keys: Each source's key columns.
        window: The raw rows' range; the table's own range lies `lead` before it.
    """
    import polars as pl

    # What a correction takes away may have its predecessor before the window.
    wide = Window(start=window.start - table.ttl, end=window.end)
    frames = {name: pl.DataFrame(pl.from_arrow(raw[name])) for name in table.sources}
    cuts = sorted({c for f in frames.values() for c in f["corrected_at"].drop_nulls().unique()})
    state: pl.DataFrame | None = None
    kept: list[pl.DataFrame] = []
    for cut in (None, *cuts):
        seen = {n: _as_known(f, keys[n], cut) for n, f in frames.items()}
        rows = pl.DataFrame(pl.from_arrow(compute(table.build, seen, wide)))
        rows = rows.with_columns(pl.col("event_time").cast(pl.Datetime("us", "UTC")))
        news, known = rows, pl.col("event_time")
        if state is not None:
            rows = _withdrawn(rows, state, table)
            news = rows.join(state, on=rows.columns, how="anti", nulls_equal=True)
            known = pl.max_horizontal("event_time", pl.lit(cut))
        kept.append(news.with_columns(known.cast(pl.Datetime("us", "UTC")).alias("known_at")))
        state = rows
    inside = pl.col("event_time") >= window.start - table.lead
    order = [*table.keys, "event_time", "known_at"]
    # What was corrected before the row's own time was never known otherwise.
    rows = pl.concat(kept).filter(inside).unique(order, keep="last", maintain_order=True)
    return rows.sort(order).to_arrow()


def run(pipeline: Pipeline, context: Context) -> Result:
    """Overwrite the window in each feature table whose sources the pipeline has.

    Without a feature service there is nobody to derive for. Where a table has a feature that it did
    not have before, or one of another type, all its windows are derived again.
    """
    from feature_repo.transformations import TABLES

    lake, control = Lake(context.environment), Control(context.environment.control)
    control.migrate()
    keys = {name: source.key for name, source in pipeline.sources.items()}
    place = _Place(lake, control, keys, context)
    outputs: dict[str, Output] = {}
    values: dict[str, Any] = {}
    for table in TABLES.values() if pipeline.features.service is not None else ():
        if not set(table.sources) <= set(pipeline.sources):
            continue
        outputs[table.name] = _published(table, place)
        if derived.lacking(lake.find(f"features.{table.name}"), table.features):
            _again(table, place)
        values[table.name] = outputs[table.name].rows
    log.info("%s: rows derived %s", context.window, values)
    return context.result(
        outputs=outputs,
        values=values,
    )


def _published(table: FeatureTable, place: _Place, again: Window | None = None) -> Output:
    """Derive a table's rows from what there is now, and publish them.

    Args:
        table: What to derive.
        place: Where.
        again: The window where it is not the run's own.
    """
    lake, context, name = place.lake, place.context, f"features.{table.name}"
    # Who reads before another run has published would take what that one brought away again.
    with place.control.lease_for(context, name, wait=120) as lease:
        window = again or _reach(lake, table, context.required_window())
        before = Window(start=window.start - table.ttl - table.lookback, end=window.end)
        raw = {source: lake.read(f"raw.{source}", window=before) for source in table.sources}
        rows = derive(table, raw, place.keys, window)
        own = Window(start=window.start - table.lead, end=window.end - table.lead)
        derived.take_on(lake, name, rows, table.features)
        return lake.publish(name, rows, own, lease, properties={"run": context.run})


def _again(table: FeatureTable, place: _Place) -> None:
    """Derive every window that is out once more; who is stopped goes on where that was."""
    name = f"features.{table.name}"
    done = derived.until(place.lake, name, table.features)
    for window in _windows(place.control, table):
        if done and window.end <= datetime.fromisoformat(done):
            continue
        log.info("%s %s: derived again for its new features", name, window)
        _published(table, place, window)
        derived.came(place.lake, name, table.features, window.end.isoformat())
    derived.finish(place.lake, name, table.features)


def _windows(control: Control, table: FeatureTable) -> list[Window]:
    """Give the windows of a table's sources, oldest first, without those within others."""
    out = (one for source in table.sources for one in control.publications(f"raw.{source}"))
    kept: list[Window] = []
    for window in sorted(
        (Window.parse(f"{one.start}/{one.end}") for one in out),
        key=lambda w: (w.start, -w.end.timestamp()),
    ):
        if not kept or window.end > kept[-1].end:
            kept.append(window)
    return kept


def _as_known(frame: pl.DataFrame, key: tuple[str, ...], cut: datetime | None) -> pa.Table:
    """Give each key's newest version among those known at a cut; first versions without one."""
    import polars as pl

    known = frame if cut is not None else frame.filter(pl.col("corrected_at").is_null())
    return newest_versions(known, key, by=cut).sort(*key).to_arrow()


def _withdrawn(rows: pl.DataFrame, state: pl.DataFrame, table: FeatureTable) -> pl.DataFrame:
    """Add a row for each moment that a correction took away: what was so then, as now known.

    A landing that moves from 6:05 to 5:05 leaves nothing at 6:05; who asked since then had seen it
    there, and must now find the row of 5:05, or nulls where there is none.
    """
    import polars as pl

    at = [*table.keys, "event_time"]
    gone = state.select(at).join(rows, on=at, how="anti", nulls_equal=True).sort("event_time")
    before = gone.join_asof(
        rows.sort("event_time"),
        on="event_time",
        by=list(table.keys),
        tolerance=table.ttl,
        check_sortedness=False,
    )
    return pl.concat([rows, before.select(rows.columns)])


def _reach(lake: Lake, table: FeatureTable, window: Window) -> Window:
    """Stretch a window over what was derived from it before: it came again, perhaps changed."""
    latest = lake.latest(f"features.{table.name}")
    if latest is None or latest + table.lead < window.end:
        return window
    return Window(
        start=window.start, end=min(window.end + table.lookback, latest + table.lead + MOMENT)
    )
