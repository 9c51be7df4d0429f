"""A champion that is watched while the world changes: scored, measured, decided upon."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from ml_tasks import decide, monitor, score
from ml_tasks.config import Environment, Monitoring, Pipeline, Policy, Retraining
from ml_tasks.context import Context
from ml_tasks.errors import ConfigError, NothingToDo
from ml_tasks.flow import FLOWS
from ml_tasks.io import distributions, objects, predictions
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.io.registry import Registry
from ml_tasks.result import Result, Window
from tests.ml_tasks.io.test_reports import REPORT
from tests.shop import lay_down, returns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Chain = Callable[..., dict[str, Result]]

LEARNED = Window.parse("2024-01-01/2024-02-12")
WEEKS = tuple(
    Window(start=LEARNED.end + timedelta(weeks=n), end=LEARNED.end + timedelta(weeks=n + 1))
    for n in range(4)
)
A_DAY = 150
INGESTION = ("ingest", "validate", "derive", "materialise")


def deliver(folder: Path, window: Window, *, moved: float = 0.0) -> None:
    """Lay down orders: whether one comes back depends on price and shop; days have a mood."""
    day = window.start
    while day < window.end:
        dice = np.random.default_rng(int(f"{day:%Y%m%d}"))
        price = dice.normal(10 + moved, 3, A_DAY)
        shop = dice.choice(["north", "south", "east"], A_DAY, p=[0.5, 0.3, 0.2])
        score = 0.6 * (price - 10 - moved) + (shop == "east") * 1.5 + dice.normal(0, 0.3) - 0.5
        minutes = np.sort(dice.choice(24 * 60, A_DAY, replace=False))
        returned = dice.random(A_DAY) < 1 / (1 + np.exp(-score))
        lay_down(folder, day, minutes, price=price, shop=shop, returned=returned)
        day += timedelta(days=1)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder = tmp_path_factory.mktemp("orders")
    deliver(folder, LEARNED)
    for week in WEEKS[:2]:
        deliver(folder, week)
    for week in WEEKS[2:]:
        deliver(folder, week, moved=4.0)
    return Pipeline.model_validate(
        returns(
            folder.as_uri(),
            split={"validation_days": 7, "test_days": 14},
            training={
                "model": "mlp", "params": {"hidden": [8]}, "epochs": 6, "batch_size": 128,
                "learning_rate": 0.01,
            },
            evaluation={
                "metric": "roc_auc",
                "segments": {"shop": "shop"},
                "gates": [{"name": "floor", "params": {"metric": "roc_auc", "minimum": 0.6}}],
            },
            monitoring={"retraining": {"policies": [{"name": "drift"}]}},
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Environment:
    return Environment(home=tmp_path_factory.mktemp("watched"), mlflow_url=mlflow_url)


@pytest.fixture(scope="module")
def champion(pipeline: Pipeline, environment: Environment, chain: Chain) -> dict[str, Result]:
    """What its training gave; the weeks after it are in, too."""
    for number, window in enumerate((LEARNED, *WEEKS)):
        chain(
            pipeline, environment, "ingestion", name=f"in{number}", window=window, tasks=INGESTION
        )
    trigger, _ = Control(environment.control).ask(
        pipeline.name, "form", str(LEARNED), who="test", evidence={}
    )
    tasks = tuple(step.task for step in FLOWS["training"])
    return chain(
        pipeline, environment, "training", name="first", window=LEARNED, tasks=tasks,
        trigger=trigger.id,
    )  # fmt: skip


def scored(pipeline: Pipeline, environment: Environment, window: Window, run: str) -> Result:
    return score.run(
        pipeline,
        Context(
            task="score", pipeline=pipeline.name, run=run, attempt=1, environment=environment,
            window=window,
        ),
    )  # fmt: skip


def test_without_a_champion_nothing_is_scored(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(NothingToDo, match="there is no champion yet"):
        scored(pipeline, Environment(home=tmp_path), WEEKS[0], "none")


def test_a_window_it_learned_from_is_not_scored(
    pipeline: Pipeline, environment: Environment, champion: dict[str, Result]
) -> None:
    with pytest.raises(NothingToDo, match="champion 1 learned from 2024-01-01"):
        scored(pipeline, environment, LEARNED, "early")


def test_what_was_said_once_stays(
    pipeline: Pipeline, environment: Environment, champion: dict[str, Result]
) -> None:
    first = scored(pipeline, environment, WEEKS[0], "week0")
    output = first.outputs["predictions"]
    assert (output.rows, first.values["rows"], first.values["version"]) == (
        7 * A_DAY,
        7 * A_DAY,
        "1",
    )
    again = scored(pipeline, environment, WEEKS[0], "once-more")
    assert again.values == first.values
    assert again.outputs["predictions"].snapshot == output.snapshot
    (rows,) = predictions.read(Lake(environment), pipeline.name, WEEKS[0])
    assert {"id", "event_time", "asked_at", "version", "prediction", "price", "shop"} < set(
        rows.columns
    )
    assert rows["segment_shop"].equals(rows["shop"].alias("segment_shop"))
    assert rows["prediction"].is_between(0, 1).all()
    assert rows["outlier"].null_count() == 0
    assert 0 < (rows["outlier"] > 1).mean() < 0.1
    assert rows.filter(pl.col("event_time") == pl.col("asked_at")).height == rows.height
    assert rows["event_time"].min() >= datetime(2024, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def watched(
    pipeline: Pipeline, environment: Environment, champion: dict[str, Result], chain: Chain
) -> dict[str, dict[str, Result]]:
    """Two weeks like those before, and one in which prices moved."""
    tasks = ("score", "monitor", "decide", "record")
    return {
        name: chain(pipeline, environment, "monitoring", name=name, window=window, tasks=tasks)
        for name, window in zip(("calm", "calm-too", "moved"), WEEKS, strict=False)
    }


def test_what_it_is_watched_with_is_kept_with_the_version(
    pipeline: Pipeline, environment: Environment, champion: dict[str, Result]
) -> None:
    weights = champion["train"].values["weights_hash"]
    told = {"days": 21, "signals": 17, "weights_hash": weights}
    assert champion["reference"].values == told
    registry = Registry(environment, pipeline.name)
    registered = registry.run("first", "register")
    files = {file.path for file in registry.client.list_artifacts(registered)}
    assert "reference.zip" in files


def test_truth_and_estimate_are_measured_by_window_and_segment(
    pipeline: Pipeline, environment: Environment, watched: dict[str, dict[str, Result]]
) -> None:
    found = Control(environment.control).measures(pipeline.name, segments=True)
    own = {(m.start[:10], m.kind, m.segment): m for m in found if m.metric == "roc_auc"}
    week = "2024-02-12"
    assert {segment for start, _kind, segment in own if start == week} == {
        "", "shop=north", "shop=south", "shop=east",
    }  # fmt: skip
    realised, estimated = own[week, "realised", ""], own[week, "estimated", ""]
    assert (realised.rows, realised.predicted) == (7 * A_DAY, 7 * A_DAY)
    assert realised.low is not None
    assert realised.high is not None
    assert realised.low < realised.value < realised.high
    assert estimated.value == pytest.approx(realised.value, abs=0.05)
    assert watched["calm"]["monitor"].values["realised"] == pytest.approx(realised.value, abs=1e-6)


def test_each_day_is_looked_at_once(
    pipeline: Pipeline, environment: Environment, watched: dict[str, dict[str, Result]]
) -> None:
    control = Control(environment.control)
    before = control.looks(pipeline.name)
    days = {look.day for look in before}
    assert len(days) == 21
    assert {look.signal for look in before} == {
        "ks price", "ks price missing", "ks prediction", "ks prediction missing",
        "chi_square shop", "chi_square shop missing", "ks label", "ks label missing",
        "profile price", "profile price ties", "profile shop", "profile shop ties",
        "profile prediction", "profile prediction ties",
        "estimated log_loss", "realised log_loss", "outliers",
    }  # fmt: skip
    context = Context(
        task="monitor", pipeline=pipeline.name, run="later", attempt=1, environment=environment,
        window=WEEKS[0],
    )  # fmt: skip
    measured = control.measures(pipeline.name, segments=True)
    again = monitor.run(pipeline, context)
    assert again.values["realised"] == watched["calm"]["monitor"].values["realised"]
    assert again.values["looks"] == 0
    assert control.looks(pipeline.name) == before
    # What was measured since, by labels that came later, is not taken back.
    assert {m.known[:10] for m in measured if m.kind == "realised"} == {"2024-03-04"}
    assert control.measures(pipeline.name, segments=True) == [
        m if m.kind == "realised" or m.start[:10] != "2024-02-12" else replace(m, run="later")
        for m in measured
    ]
    retried = monitor.run(pipeline, replace(context, run="calm", attempt=2))
    assert retried.values == watched["calm"]["monitor"].values


def test_how_inputs_and_predictions_are_spread_is_kept_once(
    pipeline: Pipeline, environment: Environment, watched: dict[str, dict[str, Result]]
) -> None:
    lake = Lake(environment)
    spread = distributions.read(lake, pipeline.name, WEEKS[2])
    assert spread["event_time"].n_unique() == 7
    assert set(spread["column"]) == {"price", "shop", "prediction"}
    assert spread.group_by("event_time", "column").agg(pl.sum("count"))[
        "count"
    ].unique().item() == (A_DAY)
    price = spread.filter((pl.col("column") == "price") & pl.col("high").is_null())
    last = price.filter(pl.col("of") == "bin")
    assert last["share"].mean() > 3 * last["usual"].mean()  # prices moved up
    whole = distributions.read(lake, pipeline.name)
    assert whole["event_time"].n_unique() == 21
    before = watched["moved"]["monitor"].outputs["distributions"]
    context = Context(
        task="monitor", pipeline=pipeline.name, run="moved", attempt=2, environment=environment,
        window=WEEKS[2],
    )  # fmt: skip
    assert monitor.run(pipeline, context).outputs["distributions"].snapshot == before.snapshot
    assert distributions.read(lake, pipeline.name).equals(whole)


def test_an_alarm_names_what_moved_and_asks_for_a_training_once(
    pipeline: Pipeline, environment: Environment, watched: dict[str, dict[str, Result]]
) -> None:
    control = Control(environment.control)
    alarms = [alarm for alarm in control.alarms(pipeline.name) if alarm.paged]
    assert min(alarm.day for alarm in alarms) >= f"{WEEKS[2].start:%Y-%m-%d}"
    moved = {signal["name"] for alarm in alarms for signal in alarm.signals}
    assert {"ks price", "ks prediction"} <= moved
    assert not any(name.startswith("chi_square shop") for name in moved)
    shares = {(k.day, k.signal): k.share for k in control.looks(pipeline.name)}
    for alarm in alarms:
        for signal in alarm.signals:
            assert shares[alarm.day, signal["name"]] == signal["share"] >= 1
    assert all(0 < share < 1 for (day, _), share in shares.items() if day < "2024-02-26")
    assert [watched[name]["decide"].values["train"] for name in watched] == [False, False, True]
    (trigger,) = (t for t in control.triggers(pipeline.name) if t.cause == "monitor")
    assert watched["moved"]["decide"].values["trigger"] == trigger.id
    assert (trigger.who, trigger.state) == ("moved", "asked")
    assert trigger.evidence["policies"] == ["drift"]
    assert trigger.window == f"2024-01-01/{WEEKS[2].end:%Y-%m-%d}"
    assert "moved, seen on 2024-0" in trigger.evidence["why"]
    context = Context(
        task="decide", pipeline=pipeline.name, run="another", attempt=1, environment=environment,
        window=WEEKS[2],
    )  # fmt: skip
    assert decide.run(pipeline, context).values["trigger"] == trigger.id
    assert len(control.triggers(pipeline.name)) == 2


def test_an_open_alert_is_a_reason_at_the_newest_window_alone_and_a_retry_finds_its_trigger(
    pipeline: Pipeline, environment: Environment, watched: dict[str, dict[str, Result]]
) -> None:
    control = Control(environment.control)
    report = replace(REPORT, pipeline=pipeline.name)
    control.report([report])
    told = Retraining(policies=(Policy(name="outside"),), cool_down_days=0)
    listening = pipeline.model_copy(update={"monitoring": Monitoring(retraining=told)})

    def decided(window: Window, run: str, attempt: int = 1) -> dict[str, Any]:
        context = Context(
            task="decide", pipeline=pipeline.name, run=run, attempt=attempt,
            environment=environment, window=window,
        )  # fmt: skip
        return decide.run(listening, context).values

    old = decided(WEEKS[1], "cleared")
    assert (old["train"], old["why"]) == (False, "not wanted by outside")
    assert [one.key for one in control.unheeded(pipeline.name)] == [report.key]
    first = decided(WEEKS[3], "newest")
    trigger = control.trigger(first["trigger"])
    assert [one["key"] for one in trigger.evidence["reports"]] == [report.key]
    assert control.unheeded(pipeline.name) == []
    assert (first["train"], first["why"]) == (True, "outside: FeedChanged")
    assert decided(WEEKS[3], "newest", attempt=2) == first, "it died after it had written that"
    assert decided(WEEKS[3], "another") == first


def test_a_champion_without_a_reference_says_so(
    pipeline: Pipeline, environment: Environment, watched: dict[str, dict[str, Result]]
) -> None:
    control = Control(environment.control)
    head = control.champion(pipeline.name)
    assert head is not None
    folder = f"{environment.run_folder(pipeline.name, head.run)}/reference"
    kept = {one.uri: objects.read_bytes(one.uri) for one in objects.find(folder)}
    for uri in kept:
        objects.delete(uri)
    context = Context(
        task="monitor", pipeline=pipeline.name, run="blind", attempt=1, environment=environment,
        window=WEEKS[0],
    )  # fmt: skip
    with pytest.raises(ConfigError, match="does not say any more what it is watched with"):
        monitor.run(pipeline, context)
    for uri, content in kept.items():
        objects.write_bytes(uri, content)
