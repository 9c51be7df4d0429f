from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from ml_tasks import config
from ml_tasks.config import ROOT, Environment
from ml_tasks.errors import ConfigError
from ml_tasks.io import objects
from ml_tasks.result import Window
from ml_tasks.sources import nycflights13, params_of, read

if TYPE_CHECKING:
    from pathlib import Path

PIPELINE = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
WEEK = Window.parse("2013-03-08/2013-03-12")


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    return nycflights13.flights(nycflights13.data_folder())


def test_every_flight_is_there_with_the_declared_columns(flights: pl.DataFrame) -> None:
    assert flights.height == 336_776
    assert flights.columns == list(PIPELINE.sources["flights"].columns)
    assert flights.select("scheduled_departure", "scheduled_arrival").null_count().row(0) == (0, 0)


def test_times_agree_with_each_other_and_with_the_data(flights: pl.DataFrame) -> None:
    landed = flights.filter(pl.col("landed_at").is_not_null())
    assert landed.height == 327_346
    assert (landed["landed_at"] > landed["departed_at"]).mean() == 1
    in_air = (landed["landed_at"] - landed["departed_at"]).dt.total_minutes() - landed["air_time"]
    assert (in_air.is_between(0, 240)).mean() > 0.999


def test_a_flight_known_by_hand(flights: pl.DataFrame) -> None:
    """UA 1545 on 1 January: scheduled 5:15 to 8:19, left 5:17, landed 8:30 in Houston."""
    day = flights.filter(pl.col("scheduled_departure").dt.date() == date(2013, 1, 1))
    row = day.filter((pl.col("carrier") == "UA") & (pl.col("flight") == 1545)).row(0, named=True)
    assert row["scheduled_departure"] == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    assert row["departed_at"] == datetime(2013, 1, 1, 10, 17, tzinfo=UTC)
    assert row["landed_at"] == datetime(2013, 1, 1, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(("day", "hour"), [(5, 11), (12, 10)])
def test_summer_time_shifts_the_departures(flights: pl.DataFrame, day: int, hour: int) -> None:
    """What leaves in the hour after 6:00 in New York, before and after 10 March."""
    departure = pl.col("scheduled_departure")
    planned = flights.filter(
        departure.dt.date() == date(2013, 3, day),
        departure.dt.convert_time_zone("America/New_York").dt.hour() == 6,
    )
    assert planned.height > 20
    assert planned["scheduled_departure"].dt.hour().unique().to_list() == [hour]


def test_the_landing_zone_is_unpacked_once(tmp_path: Path) -> None:
    environment = Environment(home=tmp_path)
    weather = PIPELINE.sources["weather"]
    found = list(read("weather", weather, WEEK, environment))
    assert [d.covers.start.day for d in found if d.covers] == [8, 9, 10, 11]
    assert all(d.landed_at - d.covers.end == timedelta(hours=6) for d in found if d.covers)
    rows = pl.concat([pl.DataFrame(pl.from_arrow(b)) for d in found for b in d.batches])
    assert rows.columns == list(weather.columns)
    assert not rows.select("origin", "observed_at").is_duplicated().any()
    landing = environment.landing_root
    before = [(o.uri, o.modified) for o in objects.find(landing)]
    assert len(list(read("weather", weather, WEEK, environment))) == len(found)
    assert [(o.uri, o.modified) for o in objects.find(landing)] == before


def test_another_data_set_is_refused() -> None:
    source = PIPELINE.sources["weather"].model_copy(update={"params": {"dataset": "trains"}})
    with pytest.raises(ConfigError, match=r"sources.weather.params: dataset: came 'trains'"):
        params_of("weather", source)
