from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ml_tasks import config, record
from ml_tasks.config import Environment
from ml_tasks.context import Context
from ml_tasks.errors import BackendError
from ml_tasks.io import objects
from ml_tasks.io.control import Control
from ml_tasks.io.registry import Registry
from ml_tasks.result import MEASURED, RESULT, Failure, PodUse, Resources, Result, Usage

if TYPE_CHECKING:
    from pathlib import Path

USED = ("wall_seconds", "cpu_seconds", "gpu_seconds", "peak_memory_mb")
STARTED = datetime(2013, 1, 1, tzinfo=UTC)


def test_numbers_have_names_that_mlflow_takes() -> None:
    values = {"flights": {"reasons": {"column 'x': \"a\"": 3}, "unchanged": True, "rate": 0.5}}
    assert record.numbers(values) == {
        "flights.reasons.column _x_: _a_": 3.0,
        "flights.rate": 0.5,
    }


def test_a_server_that_is_away_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = Registry(Environment(mlflow_url="http://127.0.0.1:9"), "p")
    with pytest.raises(BackendError, match=r"MLflow at http://127.0.0.1:9"):
        registry.versions()
    with pytest.raises(BackendError, match=r"MLflow at http://127.0.0.1:9"):
        registry.run("r")


def test_without_an_address_nobody_elses_server_is_spoken_to(environment: Environment) -> None:
    with pytest.raises(BackendError, match="came no address, wanted that of this home's own"):
        Registry(environment, "p").versions()


def left(environment: Environment, task: str, attempt: int, what: Result | Usage) -> None:
    name = RESULT if isinstance(what, Result) else MEASURED
    folder = f"{environment.run_folder('flight_delays', 'r')}/{task}/{attempt}"
    objects.write_text(f"{folder}/{name}", what.model_dump_json())


def test_what_each_attempt_cost_is_in_control_and_in_mlflow(
    tmp_path: Path, mlflow_url: str
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("currency: EUR\ndefault: {cpu_hour: 3, memory_gb_hour: 1}")
    environment = Environment(home=tmp_path / "home", mlflow_url=mlflow_url, prices=prices)
    pipeline = config.load("flight_delays")
    assert (pipeline.resources_of("derive").cpus, pipeline.resources_of("derive").memory_gb) == (
        1, 3,
    )  # fmt: skip
    used = Resources(wall_seconds=600, cpu_seconds=300, peak_memory_mb=900)
    own = Result(
        task="derive", pipeline="flight_delays", run="r", attempt=3, resources=used, started=STARTED
    )
    error = Failure(kind="BackendError", message="busy", exit_code=75)
    left(environment, "derive", 1, own.model_copy(update={"attempt": 1, "error": error}))
    killed = {"1": PodUse(seconds=60, cpu_seconds=50, peak_memory_mb=3000)}
    left(environment, "derive", 2, Usage(started=STARTED, pods=killed))
    left(environment, "derive", 3, own)
    told = Context(
        task="record", pipeline="flight_delays", run="r", attempt=1, environment=environment
    )
    for _ in range(2):
        record.run(pipeline, told)
        costs = Control(environment.control).costs()
        assert [(c.attempt, c.state, c.amount) for c in costs] == [
            (1, "failed", pytest.approx(1)),
            (2, "killed", pytest.approx(0.1)),
            (3, "done", pytest.approx(1)),
        ]
        registry = Registry(environment, "flight_delays")
        task = registry.client.get_run(registry.run("r", "derive")).data
        assert task.metrics["cost"] == pytest.approx(2.1)
        # As they were charged: what a killed attempt used is known by its launcher alone.
        assert {name: task.metrics[f"resources.{name}"] for name in USED} == {
            "wall_seconds": 1260, "cpu_seconds": 650, "gpu_seconds": 0, "peak_memory_mb": 3000,
        }  # fmt: skip
        parent = registry.client.get_run(registry.run("r")).data
        assert parent.metrics["total.cost"] == pytest.approx(2.1)
        assert parent.metrics["total.cpu_seconds"] == 650
        assert parent.params["currency"] == "EUR"
