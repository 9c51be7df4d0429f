"""What the aircraft did last."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import ibis

from feature_repo.transformations.table import FeatureTable, happened_at
from feature_repo.transformations.traffic import EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


def aircraft(raw: Mapping[str, ibis.Table], start: datetime, end: datetime) -> ibis.Table:
    """Give a row for each landing and departure of an aircraft: that event, and its day so far."""
    since = ibis.literal(start - timedelta(days=1), "timestamp('UTC', 6)")
    until = ibis.literal(end, "timestamp('UTC', 6)")
    flights = raw["flights"].filter(ibis._.tailnum.notnull())
    events = ibis.union(
        *(
            flights.filter(at.notnull(), at >= since, at < until).select(
                "tailnum",
                event_time=at,
                delay=flights[delay],
                landed=ibis.literal(int(what == "landed"), "int64"),
            )
            for what, (column, delay) in EVENTS.items()
            for at in [happened_at(flights, column)]
        ),
        distinct=False,
    )
    moments = events.group_by("tailnum", "event_time").agg(
        delay=events.delay.max(), landed=events.landed.max(), flights=(1 - events.landed).sum()
    )
    day = ibis.range_window(
        group_by="tailnum", order_by="event_time", preceding=ibis.interval(hours=24), following=0
    )
    rows = moments.select(
        "tailnum",
        "event_time",
        aircraft_last_delay=moments.delay,
        aircraft_last_landed=moments.landed,
        aircraft_24h_departures=moments["flights"].sum().over(day).cast("int64"),
        aircraft_24h_worst_delay=moments.delay.max().over(day),
    )
    return rows.filter(rows.event_time >= ibis.literal(start, "timestamp('UTC', 6)"))


AIRCRAFT = FeatureTable(
    name="aircraft",
    keys=("tailnum",),
    features=(
        "aircraft_last_delay",
        "aircraft_last_landed",
        "aircraft_24h_departures",
        "aircraft_24h_worst_delay",
    ),
    sources=("flights",),
    build=aircraft,
    lookback=timedelta(days=3),
    ttl=timedelta(days=3),
)
