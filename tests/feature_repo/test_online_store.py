"""Feast's own calls on the online store and the registry file, with writers that come late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from ml_tasks.io import features

if TYPE_CHECKING:
    from pathlib import Path

    from feast import FeatureStore

    from ml_tasks.config import Environment

VIEW, FEATURE = "weather", "weather_temp"
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def opened(environment: Environment) -> FeatureStore:
    made = features.store(environment)
    features.apply(made)
    return made


def write(opened: FeatureStore, temp: float, event: datetime, known: datetime) -> None:
    _keys, names, _ttl = features.shape(VIEW)
    row = {"origin": "JFK", **dict.fromkeys(names, 0.0), FEATURE: temp}
    frame = pd.DataFrame([{**row, "event_time": event, "known_at": known}])
    opened.write_to_online_store(VIEW, df=frame)


def read(opened: FeatureStore) -> float:
    (row,) = features.online(opened, VIEW, [FEATURE], [{"origin": "JFK"}], NOON)
    found: float = row[FEATURE]
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


def test_a_registry_whose_writer_dies_is_the_old_one(
    environment: Environment, opened: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathlib import Path

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
