"""How a task goes on whose wait in the triggerer is over, on a real cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout, TaskDeferred
from kubernetes.client import BatchV1Api
from ml_launch import operators
from ml_launch.cluster import job
from ml_launch.operators import LaunchOperator

from ml_tasks import config, flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugins.cluster.conftest import Field, Script

    Until = Callable[[Callable[[], Any]], Any]

LONG = "import signal, time; signal.signal(15, lambda *_: exit(1)); time.sleep(600)"


@pytest.fixture
def resume(field: Field, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script, bool], str]:
    """Go on after a trigger fired; whether the time was over is what it says."""
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    monkeypatch.setattr(operators, "Environment", lambda: field.environment)

    def go_on(script: Script, late: bool, **seen: Any) -> str:
        pipeline = config.load("flight_delays", field.environment.pipelines)
        made = LaunchOperator(pipeline=pipeline, step=flow.step("derive"))
        monkeypatch.setattr(made, "_described", lambda *_: script)
        until = time.time() + (-1 if late else 600)
        return made.resume({}, {"late": late, "seen": seen}, until)

    return go_on


def test_what_ended_in_time_counts_though_nobody_looked(
    field: Field, resume: Callable[..., str], until: Until
) -> None:
    script = field.command("pass")
    started = field.start(script)
    until(lambda: [pod for pod in field.pods(started) if pod.status.phase == "Succeeded"])
    assert resume(script, late=True) == script.result


def test_what_another_process_of_the_try_has_read_does_not_run_again(
    field: Field, resume: Callable[..., str]
) -> None:
    script = field.command("pass")  # its good result lies there
    with pytest.raises(TaskDeferred):
        resume(script, late=False)  # nobody has seen a Job: the result may be of another time
    field.prepare(script)._jobs.end()
    assert resume(script, late=False, attempt=1) == script.result
    selector = job.owned(job.KEY, job.key(script))
    assert BatchV1Api().list_namespaced_job(field.namespace, label_selector=selector).items == []


def test_a_job_that_another_process_of_the_try_has_read_meanwhile_does_not_run_again(
    field: Field, until: Until
) -> None:
    script = field.command(LONG)
    started = field.running(script, until)
    second = field.prepare(script)
    second.recall({"attempt": 1})
    second.begin()
    assert second.name == started.name
    started.stop()
    outcome = second.once(print)
    assert outcome is not None
    assert outcome.succeeded
    selector = job.owned(job.KEY, job.key(script))
    assert BatchV1Api().list_namespaced_job(field.namespace, label_selector=selector).items == []


def test_what_runs_on_when_its_time_is_over_is_ended(
    field: Field, resume: Callable[..., str], until: Until
) -> None:
    script = field.command(LONG)
    started = field.running(script, until)
    with pytest.raises(AirflowTaskTimeout, match="timeout_minutes in the YAML gives it more"):
        resume(script, late=True)
    until(lambda: not field.pods(started))


def test_a_wait_that_ended_too_early_goes_on_in_the_triggerer(
    field: Field, resume: Callable[..., str], until: Until
) -> None:
    script = field.command(LONG)
    started = field.running(script, until)
    with pytest.raises(TaskDeferred) as deferred:
        resume(script, late=False)
    assert deferred.value.method_name == "resume"
    assert deferred.value.trigger.serialize()[1]["job"] == started.name
