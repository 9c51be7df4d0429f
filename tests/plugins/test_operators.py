"""What Airflow is told of a task."""

from __future__ import annotations

from datetime import timedelta

from ml_launch.operators import LaunchOperator

from ml_tasks import config, flow
from ml_tasks.config import ROOT, TaskResources


def test_a_try_has_the_time_of_the_yaml_and_the_last_task_is_known() -> None:
    pipeline = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
    given = {**pipeline.resources, "train": TaskResources(timeout_minutes=600)}
    own = pipeline.model_copy(update={"resources": given})
    made = [LaunchOperator(pipeline=own, step=step, key="k") for step in flow.FLOWS["training"]]
    times = {one.task_id: one.execution_timeout for one in made}
    assert times.pop("train") == timedelta(hours=10)
    assert set(times.values()) == {timedelta(minutes=30)}
    assert [one.task_id for one in made if one.last] == ["record"]
