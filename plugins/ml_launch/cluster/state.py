"""What the pods of a Job say about the task: values in, value out.

Pods are read as the API writes them, as JSON. What the states, reasons and conditions mean:
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ and
https://kubernetes.io/docs/concepts/workloads/pods/disruptions/.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ml_launch.cluster import limits
from ml_tasks.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml_tasks.config import TaskResources

Pod = dict[str, Any]
Job = dict[str, Any]
CONTAINER = "task"
INDEX = "batch.kubernetes.io/job-completion-index"
GONE_SECONDS = 10
"""How long after its grace a pod that is still there counts as lost with its node."""
FIRM_SECONDS = 60
"""How long a pod may wait for an image or a secret before that counts as a fault."""


class Cause(StrEnum):
    """Why a pod, or a whole task, ended."""

    COMPLETED = "completed"
    EXIT = "ended by itself"
    MEMORY = "out of memory"
    DISK = "over its disk limit"
    CONFIG = "wrongly configured"
    IMAGE = "no image"
    UNSCHEDULABLE = "unschedulable"
    EVICTED = "evicted"
    DRAINED = "drained"
    PREEMPTED = "preempted"
    NODE_LOST = "node lost"
    DELETED = "deleted"
    NOT_BEGUN = "not begun"


DISRUPTIONS = frozenset(
    {Cause.EVICTED, Cause.DRAINED, Cause.PREEMPTED, Cause.NODE_LOST, Cause.DELETED}
)
"""Nothing that the task did: it is started again, and that counts for nobody."""
FINAL = frozenset({Cause.MEMORY, Cause.DISK, Cause.CONFIG})
"""Another try would end in the same way."""
_TARGETS = {
    "EvictionByEvictionAPI": Cause.DRAINED,
    "PreemptionByScheduler": Cause.PREEMPTED,
    "PreemptionByKubeScheduler": Cause.PREEMPTED,
    "DeletionByTaintManager": Cause.NODE_LOST,
    "DeletionByPodGC": Cause.NODE_LOST,
    "TerminationByKubelet": Cause.EVICTED,
}
_NEVER_BEGAN = ("StartError", "ContainerCannotRun")
_NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable")
_WRONG = (
    "CreateContainerConfigError", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
)  # fmt: skip
_BUSY = ("CreateContainerError", "RunContainerError")
"""What a node under load says, too, and tries again by itself."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a task ended."""

    cause: Cause
    message: str
    exit_code: int

    @property
    def again(self) -> bool:
        """Whether it is started again at once, without counting as a try."""
        return self.cause in DISRUPTIONS

    @property
    def final(self) -> bool:
        """Whether another try is in vain."""
        return self.cause in FINAL


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the pods of a task are held against."""

    task: str
    pods: int
    resources: TaskResources
    pending_seconds: float


def ended(pods: Sequence[Pod], wanted: Wanted, now: datetime) -> Ended | None:
    """Tell how a task ended; `None` while it goes on or waits.

    Of several pods that failed, the one counts that says most: the others fall with it.
    """
    found = [one for one in (_pod(pod, wanted, now) for pod in pods) if one is not None]
    if not found:
        return None
    failed = [one for one in found if one.cause is not Cause.COMPLETED]
    if failed:
        return min(failed, key=lambda one: (one.cause is Cause.EXIT, one.again))
    done = {index(pod) for pod in pods if _pod(pod, wanted, now) is not None}
    return found[0] if len(done) >= wanted.pods else None


def verdict(
    pods: Sequence[Pod], wanted: Wanted, now: datetime, find_job: Callable[[], Job | None]
) -> Ended | None:
    """Tell how a task ended, by its pods or, where these cannot tell, by its Job.

    Args:
        pods: Those of the Job.
        wanted: What they are held against.
        now: The present moment.
        find_job: Gives the Job, `None` where it is gone; asked only where it is needed.
    """
    how = ended(pods, wanted, now)
    if how is None and not any(alive(pod, now) for pod in pods):
        return _ended_job(find_job())
    # A node that is gone never says that a pod has ended, and the Job waits for that word.
    if how is not None and how.again and not any(is_lost(pod, now) for pod in pods):
        job = find_job()
        # The cluster itself starts other pods, unless the Job ended with the first.
        return _ended_job(job) if wanted.pods == 1 or is_suspended(job) else how
    return how


def has(job: Job, condition: str) -> Mapping[str, Any] | None:
    """Give a condition of a Job that holds."""
    for one in job.get("status", {}).get("conditions") or ():
        if one["type"] == condition and one["status"] == "True":
            found: Mapping[str, Any] = one
            return found
    return None


def is_suspended(job: Job | None) -> bool:
    """Tell whether a Job waits for its turn; a queue may take back what it gave."""
    return job is not None and bool(job.get("spec", {}).get("suspend"))


def is_leaving(thing: Job | Pod) -> bool:
    """Tell whether a Job or a pod is being deleted."""
    return bool(thing["metadata"].get("deletionTimestamp"))


def _ended_job(job: Job | None) -> Ended | None:
    """Tell how a Job ended whose pods do not tell."""
    if job is None or is_leaving(job):
        return Ended(Cause.DELETED, "its Job was deleted", int(ExitCode.CRASH))
    failed = has(job, "Failed")
    if failed is None:
        return None
    why = f"the pods of Job {name(job)} are gone: {failed.get('message', '')}"
    return Ended(Cause.DELETED, why, int(ExitCode.CRASH))


def runs(pod: Pod) -> bool:
    """Tell whether the task's process has begun in a pod, so that there is a log."""
    state = process(pod)
    return "running" in state or "terminated" in state


def process(pod: Pod) -> Mapping[str, Any]:
    """Give the state of the task's process in a pod: waiting, running, or terminated."""
    for container in pod.get("status", {}).get("containerStatuses") or ():
        if container["name"] == CONTAINER:
            state: Mapping[str, Any] = container.get("state", {})
            return state
    return {}


def condition(pod: Pod, kind: str, value: str) -> Mapping[str, Any] | None:
    """Give a condition of a pod that has this value."""
    for one in pod.get("status", {}).get("conditions") or ():
        if one["type"] == kind and one["status"] == value:
            found: Mapping[str, Any] = one
            return found
    return None


def moment(text: str) -> datetime:
    """Read a time as the API writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def name(thing: Job | Pod) -> str:
    """Give the name of a Job or a pod."""
    return str(thing["metadata"]["name"])


def index(pod: Pod) -> int:
    """Give a pod's place among the pods of its Job."""
    return int(pod["metadata"].get("annotations", {}).get(INDEX, 0))


def alive(pod: Pod, now: datetime) -> bool:
    """Tell whether a process of the task may still run in a pod."""
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed") and not _lost(pod, now)


def is_lost(pod: Pod, now: datetime) -> bool:
    """Tell whether a pod was to be gone long ago: nobody on its node answers."""
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed") and _lost(pod, now)


def _pod(pod: Pod, wanted: Wanted, now: datetime) -> Ended | None:
    """Tell how one pod ended; `None` while it goes on or waits."""
    status = pod.get("status", {})
    terminated = process(pod).get("terminated")
    said = str(status.get("message", ""))
    if terminated is not None and terminated["exitCode"] == 0:
        return Ended(Cause.COMPLETED, "", 0)
    if status.get("reason") == "Evicted" and "exceeds" in said:
        return Ended(Cause.DISK, limits.over_disk(wanted.task, said), int(ExitCode.CRASH))
    if terminated is not None and terminated.get("reason") == "OOMKilled":
        why = limits.over_memory(wanted.task, wanted.resources.memory_gb)
        return Ended(Cause.MEMORY, why, terminated["exitCode"])
    if terminated is not None and terminated.get("reason") in _NEVER_BEGAN:
        why = f"{name(pod)} cannot start: {terminated.get('message', '')}"
        return Ended(Cause.CONFIG, why, int(ExitCode.CONFIG))
    target = condition(pod, "DisruptionTarget", "True")
    if _lost(pod, now):
        why = f"{_where(pod)} does not answer any more"
        return Ended(Cause.NODE_LOST, why, int(ExitCode.RETRY))
    if terminated is not None or status.get("phase") == "Failed":
        code = terminated["exitCode"] if terminated is not None else int(ExitCode.CRASH)
        if target is not None:
            cause = _TARGETS.get(str(target.get("reason")), Cause.EVICTED)
            return Ended(cause, f"{name(pod)} was {cause}: {target.get('message', said)}", code)
        if is_leaving(pod):
            return Ended(Cause.DELETED, f"{name(pod)} was deleted", code)
        if terminated is None and not status.get("initContainerStatuses"):
            why = f"{name(pod)} was refused by its node: {status.get('reason', '')} {said}"
            return Ended(Cause.EVICTED, why, int(ExitCode.RETRY))
        return Ended(Cause.EXIT, said, code)
    return _stuck(pod, wanted, now)


def _stuck(pod: Pod, wanted: Wanted, now: datetime) -> Ended | None:
    """Tell whether a pod that does not run never will."""
    placed = condition(pod, "PodScheduled", "True") or {}
    since = placed.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"]
    waited = (now - moment(since)).total_seconds()
    state = _waits(pod)
    reason, said = state.get("reason"), f"{state.get('reason')}: {state.get('message', '')}"
    passing = reason in _BUSY or said.endswith("timed out waiting for the condition")
    if reason in _WRONG and not passing and waited > FIRM_SECONDS / 6:
        return Ended(Cause.CONFIG, f"{name(pod)} cannot start: {said}", int(ExitCode.CONFIG))
    if passing and waited > wanted.pending_seconds:
        return Ended(Cause.NOT_BEGUN, f"{name(pod)} cannot start: {said}", int(ExitCode.RETRY))
    if reason in _NO_IMAGE and waited > FIRM_SECONDS:
        return Ended(
            Cause.IMAGE, f"the image of {name(pod)} cannot be pulled: {said}", int(ExitCode.RETRY)
        )
    unready = condition(pod, "PodReadyToStartContainers", "False")
    if placed and unready is not None and waited > wanted.pending_seconds and not runs(pod):
        why = f"{name(pod)} has no volumes or no network on its node; its events say which"
        return Ended(Cause.NOT_BEGUN, why, int(ExitCode.RETRY))
    refused = condition(pod, "PodScheduled", "False")
    if refused is not None and waited > wanted.pending_seconds:
        return Ended(
            Cause.UNSCHEDULABLE,
            f"no node took {name(pod)} in {wanted.pending_seconds:.0f} s: "
            f"{refused.get('message', '')}; ask for less in resources.{wanted.task}, or add nodes",
            int(ExitCode.RETRY),
        )
    return None


def _waits(pod: Pod) -> Mapping[str, Any]:
    """Give why the task's process waits, or what of the template's has to begin before it."""
    own: Mapping[str, Any] = process(pod).get("waiting", {})
    if own.get("reason") != "PodInitializing":
        return own
    first = pod["status"].get("initContainerStatuses") or ()
    waits = (one.get("state", {}).get("waiting", {}) for one in first)
    return next((one for one in waits if one.get("reason") not in (None, "PodInitializing")), own)


def _lost(pod: Pod, now: datetime) -> bool:
    # The API writes the moment at which the grace ends.
    by = pod["metadata"].get("deletionTimestamp")
    return by is not None and (now - moment(by)).total_seconds() > GONE_SECONDS


def _where(pod: Pod) -> str:
    return f"node {pod.get('spec', {}).get('nodeName', '?')} of {name(pod)}"
