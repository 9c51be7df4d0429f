"""A feature table gains, loses and changes features between real windows of weather."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pytest
from feast import FeatureService

from feature_repo import services, transformations, views
from feature_repo.transformations import weather
from ml_tasks import derive, ingest, materialise, validate
from ml_tasks.context import Context
from ml_tasks.io import derived, features
from ml_tasks.io.lake import Lake
from ml_tasks.result import Result, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import ibis

    from ml_tasks.config import Environment, Pipeline

    Offer = Callable[..., None]

FIRST, SECOND, THIRD = (
    Window.parse(w)
    for w in ("2013-01-01/2013-01-08", "2013-01-08/2013-01-15", "2013-01-15/2013-01-22")
)
TABLE = "features.weather"
NAMES = ("weather_temp", "weather_humid")
WARM = "weather_warm"


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Let the weather's table have certain features, as an edit of `feature_repo` would."""

    def use(*names: str, floats: tuple[str, ...] = ()) -> None:
        def build(raw: Mapping[str, ibis.Table], start: datetime, end: datetime) -> ibis.Table:
            rows = weather.weather(raw, start, end)
            made = {name: rows["weather_temp"] > 40 if name == WARM else rows[name]
                    for name in names}  # fmt: skip
            kinds = {n: "float64" if n in floats else "int64" for n in names if n == WARM}
            made |= {name: made[name].cast(kind) for name, kind in kinds.items()}
            return rows.select("origin", "event_time", **made)

        table = replace(weather.WEATHER, features=names, build=build)
        monkeypatch.setitem(transformations.TABLES, "weather", table)
        monkeypatch.setitem(views._FIELDS, WARM, ("Warm.", "1", views.Int64))
        view = views._view("weather", names)
        monkeypatch.setitem(views.VIEWS, "weather", view)
        service = FeatureService(name="sky", features=[view])
        monkeypatch.setitem(services.SERVICES, "sky", service)

    return use


@pytest.fixture
def sky(flights: Pipeline) -> Pipeline:
    """The weather alone."""
    chosen = flights.features.model_copy(update={"service": "sky"})
    checks = flights.validation.model_copy(update={"expectations": {}})
    sources = {"weather": flights.sources["weather"]}
    return flights.model_copy(update={"sources": sources, "features": chosen, "validation": checks})


def bring(
    sky: Pipeline, environment: Environment, window: Window, run: str = "r"
) -> dict[str, Result]:
    done: dict[str, Result] = {}
    modules = {"ingest": ingest, "validate": validate, "derive": derive, "materialise": materialise}
    for task, module in modules.items():
        context = Context(
            task=task, pipeline=sky.name, run=f"{run}-{window.slug}", attempt=1, window=window,
            environment=environment, inputs=dict(done),
        )  # fmt: skip
        done[task] = module.run(sky, context)
    return done


def empty(environment: Environment, name: str, window: Window) -> int:
    rows = Lake(environment).read(TABLE, window=window)
    return int(pc.sum(pc.is_null(rows[name])).as_py())


def online(environment: Environment, name: str, window: Window) -> object:
    opened = features.store(environment)
    (found,) = features.online(opened, "weather", [name], [{"origin": "JFK"}], window.end)
    return found[name]


def test_a_new_feature_is_derived_for_all_windows(
    sky: Pipeline, environment: Environment, offer: Offer
) -> None:
    offer(*NAMES)
    for window in (FIRST, SECOND):
        bring(sky, environment, window)
    lake = Lake(environment)
    before = lake.read(TABLE, window=FIRST).select(["origin", "event_time", *NAMES])

    offer(*NAMES, WARM)
    bring(sky, environment, THIRD)
    for window in (FIRST, SECOND, THIRD):
        assert empty(environment, WARM, window) == empty(environment, "weather_temp", window)
    after = lake.read(TABLE, window=FIRST).select(before.column_names)
    order = [("origin", "ascending"), ("event_time", "ascending")]
    assert after.sort_by(order) == before.sort_by(order)
    assert derived.lacking(lake.find(TABLE), [*NAMES, WARM]) == []
    assert online(environment, WARM, THIRD) in (0, 1)

    snapshot = lake.snapshot(TABLE)
    bring(sky, environment, THIRD)
    assert lake.snapshot(TABLE) == snapshot


def test_who_is_stopped_in_between_goes_on(
    sky: Pipeline, environment: Environment, offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(*NAMES)
    for window in (FIRST, SECOND):
        bring(sky, environment, window)
    offer(*NAMES, WARM)
    lake, came = Lake(environment), derived.came

    def stop(*told: object) -> None:
        came(*told)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(derived, "came", stop)
        with pytest.raises(KeyboardInterrupt):
            bring(sky, environment, SECOND)
    assert derived.lacking(lake.find(TABLE), [*NAMES, WARM]) == [WARM]
    assert derived.until(lake, TABLE, [*NAMES, WARM]).startswith("2013-01-08")
    bring(sky, environment, SECOND)
    assert derived.lacking(lake.find(TABLE), [*NAMES, WARM]) == []
    assert empty(environment, WARM, FIRST) == empty(environment, "weather_temp", FIRST)


def test_a_feature_that_is_gone_stays_and_is_derived_where_it_was_missed(
    sky: Pipeline, environment: Environment, offer: Offer
) -> None:
    offer(*NAMES)
    bring(sky, environment, FIRST)
    lake, humid = Lake(environment), NAMES[1]
    old = empty(environment, humid, FIRST)
    offer(NAMES[0])
    bring(sky, environment, SECOND)
    bring(sky, environment, FIRST, "again")
    assert empty(environment, humid, FIRST) == old
    assert empty(environment, humid, SECOND) == lake.read(TABLE, window=SECOND).num_rows
    assert derived.lacking(lake.find(TABLE), NAMES) == [humid]
    assert online(environment, NAMES[0], SECOND) is not None

    offer(*NAMES)
    bring(sky, environment, THIRD)
    assert derived.lacking(lake.find(TABLE), NAMES) == []
    assert empty(environment, humid, SECOND) < lake.read(TABLE, window=SECOND).num_rows
    assert online(environment, humid, THIRD) is not None


def test_a_feature_of_another_type_begins_anew(
    sky: Pipeline, environment: Environment, offer: Offer
) -> None:
    offer(*NAMES, WARM)
    for window in (FIRST, SECOND):
        bring(sky, environment, window)
    lake = Lake(environment)
    old = lake.snapshot(TABLE)
    offer(*NAMES, WARM, floats=(WARM,))
    bring(sky, environment, SECOND, "again")
    assert str(lake.read(TABLE).schema.field(WARM).type) == "double"
    assert empty(environment, WARM, FIRST) == empty(environment, "weather_temp", FIRST)
    assert derived.lacking(lake.find(TABLE), [*NAMES, WARM]) == []
    assert str(lake.read(TABLE, snapshot=old).schema.field(WARM).type) == "int64"
