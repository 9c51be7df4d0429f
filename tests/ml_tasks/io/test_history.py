from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import psutil
import pyarrow as pa
import pytest
from feast.types import Int64

from feature_repo.views import VIEWS
from ml_tasks.errors import ConfigError
from ml_tasks.io import features, history
from ml_tasks.io.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feast import FeatureStore

    from ml_tasks.config import Environment

SERVICE = "flight_delays_v1"
START = datetime(2013, 1, 1, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")
ROWS, SIZE, ROUNDS = 20_000, 10_000, 10
MEGABYTE = 1 << 20


def rows(seed: int, names: tuple[str, ...], number: int) -> pl.DataFrame:
    """Columns of small numbers or of words of one letter, and when each row is of."""
    dice = np.random.default_rng(seed)
    words = {name for view in VIEWS.values() for name in view.entities} - {"flight"}
    whole = {f.name for v in VIEWS.values() for f in v.features if f.dtype == Int64} | {"flight"}
    columns = {
        name: dice.choice(list("abc"), number)
        if name in words
        else dice.integers(0, 3, number).astype("i8" if name in whole else "f8")
        for name in names
    }
    hours = pl.Series(dice.integers(0, 24 * 4, number))
    moments = pl.select(pl.lit(START).cast(TIME) + pl.duration(hours=hours)).to_series()
    return pl.DataFrame(columns).with_columns(event_time=moments).sort("event_time")


@pytest.fixture
def opened(environment: Environment) -> FeatureStore:
    """A store whose views have a few rows each, pinned."""
    environment.home.mkdir(parents=True)
    lake, pins = Lake(environment), {}
    lake.catalog.create_namespace("features")
    for seed, (name, view) in enumerate(VIEWS.items()):
        names = (*view.entities, *(feature.name for feature in view.features))
        made = rows(seed, names, 300).with_columns(known_at="event_time").to_arrow()
        lake.catalog.create_table(f"features.{name}", made.schema).append(made)
        pins[f"features.{name}"] = lake.snapshot(f"features.{name}")
    found = features.store(environment, pins)
    features.apply(found)
    return found


def asked(number: int) -> pa.Table:
    keys = tuple({key: None for view in VIEWS.values() for key in view.entities})
    then = pl.col("event_time")
    return (
        rows(99, keys, number)
        .with_columns(
            pl.when(pl.col("tailnum") != "c").then("tailnum").alias("tailnum"),
            scheduled_departure=then + timedelta(hours=1),
            scheduled_arrival=then + timedelta(hours=4),
            asked_at=then,
        )
        .rename({"event_time": "event_timestamp"})
        .to_arrow()
    )


def test_batches_are_answered_as_the_whole(opened: FeatureStore) -> None:
    rows = asked(500)
    found = pa.Table.from_batches(
        history.in_batches(opened, features.refs(SERVICE), rows.to_batches(150))
    )
    assert found.select(rows.schema.names).equals(rows)
    whole = features.historical(opened, features.refs(SERVICE), rows.to_pandas())
    names = list(features.columns(features.refs(SERVICE)))
    assert found.select(names).equals(whole.select(names))
    assert found["rotation_spare"].null_count < 500


def test_a_table_that_may_move_between_two_batches_is_refused(environment: Environment) -> None:
    pins = dict.fromkeys((f"features.{view}" for view in VIEWS if view != "weather"), 1)
    store = features.store(environment, pins)
    with pytest.raises(ConfigError, match=r"reads features\.weather as they are at each batch"):
        next(history.in_batches(store, features.refs(SERVICE), asked(5).to_batches()))


def test_memory_does_not_grow_with_the_rows(opened: FeatureStore) -> None:
    """All that is answered would take several times what the process may grow by."""
    process, held = psutil.Process(), 0

    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(ROUNDS):
            yield from asked(ROWS).to_batches(SIZE)

    taken, answered = [], 0
    for batch in history.in_batches(opened, features.refs(SERVICE), batches()):
        taken.append(process.memory_info().rss)
        answered += batch.num_rows
        held += batch.nbytes
    assert answered == ROUNDS * ROWS
    warm = len(taken) // 4
    grown = max(taken[warm:]) - max(taken[:warm])
    assert grown < 60 * MEGABYTE < held / 3, f"{grown / MEGABYTE} MB of {held / MEGABYTE}"
