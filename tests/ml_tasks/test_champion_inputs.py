"""A champion that takes in what its challenger does without, on real flights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
from feast import FeatureService

from feature_repo import on_demand, services, views
from ml_tasks import assemble, baseline, evaluate, judge, prove, train
from ml_tasks.config import Environment, Gate, Pipeline
from ml_tasks.context import Context
from ml_tasks.flow import FLOWS
from ml_tasks.gates import beats_champion
from ml_tasks.gates.verdict import Measured
from ml_tasks.io import lookup, objects, parquet
from ml_tasks.io.control import Control
from ml_tasks.result import Result, Window

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = Window.parse("2013-01-01/2013-01-22")
TASKS: dict[str, Callable[[Pipeline, Context], Result]] = {
    "assemble": assemble.run, "prove": prove.run, "train": train.run, "baseline": baseline.run,
    "evaluate": evaluate.run, "judge": judge.run,
}  # fmt: skip
BEATS = Gate(name="beats_champion", params={"metric": "roc_auc"})
GONE = ("distance", "weather_temp", "rotation_spare", "schedule_planned_1h")
"""A raw column, a view's feature, one that is computed on request, one whose key is made."""


def go(
    pipeline: Pipeline,
    environment: Environment,
    run: str,
    *tasks: str,
    before: dict[str, Result] | None = None,
) -> dict[str, Result]:
    done = dict(before or {})
    for task in tasks or TASKS:
        needs = next(s.needs for s in FLOWS["training"] if s.task == task)
        context = Context(
            task=task, pipeline=pipeline.name, run=run, attempt=1, environment=environment,
            window=WINDOW, inputs={n: done[n] for n in needs if n in done},
        )  # fmt: skip
        done[task] = TASKS[task](pipeline, context)
    return done


@pytest.fixture(scope="module")
def wide(flights: Pipeline) -> Pipeline:
    training = flights.training.model_copy(update={"epochs": 1, "params": {"hidden": [16]}})
    evaluation = flights.evaluation.model_copy(update={"gates": (BEATS,), "baselines": ()})
    return flights.model_copy(
        update={"name": "narrowed", "training": training, "evaluation": evaluation}
    )


@pytest.fixture(scope="module")
def champion(wide: Pipeline, lake_of_weeks: Environment) -> dict[str, Result]:
    done = go(wide, lake_of_weeks, "wide")
    uri = done["judge"].outputs["verdict"].uri
    assert uri is not None
    Control(lake_of_weeks.control).promote(
        wide.name, "1", expected=None, run="wide", verdict_uri=uri, who="test", why="first"
    )
    return done


@pytest.fixture
def narrow(wide: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    chosen = [views.VIEWS["origin_traffic"], on_demand.calendar]
    service = FeatureService(name="narrow", features=chosen)
    monkeypatch.setitem(services.SERVICES, "narrow", service)
    columns = tuple(c for c in wide.features.columns if c != "distance")
    chosen_features = wide.features.model_copy(update={"service": "narrow", "columns": columns})
    return wide.model_copy(update={"features": chosen_features})


def read(result: Result, name: str) -> Measured:
    uri = result.outputs[name].uri
    assert uri is not None
    return Measured.model_validate_json(objects.read_bytes(uri))


def predicted(done: dict[str, Result], who: str) -> list[float]:
    uri = done["evaluate"].outputs["predictions"].uri
    assert uri is not None
    return list(parquet.read(uri)[who].to_pylist())


def test_the_champion_is_measured_on_what_its_challenger_does_without(
    champion: dict[str, Result], narrow: Pipeline, lake_of_weeks: Environment
) -> None:
    done = go(narrow, lake_of_weeks, "narrow")
    about = done["assemble"].outputs["description"].uri
    beside = done["assemble"].outputs["champion"].uri
    assert about is not None
    assert beside is not None
    description = json.loads(objects.read_text(about))
    taken_in = {*description["numeric"], *description["categorical"]}
    assert not taken_in & set(GONE)
    assert set(GONE) <= set(parquet.read(beside).column_names)
    assert not set(parquet.read(beside).column_names) & taken_in
    measured = read(done["evaluate"], "evaluation")
    assert (measured.champion, measured.champion_unmeasured) == ("1", None)
    assert measured.over_champion["roc_auc"].value != 0
    assert predicted(done, "champion") == predicted(champion, "candidate")


def test_a_set_with_all_that_the_champion_takes_in_has_nothing_beside_it(
    champion: dict[str, Result], wide: Pipeline, lake_of_weeks: Environment
) -> None:
    again = go(wide, lake_of_weeks, "again", "assemble")["assemble"]
    assert "champion" not in again.outputs
    assert again.outputs["set"].content_hash == champion["assemble"].outputs["set"].content_hash


def test_what_is_derived_no_longer_leaves_the_champion_unmeasured(
    champion: dict[str, Result],
    narrow: Pipeline,
    lake_of_weeks: Environment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where old rows have the feature still: with nulls it would be measured too low."""
    fewer = tuple(n for n in views.TABLES["weather"].features if n != "weather_temp")
    monkeypatch.setitem(views.VIEWS, "weather", views._view("weather", fewer))
    done = go(narrow, lake_of_weeks, "fewer")
    measured = read(done["evaluate"], "evaluation")
    assert measured.over_champion == {}
    said = done["judge"].values["gates"][0]
    assert said["passed"] is False
    assert (
        "champion 1 could not be measured: it takes in ['weather_temp'], which no"
        in (said["evidence"])
    )
    assert "uncompared: '1'" in said["evidence"]
    assert done["judge"].values["passed"] is False


def test_a_champion_of_since_then_asks_for_another_set(
    champion: dict[str, Result], narrow: Pipeline, lake_of_weeks: Environment
) -> None:
    done = go(narrow, lake_of_weeks, "since", "assemble", "prove", "train", "baseline")
    values = {**done["assemble"].values, "champion": None}
    outputs = {n: o for n, o in done["assemble"].outputs.items() if n != "champion"}
    done["assemble"] = done["assemble"].model_copy(update={"values": values, "outputs": outputs})
    done = go(narrow, lake_of_weeks, "since", "evaluate", "judge", before=done)
    evidence = done["judge"].values["gates"][0]["evidence"]
    assert "the set was assembled when it was not champion; clear assemble" in evidence


@pytest.mark.parametrize(("version", "passed"), [(None, False), ("1", False), ("2", True)])
def test_only_the_version_that_is_named_goes_uncompared(version: str | None, passed: bool) -> None:
    measured = Measured(candidate="c", champion="2", metrics={}, champion_unmeasured="it is old")
    params = beats_champion.Params(metric="roc_auc", uncompared=version)
    said = beats_champion.judge(measured, params)
    assert said.passed is passed
    assert "champion 2 could not be measured: " in said.evidence
    assert "it is old" in said.evidence


def test_a_column_that_was_renamed_is_read_by_its_former_name(
    wide: Pipeline, environment: Environment
) -> None:
    source = wide.sources["flights"]
    columns = {("miles" if n == "distance" else n): kind for n, kind in source.columns.items()}
    renamed = source.model_copy(update={"columns": columns, "renamed_from": {"miles": "distance"}})
    today = wide.model_copy(
        update={
            "sources": {"flights": renamed},
            "features": wide.features.model_copy(update={"service": None, "keys": {}}),
        }
    )
    context = Context(
        task="score", pipeline=wide.name, run="r", attempt=1, environment=environment, window=WINDOW
    )
    rows = pl.DataFrame({"miles": [7.0], "carrier": ["UA"]})
    found = lookup.beside(rows, today, context, {}, ["carrier", "distance"])
    assert found.to_dicts() == [{"carrier": "UA", "distance": 7.0}]
