"""Trainings that wait for their turn: a real cluster, with Kueue and without it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from ml_launch.cluster.trigger import JobTrigger

from ml_tasks.config import TaskResources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_launch.outcome import Outcome

    from tests.plugins.cluster.conftest import Field

    Until = Callable[[Callable[[], Any]], Any]

GROUP, VERSION = "kueue.x-k8s.io", "v1beta1"
QUEUE = "gpus"
GPUS = "nvidia.com/gpu"
WAIT = (
    "import os, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); "
    "print('begun', flush=True); time.sleep(600)"
)


def has_kueue() -> bool:
    try:
        client.CustomObjectsApi().list_cluster_custom_object(GROUP, VERSION, "clusterqueues")
    except ApiException as fault:
        if fault.status == 404:
            return False
        raise
    return True


def all_gpus(field: Field) -> int:
    nodes = field.core.list_node().items
    return sum(int(node.status.allocatable.get(GPUS, 0)) for node in nodes)


@pytest.fixture
def queue(field: Field) -> Iterator[str]:
    """A queue of the namespace that may give away all GPUs of the cluster, and no more."""
    if not has_kueue():
        pytest.skip("no Kueue: its CRDs are not in this cluster")
    if all_gpus(field) < 2:
        pytest.skip(f"the nodes of this cluster offer fewer than 2 {GPUS}")
    api, name = client.CustomObjectsApi(), f"perennial-{uuid.uuid4().hex[:8]}"
    amounts = {"cpu": "100", "memory": "100Gi", GPUS: str(all_gpus(field))}
    own = {"matchLabels": {"kubernetes.io/metadata.name": field.namespace}}
    flavor = {"metadata": {"name": name}, "spec": {}}
    quota = {
        "metadata": {"name": name},
        "spec": {
            "namespaceSelector": own,
            "resourceGroups": [
                {
                    "coveredResources": list(amounts),
                    "flavors": [
                        {
                            "name": name,
                            "resources": [
                                {"name": n, "nominalQuota": v} for n, v in amounts.items()
                            ],
                        }
                    ],
                }
            ],
            "preemption": {"withinClusterQueue": "LowerPriority"},
        },
    }
    local = {"metadata": {"name": QUEUE}, "spec": {"clusterQueue": name}}
    for kind, plural, body in (
        ("ResourceFlavor", "resourceflavors", flavor),
        ("ClusterQueue", "clusterqueues", quota),
    ):
        api.create_cluster_custom_object(
            GROUP, VERSION, plural, {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, **body}
        )
    api.create_namespaced_custom_object(
        GROUP, VERSION, field.namespace, "localqueues",
        {"apiVersion": f"{GROUP}/{VERSION}", "kind": "LocalQueue", **local},
    )  # fmt: skip
    yield QUEUE
    api.delete_namespaced_custom_object(GROUP, VERSION, field.namespace, "localqueues", QUEUE)
    api.delete_cluster_custom_object(GROUP, VERSION, "clusterqueues", name)
    api.delete_cluster_custom_object(GROUP, VERSION, "resourceflavors", name)


@pytest.fixture
def priority() -> Iterator[str]:
    """A class of pods that go before others."""
    api, name = client.SchedulingV1Api(), f"perennial-{uuid.uuid4().hex[:8]}"
    api.create_priority_class({"metadata": {"name": name}, "value": 1000})
    yield name
    api.delete_priority_class(name)


class Followed:
    """A task that is followed in a thread."""

    def __init__(self, field: Field, script: str, given: TaskResources) -> None:
        # As many processes as there are GPUs: pods that take all of them.
        made = field.command(script, pods=all_gpus(field))
        self.lines: list[str] = []
        self.done: list[Outcome] = []
        self.started = field.start(made, given)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        self.done.append(self.started.follow(self.lines.append))

    def begun(self) -> bool:
        return any(line.endswith("begun") for line in self.lines)

    def waits(self) -> bool:
        return any(line.startswith(f"waits in queue {QUEUE}") for line in self.lines)

    def outcome(self) -> Outcome:
        self._thread.join(120)
        (found,) = self.done
        return found


def everything(**more: Any) -> TaskResources:
    return TaskResources(cpus=0.05, memory_gb=0.125, gpus=2, queue=QUEUE, **more)


def test_two_that_want_all_gpus_run_one_after_the_other(
    field: Field, queue: str, until: Until
) -> None:
    # A pod may wait for a node for three seconds; in the queue it waits for longer than that.
    field.environment = field.environment.model_copy(update={"pending_minutes": 0.05})
    script = "import time; print('begun', flush=True); time.sleep(12); print('ended', flush=True)"
    first = Followed(field, script, everything())
    until(first.begun)
    second = Followed(field, script, everything())
    until(second.waits)
    assert not second.begun()
    until(lambda: "insufficient unused quota" in " ".join(second.lines))
    assert first.outcome().succeeded
    assert second.outcome().succeeded
    assert sum(line.endswith("ended") for line in second.lines) == all_gpus(field) // 2


def test_a_higher_priority_takes_the_turn_and_it_comes_back(
    field: Field, queue: str, priority: str, until: Until
) -> None:
    low = Followed(field, WAIT, everything())
    until(low.begun)
    high = Followed(field, "print('begun')", everything(priority_class=priority))
    assert high.outcome().succeeded
    assert high.begun()
    pods = all_gpus(field) // 2
    until(lambda: sum(line.endswith("begun") for line in low.lines) == 2 * pods)
    assert not any("starting again" in line for line in low.lines)
    low.started.stop()
    assert low.outcome().stopped == "the task was stopped from outside"


@pytest.fixture
def nobodys() -> TaskResources:
    """Resources with a queue that is not there."""
    if not has_kueue():
        pytest.skip("no Kueue: its CRDs are not in this cluster")
    return TaskResources(cpus=0.05, memory_gb=0.125, queue="nobodys")


def test_a_queue_that_is_not_there_is_named(
    field: Field, nobodys: TaskResources, until: Until
) -> None:
    waiting = Followed(field, "pass", nobodys)
    until(lambda: "waits in queue nobodys: LocalQueue nobodys doesn't exist" in waiting.lines)
    waiting.started.stop("enough")
    assert waiting.outcome().stopped == "enough"


def test_the_triggerer_says_it_too(
    field: Field, nobodys: TaskResources, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    started = field.start(field.command("pass"), nobodys)
    path, told = started.trigger(time.time() + 60).serialize()
    assert path.endswith("JobTrigger")

    async def wait() -> None:
        async for _event in JobTrigger(**told).run():
            return

    with caplog.at_level(logging.INFO, "ml_launch"):
        thread = threading.Thread(target=lambda: asyncio.run(wait()))
        thread.start()
        wanted = "waits in queue nobodys: LocalQueue nobodys doesn't exist"
        until(lambda: wanted in caplog.messages)
        started.stop()
        thread.join(60)
    assert not thread.is_alive()


def test_without_kueue_a_queue_is_but_a_word(field: Field) -> None:
    if has_kueue():
        pytest.skip("this cluster has Kueue")
    given = TaskResources(cpus=0.05, memory_gb=0.125, queue=QUEUE)
    assert field.run(field.command("pass"), given).succeeded
