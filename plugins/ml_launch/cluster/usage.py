"""What the pods of a task take: for how long, and what the kubelets of their nodes measure."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ml_launch import measured
from ml_launch.cluster import state
from ml_launch.outcome import Sample
from ml_tasks.result import PodUse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ml_launch.cluster.api import Cluster
    from ml_launch.cluster.state import Pod

log = logging.getLogger(__name__)
EVERY_SECONDS = 12.0
"""Kubelets themselves look every ten to fifteen seconds."""
CPU_AND_MEMORY = {"only_cpu_and_memory": "true"}
POINTS = 200
MEGABYTE = 2**20
Measure = dict[str, Any]
"""What a kubelet tells of a pod."""


@dataclass(slots=True)
class _Seen:
    began: datetime
    ended: datetime | None = None
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0


class Use:
    """What has been seen of a task's pods, also of those that the cluster took away."""

    def __init__(self, memory_gb: float) -> None:
        """Nothing is seen yet; `memory_gb` is what each pod is given."""
        self._limit_mb = memory_gb * 1024
        self._seen: dict[str, _Seen] = {}
        self.curve: list[Sample] = []

    def look(self, pods: Sequence[Pod]) -> None:
        """Take note of when the pods began and ended."""
        present = {pod["metadata"]["uid"] for pod in pods}
        now = datetime.now(UTC)
        for uid, seen in self._seen.items():
            if uid not in present and seen.ended is None:
                seen.ended = now
        for pod in pods:
            self._note(pod)

    def take(self, measured: Iterable[Measure]) -> None:
        """Take note of what kubelets measured just now; other pods may be among it."""
        memory = percent = 0.0
        found = False
        for one in measured:
            seen = self._seen.get(one["podRef"]["uid"])
            if seen is None:
                continue
            found = True
            used = _task(one)
            used_mb = used.get("memory", {}).get("workingSetBytes", 0) / MEGABYTE
            cpu = used.get("cpu", {})
            seen.peak_memory_mb = max(seen.peak_memory_mb, used_mb)
            seen.cpu_seconds = max(seen.cpu_seconds, cpu.get("usageCoreNanoSeconds", 0) / 1e9)
            memory, percent = memory + used_mb, percent + cpu.get("usageNanoCores", 0) / 1e7
        if found:
            first = min(seen.began for seen in self._seen.values())
            second = (datetime.now(UTC) - first).total_seconds()
            self.curve.append(Sample(round(second, 1), round(memory, 1), round(percent, 1)))

    def told(self) -> dict[str, Any]:
        """Give all of it in a form that Airflow keeps, the curve in a few hundred points."""
        pods = {
            uid: {**asdict(seen), "began": str(seen.began), "ended": seen.ended and str(seen.ended)}
            for uid, seen in self._seen.items()
        }
        each = math.ceil(len(self.curve) / POINTS) or 1
        parts = [self.curve[at : at + each] for at in range(0, len(self.curve), each)]
        # Of each part the moment that used most: it is for peaks that people look at it.
        curve = [max(part, key=lambda sample: sample.memory_mb) for part in parts]
        return {"pods": pods, "curve": [list(astuple(sample)) for sample in curve]}

    def recall(self, told: Mapping[str, Any]) -> None:
        """Take up what another has told."""
        for uid, one in told.get("pods", {}).items():
            times = {n: one[n] and datetime.fromisoformat(one[n]) for n in ("began", "ended")}
            self._seen[uid] = _Seen(**{**one, **times})
        self.curve = [Sample(*one) for one in told.get("curve", ())]

    def write(self, result: str) -> None:
        """Lay it beside an attempt's result."""
        if not self._seen:
            return
        now = datetime.now(UTC)
        pods = {
            uid: PodUse(
                seconds=round(((seen.ended or now) - seen.began).total_seconds(), 3),
                cpu_seconds=round(seen.cpu_seconds, 3),
                peak_memory_mb=round(seen.peak_memory_mb, 1),
            )
            for uid, seen in self._seen.items()
        }
        measured.write(result, min(seen.began for seen in self._seen.values()), pods)

    def _note(self, pod: Pod) -> None:
        began = pod.get("status", {}).get("startTime")
        if began is None:
            return
        seen = self._seen.setdefault(pod["metadata"]["uid"], _Seen(state.moment(began)))
        ended = state.process(pod).get("terminated")
        if ended is None:
            return
        if at := ended.get("finishedAt"):
            seen.ended = state.moment(at)
        if ended.get("reason") == "OOMKilled":
            # Between two samples it may have passed the limit unseen.
            seen.peak_memory_mb = max(seen.peak_memory_mb, self._limit_mb)


class Kubelets:
    """Asks the kubelets of pods' nodes what these use, every few seconds."""

    def __init__(self, cluster: Cluster) -> None:
        """Nothing is asked yet."""
        self._cluster = cluster
        self._next, self._allowed = 0.0, True

    def measured(self, pods: Sequence[Pod]) -> Iterator[Measure]:
        """Give what all pods use on the nodes of those that run; nothing where it is not time."""
        nodes = nodes_of(pods)
        if not self._allowed or not nodes or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_SECONDS
        for node in nodes:
            try:
                told = self._cluster.ask(summary(node), **CPU_AND_MEMORY)
            except PermissionError as fault:
                log.info("what pods use is not sampled: %s", fault)
                self._allowed = False
                return
            except OSError as fault:
                log.debug("%s does not say what its pods use: %s", node, fault)
                continue
            yield from told.get("pods", ())


def nodes_of(pods: Iterable[Pod]) -> set[str]:
    """Give the nodes on which pods run."""
    return {pod["spec"]["nodeName"] for pod in pods if "running" in state.process(pod)}


def summary(node: str) -> str:
    """Give the path at which a node's kubelet tells what its pods use."""
    return f"/api/v1/nodes/{node}/proxy/stats/summary"


def _task(pod: dict[str, Any]) -> dict[str, Any]:
    """Give what the task's container uses; a sidecar has a limit of its own."""
    containers: list[dict[str, Any]] = pod.get("containers") or []
    return next((one for one in containers if one["name"] == state.CONTAINER), {})
