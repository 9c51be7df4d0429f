from __future__ import annotations

import math
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pytest

from ml_tasks import materialise
from ml_tasks.context import Context
from ml_tasks.errors import ConfigError, RejectedError
from ml_tasks.io import features
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.result import Window

if TYPE_CHECKING:
    from pathlib import Path

    from ml_tasks.config import Environment, Pipeline

FIRST = Window.parse("2013-01-01/2013-01-08")
LAST = Window.parse("2013-01-15/2013-01-22")


def context(environment: Environment, window: Window = LAST) -> Context:
    return Context(
        task="materialise",
        pipeline="flight_delays",
        run="again",
        attempt=1,
        environment=environment,
        window=window,
    )


@pytest.mark.parametrize(
    ("offline", "online", "count"),
    [
        ([{"x": 1, "y": 2}], [{"x": 1, "y": 2}], 0),
        ([{"x": math.nan}], [{"x": None}], 0),
        ([{"x": 1}], [{"x": None}], 1),
        ([{"x": 1.0}, {"x": 2.0}], [{"x": 1.0}, {"x": 2.5}], 1),
    ],
)
def test_differences(
    offline: list[dict[str, object]], online: list[dict[str, object]], count: int
) -> None:
    assert len(materialise.differences(offline, online)) == count


def test_again_is_the_same(lake_of_weeks: Environment, flights: Pipeline) -> None:
    one, two = (materialise.run(flights, context(lake_of_weeks)) for _ in range(2))
    assert one.values == two.values
    assert one.outputs == two.outputs
    assert one.values["origin_traffic"]["rows"] == 3
    assert one.values["origin_traffic"]["freshness"] == "2013-01-21T23:50:00+00:00"


def test_an_old_window_again_does_not_take_the_store_back(
    lake_of_weeks: Environment, flights: Pipeline
) -> None:
    opened, name = features.store(lake_of_weeks), "origin_landed_24h_mean_delay"
    asked = (opened, "origin_traffic", [name], [{"origin": "JFK"}], LAST.end)
    before = features.online(*asked)
    assert before[0][name] is not None
    materialise.run(flights, context(lake_of_weeks, FIRST))
    assert features.online(*asked) == before


def test_rows_that_lie_before_their_window_come_online(lake_of_weeks: Environment) -> None:
    rows = Lake(lake_of_weeks).read("features.schedule").to_pylist()
    opened, name = features.store(lake_of_weeks), "schedule_planned_1h"
    entities = [{"origin": row["origin"], "slot": row["slot"]} for row in rows]
    found = features.online(opened, "schedule", [name], entities, FIRST.start - timedelta(days=1))
    assert [row[name] for row in found] == [row[name] for row in rows]


def test_what_is_too_old_is_not_given_out(lake_of_weeks: Environment) -> None:
    opened = features.store(lake_of_weeks)
    names = features.shape("weather")[1]
    entity = [{"origin": "EWR"}]
    (fresh,) = features.online(opened, "weather", names, entity, LAST.end)
    assert fresh["weather_temp"] is not None
    (stale,) = features.online(opened, "weather", names, entity, LAST.end + timedelta(hours=7))
    assert set(stale.values()) == {None}


def test_a_store_that_does_not_keep_what_was_written_is_refused(
    lake_of_weeks: Environment, flights: Pipeline
) -> None:
    opened = features.store(lake_of_weeks)
    newest = features.newest(opened, "weather", LAST)
    temp = newest.column_names.index("weather_temp")
    other = newest.set_column(temp, "weather_temp", [[500.0] * newest.num_rows])
    with pytest.raises(RejectedError, match="view weather: online is not offline in 3 values"):
        materialise.read_back(opened, "weather", other, LAST.end)


def test_what_another_product_derives_meanwhile_is_left_to_its_own_window(
    lake_of_weeks: Environment, flights: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(lake_of_weeks.home, tmp_path / "home")
    environment = lake_of_weeks.model_copy(update={"home": tmp_path / "home"})
    lake, table = Lake(environment), "features.weather"
    before, bring = lake.snapshot(table), features.bring_online

    def bring_and_derive(*told: Any) -> None:
        bring(*told)
        rows = lake.read(table, window=LAST)
        place = rows.column_names.index("weather_temp")
        hotter = rows.set_column(place, "weather_temp", pc.add(rows["weather_temp"], 1))
        with Control(environment.control).lease(table, holder="other", attempt=1) as lease:
            lake.publish(table, hotter, LAST, lease)

    monkeypatch.setattr(features, "bring_online", bring_and_derive)
    told = materialise.run(flights, context(environment))
    assert told.outputs["weather"].snapshot == before != lake.snapshot(table)


def test_an_unknown_service() -> None:
    with pytest.raises(ConfigError, match=r"features.service: came 'x', wanted one of"):
        features.service("x")


def test_every_feature_is_documented(lake_of_weeks: Environment) -> None:
    opened = features.store(lake_of_weeks)
    views = opened.list_batch_feature_views()
    assert len(views) == 9
    for view in views:
        assert view.description
        assert view.owner
        for feature in view.features:
            assert feature.description, feature.name
            assert feature.tags["unit"]
    on_demand = opened.list_on_demand_feature_views()
    assert sorted(view.name for view in on_demand) == ["calendar", "rotation"]
    for view in on_demand:
        assert all(view.tags[feature.name] for feature in view.features)
