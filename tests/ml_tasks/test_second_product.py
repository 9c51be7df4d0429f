"""A regression from the same sources and features as the first product: by a YAML alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from ml_tasks import config, decide
from ml_tasks.config import ROOT, Environment, Gate, Pipeline, Policy, Retraining
from ml_tasks.context import Context
from ml_tasks.flow import FLOWS
from ml_tasks.io import folders, objects, parquet, predictions
from ml_tasks.io.content import content_hash
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.io.registry import Registry
from ml_tasks.models.predict import OnnxModel
from ml_tasks.models.spec import Spec
from ml_tasks.monitoring.reference import Reference
from ml_tasks.result import Result, Window
from ml_tasks.training import champion

if TYPE_CHECKING:
    from collections.abc import Callable

    Chain = Callable[..., dict[str, Result]]

WINDOW = Window.parse("2013-01-01/2013-01-15")
WEEK = Window.parse("2013-01-08/2013-01-15")
AFTER = Window.parse("2013-01-15/2013-01-22")
INGESTION = ("ingest", "validate", "derive", "materialise")


@pytest.fixture(scope="module")
def delays() -> Pipeline:
    pipeline = config.load("arrival_delay", ROOT / "ml_tasks" / "pipelines")
    split = pipeline.split.model_copy(update={"validation_days": 3, "test_days": 4})
    training = pipeline.training.model_copy(
        update={"epochs": 4, "learning_rate": 0.003, "batch_size": 128, "params": {"hidden": [32]}}
    )
    gates = (
        *(gate for gate in pipeline.evaluation.gates if gate.name == "no_leak"),
        Gate(name="floor", params={"metric": "rmse", "maximum": 60}),
        Gate(name="floor", params={"metric": "r2", "minimum": 0.02}),
        Gate(name="beats_baseline", params={"metric": "rmse", "baseline": "mean"}),
        Gate(name="beats_champion", params={"metric": "rmse"}),
        Gate(name="worst_segment", params={"metric": "mae", "maximum": 60, "min_rows": 300}),
    )
    evaluation = pipeline.evaluation.model_copy(
        update={"gates": gates, "baselines": ("mean", "linear_regression")}
    )
    return pipeline.model_copy(
        update={"split": split, "training": training, "evaluation": evaluation}
    )


@pytest.fixture(scope="module")
def environment(lake_of_weeks: Environment, mlflow_url: str) -> Environment:
    return Environment(home=lake_of_weeks.home, mlflow_url=mlflow_url)


@pytest.fixture(scope="module")
def trained(delays: Pipeline, environment: Environment, chain: Chain) -> dict[str, Result]:
    control = Control(environment.control)
    control.migrate()
    trigger, _ = control.ask(delays.name, "form", str(WINDOW), who="test", evidence={})
    tasks = tuple(step.task for step in FLOWS["training"])
    return chain(
        delays, environment, "training", name="regress", window=WINDOW, tasks=tasks,
        trigger=trigger.id,
    )  # fmt: skip


def read(result: Result, name: str) -> Any:
    uri = result.outputs[name].uri
    assert uri is not None
    return parquet.read(uri) if uri.endswith(".parquet") else objects.read_bytes(uri)


def test_it_declares_the_shared_sources_as_the_first_does(
    delays: Pipeline, flights: Pipeline
) -> None:
    assert delays.sources == flights.sources
    assert delays.validation == flights.validation
    assert delays.features == flights.features


def test_what_another_product_brought_in_is_no_news(
    delays: Pipeline, lake_of_weeks: Environment, chain: Chain
) -> None:
    lake = Lake(lake_of_weeks)
    before = {table: lake.snapshot(table) for table in lake.tables()}
    done = chain(delays, lake_of_weeks, "ingestion", name="again", window=WEEK, tasks=INGESTION)
    assert done["validate"].values["unchanged"] is True
    assert {table: lake.snapshot(table) for table in lake.tables()} == before
    (window,) = Control(lake_of_weeks.control).windows(delays.name)
    assert (window.start[:10], window.run) == ("2013-01-08", "again")


def test_two_products_that_ingest_at_once_double_nothing(
    delays: Pipeline, flights: Pipeline, environment: Environment, tmp_path: Any, chain: Chain
) -> None:
    """Both stage the window before either publishes it."""
    own = Environment(home=tmp_path, landing=environment.landing_root)
    pipelines = {"one": flights, "two": delays}
    staged = {
        name: chain(p, own, "ingestion", name=name, window=WEEK, tasks=("ingest",))
        for name, p in pipelines.items()
    }
    for name, p in pipelines.items():
        chain(p, own, "ingestion", name=name, window=WEEK, tasks=("validate",), before=staged[name])
    news = {one["ingest"].values["flights"]["new"] for one in staged.values()}
    rows = Lake(own).read("raw.flights")
    assert news == {rows.num_rows}
    assert content_hash(rows) == content_hash(Lake(environment).read("raw.flights", window=WEEK))


def test_the_champion_passed_every_gate(
    trained: dict[str, Result], delays: Pipeline, environment: Environment
) -> None:
    judged = trained["judge"].values
    assert judged["passed"], judged["gates"]
    assert [g["gate"] for g in judged["gates"]] == [
        "no_leak", "floor rmse", "floor r2", "beats_baseline mean", "beats_champion",
        "worst_segment mae",
    ]  # fmt: skip
    head = Control(environment.control).champion(delays.name)
    assert head is not None
    assert head.run == "regress"
    registry = Registry(environment, delays.name)
    assert registry.client.get_model_version_by_alias(delays.name, "champion").version == "1"
    assert Control(environment.control).triggers(delays.name)[0].outcome == "promoted version 1"


def test_metrics_are_those_of_a_regression_and_the_baselines_are_beside(
    trained: dict[str, Result],
) -> None:
    measured = trained["evaluate"].values["metrics"]
    assert list(measured) == ["candidate", "mean", "linear_regression"]
    assert all(set(found) == {"mae", "rmse", "r2"} for found in measured.values())
    assert measured["candidate"]["rmse"] < measured["mean"]["rmse"]
    told = json.loads(read(trained["evaluate"], "evaluation"))
    over = told["over_baseline"]["mean"]["rmse"]["value"]
    gap = measured["mean"]["rmse"] - measured["candidate"]["rmse"]
    assert over == pytest.approx(gap)
    assert over > 0


def test_the_exported_graph_speaks_in_minutes(trained: dict[str, Result]) -> None:
    rows = pl.DataFrame(pl.from_arrow(read(trained["assemble"], "set")))
    test = rows.filter(pl.col("split") == "test")
    spec = Spec.model_validate(json.loads(read(trained["train"], "description"))["spec"])
    said = OnnxModel(read(trained["train"], "onnx"), spec).predict(test)
    told = pl.DataFrame(pl.from_arrow(read(trained["evaluate"], "predictions")))
    assert np.array_equal(said, told["candidate"].to_numpy())
    error = np.sqrt(np.mean((said - test["label"].to_numpy()) ** 2))
    assert error == pytest.approx(trained["evaluate"].values["metrics"]["candidate"]["rmse"])
    assert said.min() < 0 < 20 < said.max()


@pytest.fixture(scope="module")
def watched(
    trained: dict[str, Result], delays: Pipeline, environment: Environment, chain: Chain
) -> dict[str, Result]:
    """The week after what the champion learned from."""
    tasks = ("score", "monitor", "decide")
    return chain(delays, environment, "monitoring", name="after", window=AFTER, tasks=tasks)


def test_the_week_after_is_predicted_and_how_far_off_that_is_is_measured_and_estimated(
    watched: dict[str, Result], delays: Pipeline, environment: Environment
) -> None:
    lake, control = Lake(environment), Control(environment.control)
    (rows,) = predictions.read(lake, delays.name, AFTER)
    flown = pl.DataFrame(pl.from_arrow(lake.read("raw.flights", window=AFTER)))
    assert watched["score"].outputs["predictions"].rows == rows.height == flown.height
    assert rows["version"].unique().to_list() == ["1"]
    landed = flown.filter(
        pl.col("arrival_delay").is_not_null() & (pl.col("landed_at") <= AFTER.end)
    )
    both = rows.join(landed, on=delays.sources["flights"].key)
    off = (both["prediction"] - both["arrival_delay"]).to_numpy()
    found = {(m.kind, m.metric): m for m in control.measures(delays.name)}
    assert set(found) == {
        ("realised", "mae"), ("realised", "rmse"), ("realised", "r2"),
        ("estimated", "mae"), ("estimated", "rmse"),
    }  # fmt: skip
    mae, rmse = found["realised", "mae"], found["realised", "rmse"]
    assert (mae.rows, mae.predicted) == (len(off), rows.height)
    assert mae.value == pytest.approx(np.abs(off).mean())
    assert rmse.value == pytest.approx(np.sqrt(np.mean(off**2)))
    for one in (mae, rmse):
        told = found["estimated", one.metric]
        for interval in (one, told):
            assert interval.low is not None
            assert interval.high is not None
            assert interval.low < one.value < interval.high
    assert watched["monitor"].values["realised"] == pytest.approx(rmse.value)


def test_its_days_are_looked_at_within_its_part_of_the_budget(
    watched: dict[str, Result], delays: Pipeline, environment: Environment
) -> None:
    control = Control(environment.control)
    looks, head = control.looks(delays.name), control.champion(delays.name)
    assert {look.day for look in looks} == {f"2013-01-{day}" for day in range(15, 22)}
    assert {look.signal for look in looks} >= {
        "estimated rmse", "realised rmse", "ks label", "ks prediction", "chi_square carrier",
        "profile distance", "outliers",
    }  # fmt: skip
    assert head is not None
    with folders.unpacked(champion.reference(environment, head)) as folder:
        kept = Reference.load(folder)
    assert kept.about.budget == (0.5, 91), "its owner has two products"


def test_an_error_that_is_no_larger_is_no_reason_to_train(
    watched: dict[str, Result], delays: Pipeline, environment: Environment
) -> None:
    assert watched["decide"].values["why"] == "not wanted by any policy"
    control = Control(environment.control)
    (now,) = (m for m in control.measures(delays.name, metric="rmse") if m.kind == "realised")
    head = control.champion(delays.name)
    assert head is not None
    then = champion.judged(environment, head).metrics["rmse"]
    assert now.value < then.value
    policy = Policy(name="performance", params={"windows": 1, "drop": 0})
    told = Retraining(policies=(policy,), cool_down_days=0)
    context = Context(
        task="decide", pipeline=delays.name, run="listening", attempt=1, environment=environment,
        window=AFTER,
    )  # fmt: skip
    monitoring = delays.monitoring.model_copy(update={"retraining": told})
    made = decide.run(delays.model_copy(update={"monitoring": monitoring}), context).values
    assert (made["train"], made["why"]) == (False, "not wanted by performance")
