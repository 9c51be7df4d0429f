"""Waits for a Job in Airflow's triggerer, where a thousand waits cost one watch."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from ml_launch.cluster import admission, state, waiting
from ml_launch.cluster.job import ATTEMPT
from ml_launch.cluster.lines import DRAIN_SECONDS, PAUSE_SECONDS, TRIES, PodLog
from ml_launch.cluster.usage import Use
from ml_tasks.config import TaskResources
from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ml_launch.cluster.admission import Refusal
    from ml_launch.cluster.hub import Hub
    from ml_launch.cluster.state import Ended, Job, Pod

log = logging.getLogger(__name__)
LOOK_SECONDS = 5.0


class JobTrigger(BaseTrigger):
    """Fires when a Job has ended, or its time is over; its log is handed on meanwhile."""

    def __init__(
        self,
        *,
        namespace: str,
        job: str,
        task: str,
        pods: int,
        resources: dict[str, Any],
        pending_seconds: float,
        until: float,
        uid: str = "",
        settled: float = 0.0,
    ) -> None:
        """Describe the wait.

        Args:
            namespace: Where the Job is.
            job: Its name.
            task: The task, for messages.
            pods: How many pods it has.
            resources: What each is given, as in the pipeline's YAML.
            pending_seconds: How long a pod may wait for a node.
            until: When the task's time is over, seconds since the epoch.
            uid: The Job's own id: another one of its name is somebody else's to end.
            settled: Before when it does not fire, seconds since the epoch.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._told = {
            "namespace": namespace,
            "job": job,
            "task": task,
            "pods": pods,
            "resources": resources,
            "pending_seconds": pending_seconds,
            "until": until,
            "uid": uid,
            "settled": settled,
        }
        self._namespace, self._job, self._uid = namespace, job, uid
        self._until, self._settled = until, settled
        self._wanted = state.Wanted(
            task, pods, TaskResources.model_validate(resources), pending_seconds
        )
        self._queued, self._attempt = 0.0, 0
        self._logs: dict[str, asyncio.Task[None]] = {}
        self._use, self._samples = Use(self._wanted.resources.memory_gb), 0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what makes the trigger again."""
        return "ml_launch.cluster.trigger.JobTrigger", self._told

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; the event says whether the time was over, and what was seen of the pods."""
        from ml_launch.cluster.hub import Hub  # which a worker that only makes a trigger spares

        async with Hub.of(self._namespace) as hub:
            try:
                late = await self._wait(hub)
                if self._logs and not late:
                    await asyncio.wait(self._logs.values(), timeout=DRAIN_SECONDS)
            finally:
                for one in self._logs.values():
                    one.cancel()
        await asyncio.sleep(self._settled - time.time())
        seen = self._use.told() | {"queued": self._queued, "attempt": self._attempt}
        event = {"late": late, "seen": seen}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _wait(self, hub: Hub) -> bool:
        """Wait until the Job has ended, or its time is over; tell whether that was so."""
        mark, shown = hub.mark(), ""
        async for pods in hub.changes(self._job, LOOK_SECONDS):
            self._follow(hub, pods)
            self._look(hub, pods)
            now = datetime.now(UTC)
            job = hub.job(self._job, mark)
            if waiting.is_known(job):
                self._queued = waiting.queued(job, now)
                self._attempt = int(job["metadata"]["labels"][ATTEMPT])
            # Its turn in a queue is nobody's time; of what is not known yet nothing is said.
            if (job is None or self._attempt) and now.timestamp() > self._until + self._queued:
                return True
            if await self._how(hub, pods, mark) is not None:
                return False
            said = self._waits(hub, job, pods)
            if said and said != shown:
                log.info("%s", said)
                shown = said
        raise AssertionError("a hub tells of changes until nobody asks")

    async def on_kill(self) -> None:
        """End the Job: the task was cleared or marked by a person."""
        from ml_launch.cluster.hub import Hub

        async with Hub.of(self._namespace) as hub:
            await hub.delete_job(self._job, self._uid)

    async def _how(self, hub: Hub, pods: list[Pod], mark: int) -> Ended | None:
        now = datetime.now(UTC)
        for name in waiting.lost(pods, now):
            await hub.forget_pod(name)
        return waiting.verdict(
            pods, self._wanted, now,
            lambda: hub.job(self._job, mark), lambda: self._refusal(hub, pods),
        )  # fmt: skip

    def _refusal(self, hub: Hub, pods: list[Pod]) -> Refusal | None:
        if len(pods) >= self._wanted.pods:
            return None
        return admission.refusal(hub.reasons.refusals(self._job), datetime.now(UTC))

    def _waits(self, hub: Hub, job: Job | None, pods: list[Pod]) -> str:
        return waiting.line(self._refusal(hub, pods), job, pods, hub.reasons.turn)

    def _look(self, hub: Hub, pods: list[Pod]) -> None:
        self._use.look(pods)
        if hub.samples != self._samples:
            self._samples = hub.samples
            uids = [pod["metadata"]["uid"] for pod in pods]
            self._use.take(hub.measured[uid] for uid in uids if uid in hub.measured)

    def _follow(self, hub: Hub, pods: list[Pod]) -> None:
        for pod in pods:
            uid = pod["metadata"]["uid"]
            if uid not in self._logs and state.runs(pod):
                self._logs[uid] = asyncio.create_task(_show(hub, PodLog(pod, self._wanted.pods)))


async def _show(hub: Hub, pod_log: PodLog) -> None:
    for _ in range(TRIES):
        try:
            async for line in hub.log_lines(pod_log.pod, pod_log.again()):
                if (shown := pod_log.shown(line)) is not None:
                    log.info("%s", shown)
        except ConfigError as fault:
            log.info("%s", pod_log.refused(fault))
            return
        except OSError:
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        return
