"""How much is planned in an hour; a schedule is known before it is flown."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import ibis

from feature_repo.transformations.table import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

LEAD = timedelta(days=1)


def schedule(raw: Mapping[str, ibis.Table], start: datetime, end: datetime) -> ibis.Table:
    """Give the departures planned from an airport in an hour, and in it and the two before."""
    since = ibis.literal(start - timedelta(hours=2), "timestamp('UTC', 6)")
    until = ibis.literal(end, "timestamp('UTC', 6)")
    flights = raw["flights"]
    planned = flights.filter(
        flights.scheduled_departure >= since, flights.scheduled_departure < until
    ).select("origin", hour=flights.scheduled_departure.truncate("h"))
    hours = planned.group_by("origin", "hour").agg(planned=planned.count())
    three = ibis.range_window(
        group_by="origin", order_by="hour", preceding=ibis.interval(hours=2), following=0
    )
    rows = hours.mutate(planned_3h=hours.planned.sum().over(three).cast("int64"))
    rows = rows.filter(rows.hour >= ibis.literal(start, "timestamp('UTC', 6)"))
    return rows.select(
        "origin",
        slot=rows.hour.strftime("%Y-%m-%dT%H"),
        event_time=rows.hour - ibis.interval(days=LEAD.days),
        schedule_planned_1h=rows.planned,
        schedule_planned_3h=rows.planned_3h,
    )


SCHEDULE = FeatureTable(
    name="schedule",
    keys=("origin", "slot"),
    features=("schedule_planned_1h", "schedule_planned_3h"),
    sources=("flights",),
    build=schedule,
    lookback=timedelta(hours=2),
    ttl=timedelta(days=2),
    lead=LEAD,
)
