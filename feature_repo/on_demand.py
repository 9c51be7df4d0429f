"""Features made when a question is asked."""

from __future__ import annotations

import pandas as pd  # noqa: TC002 - Feast evaluates the annotations of the functions
from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, UnixTimestamp

from feature_repo.views import OWNER, VIEWS

FLIGHT = RequestSource(
    name="flight",
    schema=[
        Field(name="scheduled_departure", dtype=UnixTimestamp),
        Field(name="scheduled_arrival", dtype=UnixTimestamp),
        Field(name="asked_at", dtype=UnixTimestamp),
    ],
    description="The flight that is asked about, and when.",
    owner=OWNER,
)
_CALENDAR = {
    "calendar_hour_sin": "Hour of scheduled departure in New York, sine.",
    "calendar_hour_cos": "Hour of scheduled departure in New York, cosine.",
    "calendar_weekday_sin": "Weekday, sine.",
    "calendar_weekday_cos": "Weekday, cosine.",
    "calendar_day_of_year_sin": "Day of the year, sine.",
    "calendar_day_of_year_cos": "Day of the year, cosine.",
    "calendar_holiday_ahead": "Days to the next US holiday, at most 7.",
    "calendar_holiday_behind": "Days since the last US holiday, at most 7.",
    "calendar_scheduled_minutes": "Scheduled duration in minutes.",
}
_ROTATION = {
    "rotation_minutes_between": "Since the aircraft's last scheduled departure, at most 1440.",
    "rotation_known_delay": "Its delay so far, which grows while it is due, -30 to 240 minutes.",
    "rotation_spare": "Minutes from its landing, at the earliest, to this departure, -240 to 480.",
    "rotation_spare_after_return": "The same, less the time to fly back, -240 to 480.",
    "rotation_short_turn": "Minutes missing to an hour's turn, 0 to 60; 0 where it is not awaited.",
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
    """Give hour, weekday and day of year as points on a circle, and the holidays around."""
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
        "day_of_year": local.dt.dayofyear / 366,
    }
    out = {}
    for name, turn in circles.items():
        out[f"calendar_{name}_sin"] = numpy.sin(2 * numpy.pi * turn.to_numpy(dtype=float))
        out[f"calendar_{name}_cos"] = numpy.cos(2 * numpy.pi * turn.to_numpy(dtype=float))
    day = local.dt.tz_localize(None).to_numpy().astype("datetime64[D]")
    years = range(local.dt.year.min() - 1, local.dt.year.max() + 2)
    free = numpy.array(sorted(holidays.country_holidays("US", years=years)), "datetime64[D]")
    ahead = free[numpy.searchsorted(free, day)] - day
    behind = day - free[numpy.searchsorted(free, day, side="right") - 1]
    out["calendar_holiday_ahead"] = numpy.minimum(ahead.astype(float), 7)
    out["calendar_holiday_behind"] = numpy.minimum(behind.astype(float), 7)
    out["calendar_scheduled_minutes"] = ((arrival - departure).dt.total_seconds() / 60).to_numpy()
    return pandas.DataFrame(out)


@on_demand_feature_view(
    sources=[VIEWS["aircraft"], FLIGHT],
    schema=[Field(name=name, dtype=Float64) for name in _ROTATION],
    mode="pandas",
    description="Whether the aircraft can be back in time; null where it is not known.",
    owner=OWNER,
    tags={"layer": "request", **_ROTATION},
)
def rotation(flights: pd.DataFrame) -> pd.DataFrame:
    """Hold the aircraft's last flight against this one, in minutes.

    Beyond a few hours nothing more depends on them; the limits keep the scale where it counts.
    """
    import numpy
    import pandas

    def minutes(column: str) -> pandas.Series:
        moment = pandas.to_datetime(flights[column], utc=True)
        return (moment - pandas.Timestamp(0, tz="UTC")).dt.total_seconds() / 60

    last = {
        name: flights[f"aircraft_last_{name}"].astype(float)
        for name in ("state", "delay", "minutes", "departure", "arrival")
    }
    planned, asked = minutes("scheduled_departure"), minutes("asked_at")
    due, landed = last["state"] == 0, last["state"] == 2
    leaves = last["departure"].where(~due, numpy.maximum(last["departure"], asked))
    expected = last["arrival"].where(~due, leaves + last["minutes"])
    lands = expected.where(landed, numpy.maximum(expected, asked))
    spare = planned - lands
    on_return = spare - last["minutes"]
    # Nobody waits for an aircraft that has not left, or comes two hours late: another one flies.
    missing = (60 - on_return).clip(0, 60).mask((on_return <= -120) | due, 0)
    late = last["delay"].where(~due, leaves - last["departure"])
    return pandas.DataFrame(
        {
            "rotation_minutes_between": (planned - last["departure"]).clip(upper=1440),
            "rotation_known_delay": late.clip(-30, 240),
            "rotation_spare": spare.clip(-240, 480),
            "rotation_spare_after_return": on_return.clip(-240, 480),
            "rotation_short_turn": missing,
        }
    ).astype(float)


ON_DEMAND = (calendar, rotation)
