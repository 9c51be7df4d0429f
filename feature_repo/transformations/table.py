"""What a feature table is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import ibis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    Build = Callable[[Mapping[str, ibis.Table], datetime, datetime], ibis.Table]


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureTable:
    """One derived table: `build(raw, start, end)` gives keys, `event_time` and features.

    `raw` holds the newest version of each row by source; the expression may look back as far as
    `lookback`, and gives the rows whose `event_time` lies in `[start - lead, end - lead)`.
    """

    name: str
    keys: tuple[str, ...]
    features: tuple[str, ...]
    sources: tuple[str, ...]
    build: Build
    lookback: timedelta
    """How far before a row's event time its inputs may lie."""
    ttl: timedelta
    """How long a row is good for."""
    lead: timedelta = timedelta(0)
    """How long before its event time a raw row was known: a schedule is, a landing is not."""


def late(delay: ibis.IntegerValue) -> ibis.IntegerValue:
    """Give 1 where a delay in minutes counts as late, else 0: more than a quarter of an hour."""
    return (delay > 15).cast("int64")


def happened_at(flights: ibis.Table, column: str) -> ibis.TimestampValue:
    """Give when an event counts: not before its flight's scheduled departure.

    A raw row is filed under that time. A flight that left early across a window's end would
    otherwise be missing from the window when it is derived first, and there when derived anew.
    """
    own, planned = flights[column], flights.scheduled_departure
    return ibis.ifelse(own < planned, planned, own)


def seconds(time: ibis.TimestampValue) -> ibis.IntegerValue:
    """Give whole seconds since 1970; DuckDB's `epoch` gives a float, whose sums are not exact."""
    return time.delta(ibis.literal("1970-01-01 00:00:00", "timestamp('UTC', 6)"), unit="second")
