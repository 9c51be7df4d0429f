"""Which Job of several works on a task, and when none may be started, on a real cluster."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client import BatchV1Api
from ml_launch.cluster import job

from ml_tasks.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugins.cluster.conftest import Field, Script

    Until = Callable[[Callable[[], Any]], Any]

LONG = "import signal, time; signal.signal(15, lambda *_: exit(1)); time.sleep(600)"
STUBBORN = """
import signal, time
signal.signal(15, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
"""It ends when its grace is over."""


def left(field: Field, script: Script) -> list[str]:
    """Name the Jobs of a task."""
    selector = job.owned(job.KEY, job.key(script))
    found = BatchV1Api().list_namespaced_job(field.namespace, label_selector=selector).items
    return [one.metadata.name for one in found]


def test_of_two_that_live_the_later_one_is_followed_and_the_other_ended(field: Field) -> None:
    script = field.command("pass", run="twice")
    first = field.start(field.command(LONG, run="twice"))
    twin = job.manifest(script, field.small, field.environment, {}, 1)
    BatchV1Api().create_namespaced_job(field.namespace, twin)
    second = field.start(field.command("pass", run="twice", attempt=2))
    assert second.name == f"{first.name}-1"
    assert left(field, script) == [second.name]
    assert second.follow(print).succeeded
    assert left(field, script) == []


def test_what_was_stopped_before_it_began_does_not_begin(field: Field) -> None:
    script = field.command("pass")
    prepared = field.prepare(script)
    prepared.stop("no more")
    with pytest.raises(BackendError, match="no more"):
        prepared.begin()
    assert left(field, script) == []
    assert prepared.follow(print).stopped == "no more"


def test_what_is_stopped_while_earlier_pods_end_does_not_begin(field: Field, until: Until) -> None:
    first = field.running(field.command(STUBBORN, run="settles"), until)
    (pod,) = field.pods(first)
    until(lambda: field.core.read_namespaced_pod_log(pod.metadata.name, field.namespace))
    first.stop()
    script = field.command("pass", run="settles", attempt=2)
    prepared, said = field.prepare(script), list[BackendError]()

    def begin() -> None:
        try:
            prepared.begin()
        except BackendError as fault:
            said.append(fault)

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join(3)
    assert thread.is_alive()
    prepared.stop("cleared")
    thread.join(10)
    assert [str(fault) for fault in said] == ["cleared"]
    assert left(field, script) == []


def test_a_pod_whose_job_is_gone_gives_its_name_to_no_other(field: Field, until: Until) -> None:
    """It stays listed for a while, and its end is not the next one's."""
    script = field.command("raise SystemExit(1)", run="remains")
    made = job.manifest(script, field.small, field.environment, {}, 0)
    pod = made["spec"]["template"]
    name = made["metadata"]["name"]
    pod["metadata"] |= {"name": f"{name}-0-x"}
    pod["metadata"]["labels"] |= {"batch.kubernetes.io/job-name": name}
    field.core.create_namespaced_pod(field.namespace, pod)
    until(
        lambda: (
            field.core.read_namespaced_pod(f"{name}-0-x", field.namespace).status.phase == "Failed"
        )
    )
    second = field.start(field.command("pass", run="remains", attempt=2))
    assert second.name == f"{name}-1"
    assert second.follow(print).succeeded
    field.core.delete_namespaced_pod(f"{name}-0-x", field.namespace)


def test_time_in_a_queue_is_remembered_by_the_job_that_is_begun_again(field: Field) -> None:
    def told(name: str) -> str:
        found = BatchV1Api().read_namespaced_job(name, field.namespace)
        return str(found.metadata.annotations[job.QUEUED])

    script = field.command(LONG)
    began = field.start(script)
    assert told(began.name) == "0"
    began._job["metadata"]["annotations"][job.QUEUED] = "7200"
    began._begin_again(began._job)
    assert told(began.name) == "7200"
    began.stop()
    later = field.prepare(script)
    later.recall({"queued": 90.4, "attempt": 0})
    later.begin()
    assert told(later.name) == "90"


def test_what_is_stopped_while_its_job_is_found_ends_that(field: Field) -> None:
    script = field.command(LONG)
    field.start(script)
    second = field.prepare(script)
    second.stop("cleared")
    with pytest.raises(BackendError, match="cleared"):
        second.begin()
    assert left(field, script) == []


def test_who_waited_for_earlier_pods_follows_the_job_that_another_has_started(
    field: Field, until: Until
) -> None:
    first = field.running(field.command(STUBBORN, run="race"), until)
    (pod,) = field.pods(first)
    until(lambda: field.core.read_namespaced_pod_log(pod.metadata.name, field.namespace))
    first.stop()
    racers = [field.prepare(field.command("pass", run="race", attempt=n)) for n in (2, 3)]
    threads = [threading.Thread(target=one.begin) for one in racers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert racers[0].name == racers[1].name == f"{first.name}-1"
