"""Feature views over the derived tables, and the features made at request time."""

from __future__ import annotations

import re

import pandas as pd  # noqa: TC002 - Feast evaluates the annotations of `calendar`
from feast import FeatureView, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, UnixTimestamp

from feature_repo.entities import ENTITIES
from feature_repo.source import LakeSource
from feature_repo.transformations import TABLES
from feature_repo.transformations.traffic import SPANS

OWNER = "flight-operations"
_WHAT = {"landed": "landings", "left": "departures"}
_MEASURES = {
    "count": ("Number of {what} in the {span} before.", "1", Int64),
    "mean_delay": ("Mean delay of the {what} in the {span} before.", "min", Float64),
    "late_share": ("Share of the {what} in the {span} before that were late.", "1", Float64),
}
_FIELDS = {
    "aircraft_last_delay": ("Delay of the aircraft's last landing or departure.", "min", Int64),
    "aircraft_last_landed": ("1 if that was a landing, 0 if a departure.", "1", Int64),
    "aircraft_24h_departures": ("The aircraft's departures in 24 hours.", "1", Int64),
    "aircraft_24h_worst_delay": ("The aircraft's largest delay in 24 hours.", "min", Int64),
    "schedule_planned_1h": ("Departures planned in the flight's hour.", "1", Int64),
    "schedule_planned_3h": ("Departures planned in that hour and the two before.", "1", Int64),
    "weather_temp": ("Air temperature.", "degF", Float64),
    "weather_dewp": ("Dew point.", "degF", Float64),
    "weather_humid": ("Relative humidity.", "%", Float64),
    "weather_wind_dir": ("Wind direction.", "deg", Float64),
    "weather_wind_speed": ("Wind speed.", "mph", Float64),
    "weather_wind_gust": ("Wind gust speed.", "mph", Float64),
    "weather_precip": ("Precipitation of the hour.", "in", Float64),
    "weather_pressure": ("Pressure at sea level.", "mbar", Float64),
    "weather_visib": ("Visibility.", "mi", Float64),
}
_VIEWS = {
    "origin_traffic": "Punctuality at the airport of departure.",
    "carrier_traffic": "Punctuality of the carrier.",
    "origin_carrier_traffic": "Punctuality of the carrier at the airport of departure.",
    "destination_traffic": "Punctuality of flights to the destination.",
    "route_traffic": "Punctuality of the route.",
    "aircraft": "What the aircraft did last.",
    "schedule": "How much is planned from the airport in the hour.",
    "weather": "Weather at the airport of departure.",
}


def _field(name: str) -> Field:
    if name in _FIELDS:
        text, unit, dtype = _FIELDS[name]
        return Field(name=name, dtype=dtype, description=text, tags={"unit": unit})
    found = re.fullmatch(rf"\w+?_(landed|left)_({'|'.join(SPANS)})_(\w+)", name)
    if found is None:
        raise KeyError(name)
    text, unit, dtype = _MEASURES[found[3]]
    description = text.format(what=_WHAT[found[1]], span=found[2])
    return Field(name=name, dtype=dtype, description=description, tags={"unit": unit})


def _view(name: str, features: tuple[str, ...]) -> FeatureView:
    table = TABLES[name]
    return FeatureView(
        name=name,
        entities=[ENTITIES[key] for key in table.keys],
        ttl=table.ttl,
        schema=[_field(feature) for feature in features],
        source=LakeSource(table=f"features.{name}", description=_VIEWS[name], owner=OWNER),
        description=_VIEWS[name],
        owner=OWNER,
        tags={"layer": "derived"},
    )


VIEWS = {name: _view(name, table.features) for name, table in TABLES.items()}

FLIGHT = RequestSource(
    name="flight",
    schema=[
        Field(name="scheduled_departure", dtype=UnixTimestamp),
        Field(name="scheduled_arrival", dtype=UnixTimestamp),
    ],
    description="The flight that is asked about.",
    owner=OWNER,
)
_CALENDAR = {
    "calendar_hour_sin": "Hour of scheduled departure in New York, sine.",
    "calendar_hour_cos": "Hour of scheduled departure in New York, cosine.",
    "calendar_weekday_sin": "Weekday, sine.",
    "calendar_weekday_cos": "Weekday, cosine.",
    "calendar_yearday_sin": "Day of the year, sine.",
    "calendar_yearday_cos": "Day of the year, cosine.",
    "calendar_holiday_distance": "Days to the nearest US holiday, at most 7.",
    "calendar_scheduled_minutes": "Scheduled duration in minutes.",
}


@on_demand_feature_view(
    sources=[FLIGHT],
    # Feast 0.67 holds whole fields against those that it infers, which have no descriptions.
    schema=[Field(name=name, dtype=Float64) for name in _CALENDAR],
    mode="pandas",
    description="The moment of scheduled departure, in local time.",
    owner=OWNER,
    tags={"layer": "request", **_CALENDAR},
)
def calendar(flights: pd.DataFrame) -> pd.DataFrame:
    """Give hour, weekday and day of the year as points on a circle, and the nearest holiday."""
    # Feast stores this function by itself: what it needs is imported inside.
    import holidays
    import numpy
    import pandas

    departure = pandas.to_datetime(flights["scheduled_departure"], utc=True)
    arrival = pandas.to_datetime(flights["scheduled_arrival"], utc=True)
    local = departure.dt.tz_convert("America/New_York")
    circles = {
        "hour": (local.dt.hour + local.dt.minute / 60) / 24,
        "weekday": local.dt.weekday / 7,
        "yearday": local.dt.dayofyear / 366,
    }
    out = {}
    for name, turn in circles.items():
        out[f"calendar_{name}_sin"] = numpy.sin(2 * numpy.pi * turn.to_numpy(dtype=float))
        out[f"calendar_{name}_cos"] = numpy.cos(2 * numpy.pi * turn.to_numpy(dtype=float))
    day = local.dt.tz_localize(None).to_numpy().astype("datetime64[D]")
    years = range(local.dt.year.min() - 1, local.dt.year.max() + 2)
    free = numpy.array(sorted(holidays.country_holidays("US", years=years)), "datetime64[D]")
    gap = numpy.abs((day[:, None] - free[None, :]).astype(int)).min(axis=1)
    out["calendar_holiday_distance"] = numpy.minimum(gap, 7).astype(float)
    out["calendar_scheduled_minutes"] = ((arrival - departure).dt.total_seconds() / 60).to_numpy()
    return pandas.DataFrame(out)
