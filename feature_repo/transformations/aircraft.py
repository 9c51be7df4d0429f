"""What the aircraft did last, and when it can be back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import ibis

from feature_repo.transformations.table import FeatureTable, happened_at, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

DUE, LEFT, LANDED = 0, 1, 2
"""State of an aircraft's last flight: planned to have left, in the air, on the ground."""
_DAY = timedelta(days=1)


def aircraft(raw: Mapping[str, ibis.Table], start: datetime, end: datetime) -> ibis.Table:
    """Give a row for each moment at which an aircraft was to leave, left or landed.

    The last flight is the one whose scheduled departure is the latest so far: an aircraft that
    was to leave and has not is at that flight, even where the one before lands only now.
    """
    flights = raw["flights"].filter(ibis._.tailnum.notnull())
    day = ibis.range_window(
        group_by="tailnum", order_by="event_time", preceding=ibis.interval(hours=24), following=0
    )
    moments = _moments(flights, start - _DAY, end)
    rows = moments.select(
        "tailnum",
        "event_time",
        scheduled=moments.scheduled.max().over(day),
        aircraft_24h_departures=moments.departures.sum().over(day).cast("int64"),
        aircraft_24h_worst_delay=moments.delay.max().over(day),
    )
    rows = rows.filter(rows.event_time >= ibis.literal(start, "timestamp('UTC', 6)"))
    last = _last(flights)
    joined = rows.join(
        last, [rows.tailnum == last.of, rows.scheduled == last.scheduled_departure], how="inner"
    )
    landed = (joined.landed <= joined.event_time).fill_null(False)
    left = (joined.left <= joined.event_time).fill_null(False)
    minutes = seconds(joined.scheduled_arrival) // 60
    departure = seconds(joined.scheduled) // 60
    nothing = ibis.null("int64")
    return joined.select(
        "tailnum",
        "event_time",
        aircraft_last_state=_by_state(landed, left, LANDED, LEFT, DUE).cast("int64"),
        aircraft_last_delay=_by_state(
            landed, left, joined.arrival_delay, joined.departure_delay, nothing
        ),
        aircraft_last_minutes=minutes - departure,
        aircraft_last_departure=departure,
        aircraft_last_arrival=_by_state(
            landed,
            left,
            seconds(joined.landed) // 60,
            minutes + joined.departure_delay,
            minutes,
        ),
        aircraft_24h_departures=joined.aircraft_24h_departures,
        aircraft_24h_worst_delay=joined.aircraft_24h_worst_delay,
    )


def _moments(flights: ibis.Table, start: datetime, end: datetime) -> ibis.Table:
    """Give what happened at each moment: the latest flight concerned, departures, largest delay."""
    since, until = (ibis.literal(time, "timestamp('UTC', 6)") for time in (start, end))
    events = ibis.union(
        *(
            flights.filter(at.notnull(), at >= since, at < until).select(
                "tailnum",
                event_time=at,
                scheduled=flights.scheduled_departure,
                delay=ibis.null("int64") if delay is None else flights[delay],
                departures=ibis.literal(int(column == "departed_at"), "int64"),
            )
            for column, delay in (
                ("scheduled_departure", None),
                ("departed_at", "departure_delay"),
                ("landed_at", "arrival_delay"),
            )
            for at in [happened_at(flights, column)]
        ),
        distinct=False,
    )
    return events.group_by("tailnum", "event_time").agg(
        scheduled=events.scheduled.max(),
        delay=events.delay.max(),
        departures=events.departures.sum(),
    )


def _last(flights: ibis.Table) -> ibis.Table:
    """Give each aircraft's flights by scheduled departure; of two at once, the later in all."""
    timed = flights.select(
        "scheduled_departure",
        "scheduled_arrival",
        "departure_delay",
        "arrival_delay",
        of=flights.tailnum,
        left=happened_at(flights, "departed_at"),
        landed=happened_at(flights, "landed_at"),
    )
    values = [c for c in timed.columns if c not in ("of", "scheduled_departure")]
    return timed.group_by("of", "scheduled_departure").agg(**{c: timed[c].max() for c in values})


def _by_state(
    landed: ibis.BooleanValue,
    left: ibis.BooleanValue,
    on_the_ground: ibis.IntegerValue | int,
    in_the_air: ibis.IntegerValue | int,
    due: ibis.IntegerValue | int,
) -> ibis.IntegerValue:
    return ibis.cases((landed, on_the_ground), (left, in_the_air), else_=due)


AIRCRAFT = FeatureTable(
    name="aircraft",
    keys=("tailnum",),
    features=(
        "aircraft_last_state",
        "aircraft_last_delay",
        "aircraft_last_minutes",
        "aircraft_last_departure",
        "aircraft_last_arrival",
        "aircraft_24h_departures",
        "aircraft_24h_worst_delay",
    ),
    sources=("flights",),
    build=aircraft,
    lookback=timedelta(days=3),
    ttl=timedelta(days=3),
)
