from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pytest
from feast import FeatureService, FeatureStore, FeatureView
from pyiceberg.catalog.sql import SqlCatalog

from feature_repo.entities import ENTITIES
from feature_repo.offline_store import LakeOfflineStore
from feature_repo.views import VIEWS
from ml_tasks.io import features

if TYPE_CHECKING:
    from feast.infra.offline_stores.offline_store import RetrievalJob

    from ml_tasks.config import Environment

TIME, WARM = pl.Datetime("us", "UTC"), pl.Float64()
MOMENT = 1 / 3_600_000_000
"""A microsecond, in hours."""
ASKED_OF = (VIEWS["weather"].batch_source, ["origin"], ["weather_temp"], "event_time", "known_at")


def at(hour: float) -> datetime:
    return datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=hour)


def observed(environment: Environment, *rows: tuple[str | None, float, float, float]) -> None:
    """Write weather: where, the hour that it is of, the hour that it is known, how warm it is."""
    told = pl.DataFrame(
        [(where, at(event), at(known), warm) for where, event, known, warm in rows],
        schema={"origin": pl.String, "event_time": TIME, "known_at": TIME, "weather_temp": WARM},
        orient="row",
    ).to_arrow()
    environment.home.mkdir(parents=True)
    catalog = SqlCatalog("lake", uri=environment.catalog, warehouse=environment.warehouse_root)
    catalog.create_namespace("features")
    catalog.create_table("features.weather", told.schema).append(told)


def weather(environment: Environment, *others: FeatureView | FeatureService) -> FeatureStore:
    opened = features.store(environment)
    opened.apply([ENTITIES["origin"], VIEWS["weather"], *others])
    return opened


def places(*rows: tuple[str, float]) -> pd.DataFrame:
    """Entity rows: where, and the hour of asking; of whole nanoseconds, as pandas has it."""
    where, hours = zip(*rows, strict=True)
    times = pd.DatetimeIndex([at(hour) for hour in hours]).as_unit("ns")
    return pd.DataFrame({"origin": where, "event_timestamp": times})


def temperatures(opened: FeatureStore, rows: pd.DataFrame, view: str = "weather") -> list[float]:
    job = opened.get_historical_features(entity_df=rows, features=[f"{view}:weather_temp"])
    return pl.DataFrame(pl.from_arrow(job.to_arrow()))["weather_temp"].to_list()


def test_an_event_is_known_from_its_instant_and_up_to_its_age(environment: Environment) -> None:
    """The first asked is as old as may be, the last asks as it happens: both ends are read."""
    observed(environment, ("EWR", 0, 0, 40.0), ("JFK", 0, 0, 50.0), ("LGA", 9, 9, 60.0))
    rows = places(("LGA", 9), ("LGA", 9 - MOMENT), ("EWR", 6), ("JFK", 6 + MOMENT))
    assert temperatures(weather(environment), rows) == [60, None, 40, None]


def test_without_a_ttl_an_event_of_any_age_is_read(environment: Environment) -> None:
    own = VIEWS["weather"]
    ever = FeatureView(
        name="ever", entities=[ENTITIES["origin"]], ttl=None, schema=own.schema,
        source=own.batch_source,
    )  # fmt: skip
    observed(environment, ("EWR", 0, 0, 40.0))
    opened = weather(environment, ever)
    rows = places(("EWR", 9_000), ("EWR", 8_000))
    assert temperatures(opened, rows, "ever") == [40, 40]
    assert temperatures(opened, rows) == [None, None]


def test_rows_out_are_rows_in(environment: Environment) -> None:
    """Whatever else they hold, however often they come, and where none comes."""
    observed(environment, ("EWR", 0, 0, 40.0), ("EWR", 1, 1, 41.0), ("JFK", 0, 0, 50.0))
    opened = weather(environment)
    rows = places(("JFK", 2), ("EWR", 2), ("EWR", 0), ("JFK", 2), ("EWR", 2), ("EWR", 2))
    rows["note"] = ["a", "b", None, "a", "b", "c"]
    rows.index = pd.Index([5, 5, 3, 1, 1, 9])
    job = opened.get_historical_features(entity_df=rows, features=["weather:weather_temp"])
    found = job.to_df()
    assert found.columns.tolist() == ["origin", "event_timestamp", "note", "weather_temp"]
    assert found["note"].tolist() == rows["note"].tolist()
    assert found["origin"].tolist() == rows["origin"].tolist()
    assert found["event_timestamp"].tolist() == rows["event_timestamp"].tolist()
    assert found["weather_temp"].tolist() == [50, 41, 40, 50, 41, 41]
    assert temperatures(opened, rows[:0]) == []


def test_a_view_is_joined_twice_under_names_and_by_keys_of_its_own(
    environment: Environment,
) -> None:
    observed(environment, ("EWR", 0, 0, 40.0), ("JFK", 0, 0, 50.0))
    own = VIEWS["weather"][["weather_temp"]]
    here = own.with_name("departure")
    there = own.with_name("arrival").with_join_key_map({"origin": "dest"})
    both = FeatureService(name="both", features=[here, there])
    opened = weather(environment, both)
    rows = places(("EWR", 1), ("JFK", 1)).assign(dest=["JFK", "BOS"])
    job = opened.get_historical_features(entity_df=rows, features=both, full_feature_names=True)
    assert job.full_feature_names
    found = pl.DataFrame(pl.from_arrow(job.to_arrow())).drop("event_timestamp")
    assert found.to_dict(as_series=False) == {
        "origin": ["EWR", "JFK"], "dest": ["JFK", "BOS"],
        "departure__weather_temp": [40, 50], "arrival__weather_temp": [50, None],
    }  # fmt: skip
    short = LakeOfflineStore.get_historical_features(
        opened.config, [opened.get_feature_view("weather")], ["weather:weather_temp"], rows,
        opened.registry, opened.project,
    )  # fmt: skip
    assert not short.full_feature_names
    assert short.to_df()["weather_temp"].tolist() == [40, 50]


def pulled(job: RetrievalJob) -> list[tuple[Any, ...]]:
    """Rows of a job of which Feast makes nothing more, in its own names."""
    assert not job.full_feature_names
    assert job.on_demand_feature_views == []
    assert job.metadata is None
    found = pl.DataFrame(pl.from_arrow(job.to_arrow()))
    assert found.columns == ["origin", "weather_temp", "event_time", "known_at"]
    return found.rows()


def test_the_newest_row_of_each_key_within_a_range(environment: Environment) -> None:
    """Of versions of one event the one known last; a late word of an older event is not newer."""
    observed(
        environment,
        ("JFK", 6 + MOMENT, 7, 51.0), ("JFK", 6, 6, 50.0), ("JFK", 3, 3, 49.0),
        ("EWR", 3, 4, 42.0), ("EWR", 3, 5, 43.0), ("EWR", 3, 3, 41.0), ("EWR", 2, 9, 40.0),
        ("LGA", 2 - MOMENT, 3, 60.0), ("BOS", 2, 2, 30.0), (None, 4, 4, 70.0),
    )  # fmt: skip
    config = features.store(environment).config
    job = LakeOfflineStore.pull_latest_from_table_or_query(config, *ASKED_OF, at(2), at(6))
    assert pulled(job) == [
        ("BOS", 30, at(2), at(2)), ("EWR", 43, at(3), at(5)), ("JFK", 50, at(6), at(6)),
    ]  # fmt: skip


@pytest.mark.filterwarnings("error::polars.exceptions.PerformanceWarning")
def test_all_versions_of_all_rows_of_a_range_or_of_all_time(environment: Environment) -> None:
    observed(
        environment, ("EWR", 1, 1, 1.0), ("EWR", 1, 2, 2.0), (None, 2, 2, 3.0), ("JFK", 3, 3, 4.0)
    )
    config = features.store(environment).config

    def found(*ends: datetime | None) -> list[tuple[Any, ...]]:
        job = LakeOfflineStore.pull_all_from_table_or_query(config, *ASKED_OF, *ends)
        return sorted(pulled(job), key=lambda row: row[1])

    every = found()
    assert every == [
        ("EWR", 1, at(1), at(1)), ("EWR", 2, at(1), at(2)), (None, 3, at(2), at(2)),
        ("JFK", 4, at(3), at(3)),
    ]  # fmt: skip
    assert found(at(1), at(3)) == every
    assert found(at(1 + MOMENT), at(3 - MOMENT)) == every[2:3]
    assert found(at(2), None) == every[2:]
    assert found(None, at(2)) == every[:3]
