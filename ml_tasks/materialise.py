"""Brings a window's newest features online and reads a sample back."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import RejectedError
from ml_tasks.io import features
from ml_tasks.io.content import content_hash
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.result import Output, Result, Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa
    from feast import FeatureStore

    from ml_tasks.config import Pipeline
    from ml_tasks.context import Context
    from ml_tasks.io.control import Lease

log = logging.getLogger(__name__)
SAMPLE = 20


def differences(
    offline: Sequence[Mapping[str, Any]], online: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Name each feature whose online value is not the offline one; not-a-number counts as null."""
    return [
        f"row {number}, {name}: offline {row[name]!r}, online {other[name]!r}"
        for number, (row, other) in enumerate(zip(offline, online, strict=True))
        for name in other
        if _plain(row[name]) != _plain(other[name])
    ]


def run(pipeline: Pipeline, context: Context) -> Result:
    """Materialise the views of the pipeline's service, if it has one, and call the window in.

    Raises:
        RejectedError: What is read online is not what was written; names view, key and values.
    """
    window = context.required_window()
    control = Control(context.environment.control)
    control.migrate()
    names = features.below(features.refs(pipeline.features.service))
    start, end = window.start.isoformat(), window.end.isoformat()
    with control.lease_for(context, features.LEASE, wait=120) as lease:
        online = _bring_online(names, window, lease, context) if names else {}
        control.complete(pipeline.name, start, end, context.run, lease)
    outputs = {
        name: Output(
            table=f"features.{name}",
            snapshot=snapshot,
            content_hash=content_hash(newest),
            rows=newest.num_rows,
            window=window,
        )
        for name, (snapshot, newest) in online.items()
    }
    values = {
        name: {"rows": newest.num_rows, "freshness": _freshness(newest)}
        for name, (_, newest) in online.items()
    }
    log.info("%s: online %s", window, {n: v["rows"] for n, v in values.items()})
    return context.result(
        outputs=outputs,
        values=values,
    )


def _bring_online(
    names: Sequence[str], window: Window, lease: Lease, context: Context
) -> dict[str, tuple[int, pa.Table]]:
    """Give by view the snapshot that was read, and each key's row that is now online.

    All is read of one snapshot: another product may derive the same view meanwhile. No lease is
    asked for within Feast's writing: who lost it meanwhile has written nothing, because the store
    never goes back in time.
    """
    lake = Lake(context.environment)
    read = {f"features.{name}": lake.snapshot(f"features.{name}") for name in names}
    opened = features.store(context.environment, read)
    online: dict[str, tuple[int, pa.Table]] = {}
    features.apply(opened)
    reach = _reach(lake, names, window)
    lease.check()
    features.bring_online(opened, names, reach)
    lease.check()
    for name in names:
        newest = features.newest(opened, name, reach)
        read_back(opened, name, newest, window.end)
        online[name] = (read[f"features.{name}"], newest)
    return online


def _reach(lake: Lake, names: Sequence[str], window: Window) -> Window:
    """Stretch a window to what its derivation could touch.

    Before it by the longest lead: a schedule's rows lie before their window; and by the longest
    time to live: a feature that is new has never been online. After it to the newest row: Feast
    overwrites whatever is online, so an old window that comes again would take its keys back to
    old values if only its own rows were written.
    """
    lead = max(features.lead(name) for name in names)
    latest = [found for name in names if (found := lake.latest(f"features.{name}")) is not None]
    end = max([window.end, *latest])
    live = max(features.shape(name)[2] for name in names)
    return Window(start=min(window.start - lead, end - live), end=end)


def read_back(opened: FeatureStore, view: str, newest: pa.Table, now: datetime) -> None:
    """Compare a spread sample of keys, as far as their events are not too old to be given out.

    Raises:
        RejectedError: The online store gives other values.
    """
    rows = newest.to_pylist()[:: max(1, newest.num_rows // SAMPLE)]
    keys, names, ttl = features.shape(view)
    fresh = [row for row in rows if row["event_time"] >= now - ttl]
    if not fresh:
        return
    entities = [{key: row[key] for key in keys} for row in fresh]
    found = features.online(opened, view, names, entities, now)
    if wrong := differences(fresh, found):
        raise RejectedError(
            f"view {view}: online is not offline in {len(wrong)} values of {len(fresh)} keys; "
            f"the first: {wrong[0]} for {entities[0]}; materialise the window again"
        )


def _freshness(newest: pa.Table) -> str | None:
    import pyarrow.compute as pc

    latest = pc.max(newest["event_time"]).as_py()
    return None if latest is None else latest.isoformat()


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
