"""Pods that a Job may not have: what events say of it, and a quota on a real cluster."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from ml_launch.cluster import admission, state
from ml_launch.cluster.trigger import JobTrigger

from ml_tasks.config import TaskResources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.plugins.cluster.conftest import Field

    Until = Callable[[Callable[[], Any]], Any]

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
QUOTA = (
    'Error creating: pods "derive-1-0-x" is forbidden: exceeded quota: small, requested: '
    "requests.cpu=50m,requests.memory=128Mi, used: requests.cpu=0,requests.memory=0, limited: "
    "requests.cpu=10m,requests.memory=1Gi"
)
SAID = "quota small: requested requests.cpu=50m; used requests.cpu="
LIMITED = "; limited to requests.cpu=10m"
WANTED = state.Wanted("derive", 1, TaskResources(), 600)


def event(first: float, last: float, message: str = QUOTA) -> dict[str, Any]:
    """An event that was seen from and to so many seconds ago."""
    at = [(NOW - timedelta(seconds=ago)).isoformat() for ago in (first, last)]
    return {"firstTimestamp": at[0], "lastTimestamp": at[1], "message": message}


def test_a_quota_is_named_with_its_numbers() -> None:
    found = admission.refusal([event(9, 9)], NOW)
    assert found is not None
    assert found.said == (
        "quota small: requested requests.cpu=50m,requests.memory=128Mi; "
        "used requests.cpu=0,requests.memory=0; limited to requests.cpu=10m,requests.memory=1Gi"
    )
    assert found.passing


@pytest.mark.parametrize(
    ("events", "seconds"),
    [
        ([], None),
        ([event(5, 5)], 5),
        ([event(5, 5), event(60, 30), event(300, 90)], 300),
        ([event(5000, 5)], 5000),
        # A wait of another time, after which there were pods.
        ([event(5, 5), event(2000, 1000)], 5),
        ([event(2000, 1000)], None),
    ],
)
def test_since_when_pods_are_refused(events: list[dict[str, Any]], seconds: float | None) -> None:
    found = admission.refusal(events, NOW)
    assert (found and (NOW - found.since).total_seconds()) == seconds


def test_an_event_of_the_newer_form_is_read() -> None:
    made = {"eventTime": (NOW - timedelta(seconds=9)).isoformat(), "message": QUOTA}
    found = admission.refusal([made | {"series": {"lastObservedTime": NOW.isoformat()}}], NOW)
    assert found is not None
    assert (NOW - found.since).total_seconds() == 9


@pytest.mark.parametrize(
    ("message", "waited", "cause"),
    [
        (QUOTA, 599, None),
        (QUOTA, 601, state.Cause.UNSCHEDULABLE),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', 50, None),
        ('pods "x" is forbidden: violates PodSecurity', 61, state.Cause.CONFIG),
        ("Internal error occurred: failed calling webhook", 599, None),
        ("Internal error occurred: failed calling webhook", 601, state.Cause.UNSCHEDULABLE),
    ],
)
def test_how_long_a_task_waits_for_pods(
    message: str, waited: float, cause: state.Cause | None
) -> None:
    found = admission.refusal([event(waited, 5, message)], NOW)
    how = admission.verdict(found, WANTED, NOW)
    assert (how and how.cause) == cause
    if how is not None:
        assert found is not None
        assert found.said in how.message
        assert how.again is False
        assert how.final is (cause is state.Cause.CONFIG)


@pytest.fixture
def quota(field: Field, until: Until) -> Iterator[Callable[[str], None]]:
    """A quota of the namespace, and what changes it; gone after the test."""
    with limited(field, until, "requests.cpu", "10m") as limit:
        yield limit


@contextmanager
def limited(field: Field, until: Until, what: str, most: str) -> Iterator[Callable[[str], None]]:
    core, name = field.core, "small"

    def spec(limit: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": {"hard": {what: limit}}}

    core.create_namespaced_resource_quota(field.namespace, spec(most))
    try:
        until(lambda: core.read_namespaced_resource_quota(name, field.namespace).status.hard)
        yield lambda limit: core.patch_namespaced_resource_quota(name, field.namespace, spec(limit))
    finally:
        core.delete_namespaced_resource_quota(name, field.namespace)


def impatient(field: Field, seconds: float) -> None:
    field.environment = field.environment.model_copy(update={"pending_minutes": seconds / 60})


@pytest.mark.usefixtures("quota")
def test_a_job_without_pods_says_why_and_is_given_up(field: Field) -> None:
    impatient(field, 8)
    lines: list[str] = []
    outcome = field.run(field.command("pass"), lines=lines)
    assert any(line.startswith(f"no pod is created: {SAID}") for line in lines)
    assert outcome.message.startswith(f"no pod of derive was created in 8 s: {SAID}")
    assert LIMITED in outcome.message
    assert "resources.derive" in outcome.message
    assert not outcome.hopeless


def test_a_job_goes_on_when_the_quota_lets_it(
    field: Field, quota: Callable[[str], None], until: Until
) -> None:
    lines: list[str] = []
    outcomes: list[Any] = []
    started = field.start(field.command("pass"))
    thread = threading.Thread(target=lambda: outcomes.append(started.follow(lines.append)))
    thread.start()
    until(lambda: [line for line in lines if "quota small" in line])
    quota("1")
    thread.join(120)
    assert outcomes[0].succeeded


def test_a_job_is_created_when_a_quota_of_jobs_has_room(
    field: Field, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[Any] = []
    with (
        limited(field, until, "count/jobs.batch", "0") as limit,
        caplog.at_level(logging.INFO, "ml_launch"),
    ):
        thread = threading.Thread(target=lambda: started.append(field.start(field.command("pass"))))
        thread.start()
        until(lambda: [r for r in caplog.records if "limited to count/jobs.batch=0" in r.message])
        limit("1")
        thread.join(120)
    assert started[0].follow(print).succeeded


@pytest.mark.usefixtures("quota")
def test_who_waits_in_the_triggerer_is_told_too(
    field: Field, caplog: pytest.LogCaptureFixture
) -> None:
    impatient(field, 8)
    started = field.start(field.command("pass"))
    trigger = started.trigger(time.time() + 120)
    assert trigger is not None

    async def fired() -> Any:
        return (await anext(JobTrigger(**trigger.serialize()[1]).run())).payload

    with caplog.at_level(logging.INFO, "ml_launch"):
        assert asyncio.run(fired())["late"] is False
    assert any(SAID in r.message and LIMITED in r.message for r in caplog.records)
    outcome = started.once(print)
    assert outcome is not None
    assert SAID in outcome.message
