"""How punctual the recent flights of an airport, carrier or route were."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import ibis

from feature_repo.transformations.table import FeatureTable, happened_at, late

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

SPANS = {"1h": 1, "3h": 3, "6h": 6, "24h": 24, "7d": 168}
"""Name of a span and its hours."""
EVENTS = {"landed": ("landed_at", "arrival_delay"), "left": ("departed_at", "departure_delay")}
"""What happened, the column that says when, and its delay in minutes."""


def traffic(
    raw: Mapping[str, ibis.Table],
    start: datetime,
    end: datetime,
    *,
    prefix: str,
    keys: tuple[str, ...],
    spans: tuple[str, ...],
    tick: int,
) -> ibis.Table:
    """Give count, mean delay and share late of landings and departures over several spans.

    At each tick of a grid of `tick` minutes, for each key seen within the longest span, the row
    counts what happened in the span before, both ends included. Sums are of integers and divided
    once, so that the result does not depend on the order in which an engine adds.
    """
    longest = max(SPANS[s] for s in spans)
    since = ibis.literal(start - timedelta(hours=longest), "timestamp('UTC', 6)")
    until = ibis.literal(end, "timestamp('UTC', 6)")
    happened = ibis.union(
        *(_events(raw["flights"], keys, what, since, until) for what in EVENTS), distinct=False
    )
    rows = happened.union(_ticks(happened, keys, start, end, tick))
    sums = {}
    for span in spans:
        window = ibis.range_window(
            group_by=list(keys),
            order_by="event_time",
            preceding=ibis.interval(hours=SPANS[span]),
            following=0,
        )
        for what in EVENTS:
            for part in ("count", "delay", "late"):
                sums[f"{what}_{span}_{part}"] = rows[f"{what}_{part}"].sum().over(window)
    summed = rows.mutate(**sums).filter(ibis._.tick)
    features = {}
    for span in spans:
        for what in EVENTS:
            name = f"{what}_{span}"
            count = summed[f"{name}_count"].cast("int64")
            features[f"{prefix}_{name}_count"] = count
            for part, measure in (("delay", "mean_delay"), ("late", "late_share")):
                total = summed[f"{name}_{part}"].cast("float64")
                features[f"{prefix}_{name}_{measure}"] = total / count.nullif(0)
    return summed.select(*keys, "event_time", **features)


def _events(
    flights: ibis.Table,
    keys: tuple[str, ...],
    what: str,
    since: ibis.TimestampScalar,
    until: ibis.TimestampScalar,
) -> ibis.Table:
    column, delay = EVENTS[what]
    zero, time = ibis.literal(0, "int64"), happened_at(flights, column)
    own = flights.filter(time.notnull(), time >= since, time < until)
    parts = {f"{other}_{p}": zero for other in EVENTS for p in ("count", "delay", "late")}
    parts |= {
        f"{what}_count": ibis.literal(1, "int64"),
        f"{what}_delay": own[delay].coalesce(zero),
        f"{what}_late": late(own[delay].coalesce(zero)),
    }
    return own.select(
        *keys, event_time=happened_at(own, column), tick=ibis.literal(value=False), **parts
    )


def _ticks(
    happened: ibis.Table, keys: tuple[str, ...], start: datetime, end: datetime, minutes: int
) -> ibis.Table:
    grid = (
        ibis.range(ibis.timestamp(start), ibis.timestamp(end), ibis.interval(minutes=minutes))
        .unnest()
        .name("event_time")
        .as_table()
    )
    grid = grid.mutate(event_time=grid.event_time.cast("timestamp('UTC', 6)"))
    rows = happened.select(*keys).distinct().cross_join(grid)
    zero = ibis.literal(0, "int64")
    parts = {name: zero for name in happened.columns if name not in (*keys, "event_time", "tick")}
    return rows.select(*keys, "event_time", tick=ibis.literal(value=True), **parts)


def _table(name: str, keys: tuple[str, ...], spans: tuple[str, ...], tick: int) -> FeatureTable:
    longest = timedelta(hours=max(SPANS[s] for s in spans))
    return FeatureTable(
        name=f"{name}_traffic",
        keys=keys,
        features=tuple(
            f"{name}_{what}_{span}_{measure}"
            for span in spans
            for what in EVENTS
            for measure in ("count", "mean_delay", "late_share")
        ),
        sources=("flights",),
        build=partial(traffic, prefix=name, keys=keys, spans=spans, tick=tick),
        # A landing may lie a day and a half after the departure that its raw row is filed under.
        lookback=longest + timedelta(days=2),
        # A tick is replaced by the next one; a key without ticks was not seen in the longest span.
        ttl=timedelta(minutes=tick) + timedelta(hours=3),
    )


TRAFFIC = (
    _table("origin", ("origin",), ("1h", "3h", "6h", "24h"), 30),
    _table("carrier", ("carrier",), ("3h", "24h", "7d"), 60),
    _table("origin_carrier", ("origin", "carrier"), ("3h", "24h", "7d"), 60),
    _table("destination", ("dest",), ("3h", "24h", "7d"), 60),
    _table("route", ("origin", "dest"), ("24h", "7d"), 180),
)
