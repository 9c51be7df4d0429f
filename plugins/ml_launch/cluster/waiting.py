"""What a task waits for: its end, or before it runs a node, an image, its turn in a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from ml_launch.cluster import admission, state
from ml_launch.cluster.job import QUEUE, QUEUED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from ml_launch.cluster.admission import Refusal
    from ml_launch.cluster.api import Cluster
    from ml_launch.cluster.state import Ended, Job, Pod, Wanted

OF_JOB = "kueue.x-k8s.io/job-uid"
"""Kueue's label of what stands for a Job in its queues."""
WORKLOADS = "/apis/kueue.x-k8s.io/v1beta1/namespaces/{}/workloads"


def verdict(
    pods: Sequence[Pod],
    wanted: Wanted,
    now: datetime,
    find_job: Callable[[], Job | None],
    find_refusal: Callable[[], Refusal | None],
) -> Ended | None:
    """Tell how a task ended, or that it was refused its pods for too long.

    Args:
        pods: Those of its Job.
        wanted: What they are held against.
        now: The present moment.
        find_job: Gives the Job, `None` where it is gone; asked only where it is needed.
        find_refusal: Gives why there are too few pods; asked only while the task goes on.
    """
    if wanted.pods == 1:
        pods = _not_replaced(pods, wanted, now)
    how = state.verdict(pods, wanted, now, find_job)
    return how or admission.verdict(find_refusal(), wanted, now)


def _not_replaced(pods: Sequence[Pod], wanted: Wanted, now: datetime) -> Sequence[Pod]:
    """Leave out what the cluster took away where it has put another pod in its place.

    A node short of memory or disk leaves its evicted pods there, as failed ones.
    """
    taken = [
        pod
        for pod in pods
        if pod.get("status", {}).get("phase") == "Failed"
        and (how := state.ended([pod], wanted, now)) is not None
        and how.again
    ]
    return [pod for pod in pods if pod not in taken] or pods


def lost(found: Sequence[Pod], now: datetime) -> list[str]:
    """Name the pods to be forgotten: nobody on their nodes answers."""
    return [state.name(pod) for pod in found if state.is_lost(pod, now)]


def line(
    refusal: Refusal | None, job: Job | None, found: Sequence[Pod], find_turn: Callable[[Job], str]
) -> str:
    """Say in a line what a task waits for; nothing where its pods run or ran.

    Args:
        refusal: Why there are too few pods.
        job: As it is, where that is known.
        found: Its pods.
        find_turn: Gives the queue's word why it is not the Job's turn; asked only where it waits.
    """
    if refusal is not None:
        return admission.line(refusal)
    if not job or found:
        return pods(found)
    said = queue(job)
    why = find_turn(job) if said else ""
    return f"{said}: {why}" if why else said


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


def queued(job: Job, now: datetime) -> float:
    """Give the seconds that a task waited in queues: its Job, and those before that."""
    made = state.moment(job["metadata"]["creationTimestamp"])
    began = job.get("status", {}).get("startTime")
    until = state.moment(began) if began else now if state.is_suspended(job) else made
    before = float(job["metadata"].get("annotations", {}).get(QUEUED, 0))
    return before + (until - made).total_seconds()


def is_known(job: Job | None) -> TypeGuard[Job]:
    """Tell whether it is known how a Job is: one that was not listed yet has a name alone."""
    return job is not None and "creationTimestamp" in job["metadata"]


def turn(cluster: Cluster, job: Job) -> str:
    """Give Kueue's word why it is not the Job's turn; nothing where that may not be read."""
    uid = job["metadata"]["uid"]
    try:
        found = cluster.ask(WORKLOADS.format(cluster.namespace), labelSelector=f"{OF_JOB}={uid}")
    except OSError:
        return ""
    return turns(found.get("items", ())).get(uid, "")


def turns(workloads: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Give Kueue's words why it is not their turn, by the uid of the Jobs."""
    return {
        workload["metadata"]["labels"][OF_JOB]: str(one.get("message", ""))
        for workload in workloads
        for one in workload.get("status", {}).get("conditions") or ()
        if (one["type"], one["status"]) == ("QuotaReserved", "False")
        and OF_JOB in workload["metadata"].get("labels", {})
    }
