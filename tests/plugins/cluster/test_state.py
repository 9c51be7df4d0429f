"""What pods say, as the API writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ml_launch.cluster import state, waiting
from ml_launch.cluster.state import Cause, Wanted

from ml_tasks.config import TaskResources

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
WANTED = Wanted("train", 1, TaskResources(memory_gb=2), pending_seconds=600)
TWO = Wanted("train", 2, TaskResources(memory_gb=2), pending_seconds=600)
JOB = {"metadata": {"name": "train-1"}, "status": {}}
FAILED_JOB: dict[str, Any] = {
    **JOB,
    "status": {"conditions": [{"type": "Failed", "status": "True", "message": "limit reached"}]},
}


def pod(
    index: int = 0,
    *,
    phase: str = "Running",
    exit_code: int | None = None,
    reason: str = "",
    waiting: str = "",
    message: str = "",
    target: str = "",
    pod_reason: str = "",
    unschedulable: str = "",
    age: float = 1,
    placed: float | None = None,
    ready: bool = True,
    before: str = "",
    leaving_since: float | None = None,
) -> state.Pod:
    """Write a pod as the API would."""
    metadata: dict[str, Any] = {
        "name": f"train-1-{index}",
        "creationTimestamp": (NOW - timedelta(seconds=age)).isoformat(),
        "annotations": {state.INDEX: str(index)},
    }
    if leaving_since is not None:
        metadata["deletionTimestamp"] = (NOW - timedelta(seconds=leaving_since)).isoformat()
    inner: dict[str, Any] = {}
    if exit_code is not None:
        inner = {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}
    elif waiting:
        inner = {"waiting": {"reason": waiting, "message": message}}
    elif phase == "Running":
        inner = {"running": {}}
    conditions: list[dict[str, str]] = []
    if target:
        conditions.append({"type": "DisruptionTarget", "status": "True", "reason": target})
    if placed is not None:
        at = (NOW - timedelta(seconds=placed)).isoformat()
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": at})
    if not ready:
        conditions.append({"type": "PodReadyToStartContainers", "status": "False"})
    if unschedulable:
        conditions.append({"type": "PodScheduled", "status": "False", "message": unschedulable})
    return {
        "metadata": metadata,
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": phase,
            "reason": pod_reason,
            "message": message,
            "conditions": conditions,
            "initContainerStatuses": [{"state": {"waiting": {"reason": before}}}] if before else [],
            "containerStatuses": [{"name": "task", "state": inner}] if inner else [],
        },
    }


def failed(index: int = 0, code: int = 1, **more: Any) -> state.Pod:
    return pod(index, phase="Failed", exit_code=code, **more)


@pytest.mark.parametrize(
    ("given", "cause", "again", "final"),
    [
        (pod(phase="Succeeded", exit_code=0), Cause.COMPLETED, False, False),
        (failed(code=65), Cause.EXIT, False, False),
        (failed(code=137, reason="OOMKilled"), Cause.MEMORY, False, True),
        (failed(code=128, reason="StartError"), Cause.CONFIG, False, True),
        (
            pod(phase="Failed", pod_reason="Evicted", message="usage exceeds the limit 1Gi"),
            Cause.DISK, False, True,
        ),
        (
            pod(phase="Failed", pod_reason="Evicted", message="The node was low on memory"),
            Cause.EVICTED, True, False,
        ),
        (
            pod(phase="Failed", pod_reason="UnexpectedAdmissionError", message="no such device"),
            Cause.EVICTED, True, False,
        ),
        (
            pod(
                phase="Failed", pod_reason="Evicted", message="The node was low on memory",
                target="TerminationByKubelet",
            ),
            Cause.EVICTED, True, False,
        ),
        (failed(code=143, target="EvictionByEvictionAPI"), Cause.DRAINED, True, False),
        (failed(code=143, target="PreemptionByScheduler"), Cause.PREEMPTED, True, False),
        (failed(code=143, target="SomethingNew"), Cause.EVICTED, True, False),
        (failed(code=143, leaving_since=1), Cause.DELETED, True, False),
        (pod(leaving_since=state.GONE_SECONDS + 1), Cause.NODE_LOST, True, False),
        (pod(waiting="ErrImageNeverPull", phase="Pending", age=30), Cause.CONFIG, False, True),
        (pod(waiting="ImagePullBackOff", phase="Pending", age=90), Cause.IMAGE, False, False),
        (
            pod(waiting="RunContainerError", phase="Pending", age=601),
            Cause.NOT_BEGUN, False, False,
        ),
        (
            pod(waiting="ContainerCreating", phase="Pending", age=601, placed=601, ready=False),
            Cause.NOT_BEGUN, False, False,
        ),
        (
            pod(waiting="PodInitializing", phase="Pending", age=90, before="ErrImagePull"),
            Cause.IMAGE, False, False,
        ),
        (
            pod(unschedulable="0/2 nodes", phase="Pending", age=601),
            Cause.UNSCHEDULABLE, False, False,
        ),
    ],
)  # fmt: skip
def test_each_end_is_told_apart(given: state.Pod, cause: Cause, again: bool, final: bool) -> None:
    how = state.ended([given], WANTED, NOW)
    assert how is not None
    assert (how.cause, how.again, how.final) == (cause, again, final)


@pytest.mark.parametrize(
    "given",
    [
        pod(),
        pod(leaving_since=-20),
        pod(waiting="ContainerCreating", phase="Pending", age=900),
        pod(waiting="ContainerCreating", phase="Pending", age=900, placed=900),
        pod(waiting="ContainerCreating", phase="Pending", age=900, placed=90, ready=False),
        pod(age=900, placed=900, ready=False),
        pod(waiting="PodInitializing", phase="Pending", age=900, before="PodInitializing"),
        pod(waiting="ErrImagePull", phase="Pending", age=5),
        pod(waiting="ErrImagePull", phase="Pending", age=900, placed=5),
        pod(waiting="CreateContainerConfigError", phase="Pending", age=2),
        pod(
            waiting="CreateContainerConfigError",
            phase="Pending",
            age=90,
            message="failed to sync secret cache: timed out waiting for the condition",
        ),
        pod(waiting="CreateContainerConfigError", phase="Pending", age=900, placed=2),
        pod(waiting="CreateContainerError", phase="Pending", age=90),
        pod(unschedulable="0/2 nodes", phase="Pending", age=500),
    ],
)
def test_what_goes_on_or_may_still_begin_has_not_ended(given: state.Pod) -> None:
    assert state.ended([given], WANTED, NOW) is None


@pytest.mark.parametrize(
    ("pods", "cause"),
    [
        ([pod(0, phase="Succeeded", exit_code=0), pod(1)], None),
        (
            [pod(i, phase="Succeeded", exit_code=0) for i in range(2)],
            Cause.COMPLETED,
        ),
        ([failed(0), failed(1, 137, reason="OOMKilled")], Cause.MEMORY),
        ([failed(0), failed(1, 143, target="EvictionByEvictionAPI")], Cause.DRAINED),
        (
            [failed(0, 143, target="EvictionByEvictionAPI"), failed(1, 137, reason="OOMKilled")],
            Cause.MEMORY,
        ),
        ([pod(0), failed(1)], Cause.EXIT),
    ],
)
def test_of_pods_that_fall_together_the_first_cause_counts(
    pods: list[state.Pod], cause: Cause | None
) -> None:
    how = state.ended(pods, TWO, NOW)
    assert (how and how.cause) == cause


@pytest.mark.parametrize(
    ("pods", "job", "wanted", "cause"),
    [
        ([], JOB, WANTED, None),
        ([], None, WANTED, Cause.DELETED),
        ([], FAILED_JOB, WANTED, Cause.DELETED),
        # Nothing more will be heard of that pod, also by its Job.
        ([pod(leaving_since=state.GONE_SECONDS + 1)], JOB, WANTED, Cause.NODE_LOST),
        # Another pod of this Job comes.
        ([failed(target="EvictionByEvictionAPI")], JOB, WANTED, None),
        ([failed(target="EvictionByEvictionAPI")], JOB, TWO, Cause.DRAINED),
        ([failed(target="EvictionByEvictionAPI"), pod()], JOB, WANTED, None),
    ],
)
def test_where_pods_cannot_tell_the_job_does(
    pods: list[state.Pod], job: state.Job | None, wanted: Wanted, cause: Cause | None
) -> None:
    how = state.verdict(pods, wanted, NOW, lambda: job)
    assert (how and how.cause) == cause


@pytest.mark.parametrize(
    ("after", "cause"),
    [
        (pod(), None),
        (pod(phase="Succeeded", exit_code=0), Cause.COMPLETED),
        (failed(code=78), Cause.EXIT),
        (failed(code=137, reason="OOMKilled"), Cause.MEMORY),
        (failed(code=143, target="TerminationByKubelet"), None),
    ],
)
@pytest.mark.parametrize(
    "taken",
    [
        failed(code=137, target="TerminationByKubelet"),
        pod(phase="Failed", pod_reason="OutOfcpu", message="Node didn't have enough resource"),
    ],
)
def test_what_a_node_took_away_and_keeps_is_not_the_end(
    taken: state.Pod, after: state.Pod, cause: Cause | None
) -> None:
    for pods in ([taken, after], [after, taken]):
        how = waiting.verdict(pods, WANTED, NOW, lambda: JOB, lambda: None)
        assert (how and how.cause) == cause


def test_pods_whose_turn_a_queue_took_back_have_another() -> None:
    suspended = {**JOB, "spec": {"suspend": True}}
    pods = [failed(0, code=143, leaving_since=1), failed(1, code=143, leaving_since=1)]
    assert state.verdict(pods, TWO, NOW, lambda: suspended) is None
    fallen = state.verdict(pods, TWO, NOW, lambda: JOB)
    assert fallen is not None
    assert fallen.again
    assert state.verdict([], TWO, NOW, lambda: suspended) is None


def test_too_little_memory_is_answered_with_a_number() -> None:
    how = state.ended([failed(code=137, reason="OOMKilled")], WANTED, NOW)
    assert how is not None
    assert "resources.train.memory_gb, to 3 for a start" in how.message
