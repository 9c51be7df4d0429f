"""The weather as it was observed at the airport of departure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import ibis

from feature_repo.transformations.table import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

FIELDS = (
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
)  # fmt: skip


def weather(raw: Mapping[str, ibis.Table], start: datetime, end: datetime) -> ibis.Table:
    """Give each hour's observation."""
    rows = raw["weather"]
    within = rows.filter(
        rows.observed_at >= ibis.literal(start, "timestamp('UTC', 6)"),
        rows.observed_at < ibis.literal(end, "timestamp('UTC', 6)"),
    )
    features = {f"weather_{name}": within[name] for name in FIELDS}
    return within.select("origin", event_time=within.observed_at, **features)


WEATHER = FeatureTable(
    name="weather",
    keys=("origin",),
    features=tuple(f"weather_{name}" for name in FIELDS),
    sources=("weather",),
    build=weather,
    lookback=timedelta(0),
    ttl=timedelta(hours=6),
)
