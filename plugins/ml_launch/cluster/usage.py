"""What the pods of a task take: for how long, and what the kubelets of their nodes measure."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ml_launch import measured
from ml_launch.cluster import state
from ml_launch.outcome import Sample
from ml_tasks.result import PodUse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_launch.cluster.api import Cluster
    from ml_launch.cluster.state import Pod

log = logging.getLogger(__name__)
EVERY_SECONDS = 12.0
"""Kubelets themselves look every ten to fifteen seconds."""
MEGABYTE = 2**20


@dataclass(slots=True)
class _Seen:
    began: datetime
    ended: datetime | None = None
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0


class Use:
    """What has been seen of a task's pods, also of those that the cluster took away."""

    def __init__(self, cluster: Cluster, memory_gb: float) -> None:
        """Nothing is seen yet; `memory_gb` is what each pod is given."""
        self._cluster, self._limit_mb = cluster, memory_gb * 1024
        self._seen: dict[str, _Seen] = {}
        self._next, self._allowed = 0.0, True
        self.curve: list[Sample] = []

    def look(self, pods: Sequence[Pod]) -> None:
        """Take note of the pods, and every few seconds of what they use now."""
        present = {pod["metadata"]["uid"] for pod in pods}
        now = datetime.now(UTC)
        for uid, seen in self._seen.items():
            if uid not in present and seen.ended is None:
                seen.ended = now
        for pod in pods:
            self._note(pod)
        if self._allowed and self._seen and time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY_SECONDS
            running = [pod for pod in pods if "running" in state.process(pod)]
            self._sample({pod["spec"]["nodeName"] for pod in running}, now)

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

    def _sample(self, nodes: set[str], now: datetime) -> None:
        memory = percent = 0.0
        found = False
        for one in self._measured(nodes):
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
            second = (now - first).total_seconds()
            self.curve.append(Sample(round(second, 1), round(memory, 1), round(percent, 1)))

    def _measured(self, nodes: set[str]) -> Iterator[dict[str, Any]]:
        for node in nodes:
            try:
                told = self._cluster.ask(
                    f"/api/v1/nodes/{node}/proxy/stats/summary", only_cpu_and_memory="true"
                )
            except PermissionError as fault:
                log.info("what pods use is not sampled: %s", fault)
                self._allowed = False
                return
            except OSError as fault:
                log.debug("%s does not say what its pods use: %s", node, fault)
                continue
            yield from told.get("pods", ())


def _task(pod: dict[str, Any]) -> dict[str, Any]:
    """Give what the task's container uses; a sidecar has a limit of its own."""
    containers: list[dict[str, Any]] = pod.get("containers") or []
    return next((one for one in containers if one["name"] == state.CONTAINER), {})
