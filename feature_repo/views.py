"""Feature views over the derived tables."""

from __future__ import annotations

import re

from feast import FeatureView, Field
from feast.types import Float64, Int64

from feature_repo.entities import ENTITIES
from feature_repo.source import LakeSource
from feature_repo.transformations import TABLES
from feature_repo.transformations.traffic import SPANS

OWNER = "flight-operations"
_WHAT = {"landed": "landings", "left": "departures"}
_MEASURES = {
    "mean_delay": ("Mean delay of the {what} in the {span} before.", "min", Float64),
    "late_share": ("Share of the {what} in the {span} before that were late.", "1", Float64),
    "mean_gain": (
        "Mean of arrival less departure delay of the {what} in the {span} before.", "min", Float64,
    ),
}  # fmt: skip
_WAITING = {
    "count": ("Flights that were to leave and have not, up to 6 hours.", "1", Int64),
    "mean_minutes": ("How long those flights have been waiting, on average.", "min", Float64),
}
_FIELDS = {
    "aircraft_last_state": (
        "Of the aircraft's latest planned flight: 0 due to leave, 1 in the air, 2 landed.",
        "1",
        Int64,
    ),
    "aircraft_last_delay": (
        "That flight's delay: of its landing, else of its departure; null while due.",
        "min",
        Int64,
    ),
    "aircraft_last_minutes": ("That flight's scheduled duration.", "min", Int64),
    "aircraft_last_departure": ("Its scheduled departure, minutes since 1970.", "min", Int64),
    "aircraft_last_arrival": (
        "Its landing, else when it would land by what is known, minutes since 1970.",
        "min",
        Int64,
    ),
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
    "number_traffic": "Punctuality of the flight number on its route.",
    "aircraft": "What the aircraft did last, and when it can be back.",
    "schedule": "How much is planned from the airport in the hour.",
    "weather": "Weather at the airport of departure.",
}


def _field(name: str) -> Field:
    if name in _FIELDS:
        text, unit, dtype = _FIELDS[name]
        return Field(name=name, dtype=dtype, description=text, tags={"unit": unit})
    waiting = re.fullmatch(r"\w+?_waiting_(\w+)", name)
    if waiting is not None:
        text, unit, dtype = _WAITING[waiting[1]]
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
