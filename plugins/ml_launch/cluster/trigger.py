"""Waits for a Job in Airflow's triggerer, where a thousand waits cost one watch."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from ml_launch.cluster import state, waiting
from ml_tasks.config import TaskResources
from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ml_launch.cluster.hub import Hub
    from ml_launch.cluster.state import Ended, Pod

log = logging.getLogger(__name__)
LOOK_SECONDS = 5.0
TRIES = 20
PAUSE_SECONDS = 0.5
DRAIN_SECONDS = 10


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
        }
        self._namespace, self._job, self._until = namespace, job, until
        self._wanted = state.Wanted(
            task, pods, TaskResources.model_validate(resources), pending_seconds
        )
        self._logs: dict[str, asyncio.Task[None]] = {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what makes the trigger again."""
        return "ml_launch.cluster.trigger.JobTrigger", self._told

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; the event says whether the time was over, all else is read from the cluster."""
        from ml_launch.cluster.hub import Hub  # which a worker that only makes a trigger spares

        async with Hub.of(self._namespace) as hub:
            mark, shown = hub.mark(), ""
            async for pods in hub.changes(self._job, LOOK_SECONDS):
                self._follow(hub, pods)
                now = datetime.now(UTC)
                job = hub.job(self._job, mark)
                # Its turn in a queue is nobody's time.
                late = now.timestamp() > self._until + (state.queued(job, now) if job else 0)
                if late or await self._how(hub, pods, mark) is not None:
                    break
                said = waiting.queue(job) if job and not pods else waiting.pods(pods)
                if said and said != shown:
                    log.info("%s", said)
                    shown = said
            if self._logs and not late:
                await asyncio.wait(self._logs.values(), timeout=DRAIN_SECONDS)
            for one in self._logs.values():
                one.cancel()
        yield TriggerEvent({"late": late})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """End the Job: the task was cleared or marked by a person."""
        from ml_launch.cluster.hub import Hub

        async with Hub.of(self._namespace) as hub:
            await hub.delete_job(self._job)

    async def _how(self, hub: Hub, pods: list[Pod], mark: int) -> Ended | None:
        now = datetime.now(UTC)
        for pod in pods:
            if state.is_lost(pod, now):
                await hub.forget_pod(state.name(pod))
        return state.verdict(pods, self._wanted, now, lambda: hub.job(self._job, mark))

    def _follow(self, hub: Hub, pods: list[Pod]) -> None:
        for pod in pods:
            uid = pod["metadata"]["uid"]
            if uid not in self._logs and state.runs(pod):
                prefix = f"[{state.index(pod)}] " if self._wanted.pods > 1 else ""
                self._logs[uid] = asyncio.create_task(_show(hub, state.name(pod), prefix))


async def _show(hub: Hub, pod: str, prefix: str) -> None:
    last = ""
    for _ in range(TRIES):
        read = last
        try:
            async for line in hub.log_lines(pod, last or None):
                at, _space, text = line.partition(" ")
                if at > read:
                    last = at
                    log.info("%s%s", prefix, text)
        except ConfigError as fault:
            log.info("%sthe log of %s is not shown: %s", prefix, pod, fault)
            return
        except OSError:
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        return
