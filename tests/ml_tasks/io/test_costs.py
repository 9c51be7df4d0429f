from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ml_tasks import config
from ml_tasks.config import Pipeline, Price, Prices, TaskResources
from ml_tasks.io import spent
from ml_tasks.io.control import Control, Cost
from ml_tasks.io.runs import Try
from ml_tasks.result import Failure, PodUse, Resources, Result, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

STARTED = datetime(2013, 1, 31, 23, 59, tzinfo=UTC)
PRICES = Prices(currency="EUR", default=Price(cpu_hour=1, memory_gb_hour=0.5, gpu_hour=10))
GIVEN = TaskResources(cpus=2, memory_gb=4)
ONE = Cost(
    pipeline="p", run="r", task="derive", attempt=1, at="2013-01-31T23:59:00Z", state="done",
    pods=1, cpus=2, memory_gb=4, gpus=0, node_type="", spot=False, wall_seconds=90.0,
    pod_seconds=90.0, cpu_seconds=45.0, gpu_seconds=0.0, peak_memory_mb=700.0, amount=0.1,
    currency="EUR",
)  # fmt: skip


@pytest.fixture
def control(database_url: str) -> Control:
    made = Control(database_url)
    made.migrate()
    return made


def test_an_attempt_is_charged_once_and_its_price_stands(control: Control) -> None:
    others = [replace(ONE, pipeline="q"), replace(ONE, attempt=2), replace(ONE, task="train")]
    control.charge([ONE, *others])
    control.charge([replace(ONE, amount=9.0), replace(ONE, attempt=3)])
    found = control.costs(pipeline="p", run="r")
    assert [c.amount for c in found if c.task == "derive"] == [0.1] * 3
    assert len(control.costs()) == 5


def test_many_may_charge_the_same_at_once(control: Control) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: control.charge([ONE]), range(8)))
    assert control.costs() == [ONE]


def test_costs_are_found_by_day(control: Control) -> None:
    later = replace(ONE, run="s", at="2013-02-01T00:00:00Z")
    control.charge([later, ONE])
    assert control.costs() == [ONE, later]
    assert control.costs(since="2013-02-01") == [later]


@pytest.fixture
def pipeline() -> Pipeline:
    found = config.load("flight_delays")
    return found.model_copy(update={"resources": {"default": GIVEN}})


def result(**more: object) -> Result:
    used = Resources(wall_seconds=90, cpu_seconds=45, peak_memory_mb=700)
    return Result(
        task="derive", pipeline="flight_delays", run="r", started=STARTED, resources=used
    ).model_copy(update=more)


def usage(pods: Mapping[str, PodUse]) -> Usage:
    return Usage(started=STARTED, pods=dict(pods))


def test_without_a_launchers_word_the_result_counts(pipeline: Pipeline) -> None:
    assert spent.cost(pipeline, "r", Try("derive", 1, result()), PRICES) == replace(
        ONE, pipeline="flight_delays", amount=pytest.approx((2 + 4 * 0.5) * 90 / 3600)
    )


def test_all_pods_are_paid_for_those_that_were_taken_away_too(pipeline: Pipeline) -> None:
    pods = {
        "a": PodUse(seconds=100, cpu_seconds=50, peak_memory_mb=800),
        "b": PodUse(seconds=60, cpu_seconds=20, peak_memory_mb=600),
    }
    found = spent.cost(pipeline, "r", Try("derive", 1, result(), usage(pods)), PRICES)
    assert (found.pods, found.wall_seconds, found.pod_seconds) == (2, 90, 160)
    assert (found.cpu_seconds, found.peak_memory_mb) == (70, 800)
    assert found.amount == pytest.approx(4 * 160 / 3600)


def test_what_the_task_says_itself_counts_where_it_is_more(pipeline: Pipeline) -> None:
    pods = {"a": PodUse(seconds=91, cpu_seconds=30, peak_memory_mb=650)}
    found = spent.cost(pipeline, "r", Try("derive", 1, result(), usage(pods)), PRICES)
    assert (found.cpu_seconds, found.peak_memory_mb) == (45, 700)


def test_a_killed_attempt_costs_what_its_launcher_saw(pipeline: Pipeline) -> None:
    given = {"default": TaskResources(cpus=2, memory_gb=4, gpus=1)}
    with_gpu = pipeline.model_copy(update={"resources": given})
    pods = {"7": PodUse(seconds=36, cpu_seconds=30, peak_memory_mb=4096)}
    found = spent.cost(with_gpu, "r", Try("train", 2, None, usage(pods)), PRICES)
    assert (found.state, found.attempt, found.at) == ("killed", 2, "2013-01-31T23:59:00Z")
    assert (found.wall_seconds, found.gpu_seconds, found.peak_memory_mb) == (36, 36, 4096)
    assert found.amount == pytest.approx((2 + 2 + 10) / 100)


@pytest.mark.parametrize(("code", "state"), [(99, "skipped"), (65, "failed"), (1, "failed")])
def test_how_an_attempt_ended_is_kept(pipeline: Pipeline, code: int, state: str) -> None:
    error = Failure(kind="X", message="x", exit_code=code)
    assert spent.cost(pipeline, "r", Try("derive", 1, result(error=error)), PRICES).state == state
