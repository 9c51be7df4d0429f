"""Feast's own calls on the online store and the registry file, with writers that come late."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from ml_tasks.errors import BackendError
from ml_tasks.io import features

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from feast import FeatureStore

    from ml_tasks.config import Environment

VIEW, FEATURE = "weather", "weather_temp"
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def on_servers(
    environment: Environment, new_database: Callable[[], str], redis_url: str
) -> Environment:
    """Registry on a real Postgres, online store on a real Redis; the lake is not asked."""
    return environment.model_copy(
        update={
            "profile": "servers",
            "objects": "s3://nowhere/objects",
            "warehouse": "s3://nowhere/lake",
            "control_url": "sqlite://",
            "catalog_url": "sqlite://",
            "feast_registry": new_database(),
            "redis_url": redis_url,
        }
    )


@pytest.fixture(params=["embedded", "servers"])
def opened(request: pytest.FixtureRequest, environment: Environment) -> FeatureStore:
    """The feature store of either profile."""
    servers = request.param == "servers"
    made = features.store(request.getfixturevalue("on_servers") if servers else environment)
    features.apply(made)
    return made


def write(
    opened: FeatureStore, temp: float, event: datetime, known: datetime, key: str = "JFK"
) -> None:
    _keys, names, _ttl = features.shape(VIEW)
    row = {"origin": key, **dict.fromkeys(names, 0.0), FEATURE: temp}
    frame = pd.DataFrame([{**row, "event_time": event, "known_at": known}])
    opened.write_to_online_store(VIEW, df=frame)


def read(opened: FeatureStore, key: str = "JFK") -> float | None:
    (row,) = features.online(opened, VIEW, [FEATURE], [{"origin": key}], NOON)
    found: float | None = row[FEATURE]
    return found


def test_a_key_never_goes_back_in_time(opened: FeatureStore) -> None:
    write(opened, 1.0, NOON, NOON)
    write(opened, 2.0, NOON - HOUR, NOON + 9 * HOUR)
    assert read(opened) == 1.0
    write(opened, 3.0, NOON, NOON + HOUR)
    assert read(opened) == 3.0
    write(opened, 4.0, NOON, NOON)
    assert read(opened) == 3.0
    write(opened, 5.0, NOON, NOON + HOUR)
    assert read(opened) == 5.0


def test_a_value_older_than_the_time_to_live_is_null(opened: FeatureStore) -> None:
    _keys, _names, ttl = features.shape(VIEW)
    write(opened, 1.0, NOON - ttl, NOON)
    assert read(opened) == 1.0
    write(opened, 2.0, NOON - ttl - timedelta(seconds=1), NOON, key="LGA")
    assert read(opened, "LGA") is None
    assert read(opened, "EWR") is None


def test_writers_at_once_leave_the_newest(on_servers: Environment) -> None:
    features.apply(features.store(on_servers))
    stores = [features.store(on_servers) for _ in range(4)]
    for race, order in enumerate(((3, 0, 1, 2), (2, 3, 1, 0), (0, 1, 2, 3))):
        event = NOON - HOUR / 2 + timedelta(minutes=race)

        def late(own: int, event: datetime = event) -> None:
            write(stores[own], float(own), event, event + timedelta(seconds=own))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(late, order))
        assert read(stores[0]) == 3.0


def test_a_batch_in_any_order_leaves_the_newest(opened: FeatureStore) -> None:
    _keys, names, _ttl = features.shape(VIEW)
    rows = [
        {"origin": "JFK", **dict.fromkeys(names, 0.0), FEATURE: float(minute)}
        | {"event_time": NOON - timedelta(minutes=minute), "known_at": NOON}
        for minute in (5, 1, 9)
    ]
    opened.write_to_online_store(VIEW, df=pd.DataFrame(rows))
    assert read(opened) == 1.0


def test_a_feature_that_went_and_came_back_has_no_old_value(on_servers: Environment) -> None:
    from feast.infra.online_stores.helpers import _mmh3
    from redis import Redis

    opened = features.store(on_servers)
    features.apply(opened)
    write(opened, 1.0, NOON, NOON)
    with Redis.from_url(on_servers.redis) as client:
        (key,) = client.keys()
        client.hset(key, f"_fields:{VIEW}", client.hget(key, f"_fields:{VIEW}") + b"gone")
        client.hset(key, "gone", "old")
        write(opened, 2.0, NOON, NOON)
        assert client.hget(key, "gone") is None
        assert client.hget(key, _mmh3(f"{VIEW}:{FEATURE}")) is not None


def test_a_view_that_is_removed_may_begin_anew(on_servers: Environment) -> None:
    opened = features.store(on_servers)
    features.apply(opened)
    write(opened, 1.0, NOON, NOON)
    view = opened.get_feature_view(VIEW)
    opened._provider.online_store.delete_table(opened.config, view)
    assert read(opened) is None
    write(opened, 2.0, NOON - HOUR, NOON)
    assert read(opened) == 2.0


def test_a_redis_that_is_away_is_tried_again(on_servers: Environment) -> None:
    features.apply(features.store(on_servers))
    away = on_servers.model_copy(update={"redis_url": "redis://:word@127.0.0.1:9/0"})
    with pytest.raises(BackendError, match=r"online store: .*127\.0\.0\.1:9"):
        read(features.store(away))


def test_many_open_an_empty_registry_at_once(on_servers: Environment) -> None:
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(lambda _: features.store(on_servers), range(6)))
    features.apply(stores[0])
    features.apply(stores[1])
    assert {v.name for v in stores[2].list_feature_views()} >= {VIEW}


def test_a_registry_whose_writer_dies_is_the_old_one(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathlib import Path

    opened = features.store(environment)
    features.apply(opened)
    views = {view.name for view in opened.list_feature_views()}

    def dies(draft: Path, _target: Path) -> None:
        raise KeyboardInterrupt(draft.name)

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt, match=r"\.registry\.db\."):
        opened.registry.commit()
    monkeypatch.undo()
    again = features.store(environment)
    assert {view.name for view in again.list_feature_views()} == views
    assert [file.name for file in (environment.home / "feast").glob(".*")] == []
