"""Waits in the triggerer: real triggers on a real cluster."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from ml_launch.cluster import job, usage
from ml_launch.cluster.hub import JOBS_SECONDS, Hub
from ml_launch.cluster.trigger import JobTrigger

from ml_tasks.config import TaskResources
from ml_tasks.io import runs
from tests.plugins.cluster.conftest import SMALL
from tests.plugins.cluster.test_usage import HOLD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ml_launch.cluster.launch import JobLaunch

    from tests.plugins.cluster.conftest import Field

    Until = Callable[[Callable[[], Any]], Any]

THOUSAND, FEW = 1000, 10
WAIT = "import time; print('begun', flush=True); time.sleep(600)"


def again(started: JobLaunch, seconds: float = 120) -> JobTrigger:
    """Make the trigger as the triggerer does: from what was written down."""
    trigger = started.trigger(time.time() + seconds)
    assert trigger is not None
    path, told = trigger.serialize()
    assert path == "ml_launch.cluster.trigger.JobTrigger"
    return JobTrigger(**told)


async def event_of(trigger: JobTrigger) -> dict[str, Any]:
    async for event in trigger.run():
        return dict(event.payload)
    raise AssertionError


async def fired(trigger: JobTrigger) -> dict[str, Any]:
    """Give what a trigger says, but for what it saw of pods."""
    return {name: said for name, said in (await event_of(trigger)).items() if name != "seen"}


class Listed:
    """A hub that knows of a Job what a test says, look by look."""

    def __init__(self, *jobs: dict[str, Any] | None) -> None:
        self.jobs = list(jobs)
        self.samples = 0
        self.reasons = SimpleNamespace(refusals=lambda _job: [], turn=lambda _job: "")

    def mark(self) -> int:
        return 0

    def job(self, _job: str, _mark: int) -> dict[str, Any] | None:
        return self.jobs[0]

    async def changes(self, _job: str, _every: float) -> AsyncIterator[list[Any]]:
        while self.jobs:
            yield []
            self.jobs.pop(0)


def listed(made: float, began: float | None) -> dict[str, Any]:
    """Give a Job that was made and began so many seconds ago; one that did not waits its turn."""
    now = datetime.now(UTC)
    status = {} if began is None else {"startTime": str(now - timedelta(seconds=began))}
    metadata = {
        "name": "j",
        "creationTimestamp": str(now - timedelta(seconds=made)),
        "labels": {job.ATTEMPT: "2"},
    }
    return {"metadata": metadata, "spec": {"suspend": began is None}, "status": status}


UNKNOWN = {"metadata": {"name": "j"}}


@pytest.mark.parametrize(
    ("looks", "late"),
    [
        ((UNKNOWN, listed(7200, 60), None), False),
        ((listed(7200, None), listed(7300, 100), None), False),
        ((UNKNOWN, listed(7200, 7200)), True),
        ((None,), True),
    ],
    ids=[
        "its turn took long",
        "and is remembered when the Job is gone",
        "it took too long",
        "gone",
    ],
)
def test_late_is_who_worked_too_long_and_not_who_waited_his_turn(
    looks: tuple[dict[str, Any] | None, ...], late: bool
) -> None:
    waiting = JobTrigger(
        namespace="n", job="j", task="derive", pods=1, resources={}, pending_seconds=600,
        until=time.time() - 60,
    )  # fmt: skip
    assert asyncio.run(waiting._wait(Listed(*looks))) is late  # type: ignore[arg-type]
    assert waiting._attempt == (2 if looks != (None,) else 0)


def test_it_fires_at_the_end_and_hands_the_log_on(
    field: Field, caplog: pytest.LogCaptureFixture
) -> None:
    started = field.start(field.command("print('one'); print('two')"))
    with caplog.at_level(logging.INFO, "ml_launch"):
        assert asyncio.run(fired(again(started))) == {"late": False}
    assert [r.message for r in caplog.records if r.message in ("one", "two")] == ["one", "two"]
    outcome = started.once(print)
    assert outcome is not None
    assert outcome.succeeded


def test_many_wait_with_one_watch(field: Field) -> None:
    started = [field.start(field.command("pass")) for _ in range(5)]

    async def all_of_them() -> list[dict[str, Any]]:
        waits = [asyncio.create_task(fired(again(one))) for one in started]
        await asyncio.sleep(0)  # all have come before the first can go
        (hub,) = Hub._open.values()
        assert hub._guests == len(started)
        return await asyncio.gather(*waits)

    assert asyncio.run(all_of_them()) == [{"late": False}] * 5
    assert not Hub._open


@pytest.mark.skipif(
    os.environ.get("PERENNIAL_FAULTS") != "all",  # noqa: TID251 - a switch of the tests
    reason="a thousand Jobs: PERENNIAL_FAULTS=all",
)
def test_a_thousand_wait_with_few_connections(field: Field) -> None:
    from kubernetes.client import BatchV1Api

    batch, triggers = BatchV1Api(), []
    for _ in range(THOUSAND):
        made = field.command(WAIT)
        wanted = job.manifest(made, SMALL, field.environment, job.template(None), 0)
        wanted["spec"]["suspend"] = True  # two nodes have no room for a thousand pods
        batch.create_namespaced_job(field.namespace, wanted)
        triggers.append(
            JobTrigger(
                namespace=field.namespace, job=wanted["metadata"]["name"], task=made.task, pods=1,
                resources=SMALL.model_dump(mode="json"), pending_seconds=600,
                until=time.time() + 600, settled=0,
            )
        )  # fmt: skip

    async def all_of_them() -> list[dict[str, Any]]:
        waits = [asyncio.create_task(fired(one)) for one in triggers]
        await asyncio.sleep(2 * JOBS_SECONDS)
        assert not any(wait.done() for wait in waits)
        (hub,) = Hub._open.values()
        assert hub._guests == THOUSAND
        linked = [one for one in psutil.Process().net_connections("tcp") if one.raddr]
        assert 0 < len(linked) < FEW
        selector = ",".join(f"{name}={value}" for name, value in job.OWN.items())
        batch.delete_collection_namespaced_job(
            field.namespace, label_selector=selector, propagation_policy="Background"
        )
        return await asyncio.gather(*waits)

    assert asyncio.run(all_of_them()) == [{"late": False}] * THOUSAND


def test_it_fires_when_the_time_is_over(field: Field) -> None:
    started = field.start(field.command(WAIT))
    assert asyncio.run(fired(again(started, seconds=3))) == {"late": True}


def test_it_fires_when_the_job_is_gone(field: Field, until: Until) -> None:
    started = field.start(field.command(WAIT))
    until(lambda: field.pods(started))

    async def wait() -> dict[str, Any]:
        waiting = asyncio.create_task(fired(again(started)))
        await asyncio.sleep(1)
        started.stop()
        return await waiting

    assert asyncio.run(wait()) == {"late": False}


def test_who_clears_the_task_ends_the_job(field: Field, until: Until) -> None:
    started = field.start(field.command(WAIT))
    until(lambda: field.pods(started))
    asyncio.run(again(started).on_kill())
    until(lambda: not field.pods(started))
    assert field.pods(started) == []


def test_it_fires_no_sooner_than_the_worker_is_known_to_be_free(field: Field) -> None:
    trigger = again(field.start(field.command("pass")))
    settled = trigger.serialize()[1]["settled"]
    assert settled > time.time()
    asyncio.run(fired(trigger))
    assert time.time() >= settled


def test_what_has_ended_is_waited_for_by_nobody(field: Field, until: Until) -> None:
    made = field.command("pass")
    started = field.start(made)
    until(lambda: [pod for pod in field.pods(started) if pod.status.phase == "Succeeded"])
    taken_up = field.start(made)
    assert taken_up.name == started.name
    assert taken_up.trigger(time.time() + 60) is None
    outcome = taken_up.once(print)
    assert outcome is not None
    assert outcome.succeeded


def test_what_it_saw_of_pods_comes_to_who_goes_on(
    field: Field, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(usage, "EVERY_SECONDS", 1.0)
    made = field.command(HOLD, run="deferred")
    started = field.start(made, TaskResources(cpus=0.05, memory_gb=0.25))
    trigger = again(started)

    async def wait() -> dict[str, Any]:
        waiting = asyncio.create_task(event_of(trigger))
        while not any(sample.memory_mb > 96 for sample in trigger._use.curve):
            assert not waiting.done()
            await asyncio.sleep(0.2)
        await asyncio.to_thread(started.stop)
        return await waiting

    said = json.loads(json.dumps(asyncio.run(wait())))
    started.recall(said["seen"])
    outcome = started.once(print)
    assert outcome is not None
    assert max(sample.memory_mb for sample in outcome.curve) > 96
    (made_of_it,) = runs.tries(field.environment, "p", "deferred")
    assert made_of_it.usage is not None
    (use,) = made_of_it.usage.pods.values()
    assert 96 < use.peak_memory_mb < 256
    assert use.cpu_seconds > 0
    assert use.seconds > 0
