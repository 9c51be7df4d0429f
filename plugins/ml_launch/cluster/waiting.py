"""What a task waits for that does not run yet: a node, an image, its turn in a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_launch.cluster import state
from ml_launch.cluster.job import QUEUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_launch.cluster.api import Cluster
    from ml_launch.cluster.state import Job, Pod

OF_JOB = "kueue.x-k8s.io/job-uid"
"""Kueue's label of what stands for a Job in its queues."""
WORKLOADS = "/apis/kueue.x-k8s.io/v1beta1/namespaces/{}/workloads"


def pods(found: Sequence[Pod]) -> str:
    """Say in a line what keeps the pods from running; nothing where they all run or ran."""
    for pod in found:
        refused = state.condition(pod, "PodScheduled", "False")
        if refused is not None:
            return f"no node for {state.name(pod)} yet: {refused.get('message', '')}"
        told = state.process(pod).get("waiting")
        if told and told.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"{state.name(pod)} waits: {told['reason']} {told.get('message', '')}".rstrip()
    return ""


def queue(job: Job) -> str:
    """Say in which queue a Job waits; nothing where it does not."""
    if not state.is_suspended(job):
        return ""
    name = job["metadata"].get("labels", {}).get(QUEUE)
    return f"waits in queue {name}" if name else "is suspended by somebody, and begins when resumed"


def reason(cluster: Cluster, job: Job) -> str:
    """Give Kueue's word why it is not the Job's turn; nothing where that may not be read."""
    try:
        found = cluster.ask(
            WORKLOADS.format(cluster.namespace), labelSelector=f"{OF_JOB}={job['metadata']['uid']}"
        )
    except OSError:
        return ""
    for workload in found.get("items", ()):
        for one in workload.get("status", {}).get("conditions") or ():
            if one["type"] == "QuotaReserved" and one["status"] == "False":
                return str(one.get("message", ""))
    return ""
