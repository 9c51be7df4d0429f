"""How punctual the recent flights of an airport, carrier or route were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import ibis

from feature_repo.transformations.table import FeatureTable, happened_at, late, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SPANS = {"1h": 1, "3h": 3, "6h": 6, "24h": 24, "7d": 168, "28d": 672}
"""Name of a span and its hours."""
PATIENCE = timedelta(hours=6)
"""A flight that has not left so long after its time counts as cancelled, no longer as waiting."""
EVENTS = {"landed": ("landed_at", "arrival_delay"), "left": ("departed_at", "departure_delay")}
"""What happened, the column that says when, and its delay in minutes."""
MEASURES = {
    "landed": {"delay": "mean_delay", "late": "late_share", "gain": "mean_gain"},
    "left": {"delay": "mean_delay", "late": "late_share"},
}
"""What is summed of them and what comes of it; a gain is the landing's delay less the departure's.
"""
PARTS = {what: ("count", *measures) for what, measures in MEASURES.items()}
WAITING = ("count", "since")


def traffic(
    raw: Mapping[str, ibis.Table],
    start: datetime,
    end: datetime,
    *,
    prefix: str,
    keys: tuple[str, ...],
    spans: tuple[str, ...],
    tick: int,
    waiting: bool,
) -> ibis.Table:
    """Give mean delay, share late and gain of landings and departures over several spans.

    At each tick of a grid of `tick` minutes, for each key seen within the longest span before it,
    the row takes in what happened in the span before, both ends included, and, for a table that
    has them, the flights that were to leave and have not. Sums are of integers and divided once,
    so that the result does not depend on the order in which an engine adds.
    """
    longest = SPANS[_longest(spans)]
    happened = ibis.union(
        *(_events(raw["flights"], keys, what, start, end, longest) for what in EVENTS),
        *(_waiting(raw["flights"], keys, start, end) if waiting else ()),
        distinct=False,
    )
    summed = _summed(happened.union(_ticks(happened, keys, start, end, tick)), keys, spans)
    seen = sum((summed[f"{what}_{_longest(spans)}_count"] for what in EVENTS), summed.waiting_count)
    summed = summed.filter(summed.tick, seen > 0)
    features = _features(summed, spans)
    return summed.select(
        *keys,
        "event_time",
        **{f"{prefix}_{n}": features[n] for n in _names(spans, waiting=waiting)},
    )


def _summed(rows: ibis.Table, keys: tuple[str, ...], spans: tuple[str, ...]) -> ibis.Table:
    """Add what happened within each span of each row's time.

    That is all that ever did less what had before the span: one look back a span costs an engine
    far less than a sum over it for each part.
    """

    def until(end: ibis.IntervalScalar | None) -> ibis.Window:
        frame = {"following": 0} if end is None else {"preceding": (None, end)}
        return ibis.range_window(group_by=list(keys), order_by="event_time", **frame)

    sums = {part: rows[part].sum().over(until(None)).cast("int64") for part in _parts({})}
    ever = rows.mutate(ever=ibis.struct(sums))
    ever = ever.mutate(
        **{f"before_{span}": ever.ever.last().over(until(_just_over(span))) for span in spans}
    )
    within = {f"waiting_{part}": ever.ever[f"waiting_{part}"] for part in WAITING}
    for span in spans:
        for part in (f"{what}_{part}" for what in EVENTS for part in PARTS[what]):
            what, _, rest = part.partition("_")
            gone = ever[f"before_{span}"][part].coalesce(ibis.literal(0, "int64"))
            within[f"{what}_{span}_{rest}"] = ever.ever[part] - gone
    return ever.mutate(**within)


def _just_over(span: str) -> ibis.IntervalScalar:
    """Give a span and the shortest time beyond it: both its ends are inside."""
    return ibis.interval(microseconds=timedelta(hours=SPANS[span]) // timedelta.resolution + 1)


def _features(summed: ibis.Table, spans: tuple[str, ...]) -> dict[str, ibis.NumericValue]:
    waiting = summed.waiting_count
    waited = waiting * seconds(summed.event_time) - summed.waiting_since
    features = {
        "waiting_count": waiting,
        "waiting_mean_minutes": waited.cast("float64") / (60 * waiting.nullif(0)),
    }
    for span in spans:
        for what, measures in MEASURES.items():
            count = summed[f"{what}_{span}_count"].nullif(0)
            for part, measure in measures.items():
                total = summed[f"{what}_{span}_{part}"].cast("float64")
                features[f"{what}_{span}_{measure}"] = total / count
    return features


def _events(
    flights: ibis.Table,
    keys: tuple[str, ...],
    what: str,
    start: datetime,
    end: datetime,
    hours: int,
) -> ibis.Table:
    """Give the landings or departures in a range and some hours before it."""
    column, delay = EVENTS[what]
    since = ibis.literal(start - timedelta(hours=hours), "timestamp('UTC', 6)")
    until = ibis.literal(end, "timestamp('UTC', 6)")
    time = happened_at(flights, column)
    own = flights.filter(time.notnull(), time >= since, time < until)
    zero = ibis.literal(0, "int64")
    minutes = own[delay].coalesce(zero)
    counted = {
        "count": ibis.literal(1, "int64"),
        "delay": minutes,
        "late": late(minutes),
        "gain": minutes - own.departure_delay.coalesce(zero),
    }
    return own.select(
        *keys,
        event_time=happened_at(own, column),
        tick=ibis.literal(value=False),
        **_parts({f"{what}_{part}": counted[part] for part in PARTS[what]}),
    )


def _waiting(
    flights: ibis.Table, keys: tuple[str, ...], start: datetime, end: datetime
) -> list[ibis.Table]:
    """Give two rows a flight: it is counted when it is to leave, and no longer when it has left."""
    since = ibis.literal(start - PATIENCE, "timestamp('UTC', 6)")
    until = ibis.literal(end, "timestamp('UTC', 6)")
    planned = flights.scheduled_departure
    own = flights.filter(planned >= since, planned < until)
    given_up = own.scheduled_departure + ibis.interval(seconds=int(PATIENCE.total_seconds()))
    left = ibis.least(happened_at(own, "departed_at").coalesce(given_up), given_up)
    return [
        own.select(
            *keys,
            event_time=time,
            tick=ibis.literal(value=False),
            **_parts(
                {
                    "waiting_count": ibis.literal(sign, "int64"),
                    "waiting_since": sign * seconds(own.scheduled_departure),
                }
            ),
        ).filter(ibis._.event_time < until)
        for sign, time in ((1, own.scheduled_departure), (-1, left))
    ]


def _parts(counted: Mapping[str, ibis.IntegerValue]) -> dict[str, ibis.IntegerValue]:
    """Give all that is summed: what is counted, and zeros."""
    names = [*(f"{w}_{p}" for w in EVENTS for p in PARTS[w]), *(f"waiting_{p}" for p in WAITING)]
    zero = ibis.literal(0, "int64")
    return {name: counted.get(name, zero).cast("int64") for name in names}


def _ticks(
    happened: ibis.Table, keys: tuple[str, ...], start: datetime, end: datetime, minutes: int
) -> ibis.Table:
    # One grid for all windows, wherever they begin: at a seam there would be a hole else.
    step = timedelta(minutes=minutes)
    first = start + (EPOCH - start) % step
    grid = (
        ibis.range(ibis.timestamp(first), ibis.timestamp(end), ibis.interval(minutes=minutes))
        .unnest()
        .name("event_time")
        .as_table()
    )
    grid = grid.mutate(event_time=grid.event_time.cast("timestamp('UTC', 6)"))
    rows = happened.select(*keys).distinct().cross_join(grid)
    return rows.select(*keys, "event_time", tick=ibis.literal(value=True), **_parts({}))


def _longest(spans: tuple[str, ...]) -> str:
    return max(spans, key=lambda s: SPANS[s])


def _names(spans: tuple[str, ...], *, waiting: bool) -> tuple[str, ...]:
    measures = [
        f"{what}_{span}_{measure}"
        for span in spans
        for what in EVENTS
        for measure in MEASURES[what].values()
    ]
    return (*(("waiting_count", "waiting_mean_minutes") if waiting else ()), *measures)


def _table(
    name: str, keys: tuple[str, ...], spans: tuple[str, ...], tick: int, *, waiting: bool = True
) -> FeatureTable:
    longest = timedelta(hours=SPANS[_longest(spans)])
    return FeatureTable(
        name=f"{name}_traffic",
        keys=keys,
        features=tuple(f"{name}_{feature}" for feature in _names(spans, waiting=waiting)),
        sources=("flights",),
        build=partial(traffic, prefix=name, keys=keys, spans=spans, tick=tick, waiting=waiting),
        # A landing may lie a day and a half after the departure that its raw row is filed under.
        lookback=longest + timedelta(days=2),
        # A tick is replaced by the next one; a key without ticks was not seen in the longest span.
        ttl=timedelta(minutes=tick) + timedelta(hours=3),
    )


TRAFFIC = (
    _table("origin", ("origin",), ("1h", "3h", "6h", "24h"), 10),
    _table("carrier", ("carrier",), ("1h", "3h", "24h", "7d"), 30),
    _table("origin_carrier", ("origin", "carrier"), ("1h", "3h", "24h", "7d"), 30),
    _table("destination", ("dest",), ("3h", "24h", "7d"), 60),
    _table("route", ("origin", "dest"), ("24h", "7d"), 180, waiting=False),
    _table("number", ("carrier", "flight", "dest"), ("7d", "28d"), 720, waiting=False),
)
