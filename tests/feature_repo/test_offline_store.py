from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import polars as pl
import pytest
from feast import FeatureStore, FeatureView, FileSource, RepoConfig
from feast.types import Int64
from polars.testing import assert_frame_equal
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.types import DoubleType

from feature_repo.entities import ENTITIES
from feature_repo.on_demand import rotation
from feature_repo.views import VIEWS
from ml_tasks.io import features

if TYPE_CHECKING:
    from pathlib import Path

    from ml_tasks.config import Environment

START = datetime(2013, 1, 1, tzinfo=UTC)
KEYS = {
    "origin": ["EWR", "JFK"], "dest": ["BOS", "ORD", "ATL"], "carrier": ["UA", "B6"],
    "flight": [1, 2, 3], "tailnum": ["N1", "N2", "N3"], "slot": ["2013-01-01T05"],
}  # fmt: skip
NAMES = ("weather", "number_traffic", "aircraft")
REFS = [f"{name}:{field.name}" for name in NAMES for field in VIEWS[name].features]
ROWS = 400
TIME = pl.Datetime("us", "UTC")


def moments(dice: np.random.Generator, number: int) -> pl.Series:
    hours = pl.Series(dice.integers(0, 24 * 8, number))
    return pl.select(pl.lit(START).cast(TIME) + pl.duration(hours=hours)).to_series()


def table(name: str, dice: np.random.Generator) -> pl.DataFrame:
    """Rows of a view, each known when it happened, some of them twice."""
    view = VIEWS[name]
    rows = pl.DataFrame(
        {key: dice.choice(KEYS[key], ROWS) for key in view.entities}
        | {
            field.name: dice.integers(0, 99, ROWS).astype("i8" if field.dtype == Int64 else "f8")
            for field in view.features
        }
    ).with_columns(event_time=moments(dice, ROWS))
    return rows.unique([*view.entities, "event_time"]).with_columns(known_at="event_time")


def asked(dice: np.random.Generator, number: int = 300) -> pl.DataFrame:
    """Entity rows, some with keys that nobody knows or that are null, some twice."""
    some = {key: dice.choice([*values, values[0]], number) for key, values in KEYS.items()}
    rows = pl.DataFrame(some).with_columns(
        pl.when(pl.Series(dice.random(number) < 0.8)).then("tailnum").alias("tailnum"),
        pl.when(pl.Series(dice.random(number) < 0.9))
        .then("dest")
        .otherwise(pl.lit("XXX"))
        .alias("dest"),
        event_timestamp=moments(dice, number),
    )
    return pl.concat([rows, rows[:50]]).with_row_index("row")


@pytest.fixture
def tables() -> dict[str, pl.DataFrame]:
    dice = np.random.default_rng(3)
    return {name: table(name, dice) for name in NAMES}


@pytest.fixture
def ours(environment: Environment, tables: dict[str, pl.DataFrame]) -> FeatureStore:
    write(environment, tables)
    opened = features.store(environment)
    features.apply(opened)
    return opened


def write(environment: Environment, tables: dict[str, pl.DataFrame]) -> None:
    environment.home.mkdir(parents=True, exist_ok=True)
    catalog = SqlCatalog("lake", uri=environment.catalog, warehouse=environment.warehouse_root)
    catalog.create_namespace_if_not_exists("features")
    for name, rows in tables.items():
        made = rows.to_arrow()
        catalog.create_table_if_not_exists(f"features.{name}", made.schema).append(made)


def theirs(folder: Path, tables: dict[str, pl.DataFrame]) -> FeatureStore:
    """Feast's own store that answers each row, on the same rows as files."""
    opened = FeatureStore(
        config=RepoConfig(
            project="peer", provider="local", registry=str(folder / "registry.db"),
            offline_store={"type": "duckdb"}, entity_key_serialization_version=3,
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
        )
    )  # fmt: skip
    views = []
    for name, rows in tables.items():
        rows.write_parquet(folder / f"{name}.parquet")
        source = FileSource(
            name=name, path=str(folder / f"{name}.parquet"), timestamp_field="event_time",
            created_timestamp_column="known_at",
        )  # fmt: skip
        own = VIEWS[name]
        entities = [ENTITIES[key] for key in own.entities]
        views.append(
            FeatureView(name=name, entities=entities, ttl=own.ttl, schema=own.schema, source=source)
        )
    opened.apply([*ENTITIES.values(), *views])
    return opened


def answer(opened: FeatureStore, rows: pl.DataFrame) -> pl.DataFrame:
    job = opened.get_historical_features(entity_df=rows.to_pandas(), features=REFS)
    names = [ref.partition(":")[2] for ref in REFS]
    found = pl.DataFrame(pl.from_arrow(job.to_arrow()))
    return found.select(pl.col("row").cast(pl.Int64), pl.col(names).cast(pl.Float64))


def test_equals_feasts_own_store_where_all_is_known_at_once(
    ours: FeatureStore, tables: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    rows = asked(np.random.default_rng(4))
    found = answer(ours, rows)
    assert found["row"].to_list() == list(range(rows.height))
    assert_frame_equal(found, answer(theirs(tmp_path, tables), rows).sort("row"))
    answered = found.select(pl.col(pl.Float64).is_not_null().mean()).row(0)
    assert 0.05 < min(answered) < 0.95 < max(answered)


def test_rows_that_nothing_is_known_of_stay(ours: FeatureStore) -> None:
    """Also where a batch has no key at all, so that nobody can say of which type it is."""
    rows = asked(np.random.default_rng(5), 20).with_columns(
        tailnum=pl.lit(None), flight=pl.lit(None, pl.Int64)
    )
    found = answer(ours, rows)
    assert found["row"].to_list() == rows["row"].to_list()
    assert found["aircraft_last_delay"].is_null().all()
    before = asked(np.random.default_rng(5), 20).with_columns(
        event_timestamp=pl.lit(START - timedelta(days=9)).cast(TIME)
    )
    assert answer(ours, before).drop("row").null_count().row(0) == (before.height,) * len(REFS)


def test_a_pinned_table_is_read_as_it_was_and_old_rows_lack_a_new_feature(
    environment: Environment, ours: FeatureStore, tables: dict[str, pl.DataFrame]
) -> None:
    rows = asked(np.random.default_rng(6))
    first = answer(ours, rows)
    catalog = SqlCatalog("lake", uri=environment.catalog, warehouse=environment.warehouse_root)
    pins = {}
    for name in NAMES:
        snapshot = catalog.load_table(f"features.{name}").current_snapshot()
        assert snapshot is not None
        pins[f"features.{name}"] = snapshot.snapshot_id
    dice = np.random.default_rng(7)
    write(environment, {name: table(name, dice) for name in NAMES})
    assert not answer(features.store(environment), rows).equals(first)
    assert_frame_equal(answer(features.store(environment, pins), rows), first)
    with catalog.load_table("features.weather").update_schema() as change:
        change.rename_column("weather_temp", "weather_felt")
    with catalog.load_table("features.weather").update_schema() as change:
        change.add_column("weather_temp", DoubleType())
    found = answer(features.store(environment), rows)
    assert found["weather_temp"].is_null().all()
    assert found["weather_dewp"].is_not_null().any()


def test_only_a_data_frame_says_what_is_asked(ours: FeatureStore) -> None:
    with pytest.raises(TypeError, match="entity_df: came str, wanted a pandas data frame"):
        ours.get_historical_features(entity_df="select 1", features=REFS)


def test_a_job_tells_what_was_asked_and_what_feast_makes_of_it(ours: FeatureStore) -> None:
    """Also the features that are asked for only because others are made of them."""
    rows = asked(np.random.default_rng(8)).to_pandas()
    rows["scheduled_departure"] = rows["event_timestamp"] + pd.Timedelta(hours=1)
    rows["scheduled_arrival"] = rows["event_timestamp"] + pd.Timedelta(hours=3)
    rows["asked_at"] = rows["event_timestamp"]
    refs = ["rotation:rotation_spare", "aircraft:aircraft_last_delay"]
    job = ours.get_historical_features(entity_df=rows, features=refs)
    needed = {f"aircraft:aircraft_last_{n}" for n in ("state", "minutes", "departure", "arrival")}
    assert [view.name for view in job.on_demand_feature_views] == ["rotation"]
    assert job.metadata is not None
    assert job.metadata.keys == [name for name in rows.columns if name != "event_timestamp"]
    assert job.metadata.features[:2] == refs
    assert needed <= set(job.metadata.features[2:])
    found = job.to_df()
    assert found["row"].tolist() == rows["row"].tolist()
    made = rotation.feature_transformation.udf(found)["rotation_spare"]
    pd.testing.assert_series_equal(found["rotation_spare"], made)
    assert 0.05 < found["rotation_spare"].notna().mean() < 0.95
